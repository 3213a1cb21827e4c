//! The ground of a plot: a frame, scales, and axes whose marks fall on round numbers.

use std::fmt::Write;

use crate::wording::time;

pub const WIDTH: f64 = 960.0;
pub const LEFT: f64 = 68.0;
pub const RIGHT: f64 = WIDTH - 16.0;
pub const TOP: f64 = 12.0;

/// From figures to places.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    logarithmic: bool,
}

impl Scale {
    pub fn linear(from: f64, to: f64, start: f64, end: f64) -> Self {
        // What has no extent is drawn in the middle of some.
        let to = if to > from { to } else { from + 1.0 };
        Self { from, to, start, end, logarithmic: false }
    }

    pub fn logarithmic(from: f64, to: f64, start: f64, end: f64) -> Self {
        let from = from.max(1e-9);
        let to = if to > from { to } else { from * 10.0 };
        Self { from, to, start, end, logarithmic: true }
    }

    pub fn at(&self, value: f64) -> f64 {
        let share = match self.logarithmic {
            true => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        };
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Round numbers inside the scale, some five of them.
    pub fn marks(&self) -> Vec<f64> {
        if self.logarithmic && self.to / self.from >= 20.0 {
            let (first, last) = (self.from.log10().ceil() as i32, self.to.log10().floor() as i32);
            return (first..=last).map(|power| 10f64.powi(power)).collect();
        }
        let step = round_step((self.to - self.from) / 5.0);
        let first = (self.from / step).ceil() as i64;
        (first..).map(|number| number as f64 * step).take_while(|mark| *mark <= self.to * (1.0 + 1e-9)).collect()
    }
}

/// 1, 2 or 5 times a power of ten, at or above `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= least * 0.999).unwrap_or(least)
}

/// A scale of latencies (in microseconds) that shows the small ones beside the large: logarithmic where they lie far apart.
pub fn latency_scale(least: f64, most: f64, bottom: f64) -> Scale {
    match most > 30.0 * least.max(1e-3) {
        true => Scale::logarithmic(least.max(1.0) * 0.8, most * 1.1, bottom, TOP),
        false => Scale::linear(0.0, most * 1.08, bottom, TOP),
    }
}

/// Horizontal lines with their latencies beside them.
pub fn latency_grid(svg: &mut String, scale: &Scale) {
    for mark in scale.marks() {
        let y = scale.at(mark);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            y + 4.0,
            if mark == 0.0 { "0".to_owned() } else { short(&time(mark)) }
        );
    }
}

/// `10.00 ms` as `10 ms`: marks are round.
fn short(text: &str) -> String {
    let Some((number, unit)) = text.split_once(' ') else { return text.to_owned() };
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

/// A line through points, as a path.
pub fn line(svg: &mut String, class: &str, points: &[(f64, f64)]) {
    let Some(((x, y), rest)) = points.split_first() else { return };
    let _ = write!(svg, r#"<path class="line {class}" d="M{x:.1} {y:.1}"#);
    rest.iter().for_each(|(x, y)| _ = write!(svg, "L{x:.1} {y:.1}"));
    // One point alone is a dot.
    svg.push_str(if rest.is_empty() { "h0.1\"/>" } else { "\"/>" });
}

/// Text as it stands between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_inside() {
        assert_eq!(Scale::linear(0.0, 23.0, 0.0, 1.0).marks(), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(Scale::linear(0.0, 1.0, 0.0, 1.0).marks(), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(Scale::logarithmic(3.0, 5_000.0, 0.0, 1.0).marks(), [10.0, 100.0, 1_000.0]);
        let narrow = Scale::logarithmic(95.0, 105.0, 0.0, 1.0).marks();
        assert!(narrow.len() >= 3 && narrow.iter().all(|mark| (95.0..=105.0).contains(mark)), "{narrow:?}");
    }

    #[test]
    fn places_stay_inside_the_frame() {
        let scale = Scale::logarithmic(1.0, 1_000.0, 100.0, 0.0);
        assert_eq!((scale.at(1.0), scale.at(1_000.0), scale.at(0.0), scale.at(1e9)), (100.0, 0.0, 100.0, 0.0));
        for same in [Scale::linear(5.0, 5.0, 0.0, 1.0), Scale::logarithmic(5.0, 5.0, 0.0, 1.0)] {
            assert!(same.at(5.0).is_finite() && same.marks().len() < 20);
        }
    }

    #[test]
    fn whatever_a_server_is_called_the_page_stays_whole() {
        assert_eq!(escape(r#"<a b="c">&"#), "&lt;a b=&quot;c&quot;&gt;&amp;");
    }
}
