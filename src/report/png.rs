//! One picture that can be pasted into a document: verdict, matrix, timeline.
//! The font is built in, so that it renders on a machine without any.

use std::sync::OnceLock;

use plotters::{
    backend::BitMapBackend,
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{DashedPathElement, PathElement, Rectangle},
    style::{
        Color, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    Error,
    chart::{self, Chart},
    document::Document,
};

/// Twice the size at which it is looked at, for sharp text.
const WIDTH: u32 = 2000;
const MARGIN: i32 = 70;
/// The bold cut is registered as a family of its own: plotters' bitmap backend
/// asks for the normal style of any family.
const BOLD: &str = "stressor-bold";

const INK: RGBColor = RGBColor(22, 25, 29);
const SOFT: RGBColor = RGBColor(89, 97, 107);
const RULE: RGBColor = RGBColor(217, 221, 227);
const BAND: RGBColor = RGBColor(238, 242, 247);
const GOOD: RGBColor = RGBColor(0, 105, 74);
const WARN: RGBColor = RGBColor(138, 83, 0);
const BAD: RGBColor = RGBColor(179, 38, 30);
/// The page's palette (after Okabe and Ito), in the same order.
const LINES: [RGBColor; 8] = [
    RGBColor(0, 98, 163),
    RGBColor(194, 81, 0),
    RGBColor(0, 122, 88),
    RGBColor(140, 61, 117),
    RGBColor(122, 100, 0),
    RGBColor(43, 127, 184),
    RGBColor(85, 85, 85),
    RGBColor(160, 58, 42),
];

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
type Drawn = Result<(), Error>;
/// A chart, the node it is of, and the holes in that node's samples.
type Placed<'a> = (&'a Chart, &'a str, &'a [(f64, f64)]);

/// The picture's bytes.
pub(super) fn render(document: &Document) -> Result<Vec<u8>, Error> {
    fonts()?;
    let statement = wrapped(&document.statement, 40.0, f64::from(WIDTH) - 2.0 * f64::from(MARGIN));
    let charts: Vec<Placed<'_>> = document
        .panels
        .iter()
        .take(3)
        .flat_map(|panel| {
            // Utilization and waiting tell the story; with several nodes the first one each.
            let most = if document.panels.len() > 1 { 1 } else { 2 };
            panel
                .charts
                .iter()
                .take(most)
                .map(|chart| (chart, panel.node.as_str(), panel.gaps.as_slice()))
        })
        .collect();
    let rows = document.matrix.iter().take(8).count();
    let head = 250 + 54 * i32::try_from(statement.len()).unwrap_or(1);
    let matrix = 110 + 84 * i32::try_from(rows).unwrap_or(1);
    let each = 470;
    let height = head + matrix + each * i32::try_from(charts.len()).unwrap_or(1) + 80;
    let height = u32::try_from(height).unwrap_or(1000);
    let mut pixels = vec![0_u8; (WIDTH * height * 3) as usize];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (WIDTH, height)).into_drawing_area();
        root.fill(&RGBColor(255, 255, 255)).map_err(fail)?;
        header(&root, document, &statement)?;
        draw_matrix(&root, document, head)?;
        for (at, (chart, node, gaps)) in charts.iter().enumerate() {
            let top = head + matrix + each * i32::try_from(at).unwrap_or(0);
            draw_chart(&root, document, chart, node, gaps, top)?;
        }
        let foot = i32::try_from(height).unwrap_or(0) - 50;
        let text = format!(
            "{} · {} · {} · {}",
            document.tool, document.run, document.scenario, document.when
        );
        write(&root, &text, (MARGIN, foot), 26, SOFT, false)?;
        root.present().map_err(fail)?;
    }
    encode(&pixels, height)
}

fn encode(pixels: &[u8], height: u32) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| Error::Picture(error.to_string()))?;
    writer.write_image_data(pixels).map_err(|error| Error::Picture(error.to_string()))?;
    writer.finish().map_err(|error| Error::Picture(error.to_string()))?;
    Ok(bytes)
}

