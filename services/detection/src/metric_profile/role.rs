//! What a metric is beside others of its service: a share of its requests, their number, or a figure for each instance.

use shared::events::Kind;

use super::MetricProfile;
use super::catalogue::Name;
use crate::metric_profile::BadDirection;

/// Words that make a figure a share, and those that make it one of something else than requests.
const SHARES: [&str; 8] =
    ["rate", "ratio", "percent", "percentage", "pct", "share", "fraction", "availability"];
/// Words for requests.
const REQUESTS: [&str; 11] = [
    "request",
    "requests",
    "rps",
    "qps",
    "tps",
    "calls",
    "http",
    "traffic",
    "throughput",
    "queries",
    "lookups",
];
/// Words for traffic of another sort.
const NOT_REQUESTS: [&str; 12] = [
    "network",
    "disk",
    "io",
    "bytes",
    "packet",
    "packets",
    "read",
    "write",
    "connection",
    "connections",
    "cx",
    "offset",
];
/// Words for instances.
const INSTANCES: [&str; 16] = [
    "pod",
    "pods",
    "instance",
    "instances",
    "replica",
    "replicas",
    "host",
    "hosts",
    "node",
    "nodes",
    "task",
    "tasks",
    "worker",
    "workers",
    "target",
    "container",
];

/// Words for what a service does itself, or asks of others: not the requests that it answers.
const NOT_ANSWERED: [&str; 45] = [
    "self",
    "client",
    "outbound",
    "egress",
    "upstream",
    "downstream",
    "dependency",
    "external",
    "db",
    "database",
    "sql",
    "jdbc",
    "query",
    "queries",
    "redis",
    "cache",
    "kafka",
    "consumer",
    "producer",
    "broker",
    "queue",
    "message",
    "messages",
    "disk",
    "io",
    "fsync",
    "commit",
    "dns",
    "tcp",
    "tls",
    "handshake",
    "network",
    "connect",
    "gc",
    "pause",
    "job",
    "jobs",
    "batch",
    "cron",
    "backup",
    "probe",
    "retry",
    "retries",
    "4xx",
    "pool",
];
/// Words for the time that an answer takes.
const ANSWER_TIMES: [&str; 14] = [
    "latency", "response", "request", "requests", "http", "server", "rpc", "grpc", "api", "p50", "p75",
    "p90", "p95", "p99",
];
/// Words for what lies beyond the 99th percentile.
const EXTREMES: [&str; 6] = ["max", "maximum", "worst", "p999", "p9999", "p100"];

/// What a metric is beside others of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing of that kind.
    None,
    /// The share of requests that fail, succeed, or are answered from a cache.
    Share,
    /// Failures, by time.
    Rate,
    /// Requests, by time.
    Requests,
    /// Traffic of one instance, on average.
    PerInstance,
    /// How many instances there are.
    Instances,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// So many a second.
    Second,
    /// So many a minute.
    Minute,
    /// So many since the sample before.
    Sample,
}

impl Role {
    pub(super) fn of(name: &Name, kind: Kind, unit: &str, counter: bool) -> Self {
        let is_share = name.has(&SHARES) && !counter && matches!(unit, "" | "%" | "1");
        match kind {
            Kind::Errors if is_share || matches!(unit, "%" | "1") && !counter => Self::Share,
            Kind::Errors if counter || unit.ends_with("/s") => Self::Rate,
            Kind::Other if is_hit_share(name) && is_share => Self::Share,
            Kind::Traffic if is_for_each_instance(name) => Self::PerInstance,
            Kind::Traffic if name.has(&REQUESTS) && !name.has(&NOT_REQUESTS) && !unit.starts_with("By") => {
                Self::Requests
            }
            // the count of a histogram of durations
            Kind::Traffic if counter && !name.has(&NOT_REQUESTS) => Self::Requests,
            Kind::Other if unit.is_empty() && name.has(&INSTANCES) && !is_for_each_instance(name) => {
                Self::Instances
            }
            _ => Self::None,
        }
    }
}

impl Pace {
    pub(super) fn of(name: &Name, unit: &str, counter: bool) -> Self {
        if counter || unit.ends_with("/s") || name.has(&["rate", "rps", "qps", "tps", "second", "sec"]) {
            Self::Second
        } else if unit.ends_with("/min") || name.has(&["rpm", "minute", "min"]) {
            Self::Minute
        } else {
            Self::Sample
        }
    }
}

/// Returns whether a latency or failures are those of the requests that a service answers.
pub(super) fn is_of_requests(name: &Name, kind: Kind) -> bool {
    match kind {
        Kind::Latency => name.has(&ANSWER_TIMES) && !name.has(&NOT_ANSWERED) && !name.has(&EXTREMES),
        Kind::Errors => !name.has(&NOT_ANSWERED),
        _ => false,
    }
}

/// Returns whether a name is of the share that a cache answers.
pub(super) fn is_hit_share(name: &Name) -> bool {
    name.has(&["hit", "hits"]) && name.has(&SHARES)
}

/// Returns whether a name is of a figure for each instance: `requests_per_pod`, `RequestCountPerTarget`.
fn is_for_each_instance(name: &Name) -> bool {
    name.pairs().any(|(first, second)| first == "per" && INSTANCES.contains(&second))
}

impl MetricProfile {
    /// Returns what a value comes to in a second, where samples are `seconds` apart.
    pub(crate) fn each_second(&self, value: f64, seconds: f64) -> f64 {
        match self.pace {
            Pace::Second => value,
            Pace::Minute => value / 60.0,
            Pace::Sample => value / seconds,
        }
    }

    /// Returns whether a share is in percent: by its unit, or else by its values.
    pub(crate) fn is_percent(&self, mut values: impl Iterator<Item = f64>) -> bool {
        match &*self.unit {
            "%" => true,
            "1" => false,
            _ => values.any(|value| value > 1.0),
        }
    }

    /// Returns the part of the requests that fail, of a share of those that do or do not.
    pub(crate) fn failing(&self, share: f64, is_percent: bool) -> f64 {
        let share = if is_percent { share / 100.0 } else { share };
        let failing = if self.bad_direction == BadDirection::Down { 1.0 - share } else { share };
        failing.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_what_fails_of_them_are_known_by_name_and_unit() {
        for (name, unit, role) in [
            ("error_rate", "", Role::Share),
            ("error_ratio", "1", Role::Share),
            ("http.server.errors", "%", Role::Share),
            ("request_success_ratio", "", Role::Share),
            ("cache_hit_rate", "", Role::Share),
            ("http_5xx_total", "", Role::Rate),
            ("errors", "1/s", Role::Rate),
            ("failed_jobs", "", Role::None),
            ("up", "", Role::None),
            ("request_rate", "1/s", Role::Requests),
            ("http_request_duration_seconds_count", "", Role::Requests),
            ("node_network_receive_bytes_total", "", Role::None),
            ("requests_per_pod", "", Role::PerInstance),
            ("RequestCountPerTarget", "", Role::PerInstance),
            ("requests_per_second", "", Role::Requests),
            ("kube_deployment_replicas", "", Role::Instances),
        ] {
            assert_eq!(MetricProfile::of(name, unit, &[]).role, role, "{name}");
        }
        let cache = MetricProfile::of("cache_hit_ratio", "1", &[]);
        assert_eq!((cache.bad_direction, cache.failing(0.75, false)), (BadDirection::Down, 0.25));
        let errors = MetricProfile::of("error_rate", "", &[]);
        assert!(errors.is_percent([0.0, 50.0].into_iter()) && !errors.is_percent([0.0, 0.5].into_iter()));
    }
}
