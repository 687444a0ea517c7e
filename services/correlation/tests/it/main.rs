//! Decisions of correlation, without any bus or database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod batches;
mod between;
mod causes;
mod commands;
mod endings;
mod far_ends;
mod faults;
mod hostile;
mod impact;
mod opaque;
mod reference;
mod shared_complaints;
mod shared_requests;
mod shop;
mod storms;

use std::sync::Arc;

use correlation::grouping::{Grouping, decide};
use correlation::hypotheses::Surroundings;
use correlation::{Options, hypotheses};
use jiff::SignedDuration;
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{Category, Kind};
use shared::lifecycle;
use shop::{Shop, anomaly, at};

const WINDOW: SignedDuration = SignedDuration::from_mins(60);

#[test]
fn whichever_symptom_comes_first_the_callee_is_suspected_and_there_is_one_incident() {
    let symptoms = [
        anomaly("payment", "db_connections", Kind::Pool, 10),
        anomaly("payment", "error_rate", Kind::Errors, 12),
        anomaly("order", "error_rate", Kind::Errors, 12),
        anomaly("api-gateway", "error_rate", Kind::Errors, 13),
    ];
    for first in 0..symptoms.len() {
        let mut order = symptoms.to_vec();
        order.rotate_left(first);
        let mut shop = Shop::default();
        for symptom in &order {
            shop.take(symptom);
        }
        assert_eq!(shop.incidents.len(), 1, "starting with {}", order[0].metric);
        let suspect = shop.incidents[0].suspect().unwrap();
        assert_eq!((suspect.service.as_str(), suspect.category), ("payment", Category::Pool));
        assert!(suspect.posterior > 0.8, "{suspect:?}");
        assert_eq!(shop.incidents[0].affected_services, ["api-gateway", "order", "payment"]);
        assert_eq!(shop.incidents[0].blast_radius.callers, ["api-gateway", "order"]);
    }
}

#[test]
fn a_fault_elsewhere_is_another_incident() {
    let mut shop = Shop::default();
    shop.take(&anomaly("notification", "memory_percent", Kind::Memory, 10));
    shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 10));
    assert_eq!(shop.incidents.len(), 2);
}

#[test]
fn a_weak_signal_opens_nothing_and_joins_what_opens_later() {
    let mut shop = Shop::default();
    let mut weak = anomaly("order", "latency_p99_ms", Kind::Latency, 10);
    (weak.status, weak.evidence) = (Status::Suspect, 1.5);
    shop.take(&weak);
    assert!(shop.incidents.is_empty());
    shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 12));
    assert_eq!(shop.incidents[0].members.len(), 2);
}

#[test]
fn weak_signals_of_several_series_open_together() {
    let mut shop = Shop::default();
    for (metric, kind) in
        [("cpu_percent", Kind::Cpu), ("latency_p99_ms", Kind::Latency), ("error_rate", Kind::Errors)]
    {
        let mut weak = anomaly("inventory", metric, kind, 10);
        (weak.status, weak.evidence) = (Status::Suspect, 3.0);
        shop.take(&weak);
    }
    assert_eq!(shop.incidents.len(), 1);
}

#[test]
fn an_incident_is_over_when_every_member_has_cleared_and_not_before() {
    let mut shop = Shop::default();
    let (mut pool, mut errors) = (
        anomaly("payment", "db_connections", Kind::Pool, 10),
        anomaly("payment", "error_rate", Kind::Errors, 12),
    );
    shop.take(&pool);
    shop.take(&errors);
    for (member, last) in [(&mut pool, false), (&mut errors, true)] {
        (member.status, member.revision) = (Status::Cleared, 2);
        let decision = decide(member, &shop.neighbourhood(), &Options::default());
        let Grouping::Join { all_clear, .. } = &decision.grouping else { panic!("{decision:?}") };
        assert_eq!(all_clear.is_some(), last);
        shop.take(member);
    }
}

#[test]
fn the_same_fault_long_after_it_cleared_is_a_new_incident_even_if_no_timer_has_fired() {
    let mut shop = Shop::default();
    let mut first = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    shop.take(&first);
    (first.status, first.revision) = (Status::Cleared, 2);
    shop.take(&first);
    let again = anomaly("payment", "latency_p99_ms", Kind::Latency, 60);
    let decision = decide(&again, &shop.neighbourhood(), &Options::default());
    assert!(decision.over.is_some(), "the first is over");
    assert!(matches!(decision.grouping, Grouping::Open { .. }));

    let soon = anomaly("payment", "latency_p99_ms", Kind::Latency, 11);
    let decision = decide(&soon, &shop.neighbourhood(), &Options::default());
    assert!(matches!(decision.grouping, Grouping::Join { .. }), "within the hold it goes on");
}

