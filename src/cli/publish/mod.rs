//! `stentor publish`: events from a file or a pipe to a running server.
//!
//! ```text
//!   FILE or stdin ──▶ Batches (a reading thread) ──▶ Pace ──▶ Endpoint ──▶ POST /api/events
//!                       lines, 50 ms at most           │          └──▶ 429, 503, nobody there: wait, again
//!                                                      └──▶ Progress (stderr)
//!   stdout: the last seq, alone
//! ```
//!
//! Invariants:
//! * Events are sent in the order in which they were read, one request at a time.
//! * A batch is sent again only where the server surely took none of it.
//! * Every failure tells how many events were accepted before it.

mod batches;
mod endpoint;
mod pace;
mod progress;
#[cfg(test)]
mod responder;

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Instant;

use indicatif::HumanCount;

use self::batches::{Batch, Batches};
use self::endpoint::{Endpoint, EndpointError, Refusal};
use self::pace::{Pace, Rate};
use self::progress::Progress;
use super::Failure;
use crate::limits::PUBLISH_BATCH_EVENTS_MAX;

/// Publish events from a file or a pipe: NDJSON, or one JSON document
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The file to read, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: String,
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:5001")]
    pub url: String,
    /// A publisher's key (on the command line other users can see it: prefer the environment)
    #[arg(long, value_name = "KEY", env = "STENTOR_KEY", hide_env_values = true)]
    pub key: String,
    /// The most events of one request
    #[arg(long, value_name = "N", default_value = "500", value_parser = batch_size)]
    pub batch: usize,
    /// The most events a second
    #[arg(long, value_name = "EVENTS_PER_S")]
    pub rate: Option<Rate>,
    /// What the file holds; without it, its beginning decides
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
}

/// How events are written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Ndjson,
    /// One JSON object or array, over any number of lines
    Json,
}

/// What the server has accepted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    events: u64,
    /// Those of them that had been published before.
    duplicates: u64,
    last_seq: Option<u64>,
}

/// Publishes everything, then prints the last event's `seq` alone on stdout.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (input, name, size_bytes): (Box<dyn Read + Send>, _, _) = if arguments.file == "-" {
        (Box::new(io::stdin()), "standard input".to_owned(), None)
    } else {
        let file = File::open(&arguments.file)
            .map_err(|error| Failure::Failed(format!("can't open {}: {error}", arguments.file)))?;
        let metadata = file.metadata().map_err(Failure::failed)?;
        (Box::new(file), arguments.file.clone(), metadata.is_file().then_some(metadata.len()))
    };
    let mut progress = Progress::on_stderr(size_bytes);
    let started = Instant::now();
    let outcome = publish(arguments, input, &name, &mut progress);
    progress.finish();
    let tally = outcome?;
    match tally.last_seq {
        None => eprintln!("{name} holds no events: nothing was published"),
        Some(last_seq) => {
            let seconds = started.elapsed().as_secs_f64();
            let before = match tally.duplicates {
                0 => String::new(),
                duplicates => format!(" ({} of them published before)", HumanCount(duplicates)),
            };
            eprintln!("{} accepted{before} in {seconds:.1} s; the last one's seq:", events(tally.events));
            writeln!(io::stdout(), "{last_seq}").map_err(Failure::failed)?;
        }
    }
    Ok(())
}

fn publish(
    arguments: &Arguments,
    input: Box<dyn Read + Send>,
    name: &str,
    progress: &mut Progress,
) -> Result<Tally, Failure> {
    let endpoint = Endpoint::new(&arguments.url, &arguments.key).map_err(|error| Failure::Usage(error.to_string()))?;
    let mut pace = Pace::new(arguments.rate);
    let events_max = pace.batch_max(arguments.batch);
    let mut batches = Batches::read(input, arguments.format, events_max);
    let mut tally = Tally::default();
    loop {
        let batch = match batches.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(tally),
            Err(error) => return Err(Failure::Failed(format!("{name}: {error}{}", accepted_before(tally)))),
        };
        std::thread::sleep(pace.wait(Instant::now(), batch.events()));
        let accepted = endpoint
            .post(&batch, |words| progress.say(words))
            .map_err(|error| Failure::Failed(in_words(&error, &batch, name, tally)))?;
        tally.events += accepted.accepted;
        tally.duplicates += accepted.duplicates;
        // A repeated `id` is answered with its first seq, which may lie before what came earlier.
        tally.last_seq = tally.last_seq.max(accepted.last_seq);
        progress.advance(batch.input_bytes, tally.events);
    }
}

