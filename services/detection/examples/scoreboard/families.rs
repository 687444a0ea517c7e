//! Families of series with known truth: what is healthy about each, and faults of nine kinds in each at four cadences.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use detection::Settings;
use detection::metric_profile::Metric;
use detection::series::Series;
use detection::series::alarm_budget::FiringThreshold;
use serde_json::{Map, Value, json};
use shared::events::anomaly::Status;

use crate::noises::thousandths;
use crate::shop::{Noise, Source};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: f64 = 7.0 * DAY_MS as f64;
/// Monday, 2 June 2025, 0:00 UTC.
const MONDAY_MS: i64 = 1_748_822_400_000;

/// Cadences: name, interval, days, and days that belong to learning.
const CADENCES: [(&str, i64, i64, i64); 4] =
    [("10 s", 10_000, 9, 7), ("1 min", 60_000, 16, 7), ("5 min", 300_000, 28, 7), ("1 h", HOUR_MS, 100, 14)];

const FAULTS: [&str; 9] =
    ["spike", "level up", "level down", "outage", "ramp", "variance", "shape", "frozen", "season missing"];

/// How values come about: a time in hours, its hour of the day, its weekday from Monday, the noise, and the value before.
struct Moment<'a> {
    hours: f64,
    hour: f64,
    weekday: i64,
    source: &'a mut Source,
    before: f64,
    /// Number of the sample.
    index: f64,
    every_h: f64,
}

type Family = (&'static str, fn(Moment<'_>) -> f64);

/// The families. The usual value of each is about a hundred, or one where it counts.
const FAMILIES: [Family; 32] = [
    ("level", |m| 100.0 + 5.0 * m.source.draw()),
    ("level, skewed", |m| 100.0 * (0.3 * m.source.draw()).exp()),
    ("level, heavy tails", |m| {
        let draw = m.source.draw();
        100.0 + 3.0 * draw * draw.abs()
    }),
    ("level, two modes", |m| if m.source.draw() > 0.0 { 80.0 } else { 120.0 } + 3.0 * m.source.draw()),
    ("autocorrelated", |m| 100.0 + 0.9 * (m.before - 100.0) + 2.0 * m.source.draw()),
    ("random walk, held", |m| 100.0 + 0.99 * (m.before - 100.0) + m.source.draw()),
    ("trend", |m| 100.0 + 0.05 * m.hours + 3.0 * m.source.draw()),
    ("trend down", |m| 300.0 - 0.05 * m.hours + 3.0 * m.source.draw()),
    ("daily sine", |m| 100.0 * (1.0 + 0.5 * day(m.hour)) * (1.0 + 0.05 * m.source.draw())),
    ("daily sine, growing", |m| {
        100.0 * (1.0 + 0.5 * day(m.hour)) * (1.0 + 2e-4 * m.hours) * (1.0 + 0.05 * m.source.draw())
    }),
    ("daily, steep", |m| 100.0 * (1.0 + 0.5 * (3.0 * day(m.hour)).tanh()) * (1.0 + 0.05 * m.source.draw())),
    ("daily, skewed", |m| 100.0 * (1.0 + 0.5 * day(m.hour)) * (0.2 * m.source.draw()).exp()),
    ("daily and weekly", |m| {
        let weekend = if m.weekday < 5 { 1.0 } else { 0.5 };
        100.0 * weekend * (1.0 + 0.5 * day(m.hour)) * (1.0 + 0.05 * m.source.draw())
    }),
    ("office hours", |m| {
        let at_work = m.weekday < 5 && (8.0..18.0).contains(&m.hour);
        (if at_work { 100.0 } else { 10.0 }) * (1.0 + 0.05 * m.source.draw())
    }),
    ("two peaks a day", |m| {
        let peaks = bump(m.hour, 9.0) + bump(m.hour, 19.0);
        30.0 * (1.0 + 3.0 * peaks) * (1.0 + 0.06 * m.source.draw())
    }),
    ("job each hour", |m| job(m.hours.fract() < 0.05_f64.max(m.every_h), 40.0, 100.0, m.source)),
    ("job each quarter", |m| {
        job((4.0 * m.hours).fract() < 0.13_f64.max(4.0 * m.every_h), 40.0, 60.0, m.source)
    }),
    ("job each six hours", |m| {
        job((m.hours / 6.0).fract() < 0.05_f64.max(m.every_h / 6.0), 40.0, 100.0, m.source)
    }),
    ("job each night", |m| job((2.0..2.75).contains(&m.hour), 40.0, 100.0, m.source)),
    ("job each Sunday", |m| job(m.weekday == 6 && (3.0..5.0).contains(&m.hour), 40.0, 100.0, m.source)),
    ("sawtooth of 20 min", |m| 40.0 + 60.0 * (3.0 * m.hours).fract() + m.source.draw()),
    ("sawtooth of 7 h", |m| 40.0 + 60.0 * (m.hours / 7.0).fract() + m.source.draw()),
    ("square wave of 90 min", |m| {
        (if (m.hours / 1.5).fract() < 0.5 { 60.0 } else { 120.0 }) + 3.0 * m.source.draw()
    }),
    ("oscillation of 10 samples", |m| 100.0 + 20.0 * (TAU * m.index / 10.0).sin() + 3.0 * m.source.draw()),
    ("bursts", |m| {
        let bursts = chance(m.source) < 1.0 / 300.0 || m.before > 160.0 && chance(m.source) < 0.8;
        if bursts { 200.0 + 20.0 * m.source.draw() } else { 100.0 + 5.0 * m.source.draw() }
    }),
    ("counts", |m| count(4.0, m.source)),
    ("counts, mostly zero", |m| count(0.05, m.source)),
    ("counts, rarely not zero", |m| count(0.004, m.source) * (1.0 + (3.0 * chance(m.source)).floor())),
    ("counts by day", |m| count(3.0 * (1.0 + 0.9 * day(m.hour)), m.source)),
    ("quantised", |m| (20.0 + 1.2 * m.source.draw()).round()),
    ("share of failures", |m| 100.0 * count(2.0, m.source) / 200.0),
    ("irregular cadence, level", |m| 100.0 + 5.0 * m.source.draw()),
];

