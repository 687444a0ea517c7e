//! Metrics that every agent has: of its bus, its store and the runtime of its stage.

use std::sync::LazyLock;

use jiff::Timestamp;

use super::{Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily};

/// Upper bounds for one decision with its transaction: 1 ms where all is warm, 45 s is the decision deadline.
const HANDLE_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 45.0];

/// Upper bounds for the age of an event when it is handled, seconds: 100 ms where all is warm, an hour after an outage.
const AGE_SECONDS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];

/// Classes of errors, as `error::Class` names them.
pub(crate) const CLASSES: [&str; 4] = ["unavailable", "retry", "reject", "fatal"];

/// 1 with the version of the build.
pub static BUILD_INFO: Gauge<1> =
    LazyLock::new(|| GaugeFamily::new("firewatch_build_info", "Version of this build.", ["version"]));
/// When this process started.
pub static START_TIME_SECONDS: Gauge<0> = LazyLock::new(|| {
    let help = "Time at which this process started, seconds since the Unix epoch.";
    GaugeFamily::new("firewatch_start_time_seconds", help, [])
});
/// Difference between the clock of a dependency and ours.
pub static CLOCK_SKEW_SECONDS: Gauge<1> = LazyLock::new(|| {
    let help = "By how much the clock of a dependency is ahead of this process's, seconds; negative: behind.";
    GaugeFamily::new("firewatch_clock_skew_seconds", help, ["dependency"])
});
/// 1 while a dependency answers, 0 while it does not.
pub static DEPENDENCY_UP: Gauge<1> = LazyLock::new(|| {
    GaugeFamily::new("firewatch_dependency_up", "Whether a dependency answers.", ["dependency"])
});
/// Events that were read and need no further work.
pub static EVENTS: Counter<2> = LazyLock::new(|| {
    let help = "Events that are done with, by outcome: handled, duplicate, or why they were refused.";
    CounterFamily::new("firewatch_events_total", help, ["stage", "outcome"])
});
/// Time of one decision with its transaction.
pub static HANDLE_SECONDS_OF_EVENT: Histogram<1> = LazyLock::new(|| {
    let help = "Time to decide about one event and to commit what follows, seconds.";
    HistogramFamily::new("firewatch_handle_seconds", help, ["stage"], &HANDLE_SECONDS)
});
/// Age of an event when it was handled.
pub static EVENT_AGE_SECONDS: Histogram<1> = LazyLock::new(|| {
    let help = "Time from when a record was written until it was handled, seconds; of detection one a batch.";
    HistogramFamily::new("firewatch_event_age_seconds", help, ["stage"], &AGE_SECONDS)
});
/// Failed decisions.
pub static FAILURES: Counter<2> = LazyLock::new(|| {
    CounterFamily::new(
        "firewatch_failures_total",
        "Failed decisions, by class of the error.",
        ["stage", "class"],
    )
});
/// Decisions that lost against another replica.
pub static CONFLICTS: Counter<1> = LazyLock::new(|| {
    let help = "Decisions that were made again because another replica had committed first.";
    CounterFamily::new("firewatch_conflicts_total", help, ["stage"])
});
/// Timers that fired.
pub static TIMERS: Counter<2> = LazyLock::new(|| {
    let help = "Timers, by outcome: handled, again, failed, taken_over.";
    CounterFamily::new("firewatch_timers_total", help, ["stage", "outcome"])
});
/// Lateness of the timer that has been due for longest.
pub static TIMER_LATE_SECONDS: Gauge<1> = LazyLock::new(|| {
    let help = "By how much the timer that has been due for longest is late, seconds; 0 where none is due.";
    GaugeFamily::new("firewatch_timer_late_seconds", help, ["stage"])
});
/// Dead letters.
pub static DEAD_LETTERS: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_dead_letters_total", "Records sent to the dead-letter topic.", ["stage"])
});
/// Outbox rows that were published.
pub static OUTBOX_PUBLISHED: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_outbox_published_total", "Outbox rows published.", ["stage"])
});
/// Outbox rows that another process had written.
pub static OUTBOX_TAKEN_OVER: Counter<1> = LazyLock::new(|| {
    let help = "Outbox rows published that another process had written.";
    CounterFamily::new("firewatch_outbox_taken_over_total", help, ["stage"])
});
/// Outbox rows that cannot be read.
pub static OUTBOX_REJECTED: Counter<1> = LazyLock::new(|| {
    let help = "Outbox rows set aside because they cannot be read.";
    CounterFamily::new("firewatch_outbox_rejected_total", help, ["stage"])
});
/// Outbox rows that wait.
pub static OUTBOX_DEPTH: Gauge<1> = LazyLock::new(|| {
    GaugeFamily::new("firewatch_outbox_depth", "Outbox rows that wait to be published.", ["stage"])
});
/// Age of the oldest outbox row that waits.
pub static OUTBOX_AGE_SECONDS: Gauge<1> = LazyLock::new(|| {
    let help = "Age of the oldest outbox row that waits to be published, seconds; 0 where none waits.";
    GaugeFamily::new("firewatch_outbox_age_seconds", help, ["stage"])
});
/// Partitions of this replica.
pub static ASSIGNED_PARTITIONS: Gauge<1> = LazyLock::new(|| {
    GaugeFamily::new("firewatch_assigned_partitions", "Partitions assigned to this replica.", ["stage"])
});
/// Records in work.
pub static IN_FLIGHT: Gauge<1> = LazyLock::new(|| {
    GaugeFamily::new("firewatch_in_flight", "Records that were read and are not done with.", ["stage"])
});
/// Records that the group has yet to read.
pub static CONSUMER_LAG: Gauge<2> = LazyLock::new(|| {
    let help = "Records of the assigned partitions that are not done with.";
    GaugeFamily::new("firewatch_consumer_lag", help, ["stage", "topic"])
});
/// Seconds for which nothing was handled although records wait.
pub static STALLED_SECONDS: Gauge<2> = LazyLock::new(|| {
    let help =
        "Time for which records have waited and none was handled, seconds; 0 below kafka.stall_after_s.";
    GaugeFamily::new("firewatch_stalled_seconds", help, ["stage", "topic"])
});
/// Records that were removed before they were read.
pub static RECORDS_LOST: Counter<2> = LazyLock::new(|| {
    let help = "Offsets that a topic no longer held when they were to be read; an upper bound of records.";
    CounterFamily::new("firewatch_records_lost_total", help, ["stage", "topic"])
});
/// Partitions whose log began anew.
pub static LOGS_BEGUN_ANEW: Counter<2> = LazyLock::new(|| {
    let help = "Partitions whose offsets went back: the topic was made again or has lost its end.";
    CounterFamily::new("firewatch_logs_begun_anew_total", help, ["stage", "topic"])
});
/// Records without a key, of topics whose key is the service.
pub static UNKEYED: Counter<2> = LazyLock::new(|| {
    let help = "Records without a key, of topics that are keyed by service.";
    CounterFamily::new("firewatch_unkeyed_total", help, ["stage", "topic"])
});
/// Failures after which a partitioned stage began again.
pub static RESTARTS: Counter<1> = LazyLock::new(|| {
    let help = "Failures after which a stage began again from its last snapshot.";
    CounterFamily::new("firewatch_stage_restarts_total", help, ["stage"])
});
/// Revoked partitions whose work in flight was finished.
pub static DRAINS: Counter<1> = LazyLock::new(|| {
    let help = "Drains of revoked partitions, by whether the work in flight was finished in time.";
    CounterFamily::new("firewatch_bus_drains_total", help, ["in_time"])
});
/// Snapshots of detection's state.
pub static SNAPSHOTS: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_snapshots_total", "Snapshots of a partition's state.", ["stage"])
});
/// For how long records have not been in a snapshot.
pub static UNSAVED_SECONDS: Gauge<1> = LazyLock::new(|| {
    let help = "Time since the first record that no snapshot reflects, of the partition where that is longest, seconds.";
    GaugeFamily::new("firewatch_snapshot_unsaved_seconds", help, ["stage"])
});
/// Bytes of snapshots.
pub static SNAPSHOT_BYTES: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_snapshot_bytes_total", "Bytes of snapshots, compressed.", ["stage"])
});
/// Stored rows that do not parse.
pub static UNREADABLE_ROWS: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_unreadable_rows_total", "Stored rows that cannot be read.", ["table"])
});
/// Rows of the service graph that were not stored or removed, because their number is bounded.
pub static GRAPH_ROWS_DROPPED: Counter<1> = LazyLock::new(|| {
    let help =
        "Rows of the service graph that were not stored or were removed because their number is bounded.";
    CounterFamily::new("firewatch_graph_rows_dropped_total", help, ["reason"])
});
/// Rows that were removed after their age.
pub static RETENTION_REMOVED_ROWS: Counter<1> = LazyLock::new(|| {
    let help = "Rows that were removed after their age.";
    CounterFamily::new("firewatch_retention_removed_rows_total", help, ["table"])
});
/// Turns that could not remove what is old.
pub static RETENTION_FAILURES: Counter<1> = LazyLock::new(|| {
    let help = "Turns that could not remove what is old.";
    CounterFamily::new("firewatch_retention_failures_total", help, ["stage"])
});
/// Age of the oldest row of a table.
pub static RETENTION_OLDEST_SECONDS: Gauge<1> = LazyLock::new(|| {
    let help =
        "Age of the oldest row of a table at the last turn of this process, seconds; 0 where it has none.";
    GaugeFamily::new("firewatch_retention_oldest_seconds", help, ["table"])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    for counter in [&CONFLICTS, &DEAD_LETTERS, &OUTBOX_PUBLISHED, &OUTBOX_TAKEN_OVER, &OUTBOX_REJECTED] {
        LazyLock::force(counter);
    }
    for counter in [&DRAINS, &SNAPSHOTS, &SNAPSHOT_BYTES, &UNREADABLE_ROWS] {
        LazyLock::force(counter);
    }
    LazyLock::force(&RESTARTS);
    LazyLock::force(&GRAPH_ROWS_DROPPED);
    for counter in [&RECORDS_LOST, &LOGS_BEGUN_ANEW, &UNKEYED] {
        LazyLock::force(counter);
    }
    LazyLock::force(&STALLED_SECONDS);
    for counter in [&EVENTS, &FAILURES, &TIMERS] {
        LazyLock::force(counter);
    }
    for gauge in [&BUILD_INFO, &DEPENDENCY_UP, &OUTBOX_DEPTH, &ASSIGNED_PARTITIONS, &IN_FLIGHT] {
        LazyLock::force(gauge);
    }
    for gauge in [&CLOCK_SKEW_SECONDS, &OUTBOX_AGE_SECONDS, &TIMER_LATE_SECONDS, &UNSAVED_SECONDS] {
        LazyLock::force(gauge);
    }
    LazyLock::force(&RETENTION_REMOVED_ROWS);
    LazyLock::force(&RETENTION_FAILURES);
    LazyLock::force(&RETENTION_OLDEST_SECONDS);
    LazyLock::force(&START_TIME_SECONDS);
    LazyLock::force(&CONSUMER_LAG);
    LazyLock::force(&HANDLE_SECONDS_OF_EVENT);
    LazyLock::force(&EVENT_AGE_SECONDS);
}

/// Counts from zero what alerts watch of a stage: the first increase of a counter that was not there before is not seen by
/// `increase` and `rate`.
pub fn begin<'t>(stage: &str, topics: impl Iterator<Item = &'t str>) {
    for counter in [&DEAD_LETTERS, &OUTBOX_REJECTED, &RESTARTS, &RETENTION_FAILURES] {
        counter.add([stage], 0);
    }
    for outcome in ["handled", "duplicate"] {
        EVENTS.add([stage, outcome], 0);
    }
    for class in CLASSES {
        FAILURES.add([stage, class], 0);
    }
    for outcome in ["handled", "again", "failed"] {
        TIMERS.add([stage, outcome], 0);
    }
    for topic in topics {
        for counter in [&RECORDS_LOST, &LOGS_BEGUN_ANEW, &UNKEYED] {
            counter.add([stage, topic], 0);
        }
    }
}

