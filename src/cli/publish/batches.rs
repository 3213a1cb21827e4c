//! Input cut into requests: whole lines, collected until a batch is full or its first line has waited long enough.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use super::Format;
use crate::limits::{
    PUBLISH_BATCH_BYTES_MAX, PUBLISH_BATCH_HOLD_MS_MAX, PUBLISH_DOCUMENT_BYTES_MAX, PUBLISH_LINE_BYTES_MAX,
    PUBLISH_LINES_AHEAD_MAX,
};

/// One request's worth of events.
#[derive(Debug, Default)]
pub struct Batch {
    pub body: Vec<u8>,
    pub format: BatchFormat,
    /// How many bytes of the input it covers.
    pub input_bytes: u64,
    /// NDJSON: for each line of the body, its number in the input (blank lines aren't sent).
    lines: Vec<u64>,
}

/// Which of the server's two parsers the body is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchFormat {
    #[default]
    Ndjson,
    Json,
}

/// Why the input ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("reading failed: {0}")]
    Read(#[from] io::Error),
    #[error(
        "line {line} is longer than {PUBLISH_LINE_BYTES_MAX} bytes: write one JSON object a line, of 64 KiB at most"
    )]
    LineTooLong { line: u64 },
    #[error(
        "the JSON document is larger than {PUBLISH_DOCUMENT_BYTES_MAX} bytes: write NDJSON, which is sent in batches"
    )]
    DocumentTooLarge,
    #[error("this is neither NDJSON nor one JSON document: {0}")]
    NoDocument(serde_json::Error),
}

/// Batches in the order of the input.
pub struct Batches {
    pieces: Receiver<Result<Piece, InputError>>,
    events_max: usize,
    /// The line that did not fit into the batch before.
    held: Option<Piece>,
    /// What ended the input, told after everything before it has been handed out.
    failed: Option<InputError>,
}

struct Piece {
    /// Counted from 1; of a document, its first line.
    line: u64,
    bytes: Vec<u8>,
    format: BatchFormat,
    input_bytes: u64,
    came: Instant,
}

impl Batch {
    /// How many events it holds; a document counts as one, however many its array has.
    pub fn events(&self) -> usize {
        self.lines.len().max(1)
    }

    /// The input's line number for a line (from 1) of the body, as a refusal names it.
    pub fn source_line(&self, body_line: u64) -> Option<u64> {
        let index = usize::try_from(body_line.checked_sub(1)?).ok()?;
        self.lines.get(index).copied()
    }

    /// The first and last line of the input that are in it; `None` for a document.
    pub fn source_lines(&self) -> Option<(u64, u64)> {
        Some((*self.lines.first()?, *self.lines.last()?))
    }

    fn takes(&self, piece: &Piece) -> bool {
        self.body.is_empty()
            || (piece.format == BatchFormat::Ndjson && self.body.len() + piece.bytes.len() < PUBLISH_BATCH_BYTES_MAX)
    }

    fn push(&mut self, piece: Piece) {
        self.format = piece.format;
        self.input_bytes += piece.input_bytes;
        self.body.extend_from_slice(&piece.bytes);
        if piece.format == BatchFormat::Ndjson {
            self.body.push(b'\n');
            self.lines.push(piece.line);
        }
    }
}

impl Batches {
    /// Reads `input` on a thread of its own, because a pipe may block for ever while lines wait to be sent.
    pub fn read(input: Box<dyn Read + Send>, format: Option<Format>, events_max: usize) -> Self {
        let (sender, pieces) = sync_channel(PUBLISH_LINES_AHEAD_MAX);
        thread::spawn(move || {
            if let Err(error) = read_pieces(BufReader::with_capacity(64 << 10, input), format, &sender) {
                // Where the receiver is gone, nobody is left to be told.
                let _ = sender.send(Err(error));
            }
        });
        Self { pieces, events_max, held: None, failed: None }
    }

