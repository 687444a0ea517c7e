//! What cannot be used is refused alone, by name, and never taken for silence.

use detection::service::intake::Cause;
use shared::events::Kind;
use shared::events::anomaly::Status;

use crate::feed::{Feed, Row, healthy, row};
use crate::shop::START_MS;

#[test]
fn a_value_that_is_missing_costs_nothing_but_itself() {
    for word in ["NaN", "null", "-Infinity", "\"NaN\""] {
        let mut feed = Feed::new(10_000);
        feed.rounds(360, |round, noise| {
            let is_idle = (180..300).contains(&round);
            let mut rows = healthy("catalog", 60.0, noise);
            rows.extend(healthy("checkout", 60.0, noise));
            let mut rare = row("checkout", "refund_latency_p99_ms", 900.0 + 30.0 * noise.draw());
            if is_idle {
                rare.value = word.to_owned();
            }
            rows.push(rare);
            rows
        });
        assert_eq!((feed.used, feed.dropped), (360 * 7 - 120, 120), "{word}");
        assert!(feed.refused.is_empty() && feed.fired().is_empty(), "{word}: {}", feed.lines());
    }
}

#[test]
fn a_value_that_cannot_be_read_costs_nothing_but_itself_and_is_a_suspicion() {
    let mut feed = Feed::new(10_000);
    feed.rounds(300, |round, noise| {
        let mut rows = healthy("catalog", 60.0, noise);
        rows.extend(healthy("checkout", 60.0, noise));
        let value = if (180..240).contains(&round) { "\"n/a\"" } else { "900" };
        rows.push(Row { value: value.to_owned(), ..row("checkout", "refund_latency_p99_ms", 0.0) });
        rows
    });
    assert_eq!((feed.used, feed.refused.len()), (300 * 7 - 60, 60));
    assert!(feed.fired().is_empty(), "{}", feed.lines());
    let told = feed.of("unusable_samples");
    let told: Vec<_> = told.iter().map(|one| (one.service.as_str(), one.status)).collect();
    assert_eq!(told, [("checkout", Status::Suspect), ("checkout", Status::Cleared)], "{}", feed.lines());
}

#[test]
fn a_service_whose_records_are_all_refused_is_named_and_not_called_silent() {
    for (broken, restarts) in
        [(r#"{"service":"checkout","metric":"m","value":1.2.3"#, true), ("{\"service\":\"checkout\"}", false)]
    {
        let mut feed = Feed::new(10_000);
        for round in 0..500 {
            feed.rounds(1, |_, noise| {
                let mut rows = healthy("catalog", 60.0, noise);
                if !(200..320).contains(&round) {
                    rows.extend(healthy("checkout", 60.0, noise));
                }
                rows
            });
            if (200..320).contains(&round) {
                feed.record(broken, Some(feed.now_ms));
            }
            if restarts && round % 50 == 0 {
                feed.restart();
            }
        }
        assert!(feed.told.iter().all(|one| one.kind != Kind::Silence), "{}", feed.lines());
        let told: Vec<Status> = feed.of("unusable_samples").iter().map(|one| one.status).collect();
        assert_eq!(told, [Status::Suspect, Status::Firing, Status::Cleared], "{}", feed.lines());
        assert_eq!(feed.fired(), [("checkout", "unusable_samples")]);
        let count: u64 = feed.unusable.iter().map(|one| one.samples).sum();
        assert_eq!((count, feed.unusable[0].cause), (120, Cause::Unreadable));
    }
}

#[test]
fn times_in_another_unit_are_refused_by_its_name_and_by_service() {
    for (cause, factor) in [(Cause::Seconds, 1e-3), (Cause::Microseconds, 1e3), (Cause::Nanoseconds, 1e6)] {
        let mut feed = Feed::new(10_000);
        for _ in 0..60 {
            feed.rounds(1, |_, noise| healthy("catalog", 60.0, noise));
            let ts = (feed.now_ms as f64 * factor) as i64;
            let sample = format!(r#"{{"service":"robot","metric":"cpu_percent","value":20,"ts_ms":{ts}}}"#);
            feed.record(&sample, Some(feed.now_ms));
        }
        assert_eq!((feed.used, feed.refused.len()), (180, 60));
        assert!(feed.refused.iter().all(|reason| reason.contains(cause.as_str())), "{}", feed.refused[0]);
        assert!(feed.unusable.iter().all(|one| &*one.service == "robot" && one.cause == cause));
        assert_eq!(feed.fired(), [("robot", "unusable_samples")], "{}", feed.lines());
        let told = feed.of("unusable_samples");
        assert!(told[1].explanation.contains(cause.as_str()), "{}", told[1].explanation);
    }
}

#[test]
fn whole_milliseconds_are_taken_however_they_are_written() {
    let mut feed = Feed::new(10_000);
    for i in 0..40_i64 {
        let ts = START_MS + i * 10_000;
        let time = match i % 3 {
            0 => format!("{ts}.0"),
            1 => format!("{ts}.000"),
            _ => format!("{}e4", ts / 10_000),
        };
        feed.record(&format!(r#"{{"service":"a","metric":"m","value":1,"ts_ms":{time}}}"#), Some(ts));
    }
    assert_eq!((feed.used, feed.refused.len()), (40, 0), "{:?}", feed.refused);
}

#[test]
fn a_clock_that_is_far_ahead_is_named_and_its_service_is_not_silent() {
    let mut feed = Feed::new(10_000);
    for round in 0..200 {
        feed.rounds(1, |_, noise| healthy("catalog", 60.0, noise));
        let ahead_ms = if round < 100 { 0 } else { 3_600_000 };
        let (ts, now) = (feed.now_ms + ahead_ms, feed.now_ms);
        feed.record(&format!(r#"{{"service":"edge","metric":"m","value":1,"ts_ms":{ts}}}"#), Some(now));
    }
    assert_eq!(feed.fired(), [("edge", "unusable_samples")], "{}", feed.lines());
}

#[test]
fn a_clock_that_is_ahead_is_said_and_makes_no_effect_before_its_cause() {
    for ahead_ms in [240_000, 45_000] {
        let mut feed = Feed::new(10_000);
        for round in 0..300 {
            let is_bad = (200..230).contains(&round);
            let errors = |bad: f64, feed: &mut Feed| if is_bad { bad } else { 0.5 + 0.1 * feed.noise.draw() };
            let now = feed.now_ms;
            for (service, ahead, bad) in [("payment", ahead_ms, 40.0), ("order", 0, 25.0)] {
                let value = errors(bad, &mut feed);
                let ts = now + ahead;
                let sample = format!(
                    r#"{{"service":"{service}","metric":"error_rate","unit":"%","value":{value},"ts_ms":{ts}}}"#
                );
                feed.record(&sample, Some(now));
            }
            feed.now_ms += feed.every_ms;
        }
        assert_eq!(feed.fired(), [("order", "error_rate"), ("payment", "error_rate")], "{}", feed.lines());
        let began = |service: &str| {
            let first = feed.told.iter().find(|one| one.service == service && one.status == Status::Firing);
            first.unwrap().started_at.as_millisecond()
        };
        assert!((began("payment") - began("order")).abs() <= 10_000, "{}", feed.lines());
        for one in &feed.told {
            assert_eq!(one.explanation.contains("clock of payment"), one.service == "payment");
            assert!(one.observed_at.as_millisecond() <= feed.now_ms);
        }
    }
}
