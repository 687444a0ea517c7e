//! H: hypotheses. Says for every service and category what must be seen, adds what is seen, and takes off what is demanded
//! and absent.

use std::collections::BTreeSet;

use serde::Serialize;
use shared::events::Category;

use super::Case;
use super::inbound::Inbound;
use super::minutes::Minutes;
use super::observations::Observations;
use super::system::{Id, Names, reach};

/// Nats lost for each nat that a hypothesis demands and that the telemetry, though present, does not show.
const MISSING: f64 = 0.6;
/// Evidence of the processor that a fault of it demands, nats.
const CPU_DEMAND_NATS: f64 = 3.0;
/// What slow or failing ancestors add.
const FROM_CALLERS: f64 = 0.3;
/// Share of a caller's symptom that the same symptom at a callee explains.
const EXPLAINED: f64 = 0.5;
/// Share of a broken invariant that one at a callee explains.
const EXPLAINED_BREAK: f64 = 0.8;
/// Strength of a callee's break, as a share, below which it does not explain a stronger one.
const LEAST_BREAK_SHARE: f64 = 0.5;
/// Share of broken invariants that are the same calls as new error lines.
const SAME_CALLS: f64 = 0.5;
/// Weight of latency where no span states self time.
const LATENCY_WEIGHT: f64 = 0.7;
/// Weight of time without resource use as a fault of the code: it is as likely the network's.
const SLOW_CODE_WEIGHT: f64 = 0.6;
/// Odds of a fault in a change that was rolled out just now, against any other time, less one; and the minutes in which
/// they fall by a factor of e.
const FRESH_ODDS: f64 = 9.0;
const FRESH_MS: f64 = 600_000.0;
/// Age from which on a change is no trigger, ms.
const MAX_AGE_MS: i64 = 3_600_000;
/// What a change adds from which on it is named as the cause, nats.
const NAMED_NATS: f64 = 0.5;
/// Score of each robust deviation of the worst observation, to break ties, and most deviations that count.
const TIE_NATS: f64 = 0.01;
const MAX_TIE_DEVIATIONS: f64 = 30.0;

/// A kind of fault of a service, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hypothesis {
    /// Kind of fault.
    pub category: Category,
    /// What is seen less what is missing, nats.
    pub nats: f64,
}

/// A service as the cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Service.
    pub service: String,
    /// Evidence of its best hypothesis and the tie-break; services are ranked by it.
    pub score: f64,
    /// Hypotheses that anything speaks for, best first.
    pub hypotheses: Vec<Hypothesis>,
    /// Delay of a call on the way into the service that fits its callers best, ms.
    pub delay_ms: f64,
    /// Whether anything at all is observed about the service.
    pub is_affected: bool,
}

impl Suspect {
    /// Returns the best category; unknown if nothing speaks for any.
    pub fn category(&self) -> Category {
        self.hypotheses.first().map_or(Category::Unknown, |best| best.category)
    }

    /// Returns the evidence of the best hypothesis, nats, without the tie-break.
    pub fn nats(&self) -> f64 {
        self.hypotheses.first().map_or(0.0, |best| best.nats)
    }
}

/// Ranks the services of a case, best first; `history` is what was known of spans and logs before it.
pub fn rank(case: &Case, history: &Minutes) -> Vec<Suspect> {
    let evidence: Minutes = case.evidence.iter().collect();
    let edges = case.edges.iter().flat_map(|(caller, callee)| [caller.as_str(), callee.as_str()]);
    let names = Names::new(
        case.services
            .iter()
            .chain(case.series.iter().map(|series| &series.service))
            .map(String::as_str)
            .chain(edges)
            .chain(evidence.names())
            .chain(history.names()),
    );
    let observed = Observations::of(case, history, &names);
    let callers = FromCallers::of(&observed);
    let services: BTreeSet<Id> = case.services.iter().filter_map(|name| names.id(name)).collect();
    let mut suspects: Vec<Suspect> =
        services.into_iter().map(|service| suspect(service, &observed, &callers, &names, case)).collect();
    suspects.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.service.cmp(&b.service)));
    suspects
}

/// What direct and indirect callers show, the strongest of them, nats by service.
#[derive(Debug)]
struct FromCallers {
    latency: Vec<f64>,
    failures: Vec<f64>,
}

impl FromCallers {
    fn of(observed: &Observations) -> Self {
        let Observations { metrics, logs, broken, graph, .. } = observed;
        Self {
            latency: handed_down(&[&metrics.latency], &graph.callees),
            failures: handed_down(&[&metrics.errors, logs, broken], &graph.callees),
        }
    }
}

/// Returns for each service the strongest evidence among all that lead to it.
fn handed_down(kinds: &[&Vec<f64>], callees: &[BTreeSet<Id>]) -> Vec<f64> {
    let mut strongest = vec![0.0; callees.len()];
    for caller in 0..callees.len() {
        let evidence = kinds.iter().map(|kind| kind[caller]).fold(0.0, f64::max);
        if evidence > 0.0 {
            for callee in reach(caller, callees) {
                strongest[callee] = f64::max(strongest[callee], evidence);
            }
        }
    }
    strongest
}

