//! Repair: what of a damaged journal can be read is brought into segments of its own, and what can't becomes a hole, which
//! clients that resume are told of. Damaged files are kept beside the journal.
//!
//! Wherever it is interrupted, it can be run again: a file is only replaced when what can be read of it is on the disk under
//! other names.

use std::io;

use super::disk::{self, Disk, DiskFile};
use super::lease::{self, Lease};
use super::segment::{self, HEADER_BYTES, SegmentHeader};
use super::survey::{Fault, Run, Survey, Surveyed};
use crate::limits;

/// What a file is written as before it takes its name.
const NEW_NAME: &str = "repaired.new";

/// One file, and what takes its place: nothing, where nothing of it can be read.
#[derive(Debug)]
pub struct Replacement<'a> {
    pub file: &'a Surveyed,
    pub segments: Vec<(SegmentHeader, Run)>,
}

/// The files that have to be replaced, in order. The others are sound, and where they are meant to be.
pub fn plan(survey: &Survey) -> Vec<Replacement<'_>> {
    survey.files.iter().filter_map(replacement).collect()
}

fn replacement(file: &Surveyed) -> Option<Replacement<'_>> {
    let is_sound = file.header.is_some_and(|header| header.follows == file.follows)
        && match &file.runs[..] {
            [] => true,
            [run] => run.offset == HEADER_BYTES,
            _ => false,
        };
    if is_sound {
        return None;
    }
    let mut follows = file.follows;
    let segments = file.runs.iter().map(|run| {
        let created_unix_ms = file.header.map_or(run.unix_ms, |header| header.created_unix_ms);
        let header = SegmentHeader { first_seq: run.first_seq, follows, created_unix_ms };
        follows = run.next_seq;
        (header, *run)
    });
    Some(Replacement { file, segments: segments.collect() })
}

impl Replacement<'_> {
    /// Puts the segments in the file's place. The file must have been kept elsewhere: it is gone afterwards.
    pub async fn carry_out<D: Disk>(&self, disk: &D) -> io::Result<()> {
        let damaged = disk.open(&self.file.name).await?;
        // The last ones first: the one that takes the file's own name ends it.
        for (header, run) in self.segments.iter().rev() {
            let new = disk::create_anew(disk, NEW_NAME).await?;
            disk::write_all(&new, || header.to_block(), 0).await?;
            copy(&damaged, *run, &new).await?;
            new.sync().await?;
            disk.rename(NEW_NAME, &segment::name(header.first_seq)).await?;
            disk.sync_names().await?;
        }
        let own_name_is_taken =
            self.segments.iter().any(|(header, _)| segment::name(header.first_seq) == self.file.name);
        if !own_name_is_taken {
            disk.remove(&self.file.name).await?;
            disk.sync_names().await?;
        }
        Ok(())
    }
}

/// A lease for a journal whose own is damaged, beyond any number that may have been given out.
pub async fn make_lease<D: Disk>(disk: &D, survey: &Survey) -> io::Result<Option<Lease>> {
    if !survey.faults.contains(&Fault::Lease) {
        return Ok(None);
    }
    // Events that were given numbers and never written are bounded by memory, and so by far fewer than a lease.
    let lease = Lease { through: survey.seen + 2 * limits::LEASE_NUMBERS, clean: None };
    lease::write(disk, lease).await?;
    Ok(Some(lease))
}

async fn copy<F: DiskFile>(from: &F, run: Run, to: &F) -> io::Result<()> {
    let mut offset = run.offset;
    while offset < run.end {
        let wanted = (run.end - offset).min(limits::REPLAY_CHUNK_BYTES as u64) as usize;
        let bytes = from.read_at(offset, wanted).await?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let at = HEADER_BYTES + (offset - run.offset);
        offset += disk::write_all(to, || bytes.clone(), at).await? as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::journal::disk::fake::{FakeDisk, run};
    use crate::journal::fixture::{disk, put, segment};
    use crate::journal::recovery::recover;
    use crate::journal::{Gap, GapReason, Part, Reader};

    /// A journal with something wrong in each way.
    fn damaged() -> FakeDisk {
        let (mut first, starts) = segment(1, 1, &[(2, 0), (2, 0), (2, 0)]);
        first[starts[1] + 20] ^= 1;
        let (mut second, _) = segment(7, 7, &[(2, 6)]);
        second[20] ^= 1;
        let (third, _) = segment(20, 12, &[(1, 11)]);
        let (mut fourth, starts) = segment(21, 21, &[(1, 20), (1, 20)]);
        fourth[starts[0]..].fill(0xff);
        let (fifth, _) = segment(23, 23, &[(2, 22)]);
        let disk = disk(&[(1, first), (7, second), (20, third), (21, fourth), (23, fifth)]);
        put(&disk, lease::NAME, b"?");
        disk
    }

    async fn repair(disk: &FakeDisk) -> io::Result<()> {
        let survey = Survey::of(disk).await.expect("it can be read");
        for replacement in plan(&survey) {
            replacement.carry_out(disk).await?;
        }
        make_lease(disk, &survey).await.map(drop)
    }

    fn assert_repaired(disk: &FakeDisk) {
        assert_eq!(run(Survey::of(disk)).expect("it can be read").faults, []);
        let recovered = run(recover(disk)).expect("it can be continued");
        let next_seq = recovered.next_seq;
        assert!(next_seq > 25 + limits::LEASE_NUMBERS, "{next_seq}");
        let reader = Reader::new(Rc::new(disk.clone()), Rc::new(RefCell::new(recovered.catalogue)));
        let chunk = run(reader.read(1, usize::MAX)).expect("readable");
        let parts = chunk.parts.iter().map(|part| match part {
            Part::Events(batch) => (true, batch.first_seq(), batch.next_seq() - 1),
            Part::Gap(Gap { from, to, reason: GapReason::Crash }) => (false, *from, *to),
            Part::Gap(gap) => panic!("{gap:?}"),
        });
        let expected = [
            (true, 1, 2),
            (false, 3, 4),
            (true, 5, 6),
            (true, 7, 8),
            (false, 9, 19),
            (true, 20, 20),
            (false, 21, 22),
            (true, 23, 24),
            (false, 25, next_seq - 1),
        ];
        assert_eq!(parts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_can_be_read_is_kept_and_the_rest_is_a_hole() {
        let disk = damaged();
        run(recover(&disk)).expect_err("it is damaged");
        run(repair(&disk)).expect("a sound disk");
        assert_repaired(&disk);
        let survey = run(Survey::of(&disk)).expect("it can be read");
        assert!(plan(&survey).is_empty(), "there is nothing left to do");
    }

    #[test]
    fn a_power_cut_at_any_moment_leaves_something_that_can_be_repaired() {
        for polls in (0..4_000).step_by(7) {
            // It lasts, as it is.
            let disk = damaged().after_kill();
            let done = disk.run_for(polls, repair(&disk)).is_some();
            let later = disk.after_power_cut();
            run(repair(&later)).expect("a sound disk");
            assert_repaired(&later);
            if done {
                return;
            }
        }
        panic!("it takes longer than that");
    }
}
