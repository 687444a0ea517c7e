//! Which cause people are told, and when they are told of another one.

use correlation::hypotheses;
use shared::events::anomaly::{Anomaly, LogTemplate, Status};
use shared::events::raw::Level;
use shared::events::{Category, Kind};
use shared::lifecycle::Change;

use crate::shop::{Shop, anomaly, at};

/// A log alert of a service that quotes a line.
fn log_lines(service: &str, line: &str, tick: i64) -> Anomaly {
    let mut lines = anomaly(service, "logs:critical", Kind::Logs, tick);
    lines.explanation = format!("{service} writes critical lines: {line:?}");
    lines.context.logs = vec![LogTemplate {
        level: Level::Error,
        template: line.to_owned(),
        count: 5,
        example: line.to_owned(),
        last_seen: at(tick),
    }];
    lines
}

fn told(shop: &Shop) -> (String, Category) {
    let suspect = shop.incidents[0].suspect().unwrap();
    (suspect.service.clone(), suspect.category)
}

fn with(anomaly: &Anomaly, revision: u32, change: impl FnOnce(&mut Anomaly)) -> Anomaly {
    let mut next = Anomaly { revision, ..anomaly.clone() };
    change(&mut next);
    next
}

/// A memory leak that was announced, with memory as its cause.
fn announced_leak() -> (Shop, Anomaly) {
    let mut shop = Shop::default();
    let mut memory = anomaly("notification", "memory_percent", Kind::Memory, 10);
    memory.evidence = 4.0;
    shop.take(&memory);
    shop.change(&Change::Announced);
    (shop, memory)
}

#[test]
fn lines_that_name_a_resource_speak_for_it_and_not_for_the_code() {
    let mut shop = Shop::default();
    shop.take(&log_lines("notification", "java.lang.OutOfMemoryError: Java heap space", 10));
    assert_eq!(told(&shop), ("notification".into(), Category::Memory));
    let mut shop = Shop::default();
    shop.take(&log_lines("payment", "charge 17 was odd", 10));
    assert_eq!(told(&shop), ("payment".into(), Category::Code));
}

#[test]
fn lines_never_outweigh_the_resource_they_name() {
    let mut shop = Shop::default();
    let mut faint = anomaly("notification", "memory_percent", Kind::Memory, 10);
    (faint.status, faint.evidence) = (Status::Suspect, 1.0);
    shop.take(&faint);
    shop.take(&log_lines("notification", "cannot allocate memory", 11));
    let suspect = shop.incidents[0].suspect().unwrap();
    assert_eq!(suspect.category, Category::Memory);
    assert!(
        suspect.score <= 2.5,
        "1 nat of the resource, as much of the lines, 0.5 for the onset: {suspect:?}"
    );
}

#[test]
fn lines_that_name_a_dependency_say_nothing_where_the_dependency_shows_something_itself() {
    let mut shop = Shop::default();
    shop.take(&log_lines("order", "connection refused by payment", 10));
    assert_eq!(told(&shop), ("order".into(), Category::Dependency));
    shop.take(&anomaly("payment", "error_rate", Kind::Errors, 10));
    assert_eq!(told(&shop), ("payment".into(), Category::Code));
}

#[test]
fn an_announced_cause_stays_until_another_has_led_clearly_for_long_enough() {
    let (mut shop, _) = announced_leak();
    let pool = anomaly("notification", "db_connections", Kind::Pool, 12);
    shop.take(&pool);
    assert_eq!(told(&shop).1, Category::Memory);
    let challenger = shop.incidents[0].challenger.clone().unwrap();
    assert_eq!((challenger.category, challenger.since), (Category::Pool, pool.observed_at));
    shop.take(&with(&pool, 2, |pool| pool.observed_at = at(16)));
    assert_eq!(told(&shop).1, Category::Memory, "30 s are not yet five intervals");
    assert_eq!(shop.incidents[0].challenger.as_ref(), Some(&challenger));
    shop.take(&with(&pool, 3, |pool| pool.observed_at = at(18)));
    assert_eq!(told(&shop).1, Category::Pool);
    assert_eq!(shop.incidents[0].challenger, None);
}

