//! The curve of speed over recall as a picture: SVG with text, which needs no fonts here.
//!
//! Invariants:
//! * The speed has a logarithmic axis; recalls below the shown range are left out, not squeezed in.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::output;

const SIZE: (u32, u32) = (860, 520);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x3B, 0x45);
const FAINT: RGBColor = RGBColor(0xE3, 0xE7, 0xEB);
/// Told apart by people who do not tell red from green.
const COLOURS: [RGBColor; 2] = [RGBColor(0x00, 0x72, 0xB2), RGBColor(0xD5, 0x5E, 0x00)];
/// Recalls that are shown.
const RECALLS: Range<f64> = 0.80..1.0;

/// One engine's curve: (recall, QPS) by rising ef.
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Draws the curves into the file `path`.
pub fn draw(path: &Path, title: &str, k: usize, series: &[Series]) -> Result<()> {
    let mut text = String::new();
    drawing(&mut text, title, k, series).map_err(|error| anyhow!("the picture cannot be drawn: {error}"))?;
    std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

fn drawing(
    text: &mut String,
    title: &str,
    k: usize,
    series: &[Series],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let shown = |series: &Series| -> Vec<(f64, f64)> {
        series.points.iter().copied().filter(|point| RECALLS.start <= point.0 && point.1 > 0.0).collect()
    };
    let all: Vec<f64> = series.iter().flat_map(&shown).map(|point| point.1).collect();
    let speeds = speeds(&all);
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (heading, rest) = root.split_vertically(54);
    heading.draw(&Text::new(title.to_owned(), (24, 20), (FONT, 23).into_font().color(&INK)))?;
    let mut chart = ChartBuilder::on(&rest)
        .margin(14)
        .margin_right(34)
        .x_label_area_size(46)
        .y_label_area_size(84)
        .build_cartesian_2d(RECALLS.start..RECALLS.end + 0.002, speeds.log_scale())?;
    let label = (FONT, 16).into_font().color(&INK);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(11)
        .x_label_formatter(&|recall| format!("{recall:.2}"))
        .y_label_formatter(&|speed| output::count(speed.round() as u64))
        .x_desc(format!("recall@{k}"))
        .y_desc("queries per second, one thread")
        .label_style(label.clone())
        .axis_desc_style((FONT, 18).into_font().color(&INK))
        .draw()?;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points = shown(series);
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(3)))?;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, colour.filled())))?;
        // Beside the middle of the curve, above it: curves fall to the right.
        if let Some(&middle) = points.get(points.len() / 2) {
            let style = (FONT, 20).into_font().color(colour).pos(Pos::new(HPos::Left, VPos::Bottom));
            let name = EmptyElement::at(middle) + Text::new(series.name.clone(), (9, -7), style);
            chart.draw_series(std::iter::once(name))?;
        }
    }
    root.present()?;
    Ok(())
}

/// The powers of ten, in halves, around these speeds.
fn speeds(all: &[f64]) -> Range<f64> {
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    if all.is_empty() {
        return 1.0..10.0;
    }
    let step = |speed: f64, round: fn(f64) -> f64| 10f64.powf(round(2.0 * speed.log10()) / 2.0);
    let (low, high) = (step(least, f64::floor), step(most * 1.15, f64::ceil));
    low..high.max(low * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_with_their_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("curve.svg");
        let curve = |name: &str, factor: f64| Series {
            name: name.into(),
            points: vec![(0.5, 9e4), (0.9, factor * 1e4), (0.95, factor * 8e3), (0.99, factor * 2e3)],
        };
        draw(&path, "a < b", 10, &[curve("ours", 1.0), curve("theirs", 0.1)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let wanted = ["<svg", "</svg>\n", "a &lt; b", "ours", "theirs", "recall@10", "10,000"];
        assert!(wanted.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(text.matches("<circle").count(), 6);
        draw(&path, "nothing", 10, &[Series { name: "x".into(), points: vec![] }]).unwrap();
        assert!(draw(&directory.path().join("none/curve.svg"), "", 1, &[]).is_err());
    }

    #[test]
    fn the_axis_holds_all_speeds() {
        let range = speeds(&[500.0, 20_000.0]);
        assert!(range.start <= 500.0 && range.start > 100.0 && range.end >= 20_000.0 && range.end < 100_000.0);
        assert_eq!(speeds(&[]), 1.0..10.0);
    }
}
