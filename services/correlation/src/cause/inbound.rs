//! Delay on the way into a service: a slow network, or a queue before its spans start, is invisible in its own spans. It
//! shows as unexplained self time in all of its callers, in proportion to their calls.

use super::normal::CAP_NATS;
use super::observations::{Observations, material};
use super::span_times::{Extra, MINUTE_SCALE, MODEL_ERROR};
use super::system::Id;

/// Weight of slow outgoing calls (metrics) beside unexplained self time (spans).
const CLIENT_WEIGHT: f64 = 0.5;
/// Weight of a caller whose calls to the service, or whose usual self time, no span shows.
const UNSEEN_WEIGHT: f64 = 0.5;
/// Tolerance of the check by shares of calls, a factor.
const SHARE_TOLERANCE: f64 = 2.0;
/// Weight that is left where the shares of calls do not fit.
const MISFIT_WEIGHT: f64 = 0.6;

/// How well a delay on the way into a service explains what its callers show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Inbound {
    /// Evidence, nats.
    pub(super) explained: f64,
    /// What should be seen and is not, nats.
    pub(super) missing: f64,
    /// Fitted delay of a call, ms.
    pub(super) delay_ms: f64,
}

impl Inbound {
    pub(super) fn of(service: Id, observed: &Observations) -> Self {
        let callers = &observed.graph.callers[service];
        let calls = |caller: Id| observed.spans.calls.get(&(caller, service)).copied().unwrap_or(0.0);
        let seen = |caller: Id| observed.spans.extra.get(&caller).filter(|_| calls(caller) > 0.0);
        let known: Vec<&Extra> = callers.iter().filter_map(|&caller| seen(caller)).collect();
        let delay_ms = fitted_delay(service, &known);
        let (mut explained, mut missing) = (0.0, 0.0);
        for &caller in callers {
            let fit = share_fit(caller, service, observed);
            let client = CLIENT_WEIGHT * observed.metrics.client[caller];
            let Some(extra) = seen(caller) else {
                // metrics only
                explained += UNSEEN_WEIGHT * CAP_NATS.min(observed.self_time[caller] + client) * fit.weight;
                missing += fit.missing;
                continue;
            };
            let (none, left) = misfit(extra, service, delay_ms);
            let ratio = none - left;
            if ratio > 0.0 {
                let weight = material(delay_ms * calls(caller), observed.material_ms);
                let evidence = ratio + client * (ratio / none.max(1e-9)).min(1.0);
                explained += weight * evidence.min(CAP_NATS) * fit.weight;
            } else {
                missing -= ratio;
            }
        }
        Self { explained, missing: missing.min(CAP_NATS), delay_ms }
    }
}

/// Returns the delay of a call that fits the callers' extra self times best (weighted least squares), at most what each
/// caller's slowest operation took: a call cannot wait longer than its caller.
fn fitted_delay(service: Id, callers: &[&Extra]) -> f64 {
    let cells = || callers.iter().flat_map(|extra| &extra.cells);
    let largest = cells().map(|cell| cell.extra_ms.abs()).fold(0.0, f64::max);
    let (mut top, mut bottom) = (0.0, 0.0);
    for cell in cells() {
        let calls = cell.calls.get(&service).copied().unwrap_or(0.0);
        let weight = 1.0 / (cell.deviation_ms.powi(2) + (MODEL_ERROR * largest).powi(2));
        bottom += weight * calls * calls;
        top += weight * cell.extra_ms.max(0.0) * calls;
    }
    let delay = if bottom > 0.0 { top / bottom } else { 0.0 };
    let bound = |extra: &&Extra| extra.cells.iter().map(|cell| cell.longest_ms).fold(0.0, f64::max);
    callers.iter().map(bound).fold(delay, f64::min)
}

/// Returns what the self times of a caller leave unexplained, nats: without a delay, and with it.
fn misfit(caller: &Extra, service: Id, delay_ms: f64) -> (f64, f64) {
    let (mut none, mut left) = (0.0, 0.0);
    for cell in &caller.cells {
        let delayed = delay_ms * cell.calls.get(&service).copied().unwrap_or(0.0);
        let granted = MODEL_ERROR * cell.extra_ms.max(delayed);
        let precision = 0.5 * MINUTE_SCALE / (cell.deviation_ms.powi(2) + granted * granted);
        none += precision * cell.extra_ms.powi(2);
        left += precision * (cell.extra_ms - delayed).powi(2);
    }
    (none, left)
}

#[derive(Debug, Clone, Copy)]
struct ShareFit {
    weight: f64,
    missing: f64,
}

/// Checks the shares of calls against the percentiles of client latency: a callee with 2 % of the calls cannot move the
/// caller's p90, and one with half of them cannot spare it.
fn share_fit(caller: Id, service: Id, observed: &Observations) -> ShareFit {
    let fits = ShareFit { weight: 1.0, missing: 0.0 };
    let percentiles = &observed.metrics.client_percentiles[caller];
    let calls = &observed.spans.calls;
    let total: f64 = calls.range((caller, 0)..(caller + 1, 0)).map(|(_, calls)| calls).sum();
    let to_service = calls.get(&(caller, service)).copied().unwrap_or(0.0);
    if percentiles.is_empty() || total == 0.0 || to_service == 0.0 {
        return fits;
    }
    let share = to_service / total;
    let quantile = |percent: u8| f64::from(percent) / 100.0;
    let mut elevated =
        percentiles.iter().filter(|(_, nats)| **nats > 0.0).map(|(percent, _)| quantile(*percent));
    let must_move = |percent: u8| share > SHARE_TOLERANCE * (1.0 - quantile(percent));
    let Some(lowest) = elevated.next() else {
        let missing = f64::from(u8::from(percentiles.keys().any(|percent| must_move(*percent))));
        return ShareFit { missing, ..fits };
    };
    let mut weight = 1.0;
    if share * SHARE_TOLERANCE < 1.0 - lowest {
        weight *= MISFIT_WEIGHT;
    }
    if percentiles.iter().any(|(percent, nats)| must_move(*percent) && *nats <= 0.0) {
        weight *= MISFIT_WEIGHT;
    }
    ShareFit { weight, ..fits }
}
