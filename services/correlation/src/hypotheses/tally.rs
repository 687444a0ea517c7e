//! The hypotheses of one service, each added up.

use std::collections::BTreeSet;

use shared::clock::from_ms;
use shared::events::incident::Suspect;
use shared::events::{Category, Deployment, Kind};

use super::evidence::Evidence;
use super::{Detail, WEAK_NATS};
use crate::explanation::is_outside;

/// Share of what callers show that speaks for the callee.
const FROM_CALLERS: f64 = 0.3;
/// Evidence that a hypothesis demands of what it is about, nats.
const DEMANDED: f64 = 3.0;
/// Share of absent demanded evidence that is paid.
const PRICE: f64 = 0.6;
/// Prior odds of a change that was just rolled out against a fault of the code by itself, and the time constant with
/// which they fall, seconds.
const CHANGE_ODDS: f64 = 9.0;
const CHANGE_AGES_S: f64 = 600.0;
/// How much more often a service that is slow, and shows nothing else, waits for something below it than it is slow by itself,
/// nats. Telemetry does not tell the two apart; an estimate.
const BELOW: f64 = 1.0;
/// What a hypothesis about a service that fails loses where neither its calls nor its log lines are known, nats: it may as well
/// wait for something as fail by itself, and who else it may be is not known either.
const OPAQUE: f64 = 1.0;
/// Share of the latency of a service that speaks for a fault in its code.
const CODE_LATENCY: f64 = 0.6;
/// Worth of the first symptom of all, nats.
const FIRST: f64 = 0.5;

/// Kinds of what fills up or ends inside a service.
const RESOURCES: [Kind; 8] = [
    Kind::Cpu,
    Kind::Memory,
    Kind::Pool,
    Kind::Lag,
    Kind::Disk,
    Kind::Certificate,
    Kind::Silence,
    Kind::Restarts,
];

/// A hypothesis being added up.
struct Tally {
    category: Category,
    detail: Detail,
    score: f64,
    reasons: Vec<(f64, String)>,
}

impl Tally {
    fn new(evidence: &Evidence<'_>, category: Category) -> Self {
        Self { category, detail: evidence.detail, score: 0.0, reasons: Vec::new() }
    }

    fn add(&mut self, nats: f64, reason: impl FnOnce() -> String) {
        if nats.abs() >= 0.05 {
            self.score += nats;
            if self.detail == Detail::Reasons {
                self.reasons.push((nats, reason()));
            }
        }
    }

    /// Takes a share of what is demanded and was not seen.
    fn demand(&mut self, seen: f64, reason: impl FnOnce() -> String) {
        self.add(-PRICE * (DEMANDED - seen).max(0.0), reason);
    }
}

/// Returns the hypotheses of a service that anything speaks for, without probabilities. `change` is its last change before
/// its first symptom.
pub(super) fn of_service(
    evidence: &Evidence<'_>,
    service: &str,
    change: Option<&Deployment>,
) -> Vec<Suspect> {
    let tallies = [
        resource(evidence, service, Kind::Cpu, Category::Cpu),
        resource(evidence, service, Kind::Memory, Category::Memory),
        resource(evidence, service, Kind::Pool, Category::Pool),
        resource(evidence, service, Kind::Lag, Category::Lag),
        resource(evidence, service, Kind::Disk, Category::Disk),
        resource(evidence, service, Kind::Certificate, Category::Certificate),
        network(evidence, service),
        traffic(evidence, service),
        dependency(evidence, service),
        down(evidence, service),
        code(evidence, service),
        change.and_then(|change| deployment(evidence, service, change)),
    ];
    let callers = evidence.ancestors(service);
    let latency = evidence.callers(&callers, Kind::Latency);
    let errors = evidence.callers(&callers, Kind::Errors);
    let companion = evidence.companion(service);
    let is_first = evidence.is_first(service);
    let finish = |mut tally: Tally| {
        if tally.category != Category::Network {
            tally.add(FROM_CALLERS * latency, || {
                format!("latency of callers of {service} is elevated as well")
            });
            tally.add(FROM_CALLERS * errors, || format!("requests of callers of {service} fail as well"));
        }
        if let Some((companion, nats)) = companion.filter(|_| is_outside(tally.category)) {
            tally.add(FROM_CALLERS * nats, || format!("{companion} logs the same complaint"));
        }
        if is_first {
            tally.add(FIRST, || format!("{service} showed the first symptom"));
        }
        tally.reasons.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        Suspect {
            service: service.to_owned(),
            category: tally.category,
            score: tally.score,
            posterior: 0.0,
            service_posterior: None,
            reasons: tally
                .reasons
                .into_iter()
                .filter(|(nats, _)| *nats > 0.0)
                .map(|(_, reason)| reason)
                .collect(),
        }
    };
    tallies.into_iter().flatten().map(finish).collect()
}

