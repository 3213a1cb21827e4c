//! A set of CPU numbers, written as the kernel writes it: `0-3,6`.

use crate::limits::CPU_NUMBER_MAX;
use std::fmt;
use std::str::FromStr;

/// CPU numbers in rising order, each once, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

/// Why a text is no list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuListError {
    #[error("the list of CPUs is empty: write numbers and ranges, such as 0-3,6")]
    Empty,
    #[error("`{part}` is neither a CPU number nor a range: write numbers and ranges, such as 0-3,6")]
    Part { part: String },
    #[error("the range `{part}` runs backwards: write the lower CPU first")]
    Backwards { part: String },
    #[error("`{part}` goes past CPU {CPU_NUMBER_MAX}, the last one that Linux lets a thread be pinned to")]
    TooHigh { part: String },
}

impl CpuList {
    /// Sorts and removes duplicates. `None` where there is no CPU at all.
    pub fn of(cpus: impl IntoIterator<Item = usize>) -> Option<Self> {
        let mut cpus: Vec<usize> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        (!cpus.is_empty()).then_some(Self(cpus))
    }

    pub fn as_slice(&self) -> &[usize] {
        &self.0
    }

    pub fn contains(&self, cpu: usize) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }

    /// How many CPUs; never 0.
    #[expect(clippy::len_without_is_empty, reason = "a list of CPUs is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn last(&self) -> usize {
        *self.0.last().expect("a list of CPUs is never empty")
    }
}

impl FromStr for CpuList {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, CpuListError> {
        if text.trim().is_empty() {
            return Err(CpuListError::Empty);
        }
        let mut cpus = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first, part)?, number(last, part)?);
            if first > last {
                return Err(CpuListError::Backwards { part: part.to_owned() });
            }
            // Every part adds at most 1,024 numbers, so the text's own length bounds the memory.
            cpus.extend(first..=last);
        }
        Self::of(cpus).ok_or(CpuListError::Empty)
    }
}

fn number(text: &str, part: &str) -> Result<usize, CpuListError> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CpuListError::Part { part: part.to_owned() });
    }
    // Digits alone fail to parse only by overflow, which is too high as well.
    match text.parse() {
        Ok(number) if number <= CPU_NUMBER_MAX => Ok(number),
        _ => Err(CpuListError::TooHigh { part: part.to_owned() }),
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match run {
                [one] => write!(f, "{one}")?,
                [first, .., last] => write!(f, "{first}-{last}")?,
                [] => unreachable!("chunk_by yields no empty run"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for (text, cpus, written) in [
            ("0", vec![0], "0"),
            ("0-3,6", vec![0, 1, 2, 3, 6], "0-3,6"),
            (" 6, 0 - 3 ", vec![0, 1, 2, 3, 6], "0-3,6"),
            ("5,5,4-6", vec![4, 5, 6], "4-6"),
            ("1023", vec![1023], "1023"),
        ] {
            let list: CpuList = text.parse().expect(text);
            assert_eq!(list.as_slice(), cpus, "{text}");
            assert_eq!(list.to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused_by_its_part() {
        assert_eq!("".parse::<CpuList>(), Err(CpuListError::Empty));
        assert_eq!(" ".parse::<CpuList>(), Err(CpuListError::Empty));
        for text in ["a", "1,,2", "1-", "-1", "1-2-3", "0x1", "+1"] {
            assert!(matches!(text.parse::<CpuList>(), Err(CpuListError::Part { .. })), "{text}");
        }
        assert!(matches!("3-1".parse::<CpuList>(), Err(CpuListError::Backwards { .. })));
    }

    #[test]
    fn a_huge_range_is_refused_before_it_is_built() {
        for text in ["0-4294967295", "0-99999999999999999999999999", "1024"] {
            assert!(matches!(text.parse::<CpuList>(), Err(CpuListError::TooHigh { .. })), "{text}");
        }
    }
}
