//! The picture in a mail: one series with the band it was expected in, as PNG. The same input yields the same bytes.

use std::sync::Once;

use anyhow::{Context as _, anyhow};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::{
    BitMapBackend, Cartesian2d, ChartBuilder, ChartContext, DrawingArea, IntoDrawingArea,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle, register_font};
use shared::clock::from_ms;
use shared::ending;
use shared::events::anomaly::{Band, Ended, Point};
use shared::events::incident::Signal;
use shared::finding::Finding;
use shared::text::format::{self, Scale};
use shared::text::sanitize;

/// Width in a mail, CSS pixels; the picture itself has twice as many.
pub const WIDTH: u32 = 536;
/// Height in a mail, CSS pixels.
pub const HEIGHT: u32 = 232;

/// Image pixels to a CSS pixel.
const DENSITY: u32 = 2;
/// Drawn pixels to an image pixel, each way: plotters does not smooth wide strokes, averaging does.
const OVERSAMPLING: u32 = 2;
/// Drawn pixels to a CSS pixel.
const SCALE: u32 = DENSITY * OVERSAMPLING;
/// Room for the last value, CSS pixels.
const RIGHT: u32 = 76;
/// Longest unit that is written beside the last value, characters.
const SHORT_UNIT: usize = 4;
/// Shift of centred figures, CSS pixels: they have no descenders, so the centre of the line box is too high.
const DROP: u32 = 2;
/// Fewest samples that are drawn.
const MIN_SAMPLES: usize = 3;
/// Samples farther from the last observation are left out, milliseconds: 30 days.
const LONGEST_MS: i64 = 30 * 86_400_000;
/// Larger figures are left out: pixels are counted in `i32`.
const LARGEST: f64 = 1e15;

const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x1d, 0x24, 0x30);
const SOFT: RGBColor = RGBColor(0x4a, 0x55, 0x64);
const GRID: RGBColor = RGBColor(0xe6, 0xe9, 0xee);
const BAND: RGBColor = RGBColor(0xcd, 0xe1, 0xf4);
const NORMAL: RGBColor = RGBColor(0x2b, 0x5f, 0x96);
const ABNORMAL: RGBColor = RGBColor(0xc8, 0x32, 0x2b);

const FONT: &str = "chart";

/// A drawn series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// PNG file.
    pub png: Vec<u8>,
    /// What it shows, with the figures, for those who do not see it.
    pub alt: String,
}

type Root<'b> = DrawingArea<BitMapBackend<'b>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, BitMapBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws a signal, or returns `None` if it has too little to draw.
pub fn draw(signal: &Signal) -> anyhow::Result<Option<Picture>> {
    let view = View::of(signal);
    if view.points.len() < MIN_SAMPLES || !drawable(view.band.lower) || !drawable(view.band.upper) {
        return Ok(None);
    }
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let mut drawn = vec![0u8; (width * height * 3) as usize];
    view.paint(&mut drawn, (width, height)).context("drawing a series")?;
    let image = shrink(&drawn, width, height);
    let png = encode(&image, WIDTH * DENSITY, HEIGHT * DENSITY).context("encoding a picture")?;
    Ok(Some(Picture { png, alt: view.alt }))
}

/// What is drawn, in data coordinates: seconds after the first sample, and the unit in which people read the series.
struct View {
    title: String,
    alt: String,
    abnormal: String,
    legend: String,
    scale: Scale,
    points: Vec<(f64, f64)>,
    first_ms: i64,
    band: Band,
    onset: f64,
    end: f64,
    y: Axis,
}

