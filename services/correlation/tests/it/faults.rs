//! Which anomalies are of one fault, and what becomes of incidents when more is known.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shared::events::anomaly::{Anomaly, Direction, LogTemplate, Status};
use shared::events::incident::{Relation, State};
use shared::events::raw::Level;
use shared::events::{Category, Kind, Severity};
use shared::lifecycle::Change;

use crate::shop::{Shop, anomaly, at};

/// An exhausted pool of payment as it is felt.
fn pool_of_payment() -> Vec<Anomaly> {
    vec![
        anomaly("payment", "db_connections", Kind::Pool, 10),
        anomaly("payment", "error_rate", Kind::Errors, 12),
        anomaly("payment", "latency_p99_ms", Kind::Latency, 12),
    ]
}

/// A busy processor of inventory, which shares its callers with payment.
fn processor_of_inventory() -> Vec<Anomaly> {
    vec![
        anomaly("inventory", "cpu_percent", Kind::Cpu, 10),
        anomaly("inventory", "latency_p99_ms", Kind::Latency, 11),
    ]
}

/// The suspects of all open incidents, with the number of members.
fn standing(shop: &Shop) -> BTreeSet<(String, Category, usize)> {
    shop.incidents
        .iter()
        .filter(|incident| incident.state.is_open())
        .map(|incident| {
            let suspect = incident.suspect().unwrap();
            (suspect.service.clone(), suspect.category, incident.members.len())
        })
        .collect()
}

/// Each calls the next.
const CHAIN: [&str; 10] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9"];
const SYMPTOMS: [(&str, Kind); 5] = [
    ("latency_p99_ms", Kind::Latency),
    ("error_rate", Kind::Errors),
    ("latency_p50_ms", Kind::Latency),
    ("timeout_rate", Kind::Errors),
    ("request_rate", Kind::Traffic),
];

/// A series that becomes abnormal: its service, metric and kind.
type Symptom = (&'static str, &'static str, Kind);

fn along_a_chain() -> Vec<Symptom> {
    CHAIN.into_iter().flat_map(|service| SYMPTOMS.map(|(metric, kind)| (service, metric, kind))).collect()
}

/// Four revisions of each symptom: mixed, or one service after the other, as they come if the partitions of the topic are
/// read in turn.
fn revisions(symptoms: &[Symptom]) -> impl Strategy<Value = Vec<Symptom>> + use<> {
    let mut by_service: BTreeMap<&str, Vec<Symptom>> = BTreeMap::new();
    for symptom in symptoms {
        by_service.entry(symptom.0).or_default().push(*symptom);
    }
    let services: Vec<Vec<Symptom>> =
        by_service.into_values().map(|of_service| of_service.repeat(4)).collect();
    prop_oneof![
        Just(symptoms.repeat(4)).prop_shuffle(),
        Just(services).prop_shuffle().prop_map(|services| services.concat()),
    ]
}

