//! Services between which no call is known, but which log errors for the same requests.

use correlation::{Options, links};
use jiff::SignedDuration;
use shared::events::Kind;
use shared::events::anomaly::{Anomaly, FailedRequest};
use shared::ids::{RequestId, derive};

use crate::shop::{Shop, anomaly, at};

/// Returns errors of a service for these requests, logged some milliseconds after the tenth tick.
fn errors(service: &str, tick: i64, requests: &[&str], after_ms: i64) -> Anomaly {
    let mut errors = anomaly(service, "error_rate", Kind::Errors, tick);
    let at = at(10) + SignedDuration::from_millis(after_ms);
    errors.context.requests =
        requests.iter().map(|id| FailedRequest { id: RequestId(derive(&[id])), at }).collect();
    errors
}

/// Returns the calls that follow from an anomaly beside those that are known.
fn calls(shop: &Shop, anomaly: &Anomaly) -> Vec<(String, String)> {
    let mut neighbourhood = shop.neighbourhood();
    let known = neighbourhood.graph.clone();
    links::connect(&mut neighbourhood, Some(anomaly), &Options::default().log_terms);
    let edges = neighbourhood.graph.edges();
    edges
        .filter(|(caller, callee, _)| !known.has_edge(caller, callee))
        .map(|(caller, callee, _)| (caller.to_owned(), callee.to_owned()))
        .collect()
}

const REQUESTS: [&str; 3] = ["one", "two", "three"];

#[test]
fn they_are_one_incident_of_which_the_one_that_failed_first_is_the_cause() {
    let (ledger, statement) =
        (errors("ledger", 10, &REQUESTS, 5), errors("statement", 11, &REQUESTS[1..], 40));
    for order in [[&ledger, &statement], [&statement, &ledger]] {
        let mut shop = Shop::default();
        shop.take(order[0]);
        let expected = [("statement".to_owned(), "ledger".to_owned())];
        assert_eq!(calls(&shop, order[1]), expected, "{} first", order[0].service);
        shop.take(order[1]);
        assert_eq!(shop.incidents.len(), 1, "{} first", order[0].service);
        assert_eq!(shop.incidents[0].suspect().unwrap().service, "ledger", "{} first", order[0].service);
        assert!(shop.incidents[0].signals.iter().all(|signal| signal.requests.is_empty()));
    }
}

#[test]
fn where_lines_have_one_time_whose_symptoms_began_first_is_called_whatever_is_read_first() {
    let (ledger, statement) = (errors("ledger", 12, &REQUESTS, 5), errors("statement", 11, &REQUESTS, 5));
    for [first, second] in [[&ledger, &statement], [&statement, &ledger]] {
        let mut shop = Shop::default();
        shop.take(first);
        assert_eq!(calls(&shop, second), [("ledger".to_owned(), "statement".to_owned())]);
    }
}

#[test]
fn one_request_or_others_join_nothing() {
    for requests in [&REQUESTS[2..], &["four", "five"]] {
        let mut shop = Shop::default();
        shop.take(&errors("ledger", 10, &REQUESTS, 5));
        let statement = errors("statement", 10, requests, 40);
        assert_eq!(calls(&shop, &statement), []);
        shop.take(&statement);
        assert_eq!(shop.incidents.len(), 2, "{requests:?}");
    }
}

#[test]
fn what_the_graph_explains_adds_nothing() {
    let mut shop = Shop::default();
    shop.take(&errors("user", 10, &REQUESTS, 5));
    // the gateway calls both; it is also the caller where the clocks say otherwise
    for service in ["payment", "api-gateway"] {
        assert_eq!(calls(&shop, &errors(service, 10, &REQUESTS, 1)), [], "{service}");
    }
    let unknown = errors("ledger", 10, &REQUESTS, 40);
    assert_eq!(calls(&shop, &unknown), [("ledger".to_owned(), "user".to_owned())]);
}