    /// The next batch, once it is full, its first line has waited long enough, or the input has ended.
    pub fn next(&mut self) -> Result<Option<Batch>, InputError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let first = match self.held.take() {
            Some(piece) => piece,
            None => match self.pieces.recv() {
                Ok(piece) => piece?,
                Err(_) => return Ok(None),
            },
        };
        let deadline = first.came + Duration::from_millis(PUBLISH_BATCH_HOLD_MS_MAX);
        let mut batch = Batch::default();
        batch.push(first);
        while batch.format == BatchFormat::Ndjson && batch.lines.len() < self.events_max {
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Ok(piece)) if batch.takes(&piece) => batch.push(piece),
                Ok(Ok(piece)) => {
                    self.held = Some(piece);
                    break;
                }
                Ok(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(Some(batch))
    }
}

/// Sends line after line, or the whole input as one document. Ends early where nobody receives any more.
fn read_pieces(
    mut input: impl BufRead,
    format: Option<Format>,
    pieces: &SyncSender<Result<Piece, InputError>>,
) -> Result<(), InputError> {
    let mut format = format;
    let mut skipped_bytes = 0;
    for line in 1.. {
        let mut bytes = Vec::new();
        // A document may be one long line, so the bound on lines holds only once the format is NDJSON.
        let bytes_max =
            if format == Some(Format::Ndjson) { PUBLISH_LINE_BYTES_MAX } else { PUBLISH_DOCUMENT_BYTES_MAX };
        let input_bytes = (&mut input).take(bytes_max as u64 + 1).read_until(b'\n', &mut bytes)? as u64;
        if input_bytes == 0 {
            return Ok(());
        }
        let text = bytes.trim_ascii();
        if text.is_empty() && bytes.len() <= bytes_max {
            skipped_bytes += input_bytes;
            continue;
        }
        let format = *format.get_or_insert_with(|| format_of(text));
        let piece = match format {
            Format::Json => document(line, bytes, &mut input)?,
            Format::Ndjson if bytes.len() > PUBLISH_LINE_BYTES_MAX => return Err(InputError::LineTooLong { line }),
            Format::Ndjson => {
                Piece { line, bytes: text.to_vec(), format: BatchFormat::Ndjson, input_bytes, came: Instant::now() }
            }
        };
        let piece = Piece { input_bytes: piece.input_bytes + std::mem::take(&mut skipped_bytes), ..piece };
        if pieces.send(Ok(piece)).is_err() || format == Format::Json {
            return Ok(());
        }
    }
    Ok(())
}

/// The rest of the input after its first line, in one piece.
fn document(line: u64, mut bytes: Vec<u8>, input: &mut impl BufRead) -> Result<Piece, InputError> {
    let room = (PUBLISH_DOCUMENT_BYTES_MAX + 1).saturating_sub(bytes.len());
    input.take(room as u64).read_to_end(&mut bytes)?;
    if bytes.len() > PUBLISH_DOCUMENT_BYTES_MAX {
        return Err(InputError::DocumentTooLarge);
    }
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(InputError::NoDocument)?;
    let input_bytes = bytes.len() as u64;
    Ok(Piece { line, bytes, format: BatchFormat::Json, input_bytes, came: Instant::now() })
}

