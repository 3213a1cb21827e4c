//! The percentile file of the HdrHistogram tools (`.hgrm`): what their plotters and `jHiccup` read. Values are milliseconds.
//!
//! ```text
//!        Value     Percentile TotalCount 1/(1-Percentile)
//!
//!        0.512 0.500000000000       5000           2.00
//! #[Mean    =        0.600, StdDeviation   =        0.100]
//! ```

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Lines for each halving of the distance to the maximum, as the tools have it.
const LINES_A_HALVING: u32 = 5;

/// The file of a histogram of nanoseconds.
pub fn percentile_file(histogram: &Histogram<u64>) -> String {
    let mut text = format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut seen = 0;
    for step in histogram.iter_quantiles(LINES_A_HALVING) {
        seen += step.count_since_last_iteration();
        let (value, quantile) = (ms(step.value_iterated_to()), step.quantile_iterated_to());
        let _ = write!(text, "{value:>12.6} {quantile:>14.12} {seen:>10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / 1e6, histogram.stdev() / 1e6);
    let _ = writeln!(text, "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]");
    let _ = writeln!(text, "#[Max     = {:>12.6}, Total count    = {:>12}]", ms(histogram.max()), histogram.len());
    let buckets = histogram.buckets();
    // The first bucket has them all, each further one the upper half of them.
    let sub_buckets = 2 * histogram.distinct_values() / (usize::from(buckets) + 1);
    let _ = writeln!(text, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]");
    text
}

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::latency_histogram;

    #[test]
    fn each_line_counts_what_lies_at_or_below_its_value_and_the_last_is_the_maximum() {
        let mut histogram = latency_histogram();
        (1..=1000).for_each(|step| histogram.record(step * 10_000).unwrap());
        let text = percentile_file(&histogram);
        let lines: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(lines.windows(2).all(|two| two[0][0] <= two[1][0] && two[0][1] <= two[1][1] && two[0][2] <= two[1][2]));
        let median = lines.iter().find(|line| line[1] == 0.5).expect("a line for the median");
        assert!((4.99..=5.01).contains(&median[0]) && (499.0..=501.0).contains(&median[2]), "{median:?}");
        let last = lines.last().expect("lines");
        assert!(
            (9.99..=10.01).contains(&last[0]) && last[1] == 1.0 && last[2] == 1000.0 && last.len() == 3,
            "{last:?}"
        );
        assert!(
            text.contains("Total count    =         1000]") && text.contains("SubBuckets     =         2048]"),
            "{text}"
        );
    }

    #[test]
    fn of_nothing_there_is_a_file_too() {
        assert!(percentile_file(&latency_histogram()).contains("Total count    =            0]"));
    }
}
