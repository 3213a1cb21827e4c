//! The page's plots, each an SVG of its own.

use std::fmt::Write;

use super::super::report::{Report, SideReport, WindowReport};
use super::chart::{LEFT, RIGHT, Scale, TOP, WIDTH, escape, latency_grid, latency_scale, line};
use crate::figures::Span;
use crate::wording::{thousands, time};

const BOTTOM: f64 = 300.0;
const HEIGHT: f64 = 340.0;
/// The marks of the percentile axis.
const PERCENTILES: &[f64] = &[0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
/// Sides that have a colour; the ones after them share the last.
const COLOURS: usize = 4;

fn colour(side: usize) -> usize {
    side.min(COLOURS - 1)
}

/// Latency by percentile: the axis gives each halving of what is left the same room, so that the tail is seen.
pub fn by_percentile(report: &Report) -> String {
    let points = || report.sides.iter().flat_map(|side| &side.percentiles);
    let most = points().map(|point| point.latency_us).fold(0.0, f64::max);
    let least = points().map(|point| point.latency_us).fold(f64::INFINITY, f64::min);
    let finest = points().map(|point| point.quantile).filter(|quantile| *quantile < 1.0).fold(0.9, f64::max);
    let rarity = |quantile: f64| 1.0 / (1.0 - quantile.min(finest));
    let (x, y) = (Scale::logarithmic(1.0, rarity(finest), LEFT, RIGHT), latency_scale(least, most, BOTTOM));
    let mut svg = begin("Latency by percentile");
    latency_grid(&mut svg, &y);
    for quantile in PERCENTILES.iter().filter(|quantile| **quantile <= finest) {
        let at = x.at(rarity(*quantile));
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{BOTTOM}"/><text x="{at:.1}" y="{:.1}" text-anchor="middle">{} %</text>"#,
            BOTTOM + 20.0,
            format!("{:.3}", quantile * 100.0).trim_end_matches('0').trim_end_matches('.')
        );
    }
    for (number, side) in report.sides.iter().enumerate() {
        let points: Vec<_> =
            side.percentiles.iter().map(|point| (x.at(rarity(point.quantile)), y.at(point.latency_us))).collect();
        line(&mut svg, &format!("side-{}", colour(number)), &points);
    }
    end(svg)
}

/// p99 (and, thinner, p50) of each stretch of the load.
pub fn over_time(report: &Report) -> String {
    let windows = || report.sides.iter().flat_map(|side| &side.over_time);
    let most = windows().map(|window| window.p99_us).fold(0.0, f64::max);
    let least = windows().map(|window| window.p50_us).fold(f64::INFINITY, f64::min);
    let last = windows().map(|window| window.from_seconds).fold(0.0, f64::max);
    let (x, y) = (Scale::linear(0.0, last, LEFT, RIGHT), latency_scale(least, most, BOTTOM));
    let mut svg = begin("Latency over time");
    latency_grid(&mut svg, &y);
    for mark in x.marks() {
        let at = x.at(mark);
        let _ = write!(svg, r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{mark} s</text>"#, BOTTOM + 20.0);
    }
    for (number, side) in report.sides.iter().enumerate() {
        let through = |of: fn(&WindowReport) -> f64| -> Vec<(f64, f64)> {
            side.over_time.iter().map(|window| (x.at(window.from_seconds), y.at(of(window)))).collect()
        };
        line(&mut svg, &format!("thin side-{}", colour(number)), &through(|window| window.p50_us));
        line(&mut svg, &format!("side-{}", colour(number)), &through(|window| window.p99_us));
    }
    end(svg)
}

/// CPU time of each of a server's threads.
pub fn threads(side: &SideReport, number: usize) -> String {
    const ROW: f64 = 26.0;
    const NAMES: f64 = 170.0;
    let most = side.server_threads.iter().map(|thread| thread.cpu_seconds).fold(0.0, f64::max);
    let x = Scale::linear(0.0, most, NAMES, RIGHT - 70.0);
    let height = ROW * side.server_threads.len() as f64 + 8.0;
    let mut svg = frame(&format!("CPU time of the threads of {}", escape(&side.name)), height);
    for (row, thread) in side.server_threads.iter().enumerate() {
        let (top, end) = (ROW * row as f64 + 4.0, x.at(thread.cpu_seconds));
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text><rect class="fill-{}" x="{NAMES}" y="{top:.1}" width="{:.1}" height="16" rx="2"/><text x="{:.1}" y="{:.1}">{:.2} s</text>"#,
            NAMES - 10.0,
            top + 12.5,
            escape(&thread.name),
            colour(number),
            (end - NAMES).max(1.0),
            end + 8.0,
            top + 12.5,
            thread.cpu_seconds
        );
    }
    end(svg)
}

