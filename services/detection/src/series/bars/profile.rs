//! What is usual at a time: the mean of each half hour of the day, with a scale of its own, and of each hour of the week.

use serde::{Deserialize, Serialize};

use crate::series::history::array;
use crate::stats::half_bytes::{add_one, count};

const HALF_HOURS: usize = 48;
const HALF_HOUR_MS: i64 = 1_800_000;
const HOURS: usize = 168;
const HOUR_MS: i64 = 3_600_000;
/// Largest square that is kept: it has to remain a number.
const MAX_SQUARE: f64 = 1e37;
/// Least weight of a visit in the mean of its half hour, and of its hour of the week.
const DAY_RATE: f64 = 0.15;
const WEEK_RATE: f64 = 0.3;
/// Visits after which a half hour is limited in how far it is pulled, and the limit in spreads.
const KNOWN_VISITS: u8 = 2;
const VISIT_LIMIT_SPREADS: f64 = 3.0;
/// Weight of the common scale against a half hour's own, in visits, and how much its own may differ.
const COMMON_VISITS: f64 = 6.0;
const OWN_SCALE: std::ops::RangeInclusive<f64> = 0.3..=10.0;
/// Visits that are counted, four bits each.
const MAX_VISITS: u8 = 15;

/// The means of each half hour of the day and each hour of the week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Profile {
    #[serde(with = "array")]
    day: [f32; HALF_HOURS],
    /// Mean square of the residuals of each half hour.
    #[serde(with = "array")]
    squares: [f32; HALF_HOURS],
    #[serde(with = "array")]
    day_visits: [u8; HALF_HOURS / 2],
    #[serde(with = "array")]
    week: [f32; HOURS],
    #[serde(with = "array")]
    week_visits: [u8; HOURS / 2],
    half_hour: Visit,
    hour: Visit,
}

/// The half hour or hour that is being visited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Visit {
    /// Its number since the epoch.
    number: i64,
    sum: f64,
    squares: f64,
    samples: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            day: [0.0; HALF_HOURS],
            squares: [0.0; HALF_HOURS],
            day_visits: [0; HALF_HOURS / 2],
            week: [0.0; HOURS],
            week_visits: [0; HOURS / 2],
            half_hour: Visit::default(),
            hour: Visit::default(),
        }
    }
}

impl Profile {
    /// Returns whichever is nearest to a value: the level, or what is usual at this time of the day or of the week.
    pub(super) fn nearest(&self, ts_ms: i64, value: f64, level: f64) -> f64 {
        let (half, hour) = (half_hour(ts_ms), hour(ts_ms));
        let mut nearest = level;
        let mut choose = |mean: f32, visits: u8| {
            let mean = f64::from(mean);
            if visits > 0 && (value - mean).abs() < (value - nearest).abs() {
                nearest = mean;
            }
        };
        choose(self.day[half], count(&self.day_visits, half));
        choose(self.week[hour], count(&self.week_visits, hour));
        nearest
    }

    /// Returns how much larger the residuals of this half hour are than those of all, whose mean square is `common`.
    pub(super) fn own_scale(&self, ts_ms: i64, common: f64) -> f64 {
        let half = half_hour(ts_ms);
        let visits = count(&self.day_visits, half);
        if visits < KNOWN_VISITS || common <= 0.0 {
            return 1.0;
        }
        let visits = f64::from(visits).min(1.0 / DAY_RATE);
        let square =
            (visits * f64::from(self.squares[half]) + COMMON_VISITS * common) / (visits + COMMON_VISITS);
        (square / common).sqrt().clamp(*OWN_SCALE.start(), *OWN_SCALE.end())
    }

    /// Learns a sample, the square of its residual as far as it counts, and what one spread is.
    pub(super) fn learn(&mut self, ts_ms: i64, value: f64, square: f64, spread: f64) {
        let (half, hour) = (ts_ms.div_euclid(HALF_HOUR_MS), ts_ms.div_euclid(HOUR_MS));
        if let Some(visit) = self.half_hour.turn(half) {
            self.end_half_hour(visit, spread);
        }
        self.half_hour.take(value, square);
        if let Some(visit) = self.hour.turn(hour) {
            let place = visit.number.rem_euclid(HOURS as i64) as usize;
            let visits = count(&self.week_visits, place);
            let mean = f64::from(self.week[place]);
            let rate = (1.0 / (f64::from(visits) + 1.0)).max(WEEK_RATE);
            self.week[place] = (mean + rate * (visit.mean() - mean)) as f32;
            add_one(&mut self.week_visits, place, MAX_VISITS);
        }
        self.hour.take(value, 0.0);
    }

    fn end_half_hour(&mut self, visit: Visit, spread: f64) {
        let place = visit.number.rem_euclid(HALF_HOURS as i64) as usize;
        let visits = count(&self.day_visits, place);
        let mean = f64::from(self.day[place]);
        let limit = if visits >= KNOWN_VISITS { VISIT_LIMIT_SPREADS * spread } else { f64::INFINITY };
        let rate = (1.0 / (f64::from(visits) + 1.0)).max(DAY_RATE);
        self.day[place] = (mean + rate * (visit.mean() - mean).clamp(-limit, limit)) as f32;
        add_one(&mut self.day_visits, place, MAX_VISITS);
        if visits > 0 {
            let square = f64::from(self.squares[place]);
            let rate = (1.0 / f64::from(visits)).max(DAY_RATE);
            let square = square + rate * (visit.squares / f64::from(visit.samples) - square);
            self.squares[place] = square.min(MAX_SQUARE) as f32;
        }
    }
}

impl Visit {
    /// Returns the visit that ends where another half hour or hour begins.
    fn turn(&mut self, number: i64) -> Option<Self> {
        if self.number == number {
            return None;
        }
        let ended = std::mem::replace(self, Self { number, ..Self::default() });
        (ended.samples > 0).then_some(ended)
    }

    fn take(&mut self, value: f64, square: f64) {
        self.sum += value;
        self.squares += square;
        self.samples = self.samples.saturating_add(1);
    }

    fn mean(self) -> f64 {
        self.sum / f64::from(self.samples.max(1))
    }
}

fn half_hour(ts_ms: i64) -> usize {
    ts_ms.div_euclid(HALF_HOUR_MS).rem_euclid(HALF_HOURS as i64) as usize
}

fn hour(ts_ms: i64) -> usize {
    ts_ms.div_euclid(HOUR_MS).rem_euclid(HOURS as i64) as usize
}
