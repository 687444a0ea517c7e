//! What all signals of a group together say of each service.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::events::anomaly::Direction;
use shared::events::incident::Signal;
use shared::events::{Category, Kind};
use shared::graph::Graph;

use super::{Surroundings, start};

/// Share of a symptom that a direct neighbour with the same symptom takes away.
const EXPLAINED: f64 = 0.5;
/// Weight of log lines that name a kind of cause; beside the resource they name never more than the resource itself.
const FROM_LOGS: f64 = 0.6;

/// Strongest evidence of one kind, and when it began.
#[derive(Debug, Clone, Copy)]
struct Seen {
    nats: f64,
    began: Timestamp,
    interval: SignedDuration,
}

/// First symptom of a service: whether it is weak, when it began, and the time between two of its samples.
type Onset = ((bool, Timestamp), SignedDuration);

/// What all signals together say. A signal counts with its evidence at its height, cleared or not.
pub(super) struct Evidence<'a> {
    by_service: BTreeMap<&'a str, BTreeMap<Kind, Seen>>,
    /// Strongest log signal that names a category.
    named: BTreeMap<(&'a str, Category), f64>,
    /// Services whose traffic is above its band.
    surging: BTreeSet<&'a str>,
    onset: BTreeMap<&'a str, Onset>,
    graph: &'a Graph,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(signals: &'a [Signal], surroundings: Surroundings<'a>) -> Self {
        let mut by_service: BTreeMap<&str, BTreeMap<Kind, Seen>> = BTreeMap::new();
        let mut named: BTreeMap<(&str, Category), f64> = BTreeMap::new();
        let mut onset: BTreeMap<&str, Onset> = BTreeMap::new();
        let mut surging = BTreeSet::new();
        for signal in signals {
            let interval = SignedDuration::from_millis(signal.interval_ms.min(86_400_000) as i64);
            let kinds = by_service.entry(&signal.service).or_default();
            if let Some(category) = surroundings.log_terms.named_by(signal) {
                let nats = named.entry((&signal.service, category)).or_default();
                *nats = nats.max(signal.evidence);
            } else {
                let new = Seen { nats: signal.evidence, began: signal.started_at, interval };
                let seen = kinds.entry(signal.kind).or_insert(new);
                seen.nats = seen.nats.max(new.nats);
                seen.began = seen.began.min(new.began);
            }
            if signal.kind == Kind::Traffic && signal.direction == Direction::Up {
                surging.insert(signal.service.as_str());
            }
            let own = (start(signal), interval);
            let first = onset.entry(&signal.service).or_insert(own);
            *first = (*first).min(own);
        }
        Self { by_service, named, surging, onset, graph: surroundings.graph }
    }

    /// Returns the services that show anything.
    pub(super) fn services(&self) -> impl Iterator<Item = &'a str> {
        self.by_service.keys().copied()
    }

    /// Returns when the first symptom of a service began.
    pub(super) fn onset(&self, service: &str) -> Option<Timestamp> {
        self.onset.get(service).map(|((_, at), _)| *at)
    }

    /// Returns the strongest evidence of a kind at a service.
    pub(super) fn of(&self, service: &str, kind: Kind) -> f64 {
        self.seen(service, kind).map_or(0.0, |seen| seen.nats)
    }

    fn seen(&self, service: &str, kind: Kind) -> Option<Seen> {
        self.by_service.get(service)?.get(&kind).copied()
    }

    /// Returns what log lines of the service say for a category.
    pub(super) fn named(&self, service: &str, category: Category) -> f64 {
        FROM_LOGS * self.named.get(&(service, category)).copied().unwrap_or(0.0)
    }

    /// Returns what is left of a symptom once direct neighbours have taken their share: callees, and of traffic callers.
    pub(super) fn own(&self, service: &str, kind: Kind) -> f64 {
        let mine = self.of(service, kind);
        let strongest = |nats: f64, other: &str| nats.max(self.of(other, kind));
        let theirs = if kind == Kind::Traffic {
            self.graph.callers(service).fold(0.0, strongest)
        } else {
            self.graph.callees(service).fold(0.0, strongest)
        };
        mine - EXPLAINED * mine.min(theirs)
    }

    /// Returns the strongest evidence of a kind among all callers, direct and indirect.
    pub(super) fn callers(&self, callers: &BTreeSet<String>, kind: Kind) -> f64 {
        callers.iter().map(|caller| self.of(caller, kind)).fold(0.0, f64::max)
    }

    /// Returns everyone who calls a service, directly or through others.
    pub(super) fn ancestors(&self, service: &str) -> BTreeSet<String> {
        self.graph.ancestors(service)
    }

    /// Whether a direct callee shows anything itself.
    pub(super) fn callee_suffers(&self, service: &str) -> bool {
        self.graph.callees(service).any(|callee| self.by_service.contains_key(callee))
    }

    /// Whether the traffic of a service is above its band.
    pub(super) fn surges(&self, service: &str) -> bool {
        self.surging.contains(service)
    }

    /// Returns for each direct caller what it shows of a delay or a loss on the way to `service`: latency or errors beyond
    /// what its other callees explain.
    pub(super) fn on_the_way(&self, service: &str) -> Vec<f64> {
        let suffers = |name: &str| self.of(name, Kind::Latency).max(self.of(name, Kind::Errors));
        let of_caller = |caller: &str| {
            let elsewhere = self.graph.callees(caller).filter(|callee| *callee != service).map(suffers);
            let mine = suffers(caller);
            mine - mine.min(elsewhere.fold(0.0, f64::max))
        };
        self.graph.callers(service).map(of_caller).collect()
    }

    /// Returns whether a service showed the first symptom of all, by more than the time between two samples.
    pub(super) fn is_first(&self, service: &str) -> bool {
        let Some(((_, own), own_interval)) = self.onset.get(service) else { return false };
        let mut others = self.onset.iter().filter(|(other, _)| **other != service).peekable();
        others.peek().is_some()
            && others.all(|(_, ((_, at), interval))| *at >= *own + (*own_interval).max(*interval))
    }

    /// Returns by how much a resource counts: the whole where it filled up before or with the symptoms, half where it
    /// followed them by more than two samples.
    pub(super) fn before_symptoms(&self, service: &str, kind: Kind) -> f64 {
        let Some(resource) = self.seen(service, kind) else { return 1.0 };
        let symptoms = [Kind::Latency, Kind::Errors].into_iter().filter_map(|kind| self.seen(service, kind));
        let follows = |symptom: Seen| {
            let grain = resource.interval.max(symptom.interval);
            symptom.nats > super::WEAK_NATS && resource.began > symptom.began + grain * 2
        };
        if symptoms.into_iter().any(follows) { 0.5 } else { 1.0 }
    }
}