/// Reads revisions, the first of each symptom weak and the others stronger each time. The incident is announced on the way.
fn read(shop: &mut Shop, revisions: &[Symptom], announced_after: usize) {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (place, &(service, metric, kind)) in revisions.iter().enumerate() {
        let revision = counts.entry((service, metric)).or_default();
        *revision += 1;
        shop.take(&Anomaly {
            revision: *revision,
            status: if *revision == 1 { Status::Suspect } else { Status::Firing },
            evidence: 1.0 + f64::from(*revision),
            ..anomaly(service, metric, kind, 10)
        });
        if place == announced_after {
            shop.change(&Change::Announced);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_faults_at_once_stay_two_in_any_order(
        order in Just([pool_of_payment(), processor_of_inventory()].concat()).prop_shuffle(),
    ) {
        let mut shop = Shop::default();
        for one in &order {
            shop.take(one);
        }
        let expected = [("inventory", Category::Cpu, 2), ("payment", Category::Pool, 3)];
        let expected: BTreeSet<(String, Category, usize)> = expected
            .into_iter()
            .map(|(service, category, members)| (service.to_owned(), category, members))
            .collect();
        prop_assert_eq!(standing(&shop), expected);
    }

    #[test]
    fn one_fault_that_travels_stays_one_in_any_order(
        order in Just([
            pool_of_payment(),
            vec![
                anomaly("order", "error_rate", Kind::Errors, 12),
                anomaly("order", "latency_p99_ms", Kind::Latency, 13),
                anomaly("api-gateway", "error_rate", Kind::Errors, 13),
                anomaly("api-gateway", "latency_p99_ms", Kind::Latency, 13),
            ],
        ].concat()).prop_shuffle(),
    ) {
        let mut shop = Shop::default();
        for one in &order {
            shop.take(one);
        }
        let expected = BTreeSet::from([("payment".to_owned(), Category::Pool, 7)]);
        prop_assert_eq!(standing(&shop), expected);
    }

    #[test]
    fn symptoms_along_a_long_chain_are_one_incident_in_any_order(
        order in revisions(&along_a_chain()),
        announced_after in 0_usize..200,
    ) {
        let edges = CHAIN.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let mut shop = Shop { edges, ..Shop::default() };
        read(&mut shop, &order, announced_after);
        let open: Vec<(String, Category, usize)> = standing(&shop).into_iter().collect();
        prop_assert_eq!(open.len(), 1, "{:?}", open);
        prop_assert_eq!(open[0].2, CHAIN.len() * SYMPTOMS.len());
    }

    #[test]
    fn a_fault_that_its_callers_show_first_is_one_incident(
        order in revisions(&[
            ("payment", "db_connections", Kind::Pool),
            ("payment", "error_rate", Kind::Errors),
            ("payment", "latency_p99_ms", Kind::Latency),
            ("order", "error_rate", Kind::Errors),
            ("order", "latency_p99_ms", Kind::Latency),
            ("api-gateway", "error_rate", Kind::Errors),
        ]),
        announced_after in 0_usize..24,
    ) {
        let mut shop = Shop::default();
        read(&mut shop, &order, announced_after);
        // whoever was announced stays the suspect for a while
        let members: Vec<usize> = standing(&shop).into_iter().map(|(_, _, members)| members).collect();
        prop_assert_eq!(members, [6]);
    }
}

#[test]
fn two_faults_on_one_call_path_stay_two() {
    for callee_first in [true, false] {
        let mut shop = Shop::default();
        let cpu = anomaly("order", "cpu_percent", Kind::Cpu, 10);
        let faults = if callee_first {
            [pool_of_payment(), vec![cpu]].concat()
        } else {
            [vec![cpu], pool_of_payment()].concat()
        };
        for one in &faults {
            shop.take(one);
        }
        let services: Vec<String> = standing(&shop).into_iter().map(|(service, ..)| service).collect();
        assert_eq!(services, ["order", "payment"], "payment first: {callee_first}");
    }
}

#[test]
fn a_pool_of_a_caller_is_explained_if_it_filled_up_after_its_callee_was_slow() {
    for (tick, incidents) in [(14, 1), (10, 2)] {
        let mut shop = Shop::default();
        for one in [
            anomaly("payment", "latency_p99_ms", Kind::Latency, 10),
            anomaly("order", "db_connections", Kind::Pool, tick),
        ] {
            shop.take(&one);
        }
        assert_eq!(shop.incidents.len(), incidents, "tick {tick}");
    }
}

#[test]
fn traffic_that_is_lost_below_a_fault_belongs_to_it() {
    let mut shop = Shop::default();
    shop.take(&anomaly("order", "cpu_percent", Kind::Cpu, 10));
    let mut lost = anomaly("payment", "requests_per_second", Kind::Traffic, 11);
    lost.direction = Direction::Down;
    shop.take(&lost);
    assert_eq!(shop.incidents.len(), 1);
    shop.take(&anomaly("payment", "disk_percent", Kind::Disk, 11));
    assert_eq!(shop.incidents.len(), 2, "a full disk below it does not");
}

#[test]
fn incidents_of_one_fault_are_merged_and_name_each_other() {
    let mut shop = Shop::default();
    shop.edges.extend([("user", "sessions"), ("order", "sessions")]);
    shop.take(&anomaly("user", "error_rate", Kind::Errors, 10));
    shop.take(&anomaly("order", "error_rate", Kind::Errors, 16));
    assert_eq!(shop.incidents.len(), 2);
    shop.change(&Change::Announced);
    shop.take(&anomaly("sessions", "error_rate", Kind::Errors, 10));
    assert_eq!(shop.incidents.len(), 2);
    let [first, second] = &shop.incidents[..] else { panic!() };
    assert_eq!((first.members.len(), second.state), (3, State::Closed));
    assert_eq!(second.merged_into().map(|link| link.incident_id), Some(first.incident_id));
    assert!(shop.signals.iter().all(|(_, of)| *of == Some(first.incident_id)));
}

fn cleared(anomaly: &Anomaly, tick: i64) -> Anomaly {
    Anomaly { revision: 2, status: Status::Cleared, observed_at: at(tick), ..anomaly.clone() }
}

#[test]
fn a_fault_that_comes_and_goes_is_one_incident() {
    let mut shop = Shop::default();
    for flap in 0..8 {
        let errors = anomaly("payment", "error_rate", Kind::Errors, 10 + 20 * flap);
        shop.take(&errors);
        shop.take(&cleared(&errors, 14 + 20 * flap));
        shop.pass(18 + 20 * flap);
    }
    assert_eq!(shop.incidents.len(), 1);
    let incident = &shop.incidents[0];
    assert_eq!((incident.reopened, incident.members.len()), (1, 8));
    assert!(incident.state.is_open(), "it is held open after it came back once");
    shop.pass(150 + 14 + 70);
    assert_eq!(shop.incidents[0].state, State::Resolved);
}

#[test]
fn another_fault_of_the_same_service_is_another_incident_that_names_the_one_before() {
    let mut shop = Shop::default();
    let errors = anomaly("payment", "error_rate", Kind::Errors, 10);
    shop.take(&errors);
    shop.take(&cleared(&errors, 14));
    shop.pass(18);
    shop.take(&anomaly("payment", "disk_percent", Kind::Disk, 30));
    assert_eq!(shop.incidents.len(), 2);
    let links = &shop.incidents[1].links;
    assert_eq!((links[0].relation, links[0].incident_id), (Relation::Follows, shop.incidents[0].incident_id));
    shop.take(&anomaly("payment", "disk_percent", Kind::Disk, 400));
}

#[test]
fn the_same_fault_the_next_day_is_another_incident() {
    let mut shop = Shop::default();
    let errors = anomaly("payment", "error_rate", Kind::Errors, 10);
    shop.take(&errors);
    shop.take(&cleared(&errors, 14));
    shop.pass(18);
    shop.take(&anomaly("payment", "error_rate", Kind::Errors, 8_650));
    assert_eq!(shop.incidents.len(), 2);
    assert!(shop.incidents[1].links.is_empty());
}

#[test]
fn a_service_that_went_silent_is_down() {
    let mut shop = Shop::default();
    shop.take(&anomaly("user", "silence", Kind::Silence, 10));
    shop.take(&anomaly("api-gateway", "error_rate", Kind::Errors, 11));
    let first = shop.incidents[0].suspect().unwrap();
    assert_eq!((first.service.as_str(), first.category), ("user", Category::Down));
    assert_eq!(shop.incidents[0].affected_services.len(), 2);
}

#[test]
fn a_slow_path_to_a_callee_that_is_well_is_the_network() {
    let mut shop = Shop::default();
    shop.edges.extend([("user", "sessions"), ("inventory", "sessions")]);
    shop.take(&anomaly("user", "latency_p99_ms", Kind::Latency, 10));
    shop.take(&anomaly("inventory", "latency_p99_ms", Kind::Latency, 11));
    assert_eq!(shop.incidents.len(), 1, "both call it, and neither calls the other");
    let first = shop.incidents[0].suspect().unwrap();
    assert_eq!((first.service.as_str(), first.category), ("sessions", Category::Network));
}

#[test]
fn callers_of_one_service_that_suffer_at_different_times_or_by_themselves_are_two_faults() {
    for other in [
        anomaly("inventory", "latency_p99_ms", Kind::Latency, 30),
        anomaly("inventory", "cpu_percent", Kind::Cpu, 11),
    ] {
        let mut shop = Shop::default();
        shop.edges.extend([("user", "sessions"), ("inventory", "sessions")]);
        shop.take(&anomaly("user", "latency_p99_ms", Kind::Latency, 10));
        shop.take(&other);
        assert_eq!(shop.incidents.len(), 2, "{}", other.metric);
    }
}

#[test]
fn a_neighbour_that_takes_the_cpu_of_a_host_is_the_cause_at_all_services_that_lose_it() {
    let steal = || anomaly("inventory", "cpu_steal_percent", Kind::Cpu, 11);
    let symptoms = [
        anomaly("notification", "cpu_percent", Kind::Cpu, 10),
        steal(),
        anomaly("inventory", "latency_p99_ms", Kind::Latency, 12),
        anomaly("order", "latency_p99_ms", Kind::Latency, 13),
    ];
    // in any order of arrival
    for first in 0..symptoms.len() {
        let mut shop = Shop::default();
        shop.edges.extend([("order", "inventory")]);
        let mut order = symptoms.to_vec();
        order.rotate_left(first);
        for symptom in &order {
            shop.take(symptom);
        }
        let mut again = symptoms[0].clone();
        again.revision += 1;
        shop.take(&again);
        let open: Vec<_> = shop.incidents.iter().filter(|one| one.merged_into().is_none()).collect();
        assert_eq!(open.len(), 1, "beginning with {}", order[0].metric);
        let suspect = open[0].suspect().unwrap();
        assert_eq!((suspect.service.as_str(), suspect.category), ("notification", Category::Cpu));
    }
    // without a neighbour whose use rose at the same time it stays with the service
    for neighbour in [None, Some(anomaly("notification", "cpu_percent", Kind::Cpu, 40))] {
        let mut shop = Shop::default();
        shop.take(&steal());
        if let Some(neighbour) = &neighbour {
            shop.take(neighbour);
        }
        assert_eq!(shop.incidents[0].suspect().unwrap().service, "inventory");
        assert_eq!(shop.incidents.len(), 1 + neighbour.iter().len());
    }
}

#[test]
fn members_of_another_fault_leave_once_the_first_suspect_no_longer_explains_them() {
    // order waits for payment as it seems, until its own failures become plain
    let mut shop = Shop::default();
    let weak = |mut anomaly: Anomaly| {
        anomaly.evidence = 3.0;
        anomaly
    };
    let slow = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    let mut failing = weak(anomaly("order", "error_rate", Kind::Errors, 10));
    shop.take(&slow);
    shop.take(&failing);
    assert_eq!(shop.incidents.len(), 1);
    assert_eq!(shop.incidents[0].suspect().unwrap().service, "payment");
    (failing.revision, failing.evidence) = (2, 20.0);
    shop.take(&failing);
    assert_eq!(shop.incidents.len(), 2, "two faults");
    let of = |number: usize| {
        let incident = &shop.incidents[number];
        let suspect = incident.suspect().unwrap();
        (suspect.service.clone(), suspect.category, incident.affected_services.clone())
    };
    assert_eq!(of(0), ("order".into(), Category::Code, vec!["order".into()]));
    assert_eq!(of(1), ("payment".into(), Category::Dependency, vec!["payment".into()]));
    // what follows goes to its own
    let mut again = slow;
    again.revision = 2;
    shop.take(&again);
    assert_eq!(shop.incidents.len(), 2);
    assert!(shop.incidents.iter().all(|one| one.members.len() == 1 && one.merged_into().is_none()));
}

#[test]
fn people_are_told_of_a_split_only_once_it_has_lasted() {
    let split_at = |tick: i64| {
        let mut shop = Shop::default();
        shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 10));
        let mut failing = anomaly("order", "error_rate", Kind::Errors, 10);
        failing.evidence = 3.0;
        shop.take(&failing);
        shop.change(&Change::Announced);
        let mut challenger = failing.clone();
        for revision in 2..=tick as u32 {
            (challenger.revision, challenger.evidence) = (revision, 20.0);
            challenger.observed_at = at(10 + i64::from(revision));
            shop.take(&challenger);
        }
        shop.incidents.len()
    };
    assert_eq!(split_at(3), 1, "a new leader must lead for five samples first");
    assert_eq!(split_at(9), 2);
}

