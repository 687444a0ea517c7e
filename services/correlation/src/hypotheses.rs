//! Hypotheses: this service, by this kind of cause. Each is worth the evidence it explains, in nats, less what it
//! demands and is absent. "Not visible in this telemetry" always competes, at a fixed price.
//!
//! The shape is a likelihood-ratio sum with explaining-away: what a direct callee shows as well counts for less at the
//! caller, and what callers show counts for the callee, because latency and errors travel against the calls.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::clock::from_ms;
use shared::events::incident::{Signal, Suspect};
use shared::events::{Category, Deployment, Kind};
use shared::graph::Graph;

use crate::log_terms::LogTerms;

/// Price of "not visible", nats.
pub const UNKNOWN_NATS: f64 = 2.0;
/// Most suspects that are kept.
pub const MAX_SUSPECTS: usize = 5;
/// Share of what callers show that speaks for the callee.
const FROM_CALLERS: f64 = 0.3;
/// Share of a symptom that a direct callee with the same symptom takes away.
const EXPLAINED: f64 = 0.5;
/// Weight of log lines that name a kind of cause; beside the resource they name never more than the resource itself.
const FROM_LOGS: f64 = 0.6;

/// Evidence that noise reaches too, nats: what detection calls `suspect` is worth no more.
const WEAK_NATS: f64 = 3.0;

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

/// Strongest evidence of a service for each kind.
type ByKind = BTreeMap<Kind, f64>;

/// What all signals together say. A signal counts with its evidence at its height, cleared or not.
struct Evidence<'a> {
    by_service: BTreeMap<&'a str, ByKind>,
    /// Strongest log signal that names a category.
    named: BTreeMap<(&'a str, Category), f64>,
    onset: BTreeMap<&'a str, Timestamp>,
    graph: &'a Graph,
}

impl<'a> Evidence<'a> {
    fn new(signals: &'a [Signal], surroundings: Surroundings<'a>) -> Self {
        let mut by_service: BTreeMap<&str, ByKind> = BTreeMap::new();
        let mut named: BTreeMap<(&str, Category), f64> = BTreeMap::new();
        let mut onset: BTreeMap<&str, (bool, Timestamp)> = BTreeMap::new();
        for signal in signals {
            let kinds = by_service.entry(&signal.service).or_default();
            let nats = match surroundings.log_terms.named_by(signal) {
                Some(category) => named.entry((&signal.service, category)).or_default(),
                None => kinds.entry(signal.kind).or_default(),
            };
            *nats = nats.max(signal.evidence);
            let start = start(signal);
            let first = onset.entry(&signal.service).or_insert(start);
            *first = (*first).min(start);
        }
        let onset = onset.into_iter().map(|(service, (_, at))| (service, at)).collect();
        Self { by_service, named, onset, graph: surroundings.graph }
    }

    fn of(&self, service: &str, kind: Kind) -> f64 {
        self.by_service.get(service).and_then(|kinds| kinds.get(&kind)).copied().unwrap_or(0.0)
    }

    /// What log lines of the service say for a category.
    fn named(&self, service: &str, category: Category) -> f64 {
        FROM_LOGS * self.named.get(&(service, category)).copied().unwrap_or(0.0)
    }

    /// What is left of a symptom once direct callees have taken their share.
    fn own(&self, service: &str, kind: Kind) -> f64 {
        let mine = self.of(service, kind);
        let callee = self.graph.callees(service).map(|callee| self.of(callee, kind)).fold(0.0, f64::max);
        mine - EXPLAINED * mine.min(callee)
    }

    /// What callers, direct and indirect, show: the strongest of them.
    fn callers(&self, callers: &BTreeSet<String>, kind: Kind) -> f64 {
        callers.iter().map(|caller| self.of(caller, kind)).fold(0.0, f64::max)
    }

    /// Whether a direct callee shows anything itself.
    fn callee_suffers(&self, service: &str) -> bool {
        self.graph.callees(service).any(|callee| self.by_service.contains_key(callee))
    }
}

/// A hypothesis being added up.
struct Tally {
    score: f64,
    reasons: Vec<(f64, String)>,
}

impl Tally {
    fn new() -> Self {
        Self { score: 0.0, reasons: Vec::new() }
    }

    fn add(&mut self, nats: f64, reason: impl FnOnce() -> String) {
        if nats.abs() >= 0.05 {
            self.score += nats;
            self.reasons.push((nats, reason()));
        }
    }
}

/// Ranks hypotheses over the signals of one group: the best category of each service.
pub fn rank(signals: &[Signal], surroundings: Surroundings<'_>) -> Vec<Suspect> {
    best(&all(signals, surroundings), None)
}

