//! The scoreboard of investigation: what the results of a run say, beside the truth.

pub mod page;
pub mod sections;
mod tally;

use anyhow::Result;
use serde_json::{Value, json};
use shared::events::rca::{RootCause, Verdict};
use shared::ids::IncidentId;
use simulator::Noise;

use super::{Announced, Plan, Run, Truth, chain, play};
use crate::in_process::{Investigated, Pipeline};

pub use tally::Tally;

/// One result of an incident, beside the truth.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Verdict.
    pub verdict: Verdict,
    /// Whether the first candidate is the faulty service; false where nothing is faulty.
    pub is_service_right: bool,
    /// Whether its kind of cause is right as well.
    pub is_category_right: bool,
    /// Services of the claimed order of events, step by step.
    pub chain: Option<Vec<String>>,
    /// Whether that order is the one of the fault.
    pub is_chain_right: bool,
    document: Value,
}

/// What was found of one incident.
#[derive(Debug, Clone)]
pub struct Found {
    /// The fault that the incident is about, if it is about one.
    pub about: Option<usize>,
    /// The first result.
    pub first: Judged,
    /// The last result.
    pub last: Judged,
    /// Whether the last result names a caller of the faulty service, and that it waits for something which is not watched.
    pub blames_below: bool,
    /// Results.
    pub results: usize,
    /// Claims of all results that passed the check.
    pub verified: u32,
    /// Claims of all results that did not.
    pub dropped: u32,
}

/// What became of a run.
#[derive(Debug)]
pub struct Outcome {
    scenario: String,
    noise: Noise,
    seed: u64,
    /// Samples that were read.
    pub samples: u64,
    /// The faults.
    pub truths: Vec<Truth>,
    /// The incidents that have a result, in the order in which they were announced.
    pub found: Vec<Found>,
    /// Service with the largest z-score since the first fault began.
    pub naive_suspect: Option<String>,
}

/// Plays one seed of a scenario.
pub fn outcome(plan: &Plan, noise: Noise, seed: u64) -> Result<Outcome> {
    let pipeline = Pipeline::new(seed, plan.interval_ms).with_investigation();
    let run = play(plan, noise, seed, pipeline)?;
    let found = run.announced().iter().filter_map(|announced| found(announced, &run)).collect();
    Ok(Outcome {
        scenario: plan.name.clone(),
        noise,
        seed,
        samples: run.pipeline.samples(),
        found,
        truths: run.truths,
        naive_suspect: run.naive_suspect,
    })
}

fn found(announced: &Announced, run: &Run) -> Option<Found> {
    let about = announced.about(&run.truths);
    let truth = about.map(|place| &run.truths[place]);
    let results: Vec<&RootCause> = results_of(announced.id, run.pipeline.investigated()).collect();
    let (first, last) = (results.first()?, results.last()?);
    let verified = results.iter().map(|result| result.claims_verified).sum();
    let total: u32 = results.iter().map(|result| result.claims_total).sum();
    Some(Found {
        about,
        first: judge(first, truth),
        last: judge(last, truth),
        blames_below: truth.is_some_and(|truth| blames_below(last, truth)),
        results: results.len(),
        verified,
        dropped: total - verified,
    })
}

fn results_of(id: IncidentId, all: &[Investigated]) -> impl Iterator<Item = &RootCause> {
    all.iter().map(|one| &one.result).filter(move |result| result.incident_id == id)
}

fn judge(result: &RootCause, truth: Option<&Truth>) -> Judged {
    let candidate = result.candidates.first();
    let is_service_right =
        candidate.zip(truth).is_some_and(|(candidate, truth)| candidate.service == truth.service);
    let is_category_right = is_service_right
        && candidate.zip(truth).is_some_and(|(candidate, truth)| candidate.category == truth.category);
    let chain = chain::claimed(result);
    let is_chain_right =
        chain.as_ref().zip(truth).is_some_and(|(steps, truth)| chain::is_right(steps, truth));
    let document = json!({
        "verdict": result.verdict,
        "service": candidate.map(|one| &one.service),
        "category": candidate.map(|one| one.category),
        "confidence": candidate.map(|one| one.confidence),
        "chain": chain,
        "is_chain_right": is_chain_right,
    });
    Judged { verdict: result.verdict, is_service_right, is_category_right, chain, is_chain_right, document }
}

fn blames_below(result: &RootCause, truth: &Truth) -> bool {
    let Some(first) = result.candidates.first() else { return false };
    let calls = simulator::service::CALLS.iter();
    first.category == shared::events::Category::Dependency
        && calls
            .filter(|call| call.callee.name() == truth.service)
            .any(|call| call.caller.name() == first.service)
}

impl Outcome {
    /// Returns a document for each incident, or one that says that there was none.
    pub fn lines(&self) -> Vec<Value> {
        let truth = |one: &Truth| {
            json!({ "service": one.service, "category": one.category, "starts": one.starts,
                "ends": one.ends })
        };
        let truths: Vec<Value> = self.truths.iter().map(truth).collect();
        let head = json!({ "scenario": self.scenario, "noise": format!("{:?}", self.noise).to_lowercase(),
            "seed": self.seed, "faults": truths, "incidents": self.found.len() });
        if self.found.is_empty() {
            return vec![head];
        }
        let line = |found: &Found| {
            let mut line = head.clone();
            line["about"] = json!(found.about);
            line["results"] = json!(found.results);
            line["first"] = found.first.document.clone();
            line["last"] = found.last.document.clone();
            line["claims_verified"] = json!(found.verified);
            line["claims_dropped"] = json!(found.dropped);
            line
        };
        self.found.iter().map(line).collect()
    }
}
