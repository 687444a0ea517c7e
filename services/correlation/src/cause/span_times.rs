//! Self time: what the spans of a service took that the calls it made do not explain. And calls that it stopped making.

use std::collections::{BTreeMap, BTreeSet};

use super::minutes::{Call, Minutes, Spans};
use super::normal::shorth;
use super::system::{CallCounts, Id, Names};

/// Relative error that a predicted delay is granted. Development figures are flat from 0.2 to 0.7.
pub(super) const MODEL_ERROR: f64 = 0.35;
/// Most that one minute of span times can say, nats: the weight of spans against metrics and logs.
const MINUTE_CAP_NATS: f64 = 4.0;
/// Factor by which a likelihood ratio is scaled so that it ends at [`MINUTE_CAP_NATS`], whatever the error granted is:
/// `y^2 / 2 / (sd^2 + m^2 y^2)` ends at `1 / (2 m^2)`.
pub(super) const MINUTE_SCALE: f64 = 2.0 * MODEL_ERROR * MODEL_ERROR * MINUTE_CAP_NATS;
/// Least spread of a usual self time, as a share of it.
const LEAST_SPREAD: f64 = 0.20;
/// Least spread of a usual self time, ms.
const LEAST_SPREAD_MS: f64 = 1.0;
/// Minutes of history below which a self time may be half off.
const SURE_MINUTES: usize = 5;
/// Minutes that a usual number of calls is made of.
const RATIO_MINUTES: usize = 3;
/// Expected calls below which none are missed.
const LEAST_EXPECTED_CALLS: f64 = 3.0;
/// Least relative spread of calls per request.
const LEAST_RATIO_SPREAD: f64 = 0.05;

/// Spans and calls of some minutes, by service.
#[derive(Debug, Default)]
struct Totals {
    /// Number of spans and their time, ms.
    own: BTreeMap<Id, (f64, f64)>,
    /// Time of the calls that a service made, ms.
    below: BTreeMap<Id, f64>,
    calls: CallCounts,
}

impl Totals {
    fn add(&mut self, spans: &BTreeMap<Call, Spans>, names: &Names) {
        for (call, Spans { count, mean_ms, .. }) in spans {
            let Some(service) = names.id(&call.service) else { continue };
            let own = self.own.entry(service).or_default();
            own.0 += count;
            own.1 += count * mean_ms;
            let caller = call.caller.as_deref().and_then(|name| names.id(name));
            if let Some(caller) = caller.filter(|&caller| caller != service) {
                *self.below.entry(caller).or_default() += count * mean_ms;
                *self.calls.entry((caller, service)).or_default() += count;
            }
        }
    }

    /// Returns the time that the service's calls do not explain, ms.
    fn self_ms(&self, service: Id, total_ms: f64) -> f64 {
        total_ms - self.below.get(&service).copied().unwrap_or(0.0)
    }
}

/// What is usual, learned from the history.
#[derive(Debug, Default)]
struct Usual {
    /// Self time of a request in each minute, ms.
    self_ms: BTreeMap<Id, Vec<f64>>,
    /// Calls to a callee for each span of the caller's own, in each minute.
    ratios: BTreeMap<(Id, Id), Vec<f64>>,
}

impl Usual {
    fn of(history: &Minutes, names: &Names) -> Self {
        let mut usual = Self::default();
        for spans in history.spans.values() {
            let mut minute = Totals::default();
            minute.add(spans, names);
            for (&service, &(count, total)) in minute.own.iter().filter(|(_, (count, _))| *count > 0.0) {
                let each = minute.self_ms(service, total) / count;
                usual.self_ms.entry(service).or_default().push(each);
            }
            for (&(caller, callee), calls) in &minute.calls {
                let own = minute.own.get(&caller).map_or(0.0, |own| own.0);
                if own > 0.0 {
                    usual.ratios.entry((caller, callee)).or_default().push(calls / own);
                }
            }
        }
        usual
    }

    /// Returns the usual self time of a request and its spread, ms.
    fn self_time(&self, service: Id) -> Option<(f64, f64)> {
        let minutes = self.self_ms.get(&service)?;
        let (centre, mut spread) = shorth(minutes);
        if minutes.len() < SURE_MINUTES {
            spread = spread.max(0.5 * centre.abs());
        }
        Some((centre, spread.max(LEAST_SPREAD * centre.abs()).max(LEAST_SPREAD_MS)))
    }
}