/// A resource of the service itself has run out; its latency and errors follow from that. Log lines that name the
/// resource speak for it, with no more weight than the resource itself where that is measured.
fn resource(evidence: &Evidence<'_>, service: &str, kind: Kind, category: Category) -> Option<Tally> {
    let nats = evidence.of(service, kind) * evidence.before_symptoms(service, kind);
    let logs = evidence.named(service, category);
    let of_callers = evidence.named_by_callers(service, category);
    if nats <= 0.0 && logs <= 0.0 && of_callers <= 0.0 {
        return None;
    }
    let mut tally = Tally::new(evidence, category);
    tally.add(nats, || format!("{} of {service} is outside its band", word(kind)));
    tally.add(if nats > 0.0 { logs.min(nats) } else { logs }, || {
        format!("log lines of {service} name {}", category.words())
    });
    tally.add(of_callers, || format!("log lines of callers of {service} name {}", category.words()));
    tally.demand(nats.max(logs).max(of_callers), || {
        format!("{} of {service} is hardly outside its band", word(kind))
    });
    symptoms(evidence, service, &mut tally);
    if category == Category::Cpu {
        starves_others(evidence, service, &mut tally);
    }
    if category == Category::Memory {
        tally.add(0.7 * evidence.of(service, Kind::Restarts), || {
            format!("{service} restarts, consistent with this cause")
        });
    }
    Some(tally)
}