#[test]
fn no_member_holds_its_incident_for_longer_than_the_longest_hold() {
    let mut shop = Shop::default();
    let mut daily = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    daily.interval_ms = u64::MAX;
    shop.take(&daily);
    (daily.status, daily.revision) = (Status::Cleared, 2);
    shop.take(&daily);
    let again = |tick| {
        let anomaly = anomaly("payment", "error_rate", Kind::Errors, tick);
        decide(&anomaly, &shop.neighbourhood(), &Options::default()).grouping
    };
    assert!(matches!(again(100), Grouping::Join { .. }));
    assert!(matches!(again(102), Grouping::Open { .. }), "15 minutes after it cleared");

    // neither does an absurd one end the decision about what comes late
    shop.resolve(11);
    let mut late = anomaly("order", "latency_p99_ms", Kind::Latency, 10);
    late.interval_ms = u64::MAX;
    assert!(matches!(
        decide(&late, &shop.neighbourhood(), &Options::default()).grouping,
        Grouping::LateJoin { .. }
    ));
}

#[test]
fn a_symptom_that_is_read_when_its_incident_is_over_joins_it_and_opens_no_other() {
    let mut shop = Shop::default();
    let callee = anomaly("order", "error_rate", Kind::Errors, 10);
    shop.take(&callee);
    let cleared = Anomaly { revision: 2, status: Status::Cleared, observed_at: at(20), ..callee };
    shop.take(&cleared);
    shop.resolve(20);
    let id = shop.incidents[0].incident_id;
    let caller = anomaly("api-gateway", "error_rate", Kind::Errors, 10);
    for (revision, tick) in [(1, 11), (2, 19), (3, 22)] {
        let late = Anomaly { revision, observed_at: at(tick), ..caller.clone() };
        let decision = decide(&late, &shop.neighbourhood(), &Options::default());
        assert!(
            matches!(&decision.grouping, Grouping::LateJoin { incident } if incident.incident_id == id),
            "tick {tick}: {:?}",
            decision.grouping
        );
        shop.take(&late);
    }
    assert_eq!((shop.incidents.len(), shop.signals.iter().filter(|(_, of)| *of == Some(id)).count()), (1, 2));
    let cause = anomaly("payment", "db_connections", Kind::Pool, 5);
    assert!(
        matches!(
            decide(&cause, &shop.neighbourhood(), &Options::default()).grouping,
            Grouping::LateJoin { .. }
        ),
        "the cause shows before its symptoms, and may be read after them"
    );
    // it fires on when the incident should have been over for good: that is not late any more
    let on = Anomaly { revision: 4, observed_at: at(40), ..caller.clone() };
    assert!(matches!(
        decide(&on, &shop.neighbourhood(), &Options::default()).grouping,
        Grouping::Open { .. }
    ));
    let unrelated = anomaly("notification", "memory_percent", Kind::Memory, 12);
    assert!(matches!(
        decide(&unrelated, &shop.neighbourhood(), &Options::default()).grouping,
        Grouping::Open { .. }
    ));
}

#[test]
fn a_symptom_between_cause_and_caller_that_is_read_when_the_incident_is_over_joins_it() {
    let mut shop = Shop { edges: vec![("web", "cart"), ("cart", "billing")], ..Shop::default() };
    let symptoms = [
        ("billing", "db_connections", Kind::Pool, 4.7),
        ("billing", "error_rate", Kind::Errors, 6.0),
        ("billing", "latency_p99_ms", Kind::Latency, 4.5),
        ("web", "error_rate", Kind::Errors, 4.9),
        ("web", "latency_p99_ms", Kind::Latency, 3.3),
    ];
    let symptoms = symptoms
        .map(|(service, metric, kind, evidence)| Anomaly { evidence, ..anomaly(service, metric, kind, 10) });
    for symptom in &symptoms {
        shop.take(symptom);
    }
    for symptom in symptoms {
        shop.take(&Anomaly { revision: 2, status: Status::Cleared, observed_at: at(20), ..symptom });
    }
    shop.resolve(20);
    // cart calls billing and is called by web: without it web looked like a fault of its own
    let suspects = &mut shop.incidents[0].suspects;
    (suspects[0].service, suspects[0].category) = ("web".into(), Category::Code);
    let between = anomaly("cart", "error_rate", Kind::Errors, 11);
    let decision = decide(&between, &shop.neighbourhood(), &Options::default());
    assert!(matches!(decision.grouping, Grouping::LateJoin { .. }), "{:?}", decision.grouping);
}

