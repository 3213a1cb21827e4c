//! What has changed from the beginning of a soak to its end. Pure: figures over time in, drift and verdict out.

use serde::Serialize;

use crate::latency::median;

/// How one figure went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The median of the first tenth of the samples, and of the last.
    pub first: f64,
    pub last: f64,
    /// The slope of the straight line that is nearest to all samples (least squares).
    pub per_hour: f64,
}

/// By how much a figure may grow from the first tenth to the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// 0.05: by a twentieth.
    Share(f64),
    Count(f64),
}

impl Drift {
    /// Of (seconds, figure), in order. `None` of less than two.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 2 {
            return None;
        }
        let tenth = (points.len() / 10).max(1);
        let middle = |points: &[(f64, f64)]| median(&points.iter().map(|(_, figure)| *figure).collect::<Vec<_>>());
        Some(Self {
            first: middle(&points[..tenth])?,
            last: middle(&points[points.len() - tenth..])?,
            per_hour: slope(points)? * 3600.0,
        })
    }

    pub fn growth(&self) -> f64 {
        self.last - self.first
    }

    /// 0.05: the last is a twentieth above the first. `None` where that was nothing.
    pub fn growth_share(&self) -> Option<f64> {
        (self.first > 0.0).then(|| self.last / self.first - 1.0)
    }

    pub fn is_within(&self, bound: Bound) -> bool {
        match bound {
            Bound::Share(most) => self.last <= self.first * (1.0 + most),
            Bound::Count(most) => self.growth() <= most,
        }
    }
}

/// The slope of the line that is nearest to all points by least squares, in figures per second. `None` where all are at one time.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    // Around the means: the squares of hours in seconds are large beside the differences between them.
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut with, mut own) = (0.0, 0.0);
    for (x, y) in points {
        with += (x - mean_x) * (y - mean_y);
        own += (x - mean_x) * (x - mean_x);
    }
    (own > 0.0).then(|| with / own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(samples: u32, figure: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (1..=samples).map(|sample| f64::from(sample) * 10.0).map(|seconds| (seconds, figure(seconds))).collect()
    }

    #[test]
    fn a_straight_line_has_its_own_slope() {
        let drift = Drift::of(&line(2880, |seconds| 1e8 + seconds * 100.0)).unwrap();
        assert!((drift.per_hour - 360_000.0).abs() < 1e-3, "{drift:?}");
        let falling = Drift::of(&line(100, |seconds| 5.0 - seconds / 3600.0)).unwrap();
        assert!((falling.per_hour + 1.0).abs() < 1e-9, "{falling:?}");
        let level = Drift::of(&line(100, |_| 40.0)).unwrap();
        assert_eq!(level, Drift { first: 40.0, last: 40.0, per_hour: 0.0 });
    }

    #[test]
    fn the_slope_is_the_one_with_the_least_squares() {
        // By hand: means 2 and 8/3, so (1·5/3 + 0 + 1·10/3) / 2 = 2.5.
        assert_eq!(slope(&[(1.0, 1.0), (2.0, 1.0), (3.0, 6.0)]), Some(2.5));
        assert_eq!(slope(&[(1.0, 1.0), (1.0, 6.0)]), None);
    }

    #[test]
    fn tenths_are_compared_by_their_medians_so_that_one_odd_sample_does_not_tell() {
        let mut points = line(100, |_| 10.0);
        points[3].1 = 1000.0;
        points[97].1 = 5000.0;
        let drift = Drift::of(&points).unwrap();
        assert_eq!((drift.first, drift.last), (10.0, 10.0));
        for point in &mut points[90..] {
            point.1 = 11.0;
        }
        let drift = Drift::of(&points).unwrap();
        assert_eq!((drift.first, drift.last, drift.growth()), (10.0, 11.0, 1.0));
    }

    #[test]
    fn few_samples_are_compared_one_with_one_and_a_single_one_with_nothing() {
        let drift = Drift::of(&[(1.0, 3.0), (2.0, 9.0), (3.0, 6.0)]).unwrap();
        assert_eq!((drift.first, drift.last), (3.0, 6.0));
        assert_eq!((Drift::of(&[]), Drift::of(&[(1.0, 3.0)])), (None, None));
    }

    #[test]
    fn a_bound_is_kept_up_to_itself() {
        let drift = |first, last| Drift { first, last, per_hour: 0.0 };
        assert!(drift(100.0, 104.9).is_within(Bound::Share(0.05)) && drift(100.0, 50.0).is_within(Bound::Share(0.05)));
        assert!(!drift(100.0, 105.1).is_within(Bound::Share(0.05)));
        assert!(drift(90.0, 90.0).is_within(Bound::Count(0.0)) && !drift(90.0, 91.0).is_within(Bound::Count(0.0)));
        assert!(!drift(0.0, 1.0).is_within(Bound::Share(0.5)), "anything is more than nothing");
        assert_eq!((drift(100.0, 150.0).growth_share(), drift(0.0, 1.0).growth_share()), (Some(0.5), None));
    }
}
