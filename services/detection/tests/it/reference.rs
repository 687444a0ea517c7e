//! The evidence agrees with the research code it was written after, sample by sample.
//!
//! `tests/reference/make.py` writes what that code says about three generated series to `expected.json`, and
//! `make_bars.py` what the code for slow series says about four to `bars.json`.

use detection::series::bars::Bars;
use detection::series::history::HistoryModel;
use serde::Deserialize;

/// Larger than the sums of rounding, and far below what moves a decision.
const TOLERANCE: f64 = 2e-5;

#[derive(Deserialize)]
struct Expected {
    shape: String,
    rows: u32,
    interval: u32,
    seed: u64,
    every: usize,
    records: Vec<usize>,
    rarity: Vec<f64>,
    effect: Vec<f64>,
}

#[derive(Deserialize)]
struct ExpectedBars {
    shape: String,
    rows: u32,
    interval: u32,
    seed: u64,
    every: usize,
    alarms: Vec<usize>,
    score: Vec<f64>,
}

/// Returns the values of a generated series: the twin of `series` in `make.py` and `make_bars.py`.
fn values(shape: &str, rows: u32, interval: u32, mut seed: u64) -> Vec<f64> {
    let mut draw = || {
        // Lehmer's generator, modulus 2^31 - 1, multiplier 48271
        seed = seed * 48_271 % 2_147_483_647;
        seed as f64 / 2_147_483_647.0
    };
    let value = |i: u32| {
        let noise = draw() + draw() + draw() + draw() - 2.0;
        let part = f64::from(i * interval % 86_400) / 86_400.0;
        let day = 1.0 - (2.0 * part - 1.0).abs();
        let (block, at) = (i / 250, f64::from(i % 250));
        let mut value = 100.0 + 3.0 * noise;
        match shape {
            "daily" => value += 60.0 * day,
            "skewed" => value = 20.0 + 30.0 * (noise + 2.0) * (noise + 2.0) * (noise + 2.0),
            _ => {}
        }
        if block % 7 == 5 && at < 40.0 {
            value += 4.0 * at;
        }
        if block % 11 == 8 && at < 90.0 {
            value = if shape == "skewed" { 100.0 } else { 120.0 };
        }
        if block % 13 == 3 && at < 60.0 {
            value += 30.0 * noise;
        }
        if i % 1700 == 1234 {
            value += 400.0;
        }
        if shape == "sparse" && noise < 1.0 && i % 1700 != 1234 {
            value = 0.0;
        }
        value
    };
    (0..rows).map(value).collect()
}

#[test]
fn each_sample_is_judged_as_by_the_research_code() {
    let expected: Vec<Expected> = serde_json::from_str(include_str!("../reference/expected.json")).unwrap();
    for series in expected {
        let mut evidence = HistoryModel::default();
        let mut records = Vec::new();
        for (i, value) in
            values(&series.shape, series.rows, series.interval, series.seed).into_iter().enumerate()
        {
            let interval_ms = i64::from(series.interval) * 1000;
            let score =
                evidence.observe(1_750_000_000_000 + i as i64 * interval_ms, value, interval_ms as f64);
            records.extend(score.record.is_some().then_some(i));
            if i % series.every == 0 {
                let place = i / series.every;
                for (what, ours, theirs) in [
                    ("rarity", score.rarity, series.rarity[place]),
                    ("effect", score.effect, series.effect[place]),
                ] {
                    assert!(
                        (ours - theirs).abs() <= TOLERANCE * theirs.max(1.0),
                        "{} row {i}: {what} {ours} instead of {theirs}",
                        series.shape
                    );
                }
            }
        }
        assert_eq!(records, series.records, "{}: records", series.shape);
    }
}

#[test]
fn each_sample_of_a_slow_series_is_judged_as_by_the_research_code() {
    let expected: Vec<ExpectedBars> = serde_json::from_str(include_str!("../reference/bars.json")).unwrap();
    for series in expected {
        let mut bars = Bars::default();
        let mut alarms = Vec::new();
        for (i, value) in
            values(&series.shape, series.rows, series.interval, series.seed).into_iter().enumerate()
        {
            let interval_ms = i64::from(series.interval) * 1000;
            let score = bars.observe(1_750_000_000_000 + i as i64 * interval_ms, value, interval_ms as f64);
            alarms.extend(score.is_alarm.then_some(i));
            if i % series.every == 0 {
                let theirs = series.score[i / series.every];
                // means are kept in single precision
                assert!(
                    (score.score - theirs).abs() <= 10.0 * TOLERANCE * theirs.max(1.0),
                    "{} row {i}: {} instead of {theirs}",
                    series.shape,
                    score.score
                );
            }
        }
        assert_eq!(alarms, series.alarms, "{}: alarms", series.shape);
    }
}