fn day(hour: f64) -> f64 {
    (TAU * (hour - 9.0) / 24.0).sin()
}

fn bump(hour: f64, at: f64) -> f64 {
    (-((hour - at) / 1.5).powi(2)).exp()
}

fn job(runs: bool, idle: f64, more: f64, source: &mut Source) -> f64 {
    let idle = idle * (1.0 + 0.05 * source.draw());
    if runs { idle + more * (1.0 + 0.1 * source.draw()) } else { idle }
}

/// Draws between 0 and 1.
fn chance(source: &mut Source) -> f64 {
    let draw = source.draw();
    (draw * 1e4).rem_euclid(1.0)
}

/// Draws the number of events where `mean` are expected.
fn count(mean: f64, source: &mut Source) -> f64 {
    let (mut left, mut events) = ((-mean).exp(), 0.0);
    let mut draw = chance(source);
    while draw > left && events < 50.0 {
        draw -= left;
        events += 1.0;
        left *= mean / events;
    }
    events
}

/// What became of one series.
#[derive(Default)]
struct Outcome {
    /// False episodes that fired and false decisions, after learning and outside the fault.
    fired: u32,
    decided: u32,
    weeks: f64,
    /// Whether the fault was decided, and fired, while it lasted or shortly after.
    found: bool,
    pages: bool,
}

/// A series that is made sample by sample, with its fault.
struct Life {
    family: usize,
    cadence: usize,
    fault: Option<usize>,
    source: Source,
    before: f64,
    frozen: f64,
    /// Mean step from sample to sample, and the mean of the last samples.
    spread: f64,
    usual: f64,
}

impl Life {
    fn new(family: usize, cadence: usize, fault: Option<usize>, seed: u64) -> Self {
        let number = seed * 10_000 + (family * 100 + cadence) as u64;
        let source = Source::new(Noise::Gaussian, number);
        Self { family, cadence, fault, source, before: 100.0, frozen: 100.0, spread: 0.0, usual: 100.0 }
    }

    /// Returns when the fault begins and how long it lasts, milliseconds: on a working day, late in the morning.
    fn fault_ms(&self) -> (i64, i64) {
        let (_, every_ms, days, _) = CADENCES[self.cadence];
        let day = (days * 3 / 4..days).find(|day| day % 7 < 5).unwrap_or(days - 1);
        let lasts_ms = if self.fault == Some(0) { every_ms } else { (2 * HOUR_MS).max(4 * every_ms) };
        (day * DAY_MS + 10 * HOUR_MS + every_ms, lasts_ms)
    }

    /// Returns the next sample: its time since the beginning, milliseconds, and its value.
    fn next(&mut self, index: i64) -> (i64, f64) {
        let (_, every_ms, ..) = CADENCES[self.cadence];
        let (name, value_of) = FAMILIES[self.family];
        let is_irregular = name.starts_with("irregular");
        let late_ms =
            if is_irregular { (chance(&mut self.source) * 0.8 * every_ms as f64) as i64 } else { 0 };
        let at_ms = index * every_ms + late_ms;
        let hours = at_ms as f64 / HOUR_MS as f64;
        let value = value_of(Moment {
            hours,
            hour: hours.rem_euclid(24.0),
            weekday: at_ms / DAY_MS % 7,
            source: &mut self.source,
            before: self.before,
            index: index as f64,
            every_h: every_ms as f64 / HOUR_MS as f64,
        });
        let rate = 1.0 / (index as f64 + 1.0).min(500.0);
        let step = (value - self.before).abs();
        self.spread += rate * (step.min(10.0 * self.spread.max(1.0)) - self.spread);
        self.usual += rate * (value - self.usual);
        self.before = value;
        let (from_ms, lasts_ms) = self.fault_ms();
        if let Some(kind) = self.fault.filter(|_| (from_ms..from_ms + lasts_ms).contains(&at_ms)) {
            let part = (at_ms - from_ms) as f64 / lasts_ms as f64;
            (at_ms, self.break_it(kind, value, part, index))
        } else {
            self.frozen = value;
            (at_ms, value)
        }
    }