/// Services on the same host that lose their CPU time to this one, and are slow or fail for it.
fn starves_others(evidence: &Evidence<'_>, service: &str, tally: &mut Tally) {
    let (starved, nats) = evidence.starved_by(service);
    let starved: BTreeSet<&str> = starved.collect();
    let Some(first) = starved.first() else { return };
    tally.add(0.7 * nats, || format!("the host gave CPU time of {first} to others at the same time"));
    for kind in [Kind::Latency, Kind::Errors] {
        tally.add(FROM_CALLERS * evidence.callers(&starved, kind), || {
            format!("{} of {first} is elevated as well", word(kind))
        });
    }
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

/// Calls are slow or lost on their way into the service: several callers suffer beyond what their other callees
/// explain, and the service itself does not; or lines of the service or of its callers name the network. Fewer calls that
/// arrive speak for it too, but not alone: a caller that fails makes fewer calls as well.
fn network(evidence: &Evidence<'_>, service: &str) -> Option<Tally> {
    let callers = evidence.on_the_way(service);
    let itself = evidence.of(service, Kind::Latency).max(evidence.of(service, Kind::Errors));
    let is_there = itself <= WEAK_NATS
        && evidence.of(service, Kind::Silence) <= 0.0
        && evidence.of(service, Kind::Restarts) <= 0.0;
    let of_callers = if is_there { evidence.named_by_callers(service, Category::Network) } else { 0.0 };
    let logs = evidence.named(service, Category::Network);
    let (suffer, calm): (Vec<f64>, Vec<f64>) = callers.iter().partition(|nats| **nats > 0.0);
    let inbound = if suffer.len() > 1 && itself <= 0.0 { suffer.iter().sum::<f64>().min(6.0) } else { 0.0 };
    if logs <= 0.0 && of_callers <= 0.0 && inbound <= 0.0 {
        return None;
    }
    let mut tally = Tally::new(evidence, Category::Network);
    tally.add(of_callers, || format!("log lines of callers of {service} name {}", Category::Network.words()));
    if of_callers > 0.0 || inbound > 0.0 {
        tally.add(evidence.lost_calls(service), || format!("fewer calls arrive at {service}"));
    }
    tally.add(logs, || format!("log lines of {service} name {}", Category::Network.words()));
    tally.add(inbound, || format!("several callers of {service} suffer, and {service} itself does not"));
    if inbound > 0.0 {
        tally.add(-PRICE * DEMANDED * calm.len() as f64, || {
            format!("other callers of {service} do not suffer")
        });
    }
    tally.demand(logs.max(of_callers).max(inbound), || format!("little speaks for the way into {service}"));
    if logs > 0.0 {
        symptoms(evidence, service, &mut tally);
    }
    Some(tally)
}

/// More or fewer requests arrive than usual, beyond what callers explain. What it calls gets more or fewer as well.
fn traffic(evidence: &Evidence<'_>, service: &str) -> Option<Tally> {
    let nats = evidence.own(service, Kind::Traffic);
    (nats > 0.0).then(|| {
        let mut tally = Tally::new(evidence, Category::Traffic);
        // beside symptoms a change of traffic is as often their effect as their cause
        let weight = if evidence.suffers_near(service) { 0.5 } else { 1.0 };
        tally.add(weight * nats, || format!("traffic of {service} is outside its band"));
        // what callers explain here, they explain at callees too
        let share = weight * nats / evidence.of(service, Kind::Traffic);
        tally.add(share * FROM_CALLERS * evidence.traffic_of_callees(service), || {
            format!("traffic of what {service} calls is outside its band as well")
        });
        tally.add(evidence.named(service, Category::Traffic).min(nats), || {
            format!("log lines of {service} name {}", Category::Traffic.words())
        });
        if evidence.surges(service) {
            tally.add(0.5 * evidence.own(service, Kind::Latency), || {
                format!("latency of {service} is elevated, consistent with this cause")
            });
        }
        tally
    })
}

/// The service is slow and nothing of its own explains it: something below it that is not watched. Log lines that name
/// a dependency say so too, unless a dependency that is watched shows something itself.
fn dependency(evidence: &Evidence<'_>, service: &str) -> Option<Tally> {
    let nats = evidence.own(service, Kind::Latency);
    let logs = evidence.named(service, Category::Dependency);
    let logs = if evidence.callee_suffers(service) { 0.0 } else { logs };
    let errors = evidence.own(service, Kind::Errors);
    // where nothing shows what it waits for, requests that fail speak for that as they do for its own code
    let is_opaque = errors > 0.0 && evidence.is_opaque(service);
    (nats > 0.0 || logs > 0.0 || is_opaque).then(|| {
        let mut tally = Tally::new(evidence, Category::Dependency);
        let (of_latency, of_errors) = match (is_opaque, logs > 0.0) {
            (true, _) => (CODE_LATENCY, 1.0),
            (false, true) => (0.9, 0.7),
            (false, false) => (0.9, 0.5),
        };
        tally.add(of_latency * nats, || {
            format!("latency of {service} is elevated beyond what its callees explain")
        });
        tally.add(of_errors * errors, || {
            format!("requests of {service} fail beyond what its callees explain")
        });
        tally.add(logs, || format!("log lines of {service} name {}", Category::Dependency.words()));
        if is_opaque {
            tally.add(-OPAQUE, || format!("neither a call nor a log line of {service} is known"));
        }
        // latency by itself may come from the service too
        let told = if is_opaque { errors } else { logs.max(nats / 3.0) };
        tally.demand(told, || format!("no log line of {service} names a dependency"));
        tally
    })
}

/// The service is not there: it stopped reporting, or it restarts again and again.
fn down(evidence: &Evidence<'_>, service: &str) -> Option<Tally> {
    let (silence, restarts) = (evidence.of(service, Kind::Silence), evidence.of(service, Kind::Restarts));
    (silence > 0.0 || restarts > 0.0).then(|| {
        let mut tally = Tally::new(evidence, Category::Down);
        tally.add(silence, || format!("{service} stopped reporting"));
        tally.add(restarts, || format!("{service} restarts again and again"));
        tally.demand(silence.max(restarts), || format!("{service} may only have been restarted"));
        symptoms(evidence, service, &mut tally);
        tally
    })
}

/// The service fails by its own code or configuration.
fn code(evidence: &Evidence<'_>, service: &str) -> Option<Tally> {
    let mut tally = Tally::new(evidence, Category::Code);
    let told = own_fault(evidence, service, &mut tally);
    if tally.score <= 0.0 {
        return None;
    }
    if evidence.is_opaque(service) && evidence.own(service, Kind::Errors) > 0.0 {
        tally.add(-OPAQUE, || format!("neither a call nor a log line of {service} is known"));
    }
    tally.demand(told, || format!("requests of {service} do not fail"));
    Some(tally)
}

/// The last change of the service is bad: what speaks for its code, and that the change is fresh.
fn deployment(evidence: &Evidence<'_>, service: &str, change: &Deployment) -> Option<Tally> {
    let mut tally = Tally::new(evidence, Category::Deployment);
    let told = own_fault(evidence, service, &mut tally);
    tally.add(0.5 * evidence.of(service, Kind::Restarts), || format!("{service} restarts"));
    tally.add(0.5 * evidence.of(service, Kind::Silence), || format!("{service} stopped reporting"));
    if tally.score <= 0.0 {
        return None;
    }
    let slow = evidence.own(service, Kind::Latency);
    tally.demand(told.max(slow), || format!("{service} is neither slow nor does it fail"));
    let age = evidence.onset(service)?.duration_since(from_ms(change.ts_ms)).as_secs_f64();
    let odds = CHANGE_ODDS.ln() - age / CHANGE_AGES_S;
    // of a symptom that callees explain in part, the change has as little as the code
    let odds = if odds > 0.0 { odds * evidence.share_of_own(service) } else { odds };
    tally.add(odds, || format!("{service} {} was rolled out {} before", change.version, ago(age)));
    Some(tally)
}

/// Adds what a fault of the service's own code shows, and returns what says so by itself: failures and unusual lines.
fn own_fault(evidence: &Evidence<'_>, service: &str, tally: &mut Tally) -> f64 {
    let errors = evidence.own(service, Kind::Errors);
    let latency = evidence.own(service, Kind::Latency);
    let lines = evidence.of(service, Kind::Logs);
    let named = evidence.named(service, Category::Code);
    let other = [Kind::DataLoss, Kind::Security, Kind::Other].map(|kind| evidence.of(service, kind));
    let other = other.into_iter().fold(0.0, f64::max);
    tally.add(errors, || format!("requests of {service} fail beyond what its callees explain"));
    tally.add(CODE_LATENCY * latency, || {
        format!("latency of {service} is elevated beyond what its callees explain")
    });
    tally.add(if errors > 0.0 { named.min(errors) } else { named }, || {
        format!("log lines of {service} name {}", Category::Code.words())
    });
    // beside latency, errors or a resource they are as often about their cause
    let has_resource = RESOURCES.iter().any(|kind| evidence.of(service, *kind) > 0.0);
    let alone = errors <= 0.0 && latency <= 0.0 && !has_resource;
    tally.add(if alone { lines } else { 0.3 * lines }, || format!("{service} writes unusual log lines"));
    if alone {
        tally.add(other, || format!("{service} has a metric outside its band"));
    }
    let told = errors.max(named).max(if alone { lines.max(other) } else { 0.0 });
    let only_slow =
        latency > 0.0 && told <= 0.0 && lines <= 0.0 && !has_resource && !evidence.is_named(service);
    if only_slow {
        tally.add(0.3 * latency - BELOW, || format!("no log line of {service} names what it waits for"));
        return latency / 3.0;
    }
    told
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
        Kind::DataLoss => "data loss",
        Kind::Security => "security",
        Kind::Other => "a metric",
    }
}
