//! What comes at its time is known: jobs each hour, backups each night, office hours; and what comes at another time, or
//! goes farther, fires.

use detection::Settings;
use detection::metric_profile::Metric;
use detection::series::Series;
use detection::series::alarm_budget::FiringThreshold;
use shared::events::anomaly::Status;

use crate::shop::{Noise, Source};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;
/// Monday, 2 June 2025, 0:00 UTC.
const MONDAY_MS: i64 = 1_748_822_400_000;
const CADENCES_MS: [i64; 4] = [10_000, 30_000, 60_000, 300_000];

/// A series of life: what it shows at a time, without noise.
type Life<'a> = &'a dyn Fn(i64) -> f64;

/// Lets a series live, and returns when it began to fire.
fn fired(metric: &str, unit: &str, every_ms: i64, span: std::ops::Range<i64>, life: Life<'_>) -> Vec<i64> {
    fired_in(&Settings::default(), metric, unit, every_ms, span, life)
}

fn fired_in(
    settings: &Settings,
    metric: &str,
    unit: &str,
    every_ms: i64,
    span: std::ops::Range<i64>,
    life: Life<'_>,
) -> Vec<i64> {
    let mut source = Source::new(Noise::Gaussian, 11);
    let mut series = Series::new(Metric::new(metric, unit, &settings.metrics));
    let threshold = FiringThreshold::of((12 * WEEK_MS / every_ms) as f64, 1.0);
    let (mut fires, mut fired) = (false, Vec::new());
    for ts_ms in span.step_by(every_ms as usize) {
        let value = life(ts_ms);
        if value.is_nan() {
            continue;
        }
        let value = (value * (1.0 + 0.04 * source.draw())).max(0.0);
        if let Some(change) = series.observe(ts_ms, value, &threshold, settings).unwrap() {
            let firing = change.episode.alert.status == Status::Firing;
            fired.extend((firing && !fires).then_some(ts_ms));
            fires = firing;
        }
    }
    fired
}