#[test]
fn a_small_lead_or_one_that_is_lost_replaces_nothing() {
    let (mut shop, memory) = announced_leak();
    let small =
        with(&anomaly("notification", "db_connections", Kind::Pool, 12), 1, |pool| pool.evidence = 5.0);
    shop.take(&small);
    shop.take(&with(&small, 2, |pool| pool.observed_at = at(30)));
    assert_eq!((told(&shop).1, shop.incidents[0].challenger.is_none()), (Category::Memory, true));

    let clear = with(&small, 3, |pool| (pool.evidence, pool.observed_at) = (6.0, at(31)));
    shop.take(&clear);
    assert!(shop.incidents[0].challenger.is_some());
    // memory draws level before the time of the challenger is over
    shop.take(&with(&memory, 2, |memory| (memory.evidence, memory.observed_at) = (6.0, at(32))));
    shop.take(&with(&clear, 4, |pool| pool.observed_at = at(60)));
    assert_eq!((told(&shop).1, shop.incidents[0].challenger.is_none()), (Category::Memory, true));
}

#[test]
fn recovery_changes_no_cause() {
    let (mut shop, memory) = announced_leak();
    shop.take(&with(&memory, 2, |memory| {
        (memory.status, memory.evidence, memory.observed_at) = (Status::Cleared, 0.0, at(20));
    }));
    for tick in [21, 30, 40] {
        let errors = with(&anomaly("notification", "error_rate", Kind::Errors, 20), tick as u32, |errors| {
            errors.observed_at = at(tick);
        });
        shop.take(&errors);
        assert_eq!(told(&shop).1, Category::Memory);
    }
    let memory = shop.signals.iter().find(|(signal, _)| signal.kind == Kind::Memory).unwrap();
    assert!(memory.0.evidence >= 4.0, "what has cleared keeps the evidence it had");
}

#[test]
fn a_caller_that_was_announced_gives_way_to_what_it_calls() {
    let mut shop = Shop::default();
    shop.take(&anomaly("order", "error_rate", Kind::Errors, 10));
    shop.change(&Change::Announced);
    let payment = anomaly("payment", "error_rate", Kind::Errors, 10);
    shop.take(&payment);
    shop.take(&with(&payment, 2, |payment| payment.observed_at = at(40)));
    assert_eq!(told(&shop), ("payment".into(), Category::Code));
}

#[test]
fn before_the_announcement_the_ranking_is_free() {
    let mut shop = Shop::default();
    shop.take(&anomaly("order", "error_rate", Kind::Errors, 10));
    shop.take(&anomaly("payment", "db_connections", Kind::Pool, 10));
    assert_eq!(told(&shop).0, "payment");
}

#[test]
fn a_retired_service_is_not_blamed_on_its_retirement() {
    let mut shop = Shop::default();
    shop.deploy("user", "2.4.0", 5);
    shop.deployments[0].change_type = "retire".into();
    shop.take(&anomaly("user", "error_rate", Kind::Errors, 6));
    assert_eq!(told(&shop).1, Category::Code);
    assert_eq!(shop.incidents[0].deployment, None);
}

#[test]
fn every_hypothesis_has_its_reasons_and_none_speaks_of_nats() {
    let mut shop = Shop::default();
    shop.take(&anomaly("payment", "db_connections", Kind::Pool, 10));
    shop.take(&anomaly("order", "error_rate", Kind::Errors, 11));
    for suspect in &shop.incidents[0].suspects {
        assert!(!suspect.reasons.is_empty());
        assert!(suspect.reasons.iter().all(|reason| !reason.contains("nat")), "{suspect:?}");
    }
    assert!(shop.incidents[0].suspects.len() <= hypotheses::MAX_SUSPECTS);
}
