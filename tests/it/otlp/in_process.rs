//! Each scenario ends as one incident with the right suspect, over several seeds and in one process: exports, the gateway's
//! readers, detection and correlation.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use shared::events::fault::Scenario;
use shared::events::incident::Incident;
use shared::events::{Category, Topic};
use shared::ids::{AnomalyId, IncidentId};
use simulator::fault::culprit;
use simulator::{Faults, Options, Shop};
use tests::in_process::Pipeline;

/// Seeds of each scenario at each interval; `FIREWATCH_OTLP_SEEDS` names another number.
const SEEDS: u64 = 2;
const REPLICAS: u32 = 3;
/// Healthy ticks before the fault, and ticks after it.
const HEALTHY: u64 = 75;
const AFTER: u64 = 120;

fn seeds() -> u64 {
    std::env::var("FIREWATCH_OTLP_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

/// Plays one fault to its end, and returns what detection and correlation made of it. Healthy versions are rolled out meanwhile.
fn play(faults: Faults, seed: u64, interval_ms: u64) -> Result<Pipeline> {
    let is_quiet = matches!(faults, Faults::Quiet);
    let mut shop =
        Shop::new(Options { seed, interval_ms, faults, first_fault_after: HEALTHY, ..Options::default() });
    let mut pipeline = Pipeline::new(seed, interval_ms).over_otlp(seed, REPLICAS);
    let start_ms = 1_790_000_000_000 + (seed as i64 % 1000) * 3_600_000;
    for number in 0.. {
        let is_over = if is_quiet {
            number >= 4 * HEALTHY
        } else {
            shop.recovered_for().is_some_and(|ticks| ticks >= AFTER)
        };
        if is_over {
            break;
        }
        pipeline.tick(&shop.tick(start_ms + (number * interval_ms) as i64))?;
    }
    Ok(pipeline)
}

/// Returns the announced incidents as they were published last, without those that were merged into another one.
fn announced(pipeline: &Pipeline) -> Vec<(Topic, Incident)> {
    let mut last: BTreeMap<IncidentId, (Topic, Incident)> = BTreeMap::new();
    for published in pipeline.published() {
        last.insert(published.incident.incident_id, (published.topic, published.incident.clone()));
    }
    last.into_values().filter(|(_, incident)| incident.merged_into().is_none()).collect()
}

/// Returns what fired, one line each.
fn fired(pipeline: &Pipeline) -> String {
    let mut seen: BTreeMap<AnomalyId, u32> = BTreeMap::new();
    let mut lines = String::new();
    for anomaly in pipeline.anomalies() {
        let revisions = seen.entry(anomaly.anomaly_id).or_default();
        *revisions += 1;
        if *revisions == 1 {
            lines.extend(["\n    ", &anomaly.observed_at.to_string(), " ", &anomaly.explanation]);
        }
    }
    lines
}

/// Returns what is wrong with a run of a scenario.
fn wrong(scenario: Scenario, seed: u64, interval_ms: u64) -> Result<Option<String>> {
    let pipeline = play(Faults::Once(Some(scenario)), seed, interval_ms)?;
    let incidents = announced(&pipeline);
    let truth = (culprit(scenario).name().to_owned(), scenario.category().context("a fault")?);
    let causes: Vec<Option<(String, Category)>> = incidents
        .iter()
        .map(|(_, incident)| incident.suspect().map(|suspect| (suspect.service.clone(), suspect.category)))
        .collect();
    let is_resolved = incidents.iter().all(|(topic, _)| *topic == Topic::IncidentsResolved);
    let is_right = causes == [Some(truth.clone())] && is_resolved;
    let complain = || {
        let fired = fired(&pipeline);
        format!("{scenario} seed {seed} at {interval_ms} ms: {causes:?}, resolved {is_resolved}{fired}")
    };
    Ok((!is_right).then(complain))
}

fn play_all(interval_ms: u64) -> Result<()> {
    let mut lines = Vec::new();
    for scenario in Scenario::ROTATION {
        for seed in 1..=seeds() {
            lines.extend(wrong(scenario, seed, interval_ms)?);
        }
    }
    assert!(lines.is_empty(), "{} wrong:\n{}", lines.len(), lines.join("\n"));
    Ok(())
}

#[test]
fn each_scenario_is_one_incident_with_its_true_cause_every_ten_seconds() -> Result<()> {
    play_all(10_000)
}

#[test]
fn healthy_replicas_and_rollouts_open_no_incident() -> Result<()> {
    for (seed, interval_ms) in [(1, 10_000), (2, 10_000), (3, 10_000)] {
        let pipeline = play(Faults::Quiet, seed, interval_ms)?;
        let incidents = announced(&pipeline);
        assert!(incidents.is_empty(), "seed {seed} at {interval_ms} ms: {}", fired(&pipeline));
        assert!(pipeline.samples() > 0);
    }
    Ok(())
}
