//! The curve of speed over recall as a picture: SVG with text, which needs no fonts here.
//!
//! Invariants:
//! * The axes begin and end at the round numbers around the data. The speed has a logarithmic axis.
//! * Each point carries its `ef_search`. No label covers another label, a point or a curve where one of a few places
//!   around its point is free.
//! * Every text lies inside the picture, by an estimate of its width that is wider than usual fonts.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use crate::output;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 40.0;
const BOTTOM: f64 = HEIGHT - 64.0;
const INK: &str = "#333B45";
const FAINT: &str = "#E3E7EB";
/// Told apart by people who do not tell red from green.
const COLOURS: [&str; 2] = ["#0072B2", "#D55E00"];
/// Width of a character, as a share of the height of its font.
const CHARACTER: f64 = 0.6;
const LABEL_FONT: f64 = 12.0;

/// What was measured at one `ef_search`.
#[derive(Clone, Debug)]
pub struct PlotPoint {
    pub recall: f64,
    pub qps: f64,
    /// The `ef_search`, as the label says it.
    pub ef: String,
}

/// One engine's curve, by rising ef.
pub struct Series {
    pub name: String,
    pub points: Vec<PlotPoint>,
}

impl Series {
    /// The points with a speed of at least one query a second, where the axis begins.
    fn drawn(&self) -> impl Iterator<Item = &PlotPoint> + Clone {
        self.points.iter().filter(|point| point.qps >= 1.0)
    }
}

/// Draws the curves into the file `path`; `about` says what was measured, on what.
pub fn draw(path: &Path, about: &[String], k: usize, series: &[Series]) -> Result<()> {
    std::fs::write(path, drawing(about, k, series)).with_context(|| format!("cannot write {}", path.display()))
}

/// The picture as text.
pub fn drawing(about: &[String], k: usize, series: &[Series]) -> String {
    let heading: Vec<String> = about.iter().flat_map(|text| wrapped(text, WIDTH - 48.0, 14.0)).collect();
    let top = 92.0 + 19.0 * heading.len() as f64;
    let axes = Axes::around(series, top);
    let mut svg = format!(
        "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\" \
         font-family=\"sans-serif\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#FFFFFF\"/>\n"
    );
    text(&mut svg, at(24.0, 34.0), 20.0, "start", INK, &format!("Speed over recall@{k}, one thread"));
    for (number, line) in heading.iter().enumerate() {
        text(&mut svg, at(24.0, 58.0 + 19.0 * number as f64), 14.0, "start", INK, line);
    }
    legend(&mut svg, top - 18.0, series);
    axes.draw(&mut svg, k);
    let mut taken: Vec<Area> = Vec::new();
    for point in series.iter().flat_map(|series| axes.places(series)) {
        taken.push(Area::around(point, 5.0));
    }
    for series in series {
        taken.extend(axes.places(series).windows(2).flat_map(|ends| along(ends[0], ends[1])));
    }
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let places = axes.places(series);
        let line: Vec<String> = places.iter().map(|Position { x, y }| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\" points=\"{}\"/>",
            line.join(" ")
        );
        for (&Position { x, y }, point) in places.iter().zip(series.drawn()) {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
            let area = free_area(at(x, y), &point.ef, axes.top, &taken);
            text(&mut svg, at(area.left, area.bottom - 2.0), LABEL_FONT, "start", colour, &point.ef);
            taken.push(area);
        }
    }
    svg + "</svg>\n"
}

/// Names of the curves with their colours, and what the numbers at points are.
fn legend(svg: &mut String, y: f64, series: &[Series]) {
    let mut x = 30.0;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\"/>", y - 5.0);
        text(svg, at(x + 11.0, y), 15.0, "start", colour, &series.name);
        x += 40.0 + width(&series.name, 15.0);
    }
    text(svg, at(x, y), 13.0, "start", INK, "The number at a point is its ef_search.");
}

pub fn text(svg: &mut String, at: Position, font: f64, anchor: &str, colour: &str, words: &str) {
    let Position { x, y } = at;
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{font}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{words}</text>"
    );
}

fn width(words: &str, font: f64) -> f64 {
    words.chars().count() as f64 * font * CHARACTER
}

/// The words in lines that are no wider than `room`; a single word may be.
fn wrapped(words: &str, room: f64, font: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            word.clone_into(line);
        } else if width(line, font) + width(word, font) + font <= room {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A point of the picture, from its upper left corner.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    x: f64,
    y: f64,
}

pub fn at(x: f64, y: f64) -> Position {
    Position { x, y }
}

/// A rectangle of the picture; `top` is the smaller number.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn around(middle: Position, reach: f64) -> Self {
        let Position { x, y } = middle;
        Self { left: x - reach, right: x + reach, top: y - reach, bottom: y + reach }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// Small areas along a line.