    fn break_it(&mut self, kind: usize, value: f64, part: f64, index: i64) -> f64 {
        let spread = self.spread;
        match FAULTS[kind] {
            "spike" => value + 12.0 * spread,
            "level up" => value + 6.0 * spread,
            "level down" => value - 6.0 * spread,
            "outage" => 0.0,
            "ramp" => value + 10.0 * spread * part,
            "variance" => value + 5.0 * spread * self.source.draw(),
            "shape" => value + 6.0 * spread * (TAU * index as f64 / 6.0).sin(),
            "frozen" => self.frozen,
            _ => self.usual,
        }
    }
}

/// Lets a series live, with a fault if there is one.
fn live(family: usize, cadence: usize, fault: Option<usize>, seed: u64) -> Outcome {
    let (_, every_ms, days, learning) = CADENCES[cadence];
    let settings = Settings::default();
    let mut life = Life::new(family, cadence, fault, seed);
    let (from_ms, lasts_ms) = life.fault_ms();
    let mut series = Series::new(Metric::new("flux", "", &settings.metrics));
    let threshold = FiringThreshold::of(42.0 * WEEK_MS / every_ms as f64, 1.0);
    let (mut outcome, mut fires) = (Outcome::default(), false);
    for index in 0..days * DAY_MS / every_ms {
        let (at_ms, value) = life.next(index);
        let Ok(Some(change)) = series.observe(MONDAY_MS + at_ms, value, &threshold, &settings) else {
            continue;
        };
        let firing = change.episode.alert.status == Status::Firing;
        let begins = firing && !fires;
        fires = firing;
        let is_near = fault.is_some() && (from_ms..from_ms + lasts_ms + 5 * every_ms).contains(&at_ms);
        if is_near {
            outcome.found |= change.is_decision;
            outcome.pages |= begins;
        } else if at_ms >= learning * DAY_MS && (fault.is_none() || at_ms < from_ms) {
            outcome.decided += u32::from(change.is_decision);
            outcome.fired += u32::from(begins);
        }
    }
    let until_ms = if fault.is_some() { from_ms } else { days * DAY_MS };
    outcome.weeks = (until_ms - learning * DAY_MS).max(0) as f64 / WEEK_MS;
    outcome
}

/// Runs all families, healthy and with each fault.
pub(crate) fn score(quick: bool, page: &mut String) -> Value {
    let mut summary = Map::new();
    healthy(if quick { 1 } else { 3 }, page, &mut summary);
    let _ = write!(
        page,
        "\n\nFaults found, of {} each: fired / decided.\n\n| fault | 10 s | 1 min | 5 min | 1 h |\n|---|---|---|---|---|\n",
        FAMILIES.len()
    );
    for (fault, name) in FAULTS.iter().enumerate() {
        let _ = write!(page, "| {name} |");
        let mut row = Vec::new();
        for cadence in 0..CADENCES.len() {
            let all = (0..FAMILIES.len()).map(|family| live(family, cadence, Some(fault), 7));
            let (pages, found) = all.fold((0, 0), |(pages, found), one| {
                (pages + u32::from(one.pages), found + u32::from(one.found))
            });
            let _ = write!(page, " {pages} / {found} |");
            row.push(json!([pages, found]));
        }
        page.push('\n');
        summary.insert(format!("found, {name}"), Value::Array(row));
    }
    Value::Object(summary)
}

/// Runs the families without faults.
fn healthy(seeds: u64, page: &mut String, summary: &mut Map<String, Value>) {
    let _ = write!(
        page,
        "\n## Families\n\n{} families of series, each at four cadences, healthy and with one of nine faults of two hours (four samples by \
         the hour; a spike is one) on a working day late in the morning: {} faults. Sizes are in mean steps from sample to sample: a spike of \
         12, a level of 6, a ramp to 10, a variance of 5. No setting was chosen by them. False alarms a series and week after the first \
         week (by the hour after two): fired / decided.\n\n| family | 10 s | 1 min | 5 min | 1 h |\n|---|---|---|---|---|\n",
        FAMILIES.len(),
        FAMILIES.len() * CADENCES.len() * FAULTS.len()
    );
    let mut total = [[0.0; 3]; CADENCES.len()];
    for (family, (name, _)) in FAMILIES.iter().enumerate() {
        let _ = write!(page, "| {name} |");
        for (cadence, total) in total.iter_mut().enumerate() {
            let mut sums = [0.0; 3];
            for seed in 0..seeds {
                let one = live(family, cadence, None, seed);
                let counts = [f64::from(one.fired), f64::from(one.decided), one.weeks];
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
            let _ = write!(page, " {:.2} / {:.2} |", sums[0] / sums[2], sums[1] / sums[2]);
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        page.push('\n');
    }
    let _ = write!(page, "| **all** |");
    for (total, (name, ..)) in total.iter().zip(CADENCES) {
        let (fired, decided) = (total[0] / total[2], total[1] / total[2]);
        let _ = write!(page, " {fired:.2} / {decided:.2} |");
        summary.insert(
            format!("false a series-week, {name}"),
            json!([thousandths(fired), thousandths(decided)]),
        );
    }
}