/// Counts the age of a record that is handled `now`. One that was written by a clock that is ahead has no age.
pub fn observe_age(stage: &str, written_ms: Option<i64>, now: Timestamp) {
    let Some(written_ms) = written_ms else { return };
    let age_ms = now.as_millisecond().saturating_sub(written_ms).max(0);
    EVENT_AGE_SECONDS.observe([stage], age_ms as f64 / 1_000.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::render;

    #[test]
    fn what_alerts_watch_is_there_before_it_is_first_counted() {
        begin("beginning", ["raw.logs"].into_iter());
        let shown = render();
        for line in [
            r#"firewatch_dead_letters_total{stage="beginning"} 0"#,
            r#"firewatch_failures_total{class="retry",stage="beginning"} 0"#,
            r#"firewatch_timers_total{outcome="failed",stage="beginning"} 0"#,
            r#"firewatch_records_lost_total{stage="beginning",topic="raw.logs"} 0"#,
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
    }

    #[test]
    fn a_record_of_a_clock_that_is_ahead_has_no_age() {
        let now = Timestamp::from_millisecond(3_500).unwrap();
        observe_age("ages", Some(1_000), now);
        observe_age("ages", Some(9_000), now);
        observe_age("ages", None, now);
        let shown = render();
        assert!(shown.contains(r#"firewatch_event_age_seconds_sum{stage="ages"} 2.5"#), "{shown}");
        assert!(shown.contains(r#"firewatch_event_age_seconds_count{stage="ages"} 2"#), "{shown}");
        // the objective of freshness counts by this bucket
        let in_time = r#"firewatch_event_age_seconds_bucket{stage="ages",le="30"} 2"#;
        assert!(shown.contains(in_time), "{shown}");
    }
}
