//! Speed and recall over the pass rate of filters, as a picture: SVG with text.
//!
//! Invariants:
//! * The pass rate and the speed have logarithmic axes, from one power of ten to another. Recall is drawn from 0.9 on,
//!   or from 0 where a filter has less.
//! * A filter that nothing passes has no place on a logarithmic axis, and is left out.

use std::fmt::Write as _;

use super::filters::FilterRow;
use super::plot::{at, text};
use crate::output;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 92.0;
const TOP: f64 = 104.0;
const BOTTOM: f64 = HEIGHT - 64.0;
const INK: &str = "#333B45";
const FAINT: &str = "#E3E7EB";
/// Told apart by people who do not tell red from green.
const SPEED: &str = "#0072B2";
const RECALL: &str = "#D55E00";
/// The least recall that is drawn where every filter has it.
const HIGH_RECALL: f64 = 0.9;

/// A logarithmic axis between powers of ten.
struct PowerAxis {
    first: i32,
    last: i32,
}

impl PowerAxis {
    fn around(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let first = if least.is_finite() { least.log10().floor() as i32 } else { 0 };
        Self { first, last: (most.log10().ceil() as i32).max(first + 1) }
    }

    /// How far a value is from the first mark to the last.
    fn share(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    fn marks(&self) -> impl Iterator<Item = f64> + use<> {
        (self.first..=self.last).map(|power| 10f64.powi(power))
    }
}

fn across(share: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * share
}

fn up(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

/// The picture; `about` says what was measured, on what.
pub fn drawing(about: &str, k: usize, rows: &[FilterRow]) -> String {
    let mut drawn: Vec<&FilterRow> = rows.iter().filter(|row| row.pass_rate > 0.0 && row.speed.qps > 0.0).collect();
    drawn.sort_by(|a, b| a.pass_rate.total_cmp(&b.pass_rate));
    let rates = PowerAxis::around(drawn.iter().map(|row| 100.0 * row.pass_rate));
    let speeds = PowerAxis::around(drawn.iter().map(|row| row.speed.qps));
    let least = if drawn.iter().all(|row| row.recall >= HIGH_RECALL) { HIGH_RECALL } else { 0.0 };
    let recall_share = |recall: f64| (recall - least) / (1.0 - least);
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#FFFFFF\"/>\n"
    );
    text(
        &mut svg,
        at(24.0, 34.0),
        20.0,
        "start",
        INK,
        "Filtered searches over the share of items that pass, one thread",
    );
    text(&mut svg, at(24.0, 58.0), 14.0, "start", INK, about);
    text(&mut svg, at(LEFT, 88.0), 15.0, "start", SPEED, "queries per second (left)");
    text(&mut svg, at(RIGHT, 88.0), 15.0, "end", RECALL, &format!("recall@{k} (right)"));
    for rate in rates.marks() {
        let x = across(rates.share(rate));
        let _ = writeln!(svg, "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{BOTTOM}\" stroke=\"{FAINT}\"/>");
        text(&mut svg, at(x, BOTTOM + 21.0), 13.0, "middle", INK, &format!("{rate} %"));
    }
    for speed in speeds.marks() {
        let y = up(speeds.share(speed));
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"{FAINT}\"/>");
        text(&mut svg, at(LEFT - 9.0, y + 4.5), 13.0, "end", SPEED, &output::count(speed as u64));
    }
    for step in 0..=5 {
        let share = f64::from(step) / 5.0;
        let recall = least + (1.0 - least) * share;
        text(&mut svg, at(RIGHT + 9.0, up(share) + 4.5), 13.0, "start", RECALL, &format!("{recall:.2}"));
    }
    text(&mut svg, at(f64::midpoint(LEFT, RIGHT), HEIGHT - 16.0), 15.0, "middle", INK, "items that pass the filter");
    let x = |row: &FilterRow| across(rates.share(100.0 * row.pass_rate));
    curve(&mut svg, SPEED, drawn.iter().map(|row| (x(row), up(speeds.share(row.speed.qps)))));
    curve(&mut svg, RECALL, drawn.iter().map(|row| (x(row), up(recall_share(row.recall)))));
    svg + "</svg>\n"
}

/// A line through the points, and a mark at each.
fn curve(svg: &mut String, colour: &str, points: impl Iterator<Item = (f64, f64)> + Clone) {
    let line: Vec<String> = points.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\" points=\"{}\"/>",
        line.join(" ")
    );
    for (x, y) in points {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::timing::Speed;

    #[test]
    fn every_filter_that_something_passes_has_two_points() {
        let row = |pass_rate: f64, qps: f64, recall: f64| FilterRow {
            filter: None,
            matches: 1,
            pass_rate,
            plan: "flat".into(),
            recall,
            speed: Speed { qps, ..Speed::default() },
            ratio: 1.0,
        };
        let svg = drawing("a < b", 10, &[row(1.0, 9_000.0, 1.0), row(0.02, 800.0, 0.97), row(0.0, 50.0, 1.0)]);
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (4, 2));
        for part in ["a &lt; b", "recall@10", ">1 %<", ">100 %<", ">10,000<", ">0.90<", "</svg>\n"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(drawing("", 1, &[row(0.5, 10.0, 0.4)]).contains(">0.00<"));
        assert!(!drawing("", 1, &[]).contains("NaN"));
    }
}
