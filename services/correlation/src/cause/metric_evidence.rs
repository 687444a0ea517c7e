//! What metrics say: deviations that are unusual against the history and new against the rows just before.

use std::collections::BTreeMap;

use super::family::{self, Family};
use super::normal::{Normal, median, nats, percentile, sorted};
use super::system::{CallCounts, Calls, Id, Names};
use super::{Case, Series};

/// Rows over which traffic is added up.
const TRAFFIC_ROWS: usize = 3;
/// Rows with traffic that a usual ratio of two services is made of.
const LEAST_TRAFFIC_ROWS: usize = 20;

/// Evidence of metrics, nats by service.
#[derive(Debug)]
pub(super) struct MetricEvidence {
    pub(super) cpu: Vec<f64>,
    pub(super) memory: Vec<f64>,
    pub(super) latency: Vec<f64>,
    pub(super) client: Vec<f64>,
    pub(super) errors: Vec<f64>,
    /// Calls that are missing in the traffic of a callee.
    pub(super) lost: Vec<f64>,
    /// Largest deviation to the worse, in robust deviations.
    pub(super) worst: Vec<f64>,
    /// Percentiles of client latency, in hundredths, and the evidence of each.
    pub(super) client_percentiles: Vec<BTreeMap<u8, f64>>,
    /// Calls by the traffic of both ends, where no span counts them.
    pub(super) calls: CallCounts,
}

impl MetricEvidence {
    /// Returns the evidence of the metrics of a case; `edges` are its calls by number.
    pub(super) fn of(case: &Case, names: &Names, edges: &[(Id, Id)]) -> Self {
        let none = vec![0.0; names.len()];
        let mut evidence = Self {
            cpu: none.clone(),
            memory: none.clone(),
            latency: none.clone(),
            client: none.clone(),
            errors: none.clone(),
            lost: none.clone(),
            worst: none,
            client_percentiles: vec![BTreeMap::new(); names.len()],
            calls: CallCounts::new(),
        };
        let mut traffic: BTreeMap<Id, &Series> = BTreeMap::new();
        for series in &case.series {
            let Some(service) = names.id(&series.service) else { continue };
            let Some(deviations) = deviation(series, case.alert_row) else { continue };
            if series.family == Family::Requests {
                traffic.entry(service).or_insert(series);
            } else {
                evidence.take(service, series, deviations);
            }
        }
        evidence.traffic(&traffic, edges, case.alert_row);
        evidence
    }

    fn take(&mut self, service: Id, series: &Series, deviations: f64) {
        let strongest = match series.family {
            Family::Cpu => &mut self.cpu,
            Family::Memory => &mut self.memory,
            Family::Latency => &mut self.latency,
            Family::ClientLatency => &mut self.client,
            Family::Success | Family::Errors => &mut self.errors,
            _ => return,
        };
        let worse = if series.family == Family::Success { -deviations } else { deviations };
        let evidence = nats(worse);
        strongest[service] = strongest[service].max(evidence);
        self.worst[service] = self.worst[service].max(worse);
        if series.family == Family::ClientLatency
            && let Some(percent) = family::percentile(&series.metric)
        {
            self.client_percentiles[service].insert(percent, evidence);
        }
    }

    /// Derives calls from traffic, and callees that get less of it than their callers lead to.
    fn traffic(&mut self, traffic: &BTreeMap<Id, &Series>, edges: &[(Id, Id)], alert_row: usize) {
        let graph = Calls::new(self.cpu.len(), edges.iter().copied());
        let rates: BTreeMap<Id, f64> =
            traffic.iter().map(|(&service, series)| (service, median(&sorted(&series.base)))).collect();
        for (&callee, rate) in &rates {
            let callers =
                graph.callers[callee].iter().filter_map(|caller| Some((*caller, *rates.get(caller)?)));
            let total: f64 = callers.clone().map(|(_, rate)| rate).sum();
            for (caller, share) in callers.filter(|(_, share)| total != 0.0 && *share != 0.0) {
                self.calls.insert((caller, callee), rate * share / total);
            }
        }
        for (caller, callees) in graph.callees.iter().enumerate() {
            for callee in callees {
                if let (Some(from), Some(to)) = (traffic.get(&caller), traffic.get(callee)) {
                    self.lost[caller] = self.lost[caller].max(missing_traffic(from, to, alert_row));
                }
            }
        }
    }
}

/// Returns by how many robust deviations a series is off: against its history and the calmest of the rows just before,
/// in the second worst of the rows since the alert, so that one odd row is nothing. Negative is below.
fn deviation(series: &Series, alert_row: usize) -> Option<f64> {
    let normal = Normal::of(&series.base, series.family.least_spread())?;
    let now: Vec<f64> = series.since(alert_row).iter().copied().filter(|value| value.is_finite()).collect();
    if now.is_empty() {
        return None;
    }
    let before = series.just_before(alert_row);
    let mut worst: f64 = 0.0;
    for (sign, spread) in [(1.0, normal.up), (-1.0, normal.down)] {
        let calmest = before.iter().map(|value| sign * value).reduce(f64::min);
        let near = calmest.map_or(sign * normal.centre, |calmest| calmest.max(sign * normal.centre));
        let mut deviations: Vec<f64> = now.iter().map(|value| (sign * value - near) / spread).collect();
        deviations.sort_unstable_by(|a, b| b.total_cmp(a));
        let deviation = deviations[usize::from(deviations.len() >= 3)];
        if deviation > worst.abs() {
            worst = sign * deviation;
        }
    }
    Some(worst)
}

/// Returns the evidence that a callee gets fewer requests than its caller's traffic leads to, nats.
fn missing_traffic(caller: &Series, callee: &Series, alert_row: usize) -> f64 {
    let sums = |values: &[f64]| -> Vec<f64> {
        let known = |value: &f64| if value.is_finite() { *value } else { 0.0 };
        values.windows(TRAFFIC_ROWS).map(|rows| rows.iter().map(known).sum()).collect()
    };
    let (from, to) = (sums(&caller.base), sums(&callee.base));
    let ratios: Vec<f64> =
        from.iter().zip(&to).filter(|(from, _)| **from > 0.0).map(|(from, to)| to / from).collect();
    if ratios.len() < LEAST_TRAFFIC_ROWS {
        return 0.0;
    }
    let ratios = sorted(&ratios);
    let (low, usual) = (percentile(&ratios, 2.0), percentile(&ratios, 50.0));
    let now = |series: &Series| -> f64 {
        series.since(alert_row).iter().take(TRAFFIC_ROWS).filter(|value| value.is_finite()).sum()
    };
    let (from_now, to_now) = (now(caller), now(callee));
    if usual <= 0.0 || from_now <= 0.5 * median(&sorted(&from)) {
        return 0.0;
    }
    nats((usual - to_now / from_now) / ((usual - low) / 2.05).max(0.05 * usual))
}