/// What went wrong, where in the file, and what had been accepted by then.
fn in_words(error: &EndpointError, batch: &Batch, name: &str, tally: Tally) -> String {
    let place = match error {
        EndpointError::Refused(Refusal { line: Some(line), .. }) => match batch.source_line(*line) {
            Some(line) => format!("line {line} of {name}"),
            None => format!("line {line} of the request from {name}"),
        },
        _ => match batch.source_lines() {
            Some((first, last)) if first == last => format!("line {first} of {name}"),
            Some((first, last)) => format!("lines {first} to {last} of {name}"),
            None => name.to_owned(),
        },
    };
    format!("{place}: {error}{}", accepted_before(tally))
}

fn accepted_before(tally: Tally) -> String {
    match tally.last_seq {
        None => "; no event was accepted before".to_owned(),
        Some(seq) => format!("; accepted before: {}, up to seq {seq}", events(tally.events)),
    }
}

fn events(count: u64) -> String {
    format!("{} event{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

fn batch_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (1..=PUBLISH_BATCH_EVENTS_MAX).contains(&size) => Ok(size),
        _ => Err(format!("a batch holds 1 to {PUBLISH_BATCH_EVENTS_MAX} events")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::time::Duration;

    use clap::Parser;

    use super::responder::{Reply, Responder};
    use super::*;
    use crate::limits::PUBLISH_LINE_BYTES_MAX;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(responder: &Responder, more: &[&str]) -> Arguments {
        let url = responder.url();
        let line = ["publish", "--url", &url, "--key", "sk_test"].into_iter().chain(more.iter().copied());
        Line::try_parse_from(line).expect("arguments").arguments
    }

    fn publish_text(responder: &Responder, more: &[&str], text: &str) -> Result<Tally, Failure> {
        let input = Box::new(Cursor::new(text.to_owned().into_bytes()));
        publish(&arguments(responder, more), input, "trades.ndjson", &mut Progress::hidden())
    }

    fn event(number: u64) -> String {
        format!("{{\"type\":\"alert\",\"data\":{{\"n\":{number}}}}}\n")
    }

    #[test]
    fn a_file_goes_out_in_batches_over_one_connection() {
        let responder = Responder::accepting();
        let text: String = (1..=5).map(event).collect();
        let tally = publish_text(&responder, &["--batch", "2"], &text).expect("accepted");
        assert_eq!(tally, Tally { events: 5, duplicates: 0, last_seq: Some(5) });
        let requests = responder.requests();
        let bodies: Vec<&str> = requests.iter().map(|request| request.body.as_str()).collect();
        assert_eq!(bodies, [event(1) + &event(2), event(3) + &event(4), event(5)]);
        assert_eq!(responder.connections(), 1);
        for request in &requests {
            assert_eq!(request.line, "POST /api/events HTTP/1.1");
            assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
            assert_eq!(request.header("x-api-key"), Some("sk_test"));
        }
    }

    #[test]
    fn a_document_goes_out_as_one_request() {
        for text in [
            "[\n {\"type\":\"alert\",\"data\":{}},\n {\"type\":\"alert\",\"data\":{}}\n]\n",
            "{\n \"type\":\"alert\",\n \"data\":{}\n}",
        ] {
            let responder = Responder::accepting();
            publish_text(&responder, &["--batch", "1"], text).expect("accepted");
            let requests = responder.requests();
            assert_eq!(requests.len(), 1, "{text}");
            assert_eq!(requests[0].header("content-type"), Some("application/json"));
            assert_eq!(requests[0].body, text);
        }
    }

    #[test]
    fn a_refusal_names_the_files_own_line() {
        let refusal = r#"{"success":false,"error":{"code":"INVALID_EVENT","message":"must be long or short","line":2,"field":"data.side"}}"#;
        let responder = Responder::scripted(vec![Reply::accepted(2, 11), Reply::new(400, refusal)]);
        // Blank lines aren't sent: line 2 of the second batch is line 6 of the file.
        let text = format!("{}\n{}{}\n{}", event(1), event(2), event(3), event(4));
        let failure = publish_text(&responder, &["--batch", "2"], &text).expect_err("refused").to_string();
        assert_eq!(
            failure,
            "line 6 of trades.ndjson: the server refused field `data.side`: must be long or short (INVALID_EVENT); \
             accepted before: 2 events, up to seq 11"
        );
    }

    #[test]
    fn a_busy_server_is_asked_again_when_it_says() {
        let busy = |status| Reply::new(status, "{}").with_header("Retry-After: 1");
        let responder = Responder::scripted(vec![busy(503), busy(429), Reply::accepted(1, 7)]);
        let started = Instant::now();
        let tally = publish_text(&responder, &[], &event(1)).expect("accepted in the end");
        assert_eq!(tally, Tally { events: 1, duplicates: 0, last_seq: Some(7) });
        assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(responder.requests().len(), 3);
    }

    #[test]
    fn what_had_been_published_before_is_counted_by_itself() {
        let again = r#"{"accepted":2,"first_seq":3,"last_seq":9,"duplicates":1}"#;
        let responder = Responder::scripted(vec![Reply::accepted(2, 8), Reply::new(200, again)]);
        let text: String = (1..=4).map(event).collect();
        let tally = publish_text(&responder, &["--batch", "2"], &text).expect("accepted");
        assert_eq!(tally, Tally { events: 4, duplicates: 1, last_seq: Some(9) });
    }

    #[test]
    fn a_wrong_key_is_not_tried_twice() {
        let refusal = r#"{"success":false,"error":{"code":"UNAUTHORIZED","message":"unknown key"}}"#;
        let responder = Responder::scripted(vec![Reply::new(401, refusal)]);
        let failure = publish_text(&responder, &[], &event(1)).expect_err("refused").to_string();
        assert!(failure.contains("unknown key") && failure.contains("no event was accepted"), "{failure}");
        assert_eq!(responder.requests().len(), 1);
    }

    #[test]
    fn a_line_from_a_pipe_goes_out_before_the_next_one_comes() {
        let responder = Responder::accepting();
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let arguments = arguments(&responder, &[]);
        let publisher = std::thread::spawn(move || {
            publish(&arguments, Box::new(reader), "standard input", &mut Progress::hidden())
        });
        for number in 1..=2 {
            writer.write_all(event(number).as_bytes()).expect("a write");
            responder.wait_for(number as usize, Duration::from_secs(5));
        }
        drop(writer);
        let tally = publisher.join().expect("no panic").expect("accepted");
        assert_eq!(tally, Tally { events: 2, duplicates: 0, last_seq: Some(2) });
    }

    #[test]
    fn a_rate_spreads_events_over_time() {
        let responder = Responder::accepting();
        let text: String = (1..=6).map(event).collect();
        let started = Instant::now();
        publish_text(&responder, &["--rate", "20"], &text).expect("accepted");
        assert_eq!(responder.requests().len(), 6, "50 ms at 20 events a second hold one event");
        assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
    }

    #[test]
    fn a_connection_that_breaks_is_not_sent_into_again() {
        let responder = Responder::scripted(vec![Reply::accepted(1, 1), Reply::hang_up()]);
        let text: String = (1..=2).map(event).collect();
        let failure = publish_text(&responder, &["--batch", "1"], &text).expect_err("broken").to_string();
        assert!(failure.contains("not known whether") && failure.contains("up to seq 1"), "{failure}");
        assert_eq!(responder.requests().len(), 2);
    }

    #[test]
    fn an_input_that_breaks_off_tells_what_was_accepted() {
        let responder = Responder::accepting();
        let text = event(1) + &"x".repeat(PUBLISH_LINE_BYTES_MAX + 1);
        let failure = publish_text(&responder, &[], &text).expect_err("too long a line").to_string();
        assert!(failure.contains("line 2") && failure.contains("accepted before: 1 event,"), "{failure}");
    }

    #[test]
    fn an_empty_file_publishes_nothing() {
        let responder = Responder::accepting();
        assert_eq!(publish_text(&responder, &[], "\n \n").expect("nothing to do"), Tally::default());
        assert_eq!(responder.requests().len(), 0);
    }

    #[test]
    fn wrong_usage_is_told_before_anything_is_sent() {
        let parse = |more: &[&str]| Line::try_parse_from(["publish", "--key", "k"].iter().chain(more)).err();
        for wrong in [["--batch", "0"], ["--batch", "10001"], ["--rate", "0"], ["--rate", "fast"], ["--format", "xml"]]
        {
            assert!(parse(&wrong).is_some(), "{wrong:?}");
        }
        let responder = Responder::accepting();
        let mut arguments = arguments(&responder, &[]);
        for url in ["https://", "https://example.com/?a=b", "127.0.0.1:5001", "ftp://x", "http://", ""] {
            arguments.url = url.to_owned();
            let input = Box::new(Cursor::new(event(1).into_bytes()));
            let failure = publish(&arguments, input, "x", &mut Progress::hidden()).expect_err(url);
            assert!(matches!(failure, Failure::Usage(_)), "{url}: {failure}");
        }
    }
}
