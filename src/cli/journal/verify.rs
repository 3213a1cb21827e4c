//! `stentor journal verify`.

use futures_lite::future::block_on;

use super::super::Failure;
use super::super::console::Console;
use crate::journal::disk::BlockingDisk;
use crate::journal::survey::Survey;

pub(super) fn run(disk: &BlockingDisk, console: &mut Console<'_>) -> Result<(), Failure> {
    let survey = block_on(Survey::of(disk)).map_err(Failure::failed)?;
    console.value(summary(&survey))?;
    if survey.tail_bytes > 0 {
        console.say(format_args!(
            "the last {} bytes are not whole: they are being written, or the next start cuts them",
            survey.tail_bytes
        ));
    }
    survey.faults.iter().for_each(|fault| console.say(fault));
    match survey.faults.len() {
        0 => Ok(()),
        faults => Err(Failure::failed(format!(
            "the journal has {faults} faults: stop the server and see what `stentor journal repair` would do"
        ))),
    }
}

/// One line, for people and for scripts.
pub(in crate::cli) fn summary(survey: &Survey) -> String {
    let (first, last) = match (survey.runs().next(), survey.runs().next_back()) {
        (Some(first), Some(last)) => (first.first_seq, last.next_seq - 1),
        _ => (0, 0),
    };
    let (segments, events, bytes) = (survey.files.len(), survey.events(), survey.bytes());
    let (holes, faults) = (survey.holes().len(), survey.faults.len());
    format!("segments={segments} events={events} first={first} last={last} bytes={bytes} holes={holes} faults={faults}")
}
