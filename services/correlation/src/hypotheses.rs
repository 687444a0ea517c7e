//! Hypotheses: this service, by this category of cause. All pairs compete. Each is worth the evidence that it explains, in
//! nats, less what it demands and is absent.
//!
//! The shape is a likelihood-ratio sum with explaining-away: what a direct callee shows as well counts for less at the
//! caller, and what callers show counts for the callee, because latency and errors travel against the calls. Traffic
//! travels with them.

mod evidence;
mod probability;
mod tally;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

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

/// Ranks the hypotheses over the signals of one group: the best of them, with probabilities and reasons.
pub fn rank(signals: &[Arc<Signal>], surroundings: Surroundings<'_>) -> Vec<Suspect> {
    let mut suspects = best(&all(signals, surroundings));
    give_reasons(&mut suspects, signals, surroundings);
    suspects
}

/// Whether sentences are made for what speaks for a hypothesis. Most hypotheses are only compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Scores,
    Reasons,
}

/// Gives hypotheses over the signals their reasons.
pub fn give_reasons(suspects: &mut [Suspect], signals: &[Arc<Signal>], surroundings: Surroundings<'_>) {
    let evidence = Evidence::new(signals, surroundings, Detail::Reasons);
    for suspect in suspects {
        let own = of_service(&evidence, &suspect.service, surroundings);
        if let Some(known) = own.into_iter().find(|one| one.category == suspect.category) {
            suspect.reasons = known.reasons;
        }
    }
}

fn of_service(evidence: &Evidence<'_>, service: &str, surroundings: Surroundings<'_>) -> Vec<Suspect> {
    let change = evidence
        .onset(service)
        .and_then(|at| trigger(service, at, surroundings.deployments, surroundings.window));
    tally::of_service(evidence, service, change.as_ref())
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

/// Returns those of all hypotheses, best first, over which none leads by more than `lead` nats.
pub fn leading(all: &[Suspect], lead: f64) -> impl Iterator<Item = &Suspect> {
    let least = all.first().map_or(0.0, |best| best.score - lead);
    all.iter().filter(move |one| one.score >= least)
}

/// Returns the key by which the first symptom is found, the least one: neither noise that was noticed shortly before may
/// date a fault, nor a window of log lines, which begins before the lines that count.
fn start(signal: &Signal) -> (bool, Timestamp) {
    (signal.evidence <= WEAK_NATS || signal.kind == Kind::Logs, signal.started_at)
}

/// Returns when the first symptom of a service began, if it shows one.
pub fn onset<'a, S: Borrow<Signal> + 'a>(
    signals: impl IntoIterator<Item = &'a S>,
    service: &str,
) -> Option<Timestamp> {
    signals
        .into_iter()
        .map(Borrow::borrow)
        .filter(|signal| signal.service == service)
        .map(start)
        .min()
        .map(|(_, at)| at)
}

/// Whether both are the same hypothesis.
pub fn is_same(one: &Suspect, other: &Suspect) -> bool {
    (&one.service, one.category) == (&other.service, other.category)
}

/// Returns every hypothesis that anything speaks for, best first, with probabilities and without reasons. Services stand in the
/// order of their best hypothesis.
pub fn all(signals: &[Arc<Signal>], surroundings: Surroundings<'_>) -> Vec<Suspect> {
    let evidence = Evidence::new(signals, surroundings, Detail::Scores);
    let mut services: BTreeSet<&str> = evidence.services().collect();
    services.extend(evidence.services().flat_map(|service| surroundings.graph.callees(service)));
    let all = services.into_iter().flat_map(|service| of_service(&evidence, service, surroundings));
    with_probabilities(all.collect())
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