/// The ratios of the first side to the others: the median of the rounds, and from the least to the most.
pub fn ratios(report: &Report) -> String {
    const ROW: f64 = 28.0;
    const NAMES: f64 = 250.0;
    let rows: Vec<(String, usize, Span)> = (1..)
        .zip(&report.pairs)
        .flat_map(|(number, pair)| {
            let figures = [
                ("full fan-out", pair.full_fanout),
                ("latency p50", pair.p50),
                ("latency p99", pair.p99),
                ("CPU per delivery", pair.server_cpu_per_delivery),
            ];
            let row =
                move |(what, span): (&str, Option<Span>)| Some((format!("{what} ÷ {}", pair.versus), number, span?));
            figures.into_iter().filter_map(row)
        })
        .collect();
    let least = rows.iter().map(|(.., span)| span.min).fold(1.0, f64::min);
    let most = rows.iter().map(|(.., span)| span.max).fold(1.0, f64::max);
    let x = Scale::logarithmic(least / 1.05, most * 1.05, NAMES, RIGHT - 70.0);
    let height = ROW * rows.len() as f64 + 34.0;
    let mut svg = frame("Ratios", height);
    let bottom = ROW * rows.len() as f64 + 4.0;
    for mark in x.marks().into_iter().filter(|mark| (mark - 1.0).abs() > 0.05) {
        let at = x.at(mark);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{at:.1}" x2="{at:.1}" y1="4" y2="{bottom:.1}"/><text x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 18.0,
            format!("{mark:.2}").trim_end_matches('0').trim_end_matches('.')
        );
    }
    let one = x.at(1.0);
    let _ = write!(
        svg,
        r#"<line class="one" x1="{one:.1}" x2="{one:.1}" y1="4" y2="{bottom:.1}"/><text x="{one:.1}" y="{:.1}" text-anchor="middle">1: as fast</text>"#,
        bottom + 18.0
    );
    for (row, (name, number, span)) in rows.iter().enumerate() {
        let y = ROW * row as f64 + 18.0;
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text><line class="line side-{}" style="stroke-dasharray:none" x1="{:.1}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><circle class="fill-{}" cx="{:.1}" cy="{y:.1}" r="5"/><text class="name" x="{:.1}" y="{:.1}">{:.3}</text>"#,
            NAMES - 12.0,
            y + 4.0,
            escape(name),
            colour(*number),
            x.at(span.min),
            x.at(span.max),
            colour(*number),
            x.at(span.median),
            RIGHT - 56.0,
            y + 4.0,
            span.median
        );
    }
    end(svg)
}

/// Which line is whose.
pub fn legend(report: &Report) -> String {
    let mut html = r#"<div class="legend">"#.to_owned();
    for (number, side) in report.sides.iter().enumerate() {
        let (class, name) = (colour(number), escape(&side.name));
        let count = thousands(side.latency.count as f64);
        let _ = write!(
            html,
            r#"<span><i class="side-{class}"></i>{name}: {count} deliveries, p99 {}</span>"#,
            time(side.latency.p99_us)
        );
    }
    html + "</div>"
}

fn begin(what: &str) -> String {
    frame(what, HEIGHT)
}

fn frame(what: &str, height: f64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{what}">"#)
}

fn end(svg: String) -> String {
    svg + "</svg>"
}
