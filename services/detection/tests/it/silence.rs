//! Sources that fall silent are missed, and nobody else.

use std::sync::Arc;

use detection::{At, Partition, Settings};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{Kind, Severity};

use crate::shop::START_MS;

/// A partition that is told who reports when.
struct Ward {
    partition: Partition,
    offset: i64,
    anomalies: Vec<Anomaly>,
}

impl Ward {
    fn new() -> Self {
        Self { partition: Partition::new(0, Arc::new(Settings::default())), offset: 0, anomalies: Vec::new() }
    }

    fn record(&mut self, payload: &str, record_s: i64) {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms: Some(START_MS + record_s * 1000) };
        let outcome = self.partition.metrics(payload.as_bytes(), at);
        assert!(outcome.refused.is_none());
        crate::words::check(&outcome.anomalies);
        self.anomalies.extend(outcome.anomalies.into_iter().filter(|one| one.kind == Kind::Silence));
    }

    fn hear(&mut self, service: &str, ts_s: i64, record_s: i64) {
        let ts_ms = START_MS + ts_s * 1000;
        let sample = format!(r#"{{"service":"{service}","metric":"m","value":1,"ts_ms":{ts_ms}}}"#);
        self.record(&sample, record_s);
    }

    /// Lets services report every ten seconds.
    fn report(&mut self, services: &[&str], from_s: i64, until_s: i64) {
        for at in (from_s..until_s).step_by(10) {
            for service in services {
                self.hear(service, at, at);
            }
        }
    }

    /// Lets time pass as the runtime does: with ticks, as patience asks for them.
    fn wait(&mut self, from_s: i64, until_s: i64) {
        let mut at = from_s;
        while let Some(patience_ms) = self.partition.patience_ms() {
            at += (patience_ms + 999).div_euclid(1000).max(5);
            if at >= until_s {
                return;
            }
            self.record("[]", at);
        }
    }

    /// Returns who was told what, and after how many seconds without a sample of it.
    fn told(&self) -> Vec<(&str, Status, i64)> {
        let seconds = |one: &Anomaly| (one.observed_at - one.started_at).get_seconds();
        self.anomalies.iter().map(|one| (&*one.service, one.status, seconds(one))).collect()
    }
}

#[test]
fn one_of_three_services_that_stops_is_missed_and_heard_again() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c"], 0, 600);
    ward.report(&["a", "c"], 600, 900);
    assert_eq!(ward.told(), [("b", Status::Suspect, 70), ("b", Status::Firing, 130)]);
    let firing = ward.anomalies[1].clone();
    assert_eq!((firing.severity, &*firing.metric), (Severity::Sev2, "silence"));
    insta::assert_snapshot!(firing.explanation);
    ward.report(&["a", "b", "c"], 900, 1500);
    assert_eq!(ward.told()[2..], [("b", Status::Cleared, 340)]);
    assert!(ward.anomalies.iter().all(|one| one.anomaly_id == firing.anomaly_id));
    // the same a minute later
    ward.report(&["a", "c"], 1500, 1800);
    assert_eq!(ward.told()[3..], [("b", Status::Suspect, 70), ("b", Status::Firing, 130)]);
}

#[test]
fn a_lone_service_is_missed_by_ticks_that_nobody_needs_while_it_reports() {
    let mut ward = Ward::new();
    ward.report(&["a"], 0, 600);
    assert!(ward.partition.patience_ms() > Some(10_000), "no ticks between two samples");
    ward.wait(590, 800);
    let told = ward.told();
    assert_eq!([told[0].1, told[1].1], [Status::Suspect, Status::Firing], "{told:?}");
    assert!(told[0].2 <= 80 && told[1].2 <= 160, "{told:?}");
    assert!(ward.offset < 60 + 10, "{} ticks", ward.offset - 60);
}

#[test]
fn a_clock_that_is_ahead_makes_nobody_look_silent() {
    let mut ward = Ward::new();
    ward.report(&["a", "b"], 0, 600);
    for at in (600..1800).step_by(10) {
        ward.report(&["a", "b"], at, at + 10);
        ward.hear("fast", at + 290, at);
    }
    // one wild sample of a
    ward.hear("a", 1790 + 299, 1795);
    ward.report(&["a", "b", "fast"], 1800, 1900);
    assert_eq!(ward.told(), []);
}

#[test]
fn the_end_of_an_outage_of_everything_is_no_silence_of_those_who_come_back_last() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c", "d"], 0, 600);
    ward.hear("a", 7800, 7800);
    ward.hear("b", 7800, 7801);
    ward.hear("a", 7810, 7810);
    ward.report(&["a", "b", "c", "d"], 7820, 8400);
    assert_eq!(ward.told(), []);
    // and what then stops is missed, though a little later: the outage was a pause for all
    ward.report(&["a", "b", "d"], 8400, 8700);
    assert_eq!(ward.told().len(), 2);
}

