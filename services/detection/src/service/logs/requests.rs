//! The requests that warnings and errors of a service belong to.
//!
//! Of all within some minutes, those are kept whose trace ids have the smallest hashes. Whichever services complain about the
//! same requests thus keep the same ones, though each keeps only a few (Broder, Compression and Complexity of Sequences,
//! 1997).

use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::anomaly::{MAX_TRACED, TracedRequest};
use shared::events::raw::is_trace_id;

use super::template::fold;

/// Time for which a request is kept, milliseconds.
const KEPT_MS: i64 = 300_000;

/// A request of which lines have come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Request {
    hash: u64,
    trace_id: Box<str>,
    /// Event time of the first of its lines, milliseconds.
    first_ms: i64,
}

/// The requests of one service that are kept, by their hashes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests(Vec<Request>);

impl Requests {
    /// Notes that a warning or an error belongs to a request.
    pub(super) fn note(&mut self, trace_id: &str, ts_ms: i64) {
        if !is_trace_id(trace_id) {
            return;
        }
        self.0.retain(|known| ts_ms.saturating_sub(known.first_ms) <= KEPT_MS);
        let hash = fold(0, trace_id);
        let place = self.0.partition_point(|known| (known.hash, &*known.trace_id) < (hash, trace_id));
        match self.0.get_mut(place).filter(|known| &*known.trace_id == trace_id) {
            Some(known) => known.first_ms = known.first_ms.min(ts_ms),
            None => self.0.insert(place, Request { hash, trace_id: trace_id.into(), first_ms: ts_ms }),
        }
        self.0.truncate(MAX_TRACED);
    }

    /// Returns those that are not too old at a time, milliseconds.
    pub(crate) fn at(&self, at_ms: i64) -> Vec<TracedRequest> {
        let recent = self.0.iter().filter(|known| at_ms.saturating_sub(known.first_ms) <= KEPT_MS);
        recent
            .map(|known| TracedRequest { trace_id: known.trace_id.to_string(), at: from_ms(known.first_ms) })
            .collect()
    }

    /// Returns whether there is something to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_complain_about_the_same_requests_keep_the_same_ones() {
        let (mut one, mut other) = (Requests::default(), Requests::default());
        for i in 0..1000_i64 {
            let trace_id = format!("trace-{i}");
            one.note(&trace_id, i);
            // half of them, much later and in another order
            other.note(&format!("trace-{}", (i * 7 + 3) % 500), 100_000 + i);
        }
        assert_eq!(one.at(1000).len(), MAX_TRACED);
        let known: Vec<String> = one.at(1000).into_iter().map(|request| request.trace_id).collect();
        let shared = other.at(101_000).iter().filter(|request| known.contains(&request.trace_id)).count();
        assert!(shared >= 2, "{shared}");
        assert!(one.at(KEPT_MS + 2000).is_empty(), "minutes later");
    }

    #[test]
    fn a_request_counts_from_its_first_line_and_what_is_no_id_counts_nothing() {
        let mut requests = Requests::default();
        for text in
            ["", "short", "00000000000000000000000000000000", "<b>trace-of-a-line</b>", &"a1".repeat(40)]
        {
            requests.note(text, 5);
        }
        assert!(requests.is_empty());
        requests.note("4bf92f3577b34da6", 9);
        requests.note("4bf92f3577b34da6", 7);
        let at = requests.at(10);
        assert_eq!((at.len(), at[0].at), (1, from_ms(7)));
    }
}
