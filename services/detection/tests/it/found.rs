//! What is wrong is found, early, once, and until it is over.

use std::collections::HashSet;

use detection::series::alarm_budget::FiringThreshold;
use detection::series::episode::Transition;
use shared::events::Severity;
use shared::events::anomaly::{Direction, Status};
use shared::events::fault::Scenario;
use simulator::noise::Noise;
use simulator::schedule::Faults;

use crate::fire::{INTERVAL_MS, metric, watch};
use crate::shop::{Noise as Shape, Watched};

/// Services that may feel a fault: the culprit and those that call it, directly or not.
fn related(scenario: Scenario) -> &'static [&'static str] {
    match scenario {
        Scenario::LatencySpike
        | Scenario::DbConnections
        | Scenario::DependencyOutage
        | Scenario::NetworkPartition => &["payment", "order", "api-gateway"],
        Scenario::ErrorSpike | Scenario::ConsumerLag | Scenario::DiskFilling => &["order", "api-gateway"],
        Scenario::BadDeployment => &["user", "api-gateway"],
        Scenario::CpuSaturation => &["api-gateway"],
        Scenario::MemoryLeak => &["notification"],
        Scenario::TrafficDrop => &["api-gateway", "payment", "order", "user", "inventory"],
        Scenario::CertificateExpiry => &["inventory", "order", "api-gateway"],
        Scenario::NoisyNeighbour => &["notification", "inventory", "order", "api-gateway"],
        Scenario::Retirement => &[],
    }
}

/// Runs one scenario twice in a row with 50 seeds each; returns the delays of the first fault, in samples.
fn fifty(scenario: Scenario, noise: Noise) -> Vec<i64> {
    let lasts = simulator::fault::duration(scenario) as i64;
    let own = (simulator::fault::culprit(scenario).name(), metric(scenario));
    let (mut delays, mut strangers) = (Vec::new(), 0);
    for seed in 0..50 {
        let run = watch(Faults::Repeat(Some(scenario)), noise, seed, 60, 6, 60 + 2 * lasts + 12);
        let case = format!("{scenario:?} {noise:?} seed {seed}");
        let (first, second) = (run.burns[0], run.burns[1]);
        let fired = run.fired(0);
        let at = *fired.get(&own).unwrap_or_else(|| panic!("{case}: missed"));
        assert!(at >= first.0, "{case}: fired before the fault");
        delays.push((at - first.0) / INTERVAL_MS);
        strangers += fired.keys().filter(|(service, _)| !related(scenario).contains(service)).count();
        assert!(run.fired(second.0).contains_key(&own), "{case}: not found again a minute later");

        let mut firing = HashSet::new();
        for anomaly in run.anomalies.iter().filter(|one| (&*one.service, &*one.metric) == own) {
            let at = anomaly.observed_at.as_millisecond();
            match anomaly.status {
                Status::Firing => _ = firing.insert(anomaly.anomaly_id),
                Status::Cleared if firing.contains(&anomaly.anomaly_id) => {
                    let burning = run.burns.iter().any(|burn| (burn.0..burn.1).contains(&at));
                    assert!(!burning, "{case}: cleared during the fault");
                }
                _ => {}
            }
        }
    }
    // of 42 series, an hour old each, in 50 runs
    assert!(
        strangers <= 2,
        "{scenario:?} {noise:?}: {strangers} series fired that have nothing to do with it"
    );
    delays.sort_unstable();
    delays
}

/// Runs all scenarios; half of the delays are at most what is given here, in samples.
fn each_scenario(noise: Noise, leak: i64) {
    for (scenario, half) in [
        (Scenario::LatencySpike, 1),
        (Scenario::ErrorSpike, 1),
        (Scenario::CpuSaturation, 4),
        (Scenario::MemoryLeak, leak),
        (Scenario::DbConnections, 2),
        (Scenario::ConsumerLag, 1),
        (Scenario::BadDeployment, 1),
        (Scenario::DependencyOutage, 1),
        (Scenario::TrafficDrop, 3),
        (Scenario::DiskFilling, 3),
    ] {
        let delays = fifty(scenario, noise);
        assert!(delays[25] <= half, "{scenario:?} {noise:?}: {delays:?}");
    }
}

#[test]
fn each_scenario_in_gaussian_noise_is_found_in_time_and_again_a_minute_later() {
    each_scenario(Noise::Gaussian, 4);
}

#[test]
fn each_scenario_in_skewed_noise_is_found_in_time_and_again_a_minute_later() {
    each_scenario(Noise::Skewed, 5);
}