#[test]
fn an_older_revision_changes_nothing() {
    let mut shop = Shop::default();
    let mut newer = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    newer.revision = 3;
    shop.take(&newer);
    let decision = decide(
        &anomaly("payment", "latency_p99_ms", Kind::Latency, 10),
        &shop.neighbourhood(),
        &Options::default(),
    );
    assert_eq!(decision.grouping, Grouping::Stale);
}

#[test]
fn a_fresh_deployment_of_the_failing_service_is_suspected() {
    let mut shop = Shop::default();
    shop.deploy("user", "2.4.0", 5);
    shop.deploy("inventory", "1.0.9", 8);
    shop.take(&anomaly("user", "error_rate", Kind::Errors, 20));
    let incident = &shop.incidents[0];
    assert_eq!(incident.suspect().unwrap().category, Category::Deployment);
    assert_eq!(incident.deployment.as_ref().unwrap().version, "2.4.0");
}

#[test]
fn a_change_after_the_first_symptom_is_no_trigger() {
    let mut shop = Shop::default();
    shop.deploy("user", "2.4.0", 30);
    shop.take(&anomaly("user", "error_rate", Kind::Errors, 20));
    assert_eq!(shop.incidents[0].deployment, None);
}

#[test]
fn without_evidence_nobody_is_named() {
    let mut faint = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    faint.evidence = 0.4;
    let signal = shared::events::incident::Signal::from_anomaly(&faint, None);
    let (graph, options) = (shop::graph(), Options::default());
    let neighbourhood =
        Surroundings { graph: &graph, deployments: &[], window: WINDOW, log_terms: &options.log_terms };
    let suspects = hypotheses::rank(&[Arc::new(signal)], neighbourhood);
    assert!(suspects[0].posterior < 0.3, "not visible must win: {suspects:?}");
}

#[test]
fn severity_is_never_lowered_while_the_incident_lasts() {
    let mut shop = Shop::default();
    shop.take(&anomaly("payment", "error_rate", Kind::Errors, 10));
    let worst = shop.incidents[0].severity;
    let mut assessment = match decide(
        &anomaly("payment", "cpu_percent", Kind::Cpu, 12),
        &shop.neighbourhood(),
        &Options::default(),
    )
    .grouping
    {
        Grouping::Join { assessment, .. } => assessment,
        other => panic!("{other:?}"),
    };
    assessment.severity = shared::events::Severity::Sev4;
    let incident = shop.incidents[0].clone();
    let id = incident.incident_id;
    let after =
        lifecycle::apply(Some(incident), id, lifecycle::Change::Reassessed(Box::new(assessment))).unwrap();
    assert_eq!(after.severity, worst);
}

#[test]
fn a_weak_member_that_outlives_its_incident_and_fires_later_opens_another() {
    let mut shop = Shop::default();
    let mut latency = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    let mut leak = anomaly("payment", "memory_percent", Kind::Memory, 11);
    (leak.status, leak.evidence) = (Status::Suspect, 1.5);
    shop.take(&latency);
    shop.take(&leak);
    (latency.status, latency.revision) = (Status::Cleared, 2);
    shop.take(&latency);
    shop.resolve(12);
    (leak.status, leak.evidence, leak.revision, leak.observed_at) = (Status::Firing, 6.0, 2, at(20));
    shop.take(&leak);
    assert_eq!(shop.incidents.len(), 2, "someone must hear of the leak");
    assert_ne!(shop.incidents[0].incident_id, shop.incidents[1].incident_id);
    (leak.revision, leak.evidence) = (3, 6.0);
    shop.take(&leak);
    assert_eq!(shop.incidents.len(), 2, "and only once");
}

#[test]
fn an_overlong_deployment_text_is_cut_before_it_travels() {
    let mut shop = Shop::default();
    shop.deploy("user", "2.4.0", 5);
    shop.deployments[0].description = Some("x".repeat(400_000));
    shop.deployments[0].known_risks = vec!["y".repeat(10_000); 50];
    shop.take(&anomaly("user", "error_rate", Kind::Errors, 20));
    let change = shop.incidents[0].deployment.as_ref().unwrap();
    assert!(change.description.as_ref().unwrap().chars().count() <= 500);
    assert!(shared::events::encode(&shop.incidents[0]).is_ok());
}
