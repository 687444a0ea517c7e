//! A series as a line of bars, with the samples outside its band marked.

use shared::events::anomaly::{Band, Point};

const GLYPHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Its height.
    pub glyph: char,
    /// Whether it lies outside the band.
    pub outside: bool,
}

/// A series and its scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparkline {
    /// One for each sample, oldest first.
    pub bars: Vec<Bar>,
    /// Value of the lowest bar.
    pub low: f64,
    /// Value of the highest bar.
    pub high: f64,
}

impl Sparkline {
    /// Draws the last `most` samples. The scale reaches from the lowest to the highest of samples and band, so that
    /// noise inside the band stays small.
    pub fn of(samples: &[Point], band: Band, most: usize) -> Self {
        let samples = &samples[samples.len().saturating_sub(most)..];
        let low = samples.iter().map(|sample| sample.value).fold(band.lower, f64::min);
        let high = samples.iter().map(|sample| sample.value).fold(band.upper, f64::max);
        let range = high - low;
        let bar = |sample: &Point| {
            let height = if range > 0.0 { (sample.value - low) / range } else { 0.0 };
            Bar {
                glyph: GLYPHS[((height * 7.0).round() as usize).min(7)],
                outside: sample.value < band.lower || sample.value > band.upper,
            }
        };
        Self { bars: samples.iter().map(bar).collect(), low, high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[f64], lower: f64, upper: f64) -> (String, String) {
        let samples: Vec<Point> = values.iter().map(|value| Point { ts_ms: 0, value: *value }).collect();
        Sparkline::of(&samples, Band { lower, center: lower, upper }, 5)
            .bars
            .into_iter()
            .map(|bar| (bar.glyph, if bar.outside { 'x' } else { '.' }))
            .unzip()
    }

    #[test]
    fn samples_outside_the_band_are_marked() {
        assert_eq!(
            drawn(&[9.0, 0.0, 20.0, 40.0, 70.0, 10.0], 5.0, 40.0),
            ("▁▃▅█▂".to_owned(), "x..x.".to_owned())
        );
    }

    #[test]
    fn a_constant_or_an_endless_range_draws_nothing_wrong() {
        assert_eq!(drawn(&[3.0, 3.0], 3.0, 3.0).0, "▁▁");
        assert_eq!(drawn(&[-1e308, 1e308], -1e308, 1e308).0, "▁▁");
    }
}