/// Returns the best category of each service among all hypotheses, with posteriors. Of the service of `announced` it is
/// the announced category, if anything speaks for it.
pub fn best(all: &[Suspect], announced: Option<&Suspect>) -> Vec<Suspect> {
    let mut suspects: Vec<Suspect> = Vec::new();
    for suspect in all {
        let is_announced = announced.is_some_and(|one| is_same(one, suspect));
        match suspects.iter_mut().find(|known| known.service == suspect.service) {
            None => suspects.push(suspect.clone()),
            Some(known) if is_announced => *known = suspect.clone(),
            Some(_) => {}
        }
    }
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
    let all: f64 = suspects.iter().map(|suspect| suspect.score.exp()).sum::<f64>() + UNKNOWN_NATS.exp();
    for suspect in &mut suspects {
        suspect.posterior = suspect.score.exp() / all;
    }
    suspects.truncate(MAX_SUSPECTS);
    suspects
}

/// Returns the key by which the first symptom is found, the least one: neither noise that was noticed shortly before may
/// date a fault, nor a window of log lines, which begins before the lines that count.
fn start(signal: &Signal) -> (bool, Timestamp) {
    (signal.evidence <= WEAK_NATS || signal.kind == Kind::Logs, signal.started_at)
}

/// Returns when the first symptom of a service began, if it shows one.
pub fn onset(signals: &[Signal], service: &str) -> Option<Timestamp> {
    signals.iter().filter(|signal| signal.service == service).map(start).min().map(|(_, at)| at)
}

/// Whether both are the same hypothesis.
pub fn is_same(one: &Suspect, other: &Suspect) -> bool {
    (&one.service, one.category) == (&other.service, other.category)
}

/// Returns every hypothesis that anything speaks for, best first, without posteriors.
pub fn all(signals: &[Signal], surroundings: Surroundings<'_>) -> Vec<Suspect> {
    let evidence = Evidence::new(signals, surroundings);
    let first = evidence.onset.values().min().copied();
    let mut suspects: Vec<Suspect> = Vec::new();
    for &service in evidence.by_service.keys() {
        let change = trigger(service, evidence.onset[service], surroundings.deployments, surroundings.window);
        let callers = surroundings.graph.ancestors(service);
        let tallies = [
            resource(&evidence, service, Kind::Cpu, Category::Cpu),
            resource(&evidence, service, Kind::Memory, Category::Memory),
            resource(&evidence, service, Kind::Pool, Category::Pool),
            resource(&evidence, service, Kind::Lag, Category::Lag),
            resource(&evidence, service, Kind::Disk, Category::Disk),
            resource(&evidence, service, Kind::Certificate, Category::Certificate),
            network(&evidence, service),
            traffic(&evidence, service),
            slow(&evidence, service),
            failing(&evidence, service, change.as_ref()),
        ];
        for (category, mut tally) in tallies.into_iter().flatten() {
            let (latency, errors) =
                (evidence.callers(&callers, Kind::Latency), evidence.callers(&callers, Kind::Errors));
            tally.add(FROM_CALLERS * latency, || {
                format!("latency of callers of {service} is elevated as well")
            });
            tally.add(FROM_CALLERS * errors, || format!("requests of callers of {service} fail as well"));
            if evidence.by_service.len() > 1 && first == Some(evidence.onset[service]) {
                tally.add(0.5, || format!("{service} showed the first symptom"));
            }
            tally.reasons.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            suspects.push(Suspect {
                service: service.to_owned(),
                category,
                score: tally.score,
                posterior: 0.0,
                reasons: tally.reasons.into_iter().map(|(_, reason)| reason).collect(),
            });
        }
    }
    suspects.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| (&a.service, a.category).cmp(&(&b.service, b.category)))
    });
    suspects
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

/// A resource of the service itself has run out; its latency and errors follow from that. Log lines that name the
/// resource speak for it, with no more weight than the resource itself where that is measured.
fn resource(
    evidence: &Evidence<'_>,
    service: &str,
    kind: Kind,
    category: Category,
) -> Option<(Category, Tally)> {
    let nats = evidence.of(service, kind);
    let logs = evidence.named(service, category);
    if nats <= 0.0 && logs <= 0.0 {
        return None;
    }
    let mut tally = Tally::new();
    tally.add(nats, || format!("{} of {service} is outside its band", word(kind)));
    tally.add(if nats > 0.0 { logs.min(nats) } else { logs }, || {
        format!("log lines of {service} name {}", category.words())
    });
    symptoms(evidence, service, &mut tally);
    Some((category, tally))
}

