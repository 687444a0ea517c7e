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

/// Price of "not visible", nats.
pub const UNKNOWN_NATS: f64 = 2.0;
/// Most suspects that are kept.
pub const MAX_SUSPECTS: usize = 5;
/// Share of what callers show that speaks for the callee.
const FROM_CALLERS: f64 = 0.3;
/// Share of a symptom that a direct callee with the same symptom takes away.
const EXPLAINED: f64 = 0.5;

/// Strongest evidence of a service for each kind.
type ByKind = BTreeMap<Kind, f64>;

/// What all signals together say.
struct Evidence<'a> {
    by_service: BTreeMap<&'a str, ByKind>,
    onset: BTreeMap<&'a str, Timestamp>,
    graph: &'a Graph,
}

impl<'a> Evidence<'a> {
    fn new(signals: &'a [Signal], graph: &'a Graph) -> Self {
        let mut by_service: BTreeMap<&str, ByKind> = BTreeMap::new();
        let mut onset: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for signal in signals {
            let nats = by_service.entry(&signal.service).or_default().entry(signal.kind).or_default();
            *nats = nats.max(signal.evidence);
            let first = onset.entry(&signal.service).or_insert(signal.started_at);
            *first = (*first).min(signal.started_at);
        }
        Self { by_service, onset, graph }
    }

    fn of(&self, service: &str, kind: Kind) -> f64 {
        self.by_service.get(service).and_then(|kinds| kinds.get(&kind)).copied().unwrap_or(0.0)
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
}

/// A hypothesis being added up.
struct Tally {
    score: f64,
    reasons: Vec<String>,
}

impl Tally {
    fn new() -> Self {
        Self { score: 0.0, reasons: Vec::new() }
    }

    fn add(&mut self, nats: f64, reason: impl FnOnce() -> String) {
        if nats.abs() >= 0.05 {
            self.score += nats;
            self.reasons.push(format!("{} ({nats:+.1} nats)", reason()));
        }
    }
}

/// Ranks hypotheses over the signals of one group.
pub fn rank(
    signals: &[Signal],
    graph: &Graph,
    deployments: &[Deployment],
    window: SignedDuration,
) -> Vec<Suspect> {
    let evidence = Evidence::new(signals, graph);
    let first = evidence.onset.values().min().copied();
    let mut suspects: Vec<Suspect> = Vec::new();
    for (&service, kinds) in &evidence.by_service {
        let change = trigger(service, evidence.onset[service], deployments, window);
        let callers = graph.ancestors(service);
        let best = [
            resource(&evidence, service, kinds, Kind::Cpu, Category::Cpu),
            resource(&evidence, service, kinds, Kind::Memory, Category::Memory),
            resource(&evidence, service, kinds, Kind::Pool, Category::Pool),
            resource(&evidence, service, kinds, Kind::Lag, Category::Lag),
            resource(&evidence, service, kinds, Kind::Disk, Category::Disk),
            resource(&evidence, service, kinds, Kind::Certificate, Category::Certificate),
            traffic(&evidence, service),
            slow(&evidence, service),
            failing(&evidence, service, change.as_ref()),
        ]
        .into_iter()
        .flatten()
        .max_by(|a, b| a.1.score.total_cmp(&b.1.score));
        let Some((category, mut tally)) = best else { continue };
        let (latency, errors) =
            (evidence.callers(&callers, Kind::Latency), evidence.callers(&callers, Kind::Errors));
        tally.add(FROM_CALLERS * latency, || format!("callers of {service} are slow as well"));
        tally.add(FROM_CALLERS * errors, || format!("callers of {service} fail as well"));
        if evidence.by_service.len() > 1 && first == Some(evidence.onset[service]) {
            tally.add(0.5, || format!("{service} was the first to show anything"));
        }
        suspects.push(Suspect {
            service: service.to_owned(),
            category,
            score: tally.score,
            posterior: 0.0,
            reasons: tally.reasons,
        });
    }
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
    let all: f64 = suspects.iter().map(|suspect| suspect.score.exp()).sum::<f64>() + UNKNOWN_NATS.exp();
    for suspect in &mut suspects {
        suspect.posterior = suspect.score.exp() / all;
    }
    suspects.truncate(MAX_SUSPECTS);
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
            change.service == service && age >= SignedDuration::ZERO && age <= window
        })
        .max_by_key(|change| change.ts_ms)
        .cloned()
}

/// A resource of the service itself has run out; its latency and errors follow from that.
fn resource(
    evidence: &Evidence<'_>,
    service: &str,
    kinds: &ByKind,
    kind: Kind,
    category: Category,
) -> Option<(Category, Tally)> {
    let nats = kinds.get(&kind).copied().filter(|nats| *nats > 0.0)?;
    let mut tally = Tally::new();
    tally.add(nats, || format!("{} of {service} is far outside its band", word(kind)));
    tally.add(0.7 * evidence.own(service, Kind::Latency), || format!("{service} is slow, as it would be"));
    tally.add(0.7 * evidence.own(service, Kind::Errors), || format!("{service} fails, as it would"));
    Some((category, tally))
}

fn traffic(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let nats = evidence.own(service, Kind::Traffic);
    (nats > 0.0).then(|| {
        let mut tally = Tally::new();
        // a change of traffic is as often the effect as the cause
        tally.add(0.5 * nats, || format!("traffic of {service} is far outside its band"));
        (Category::Traffic, tally)
    })
}

/// The service is slow and nothing of its own explains it: something below it that is not watched.
fn slow(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let nats = evidence.own(service, Kind::Latency);
    (nats > 0.0).then(|| {
        let mut tally = Tally::new();
        tally.add(0.9 * nats, || format!("{service} is slow, beyond what its callees explain"));
        tally.add(0.3 * evidence.own(service, Kind::Errors), || {
            format!("{service} fails, beyond what its callees explain")
        });
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
    tally.add(errors, || format!("{service} fails, beyond what its callees explain"));
    tally.add(0.6 * latency, || format!("{service} is slow, beyond what its callees explain"));
    let Some(change) = change else { return Some((Category::Code, tally)) };
    let age = evidence.onset[service].duration_since(from_ms(change.ts_ms)).as_secs_f64();
    // prior odds of a fresh change: ten to one at once, falling with a time constant of ten minutes
    let prior = (9.0 * (-age / 600.0).exp()).ln_1p();
    tally.add(prior, || format!("{service} {} was rolled out {} before", change.version, ago(age)));
    Some((if prior > 0.5 { Category::Deployment } else { Category::Code }, tally))
}

/// Nothing is known to be slow or to fail, and yet the service is not as it was: it is silent, restarts, or says what it
/// never said.
fn odd(evidence: &Evidence<'_>, service: &str) -> Option<(Category, Tally)> {
    let mut tally = Tally::new();
    for (kind, what) in [
        (Kind::Silence, "has stopped reporting"),
        (Kind::Restarts, "keeps restarting"),
        (Kind::Logs, "logs what it does not usually log"),
        (Kind::Other, "has a metric far outside its band"),
    ] {
        tally.add(evidence.of(service, kind), || format!("{service} {what}"));
    }
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