fn along(from: Position, to: Position) -> Vec<Area> {
    let (wide, high) = (to.x - from.x, to.y - from.y);
    let steps = (wide.abs().max(high.abs()) / 3.0).ceil().max(1.0);
    let place = |step: f64| at(from.x + wide * step / steps, from.y + high * step / steps);
    (0..=steps as usize).map(|step| Area::around(place(step as f64), 1.5)).collect()
}

/// Where the label of a point goes: the first of the places around it that covers nothing, else the first one.
fn free_area(point: Position, label: &str, top: f64, taken: &[Area]) -> Area {
    let Position { x, y } = point;
    let (wide, high) = (width(label, LABEL_FONT), LABEL_FONT);
    let place = |left: f64, top: f64| Area { left, right: left + wide, top, bottom: top + high };
    let places = [
        place(x + 6.0, y - high - 4.0),
        place(x + 8.0, y - high / 2.0),
        place(x - wide / 2.0, y - high - 6.0),
        place(x - wide - 6.0, y + 4.0),
        place(x - wide - 8.0, y - high / 2.0),
        place(x - wide / 2.0, y + 6.0),
        place(x + 18.0, y - high / 2.0),
        place(x - wide - 18.0, y - high / 2.0),
    ];
    let is_free = |area: &&Area| {
        area.right < WIDTH && area.left > LEFT && area.top > top && !taken.iter().any(|other| other.overlaps(area))
    };
    *places.iter().find(is_free).unwrap_or(&places[0])
}

/// The ranges of both axes, their marks, and where they lie.
struct Axes {
    recalls: Vec<f64>,
    speeds: Vec<f64>,
    top: f64,
}

impl Axes {
    fn around(series: &[Series], top: f64) -> Self {
        let points = || series.iter().flat_map(Series::drawn);
        Self {
            recalls: recall_marks(points().map(|point| point.recall)),
            speeds: speed_marks(points().map(|point| point.qps)),
            top,
        }
    }

    fn x(&self, recall: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * share(recall, &self.recalls)
    }

    fn y(&self, qps: f64) -> f64 {
        let logarithms: Vec<f64> = self.speeds.iter().map(|speed| speed.ln()).collect();
        BOTTOM - (BOTTOM - self.top) * share(qps.max(f64::MIN_POSITIVE).ln(), &logarithms)
    }

    fn places(&self, series: &Series) -> Vec<Position> {
        series.drawn().map(|point| at(self.x(point.recall), self.y(point.qps))).collect()
    }

    fn draw(&self, svg: &mut String, k: usize) {
        let mut line = |x1: f64, y1: f64, x2: f64, y2: f64, colour: &str| {
            let _ = writeln!(
                svg,
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
            );
        };
        self.recalls.iter().for_each(|&recall| line(self.x(recall), self.top, self.x(recall), BOTTOM + 5.0, FAINT));
        self.speeds.iter().for_each(|&speed| line(LEFT - 5.0, self.y(speed), RIGHT, self.y(speed), FAINT));
        line(LEFT, self.top, LEFT, BOTTOM, INK);
        line(LEFT, BOTTOM, RIGHT, BOTTOM, INK);
        for &recall in &self.recalls {
            text(svg, at(self.x(recall), BOTTOM + 21.0), 13.0, "middle", INK, &format!("{recall:.3}"));
        }
        for &speed in &self.speeds {
            text(svg, at(LEFT - 9.0, self.y(speed) + 4.5), 13.0, "end", INK, &output::count(speed as u64));
        }
        let middle = f64::midpoint(LEFT, RIGHT);
        text(svg, at(middle, HEIGHT - 16.0), 15.0, "middle", INK, &format!("recall@{k}"));
        let (x, y) = (20.0, f64::midpoint(self.top, BOTTOM));
        let _ = write!(svg, "<g transform=\"rotate(270 {x} {y:.1})\">");
        text(svg, at(x, y), 15.0, "middle", INK, "queries per second");
        svg.push_str("</g>\n");
    }
}

/// How far `value` is from the first mark to the last.
fn share(value: f64, marks: &[f64]) -> f64 {
    let (first, last) = (marks.first().copied().unwrap_or(0.0), marks.last().copied().unwrap_or(1.0));
    (value - first) / (last - first)
}

/// Marks at equal steps around these recalls, at most ten steps.
fn recall_marks(recalls: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let least = recalls.clone().fold(f64::INFINITY, f64::min);
    let most = recalls.fold(0.0, f64::max);
    if !least.is_finite() {
        return vec![0.0, 1.0];
    }
    // In thousandths, so that marks are exact.
    let steps = [5, 10, 20, 50, 100, 200].map(|step| (step, (least * 1e3) as u64 / step, (most * 1e3).ceil() as u64));
    let (step, first, most) =
        steps.into_iter().find(|(step, first, most)| most.div_ceil(*step) - first <= 10).unwrap_or((200, 0, 1_000));
    let last = most.div_ceil(step).max(first + 1);
    (first..=last).map(|mark| (mark * step) as f64 / 1e3).collect()
}