/// Latency and errors that follow from a cause in the service itself.
fn symptoms(evidence: &Evidence<'_>, service: &str, tally: &mut Tally) {
    tally.add(0.7 * evidence.own(service, Kind::Latency), || {
        format!("latency of {service} is elevated, consistent with this cause")
    });
    tally.add(0.7 * evidence.own(service, Kind::Errors), || {
        format!("requests of {service} fail, consistent with this cause")
    });
}

/// Log lines of the service name the network; no metric of it is known.
fn network(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let logs = evidence.named(service, Category::Network);
    (logs > 0.0).then(|| {
        let mut tally = Tally::new();
        tally.add(logs, || format!("log lines of {service} name {}", Category::Network.words()));
        symptoms(evidence, service, &mut tally);
        (Category::Network, tally)
    })
}

fn traffic(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let nats = evidence.own(service, Kind::Traffic);
    (nats > 0.0).then(|| {
        let mut tally = Tally::new();
        // a change of traffic is as often the effect as the cause
        tally.add(0.5 * nats, || format!("traffic of {service} is outside its band"));
        tally.add(evidence.named(service, Category::Traffic).min(nats), || {
            format!("log lines of {service} name {}", Category::Traffic.words())
        });
        (Category::Traffic, tally)
    })
}

/// The service is slow and nothing of its own explains it: something below it that is not watched. Log lines that name
/// a dependency say so too, unless a dependency that is watched shows something itself.
fn slow(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let nats = evidence.own(service, Kind::Latency);
    let logs = evidence.named(service, Category::Dependency);
    let logs = if evidence.callee_suffers(service) { 0.0 } else { logs };
    (nats > 0.0 || logs > 0.0).then(|| {
        let mut tally = Tally::new();
        tally.add(0.9 * nats, || format!("latency of {service} is elevated beyond what its callees explain"));
        tally.add(0.3 * evidence.own(service, Kind::Errors), || {
            format!("requests of {service} fail beyond what its callees explain")
        });
        tally.add(logs, || format!("log lines of {service} name {}", Category::Dependency.words()));
        (Category::Dependency, tally)
    })
}

/// The service fails by its own code, the likelier the fresher its last change.
fn failing(evidence: &Evidence<'_>, service: &str, change: Option<&Deployment>) -> Option<(Category, Tally)> {
    let (errors, latency) = (evidence.own(service, Kind::Errors), evidence.own(service, Kind::Latency));
    if errors <= 0.0 && !(change.is_some() && latency > 0.0) {
        return odd(evidence, service);
    }
    let mut tally = Tally::new();
    tally.add(errors, || format!("requests of {service} fail beyond what its callees explain"));
    tally.add(0.6 * latency, || format!("latency of {service} is elevated beyond what its callees explain"));
    tally.add(evidence.named(service, Category::Code).min(errors.max(latency)), || {
        format!("log lines of {service} name {}", Category::Code.words())
    });
    let Some(change) = change else { return Some((Category::Code, tally)) };
    let age = evidence.onset[service].duration_since(from_ms(change.ts_ms)).as_secs_f64();
    // prior odds of a fresh change: ten to one at once, falling with a time constant of ten minutes
    let prior = (9.0 * (-age / 600.0).exp()).ln_1p();
    tally.add(prior, || format!("{service} {} was rolled out {} before", change.version, ago(age)));
    Some((if prior > 0.5 { Category::Deployment } else { Category::Code }, tally))
}

/// Nothing is known to be slow or to fail, and yet the service has changed: it is silent, restarts, or writes log lines
/// that it did not write before.
fn odd(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let mut tally = Tally::new();
    for (kind, what) in [
        (Kind::Silence, "stopped reporting"),
        (Kind::Restarts, "restarts again and again"),
        (Kind::Logs, "writes unusual log lines"),
        (Kind::Other, "has a metric outside its band"),
    ] {
        tally.add(evidence.of(service, kind), || format!("{service} {what}"));
    }
    tally.add(evidence.named(service, Category::Code), || {
        format!("log lines of {service} name {}", Category::Code.words())
    });
    (tally.score > 0.0).then_some((Category::Code, tally))
}

fn ago(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Returns a kind in words.
pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Latency => "latency",
        Kind::Errors => "error rate",
        Kind::Cpu => "CPU use",
        Kind::Memory => "memory use",
        Kind::Pool => "pool use",
        Kind::Lag => "consumer lag",
        Kind::Disk => "disk use",
        Kind::Traffic => "traffic",
        Kind::Certificate => "certificate life",
        Kind::Silence => "silence",
        Kind::Restarts => "restarts",
        Kind::Logs => "log lines",
        Kind::Other => "a metric",
    }
}
