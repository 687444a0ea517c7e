//! Days and weeks: what they bring is known in time, and what breaks with them is found.

use detection::Settings;
use detection::metric_profile::Metric;
use detection::series::Series;
use detection::series::alarm_budget::FiringThreshold;
use shared::events::anomaly::Status;

use crate::shop::{METRICS, Noise, SERVICES, START_MS, Source, healthy};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;
const TRAFFIC: usize = 0;
const LATENCY: usize = 2;
/// The first Wednesday's noon; [`START_MS`] is a Sunday afternoon.
const WEDNESDAY_MS: i64 = START_MS - START_MS % DAY_MS + 3 * DAY_MS + 12 * HOUR_MS;

/// What is told of one series: when it fired, and when it was found abnormal for certain.
#[derive(Default)]
struct Reported {
    fired: Vec<i64>,
    decided: Vec<i64>,
}

impl Reported {
    /// Returns after how many milliseconds from a time on it first fired, within two hours.
    fn delay(&self, from_ms: i64) -> Option<i64> {
        let later = self.fired.iter().map(|at| at - from_ms);
        later.filter(|delay| (0..2 * HOUR_MS).contains(delay)).min()
    }
}

/// Lets one series of each service live until `until_ms`; `alter` changes what is healthy.
fn live(
    noise: Noise,
    metric: usize,
    interval_ms: i64,
    until_ms: i64,
    alter: impl Fn(i64, f64) -> f64,
) -> Vec<Reported> {
    let settings = Settings::default();
    let (name, unit) = METRICS[metric];
    // what the whole shop demands
    let series = SERVICES.len() * METRICS.len();
    let threshold = FiringThreshold::of((series as i64 * WEEK_MS / interval_ms) as f64, 1.0);
    let one = |(seed, (_, bases)): (usize, &(&str, [f64; 7]))| {
        let mut source = Source::new(noise, seed as u64);
        let mut series = Series::new(Metric::new(name, unit, &settings.metrics));
        let mut told = Reported::default();
        let mut fires = false;
        for ts_ms in (START_MS..until_ms).step_by(interval_ms as usize) {
            let value = alter(ts_ms, healthy(bases[metric], metric, ts_ms, &mut source));
            if let Some(change) = series.observe(ts_ms, value, &threshold, &settings).unwrap() {
                let firing = change.episode.alert.status == Status::Firing;
                told.fired.extend((firing && !fires).then_some(ts_ms));
                told.decided.extend(change.is_decision.then_some(ts_ms));
                fires = firing;
            }
        }
        told
    };
    SERVICES.iter().enumerate().map(one).collect()
}

#[test]
fn a_total_outage_is_found_within_three_samples_under_every_noise_at_every_age_and_cadence() {
    let noises = [Noise::Gaussian, Noise::Skewed(0.4), Noise::Bursty, Noise::Sluggish(0.9), Noise::Weekly];
    for noise in noises {
        for (interval_ms, day) in [(60_000, 0), (60_000, 7), (300_000, 0), (300_000, 7), (300_000, 28)] {
            let at_ms = WEDNESDAY_MS + day * DAY_MS;
            let all =
                live(
                    noise,
                    TRAFFIC,
                    interval_ms,
                    at_ms + HOUR_MS,
                    |ts_ms, value| {
                        if ts_ms < at_ms { value } else { 0.0 }
                    },
                );
            for (service, told) in all.iter().enumerate() {
                let delay = told.delay(at_ms).map(|delay| delay / interval_ms);
                assert!(
                    delay.is_some_and(|delay| delay <= 3),
                    "{noise:?} {interval_ms} ms, day {day}, service {service}: {delay:?}"
                );
            }
        }
    }
}

#[test]
fn the_load_of_a_weekend_is_abnormal_on_a_wednesday_once_weeks_are_known() {
    // the load is highest at 6 h, when half of it is what a weekend brings
    let at_ms = WEDNESDAY_MS - 6 * HOUR_MS + 4 * WEEK_MS;
    for interval_ms in [60_000, 300_000] {
        let all = live(Noise::Weekly, TRAFFIC, interval_ms, at_ms + HOUR_MS, |ts_ms, value| {
            if ts_ms < at_ms { value } else { 0.5 * value }
        });
        let found = all.iter().filter(|told| told.decided.iter().any(|decided| *decided >= at_ms)).count();
        assert_eq!(found, all.len(), "{interval_ms} ms");
    }
}

#[test]
fn weekends_at_half_load_hardly_fire_at_first_and_then_no_more() {
    for interval_ms in [60_000, 300_000] {
        let until_ms = START_MS + 4 * WEEK_MS;
        let all = live(Noise::Weekly, TRAFFIC, interval_ms, until_ms, |_, value| value);
        let fired = all.iter().flat_map(|told| told.fired.iter());
        let (early, late): (Vec<i64>, Vec<i64>) =
            fired.copied().partition(|at| *at < START_MS + WEEK_MS + DAY_MS);
        assert!(early.len() <= 2 && late.is_empty(), "{interval_ms} ms: {early:?} {late:?}");
    }
}

#[test]
fn a_fault_does_not_echo_at_the_same_time_of_the_days_after_it() {
    for interval_ms in [60_000, 300_000] {
        let from_ms = WEDNESDAY_MS + WEEK_MS;
        let fault = from_ms..from_ms + 2 * HOUR_MS;
        let all = live(Noise::Gaussian, LATENCY, interval_ms, from_ms + 4 * DAY_MS, |ts_ms, value| {
            if fault.contains(&ts_ms) { 100.0 * value } else { value }
        });
        for told in all {
            assert!(told.delay(from_ms).is_some(), "the fault itself is found");
            let echoes = told.decided.iter().filter(|at| **at >= fault.end + HOUR_MS).count();
            assert_eq!(echoes, 0, "{interval_ms} ms: {:?}", told.decided);
        }
    }
}
