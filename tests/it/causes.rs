//! What people are told of each scenario, over many seeds and in one process: the true cause at the end, and seldom
//! another one before.

use jiff::SignedDuration;
use shared::events::anomaly::Status;
use shared::events::fault::Scenario;
use simulator::fault::culprit;
use tests::causes::{Case, Told, play};

/// Seeds of each scenario at each interval.
const SEEDS: u64 = 6;
/// Healthy ticks before the fault.
const HEALTHY: u64 = 75;

fn cases(interval_ms: u64) -> impl Iterator<Item = (Case, Told)> {
    Scenario::ALL.into_iter().flat_map(move |scenario| {
        (1..=SEEDS).map(move |seed| {
            let case = Case { scenario, seed, interval_ms, healthy: HEALTHY };
            (case, play(case).expect("the store would take it"))
        })
    })
}

/// Returns what is wrong, a line for each.
fn wrong(case: Case, told: &Told) -> Vec<String> {
    let Case { scenario, seed, interval_ms, .. } = case;
    let mut lines = Vec::new();
    let mut expect = |met: bool, what: String| {
        if !met {
            lines.push(format!(
                "{scenario} seed {seed} at {interval_ms} ms: {what}; told {:?}",
                told.suspects
            ));
        }
    };
    let truth = (culprit(scenario).name(), scenario.category());
    let last = told.suspects.last().map(|(_, service, category, _)| (service.as_str(), *category));
    expect(last == Some(truth), format!("the cause at the end is not {truth:?}"));
    expect(told.incidents == 1, format!("{} incidents", told.incidents));
    expect(told.changes() <= 1, format!("the cause changed {} times", told.changes()));
    let ended = told.fault.and_then(|(_, ended)| ended);
    match (told.resolved, ended) {
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
fn no_scenario_ends_with_another_cause_than_the_true_one() {
    let mut lines = Vec::new();
    let (mut runs, mut changes) = (0, 0);
    for interval_ms in [400, 1_000, 10_000] {
        for (case, told) in cases(interval_ms) {
            runs += 1;
            changes += told.changes();
            lines.extend(wrong(case, &told));
        }
    }
    println!("{runs} runs, {changes} changes of the cause");
    assert!(lines.is_empty(), "{} of {runs} runs:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn everything_that_fires_clears() {
    for (case, told) in cases(1_000) {
        for anomaly in &told.anomalies {
            let last = told
                .anomalies
                .iter()
                .rfind(|other| other.anomaly_id == anomaly.anomaly_id && other.status != Status::Suspect);
            assert!(last.is_none_or(|last| last.status == Status::Cleared), "{case:?}: {anomaly:?}");
        }
    }
}
