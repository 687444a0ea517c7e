//! Each scenario ends as one incident with the right suspect, over several seeds and in one process: exports, the gateway's
//! readers, detection and correlation.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use shared::events::Topic;
use shared::events::fault::Scenario;
use shared::events::incident::Incident;
use shared::ids::{AnomalyId, IncidentId};
use simulator::fault::culprit;
use simulator::{Faults, Options, Shop};
use tests::in_process::Pipeline;

/// Seeds of each scenario; `FIREWATCH_OTLP_SEEDS` names another number.
const SEEDS: u64 = 2;
const REPLICAS: u32 = 3;
/// Healthy ticks before the fault, and ticks after it.
const HEALTHY: u64 = 75;
const AFTER: u64 = 120;
const INTERVAL_MS: u64 = 10_000;
/// Incidents beside those of the faults, in all runs: the 99th percentile of a route with few requests is noisy.
const MAX_OTHERS: usize = 1;
/// Incidents of 50 healthy minutes each: a rollout can make the rate of a route jump for one sample.
const MAX_QUIET: usize = 2;

fn seeds() -> u64 {
    std::env::var("FIREWATCH_OTLP_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

/// Plays one fault to its end, and returns what detection and correlation made of it. Healthy versions are rolled out meanwhile.
fn play(faults: Faults, seed: u64) -> Result<Pipeline> {
    let is_quiet = matches!(faults, Faults::Quiet);
    let mut shop = Shop::new(Options {
        seed,
        interval_ms: INTERVAL_MS,
        faults,
        first_fault_after: HEALTHY,
        ..Options::default()
    });
    let mut pipeline = Pipeline::new(seed, INTERVAL_MS).over_otlp(seed, REPLICAS);
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
        pipeline.tick(&shop.tick(start_ms + (number * INTERVAL_MS) as i64))?;
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

/// What became of a run of a scenario.
struct Judged {
    /// What is wrong with the incident of the fault, if anything is.
    wrong: Option<String>,
    /// Incidents beside it, one line each.
    others: Vec<String>,
}

fn judge(scenario: Scenario, seed: u64) -> Result<Judged> {
    let pipeline = play(Faults::Once(Some(scenario)), seed)?;
    let truth = Some((culprit(scenario).name().to_owned(), scenario.category().context("a fault")?));
    let cause =
        |incident: &Incident| incident.suspect().map(|suspect| (suspect.service.clone(), suspect.category));
    let (of_fault, others): (Vec<_>, Vec<_>) =
        announced(&pipeline).into_iter().partition(|(_, incident)| cause(incident) == truth);
    let others: Vec<String> =
        others.iter().map(|(_, incident)| format!("{scenario} seed {seed}: {:?}", cause(incident))).collect();
    let is_right = matches!(&of_fault[..], [(Topic::IncidentsResolved, _)]);
    let complain =
        || format!("{scenario} seed {seed}: {} incidents of {truth:?}{}", of_fault.len(), fired(&pipeline));
    Ok(Judged { wrong: (!is_right).then(complain), others })
}

#[test]
fn each_fault_becomes_one_incident_with_its_true_cause_that_ends() -> Result<()> {
    let (mut wrong, mut others) = (Vec::new(), Vec::new());
    for scenario in Scenario::ROTATION {
        for seed in 1..=seeds() {
            let judged = judge(scenario, seed)?;
            wrong.extend(judged.wrong);
            others.extend(judged.others);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(others.len() <= MAX_OTHERS, "{} other incidents:\n{}", others.len(), others.join("\n"));
    Ok(())
}

#[test]
fn healthy_replicas_and_rollouts_open_few_incidents() -> Result<()> {
    let mut lines = Vec::new();
    for seed in 1..=3 {
        let pipeline = play(Faults::Quiet, seed)?;
        assert!(pipeline.samples() > 0);
        let found = announced(&pipeline).len();
        lines.extend((0..found).map(|_| format!("seed {seed}:{}", fired(&pipeline))));
    }
    assert!(lines.len() <= MAX_QUIET, "{} incidents:\n{}", lines.len(), lines.join("\n"));
    Ok(())
}
