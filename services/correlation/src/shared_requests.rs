//! Calls that no span shows: services of which the graph does not know that one calls the other log errors for the same
//! requests. They follow from what is abnormal now, hold for one decision, and are not stored.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::events::anomaly::{Anomaly, FailedRequest, MAX_REQUESTS, Status};
use shared::graph::Graph;
use shared::ids::RequestId;
use shared::store::Neighbourhood;

/// Requests that both have to log errors for: one alone may be an id that is written into everything.
const MIN_SHARED: usize = 2;
/// Services that are compared, those with most requests first.
const MAX_SERVICES: usize = 100;

/// What is abnormal of one service.
#[derive(Debug, Default)]
struct Abnormal {
    /// When the first error for each request was logged.
    requests: BTreeMap<RequestId, Timestamp>,
    /// When its first symptom began.
    began: Option<Timestamp>,
}

impl Abnormal {
    fn take(&mut self, began: Timestamp, requests: &[FailedRequest]) {
        self.began = Some(self.began.map_or(began, |known| known.min(began)));
        for request in requests.iter().take(MAX_REQUESTS) {
            let first = self.requests.entry(request.id).or_insert(request.at);
            *first = request.at.min(*first);
        }
    }
}

/// Returns the graph of a neighbourhood with the calls that its signals and one more anomaly show; nothing where they show none.
/// What fails comes back to its caller, so the callee is the service that was the first to log errors for most of the
/// requests, or else whose symptoms began first.
pub fn graph(neighbourhood: &Neighbourhood, anomaly: Option<&Anomaly>) -> Option<Graph> {
    let mut services: BTreeMap<&str, Abnormal> = BTreeMap::new();
    let signals = neighbourhood.signals.iter().map(|(known, _)| {
        (known.status, known.service.as_str(), known.started_at, known.requests.as_slice())
    });
    let newest = anomaly
        .map(|new| (new.status, new.service.as_str(), new.started_at, new.context.requests.as_slice()));
    for (status, service, began, requests) in signals.chain(newest) {
        if status != Status::Cleared && !requests.is_empty() {
            services.entry(service).or_default().take(began, requests);
        }
    }
    let mut services: Vec<(&str, Abnormal)> = services.into_iter().collect();
    services.sort_by_key(|(name, of)| (std::cmp::Reverse(of.requests.len()), *name));
    services.truncate(MAX_SERVICES);
    services.sort_by_key(|(name, _)| *name);
    let mut graph: Option<Graph> = None;
    for (place, one) in services.iter().enumerate() {
        for other in &services[place + 1..] {
            let known = graph.as_ref().unwrap_or(&neighbourhood.graph);
            if let Some((caller, callee)) = call(one, other, known) {
                let graph = graph.get_or_insert_with(|| neighbourhood.graph.clone());
                graph.add_edge(caller.to_owned(), callee.to_owned());
            }
        }
    }
    graph
}

/// Returns who calls whom of two services, in order of their names, if they share requests and the graph does not say why.
fn call<'a>(
    one: &(&'a str, Abnormal),
    other: &(&'a str, Abnormal),
    graph: &Graph,
) -> Option<(&'a str, &'a str)> {
    let ((first, of_first), (second, of_second)) = (one, other);
    let both: Vec<(Timestamp, Timestamp)> =
        of_first.requests.iter().filter_map(|(id, at)| Some((*at, *of_second.requests.get(id)?))).collect();
    if both.len() < MIN_SHARED || graph.related(first, second) {
        return None;
    }
    // one that calls both passes its requests on to both
    let callers: BTreeSet<&str> = graph.ancestors(first);
    if graph.ancestors(second).iter().any(|caller| callers.contains(caller)) {
        return None;
    }
    let earlier = both.iter().filter(|(at, theirs)| at < theirs).count();
    let later = both.iter().filter(|(at, theirs)| at > theirs).count();
    let is_callee = match (2 * earlier > both.len(), 2 * later > both.len()) {
        (true, _) => true,
        (_, true) => false,
        _ => of_first.began <= of_second.began,
    };
    Some(if is_callee { (second, first) } else { (first, second) })
}
