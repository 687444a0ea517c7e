//! What all signals of a group together say of each service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::events::anomaly::Direction;
use shared::events::incident::Signal;
use shared::events::{Category, Kind, Severity};
use shared::graph::Graph;

use super::{Detail, Surroundings, start};
use crate::{sampling, steal};

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
    /// Strongest log signal of a caller that names a service it calls, and a category that lies on the way there.
    named_by_callers: BTreeMap<(&'a str, Category), f64>,
    /// Services whose traffic is above its band, and those where it is below.
    surging: BTreeSet<&'a str>,
    falling: BTreeSet<&'a str>,
    /// CPU time that went to a service, from whom, and what shows it.
    taken: BTreeMap<&'a str, Vec<(&'a str, f64)>>,
    onset: BTreeMap<&'a str, Onset>,
    graph: &'a Graph,
    pub(super) detail: Detail,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(signals: &'a [Arc<Signal>], surroundings: Surroundings<'a>, detail: Detail) -> Self {
        let mut by_service: BTreeMap<&str, BTreeMap<Kind, Seen>> = BTreeMap::new();
        let mut named: BTreeMap<(&str, Category), f64> = BTreeMap::new();
        let mut onset: BTreeMap<&str, Onset> = BTreeMap::new();
        let mut named_by_callers: BTreeMap<(&str, Category), f64> = BTreeMap::new();
        let (mut surging, mut falling) = (BTreeSet::new(), BTreeSet::new());
        let mut taken: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
        for signal in signals {
            let interval = sampling::interval(signal.interval_ms);
            let kinds = by_service.entry(&signal.service).or_default();
            if let Some(category) = surroundings.log_terms.named_by(signal) {
                let callees = surroundings.graph.callees(&signal.service);
                let mut subjects: Vec<&str> = Vec::new();
                if matches!(category, Category::Network | Category::Certificate) {
                    subjects.extend(callees.filter(|callee| mentions(signal, callee)));
                }
                for callee in &subjects {
                    let nats = named_by_callers.entry((callee, category)).or_default();
                    *nats = nats.max(signal.evidence);
                }
                if subjects.is_empty() {
                    let nats = named.entry((&signal.service, category)).or_default();
                    *nats = nats.max(signal.evidence);
                }
            } else if let Some(user) = signals.iter().find(|user| steal::is_taken_by(signal, user)) {
                taken.entry(&user.service).or_default().push((&signal.service, signal.evidence));
            } else if !eases(signal) {
                let new = Seen { nats: signal.evidence, began: signal.started_at, interval };
                let seen = kinds.entry(signal.kind).or_insert(new);
                seen.nats = seen.nats.max(new.nats);
                seen.began = seen.began.min(new.began);
            }
            match (signal.kind, signal.direction) {
                (Kind::Traffic, Direction::Up) => _ = surging.insert(signal.service.as_str()),
                (Kind::Traffic, Direction::Down) => _ = falling.insert(signal.service.as_str()),
                _ => {}
            }
            let own = (start(signal), interval);
            let first = onset.entry(&signal.service).or_insert(own);
            *first = (*first).min(own);
        }
        let graph = surroundings.graph;
        Self { by_service, named, named_by_callers, surging, falling, taken, onset, graph, detail }
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

    /// Whether no call of a service is known and it has logged nothing unusual: what it waits for is not known.
    pub(super) fn is_opaque(&self, service: &str) -> bool {
        let graph = self.graph;
        graph.callers(service).next().is_none()
            && graph.callees(service).next().is_none()
            && !graph.calls_any_far_end(service)
            && self.of(service, Kind::Logs) <= 0.0
            && !self.is_named(service)
    }

    /// Returns the service that suffers most from the same unwatched thing, and the strongest evidence of it.
    pub(super) fn companion(&self, service: &str) -> Option<(&'a str, f64)> {
        let suffers = |name: &'a str| {
            [Kind::Latency, Kind::Errors].map(|kind| self.of(name, kind)).into_iter().fold(0.0, f64::max)
        };
        let all = self.graph.companions(service).map(|name| (name, suffers(name)));
        all.filter(|(_, nats)| *nats > 0.0).max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// Whether log lines of the service name any category.
    pub(super) fn is_named(&self, service: &str) -> bool {
        self.named.keys().any(|(name, _)| *name == service)
    }

    /// Returns what log lines of callers say of the way to a service, for a category.
    pub(super) fn named_by_callers(&self, service: &str, category: Category) -> f64 {
        FROM_LOGS * self.named_by_callers.get(&(service, category)).copied().unwrap_or(0.0)
    }

    /// Returns what is left of a symptom once direct neighbours have taken their share: callees and the way to them, and of
    /// traffic callers.
    pub(super) fn own(&self, service: &str, kind: Kind) -> f64 {
        let mine = self.of(service, kind);
        let theirs = if kind == Kind::Traffic {
            self.graph.callers(service).map(|caller| self.of(caller, kind)).fold(0.0, f64::max)
        } else {
            let of_callee = |callee| self.of(callee, kind).max(self.blocked(callee));
            let below = self.graph.callees(service).map(of_callee).fold(0.0, f64::max);
            below.max(self.lost_to_others(service))
        };
        mine - EXPLAINED * mine.min(theirs)
    }

    /// Returns the services whose CPU time went to `service`, and the strongest evidence of it.
    pub(super) fn starved_by(&self, service: &str) -> (impl Iterator<Item = &'a str>, f64) {
        let all = self.taken.get(service).map_or(&[][..], Vec::as_slice);
        (all.iter().map(|(name, _)| *name), all.iter().map(|(_, nats)| *nats).fold(0.0, f64::max))
    }

    /// Returns what says that CPU time of `service` went to others.
    fn lost_to_others(&self, service: &str) -> f64 {
        let all = self.taken.values().flatten().filter(|(name, _)| *name == service);
        all.map(|(_, nats)| *nats).fold(0.0, f64::max)
    }

    /// Returns the share of latency and errors that is left once neighbours have taken theirs; 1 where there are none.
    pub(super) fn share_of_own(&self, service: &str) -> f64 {
        let sum = |of: &dyn Fn(Kind) -> f64| [Kind::Latency, Kind::Errors].into_iter().map(of).sum::<f64>();
        let all = sum(&|kind| self.of(service, kind));
        if all > 0.0 { sum(&|kind| self.own(service, kind)) / all } else { 1.0 }
    }

    /// Returns what says that calls fail on their way to a service: lines of callers, and beside them the calls that do not
    /// arrive.
    fn blocked(&self, service: &str) -> f64 {
        let lines = [Category::Network, Category::Certificate]
            .map(|category| self.named_by_callers(service, category))
            .into_iter()
            .fold(0.0, f64::max);
        if lines > 0.0 { lines + self.lost_calls(service) } else { 0.0 }
    }

    /// Returns by how much more the traffic of a service has fallen than that of its callers.
    pub(super) fn lost_calls(&self, service: &str) -> f64 {
        if !self.falling.contains(service) {
            return 0.0;
        }
        let theirs = self.graph.callers(service).map(|caller| self.of(caller, Kind::Traffic));
        (self.of(service, Kind::Traffic) - theirs.fold(0.0, f64::max)).max(0.0)
    }

    /// Returns the strongest evidence of a change of traffic among direct callees.
    pub(super) fn traffic_of_callees(&self, service: &str) -> f64 {
        self.graph.callees(service).map(|callee| self.of(callee, Kind::Traffic)).fold(0.0, f64::max)
    }

    /// Returns the strongest evidence of a kind among all callers, direct and indirect.
    pub(super) fn callers(&self, callers: &BTreeSet<&str>, kind: Kind) -> f64 {
        callers.iter().map(|caller| self.of(caller, kind)).fold(0.0, f64::max)
    }

    /// Returns everyone who calls a service, directly or through others.
    pub(super) fn ancestors(&self, service: &str) -> BTreeSet<&'a str> {
        self.graph.ancestors(service)
    }

    /// Whether a direct callee shows anything itself.
    pub(super) fn callee_suffers(&self, service: &str) -> bool {
        self.graph.callees(service).any(|callee| self.by_service.contains_key(callee))
    }

    /// Whether a service or a direct neighbour shows that something fails there: latency, errors, silence or restarts.
    pub(super) fn suffers_near(&self, service: &str) -> bool {
        let suffers = |name: &str| {
            [Kind::Latency, Kind::Errors, Kind::Silence, Kind::Restarts]
                .into_iter()
                .any(|kind| self.of(name, kind) > 0.0)
        };
        let neighbours = self.graph.callers(service).chain(self.graph.callees(service));
        suffers(service) || neighbours.into_iter().any(suffers)
    }

    /// Whether the traffic of a service is above its band.
    pub(super) fn surges(&self, service: &str) -> bool {
        self.surging.contains(service)
    }

    /// Returns for each direct caller what it shows of a delay or a loss on the way to `service`: latency or errors beyond
    /// what its other callees explain. Where log lines name that way, a callee that calls `service` too explains nothing.
    pub(super) fn on_the_way(&self, service: &str) -> Vec<f64> {
        let suffers = |name: &str| self.of(name, Kind::Latency).max(self.of(name, Kind::Errors));
        let is_named = self.blocked(service) > 0.0;
        let of_caller = |caller: &str| {
            let is_other =
                |callee: &&str| *callee != service && !(is_named && self.graph.has_edge(callee, service));
            let elsewhere = self.graph.callees(caller).filter(is_other).map(suffers);
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

/// Whether a signal shows less use of the processor than usual: it follows from less work, and is no exhaustion. Detection
/// never lets the harmless direction fire, so that its severity stays at the least.
fn eases(signal: &Signal) -> bool {
    signal.kind == Kind::Cpu && signal.direction == Direction::Down && signal.severity == Severity::Sev4
}

/// Whether the lines of a log signal contain the name of a service as a word.
fn mentions(signal: &Signal, service: &str) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || it == '-' || it == '_';
    let names = |text: &str| {
        text.match_indices(service)
            .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + service.len()..].starts_with(is_part))
    };
    names(&signal.explanation) || signal.logs.iter().any(|log| names(&log.example))
}
