//! Each anomaly that clears states why.

use std::collections::BTreeMap;

use detection::{At, Settings};
use shared::events::anomaly::{Anomaly, Ended, Status};

use crate::feed::{Feed, row};

/// Latency of `payment` beside another service, so that time passes when `payment` reports nothing.
fn latency(feed: &mut Feed, rounds: i64, level: f64) {
    feed.rounds(rounds, |_, noise| {
        vec![
            row("payment", "latency_p99_ms", level + 9.0 * noise.draw()).in_unit("ms"),
            row("order", "queue_depth", 100.0 + noise.draw()),
        ]
    });
}

/// Returns the last revision of the latency of `payment`.
fn last(feed: &Feed) -> &Anomaly {
    feed.of("latency_p99_ms").pop().expect("latency is abnormal")
}

fn firing(level: f64) -> Feed {
    let mut feed = Feed::new(10_000);
    latency(&mut feed, 200, 240.0);
    latency(&mut feed, 20, level);
    assert_eq!((last(&feed).status, last(&feed).ended), (Status::Firing, None));
    feed
}

#[test]
fn what_is_back_inside_its_band_has_recovered() {
    let mut feed = firing(820.0);
    latency(&mut feed, 20, 240.0);
    assert_eq!((last(&feed).status, last(&feed).ended), (Status::Cleared, Some(Ended::Recovered)));
}

#[test]
fn a_level_that_stays_did_not_recover_and_is_a_new_one() {
    let mut feed = firing(420.0);
    latency(&mut feed, 1_200, 420.0);
    let cleared =
        feed.told.iter().find(|one| one.metric == "latency_p99_ms" && one.status == Status::Cleared);
    let cleared = cleared.expect("the new level is accepted");
    assert_eq!(cleared.ended, Some(Ended::NewLevel));
    insta::assert_snapshot!(cleared.explanation);
}

#[test]
fn the_episodes_of_a_service_end_with_the_day_after_which_it_is_given_up() {
    let mut feed = firing(820.0);
    feed.rounds(8_800, |_, noise| vec![row("order", "queue_depth", 100.0 + noise.draw())]);
    let silence = feed.of("silence").pop().expect("payment is silent");
    assert_eq!((silence.status, silence.ended), (Status::Cleared, Some(Ended::SourceGone)));
    assert_eq!((last(&feed).status, last(&feed).ended), (Status::Cleared, Some(Ended::SourceGone)));
    insta::assert_snapshot!(format!("{}\n{}", silence.explanation, last(&feed).explanation));
}

#[test]
fn the_episodes_of_a_service_end_with_its_retirement() {
    let mut feed = firing(820.0);
    let at = At { offset: 1_000_000, timestamp_ms: Some(feed.now_ms) };
    let ts_ms = feed.now_ms;
    let retired =
        format!(r#"{{"service":"payment","version":"1.0","change_type":"retire","ts_ms":{ts_ms}}}"#);
    let outcome = feed.partition.deployment(retired.as_bytes(), at);
    assert!(outcome.refused.is_none());
    let [end] = &outcome.anomalies[..] else { panic!("{:?}", outcome.anomalies) };
    assert_eq!((end.metric.as_str(), end.status), ("latency_p99_ms", Status::Cleared));
    assert_eq!((end.ended, end.revision), (Some(Ended::Retired), last(&feed).revision + 1));
    insta::assert_snapshot!(end.explanation);
}

/// Samples of a service whose disk is full and whose certificate ends; without these two where they have `stopped`.
fn full_disk(feed: &mut Feed, rounds: i64, stopped: bool) {
    feed.rounds(rounds, |_, noise| {
        let mut rows = vec![row("payment", "queue_depth", 100.0 + noise.draw())];
        if !stopped {
            rows.push(row("payment", "disk_used_percent", 97.0 + 0.1 * noise.draw()).in_unit("%"));
            rows.push(row("payment", "certificate_expiry_days", 10.0).in_unit("d"));
        }
        rows
    });
}

/// Returns how each thing that was reported stands.
fn statuses(feed: &Feed) -> BTreeMap<&str, (Status, Option<Ended>)> {
    feed.told.iter().map(|one| (one.metric.as_str(), (one.status, one.ended))).collect()
}

#[test]
fn what_is_reported_of_a_series_ends_when_it_stops_while_its_service_goes_on() {
    let mut feed = Feed::new(10_000);
    full_disk(&mut feed, 100, false);
    let firing = (Status::Firing, None);
    let both = ["certificate_expiry_days", "disk_used_percent:objective"];
    assert_eq!(statuses(&feed), BTreeMap::from(both.map(|metric| (metric, firing))));
    full_disk(&mut feed, 59, true);
    assert_eq!(
        statuses(&feed),
        BTreeMap::from(both.map(|metric| (metric, firing))),
        "ten minutes are not over"
    );
    full_disk(&mut feed, 12, true);
    let gone = (Status::Cleared, Some(Ended::SourceGone));
    assert_eq!(statuses(&feed), BTreeMap::from(both.map(|metric| (metric, gone))));
    let sentences: Vec<&str> = both.map(|metric| feed.of(metric).pop().unwrap().explanation.as_str()).into();
    insta::assert_snapshot!(sentences.join("\n"));
    full_disk(&mut feed, 3, false);
    assert_eq!(statuses(&feed), BTreeMap::from(both.map(|metric| (metric, firing))), "it is full still");
}

#[test]
fn a_pause_of_the_whole_service_ends_nothing() {
    let mut feed = Feed::new(10_000);
    full_disk(&mut feed, 100, false);
    feed.now_ms += 7_200_000;
    // what comes first after the pause must not make the others look gone
    full_disk(&mut feed, 40, true);
    let firing = |feed: &Feed| statuses(feed).values().all(|(status, _)| *status == Status::Firing);
    assert!(firing(&feed));
    full_disk(&mut feed, 40, false);
    assert!(firing(&feed));
}

#[test]
fn a_series_that_a_limit_ends_is_not_said_to_have_recovered() {
    let settings = Settings { max_series: 2, partitions: 1, ..Settings::default() };
    let mut feed = Feed::with(settings, 10_000);
    latency(&mut feed, 200, 240.0);
    latency(&mut feed, 20, 820.0);
    // payment is dead, and other series need its room
    feed.rounds(120, |_, noise| vec![row("order", "queue_depth", 100.0 + noise.draw())]);
    feed.rounds(70, |_, noise| vec![row("order", "other", 100.0 + noise.draw())]);
    assert_eq!((last(&feed).status, last(&feed).ended), (Status::Cleared, Some(Ended::Forced)));
}