/// Extra self time of a service in one minute.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) extra_ms: f64,
    pub(super) deviation_ms: f64,
    /// Calls that the service made in this minute, by callee.
    pub(super) calls: BTreeMap<Id, f64>,
    /// 95th percentile of the service's slowest operation, ms.
    pub(super) longest_ms: f64,
}

/// Extra self time of a service over all minutes since the alert.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) total_ms: f64,
    pub(super) deviation_ms: f64,
    pub(super) cells: Vec<Cell>,
}

/// What the spans since the alert come to.
#[derive(Debug, Default)]
pub(super) struct SpanTimes {
    /// Extra self time of each service whose usual one is known.
    pub(super) extra: BTreeMap<Id, Extra>,
    pub(super) calls: CallCounts,
    /// Deviations by which a service makes fewer calls than usual, to the callee that misses most.
    pub(super) lost: BTreeMap<Id, f64>,
    /// Time of all spans that no service called: what users waited, ms.
    pub(super) waited_ms: f64,
}

impl SpanTimes {
    pub(super) fn of(history: &Minutes, now: &Minutes, names: &Names) -> Self {
        let usual = Usual::of(history, names);
        let mut all = Totals::default();
        let minutes = now.spans.values().map(|spans| {
            all.add(spans, names);
            let mut minute = Totals::default();
            minute.add(spans, names);
            (spans, minute)
        });
        let minutes: Vec<_> = minutes.collect();
        let mut extra = BTreeMap::new();
        for (&service, &(count, total)) in all.own.iter().filter(|(_, (count, _))| *count > 0.0) {
            let Some((centre, spread)) = usual.self_time(service) else { continue };
            let cells = minutes
                .iter()
                .filter_map(|(spans, minute)| cell(service, spans, minute, (centre, spread), names));
            extra.insert(
                service,
                Extra {
                    total_ms: all.self_ms(service, total) - count * centre,
                    deviation_ms: deviation_ms(count, spread),
                    cells: cells.collect(),
                },
            );
        }
        let called: BTreeSet<Id> = all.calls.keys().map(|&(_, callee)| callee).collect();
        let entries = all.own.iter().filter(|(service, _)| !called.contains(service));
        let waited_ms = entries.map(|(_, (_, total))| total).sum();
        let lost = lost(&usual, &all);
        Self { extra, lost, waited_ms, calls: all.calls }
    }
}

/// Spread of a sum over `count` requests, ms: few requests say less.
fn deviation_ms(count: f64, spread: f64) -> f64 {
    count * spread * (1.0 + 1.0 / count.sqrt())
}

fn cell(
    service: Id,
    spans: &BTreeMap<Call, Spans>,
    minute: &Totals,
    (centre, spread): (f64, f64),
    names: &Names,
) -> Option<Cell> {
    let &(count, total) = minute.own.get(&service)?;
    let name = names.name(service);
    let longest = spans.iter().filter(|(call, _)| call.service == name).map(|(_, spans)| spans.p95_ms);
    (count > 0.0).then(|| Cell {
        extra_ms: minute.self_ms(service, total) - count * centre,
        deviation_ms: deviation_ms(count, spread),
        calls: minute
            .calls
            .iter()
            .filter(|((caller, _), _)| *caller == service)
            .map(|(&(_, callee), &calls)| (callee, calls))
            .collect(),
        longest_ms: longest.fold(0.0, f64::max),
    })
}

/// Returns by how many deviations each service makes fewer calls than its own requests lead to.
fn lost(usual: &Usual, now: &Totals) -> BTreeMap<Id, f64> {
    let mut lost: BTreeMap<Id, f64> = BTreeMap::new();
    for (&(caller, callee), ratios) in &usual.ratios {
        let count = now.own.get(&caller).map_or(0.0, |own| own.0);
        let (centre, spread) = shorth(ratios);
        let expected = centre * count;
        if ratios.len() < RATIO_MINUTES || expected < LEAST_EXPECTED_CALLS {
            continue;
        }
        let relative = (spread / centre.max(1e-9)).max(LEAST_RATIO_SPREAD) * expected;
        let missing = expected - now.calls.get(&(caller, callee)).copied().unwrap_or(0.0);
        let deviations = missing / (expected + relative * relative).sqrt();
        let most = lost.entry(caller).or_insert(f64::NEG_INFINITY);
        *most = most.max(deviations);
    }
    lost
}
