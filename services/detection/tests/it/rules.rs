//! What rules find beyond a series' own normal, and what they leave alone.

use std::f64::consts::TAU;
use std::sync::Arc;

use detection::{At, Partition, Settings};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{Kind, Severity};

use crate::shop::{Noise, START_MS, Source};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// One service, restored from its own snapshot now and then.
struct Watched {
    partition: Partition,
    source: Source,
    at_ms: i64,
    offset: i64,
    told: Vec<Anomaly>,
}

impl Watched {
    fn new() -> Self {
        let partition = Partition::new(0, Arc::new(Settings::default()));
        let source = Source::new(Noise::Sluggish(0.5), 11);
        Self { partition, source, at_ms: START_MS, offset: 0, told: Vec::new() }
    }

    /// Takes a sample every `every_ms` for `lasts_ms`; `value` is told the time since the begin, in hours.
    fn watch(&mut self, metric: &str, every_ms: i64, lasts_ms: i64, mut value: impl FnMut(f64, f64) -> f64) {
        let begin_ms = self.at_ms;
        while self.at_ms < begin_ms + lasts_ms {
            self.at_ms += every_ms;
            let value = value((self.at_ms - begin_ms) as f64 / HOUR_MS as f64, self.source.draw());
            self.take(metric, value);
        }
    }

