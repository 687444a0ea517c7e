//! Objectives that the service catalogue states.

use std::sync::Arc;

use detection::metric_profile::Override;
use detection::{At, Partition, Settings};
use shared::events::anomaly::{Anomaly, Ended, Status};
use shared::events::fault::Scenario;
use shared::events::{Severity, Topic};
use simulator::record;
use simulator::schedule::Faults;

use crate::feed::{Feed, Row, row};
use crate::fire::{Run, watch_every};
use crate::shop::{METRICS, Noise, SERVICES, SPREAD, Source};

const PAYMENT: &str = r#"{"service":"payment","slo":99.9,"latency_slo_ms":900}"#;

/// Returns a round of `payment`: requests a second, percent that fail, p99 in milliseconds.
fn payment(rate: f64, errors: f64, latency: f64) -> Vec<Row> {
    vec![
        row("payment", "request_rate", rate).in_unit("1/s"),
        row("payment", "error_rate", errors).in_unit("%"),
        row("payment", "latency_p99_ms", latency),
    ]
}

fn statuses(told: &[&Anomaly]) -> Vec<Status> {
    told.iter().map(|one| one.status).collect()
}

#[test]
fn what_is_bad_from_the_first_sample_on_is_found_and_clears() {
    let mut feed = Feed::new(10_000);
    feed.catalogue(PAYMENT);
    feed.rounds(80, |_, noise| payment(80.0, 4.0 + 0.1 * noise.draw(), 1300.0 + 20.0 * noise.draw()));
    assert_eq!(
        feed.fired(),
        [("payment", "error_rate:objective"), ("payment", "latency_p99_ms:objective")],
        "{}",
        feed.lines()
    );
    feed.rounds(80, |_, noise| payment(80.0, 0.02, 400.0 + 10.0 * noise.draw()));
    for metric in ["error_rate:objective", "latency_p99_ms:objective"] {
        assert_eq!(statuses(&feed.of(metric)), [Status::Firing, Status::Cleared], "{}", feed.lines());
    }
    let of_errors = feed.of("error_rate:objective");
    assert_eq!(of_errors[0].severity, Severity::Sev2);
    let objectives: Vec<String> =
        feed.lines().lines().filter(|line| line.contains(":objective")).map(str::to_owned).collect();
    insta::assert_snapshot!(objectives.join("\n"));
}

#[test]
fn a_few_failures_a_moment_and_a_few_slow_requests_do_not_page() {
    // three requests in ten seconds: now and then one fails, or is slow
    let mut few = Feed::new(10_000);
    few.catalogue(PAYMENT);
    few.rounds(2000, |round, _| {
        let errors = if round % 97 == 0 { 33.3 } else { 0.0 };
        payment(0.3, errors, if round % 29 == 0 { 4000.0 } else { 300.0 })
    });
    // one in five hundred fails all the time, all of them for ten seconds, the 99th percentile is at its objective
    let mut many = Feed::new(10_000);
    many.catalogue(PAYMENT);
    many.rounds(2000, |round, noise| {
        let errors = if round % 500 == 250 { 100.0 } else { 0.2 };
        payment(200.0, errors, 880.0 + 20.0 * noise.draw())
    });
    for feed in [few, many] {
        let objectives: Vec<_> = feed.told.iter().filter(|one| one.metric.ends_with(":objective")).collect();
        assert!(objectives.is_empty(), "{}", feed.lines());
    }
}

