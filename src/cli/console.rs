//! Where a subcommand reads and writes: values to stdout, words to stderr, so that `$(stentor key create …)` is the key.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};

use super::Failure;

/// The process's three streams, or a test's.
pub(super) struct Console<'a> {
    pub input: &'a mut dyn Read,
    pub values: &'a mut dyn Write,
    pub words: &'a mut dyn Write,
}

impl Console<'_> {
    /// Runs something on the process's own streams.
    pub fn of_process<T>(run: impl FnOnce(&mut Console<'_>) -> T) -> T {
        run(&mut Console { input: &mut io::stdin(), values: &mut io::stdout(), words: &mut io::stderr() })
    }

    /// One line that a script may want.
    pub fn value(&mut self, value: impl Display) -> Result<(), Failure> {
        writeln!(self.values, "{value}").and_then(|()| self.values.flush()).map_err(unwritable)
    }

    /// Text for whoever reads on. One that stops (`stentor doctor | head`) has read enough.
    pub fn text(&mut self, text: &str) -> Result<(), Failure> {
        match self.values.write_all(text.as_bytes()).and_then(|()| self.values.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritable(error)),
            _ => Ok(()),
        }
    }

    /// One line for a person. Lost words are no failure: what was asked for is done.
    pub fn say(&mut self, words: impl Display) {
        let _ = writeln!(self.words, "{words}");
    }

    /// Aligned columns under a header, two blanks between them. The last column is as wide as it likes.
    pub fn table<const COLUMNS: usize>(
        &mut self,
        header: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) -> Result<(), Failure> {
        let rows: Vec<_> = rows.into_iter().collect();
        let widths = Self::widths(header, &rows);
        self.rows(widths, std::iter::once(header.map(str::to_owned)).chain(rows))
    }

    /// How wide the columns of a table are.
    pub fn widths<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
        std::array::from_fn(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([header[column].len()]).max().unwrap_or(0)
        })
    }

    /// Rows of a table whose columns are that wide.
    pub fn rows<const COLUMNS: usize>(
        &mut self,
        widths: [usize; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for row in rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        self.values.write_all(text.as_bytes()).and_then(|()| self.values.flush()).map_err(unwritable)
    }

    /// The input's lines with their numbers, without blanks around them and without empty ones; at most `bytes_max` in all.
    pub fn lines(&mut self, bytes_max: u64) -> Result<Vec<(usize, String)>, Failure> {
        let mut input = BufReader::new(self.input.take(bytes_max + 1));
        let (mut lines, mut line, mut bytes) = (Vec::new(), String::new(), 0);
        for number in 1.. {
            line.clear();
            bytes += input
                .read_line(&mut line)
                .map_err(|error| Failure::failed(format!("can't read standard input: {error}")))?
                as u64;
            if bytes > bytes_max {
                return Err(Failure::Usage(format!("standard input is longer than {bytes_max} bytes")));
            }
            if line.is_empty() {
                break;
            }
            if !line.trim().is_empty() {
                lines.push((number, line.trim().to_owned()));
            }
        }
        Ok(lines)
    }
}

fn unwritable(error: io::Error) -> Failure {
    Failure::failed(format!("can't write to standard output: {error}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a run printed, and how it ended.
    pub struct Printed {
        pub outcome: Result<(), Failure>,
        pub values: String,
        pub words: String,
    }

    /// Runs something with `input` on its standard input.
    pub fn with_input(input: &str, run: impl FnOnce(&mut Console<'_>) -> Result<(), Failure>) -> Printed {
        let (mut values, mut words) = (Vec::new(), Vec::new());
        let mut console = Console { input: &mut input.as_bytes(), values: &mut values, words: &mut words };
        let outcome = run(&mut console);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Printed { outcome, values: text(values), words: text(words) }
    }

    #[test]
    fn values_and_words_go_their_own_ways() {
        let printed = with_input("", |console| {
            console.say("made");
            console.value("key")
        });
        assert_eq!((printed.values.as_str(), printed.words.as_str()), ("key\n", "made\n"));
    }

    #[test]
    fn a_table_is_aligned_and_ends_no_line_in_blanks() {
        let rows = [["a".to_owned(), "long cell".to_owned()], ["longer".to_owned(), String::new()]];
        let printed = with_input("", |console| console.table(["NAME", "X"], rows));
        assert_eq!(printed.values, "NAME    X\na       long cell\nlonger\n");
    }

    #[test]
    fn lines_keep_their_numbers_and_lose_their_blanks() {
        let printed = with_input("a\r\n\n  b \nc", |console| {
            let lines = console.lines(100)?;
            assert_eq!(lines, [(1, "a".to_owned()), (3, "b".to_owned()), (4, "c".to_owned())]);
            Ok(())
        });
        printed.outcome.expect("read");
    }

    #[test]
    fn input_past_its_bound_is_wrong_usage() {
        with_input("four", |console| console.lines(4).map(drop)).outcome.expect("just fits");
        let printed = with_input("5 byt", |console| console.lines(4).map(drop));
        assert!(matches!(printed.outcome, Err(Failure::Usage(_))));
    }
}