/// The partition of the cause is read only when its symptoms at the caller have cleared already.
#[test]
fn symptoms_that_are_over_when_their_cause_is_read_are_of_its_incident() {
    let mut shop = Shop::default();
    let symptoms = [
        Anomaly { evidence: 5.4, ..anomaly("order", "error_rate", Kind::Errors, 12) },
        Anomaly { evidence: 3.2, ..anomaly("order", "latency_p99_ms", Kind::Latency, 12) },
        Anomaly { evidence: 4.9, ..anomaly("api-gateway", "error_rate", Kind::Errors, 12) },
    ];
    for symptom in &symptoms {
        shop.take(symptom);
    }
    shop.change(&Change::Announced);
    for symptom in &symptoms {
        let over = Anomaly { revision: 2, status: Status::Cleared, observed_at: at(20), ..symptom.clone() };
        shop.take(&over);
    }
    // weak at first
    let pool = Anomaly { evidence: 3.1, ..anomaly("payment", "db_connections", Kind::Pool, 10) };
    let fails = Anomaly {
        evidence: 1.0,
        status: Status::Suspect,
        ..anomaly("payment", "error_rate", Kind::Errors, 12)
    };
    shop.take(&pool);
    shop.take(&fails);
    assert_eq!(standing(&shop).len(), 2);
    shop.take(&Anomaly { revision: 2, evidence: 5.7, observed_at: at(14), ..pool });
    shop.take(&Anomaly { revision: 2, evidence: 6.0, status: Status::Firing, observed_at: at(14), ..fails });
    let open: Vec<_> = shop.incidents.iter().filter(|one| one.merged_into().is_none()).collect();
    assert_eq!(open.len(), 1, "{:?}", standing(&shop));
}