/// Returns a number between 0 and 1 that belongs to another one.
fn draw(number: i64) -> f64 {
    let mixed = (number.unsigned_abs() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A job of three minutes at the start of each hour, up to two minutes late.
fn hourly(ts_ms: i64) -> f64 {
    let late_ms = (draw(ts_ms.div_euclid(HOUR_MS)) * 2.0 * MINUTE_MS as f64) as i64;
    if (ts_ms.rem_euclid(HOUR_MS) - late_ms).clamp(0, 3 * MINUTE_MS - 1)
        == ts_ms.rem_euclid(HOUR_MS) - late_ms
    {
        76.0
    } else {
        22.0
    }
}

/// A backup each night at two, up to six minutes late, of half an hour to forty minutes.
fn nightly(ts_ms: i64) -> f64 {
    let day = ts_ms.div_euclid(DAY_MS);
    let began = 2 * HOUR_MS + (draw(day) * 6.0 * MINUTE_MS as f64) as i64;
    let lasts = 30 * MINUTE_MS + (draw(day + 1000) * 10.0 * MINUTE_MS as f64) as i64;
    let at = ts_ms.rem_euclid(DAY_MS);
    if (began..began + lasts).contains(&at) { 60.0 + 8.0 * draw(day + 2000) } else { 15.0 }
}

/// The load of people at work, by the clock on their wall.
fn office(local_ms: i64) -> f64 {
    let day = (local_ms - MONDAY_MS).div_euclid(DAY_MS).rem_euclid(7);
    let hour = local_ms.rem_euclid(DAY_MS) as f64 / HOUR_MS as f64;
    let ramp = (hour - 8.5).clamp(0.0, 1.0) * ((18.5 - hour) / 1.5).clamp(0.0, 1.0);
    20.0 + if day < 5 { 180.0 } else { 12.0 } * ramp
}

#[test]
fn a_job_of_each_hour_is_known_from_the_second_day_on() {
    for every_ms in CADENCES_MS {
        let all = fired("cpu_percent", "%", every_ms, MONDAY_MS..MONDAY_MS + 4 * DAY_MS, &hourly);
        let late = all.iter().filter(|at| **at >= MONDAY_MS + DAY_MS).count();
        assert!(late <= 1, "{every_ms} ms: {all:?}");
    }
}

#[test]
fn a_job_of_each_hour_by_the_second_is_known_from_the_second_day_on() {
    let all = fired("latency_p99_ms", "ms", 1000, MONDAY_MS..MONDAY_MS + 2 * DAY_MS, &|at| 5.0 * hourly(at));
    let late = all.iter().filter(|at| **at >= MONDAY_MS + DAY_MS).count();
    assert_eq!(late, 0, "{all:?}");
}

#[test]
fn a_backup_of_each_night_is_known_from_the_third_night_on() {
    for every_ms in CADENCES_MS {
        let all = fired("cpu_percent", "%", every_ms, MONDAY_MS..MONDAY_MS + 14 * DAY_MS, &nightly);
        // the first weekend has nights of its own
        let late = all.iter().filter(|at| **at >= MONDAY_MS + WEEK_MS).count();
        assert!(late <= 1, "{every_ms} ms: {all:?}");
    }
}

#[test]
fn office_hours_are_known_from_the_second_week_on_and_grow() {
    for every_ms in CADENCES_MS {
        for (metric, unit, growth) in
            [("request_rate", "1/s", 0.0), ("request_rate", "1/s", 0.03), ("flux", "", 0.0)]
        {
            let life = |at: i64| office(at) * (1.0 + growth * ((at - MONDAY_MS) / WEEK_MS) as f64);
            let all = fired(metric, unit, every_ms, MONDAY_MS..MONDAY_MS + 21 * DAY_MS, &life);
            let late = all.iter().filter(|at| **at >= MONDAY_MS + WEEK_MS).count();
            assert!(late <= 1, "{every_ms} ms {metric} {growth}: {:?}", days(&all));
        }
    }
}

#[test]
fn office_hours_go_by_the_clock_of_the_zone() {
    // in 2025 clocks were set forward on 30 March, a Sunday; three weeks before, Monday, 10 March
    let from_ms = MONDAY_MS - 12 * WEEK_MS;
    let settings: Settings = serde_json::from_str(r#"{"time_zone":"Europe/Berlin"}"#).unwrap();
    let changed_ms = 1_743_296_400_000;
    let life = |at: i64| office(at + if at < changed_ms { HOUR_MS } else { 2 * HOUR_MS });
    let all = fired_in(&settings, "request_rate", "1/s", MINUTE_MS, from_ms..from_ms + 28 * DAY_MS, &life);
    assert!(all.iter().all(|at| *at < from_ms + WEEK_MS), "{:?}", days(&all));
}

#[test]
fn a_job_at_another_time_or_much_farther_fires() {
    for every_ms in [10_000, MINUTE_MS] {
        // on the fifth day, at another minute
        let odd_ms = MONDAY_MS + 4 * DAY_MS + 10 * HOUR_MS + 25 * MINUTE_MS;
        let life = |at: i64| if (odd_ms..odd_ms + 10 * MINUTE_MS).contains(&at) { 76.0 } else { hourly(at) };
        let all = fired("cpu_percent", "%", every_ms, MONDAY_MS..odd_ms + HOUR_MS, &life);
        assert!(all.iter().any(|at| (0..10 * MINUTE_MS).contains(&(at - odd_ms))), "{every_ms}: {all:?}");
        // a backup that needs twice as much, and one in the evening
        for (hour, height) in [(2, 1.6), (20, 0.0)] {
            let odd_ms = MONDAY_MS + 10 * DAY_MS + hour * HOUR_MS;
            let life = |at: i64| {
                let is_odd = (odd_ms..odd_ms + 50 * MINUTE_MS).contains(&at);
                if !is_odd {
                    nightly(at)
                } else if height > 0.0 {
                    height * nightly(at)
                } else {
                    64.0
                }
            };
            let all = fired("cpu_percent", "%", every_ms, MONDAY_MS..odd_ms + HOUR_MS, &life);
            assert!(
                all.iter().any(|at| (0..50 * MINUTE_MS).contains(&(at - odd_ms))),
                "{every_ms}, {hour} h: {:?}",
                days(&all)
            );
        }
    }
}

#[test]
fn what_breaks_in_office_hours_is_found() {
    for every_ms in [10_000, MINUTE_MS] {
        let at_ms = MONDAY_MS + 2 * WEEK_MS + DAY_MS + 11 * HOUR_MS;
        for factor in [0.0, 0.4, 2.5] {
            let life = |at: i64| if at < at_ms { office(at) } else { factor * office(at) };
            let all = fired("request_rate", "1/s", every_ms, MONDAY_MS..at_ms + HOUR_MS, &life);
            assert!(all.iter().any(|at| *at >= at_ms), "{every_ms} x {factor}: {:?}", days(&all));
        }
    }
}

#[test]
fn a_morning_without_its_rise_is_found() {
    for every_ms in [MINUTE_MS, 5 * MINUTE_MS] {
        let day_ms = MONDAY_MS + 4 * WEEK_MS + 2 * DAY_MS;
        let life = |at: i64| if at < day_ms { office(at) } else { 20.0 };
        let all = fired("request_rate", "1/s", every_ms, MONDAY_MS..day_ms + 14 * HOUR_MS, &life);
        assert!(all.iter().any(|at| *at >= day_ms), "{every_ms}: {:?}", days(&all));
    }
}

#[test]
fn a_job_of_each_hour_that_does_not_come_is_missed() {
    // a sample in five minutes hardly ever meets a job of three
    for every_ms in [10_000, MINUTE_MS] {
        let missed_ms = MONDAY_MS + 3 * DAY_MS + 10 * HOUR_MS;
        let life = |at: i64| if (missed_ms..missed_ms + HOUR_MS).contains(&at) { 22.0 } else { hourly(at) };
        let all = fired("request_rate", "1/s", every_ms, MONDAY_MS..missed_ms + HOUR_MS, &life);
        assert!(all.iter().any(|at| *at >= missed_ms), "{every_ms}: {:?}", days(&all));
    }
}

#[test]
fn after_a_pause_the_day_may_have_moved_and_a_fault_is_found() {
    for every_ms in [10_000, MINUTE_MS] {
        for (hour, pause_min) in (0..24).flat_map(|hour| [(hour, 90), (hour, 20), (hour, 600)]) {
            for age_days in [0, 3] {
                let from_ms = MONDAY_MS + age_days * DAY_MS + 6 * HOUR_MS + hour * HOUR_MS;
                let until_ms = from_ms + pause_min * MINUTE_MS;
                let day =
                    |at: i64| 150.0 * (1.0 + 0.4 * (std::f64::consts::TAU * at as f64 / DAY_MS as f64).sin());
                let life = |factor: f64| {
                    move |at: i64| {
                        if (from_ms..until_ms).contains(&at) {
                            f64::NAN
                        } else if at < until_ms {
                            day(at)
                        } else {
                            factor * day(at)
                        }
                    }
                };
                let span = MONDAY_MS..until_ms + HOUR_MS;
                let case = format!("{every_ms} ms, {hour} h, {pause_min} min, {age_days} days");
                let healthy = fired("request_rate", "1/s", every_ms, span.clone(), &life(1.0));
                assert_eq!(healthy, [0; 0], "{case}");
                if hour % 6 == 0 && pause_min < 600 {
                    // on the first day the climb of the morning is still what noise looks like
                    let factor = if age_days == 0 { 4.0 } else { 3.0 };
                    let fault = fired("request_rate", "1/s", every_ms, span, &life(factor));
                    assert!(fault.iter().any(|at| *at >= until_ms), "{case}: a fault");
                }
            }
        }
    }
}

/// Returns times as days and hours since the first Monday, to be read.
fn days(all: &[i64]) -> Vec<String> {
    all.iter()
        .map(|at| {
            let since = at - MONDAY_MS;
            let (day, hour) = (since.div_euclid(DAY_MS), since.rem_euclid(DAY_MS) / HOUR_MS);
            format!("{day}d {hour}:{:02}", since.rem_euclid(HOUR_MS) / MINUTE_MS)
        })
        .collect()
}

/// About every two hours, at no time of its own, something takes the processor for half a minute to a minute and a half.
fn in_bursts(ts_ms: i64) -> f64 {
    let slot = ts_ms.div_euclid(2 * HOUR_MS);
    let began = (draw(slot) * 110.0 * MINUTE_MS as f64) as i64;
    let lasts = 30_000 + (draw(slot + 5000) * MINUTE_MS as f64) as i64;
    let at = ts_ms.rem_euclid(2 * HOUR_MS);
    if (began..began + lasts).contains(&at) { 55.0 + 10.0 * draw(slot + 9000) } else { 22.0 }
}

#[test]
fn bursts_at_no_time_of_their_own_are_known_from_the_third_day_on() {
    for every_ms in [5_000, 10_000] {
        let all = fired("cpu_percent", "%", every_ms, MONDAY_MS..MONDAY_MS + 8 * DAY_MS, &in_bursts);
        let (early, late): (Vec<i64>, Vec<i64>) = all.iter().partition(|at| **at < MONDAY_MS + 2 * DAY_MS);
        assert!(early.len() >= 6 && late.len() <= 1, "{every_ms} ms: {all:?}");
    }
}

#[test]
fn a_burst_that_lasts_longer_or_goes_farther_than_usual_fires() {
    let fault_ms = MONDAY_MS + 6 * DAY_MS + 10 * HOUR_MS;
    for (level, lasts_ms, within_ms) in [(60.0, 30 * MINUTE_MS, 5 * MINUTE_MS), (96.0, MINUTE_MS, MINUTE_MS)]
    {
        let life = |at| if (fault_ms..fault_ms + lasts_ms).contains(&at) { level } else { in_bursts(at) };
        let all = fired("cpu_percent", "%", 10_000, MONDAY_MS..fault_ms + HOUR_MS, &life);
        assert!(all.iter().any(|at| (fault_ms..=fault_ms + within_ms).contains(at)), "{level}: {all:?}");
    }
}
