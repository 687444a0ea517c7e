//! Services that lose one thing that nobody watches: their log lines complain of the same.

use correlation::shared_complaints;
use shared::events::anomaly::{Anomaly, LogTemplate};
use shared::events::raw::Level;
use shared::events::{Category, Kind};

use crate::shop::{Shop, anomaly, at};

/// Returns new log lines of a service, of which one is an example, beside a line that it always logs.
fn lines(service: &str, tick: i64, example: &str) -> Anomaly {
    let mut lines = anomaly(service, "logs:new_template", Kind::Logs, tick);
    lines.explanation = format!(
        "{service} logs new templates, 9 lines since 12:00: error \"{example}\" (9 in the last minutes)"
    );
    lines.context.logs = ["retry of audit-store:9200 failed: connection refused", example]
        .map(|example| LogTemplate {
            level: Level::Error,
            template: example.to_owned(),
            count: 9,
            example: example.to_owned(),
            last_seen: at(tick),
        })
        .to_vec();
    lines
}

fn slow(service: &str, tick: i64) -> Anomaly {
    anomaly(service, "latency_p99_ms", Kind::Latency, tick)
}

fn suspects(shop: &Shop) -> Vec<(String, Category)> {
    let open = shop.incidents.iter().filter(|incident| incident.state.is_open());
    let first = open.map(|incident| incident.suspect().unwrap());
    first.map(|suspect| (suspect.service.clone(), suspect.category)).collect()
}

#[test]
fn services_that_lose_one_address_are_one_incident_in_any_order() {
    let go = "dial tcp ledger-db:5432: connect: connection refused";
    let java = "Connection to ledger-db:5432 refused. Check that it is upstream of nothing";
    let all = [slow("user", 10), lines("user", 10, go), slow("inventory", 11), lines("inventory", 13, java)];
    for order in [[0, 1, 2, 3], [2, 3, 0, 1], [0, 2, 1, 3], [3, 1, 2, 0], [1, 3, 0, 2]] {
        let mut shop = Shop::default();
        for place in order {
            shop.take(&all[place]);
        }
        let suspects = suspects(&shop);
        assert_eq!(suspects.len(), 1, "{order:?}: {suspects:?}");
        assert_eq!(suspects[0].1, Category::Dependency, "{order:?}");
        let open = shop.incidents.iter().find(|incident| incident.state.is_open()).unwrap();
        assert_eq!(open.signals.len(), 4, "{order:?}");
        assert!(open.signals.iter().all(|signal| signal.complaints.is_empty()));
    }
}

#[test]
fn different_addresses_are_two_incidents() {
    let mut shop = Shop::default();
    for (service, line) in [
        ("user", "dial tcp ledger-db:5432: connect: connection refused"),
        ("inventory", "dial tcp stock-db:5432: connect: connection refused"),
    ] {
        shop.take(&slow(service, 10));
        shop.take(&lines(service, 10, line));
    }
    assert_eq!(suspects(&shop).len(), 2);
}

#[test]
fn lines_that_name_nothing_join_only_where_they_begin_together() {
    let line = "the acquiring bank did not answer, call timed out";
    for (tick, incidents) in [(11, 1), (30, 2)] {
        let mut shop = Shop::default();
        for (service, tick) in [("user", 10), ("inventory", tick)] {
            shop.take(&slow(service, tick));
            shop.take(&lines(service, tick, line));
        }
        assert_eq!(suspects(&shop).len(), incidents, "{tick}");
    }
}

#[test]
fn lines_that_are_not_what_the_anomaly_is_about_join_nothing() {
    let mut shop = Shop::default();
    for service in ["user", "inventory"] {
        shop.take(&slow(service, 10));
        shop.take(&lines(service, 10, &format!("unhandled exception in {service} worker pool of requests")));
    }
    assert_eq!(suspects(&shop).len(), 2);
}

#[test]
fn what_the_graph_explains_adds_nothing() {
    let line = "dial tcp ledger-db:5432: connect: connection refused";
    let mut shop = Shop::default();
    shop.take(&lines("payment", 10, line));
    let neighbourhood = shop.neighbourhood();
    let newest = lines("order", 10, line);
    let terms = correlation::Options::default().log_terms;
    let complaints = shared_complaints::of(&newest, None, &neighbourhood.graph, &terms);
    assert_eq!(complaints.len(), 1);
    assert!(shared_complaints::pairs(&neighbourhood, Some((&newest, &complaints))).is_empty());
    let newest = lines("user", 10, line);
    assert_eq!(
        shared_complaints::pairs(&neighbourhood, Some((&newest, &complaints)))
            .into_iter()
            .collect::<Vec<_>>(),
        [("payment", "user")]
    );
}
