//! Very many faults at once.

use correlation::Options;
use correlation::grouping::{Grouping, decide};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{Incident, Kind};

use crate::shop::{Shop, anomaly};

const MOST: usize = 20;

/// A fault of a service that no other one calls.
fn fault(number: usize, tick: i64) -> Anomaly {
    anomaly(&format!("island-{number}"), "latency_p99_ms", Kind::Latency, tick)
}

fn storm(shop: &Shop) -> &Incident {
    let storms: Vec<&Incident> = shop.incidents.iter().filter(|incident| incident.storm).collect();
    assert_eq!(storms.len(), 1, "{:?}", shop.incidents.iter().map(|one| &one.title).collect::<Vec<_>>());
    storms[0]
}

fn stormy(faults: usize) -> Shop {
    let mut shop = Shop::default();
    for number in 0..faults {
        shop.take(&fault(number, 10 + (number % 5) as i64));
    }
    shop
}

#[test]
fn what_would_open_one_incident_too_many_is_collected_in_one() {
    assert!(stormy(MOST).incidents.iter().all(|incident| !incident.storm));
    let shop = stormy(MOST + 7);
    assert_eq!(shop.incidents.len(), MOST + 1);
    let storm = storm(&shop);
    assert_eq!((storm.members.len(), storm.affected_services.len()), (7, 7));
    assert_eq!(storm.title, "storm: 7 signals of 7 services that opened no incidents of their own");
}

#[test]
fn what_an_open_incident_explains_joins_that_one_and_not_the_storm() {
    let mut shop = Shop::default();
    shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 10));
    for number in 0..MOST + 3 {
        shop.take(&fault(number, 10));
    }
    let before = storm(&shop).members.len();
    shop.take(&anomaly("order", "latency_p99_ms", Kind::Latency, 11));
    shop.take(&Anomaly { revision: 2, ..fault(3, 10) });
    assert_eq!(storm(&shop).members.len(), before);
    assert_eq!(shop.incidents[0].affected_services, ["order", "payment"]);
}

#[test]
fn a_fault_after_the_storm_is_an_incident_of_its_own_and_the_storm_ends_with_its_members() {
    let mut shop = stormy(MOST + 2);
    shop.take(&fault(100, 40));
    assert_eq!(shop.incidents.len(), MOST + 2);
    assert_eq!(storm(&shop).members.len(), 2);
    for number in MOST..MOST + 2 {
        let known = fault(number, 10 + (number % 5) as i64);
        let cleared = Anomaly { revision: 2, status: Status::Cleared, ..fault(number, 60) };
        shop.take(&Anomaly { anomaly_id: known.anomaly_id, started_at: known.started_at, ..cleared });
    }
    shop.pass(80);
    assert!(!storm(&shop).state.is_open());
    // what comes back is no reason to open the storm again
    shop.take(&fault(MOST, 85));
    assert_eq!(shop.incidents.len(), MOST + 3);
}

#[test]
fn without_a_limit_there_is_no_storm() {
    let shop = stormy(MOST + 1);
    let options = Options { storm_incidents: 0, ..Options::default() };
    let decision = decide(&fault(50, 12), &shop.neighbourhood(), &options);
    let Grouping::Open { assessment, .. } = decision.grouping else { panic!("{decision:?}") };
    assert!(!assessment.storm);
}