#[test]
fn a_step_of_a_constant_series_is_found_at_once_and_clears_when_it_is_undone() {
    let mut watched = Watched::new("flux", "", Shape::Gaussian);
    (0..200).for_each(|_| watched.take(45.0));
    watched.take(50.0);
    watched.take(50.0);
    let change = watched.last.clone().unwrap();
    assert_eq!((change.episode.alert.status, change.episode.samples), (Status::Firing, 2));
    (0..3).for_each(|_| watched.take(45.0));
    assert_eq!(watched.last.clone().unwrap().transition, Transition::Recovered);
}

#[test]
fn lost_traffic_is_an_outage() {
    let mut watched = Watched::new("request_rate", "1/s", Shape::Gaussian);
    watched.healthy(200.0, 300);
    watched.take(0.0);
    watched.take(0.0);
    let episode = watched.last.clone().unwrap().episode;
    assert_eq!(
        (episode.alert.status, episode.direction, episode.alert.severity),
        (Status::Firing, Direction::Down, Severity::Sev1)
    );
}

#[test]
fn a_leak_far_slower_than_the_noise_is_found() {
    let mut watched = Watched::new("memory_percent", "%", Shape::Gaussian);
    watched.healthy(45.0, 500);
    for i in 0..200 {
        // a tenth of the noise's spread per sample
        let value = watched.draw(45.0) + 0.11 * f64::from(i);
        watched.take(value);
    }
    assert_eq!(watched.alarms.firing, 1);
}

#[test]
fn a_lasting_new_level_is_accepted_in_time_and_said_so() {
    let mut watched = Watched::new("latency_p99_ms", "ms", Shape::Gaussian);
    watched.healthy(380.0, 300);
    watched.healthy(560.0, 400);
    assert_eq!(watched.last.clone().unwrap().episode.alert.status, Status::Firing);
    watched.healthy(560.0, 200);
    let change = watched.last.clone().unwrap();
    assert_eq!((change.transition, change.episode.alert.status), (Transition::Accepted, Status::Cleared));
    watched.alarms = crate::shop::Alarms::default();
    watched.healthy(560.0, 500);
    assert_eq!(watched.alarms.firing, 0);
}

#[test]
fn an_outage_is_not_taken_for_normal_within_hours() {
    let mut watched = Watched::new("request_rate", "1/s", Shape::Gaussian);
    watched.healthy(200.0, 300);
    (0..4000).for_each(|_| watched.take(0.0));
    assert_eq!(watched.last.clone().unwrap().episode.alert.status, Status::Firing);
}

#[test]
fn a_wild_warm_up_does_not_blind_the_series() {
    let mut watched = Watched::new("latency_p99_ms", "ms", Shape::Gaussian);
    for i in 0..30 {
        let value = if i % 3 == 0 { 9000.0 } else { watched.draw(380.0) };
        watched.take(value);
    }
    watched.healthy(380.0, 60);
    watched.take(1400.0);
    watched.take(1400.0);
    assert_eq!(watched.last.clone().unwrap().episode.alert.status, Status::Firing);
}

#[test]
fn an_episode_tells_its_news_and_little_else() {
    let mut watched = Watched::new("error_rate", "%", Shape::Gaussian);
    watched.healthy(0.5, 300);
    for i in 0..100 {
        let value = watched.draw(0.5) + f64::from(i).min(45.0);
        watched.take(value);
    }
    let episode = watched.last.clone().unwrap().episode;
    assert_eq!((episode.alert.status, episode.alert.severity), (Status::Firing, Severity::Sev1));
    // 100 samples: a refresh every ten, and a handful of steps of evidence and severity
    assert!((11..=20).contains(&episode.alert.revision), "{} revisions", episode.alert.revision);
}

#[test]
fn what_is_certain_fires_only_within_the_budget_and_is_suspected_beyond_it() {
    let ramp = |threshold: FiringThreshold| {
        let mut watched = Watched::new("memory_percent", "%", Shape::Gaussian);
        watched.threshold = threshold;
        watched.healthy(45.0, 300);
        for i in 1..=8 {
            let value = watched.draw(45.0) + 2.0 * f64::from(i);
            watched.take(value);
        }
        watched.last.map(|change| (change.episode.alert.status, change.episode.is_certain))
    };
    assert_eq!(ramp(FiringThreshold::of(2.5e6, 1.0)), Some((Status::Firing, true)));
    assert_eq!(ramp(FiringThreshold::of(2.5e9, 0.001)), Some((Status::Suspect, true)));
}