/// What the first line that isn't blank gives away: an array, or an object that goes on in the next line, is a
/// document. Whatever else it is goes to the server as NDJSON, which names the line in its refusal.
fn format_of(first_line: &[u8]) -> Format {
    match first_line.first() {
        Some(b'[') => Format::Json,
        Some(b'{') if serde_json::from_slice::<IgnoredAny>(first_line).is_err_and(|error| error.is_eof()) => {
            Format::Json
        }
        _ => Format::Ndjson,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn batches(text: &str, format: Option<Format>, events_max: usize) -> Batches {
        Batches::read(Box::new(Cursor::new(text.to_owned().into_bytes())), format, events_max)
    }

    fn next(batches: &mut Batches) -> Batch {
        batches.next().expect("readable").expect("a batch")
    }

    #[test]
    fn lines_keep_their_numbers_across_blank_ones() {
        let text = "\n{\"a\":1}\r\n\n  {\"a\":2}  \n\n{\"a\":3}";
        let mut batches = batches(text, None, 2);
        let first = next(&mut batches);
        assert_eq!(first.body, b"{\"a\":1}\n{\"a\":2}\n");
        assert_eq!([1, 2, 3, 0].map(|line| first.source_line(line)), [Some(2), Some(4), None, None]);
        assert_eq!(first.source_lines(), Some((2, 4)));
        let second = next(&mut batches);
        assert_eq!((second.body.as_slice(), second.source_line(1)), (b"{\"a\":3}\n".as_slice(), Some(6)));
        assert!(batches.next().expect("readable").is_none());
        assert_eq!(first.input_bytes + second.input_bytes, text.len() as u64, "the progress bar reaches its end");
    }

    #[test]
    fn the_first_line_gives_the_format_away() {
        for (text, format) in [
            ("[{\"a\":1}]", BatchFormat::Json),
            ("[\n]", BatchFormat::Json),
            ("{\"a\":\n1}", BatchFormat::Json),
            ("\n\n{\n}\n", BatchFormat::Json),
            ("{\"a\":1}", BatchFormat::Ndjson),
            ("{\"a\":1}\n{\"a\":2}", BatchFormat::Ndjson),
            ("nonsense", BatchFormat::Ndjson),
            ("{\"a\":1} trailing", BatchFormat::Ndjson),
        ] {
            assert_eq!(next(&mut batches(text, None, 500)).format, format, "{text}");
        }
        assert_eq!(next(&mut batches("{\"a\":1}", Some(Format::Json), 500)).format, BatchFormat::Json);
        assert_eq!(next(&mut batches("[1]", Some(Format::Ndjson), 500)).format, BatchFormat::Ndjson);
    }

    #[test]
    fn a_batch_closes_before_it_is_too_large() {
        let line = format!("\"{}\"\n", "x".repeat(100_000));
        let mut batches = batches(&line.repeat(25), Some(Format::Ndjson), 500);
        let mut lines = 0;
        while let Some(batch) = batches.next().expect("readable") {
            assert!(batch.body.len() <= PUBLISH_BATCH_BYTES_MAX, "{}", batch.body.len());
            assert_eq!(batch.source_line(1), Some(lines + 1));
            lines += batch.events() as u64;
        }
        assert_eq!(lines, 25);
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read_whole() {
        let mut lines = batches(&format!("{{}}\n{}", "x".repeat(PUBLISH_LINE_BYTES_MAX + 1)), None, 500);
        assert_eq!(next(&mut lines).body, b"{}\n");
        assert!(matches!(lines.next(), Err(InputError::LineTooLong { line: 2 })));

        let endless = Box::new(Cursor::new(b"[".to_vec()).chain(io::repeat(b' ')));
        assert!(matches!(Batches::read(endless, None, 500).next(), Err(InputError::DocumentTooLarge)));
        let endless = Box::new(io::repeat(b'x'));
        assert!(matches!(Batches::read(endless, None, 500).next(), Err(InputError::LineTooLong { line: 1 })));
        let endless = Box::new(io::repeat(b' '));
        assert!(matches!(Batches::read(endless, None, 500).next(), Err(InputError::LineTooLong { line: 1 })));
    }

    #[test]
    fn half_a_document_is_refused_with_its_place() {
        let error = batches("{\n \"a\": 1,\n", None, 500).next().expect_err("half a document").to_string();
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn a_lone_line_waits_no_longer_than_it_should() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut batches = Batches::read(Box::new(reader), None, 500);
        writer.write_all(b"{\"a\":1}\n").expect("a write");
        let started = Instant::now();
        assert_eq!(next(&mut batches).events(), 1);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        drop(writer);
    }
}
