//! The published cause of each scenario, over many seeds and in one process: the true one at the end, and seldom another
//! one before.

use jiff::SignedDuration;
use shared::events::anomaly::Status;
use shared::events::fault::Scenario;
use simulator::fault::culprit;
use tests::causes::{Case, CaseOutcome, play};

/// Seeds of each scenario at each interval; `FIREWATCH_CAUSE_SEEDS` names another number.
const SEEDS: u64 = 6;
/// Healthy ticks before the fault.
const HEALTHY: u64 = 75;

fn seeds() -> u64 {
    std::env::var("FIREWATCH_CAUSE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

fn cases(interval_ms: u64) -> impl Iterator<Item = (Case, CaseOutcome)> {
    cases_of(&Scenario::ROTATION, interval_ms)
}

fn cases_of(scenarios: &[Scenario], interval_ms: u64) -> impl Iterator<Item = (Case, CaseOutcome)> {
    scenarios.iter().flat_map(move |&scenario| {
        (1..=seeds()).map(move |seed| {
            let case = Case { scenario, seed, interval_ms, healthy: HEALTHY };
            (case, play(case).expect("the store accepts every change"))
        })
    })
}

/// Returns what is wrong, one line each.
fn wrong(case: Case, outcome: &CaseOutcome) -> Vec<String> {
    let Case { scenario, seed, interval_ms, .. } = case;
    let mut lines = Vec::new();
    let mut expect = |met: bool, what: String| {
        if !met {
            lines.push(format!(
                "{scenario} seed {seed} at {interval_ms} ms: {what}; published {:?}",
                outcome.suspects
            ));
        }
    };
    let truth = (culprit(scenario).name(), scenario.category().expect("a fault"));
    let last = outcome.suspects.last().map(|(_, service, category, _)| (service.as_str(), *category));
    expect(last == Some(truth), format!("the cause at the end is not {truth:?}"));
    expect(outcome.incidents == 1, format!("{} incidents", outcome.incidents));
    expect(outcome.changes() <= 1, format!("the cause changed {} times", outcome.changes()));
    let ended = outcome.fault.and_then(|(_, ended)| ended);
    match (outcome.resolved, ended) {
        (Some(resolved), Some(ended)) => {
            let after = resolved.duration_since(ended);
            let most =
                SignedDuration::from_millis(60 * interval_ms as i64).max(SignedDuration::from_secs(60));
            expect(after <= most, format!("resolved only {after} after the end"));
        }
        _ => expect(false, "not resolved".to_owned()),
    }
    lines
}

#[test]
fn the_last_published_cause_is_the_true_one() {
    let mut lines = Vec::new();
    let (mut runs, mut changes) = (0, 0);
    for interval_ms in [400, 1_000, 10_000] {
        for (case, outcome) in cases(interval_ms) {
            runs += 1;
            changes += outcome.changes();
            lines.extend(wrong(case, &outcome));
        }
    }
    println!("{runs} runs, {changes} changes of the cause");
    assert!(lines.is_empty(), "{} of {runs} runs:\n{}", lines.len(), lines.join("\n"));
}

/// Scenarios beside the rotation with one true cause. A noisy neighbour has none: its host is not in the telemetry.
const NAMED: [Scenario; 5] = [
    Scenario::DependencyOutage,
    Scenario::NetworkPartition,
    Scenario::TrafficDrop,
    Scenario::DiskFilling,
    Scenario::CertificateExpiry,
];

#[test]
fn the_last_published_cause_of_faults_beside_the_rotation_is_the_true_one() {
    let mut lines = Vec::new();
    for (case, outcome) in cases_of(&NAMED, 10_000) {
        lines.extend(wrong(case, &outcome));
    }
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn a_service_that_is_retired_raises_no_incident() {
    for (case, outcome) in cases_of(&[Scenario::Retirement], 10_000) {
        assert_eq!((outcome.incidents, outcome.fault), (0, None), "seed {}", case.seed);
    }
}

#[test]
fn every_anomaly_that_fires_clears() {
    for (case, outcome) in cases(1_000) {
        for anomaly in &outcome.anomalies {
            let last = outcome
                .anomalies
                .iter()
                .rfind(|other| other.anomaly_id == anomaly.anomaly_id && other.status != Status::Suspect);
            assert!(last.is_none_or(|last| last.status == Status::Cleared), "{case:?}: {anomaly:?}");
        }
    }
}