#[test]
fn secrets_in_an_anomaly_are_not_kept() {
    let mut shop = Shop::default();
    let mut leaks = anomaly("payment", "logs:errors", Kind::Logs, 10);
    leaks.explanation = "payment writes: login of ada@example.com with token=abcdef123456 failed".into();
    leaks.context.logs.push(LogTemplate {
        level: Level::Error,
        template: "login of <*> with <*> failed".into(),
        count: 5,
        example: "login of ada@example.com with token=abcdef123456 failed".into(),
        last_seen: at(10),
    });
    shop.take(&leaks);
    let kept = serde_json::to_string(&shop.incidents[0]).unwrap();
    assert!(kept.contains("login of [email "), "{kept}");
    assert!(!kept.contains("ada@") && !kept.contains("abcdef123456"), "{kept}");
}

#[test]
fn latency_alone_does_not_settle_the_category() {
    let mut shop = Shop::default();
    shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 10));
    let first = shop.incidents[0].suspect().unwrap();
    assert_eq!(first.category, Category::Dependency);
    assert!(first.posterior < 0.8, "{first:?}");
    assert!(first.service_posterior.unwrap() > first.posterior);
}

#[test]
fn a_slight_deviation_of_one_series_opens_an_incident_when_it_grows_lasts_or_has_company() {
    let slight = |revision: u32, evidence: f64, until: i64| Anomaly {
        revision,
        evidence,
        observed_at: at(until),
        ..anomaly("payment", "latency_p99_ms", Kind::Latency, 10)
    };
    let opens = |anomalies: &[Anomaly]| {
        let mut shop = Shop::default();
        for one in anomalies {
            shop.take(one);
        }
        !standing(&shop).is_empty()
    };
    assert!(!opens(&[slight(1, 2.6, 12)]));
    let over = Anomaly { status: Status::Cleared, ..slight(2, 2.6, 18) };
    assert!(!opens(&[slight(1, 2.6, 12), over]));
    assert!(opens(&[slight(1, 2.6, 12), slight(2, 3.6, 13)]), "it grows");
    assert!(opens(&[slight(1, 2.6, 12), slight(2, 2.6, 22)]), "it lasts");
    let company = anomaly("payment", "error_rate", Kind::Errors, 11);
    assert!(opens(&[slight(1, 2.6, 12), company]));
    let beside = anomaly("payment", "db_connections", Kind::Pool, 10);
    assert!(opens(&[beside, slight(1, 2.6, 12)]));
    assert!(opens(&[Anomaly { severity: Severity::Sev2, ..slight(1, 2.6, 12) }]), "users notice");
    let of_log = Anomaly { kind: Kind::Logs, ..slight(1, 2.6, 12) };
    assert!(opens(&[of_log]), "lines are no noise");
}
