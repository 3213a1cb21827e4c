//! `stentor journal dump` and `tail`: one JSON object a line and event.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use futures_lite::future::block_on;
use jiff::Timestamp;

use super::super::Failure;
use super::super::console::Console;
use super::walk::{Step, Walk};
use crate::event::{Event, Topic, append_string};
use crate::hub::{EncodedBatch, Origin};
use crate::journal::Gap;
use crate::journal::disk::{BlockingDisk, Disk};
use crate::journal::segment;
use crate::limits;

/// Which events.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Only events after this number
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Only events of this topic, such as market:BTC_USD
    #[arg(long, value_parser = topic)]
    topic: Option<Topic>,
}

fn topic(text: &str) -> Result<Topic, String> {
    Topic::parse(text).map_err(|error| error.to_string())
}

/// Why no more is printed.
enum Stop {
    Failed(Failure),
    /// As many as were asked for, or whoever reads has closed the pipe.
    Enough,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Enough,
            _ => Self::Failed(Failure::failed(format!("can't write to standard output: {error}"))),
        }
    }
}

pub(super) fn dump(
    disk: &BlockingDisk,
    selection: &Selection,
    limit: Option<u64>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let from = match selection.since {
        Some(since) => since.saturating_add(1),
        None => block_on(oldest(disk)).map_err(Failure::failed)?,
    };
    let mut printer = Printer { selection, left: limit.unwrap_or(u64::MAX), line: Vec::new() };
    let mut walk = Walk::from(disk, from);
    ended(printer.print(&mut walk, console))
}

pub(super) fn tail(disk: &BlockingDisk, selection: &Selection, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut printer = Printer { selection, left: u64::MAX, line: Vec::new() };
    let from = match selection.since {
        Some(since) => since.saturating_add(1),
        None => block_on(head(disk))?,
    };
    let mut walk = Walk::from(disk, from);
    loop {
        match printer.print(&mut walk, console) {
            Ok(()) => sleep(Duration::from_millis(limits::JOURNAL_TAIL_MS)),
            stopped => return ended(stopped),
        }
    }
}

fn ended(outcome: Result<(), Stop>) -> Result<(), Failure> {
    match outcome {
        Err(Stop::Failed(failure)) => Err(failure),
        Ok(()) | Err(Stop::Enough) => Ok(()),
    }
}

/// The first number of the first segment: without `--since` nothing is missed.
async fn oldest(disk: &BlockingDisk) -> io::Result<u64> {
    Ok(firsts(disk).await?.into_iter().min().unwrap_or(1))
}

/// The number after the last event that is there.
async fn head(disk: &BlockingDisk) -> Result<u64, Failure> {
    let mut head = firsts(disk).await.map_err(Failure::failed)?.into_iter().max().unwrap_or(1);
    let mut walk = Walk::from(disk, head);
    loop {
        match walk.next().await.map_err(Failure::failed)? {
            Step::Events(batch) => head = batch.next_seq(),
            Step::Gap(gap) => head = gap.to + 1,
            Step::End => return Ok(head),
        }
    }
}

async fn firsts(disk: &BlockingDisk) -> io::Result<Vec<u64>> {
    Ok(disk.names().await?.iter().filter_map(|name| segment::parse_name(name)).collect())
}

struct Printer<'a> {
    selection: &'a Selection,
    /// How many events more.
    left: u64,
    line: Vec<u8>,
}

impl Printer<'_> {
    /// Prints what is there.
    fn print(&mut self, walk: &mut Walk<'_>, console: &mut Console<'_>) -> Result<(), Stop> {
        loop {
            match block_on(walk.next()) {
                Ok(Step::Events(batch)) => self.batch(&batch, walk.asked(), console)?,
                Ok(Step::Gap(Gap { from, to, reason })) => {
                    console.say(format_args!("gap from {from} to {to}: {}", reason.as_str()));
                }
                Ok(Step::End) => return Ok(console.values.flush()?),
                Err(error) => return Err(Stop::Failed(Failure::failed(error))),
            }
        }
    }

    fn batch(&mut self, batch: &EncodedBatch, from: u64, console: &mut Console<'_>) -> Result<(), Stop> {
        let origin = batch.origin();
        let numbered = (batch.first_seq()..).zip(batch.events()).skip_while(|(seq, _)| *seq < from);
        for (seq, event) in numbered {
            if self.selection.topic.as_ref().is_some_and(|topic| *topic != event.topic) {
                continue;
            }
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            self.line.clear();
            append_line(seq, event, origin, &mut self.line);
            console.values.write_all(&self.line)?;
        }
        if self.left > 0 {
            return Ok(());
        }
        console.values.flush()?;
        Err(Stop::Enough)
    }
}

fn append_line(seq: u64, event: &Event, origin: Origin, out: &mut Vec<u8>) {
    let Origin { publisher, unix_ms } = origin;
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    out.extend_from_slice(format!(r#"{{"seq":{seq},"time":"{time:.3}","topic":"#).as_bytes());
    append_string(event.topic.as_str(), out);
    let optional = [("channel", &event.channel), ("key", &event.key), ("id", &event.id)];
    let named = optional.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    for (name, value) in [("type", &*event.kind)].into_iter().chain(named) {
        out.extend_from_slice(format!(r#","{name}":"#).as_bytes());
        append_string(value, out);
    }
    out.extend_from_slice(format!(r#","publisher":{publisher},"data":"#).as_bytes());
    out.extend_from_slice(&event.data);
    out.extend_from_slice(b"}\n");
}
