//! One HTML page: no request to anywhere, readable with scripts off.

use std::fmt::Write as _;

use askama::Template;

use super::{
    Error,
    chart::{self, Chart},
    document::Document,
};

/// Width and height of a drawing; the page stretches it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    panels: Vec<DrawnPanel<'a>>,
    css: &'static str,
    script: &'static str,
}

struct DrawnPanel<'a> {
    node: &'a str,
    charts: Vec<DrawnChart<'a>>,
    gaps: usize,
}

struct DrawnChart<'a> {
    title: &'a str,
    /// The drawing itself, ours from the first to the last character.
    svg: String,
    summary: String,
    y_ticks: Vec<(f64, String)>,
    x_ticks: Vec<(f64, String)>,
    bands: Vec<(f64, f64, &'a str)>,
    legend: Vec<LegendItem<'a>>,
    data: String,
}

struct LegendItem<'a> {
    style: usize,
    name: &'a str,
    peak: String,
}

/// The page's bytes.
pub(super) fn render(document: &Document) -> Result<Vec<u8>, Error> {
    let page = Page {
        document,
        panels: document
            .panels
            .iter()
            .map(|panel| DrawnPanel {
                node: &panel.node,
                charts: panel
                    .charts
                    .iter()
                    .map(|chart| drawn(document, chart, &panel.gaps))
                    .collect(),
                gaps: panel.gaps.len(),
            })
            .collect(),
        css: include_str!("assets/report.css"),
        script: include_str!("assets/report.js"),
    };
    Ok(page.render()?.into_bytes())
}

fn drawn<'a>(document: &'a Document, chart: &'a Chart, gaps: &[(f64, f64)]) -> DrawnChart<'a> {
    let percent = |seconds: f64| (seconds / document.seconds * 100.0).clamp(0.0, 100.0);
    let legend = chart
        .lines
        .iter()
        .map(|line| LegendItem {
            style: line.style % 8,
            name: &line.name,
            peak: chart.unit.show(line.points.iter().map(|(_, v)| *v).fold(0.0, f64::max)),
        })
        .collect::<Vec<_>>();
    let summary = legend
        .iter()
        .map(|item| format!("{}: highest {}", item.name, item.peak))
        .collect::<Vec<_>>()
        .join("; ");
    DrawnChart {
        title: &chart.title,
        svg: svg(document, chart, gaps),
        summary,
        y_ticks: chart
            .ticks
            .iter()
            .map(|v| (100.0 - v / chart.top * 100.0, chart.unit.show(*v)))
            .collect(),
        x_ticks: chart::time_ticks(document.seconds)
            .into_iter()
            .map(|t| (percent(t), format!("T+{}", chart::show_time(t))))
            .collect(),
        bands: document
            .bands
            .iter()
            .map(|band| {
                (percent(band.from), percent(band.to) - percent(band.from), band.label.as_str())
            })
            .collect(),
        legend,
        data: data(document, chart),
    }
}

/// The lines, the phases behind them, holes in the samples, the onset.
fn svg(document: &Document, chart: &Chart, gaps: &[(f64, f64)]) -> String {
    let x = |seconds: f64| (seconds / document.seconds * WIDTH).clamp(0.0, WIDTH);
    let y = |v: f64| HEIGHT - (v / chart.top).clamp(0.0, 1.0) * HEIGHT;
    let mut out = String::new();
    let rectangle = |out: &mut String, class: &str, from: f64, to: f64| {
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"/>",
            x(from),
            (x(to) - x(from)).max(0.5)
        );
    };
    for band in document.bands.iter().filter(|band| band.loaded) {
        rectangle(&mut out, "band", band.from, band.to);
    }
    for (from, to) in gaps {
        rectangle(&mut out, "gap", *from, *to);
    }
    for tick in &chart.ticks {
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>",
            y(*tick)
        );
    }
    for band in &document.bands {
        let _ = write!(
            out,
            "<line class=\"edge\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>",
            x(band.from)
        );
    }
    if let Some(onset) = document.onset {
        let _ = write!(
            out,
            "<line class=\"onset\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>",
            x(onset)
        );
    }
    for line in &chart.lines {
        let _ = write!(out, "<path class=\"s{}\" d=\"", line.style % 8);
        for part in line.parts() {
            for (at, (seconds, v)) in part.iter().enumerate() {
                let command = if at == 0 { 'M' } else { 'L' };
                let _ = write!(out, "{command}{:.1} {:.1}", x(*seconds), y(*v));
            }
        }
        out.push_str("\"/>");
    }
    out
}

/// The points for the script that reads values under the pointer. `<` never
/// stands inside the script element.
fn data(document: &Document, chart: &Chart) -> String {
    let unit = chart.unit.name();
    let lines: Vec<serde_json::Value> = chart
        .lines
        .iter()
        .map(|line| {
            let points: Vec<[f64; 2]> = line
                .points
                .iter()
                .map(|(t, v)| [(t * 100.0).round() / 100.0, significant(*v)])
                .collect();
            serde_json::json!({"name": line.name, "points": points})
        })
        .collect();
    serde_json::json!({"seconds": document.seconds, "unit": unit, "lines": lines})
        .to_string()
        .replace('<', "\\u003c")
}

/// Five significant digits: what a reader can use, in a third of the bytes.
fn significant(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return 0.0;
    }
    let scale = 10.0_f64.powf(4.0 - v.abs().log10().floor());
    (v * scale).round() / scale
}
