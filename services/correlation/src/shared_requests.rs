//! Calls that no span shows: two services complain about the same requests, so one of them has called the other, directly or
//! not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::events::Anomaly;
use shared::store::Neighbourhood;

/// Requests that both have to complain about: one alone may be an id that is written into everything.
const MIN_SHARED: usize = 2;
/// Calls that follow from one anomaly at most.
const MAX_CALLS: usize = 8;

/// A call from one service to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCall {
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub callee: String,
    /// Event time of the last request that shows it.
    pub at: Timestamp,
}

/// Returns the calls that an anomaly shows together with what else is abnormal, between services of which the graph does not
/// know that one calls the other. What fails comes back to its caller, so the callee is who complained first about most of the
/// requests.
pub fn calls(anomaly: &Anomaly, neighbourhood: &Neighbourhood) -> Vec<SharedCall> {
    let own: BTreeMap<&str, Timestamp> =
        anomaly.context.requests.iter().map(|request| (request.trace_id.as_str(), request.at)).collect();
    let mut shared: BTreeMap<&str, BTreeSet<(Timestamp, Timestamp, &str)>> = BTreeMap::new();
    if own.len() >= MIN_SHARED {
        for (signal, _) in &neighbourhood.signals {
            let both = signal.requests.iter().filter_map(|request| {
                let at = *own.get(request.trace_id.as_str())?;
                Some((at, request.at, request.trace_id.as_str()))
            });
            shared.entry(&signal.service).or_default().extend(both);
        }
    }
    let is_new = |service: &str| !neighbourhood.graph.related(&anomaly.service, service);
    shared
        .into_iter()
        .filter_map(|(service, requests)| {
            let ids: BTreeSet<&str> = requests.iter().map(|(_, _, trace_id)| *trace_id).collect();
            let at = requests.iter().map(|(at, theirs, _)| *at.max(theirs)).max()?;
            let earlier = requests.iter().filter(|(at, theirs, _)| theirs <= at).count();
            let names = [anomaly.service.clone(), service.to_owned()];
            let [caller, callee] =
                if 2 * earlier >= requests.len() { names } else { [names[1].clone(), names[0].clone()] };
            (ids.len() >= MIN_SHARED && is_new(service)).then_some(SharedCall { caller, callee, at })
        })
        .take(MAX_CALLS)
        .collect()
}