fn fonts() -> Drawn {
    static FONTS: OnceLock<bool> = OnceLock::new();
    let ready = FONTS.get_or_init(|| {
        register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(BOLD, FontStyle::Normal, dejavu::sans::bold()).is_ok()
    });
    if *ready { Ok(()) } else { Err(Error::Picture("the built-in font cannot be read".to_owned())) }
}

fn header(root: &Area<'_>, document: &Document, statement: &[String]) -> Drawn {
    let tone = document.badges.first().map_or(SOFT, |badge| color(badge.tone));
    rectangle(root, (0, 0), (i32::try_from(WIDTH).unwrap_or(0), 16), tone)?;
    write(
        root,
        &format!("{}  ·  {}", document.run, document.scenario),
        (MARGIN, 56),
        32,
        SOFT,
        false,
    )?;
    write(root, &document.headline, (MARGIN, 102), 76, INK, true)?;
    let mut y = 206;
    for line in statement {
        write(root, line, (MARGIN, y), 36, INK, false)?;
        y += 50;
    }
    let badges: Vec<String> = document
        .badges
        .iter()
        .skip(1)
        .map(|badge| format!("{}: {}", badge.label, badge.word))
        .collect();
    write(root, &badges.join("      "), (MARGIN, y + 8), 30, SOFT, false)
}

