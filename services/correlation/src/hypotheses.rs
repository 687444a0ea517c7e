//! Hypotheses: this service, by this category of cause. All pairs compete. Each is worth the evidence that it explains, in
//! nats, less what it demands and is absent.
//!
//! The shape is a likelihood-ratio sum with explaining-away: what a direct callee shows as well counts for less at the
//! caller, and what callers show counts for the callee, because latency and errors travel against the calls. Traffic
//! travels with them.

mod evidence;
mod probability;
mod tally;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::clock::from_ms;
use shared::events::incident::{Signal, Suspect};
use shared::events::{Deployment, Kind};
use shared::graph::Graph;

use crate::log_terms::LogTerms;
use evidence::Evidence;
pub use probability::with_probabilities;
pub use tally::word;

/// Most suspects that are kept.
pub const MAX_SUSPECTS: usize = 5;
/// Most categories of one service among them.
const MAX_CATEGORIES: usize = 2;
/// Evidence that noise reaches too, nats: what detection calls `suspect` is worth no more.
pub const WEAK_NATS: f64 = 3.0;

/// What ranking looks at besides the signals.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Who calls whom.
    pub graph: &'a Graph,
    /// Changes that may have triggered it.
    pub deployments: &'a [Deployment],
    /// How long before the first symptom a change may lie.
    pub window: SignedDuration,
    /// Which kind of cause log lines name.
    pub log_terms: &'a LogTerms,
}

/// Ranks the hypotheses over the signals of one group: the best of them, with probabilities.
pub fn rank(signals: &[Signal], surroundings: Surroundings<'_>) -> Vec<Suspect> {
    best(&all(signals, surroundings))
}

/// Returns the best hypotheses among all, at most two of a service.
pub fn best(all: &[Suspect]) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> = Vec::new();
    for suspect in all {
        let of_service = suspects.iter().filter(|known| known.service == suspect.service).count();
        if of_service < MAX_CATEGORIES {
            suspects.push(suspect.clone());
        }
        if suspects.len() == MAX_SUSPECTS {
            break;
        }
    }
    suspects
}

/// Returns the key by which the first symptom is found, the least one: neither noise that was noticed shortly before may
/// date a fault, nor a window of log lines, which begins before the lines that count.
fn start(signal: &Signal) -> (bool, Timestamp) {
    (signal.evidence <= WEAK_NATS || signal.kind == Kind::Logs, signal.started_at)
}

/// Returns when the first symptom of a service began, if it shows one.
pub fn onset<'a>(signals: impl IntoIterator<Item = &'a Signal>, service: &str) -> Option<Timestamp> {
    signals.into_iter().filter(|signal| signal.service == service).map(start).min().map(|(_, at)| at)
}

/// Whether both are the same hypothesis.
pub fn is_same(one: &Suspect, other: &Suspect) -> bool {
    (&one.service, one.category) == (&other.service, other.category)
}

/// Returns every hypothesis that anything speaks for, best first, with probabilities. Services stand in the order of their best
/// hypothesis.
pub fn all(signals: &[Signal], surroundings: Surroundings<'_>) -> Vec<Suspect> {
    let evidence = Evidence::new(signals, surroundings);
    let mut services: BTreeSet<&str> = evidence.services().collect();
    services.extend(evidence.services().flat_map(|service| surroundings.graph.callees(service)));
    let mut suspects = Vec::new();
    for service in services {
        let change = evidence
            .onset(service)
            .and_then(|at| trigger(service, at, surroundings.deployments, surroundings.window));
        suspects.extend(tally::of_service(&evidence, service, change.as_ref()));
    }
    with_probabilities(suspects)
}

/// Returns the last change of `service` within `window` before `onset`, if there was one.
pub fn trigger(
    service: &str,
    onset: Timestamp,
    deployments: &[Deployment],
    window: SignedDuration,
) -> Option<Deployment> {
    deployments
        .iter()
        .filter(|change| {
            let age = onset.duration_since(from_ms(change.ts_ms));
            change.service == service
                && !change.is_retirement()
                && age >= SignedDuration::ZERO
                && age <= window
        })
        .max_by_key(|change| change.ts_ms)
        .cloned()
}