    fn take(&mut self, metric: &str, value: f64) {
        let ts_ms = self.at_ms;
        let sample =
            format!(r#"{{"service":"payment","metric":"{metric}","value":{value},"ts_ms":{ts_ms}}}"#);
        self.offset += 1;
        let outcome =
            self.partition.metrics(sample.as_bytes(), At { offset: self.offset, timestamp_ms: Some(ts_ms) });
        assert_eq!((outcome.used, outcome.refused.is_none()), (1, true));
        crate::words::check(&outcome.anomalies);
        self.told.extend(outcome.anomalies);
    }

    fn restart(&mut self) {
        let snapshot = self.partition.snapshot();
        let records = snapshot.records.iter().map(|record| (record.key.as_str(), record.value.as_slice()));
        let restored = Partition::restore(0, Arc::new(Settings::default()), records);
        assert!(restored.refused.is_empty(), "{:?}", restored.refused);
        self.partition = restored.partition;
    }

    fn of(&self, metric: &str) -> Vec<&Anomaly> {
        self.told.iter().filter(|anomaly| anomaly.metric == metric).collect()
    }

    fn firing(&self, metric: &str) -> Vec<&Anomaly> {
        let firing = |anomaly: &&Anomaly| anomaly.metric == metric && anomaly.status == Status::Firing;
        self.told.iter().filter(firing).collect()
    }

    fn last(&self, metric: &str) -> &Anomaly {
        self.of(metric).pop().unwrap_or_else(|| panic!("nothing was told of {metric}"))
    }
}

#[test]
fn a_full_disk_is_foretold_hours_before_at_each_cadence() {
    for every_ms in [10_000, 60_000, 300_000] {
        let mut watch = Watched::new();
        watch.watch("disk_used_percent", every_ms, 6 * HOUR_MS, |_, noise| 65.0 + 0.2 * noise);
        watch.watch("disk_used_percent", every_ms, 5 * HOUR_MS, |hours, noise| {
            65.0 + 6.0 * hours + 0.2 * noise
        });
        let firing = watch.firing("disk_used_percent:time_to_full");
        let first = firing.first().unwrap_or_else(|| panic!("{every_ms}: {:#?}", watch.told));
        let full_ms = START_MS + 6 * HOUR_MS + (35.0 / 6.0 * HOUR_MS as f64) as i64;
        let hours = (full_ms - first.observed_at.as_millisecond()) as f64 / HOUR_MS as f64;
        assert!((3.2..4.8).contains(&hours), "{every_ms}: {hours} h before: {}", first.explanation);
        assert_eq!((first.kind, first.severity), (Kind::Disk, Severity::Sev3));
        assert_eq!(
            watch.last("disk_used_percent:time_to_full").severity,
            Severity::Sev2,
            "under an hour now"
        );
        assert!((15..=30).contains(&first.context.samples.len()), "the chart shows how it went");
        insta::assert_snapshot!(first.explanation);

        watch.watch("disk_used_percent", every_ms, 3 * HOUR_MS, |_, noise| 60.0 + 0.2 * noise);
        assert_eq!(watch.last("disk_used_percent:time_to_full").status, Status::Cleared, "room was made");
    }
}

#[test]
fn what_runs_out_is_foretold_as_well_and_also_the_second_time() {
    let metric = "node_filesystem_avail_bytes";
    let derived = "node_filesystem_avail_bytes:time_to_full";
    let mut watch = Watched::new();
    for times in 1..=2 {
        watch.watch(metric, 60_000, 8 * HOUR_MS, |_, noise| 9e11 + 2e9 * noise);
        watch.watch(metric, 60_000, 8 * HOUR_MS, |hours, noise| 9e11 - 1e11 * hours + 2e9 * noise);
        let mut ids: Vec<_> = watch.firing(derived).iter().map(|anomaly| anomaly.anomaly_id).collect();
        ids.dedup();
        assert_eq!(ids.len(), times, "one alert each time");
    }
    let last = watch.last(derived);
    insta::assert_snapshot!(last.explanation);
}

#[test]
fn a_leak_beyond_the_days_reach_is_foretold_and_the_days_breath_is_not() {
    let mut watch = Watched::new();
    let breath = |hours: f64, noise: f64| 60.0 + 20.0 * (TAU * hours / 24.0).sin() + 0.8 * noise;
    watch.watch("memory_percent", 60_000, 4 * DAY_MS, breath);
    assert_eq!(watch.of("memory_percent:time_to_full"), [] as [&Anomaly; 0]);
    watch.watch("memory_percent", 60_000, 7 * HOUR_MS, |hours, noise| breath(hours, noise) + 3.0 * hours);
    let firing = watch.firing("memory_percent:time_to_full");
    assert!(firing[0].observed < 96.0, "{}", firing[0].explanation);
}

#[test]
fn sawtooths_are_left_alone() {
    // a log that is rotated each hour, a heap that is collected every 9 min, and compactions every 5 h
    for (metric, hours, low, swing) in [
        ("disk_used_percent", 1.0, 55.0, 25.0),
        ("heap_used_percent", 0.15, 30.0, 60.0),
        ("disk_used_percent", 5.0, 50.0, 38.0),
    ] {
        for every_ms in [10_000, 60_000] {
            let mut watch = Watched::new();
            let (mut round, mut peak) = (0.0, 1.0);
            let sawtooth = |at: f64, noise: f64| {
                if (at / hours).floor() > round {
                    (round, peak) = ((at / hours).floor(), 1.0 + 0.03 * noise);
                }
                low + swing * peak * (at / hours).fract() + 0.3 * noise
            };
            let derived = format!("{metric}:time_to_full");
            watch.watch(metric, every_ms, 2 * DAY_MS, sawtooth);
            // the first few rounds are new to it
            let settled_ms = START_MS + (4.0 * hours * HOUR_MS as f64) as i64;
            let late =
                watch.firing(&derived).into_iter().find(|one| one.observed_at.as_millisecond() > settled_ms);
            assert!(late.is_none(), "{metric} {hours} h at {every_ms}: {}", late.unwrap().explanation);
        }
    }
}

#[test]
fn noise_and_slow_growth_are_left_alone() {
    for noise in [Noise::Gaussian, Noise::Skewed(0.4), Noise::Bursty, Noise::Sluggish(0.9)] {
        for seed in 0..8 {
            let mut watch = Watched { source: Source::new(noise, seed), ..Watched::new() };
            watch.watch("disk_used_percent", 30_000, 4 * DAY_MS, |hours, noise| 78.0 + 0.02 * hours + noise);
            let firing = watch.firing("disk_used_percent:time_to_full");
            assert!(firing.is_empty(), "{noise:?} seed {seed}: {}", firing[0].explanation);
        }
    }
}

#[test]
fn a_certificate_is_told_from_its_first_sample_and_its_fall_is_no_anomaly() {
    let metric = "probe_ssl_earliest_cert_expiry";
    let mut watch = Watched::new();
    let end_s = (START_MS + 12 * DAY_MS) as f64 / 1000.0;
    watch.take(metric, end_s);
    assert_eq!((watch.told.len(), watch.last(metric).status), (1, Status::Firing));
    assert_eq!((watch.last(metric).kind, watch.last(metric).unit.as_str()), (Kind::Certificate, "d"));
    watch.watch(metric, 5 * MINUTE_MS, 10 * DAY_MS, |_, _| end_s);
    watch.restart();
    watch.watch(metric, 5 * MINUTE_MS, DAY_MS, |_, _| end_s + 90.0 * 86_400.0);
    let told: Vec<_> = watch.told.iter().map(|one| (one.status, one.severity)).collect();
    let expected = [
        (Status::Firing, Severity::Sev3),
        (Status::Firing, Severity::Sev2),
        (Status::Cleared, Severity::Sev2),
    ];
    assert_eq!(told, expected);

    let mut far = Watched::new();
    far.watch("tls_cert_days_remaining", HOUR_MS, 60 * DAY_MS, |hours, _| (95.0 - hours / 24.0).floor());
    assert!(far.told.is_empty(), "{:?}", far.told);
}

#[test]
fn a_crash_loop_is_one_alert_whatever_tells_of_it_and_clears_when_it_stays_up() {
    let metrics =
        ["kube_pod_container_status_restarts_total", "process_uptime_seconds", "http_requests_total"];
    for (metric, every_ms) in metrics.iter().flat_map(|metric| [(*metric, 10_000), (*metric, 60_000)]) {
        let mut watch = Watched::new();
        let healthy = |metric: &str, hours: f64| match metric {
            "process_uptime_seconds" => hours * 3600.0,
            "http_requests_total" => (hours * 360_000.0).round(),
            _ => 4.0,
        };
        watch.watch(metric, every_ms, 2 * HOUR_MS, |hours, _| healthy(metric, hours));
        // it comes up and dies every 6 min
        let life = 0.1;
        watch.watch(metric, every_ms, HOUR_MS, |hours, _| match metric {
            "kube_pod_container_status_restarts_total" => 5.0 + (hours / life).floor(),
            _ => healthy(metric, hours % life),
        });
        watch.restart();
        watch.watch(metric, every_ms, HOUR_MS, |hours, _| match metric {
            "kube_pod_container_status_restarts_total" => 20.0,
            _ => healthy(metric, hours),
        });
        let told: Vec<_> = watch.of("restarts").iter().map(|one| (one.status, one.revision)).collect();
        assert_eq!(told.first(), Some(&(Status::Suspect, 1)), "{metric}");
        assert_eq!(told.last().unwrap().0, Status::Cleared, "{metric}");
        let firing = watch.firing("restarts");
        assert!(firing[0].severity >= Severity::Sev3, "{metric}");
        let minutes = (firing[0].observed_at.as_millisecond() - START_MS - 2 * HOUR_MS) / MINUTE_MS;
        assert!(minutes <= 20, "{metric}: after {minutes} min");
        assert!(watch.told.iter().all(|one| one.anomaly_id == firing[0].anomaly_id), "{metric}: one alert");
    }
}

#[test]
fn one_restart_is_a_suspicion_that_ends() {
    let mut watch = Watched::new();
    watch.watch("process_start_time_seconds", 15_000, HOUR_MS, |_, _| 1.7e9);
    watch.watch("process_start_time_seconds", 15_000, HOUR_MS, |_, _| 1.7e9 + 3600.0);
    let told: Vec<_> = watch.told.iter().map(|one| (one.metric.as_str(), one.status)).collect();
    assert_eq!(told, [("restarts", Status::Suspect), ("restarts", Status::Cleared)]);
}

#[test]
fn a_target_that_is_down_fires_and_buckets_and_limits_are_not_judged() {
    let mut watch = Watched::new();
    watch.watch("up", 15_000, HOUR_MS, |_, _| 1.0);
    watch.watch("up", 15_000, MINUTE_MS, |_, _| 0.0);
    assert_eq!((watch.last("up").status, watch.last("up").severity), (Status::Firing, Severity::Sev1));

    let mut ignored = Watched::new();
    for metric in ["http_request_duration_seconds_bucket", "node_filesystem_size_bytes"] {
        ignored.watch(metric, 15_000, HOUR_MS, |_, _| 1e9);
        ignored.watch(metric, 15_000, HOUR_MS, |_, _| 9e9);
    }
    assert!(ignored.told.is_empty());
}

const POOL: &str = "db_connections_active";
const POOL_FULL: &str = "db_connections_active:time_to_full";

/// A day and a half of a pool of which 100 are usually in use, and from the 26th hour on 15 more an hour. `others` says
/// what else is told in an hour.
fn leak(restarts: bool, others: impl Fn(i64) -> Vec<(&'static str, f64)>) -> Watched {
    let mut watch = Watched::new();
    for hour in 0..36 {
        for minute in 0..60 {
            for (metric, value) in others(hour) {
                watch.take(metric, value);
            }
            let leaked = 15.0 * (hour as f64 - 26.0 + f64::from(minute) / 60.0).max(0.0);
            watch.watch(POOL, MINUTE_MS, MINUTE_MS, |_, noise| 100.0 + leaked + noise);
        }
        if restarts {
            watch.restart();
        }
    }
    watch
}

#[test]
fn a_leak_is_foretold_against_the_limit_that_another_metric_tells() {
    let watch = leak(false, |_| vec![("db_connections_max", 200.0)]);
    let first = watch.firing(POOL_FULL)[0];
    let hours = (first.observed_at.as_millisecond() - START_MS) as f64 / HOUR_MS as f64;
    let full_at = 26.0 + 100.0 / 15.0;
    assert!((3.0..5.0).contains(&(full_at - hours)), "at hour {hours}: {}", first.explanation);
    insta::assert_snapshot!(first.explanation);
    assert_eq!(
        watch.told,
        leak(true, |_| vec![("db_connections_max", 200.0)]).told,
        "restarts change nothing"
    );
    // the series itself is severe where it comes close to its limit
    let severe = watch.firing(POOL).into_iter().find(|one| one.severity == Severity::Sev2).unwrap();
    insta::assert_snapshot!(severe.explanation);

    let bytes = |watch: &mut Watched, left: fn(f64) -> f64| {
        for minute in 0..(14 * 60) {
            watch.take("node_filesystem_size_bytes", 1e12);
            let hours = f64::from(minute) / 60.0;
            watch.watch("node_filesystem_avail_bytes", MINUTE_MS, MINUTE_MS, |_, noise| {
                left(hours) + 1e9 * noise
            });
        }
    };
    let mut half_full = Watched::new();
    bytes(&mut half_full, |hours| 3.5e11 - 2e10 * (hours - 6.0).max(0.0));
    let suspects = half_full.of("node_filesystem_avail_bytes:time_to_full");
    assert!(
        suspects.iter().any(|one| one.observed > 2e11),
        "40 % of the whole, not of what was free at first"
    );
}

#[test]
fn a_limit_that_is_raised_clears() {
    let watch = leak(true, |hour| vec![("db_connections_max", if hour < 31 { 200.0 } else { 2000.0 })]);
    let told: Vec<_> = watch.of(POOL_FULL).iter().map(|one| (one.status, one.observed_at)).collect();
    let (status, at) = told.last().unwrap();
    assert_eq!(*status, Status::Cleared);
    let minutes = (at.as_millisecond() - START_MS - 31 * HOUR_MS) / MINUTE_MS;
    assert!((0..=3).contains(&minutes), "{minutes} min after");
}

#[test]
fn what_may_not_be_the_limit_is_none() {
    type Reported = fn(i64) -> Vec<(&'static str, f64)>;
    let limits: [(&str, Reported); 6] = [
        ("two fit", |_| vec![("db_connections_max", 200.0), ("db_connections_limit", 200.0)]),
        ("unlimited", |_| vec![("db_connections_max", 0.0)]),
        ("below the use", |_| vec![("db_connections_max", 90.0)]),
        ("never stands", |hour| vec![("db_connections_max", 200.0 + (hour % 2) as f64)]),
        ("not told any more", |hour| if hour == 0 { vec![("db_connections_max", 200.0)] } else { vec![] }),
        ("a peak", |_| vec![("db_connections_max_used", 200.0)]),
    ];
    for (why, others) in limits {
        let watch = leak(true, others);
        assert!(watch.of(POOL_FULL).is_empty(), "{why}: {:?}", watch.of(POOL_FULL));
    }
}

#[test]
fn a_restart_of_detection_changes_nothing_about_what_rules_say() {
    let run = |restarts: bool| {
        let mut watch = Watched::new();
        for hour in 0..14 {
            watch.watch("disk_used_percent", 60_000, HOUR_MS, |hours, noise| {
                66.0 + (f64::from(hour) + hours - 6.0).max(0.0) * 5.0 + 0.2 * noise
            });
            watch.take("service_restarts", f64::from(hour * hour));
            if restarts {
                watch.restart();
            }
        }
        watch.told
    };
    let whole = run(false);
    assert!(whole.iter().any(|one| one.metric.ends_with(":time_to_full")));
    assert!(whole.iter().any(|one| one.metric == "restarts"));
    assert_eq!(whole, run(true));
}

/// Takes a sample of each metric a minute, for `minutes`. Returns what was said.
fn standing(metrics: &[(&str, f64)], minutes: i64) -> Watched {
    let mut watch = Watched::new();
    for _ in 0..minutes {
        watch.at_ms += MINUTE_MS;
        for &(metric, value) in metrics {
            watch.take(metric, value);
        }
    }
    watch
}

#[test]
fn a_disk_that_is_full_from_its_first_sample_on_is_found_within_minutes() {
    let (used, free) = ("data_disk_used_bytes", "node_filesystem_avail_bytes");
    for (metrics, derived) in [
        (vec![("disk_used_percent", 100.0)], "disk_used_percent:objective"),
        (vec![("system.filesystem.utilization", 0.97)], "system.filesystem.utilization:objective"),
        (vec![("disk_free_percent", 0.0)], "disk_free_percent:objective"),
        (vec![("FreeStorageSpace", 0.0)], "FreeStorageSpace:objective"),
        (vec![(free, 0.0)], "node_filesystem_avail_bytes:objective"),
        (vec![(free, 2e9), ("node_filesystem_size_bytes", 1e11)], "node_filesystem_avail_bytes:objective"),
        (vec![(used, 5e11), ("data_disk_limit_bytes", 5e11)], "data_disk_used_bytes:objective"),
    ] {
        let mut watch = standing(&metrics, 13);
        let firing = watch.firing(derived);
        let first = firing.first().unwrap_or_else(|| panic!("{metrics:?}: {:#?}", watch.told));
        assert_eq!((first.kind, first.severity), (Kind::Disk, Severity::Sev2), "{metrics:?}");
        watch.restart();
        // room is made
        for _ in 0..5 {
            watch.at_ms += MINUTE_MS;
            let value = match metrics[0] {
                (metric, _) if metric.contains("used_bytes") => 1e11,
                (_, value) if value > 1e6 => 6e10,
                (_, value) if value > 1.0 => 40.0,
                (_, value) if value > 0.0 => 0.4,
                _ => 50.0,
            };
            watch.take(metrics[0].0, value);
            metrics[1..].iter().for_each(|&(metric, value)| watch.take(metric, value));
        }
        assert_eq!(watch.last(derived).status, Status::Cleared, "{metrics:?}");
    }
}

#[test]
fn a_disk_that_stands_at_a_harmless_level_is_nothing() {
    for metrics in [
        vec![("disk_used_percent", 71.0)],
        vec![("system.filesystem.utilization", 0.9)],
        vec![("FreeStorageSpace", 2e9)],
        vec![("node_filesystem_avail_bytes", 2e10), ("node_filesystem_size_bytes", 1e11)],
        // file systems without a fixed number of inodes, and those without a size
        vec![("node_filesystem_files_free", 0.0), ("node_filesystem_files", 0.0)],
        vec![("node_filesystem_files_free", 0.0)],
        vec![("node_filesystem_avail_bytes", 0.0), ("node_filesystem_size_bytes", 0.0)],
        // an image that is mounted
        vec![("snap_core_disk_used_percent", 100.0)],
        vec![("VolumeIdleTime", 0.0)],
    ] {
        let watch = standing(&metrics, 60);
        assert!(watch.told.iter().all(|one| one.status != Status::Firing), "{metrics:?}: {:#?}", watch.told);
    }
}
