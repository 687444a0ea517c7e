//! Far ends that are not instrumented are edges of the graph and no suspects: what is decided is the same without them.

use proptest::prelude::*;
use shared::events::anomaly::{Anomaly, Direction};
use shared::events::{Category, Kind};

use crate::shop::{Shop, anomaly};

const SERVICES: [&str; 6] = ["api-gateway", "order", "payment", "inventory", "user", "notification"];
/// Metrics and what they mean.
const METRICS: [(&str, Kind); 8] = [
    ("latency_p99_ms", Kind::Latency),
    ("error_rate", Kind::Errors),
    ("cpu_percent", Kind::Cpu),
    ("db_connections", Kind::Pool),
    ("request_rate", Kind::Traffic),
    ("silence", Kind::Silence),
    ("restarts", Kind::Restarts),
    ("logs:new_template", Kind::Logs),
];
/// Two callers of one far end, a chain to it, and one that only one service calls.
const FAR_ENDS: [(&str, &str); 4] =
    [("order", "acquirer"), ("payment", "acquirer"), ("api-gateway", "acquirer"), ("user", "ldap")];
/// Lines that name the way to a far end.
const LINE: &str = "call to acquirer failed: connection reset by peer, certificate has expired";

fn symptom() -> impl Strategy<Value = Anomaly> {
    (0..SERVICES.len(), 0..METRICS.len(), 0..6i64, any::<bool>(), 1.0..6.0).prop_map(
        |(service, metric, tick, is_down, evidence)| {
            let (name, kind) = METRICS[metric];
            let direction = if is_down { Direction::Down } else { Direction::Up };
            let plain = anomaly(SERVICES[service], name, kind, 10 + tick);
            let explanation = if kind == Kind::Logs { LINE.to_owned() } else { plain.explanation.clone() };
            Anomaly { direction, evidence, explanation, ..plain }
        },
    )
}

fn shop(anomalies: &[Anomaly], far_ends: &[(&'static str, &'static str)]) -> Shop {
    let mut shop = Shop { far_ends: far_ends.to_vec(), ..Shop::default() };
    for anomaly in anomalies {
        shop.take(anomaly);
    }
    shop
}

proptest! {
    #[test]
    fn far_ends_change_no_decision(anomalies in prop::collection::vec(symptom(), 1..10)) {
        let (without, with) = (shop(&anomalies, &[]), shop(&anomalies, &FAR_ENDS));
        prop_assert_eq!(&without.incidents, &with.incidents);
        let suspects = with.incidents.iter().flat_map(|incident| &incident.suspects);
        let names: Vec<&str> = suspects.map(|suspect| &*suspect.service).collect();
        prop_assert!(names.iter().all(|name| SERVICES.contains(name)), "{names:?}");
    }
}

#[test]
fn a_far_end_that_two_services_wait_for_is_the_unwatched_dependency_of_each() {
    let slow = ["user", "inventory"].map(|service| anomaly(service, "latency_p99_ms", Kind::Latency, 10));
    let shop = shop(&slow, &[("user", "acquirer"), ("inventory", "acquirer")]);
    let first = shop.incidents.iter().map(|incident| incident.suspect().unwrap());
    let first: Vec<_> = first.map(|suspect| (&*suspect.service, suspect.category)).collect();
    assert_eq!(first, [("user", Category::Dependency), ("inventory", Category::Dependency)]);
}
