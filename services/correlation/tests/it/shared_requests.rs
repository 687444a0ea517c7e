//! Services between which no call is known, but which complain about the same requests.

use correlation::shared_requests::{self, SharedCall};
use jiff::SignedDuration;
use shared::events::Kind;
use shared::events::anomaly::{Anomaly, TracedRequest};

use crate::shop::{Shop, anomaly, at};

/// Returns errors of a service that belong to these requests, each some milliseconds after its tick.
fn errors(service: &str, tick: i64, requests: &[&str], after_ms: i64) -> Anomaly {
    let mut errors = anomaly(service, "error_rate", Kind::Errors, tick);
    errors.context.requests = requests
        .iter()
        .map(|trace_id| TracedRequest {
            trace_id: (*trace_id).to_owned(),
            at: at(10) + SignedDuration::from_millis(after_ms),
        })
        .collect();
    errors
}

const REQUESTS: [&str; 3] = ["4bf92f3577b34da6", "a3ce929d0e0e4736", "00f067aa0ba902b7"];

#[test]
fn they_are_one_incident_of_which_the_one_that_failed_first_is_the_cause() {
    for first in ["ledger", "statement"] {
        let mut both = [errors("ledger", 10, &REQUESTS, 5), errors("statement", 11, &REQUESTS[1..], 40)];
        both.sort_by_key(|one| one.service != first);
        let mut shop = Shop::default();
        both.iter().for_each(|one| shop.take(one));
        let calls: Vec<_> = shop.calls.iter().map(|call| (&*call.caller, &*call.callee)).collect();
        assert_eq!(calls, [("statement", "ledger")], "{first} first");
        assert_eq!(shop.incidents.len(), 1, "{first} first");
        assert_eq!(shop.incidents[0].suspect().unwrap().service, "ledger", "{first} first");
    }
}

#[test]
fn one_request_or_others_join_nothing() {
    for requests in [&REQUESTS[2..], &["7c1d0e5b9a8f4e21", "93b1f2c4d5e6a7b8"]] {
        let mut shop = Shop::default();
        shop.take(&errors("ledger", 10, &REQUESTS, 5));
        shop.take(&errors("statement", 10, requests, 40));
        assert_eq!((shop.calls.len(), shop.incidents.len()), (0, 2), "{requests:?}");
    }
}

#[test]
fn what_the_graph_knows_stays_as_it_is() {
    let mut shop = Shop::default();
    shop.take(&errors("api-gateway", 10, &REQUESTS, 5));
    // by the lines the gateway failed first, as a clock that is behind would have it
    let order = errors("payment", 10, &REQUESTS, 40);
    assert_eq!(shared_requests::calls(&order, &shop.neighbourhood()), []);
    let unknown = errors("ledger", 10, &REQUESTS, 40);
    let call = SharedCall {
        caller: "ledger".into(),
        callee: "api-gateway".into(),
        at: at(10) + SignedDuration::from_millis(40),
    };
    assert_eq!(shared_requests::calls(&unknown, &shop.neighbourhood()), [call]);
}
