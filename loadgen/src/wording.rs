//! Figures as a person reads them.

use crate::figures::Span;

pub fn ratio_text(Span { median, min, max }: Span) -> String {
    format!("{median:.3}  ({min:.3} … {max:.3})")
}

pub fn time(us: f64) -> String {
    match us {
        short if short < 1e3 => format!("{short:.1} µs"),
        middle if middle < 1e6 => format!("{:.2} ms", middle / 1e3),
        long => format!("{:.2} s", long / 1e6),
    }
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// A whole number with its thousands set apart.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_readable_units() {
        assert_eq!(
            (time(12.34), time(1234.0), time(2_500_000.0)),
            ("12.3 µs".into(), "1.23 ms".into(), "2.50 s".into())
        );
        assert_eq!(
            (thousands(0.0), thousands(999.0), thousands(5_500_000.0)),
            ("0".into(), "999".into(), "5,500,000".into())
        );
    }
}