impl View {
    fn of(signal: &Signal) -> Self {
        let last_ms = signal.observed_at.as_millisecond();
        let near = last_ms.saturating_sub(LONGEST_MS)..=last_ms.saturating_add(LONGEST_MS);
        let mut samples: Vec<Point> = signal
            .samples
            .iter()
            .copied()
            .filter(|point| drawable(point.value) && near.contains(&point.ts_ms))
            .collect();
        samples.sort_by_key(|point| point.ts_ms);
        samples.dedup_by_key(|point| point.ts_ms);
        let first_ms = samples.first().map_or(0, |point| point.ts_ms);
        let seconds = |ms: i64| ms.saturating_sub(first_ms) as f64 / 1000.0;
        let edges = [signal.expected.lower, signal.expected.upper];
        let sizes = samples.iter().map(|point| point.value).chain(edges).map(f64::abs);
        let scale = Scale::of(&signal.unit, sizes.fold(0.0, f64::max));
        let points: Vec<(f64, f64)> =
            samples.iter().map(|point| (seconds(point.ts_ms), scale.drawn(point.value))).collect();
        let edges = edges.map(|edge| scale.drawn(edge));
        let band = Band {
            lower: edges[0].min(edges[1]),
            center: scale.drawn(signal.expected.center),
            upper: edges[0].max(edges[1]),
        };
        let values = points.iter().map(|(_, value)| *value);
        let y = Axis::over(values.chain([band.lower, band.upper]));
        let name =
            format!("{} {}", sanitize::one_line(&signal.service, 40), sanitize::one_line(&signal.metric, 40));
        let unit = scale.axis();
        let abnormal = match signal.cleared_at {
            None => format!("abnormal since {}", format::clock(signal.started_at)),
            Some(at) => {
                let how = match signal.end() {
                    Some(Ended::Recovered) | None => "cleared",
                    Some(ended) => ending::label(ended),
                };
                format!("abnormal from {}, {how} {}", format::clock(signal.started_at), format::clock(at))
            }
        };
        let alt = format!(
            "{name}: {} at {}, {}; {abnormal}",
            format::figure(signal.observed, &signal.unit),
            format::moment(signal.observed_at),
            Finding::from(signal).expectation(),
        );
        Self {
            title: if unit.is_empty() { name } else { format!("{} ({unit})", sanitize::one_line(&name, 48)) },
            abnormal,
            alt: alt.replace('\u{a0}', " "),
            legend: format!("expected {}", format::band(&signal.expected, &signal.unit))
                .replace('\u{a0}', " "),
            scale,
            onset: seconds(signal.started_at.as_millisecond()),
            end: signal.cleared_at.map_or(f64::INFINITY, |at| seconds(at.as_millisecond())),
            points,
            first_ms,
            band,
            y,
        }
    }

    fn span(&self) -> f64 {
        self.points.last().map_or(1.0, |(x, _)| *x).max(1.0)
    }

    fn paint(&self, pixels: &mut [u8], size: (u32, u32)) -> anyhow::Result<()> {
        register();
        let root = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
        root.fill(&PAPER).map_err(failed)?;
        let px = |css: u32| css * SCALE;
        let mut chart = ChartBuilder::on(&root)
            .margin_top(px(42))
            .margin_bottom(px(34))
            .margin_left(px(54))
            .margin_right(px(RIGHT))
            .build_cartesian_2d(0.0..self.span(), self.y.low..self.y.high)
            .map_err(failed)?;
        self.band(&mut chart)?;
        self.grid(&root, &chart)?;
        self.line(&mut chart)?;
        self.marks(&root, &chart)?;
        root.draw(&Text::new(self.title.clone(), at(12, 10), style(15, INK, HPos::Left, VPos::Top)))
            .map_err(failed)?;
        self.legend(&root)?;
        drop(chart);
        root.present().map_err(failed)
    }

    fn band(&self, chart: &mut Chart<'_, '_>) -> anyhow::Result<()> {
        let corners =
            [(0.0, self.band.lower.max(self.y.low)), (self.span(), self.band.upper.min(self.y.high))];
        chart.draw_series([Rectangle::new(corners, BAND.filled())]).map_err(failed)?;
        Ok(())
    }