fn draw_matrix(root: &Area<'_>, document: &Document, top: i32) -> Drawn {
    let columns = document.columns.iter().take(8).collect::<Vec<_>>();
    let first = 250;
    let width = (i32::try_from(WIDTH).unwrap_or(0) - 2 * MARGIN - first)
        / i32::try_from(columns.len().max(1)).unwrap_or(1);
    let x = |column: usize| MARGIN + first + width * i32::try_from(column).unwrap_or(0);
    for (at, column) in columns.iter().enumerate() {
        write(root, column, (x(at) + 14, top + 24), 26, SOFT, false)?;
    }
    for (at, row) in document.matrix.iter().take(8).enumerate() {
        let y = top + 64 + 84 * i32::try_from(at).unwrap_or(0);
        write(root, &cut(&row.node, 14), (MARGIN, y + 18), 32, INK, true)?;
        for (column, cell) in row.cells.iter().take(columns.len()).enumerate() {
            let tone = color(cell.tone);
            let pale = if cell.tone == "plain" { SOFT.mix(0.12) } else { tone.mix(0.13) };
            rectangle(root, (x(column), y), (x(column) + width - 8, y + 76), pale)?;
            write(root, &cell.word, (x(column) + 14, y + 8), 28, tone, true)?;
            write(root, &cut(&cell.detail, 17), (x(column) + 14, y + 43), 24, SOFT, false)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "pixels")]
fn draw_chart(
    root: &Area<'_>,
    document: &Document,
    chart: &Chart,
    node: &str,
    gaps: &[(f64, f64)],
    top: i32,
) -> Drawn {
    let (left, right) = (MARGIN + 130, i32::try_from(WIDTH).unwrap_or(0) - MARGIN);
    let (upper, lower) = (top + 100, top + 350);
    let x =
        |t: f64| left + ((t / document.seconds).clamp(0.0, 1.0) * f64::from(right - left)) as i32;
    let y = |v: f64| lower - ((v / chart.top).clamp(0.0, 1.0) * f64::from(lower - upper)) as i32;
    let title = if document.panels.len() > 1 {
        format!("{node}: {}", chart.title)
    } else {
        chart.title.clone()
    };
    write(root, &title, (MARGIN, top + 20), 32, INK, true)?;
    for band in document.bands.iter().filter(|band| band.loaded) {
        rectangle(root, (x(band.from), upper), (x(band.to), lower), BAND)?;
    }
    for (from, to) in gaps {
        rectangle(root, (x(*from), upper), (x(*to), lower), SOFT.mix(0.3))?;
    }
    let mut free = 0;
    for band in &document.bands {
        // A label that would run into the one before it is left out.
        if x(band.from) >= free {
            write(root, &band.label, (x(band.from) + 6, upper - 34), 24, SOFT, false)?;
            free = x(band.from) + 20 + 14 * i32::try_from(band.label.chars().count()).unwrap_or(0);
        }
        path(root, vec![(x(band.from), upper), (x(band.from), lower)], RULE, 2)?;
    }
    for tick in &chart.ticks {
        path(root, vec![(left, y(*tick)), (right, y(*tick))], RULE, 1)?;
        anchored(root, &chart.unit.show(*tick), (left - 14, y(*tick)), HPos::Right, VPos::Center)?;
    }
    for tick in chart::time_ticks(document.seconds) {
        let at = x(tick);
        anchored(
            root,
            &format!("T+{}", chart::show_time(tick)),
            (at, lower + 10),
            HPos::Center,
            VPos::Top,
        )?;
    }
    for line in &chart.lines {
        for part in line.parts() {
            let points: Vec<(i32, i32)> = part.iter().map(|(t, v)| (x(*t), y(*v))).collect();
            path(root, points, LINES.get(line.style % 8).copied().unwrap_or(INK), 4)?;
        }
    }
    if let Some(onset) = document.onset {
        let style = ShapeStyle::from(&BAD).stroke_width(3);
        root.draw(&DashedPathElement::new(vec![(x(onset), upper), (x(onset), lower)], 8, 8, style))
            .map_err(fail)?;
    }
    let mut at = left;
    for line in &chart.lines {
        let color = LINES.get(line.style % 8).copied().unwrap_or(INK);
        rectangle(root, (at, lower + 66), (at + 40, lower + 74), color)?;
        write(root, &line.name, (at + 52, lower + 54), 26, INK, false)?;
        at += 100 + 15 * i32::try_from(line.name.chars().count()).unwrap_or(0);
    }
    Ok(())
}

fn color(tone: &str) -> RGBColor {
    match tone {
        "good" => GOOD,
        "warn" => WARN,
        "bad" => BAD,
        _ => SOFT,
    }
}

fn write(
    root: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    color: RGBColor,
    bold: bool,
) -> Drawn {
    let family = if bold { BOLD } else { "sans-serif" };
    let font = (family, size).into_font();
    root.draw_text(text, &TextStyle::from(font).color(&color), at).map_err(fail)
}

fn anchored(root: &Area<'_>, text: &str, at: (i32, i32), h: HPos, v: VPos) -> Drawn {
    let style = TextStyle::from(("sans-serif", 24).into_font()).color(&SOFT).pos(Pos::new(h, v));
    root.draw_text(text, &style, at).map_err(fail)
}

fn rectangle(root: &Area<'_>, from: (i32, i32), to: (i32, i32), color: impl Color) -> Drawn {
    root.draw(&Rectangle::new([from, to], color.filled())).map_err(fail)
}

fn path(root: &Area<'_>, points: Vec<(i32, i32)>, color: RGBColor, width: u32) -> Drawn {
    root.draw(&PathElement::new(points, ShapeStyle::from(&color).stroke_width(width))).map_err(fail)
}

fn fail(error: impl std::fmt::Display) -> Error {
    Error::Picture(error.to_string())
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}

/// Break into lines that fit; a character of the built-in font is less than
/// 0.49 of its size wide on average.
fn wrapped(text: &str, size: f64, width: f64) -> Vec<String> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "characters")]
    let most = (width / (size * 0.49)) as usize;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut()
            && (line.is_empty() || line.chars().count() + 1 + word.chars().count() <= most)
        {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        lines.push(word.to_owned());
    }
    lines.truncate(5);
    lines
}
