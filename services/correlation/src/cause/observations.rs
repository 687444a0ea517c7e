//! All that is observed about each service, in nats.

use std::collections::{BTreeMap, BTreeSet};

use super::metric_evidence::MetricEvidence;
use super::minutes::Minutes;
use super::normal::{CAP_NATS, nats};
use super::span_times::{Cell, MINUTE_SCALE, MODEL_ERROR, SpanTimes};
use super::system::{Calls, Id, Names};
use super::{Case, invariants, log_rates};

/// Spans of minutes that began earlier than this before the alert are history.
const NOW_MS: i64 = 30_000;
/// Deviations below which extra self time is noise; it is a mean over a minute's calls already.
const NOISE_DEVIATIONS: f64 = 2.0;
/// Extra time below this share of all that users waited cannot be the matter.
const MATERIAL_SHARE: f64 = 0.005;

/// Evidence of each service, nats by number.
#[derive(Debug)]
pub(super) struct Observations {
    pub(super) metrics: MetricEvidence,
    /// Extra self time.
    pub(super) self_time: Vec<f64>,
    /// Calls that it no longer makes.
    pub(super) lost: Vec<f64>,
    /// New errors in its log lines.
    pub(super) logs: Vec<f64>,
    /// Broken invariants.
    pub(super) broken: Vec<f64>,
    /// Largest deviation to the worse, in robust deviations: breaks ties.
    pub(super) worst: Vec<f64>,
    /// Callees that a service does not reach any more.
    pub(super) cut: BTreeMap<Id, BTreeSet<Id>>,
    pub(super) spans: SpanTimes,
    /// Extra time that is large enough to be the matter, ms; 0 without spans.
    pub(super) material_ms: f64,
    /// Who calls whom, by topology and spans.
    pub(super) graph: Calls,
}

impl Observations {
    /// Observes a case; `history` is what was known of spans and logs before it.
    pub(super) fn of(case: &Case, history: &Minutes, names: &Names) -> Self {
        let edges: Vec<(Id, Id)> = case
            .edges
            .iter()
            .filter_map(|(caller, callee)| Some((names.id(caller)?, names.id(callee)?)))
            .collect();
        let metrics = MetricEvidence::of(case, names, &edges);
        let none = vec![0.0; names.len()];
        let mut observed = Self {
            self_time: none.clone(),
            lost: metrics.lost.clone(),
            logs: none.clone(),
            broken: none,
            worst: metrics.worst.clone(),
            cut: BTreeMap::new(),
            spans: SpanTimes { calls: metrics.calls.clone(), ..SpanTimes::default() },
            material_ms: 0.0,
            graph: Calls::new(0, []),
            metrics,
        };
        if !case.evidence.is_empty() {
            observed.take_evidence(case, history, names);
        }
        let calls = observed.spans.calls.keys().copied();
        observed.graph = Calls::new(names.len(), edges.into_iter().chain(calls));
        observed
    }

    fn take_evidence(&mut self, case: &Case, history: &Minutes, names: &Names) {
        let begin = case.alert.ts_ms.saturating_sub(NOW_MS);
        let mut now: Minutes = case.evidence.iter().filter(|row| row.ts_ms() > begin).collect();
        if now.spans.is_empty() && now.logs.is_empty() {
            now = case.evidence.iter().collect();
        }
        let mut known: Minutes = case.evidence.iter().filter(|row| row.ts_ms() <= begin).collect();
        known.join(history);
        // without anything better, the minutes before the alert are the reference
        let reference = if history.spans.is_empty() { &known } else { history };
        self.spans = SpanTimes::of(reference, &now, names);
        self.material_ms = MATERIAL_SHARE * self.spans.waited_ms;
        self.take_self_times();
        for (&service, &deviations) in &self.spans.lost {
            self.lost[service] = self.lost[service].max(nats(deviations));
        }
        for (service, evidence) in log_rates::evidence(reference, &now) {
            if let Some(id) = names.id(service) {
                self.logs[id] = evidence;
            }
        }
        self.take_broken(&invariants::broken(&known, &now), names);
    }

    fn take_self_times(&mut self) {
        for (&service, extra) in &self.spans.extra {
            let weight = material(extra.total_ms.max(0.0), self.material_ms);
            let evidence: f64 =
                extra.cells.iter().filter(|cell| cell.extra_ms > 0.0).map(minute_evidence).sum();
            self.worst[service] = self.worst[service].max(weight * extra.total_ms / extra.deviation_ms);
            if extra.total_ms > NOISE_DEVIATIONS * extra.deviation_ms {
                self.self_time[service] = evidence.min(CAP_NATS) * weight;
            }
        }
    }

    fn take_broken(&mut self, broken: &invariants::Broken, names: &Names) {
        for (service, evidence) in &broken.nats {
            if let Some(id) = names.id(service) {
                self.broken[id] = *evidence;
            }
        }
        for (service, callees) in &broken.cut {
            if let Some(id) = names.id(service) {
                self.cut.insert(id, callees.iter().filter_map(|callee| names.id(callee)).collect());
            }
        }
    }

    /// Whether anything at all is observed about a service.
    pub(super) fn is_affected(&self, service: Id) -> bool {
        let metrics = &self.metrics;
        [&metrics.cpu, &metrics.memory, &metrics.latency, &metrics.client, &metrics.errors]
            .into_iter()
            .chain([&self.self_time, &self.lost, &self.logs, &self.broken])
            .any(|kind| kind[service] > 0.0)
    }
}

/// Returns how far an extra time is the matter, 0 to 1.
pub(super) fn material(extra_ms: f64, material_ms: f64) -> f64 {
    if material_ms > 0.0 { (extra_ms / material_ms).min(1.0) } else { 1.0 }
}

fn minute_evidence(cell: &Cell) -> f64 {
    let squared = cell.extra_ms * cell.extra_ms;
    let granted = MODEL_ERROR * cell.extra_ms;
    MINUTE_SCALE * 0.5 * squared / (cell.deviation_ms * cell.deviation_ms + granted * granted)
}