    fn grid(&self, root: &Root<'_>, chart: &Chart<'_, '_>) -> anyhow::Result<()> {
        for value in self.y.ticks() {
            let (left, y) = chart.backend_coord(&(0.0, value));
            let (right, _) = chart.backend_coord(&(self.span(), value));
            root.draw(&PathElement::new([(left, y), (right, y)], GRID.stroke_width(SCALE)))
                .map_err(failed)?;
            let label = Text::new(
                short(value),
                (left - css(8), y + css(DROP)),
                style(13, SOFT, HPos::Right, VPos::Center),
            );
            root.draw(&label).map_err(failed)?;
        }
        for (seconds, label) in self.times() {
            let (x, bottom) = chart.backend_coord(&(seconds, self.y.low));
            root.draw(&PathElement::new([(x, bottom), (x, bottom + css(4))], SOFT.stroke_width(SCALE)))
                .map_err(failed)?;
            root.draw(&Text::new(label, (x, bottom + css(8)), style(13, SOFT, HPos::Center, VPos::Top)))
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Ticks at round times of day, at least 90 CSS pixels apart.
    fn times(&self) -> Vec<(f64, String)> {
        const STEPS: [i64; 15] =
            [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];
        let span = self.span();
        let step =
            STEPS.into_iter().find(|step| span / *step as f64 <= 5.0).unwrap_or((span / 5.0) as i64 + 1);
        let form = if step < 60 { "%H:%M:%S" } else { "%H:%M" };
        let step_ms = step * 1000;
        let start = self.first_ms.div_euclid(step_ms) * step_ms;
        (0..8)
            .map(|n| start + n * step_ms)
            .map(|ms| ((ms - self.first_ms) as f64 / 1000.0, from_ms(ms)))
            .filter(|(x, _)| *x >= 0.02 * span && *x <= 0.97 * span)
            .map(|(x, time)| (x, time_label(time, form)))
            .collect()
    }

    fn line(&self, chart: &mut Chart<'_, '_>) -> anyhow::Result<()> {
        for pair in self.points.windows(2) {
            let either = if self.is_abnormal(pair[0]) { pair[0] } else { pair[1] };
            let stroke = self.colour(either).stroke_width(2 * SCALE);
            chart.draw_series([PathElement::new(pair.to_vec(), stroke)]).map_err(failed)?;
        }
        // round joints: wide segments drawn one by one would show notches
        for point in &self.points {
            let colour = self.colour(*point);
            chart.draw_series([Circle::new(*point, SCALE, colour.filled())]).map_err(failed)?;
        }
        Ok(())
    }

    /// Returns whether a point lies within the episode and outside the band.
    fn is_abnormal(&self, (x, y): (f64, f64)) -> bool {
        x >= self.onset && x < self.end && !(self.band.lower..=self.band.upper).contains(&y)
    }

    fn colour(&self, point: (f64, f64)) -> RGBColor {
        if self.is_abnormal(point) { ABNORMAL } else { NORMAL }
    }

    /// The onset as a dashed line with its time, and the last value in figures.
    fn marks(&self, root: &Root<'_>, chart: &Chart<'_, '_>) -> anyhow::Result<()> {
        if self.onset > 0.0 && self.onset <= self.span() {
            let (x, top) = chart.backend_coord(&(self.onset, self.y.high));
            let (_, bottom) = chart.backend_coord(&(self.onset, self.y.low));
            for y in (top..bottom).step_by(css(7) as usize) {
                let dash = [(x, y), (x, (y + css(4)).min(bottom))];
                root.draw(&PathElement::new(dash, ABNORMAL.stroke_width(SCALE))).map_err(failed)?;
            }
            let (side, gap) =
                if self.onset > 0.6 * self.span() { (HPos::Right, -css(6)) } else { (HPos::Left, css(6)) };
            let label =
                Text::new(self.abnormal.clone(), (x + gap, top), style(13, ABNORMAL, side, VPos::Top));
            root.draw(&label).map_err(failed)?;
        }
        if let Some(last) = self.points.last() {
            let (x, y) = chart.backend_coord(last);
            let colour = self.colour(*last);
            root.draw(&Circle::new((x, y), 4 * SCALE, PAPER.filled())).map_err(failed)?;
            root.draw(&Circle::new((x, y), 3 * SCALE, colour.filled())).map_err(failed)?;
            // beside the plot there is room for a short unit only; the title has it anyway
            let unit = Some(self.scale.axis()).filter(|unit| unit.chars().count() <= SHORT_UNIT);
            let label = format!("{} {}", format::number(last.1), unit.unwrap_or_default());
            root.draw(&Text::new(
                label.trim_end().to_owned(),
                (x + css(8), y + css(DROP)),
                style(15, colour, HPos::Left, VPos::Center),
            ))
            .map_err(failed)?;
        }
        Ok(())
    }

    fn legend(&self, root: &Root<'_>) -> anyhow::Result<()> {
        let label = self.legend.as_str();
        let text = style(13, SOFT, HPos::Right, VPos::Center);
        let (width, _) = root.estimate_text_size(label, &text).map_err(failed)?;
        let (right, middle) = at(WIDTH - 12, 19);
        let left = right - width as i32 - css(24);
        let swatch = [(left, middle - css(5)), (left + css(16), middle + css(5))];
        root.draw(&Rectangle::new(swatch, BAND.filled())).map_err(failed)?;
        root.draw(&Text::new(label, (right, middle + css(DROP)), text)).map_err(failed)
    }
}

/// A vertical axis with round ticks.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Covers all values with a margin; starts at zero where the values are near it.
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = values
            .filter(|value| drawable(*value))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if low >= 0.0 && low < 0.5 * high {
            low = 0.0;
        }
        if high - low <= f64::EPSILON * high.abs().max(1.0) {
            high = low + low.abs().max(1.0);
        }
        let step = round_step((high - low) / 4.0);
        let high = high + 0.12 * (high - low);
        let low = if low == 0.0 { 0.0 } else { low - 0.06 * (high - low) };
        Self { low, high, step }
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step).ceil();
        (0..12).map(|n| (first + f64::from(n)) * self.step).take_while(|value| *value <= self.high).collect()
    }
}

fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// Returns the least of 1, 2, 2.5, 5 times a power of ten that is not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 2.5, 5.0].map(|m| m * power).into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// A tick's label; large figures are shortened to keep the margin narrow.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{}G", format::number(value / 1e9)),
        size if size >= 1e6 => format!("{}M", format::number(value / 1e6)),
        size if size >= 1e4 => format!("{}k", format::number(value / 1e3)),
        _ => format::number(value),
    }
}

fn time_label(time: Timestamp, form: &str) -> String {
    format!("{} UTC", time.to_zoned(TimeZone::UTC).strftime(form))
}

fn css(pixels: u32) -> i32 {
    (pixels * SCALE) as i32
}

fn at(x: u32, y: u32) -> (i32, i32) {
    (css(x), css(y))
}

fn style(size: u32, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    TextStyle {
        color: colour.to_backend_color(),
        pos: Pos::new(h, v),
        ..TextStyle::from((FONT, size * SCALE).into_font())
    }
}

/// Registers the embedded font once for the process.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let known = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
        debug_assert!(known.is_ok(), "the embedded font is whole");
    });
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// Averages squares of [`OVERSAMPLING`] pixels.
fn shrink(drawn: &[u8], width: u32, height: u32) -> Vec<u8> {
    let side = OVERSAMPLING as usize;
    let (width, height) = (width as usize, height as usize);
    let mut image = Vec::with_capacity(drawn.len() / (side * side));
    for y in (0..height).step_by(side) {
        for x in (0..width).step_by(side) {
            for channel in 0..3 {
                let sum: usize = (0..side * side)
                    .map(|n| usize::from(drawn[((y + n / side) * width + x + n % side) * 3 + channel]))
                    .sum();
                image.push((sum / (side * side)) as u8);
            }
        }
    }
    image
}

fn encode(image: &[u8], width: u32, height: u32) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(image)?;
    Ok(file)
}