fn suspect(
    service: Id,
    observed: &Observations,
    callers: &FromCallers,
    names: &Names,
    case: &Case,
) -> Suspect {
    let inbound = Inbound::of(service, observed);
    let mut hypotheses = hypotheses(service, observed, callers, inbound);
    let prior = prior(names.name(service), case);
    for code in hypotheses.iter_mut().filter(|hypothesis| hypothesis.category == Category::Code) {
        // a change alone is no evidence: it at most doubles what there is
        let added = prior.min(code.nats.max(0.0));
        code.nats += added;
        if added > NAMED_NATS {
            code.category = Category::Deployment;
        }
    }
    // a tie goes to the earlier category
    hypotheses.sort_by(|a, b| b.nats.total_cmp(&a.nats));
    let tie_break = TIE_NATS * observed.worst[service].min(MAX_TIE_DEVIATIONS);
    Suspect {
        service: names.name(service).to_owned(),
        score: hypotheses.first().map_or(0.0, |best| best.nats) + tie_break,
        hypotheses,
        delay_ms: inbound.delay_ms,
        is_affected: observed.is_affected(service),
    }
}

/// Returns the prior evidence that the last change of a service caused the alert, nats: `ln(1 + 9 exp(-age / 10 min))`.
fn prior(service: &str, case: &Case) -> f64 {
    let own = case.deployments.iter().filter(|deployed| deployed.service == service);
    let ages = own.map(|deployed| case.alert.ts_ms.saturating_sub(deployed.ts_ms).max(0));
    match ages.min() {
        Some(age) if age <= MAX_AGE_MS => (FRESH_ODDS * (-(age as f64) / FRESH_MS).exp()).ln_1p(),
        _ => 0.0,
    }
}

fn hypotheses(
    service: Id,
    observed: &Observations,
    callers: &FromCallers,
    inbound: Inbound,
) -> Vec<Hypothesis> {
    let (cpu, memory) = (observed.metrics.cpu[service], observed.metrics.memory[service]);
    let clients = observed.graph.callers[service].iter().map(|&caller| observed.metrics.client[caller]);
    let slow = FROM_CALLERS * clients.fold(callers.latency[service], f64::max);
    let fails = FROM_CALLERS * callers.failures[service];
    let unexplained = |kind: &[f64]| unexplained(kind, service, observed);
    let own = if observed.spans.extra.contains_key(&service) {
        observed.self_time[service]
    } else {
        LATENCY_WEIGHT * unexplained(&observed.metrics.latency)
    };
    let (errors, lost, logs) =
        (unexplained(&observed.metrics.errors), unexplained(&observed.lost), unexplained(&observed.logs));
    let broken = unexplained_break(service, observed);
    let delayed = inbound.explained - MISSING * inbound.missing;
    let cpu_fault = (cpu > 0.0 || (memory > 0.0 && own > 0.0)).then(|| {
        cpu + 0.3 * memory + own + 0.5 * delayed.max(0.0) + slow - MISSING * (CPU_DEMAND_NATS - cpu).max(0.0)
    });
    // memory alone is a warning, not a fault
    let memory_fault = (memory > 0.0 && cpu == 0.0).then(|| 0.05 * memory + memory.min(1.5 * own + slow));
    let network_fault = (inbound.explained != 0.0).then_some(delayed + slow);
    let code_fault = [lost, errors, logs, own, broken].iter().any(|nats| *nats != 0.0).then(|| {
        lost.max(broken) + errors + logs - SAME_CALLS * broken.min(logs)
            + SLOW_CODE_WEIGHT * own
            + fails
            + 0.5 * slow
    });
    [
        (Category::Cpu, cpu_fault),
        (Category::Memory, memory_fault),
        (Category::Network, network_fault),
        (Category::Code, code_fault),
    ]
    .into_iter()
    .filter_map(|(category, nats)| Some(Hypothesis { category, nats: nats? }))
    .collect()
}

/// Returns what is left of a symptom that callees show too: it travels from callee to caller.
fn unexplained(kind: &[f64], service: Id, observed: &Observations) -> f64 {
    let mine = kind[service];
    let below = observed.graph.callees[service].iter().map(|&callee| kind[callee]).fold(0.0, f64::max);
    mine - EXPLAINED * mine.min(below)
}

/// Returns what is left of a broken invariant: a callee's break explains it if it is strong enough, and if the service did
/// not stop before it called.
fn unexplained_break(service: Id, observed: &Observations) -> f64 {
    let mine = observed.broken[service];
    let cut = observed.cut.get(&service);
    let reached =
        observed.graph.callees[service].iter().filter(|callee| !cut.is_some_and(|cut| cut.contains(callee)));
    let below = reached.map(|&callee| observed.broken[callee]).fold(0.0, f64::max);
    if below >= LEAST_BREAK_SHARE * mine { mine - EXPLAINED_BREAK * mine.min(below) } else { mine }
}