/// 1, 2 and 5 times powers of ten around these speeds.
fn speed_marks(speeds: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    let least = speeds.clone().fold(f64::INFINITY, f64::min);
    let most = speeds.fold(1.0, f64::max);
    let all: Vec<f64> =
        (0..=12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit: f64| digit * 10f64.powi(power))).collect();
    let first = all.iter().rposition(|mark| *mark <= least).filter(|_| least.is_finite()).unwrap_or(0);
    let last = all.iter().position(|mark| *mark >= most).unwrap_or(all.len() - 1).max(first + 1);
    all[first..=last.min(all.len() - 1)].to_vec()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn points(rows: &[(f64, f64, &str)]) -> Vec<PlotPoint> {
        rows.iter().map(|&(recall, qps, ef)| PlotPoint { recall, qps, ef: ef.to_owned() }).collect()
    }

    #[test]
    fn curves_are_drawn_with_their_names_and_efs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("curve.svg");
        let curve = |name: &str, factor: f64| Series {
            name: name.into(),
            points: points(&[(0.9, factor * 1e4, "10"), (0.95, factor * 8e3, "24"), (0.99, factor * 2e3, "777")]),
        };
        draw(&path, &["a < b".into()], 10, &[curve("ours", 1.0), curve("theirs", 0.1)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let wanted = ["<svg", "</svg>\n", "a &lt; b", "ours", "theirs", "recall@10", "10,000", ">777<"];
        assert!(wanted.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(text.matches("<circle").count(), 6 + 2);
        draw(&path, &[], 10, &[Series { name: "x".into(), points: vec![] }]).unwrap();
        assert!(draw(&directory.path().join("none/curve.svg"), &[], 1, &[]).is_err());
    }

    #[test]
    fn axes_begin_and_end_around_the_data() {
        assert_eq!(recall_marks([0.929, 0.996].into_iter())[..2], [0.92, 0.93]);
        assert_eq!(recall_marks([0.929, 0.996].into_iter()).last(), Some(&1.0));
        assert_eq!(recall_marks([1.0].into_iter()), [1.0, 1.005]);
        assert_eq!(speed_marks([2_419.0, 67_800.0].into_iter()), [2e3, 5e3, 1e4, 2e4, 5e4, 1e5]);
        assert_eq!((recall_marks([].into_iter()).len(), speed_marks([].into_iter()).len()), (2, 2));
    }

    #[test]
    fn labels_that_would_meet_are_moved() {
        let taken = [Area { left: 200.0, right: 400.0, top: 100.0, bottom: 299.0 }];
        let area = free_area(at(300.0, 300.0), "128", 50.0, &taken);
        assert!(area.top > 299.0 && !area.overlaps(&taken[0]), "{area:?}");
        let lines = wrapped(&"word ".repeat(100), 300.0, 14.0);
        assert!(lines.iter().all(|line| width(line, 14.0) <= 300.0) && lines.concat().matches("word").count() == 100);
    }

    /// `VECMEM_REDRAW=1` writes the picture anew, after a change of the figures or of the drawing.
    #[test]
    fn the_picture_of_the_readme_is_drawn_from_its_figures() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let figures = std::fs::read_to_string(docs.join("recall_and_speed.json")).unwrap();
        let figures: Value = serde_json::from_str(&figures).unwrap();
        let drawn = recorded(&figures);
        let path = docs.join("recall_and_speed.svg");
        if std::env::var_os("VECMEM_REDRAW").is_some() {
            std::fs::write(&path, &drawn).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap() == drawn,
            "docs/recall_and_speed.svg is older than its figures"
        );
    }

    /// The picture of figures that are kept as JSON.
    fn recorded(figures: &Value) -> String {
        let number = |value: &Value| value.as_f64().unwrap();
        let about = figures["about"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned());
        let series = figures["series"].as_array().unwrap().iter().map(|series| Series {
            name: series["name"].as_str().unwrap().into(),
            points: series["points"]
                .as_array()
                .unwrap()
                .iter()
                .map(|point| PlotPoint {
                    recall: number(&point["recall"]),
                    qps: number(&point["qps"]),
                    ef: point["ef"].to_string(),
                })
                .collect(),
        });
        drawing(&about.collect::<Vec<_>>(), figures["k"].as_u64().unwrap() as usize, &series.collect::<Vec<_>>())
    }
}