#[test]
fn pauses_that_are_usual_for_a_source_are_forgiven() {
    let mut ward = Ward::new();
    let mut at = 0;
    for round in 0..40 {
        // five reports, and then nothing for five to nine minutes
        ward.report(&["cron", "a"], at, at + 50);
        let pause = 300 + 60 * (round % 5);
        ward.report(&["a"], at + 50, at + pause);
        at += pause;
    }
    assert_eq!(ward.told(), []);
    // seen too seldom to be judged
    ward.report(&["new"], at, at + 150);
    ward.report(&["a"], at, at + 900);
    assert!(ward.told().iter().all(|told| told.0 != "new"), "{:?}", ward.told());
}

#[test]
fn a_nightly_job_is_missed_three_times_and_then_known() {
    let mut ward = Ward::new();
    let mut fired = Vec::new();
    for night in 0..8 {
        let start = night * 86_400;
        ward.report(&["job", "a"], start, start + 3600);
        for at in (start + 3600..start + 86_400).step_by(10) {
            ward.hear("a", at, at);
        }
        fired.push(ward.told().iter().filter(|told| told.1 == Status::Firing).count());
    }
    assert_eq!(fired, [1, 2, 3, 3, 3, 3, 3, 3]);
}

#[test]
fn sources_that_are_read_one_after_another_are_not_judged_by_each_other() {
    let mut ward = Ward::new();
    for (index, service) in ["first", "second", "third", "first", "fourth"].into_iter().enumerate() {
        for i in 0..3000 {
            ward.hear(service, index as i64 * 400_000 + i * 300, 0);
        }
    }
    assert_eq!(ward.told(), []);
}

#[test]
fn a_source_that_is_gone_for_good_is_given_up_after_a_day() {
    let mut ward = Ward::new();
    ward.report(&["a", "b"], 0, 600);
    ward.report(&["a"], 600, 87_000);
    ward.report(&["a"], 87_000, 90_000);
    assert_eq!(ward.told().len(), 3);
    let last = ward.anomalies.last().unwrap();
    assert_eq!(last.status, Status::Cleared);
    insta::assert_snapshot!(last.explanation);
    // it begins anew if it comes back
    ward.report(&["a", "b"], 90_000, 90_600);
    ward.report(&["a"], 90_600, 90_800);
    assert_eq!(ward.told()[3..], [("b", Status::Suspect, 70), ("b", Status::Firing, 130)]);
}

#[test]
fn one_series_that_stops_is_no_silence_of_its_service() {
    let mut ward = Ward::new();
    ward.report(&["a", "b"], 0, 600);
    for at in (600..1200).step_by(10) {
        let ts_ms = START_MS + at * 1000;
        ward.record(&format!(r#"{{"service":"a","metric":"other","value":1,"ts_ms":{ts_ms}}}"#), at);
        ward.hear("b", at, at);
    }
    assert_eq!(ward.told(), []);
}

impl Ward {
    fn retire(&mut self, service: &str, ts_s: i64, record_s: i64) {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms: Some(START_MS + record_s * 1000) };
        let ts_ms = START_MS + ts_s * 1000;
        let change =
            format!(r#"{{"service":"{service}","version":"1.0","change_type":"retire","ts_ms":{ts_ms}}}"#);
        let outcome = self.partition.deployment(change.as_bytes(), at);
        assert!(outcome.refused.is_none());
        self.anomalies.extend(outcome.anomalies);
    }
}

#[test]
fn a_retired_service_is_not_missed_until_it_has_reported_again_for_a_while() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c"], 0, 600);
    ward.retire("b", 590, 600);
    ward.report(&["a", "c"], 600, 4000);
    assert_eq!(ward.told(), []);
    ward.report(&["a", "b", "c"], 4000, 5000);
    ward.report(&["a", "c"], 5000, 5400);
    assert_eq!(ward.told().len(), 2, "in operation again, it is watched again: {:?}", ward.told());
}

#[test]
fn a_retirement_ends_the_silence_that_was_found_before_it() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c"], 0, 600);
    ward.report(&["a", "c"], 600, 900);
    assert_eq!(ward.anomalies.last().unwrap().status, Status::Firing);
    ward.retire("b", 880, 900);
    let cleared = ward.anomalies.last().unwrap().clone();
    assert_eq!((cleared.status, &*cleared.service), (Status::Cleared, "b"));
    ward.report(&["a", "c"], 900, 2000);
    assert_eq!(ward.anomalies.last(), Some(&cleared));
}

#[test]
fn the_order_in_which_the_topics_are_read_does_not_matter_to_a_retirement() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c"], 0, 300);
    // samples from before the retirement are read after it, and then no more
    ward.retire("b", 590, 300);
    ward.report(&["a", "b", "c"], 300, 600);
    ward.report(&["a", "c"], 600, 2000);
    assert_eq!(ward.told(), []);
}

#[test]
fn a_retirement_that_is_read_late_does_not_stop_the_watch_over_a_service_in_operation() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c"], 0, 600);
    ward.retire("b", 300, 600);
    ward.report(&["a", "c"], 600, 900);
    assert_eq!(ward.told().len(), 2);
}

#[test]
fn everything_may_be_retired_at_once() {
    let mut ward = Ward::new();
    ward.report(&["a", "b", "c"], 0, 600);
    for service in ["a", "b", "c"] {
        ward.retire(service, 590, 600);
    }
    assert_eq!(ward.partition.patience_ms(), None, "no ticks are needed");
    ward.wait(600, 4000);
    assert_eq!(ward.told(), []);
}
