//! Series by the hour: found from the second day on, one alarm an episode, and counts where most is zero.

use detection::Settings;
use detection::metric_profile::Metric;
use detection::series::Series;
use detection::series::alarm_budget::FiringThreshold;
use shared::events::anomaly::Status;

use crate::shop::{Noise, Source};

const HOUR_MS: i64 = 3_600_000;
/// Monday, 2 June 2025, 0:00 UTC.
const MONDAY_MS: i64 = 1_748_822_400_000;

/// Returns the hours in which a series began to fire, or was found abnormal anew while it fired.
fn fired(hours: i64, mut value: impl FnMut(i64, &mut Source) -> f64) -> Vec<i64> {
    let settings = Settings::default();
    let mut source = Source::new(Noise::Gaussian, 3);
    let mut series = Series::new(Metric::new("flux", "", &settings.metrics));
    // of a fleet of a dozen series
    let threshold = FiringThreshold::of(12.0 * 168.0, 1.0);
    let (mut fires, mut fired) = (false, Vec::new());
    for hour in 0..hours {
        let value = value(hour, &mut source);
        let change = series.observe(MONDAY_MS + hour * HOUR_MS, value, &threshold, &settings).unwrap();
        if let Some(change) = change {
            let firing = change.episode.alert.status == Status::Firing;
            fired.extend((firing && (!fires || change.is_decision)).then_some(hour));
            fires = firing;
        }
    }
    fired
}

#[test]
fn a_spike_on_the_second_day_is_found() {
    let all = fired(60, |hour, source| 100.0 + 5.0 * source.draw() + if hour == 36 { 150.0 } else { 0.0 });
    assert_eq!(all, [36]);
}

#[test]
fn healthy_weeks_fire_next_to_nothing() {
    let level = |_: i64, source: &mut Source| 100.0 + 5.0 * source.draw();
    let skewed = |_: i64, source: &mut Source| 100.0 * (0.3 * source.draw()).exp();
    let office = |hour: i64, source: &mut Source| {
        let at_work = (8..18).contains(&(hour % 24)) && hour / 24 % 7 < 5;
        if at_work { 100.0 + 5.0 * source.draw() } else { 10.0 + 0.5 * source.draw() }
    };
    let weeks = 24 * 7 * 20;
    for (name, all, most) in [
        ("level", fired(weeks, level), 2),
        ("skewed", fired(weeks, skewed), 9),
        ("office", fired(weeks, office), 5),
    ] {
        let late = all.iter().filter(|hour| **hour >= 7 * 24).count();
        assert!(late <= most, "{name}: {all:?}");
    }
}

#[test]
fn an_episode_of_three_weeks_hides_no_other() {
    let spikes: Vec<i64> = (0..11).map(|spike| 24 * 23 + 40 * spike).collect();
    let all = fired(24 * 50, |hour, source| {
        let usual = 100.0 + 5.0 * source.draw();
        match hour {
            hour if spikes.contains(&hour) => 1000.0,
            480..984 => 3.0 * usual,
            _ => usual,
        }
    });
    assert!(all.contains(&480), "the episode itself: {all:?}");
    // then such spikes are usual: four in a week have raised the scale
    assert!(spikes[..4].iter().all(|spike| all.contains(spike)), "{all:?}");
}

#[test]
fn a_series_that_is_mostly_zero_is_judged_by_its_counts() {
    let counts = |hour: i64, burst: bool| {
        let mixed = (hour.unsigned_abs() + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        match hour {
            1500..1508 if burst => 2.0,
            1800 if burst => 60.0,
            _ if mixed.is_multiple_of(20) => 1.0 + (mixed / 20 % 3) as f64,
            _ => 0.0,
        }
    };
    let healthy = fired(2000, |hour, _| counts(hour, false));
    assert!(healthy.iter().filter(|hour| **hour >= 168).count() <= 1, "{healthy:?}");
    let burst = fired(2000, |hour, _| counts(hour, true));
    assert!(burst.iter().any(|hour| (1500..1509).contains(hour)), "many: {burst:?}");
    assert!(burst.contains(&1800), "a large one: {burst:?}");
}
