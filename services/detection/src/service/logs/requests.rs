//! The requests for which a service has lately logged warnings or errors.
//!
//! Their ids are hashes of trace ids, and of all within some minutes the smallest are kept: services that log errors for the
//! same requests thus mostly keep the same ones, though each keeps only a few (Broder, Compression and Complexity of Sequences,
//! 1997).

use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::anomaly::{FailedRequest, MAX_REQUESTS};
use shared::ids::{RequestId, derive};

/// Time without a line of it for which a request is kept, milliseconds.
const KEPT_MS: i64 = 300_000;
/// Requests that are kept, of which an anomaly carries the first: what is forgotten leaves no gap.
const MAX_KEPT: usize = 8 * MAX_REQUESTS;
/// Most bytes of a trace id.
const MAX_LENGTH: usize = 128;

/// A request of which lines have come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Request {
    id: RequestId,
    /// Event time of the first of its lines, milliseconds.
    first_ms: i64,
    /// When the last one came, by the log clock, milliseconds.
    last_ms: i64,
}

/// The requests of one service that are kept, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests(Vec<Request>);

impl Requests {
    /// Notes that a warning or an error belongs to a request. `now_ms` is the time of the log clock, milliseconds.
    pub(super) fn note(&mut self, trace_id: &str, ts_ms: i64, now_ms: i64) {
        let first = trace_id.bytes().next();
        // an id of zeros stands for none
        let is_one = trace_id.len() <= MAX_LENGTH && trace_id.bytes().any(|byte| Some(byte) != first);
        if !is_one || now_ms.saturating_sub(ts_ms) > KEPT_MS {
            return;
        }
        self.0.retain(|known| now_ms.saturating_sub(known.last_ms) <= KEPT_MS);
        let id = RequestId(derive(&["request", trace_id]));
        match self.0.binary_search_by_key(&id, |known| known.id) {
            Ok(place) => {
                let known = &mut self.0[place];
                (known.first_ms, known.last_ms) = (known.first_ms.min(ts_ms), now_ms);
            }
            Err(place) => self.0.insert(place, Request { id, first_ms: ts_ms, last_ms: now_ms }),
        }
        self.0.truncate(MAX_KEPT);
    }

    /// Returns those that began within some minutes of a time, milliseconds.
    pub(crate) fn at(&self, at_ms: i64) -> Vec<FailedRequest> {
        let near = self.0.iter().filter(|known| at_ms.saturating_sub(known.first_ms).abs() <= KEPT_MS);
        let requests = near.map(|known| FailedRequest { id: known.id, at: from_ms(known.first_ms) });
        requests.take(MAX_REQUESTS).collect()
    }

    /// Returns whether there is something to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(one: &Requests, other: &Requests, at_ms: i64) -> usize {
        let other = other.at(at_ms);
        one.at(at_ms).iter().filter(|request| other.iter().any(|known| known.id == request.id)).count()
    }

    #[test]
    fn services_that_log_errors_for_the_same_requests_keep_the_same_ones() {
        let (mut one, mut other, mut third) = (Requests::default(), Requests::default(), Requests::default());
        for i in 0..3000_i64 {
            let now_ms = 200 * i;
            one.note(&format!("trace-{i}"), now_ms, now_ms);
            // every second of them, a little later
            if i % 2 == 0 {
                other.note(&format!("trace-{i}"), now_ms + 40, now_ms + 40);
            }
            third.note(&format!("another-{i}"), now_ms, now_ms);
        }
        assert_eq!(one.at(600_000).len(), MAX_REQUESTS);
        assert!(shared(&one, &other, 600_000) >= 2, "{}", shared(&one, &other, 600_000));
        assert_eq!(shared(&one, &third, 600_000), 0);
        assert!(one.at(1_200_000).is_empty(), "minutes later");
    }

    #[test]
    fn a_request_counts_from_its_first_line_and_what_is_no_id_counts_nothing() {
        let mut requests = Requests::default();
        for text in ["", "00000000000000000000000000000000", &"a1".repeat(100)] {
            requests.note(text, 5, 5);
        }
        requests.note("a-late-one", 5, KEPT_MS + 6);
        assert!(requests.is_empty());
        requests.note("4bf92f3577b34da6", 9, 9);
        requests.note("4bf92f3577b34da6", 7, 10);
        let at = requests.at(10);
        assert_eq!((at.len(), at[0].at), (1, from_ms(7)));
        // what other instances write with clocks that are ahead forgets nothing
        requests.note("a3ce929d0e0e4736", 200_000, 11);
        assert_eq!(requests.at(10).len(), 2);
    }
}
