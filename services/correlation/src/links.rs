//! What connects services for one decision beside the calls that are known: requests and complaints that their log lines share.

use shared::events::anomaly::Anomaly;
use shared::graph::Graph;
use shared::store::Neighbourhood;

use crate::log_terms::LogTerms;
use crate::{shared_complaints, shared_requests};

/// Adds to the graph of a neighbourhood what its signals and one more anomaly show, and returns the graph as it was; nothing where
/// they show nothing.
pub fn connect(
    neighbourhood: &mut Neighbourhood,
    anomaly: Option<&Anomaly>,
    log_terms: &LogTerms,
) -> Option<Graph> {
    let mut graph = shared_requests::graph(neighbourhood, anomaly);
    let complaints =
        anomaly.map(|anomaly| shared_complaints::of(anomaly, None, &neighbourhood.graph, log_terms));
    for (one, other) in shared_complaints::pairs(neighbourhood, anomaly.zip(complaints.as_deref())) {
        graph.get_or_insert_with(|| neighbourhood.graph.clone()).add_companions(one, other);
    }
    Some(std::mem::replace(&mut neighbourhood.graph, graph?))
}