#[test]
fn failures_without_known_requests_are_not_weighed_and_no_unit_is_the_smaller_one() {
    let mut feed = Feed::new(10_000);
    feed.catalogue(PAYMENT);
    feed.catalogue(r#"{"service":"order","slo":99.9}"#);
    feed.rounds(200, |_, _| {
        vec![
            row("payment", "error_rate", 40.0).in_unit("%"),
            row("order", "request_rate", 80.0).in_unit("1/s"),
            row("order", "error_rate", 0.4),
        ]
    });
    assert!(feed.told.is_empty(), "{}", feed.lines());
}

#[test]
fn what_the_series_reports_itself_is_not_said_twice() {
    let mut feed = Feed::new(10_000);
    feed.catalogue(PAYMENT);
    feed.rounds(120, |_, noise| payment(80.0, 0.02, 400.0 + 10.0 * noise.draw()));
    feed.rounds(60, |_, noise| payment(80.0, 0.02, 2000.0 + 10.0 * noise.draw()));
    feed.rounds(60, |_, noise| payment(80.0, 0.02, 400.0 + 10.0 * noise.draw()));
    assert_eq!(feed.fired(), [("payment", "latency_p99_ms")], "{}", feed.lines());

    // nor after it is over, when much has failed within the hour and a healthy sample is beyond the bar
    let mut feed = Feed::new(10_000);
    feed.catalogue(r#"{"service":"payment","slo":99.9}"#);
    let healthy = |_: i64, noise: &mut Source| payment(80.0, 0.5 + 0.1 * noise.draw(), 400.0);
    feed.rounds(90, healthy);
    feed.rounds(30, |_, noise| payment(80.0, 20.0 + noise.draw(), 400.0));
    feed.rounds(720, healthy);
    assert_eq!(feed.fired(), [("payment", "error_rate")], "{}", feed.lines());
}

#[test]
fn failures_that_use_up_the_budget_slowly_are_reported_with_their_rate_and_number() {
    let mut feed = Feed::new(10_000);
    feed.catalogue(PAYMENT);
    feed.rounds(4320, |_, noise| payment(80.0, (0.02 + 0.01 * noise.draw()).max(0.0), 400.0));
    assert!(feed.fired().is_empty(), "{}", feed.lines());
    let began_ms = feed.now_ms;
    feed.rounds(2160, |_, noise| payment(80.0, 0.7 + 0.05 * noise.draw(), 400.0));
    // the series itself takes it for the new normal, long before the slow burn rate is reached
    let own = feed.of("error_rate").last().unwrap().ended;
    assert_eq!(own, Some(Ended::NewLevel), "{}", feed.lines());
    let found_ms = feed.of("error_rate:objective")[0].observed_at.as_millisecond() - began_ms;
    assert!(found_ms > 4 * 3_600_000, "{found_ms}");
    feed.rounds(400, |_, _| payment(80.0, 0.02, 400.0));
    let told = feed.of("error_rate:objective");
    assert_eq!(statuses(&told), [Status::Firing, Status::Cleared], "{}", feed.lines());
    let rate = told[0].burn_rate.unwrap();
    assert!((6.0..7.5).contains(&rate) && told[0].severity == Severity::Sev3, "{rate}");
    let impact = told[0].impact.unwrap();
    assert!((impact.requests_per_s - 80.0).abs() < 0.1, "{impact:?}");
    assert!((0.4..0.7).contains(&impact.failing_per_s), "{impact:?}");
    assert_eq!(told[1].burn_rate, None);
    insta::assert_snapshot!(told[0].explanation);
}

#[test]
fn what_the_series_reports_itself_states_how_fast_the_budget_is_used_up() {
    let mut feed = Feed::new(10_000);
    feed.catalogue(PAYMENT);
    feed.rounds(120, |_, noise| payment(80.0, 0.02, 400.0 + 10.0 * noise.draw()));
    feed.rounds(80, |_, noise| payment(80.0, 20.0 + noise.draw(), 400.0 + 10.0 * noise.draw()));
    assert_eq!(feed.fired(), [("payment", "error_rate")], "{}", feed.lines());
    let told = feed.of("error_rate");
    let last = told.last().unwrap();
    assert!(last.burn_rate.unwrap() > 14.4, "{last:?}");
    assert!((last.impact.unwrap().share() - 0.2).abs() < 0.02, "{last:?}");
}

#[test]
fn failing_requests_are_counted_only_where_their_number_is_certain() {
    let impact = |metric: &str, unit: &'static str, value: f64| {
        let mut feed = Feed::new(10_000);
        let rows = |value: f64| {
            vec![row("order", "request_rate", 50.0).in_unit("1/s"), row("order", metric, value).in_unit(unit)]
        };
        feed.rounds(60, |_, _| rows(0.0));
        feed.rounds(10, |_, _| rows(value));
        let told = feed.of(metric);
        told.last()
            .unwrap_or_else(|| panic!("{metric} {unit}"))
            .impact
            .map(|impact| impact.failing_per_s.round())
    };
    assert_eq!(impact("error_rate", "%", 40.0), Some(20.0));
    assert_eq!(impact("error_ratio", "1", 0.4), Some(20.0));
    assert_eq!(impact("error_rate", "", 40.0), Some(20.0), "no share is more than all");
    assert_eq!(impact("error_rate", "", 0.9), None, "of one, or of a hundred");
    assert_eq!(impact("db_error_rate", "%", 40.0), None, "not what the service answers");
    assert_eq!(impact("latency_p99_ms", "ms", 4000.0), None);
}

#[test]
fn the_catalogue_may_come_late_change_and_be_withdrawn() {
    let slow = |_: i64, noise: &mut Source| payment(80.0, 0.02, 1300.0 + 20.0 * noise.draw());
    let mut feed = Feed::new(10_000);
    feed.rounds(60, slow);
    assert!(feed.told.is_empty(), "{}", feed.lines());
    feed.catalogue(PAYMENT);
    feed.rounds(30, slow);
    assert_eq!(statuses(&feed.of("latency_p99_ms:objective")), [Status::Firing], "{}", feed.lines());
    // a higher objective is met
    feed.catalogue(r#"{"service":"payment","latency_slo_ms":1500}"#);
    feed.rounds(30, slow);
    assert_eq!(statuses(&feed.of("latency_p99_ms:objective")), [Status::Firing, Status::Cleared]);
    feed.catalogue(PAYMENT);
    feed.rounds(30, slow);
    assert_eq!(feed.of("latency_p99_ms:objective").len(), 3);
    feed.withdraw("payment");
    feed.rounds(30, slow);
    let told = feed.of("latency_p99_ms:objective");
    assert_eq!(statuses(&told)[2..], [Status::Firing, Status::Cleared], "{}", feed.lines());
    insta::assert_snapshot!(told[3].explanation);
}

#[test]
fn the_configuration_wins_and_other_environments_can_be_left_out() {
    let settings = |environments: &[&str], metrics: Vec<Override>| Settings {
        partitions: 1,
        catalogue_environments: environments.iter().map(|&name| name.to_owned()).collect(),
        metrics,
        ..Settings::default()
    };
    let own = Override { metric: "latency_p99_ms".into(), objective: Some(2000.0), ..Override::default() };
    let silent = Override { metric: "error_rate".into(), silent: Some(true), ..Override::default() };
    for settings in [settings(&["*"], vec![own, silent]), settings(&["staging", "dev*"], Vec::new())] {
        let mut feed = Feed::with(settings, 10_000);
        feed.catalogue(PAYMENT);
        feed.rounds(80, |_, _| payment(80.0, 4.0, 1300.0));
        assert!(feed.told.is_empty(), "{}", feed.lines());
    }
}

#[test]
fn a_restart_goes_on_with_what_was_stated_and_seen() {
    let run = |restarts: bool| {
        let mut feed = Feed::new(10_000);
        feed.catalogue(PAYMENT);
        for _ in 0..10 {
            feed.rounds(8, |_, noise| payment(80.0, 4.0 + 0.1 * noise.draw(), 1300.0 + 20.0 * noise.draw()));
            if restarts {
                feed.restart();
            }
        }
        // before the first sample of a service, too
        feed.catalogue(r#"{"service":"later","latency_slo_ms":100}"#);
        if restarts {
            feed.restart();
        }
        feed.rounds(40, |_, _| vec![row("later", "latency_p99_ms", 150.0)]);
        feed.told
    };
    let whole = run(false);
    assert_eq!(whole.iter().filter(|one| one.metric.ends_with(":objective")).count(), 3);
    assert_eq!(run(true), whole);
}

#[test]
fn only_what_has_changed_is_written_again_and_old_records_change_nothing() {
    let mut feed = Feed::new(10_000);
    feed.catalogue(PAYMENT);
    let keys = |partition: &Partition| -> Vec<String> {
        partition.snapshot().records.into_iter().map(|record| record.key).collect()
    };
    assert_eq!(keys(&feed.partition), ["0/catalogue", "0"]);
    let version = feed.partition.version();
    feed.partition.saved(version);
    feed.rounds(1, |_, _| payment(80.0, 0.0, 300.0));
    assert_eq!(keys(&feed.partition), ["0/production/payment", "0"]);
    let applied = feed.partition.catalogue_applied();
    let old = feed.partition.catalogue(PAYMENT.as_bytes(), At { offset: applied, timestamp_ms: None });
    assert_eq!((old.used, feed.partition.catalogue_applied()), (0, applied));
    // a snapshot of an earlier release has none
    let restored = Partition::restore(0, Arc::default(), Vec::<(String, Vec<u8>)>::new());
    assert_eq!(restored.partition.catalogue_applied(), -1);
}

#[test]
fn bad_records_are_refused_with_a_reason() {
    let mut feed = Feed::new(10_000);
    for bad in [
        "",
        "{}",
        r#"{"service":""}"#,
        r#"{"service":"a","slo":101}"#,
        r#"{"service":"a","latency_slo_ms":0}"#,
    ] {
        feed.catalogue(bad);
    }
    assert_eq!(feed.refused.len(), 5, "{:?}", feed.refused);
    assert!(feed.refused[3].contains("slo 101"), "{:?}", feed.refused);
}

/// The objectives of the shop, as its catalogue states them.
const SHOP: [(&str, f64, f64); 6] = [
    ("api-gateway", 99.95, 300.0),
    ("payment", 99.95, 900.0),
    ("order", 99.9, 700.0),
    ("user", 99.9, 400.0),
    ("notification", 99.5, 1500.0),
    ("inventory", 99.9, 500.0),
];

#[test]
fn the_healthy_shop_keeps_to_the_objectives_of_its_catalogue() {
    for noise in [Noise::Gaussian, Noise::Skewed(0.8), Noise::Bursty, Noise::Sluggish(0.5)] {
        let mut feed = Feed::new(10_000);
        feed.noise = Source::new(noise, 11);
        for (service, slo, latency) in SHOP {
            feed.catalogue(&format!(r#"{{"service":"{service}","slo":{slo},"latency_slo_ms":{latency}}}"#));
        }
        feed.rounds(4320, |_, noise| {
            let mut rows = Vec::new();
            for (service, levels) in SERVICES {
                for (at, (metric, unit)) in METRICS.into_iter().enumerate().take(3) {
                    let value = levels[at] * (1.0 + SPREAD[at] * noise.draw());
                    rows.push(row(service, metric, value.max(0.0)).in_unit(unit));
                }
            }
            rows
        });
        let objectives: Vec<_> = feed.told.iter().filter(|one| one.metric.ends_with(":objective")).collect();
        assert!(objectives.is_empty(), "{noise:?}: {}", feed.lines());
    }
}

/// Runs a fault of the simulator again and again beside the catalogue of its shop. Returns the run, and what was reported
/// of objectives.
fn faults_beside_the_catalogue(scenario: Scenario, interval_ms: i64, seed: u64) -> (Run, Vec<Anomaly>) {
    let mut partition = Partition::new(0, Arc::new(Settings { partitions: 1, ..Settings::default() }));
    let mut offset = 0;
    for (service, slo, latency) in SHOP {
        offset += 1;
        let stated = format!(r#"{{"service":"{service}","slo":{slo},"latency_slo_ms":{latency}}}"#);
        partition.catalogue(stated.as_bytes(), At { offset, timestamp_ms: None });
    }
    let mut told = Vec::new();
    let run = watch_every(
        interval_ms,
        Faults::Repeat(Some(scenario)),
        simulator::noise::Noise::Skewed,
        seed,
        120,
        300,
        1200,
        |tick| {
            for record in record::records(tick).unwrap() {
                if record.topic == Topic::RawMetrics {
                    offset += 1;
                    let at = At { offset, timestamp_ms: Some(tick.ts_ms) };
                    told.extend(partition.metrics(&record.payload, at).anomalies);
                }
            }
        },
    );
    told.retain(|one: &Anomaly| one.metric.ends_with(":objective"));
    (run, told)
}

#[test]
fn the_faults_of_the_shop_are_reported_as_without_a_catalogue() {
    for interval_ms in [1000, 10_000] {
        for scenario in Scenario::ROTATION {
            let (run, told) = faults_beside_the_catalogue(scenario, interval_ms, 3);
            assert!(!run.burns.is_empty());
            assert!(told.is_empty(), "{scenario} at {interval_ms} ms: {told:?}");
        }
    }
}
