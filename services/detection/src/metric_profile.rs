//! What a metric means: its kind, its unit, which direction harms, where it ends, how much it may always move, and how
//! it is judged.
//!
//! The catalogue (`metric_profile/catalogue.toml`) knows some names and otherwise goes by whole words of a name, after the naming
//! of OpenTelemetry's semantic conventions, Prometheus and CloudWatch (never by parts of words: "workload" is not
//! "load"). [`Override`] corrects it. An unknown metric still works: it is [`Kind::Other`] and both directions
//! count.

pub(crate) mod catalogue;
mod folded;
pub(crate) mod key;
mod metric;
mod role;
pub(crate) mod state;
pub(crate) mod units;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::Direction;
use shared::events::{Kind, Severity};

pub(crate) use catalogue::TABLE;
use catalogue::{Entry, Name};
pub use folded::Folding;
pub use metric::Metric;
pub(crate) use metric::Metrics;
pub use role::{Pace, Role};

/// Share of a disk from which on it is full.
const FULL_SHARE: f64 = 0.95;
/// Part of the time that a function may run at which it counts as cut off: what is reported is rounded.
const CUT_OFF_SHARE: f64 = 0.995;
/// What is left of a disk that is full, where its size is not known.
const NOTHING_LEFT: f64 = 0.0;

/// The direction in which a series has to go to be a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadDirection {
    /// More is worse: latency, errors, use of anything that ends.
    Up,
    /// Less is worse: free space, remaining life, availability.
    Down,
    /// Either is worth knowing: traffic, and whatever is not understood.
    Both,
}

impl BadDirection {
    /// Returns whether a deviation to that side harms.
    pub fn includes(self, direction: Direction) -> bool {
        match self {
            Self::Up => direction == Direction::Up,
            Self::Down => direction == Direction::Down,
            Self::Both => true,
        }
    }
}

/// How a series is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DetectionMode {
    /// By its own normal.
    Normal,
    /// By its own normal, and by when it will be full, or empty where less is worse.
    Forecast,
    /// By the time that a certificate has left, in the unit of the series; its own normal says nothing.
    Expiry,
    /// By the same, given as the Unix time at which the certificate ends.
    ExpiresAt,
    /// As a count of restarts; its own normal says nothing.
    Restarts,
    /// As the Unix time at which a process started: a later one is a restart.
    StartTime,
    /// As the time since a process started: one that is shorter than the time since the last sample is a restart.
    Uptime,
    /// Not by itself: it is the ceiling of what another metric of the service reports as used or left.
    Limit,
    /// Not at all: buckets, requests, constants.
    Ignored,
}

impl DetectionMode {
    /// Returns whether the series' own normal counts.
    pub fn is_by_normal(self) -> bool {
        matches!(self, Self::Normal | Self::Forecast)
    }
}

/// What one metric means.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricProfile {
    /// What it measures.
    pub kind: Kind,
    /// Unit (UCUM where there is one), or empty.
    pub unit: Box<str>,
    /// Which direction is bad.
    pub bad_direction: BadDirection,
    /// Value that it cannot exceed, if there is one.
    pub ceiling: Option<f64>,
    /// Smallest spread, as a share of the level: 0.03 is 3 %.
    pub relative_floor: f64,
    /// Smallest spread, in the unit of the series.
    pub absolute_floor: f64,
    /// Whether the value only ever grows, so that its increase per second is what matters.
    pub counter: bool,
    /// How it is judged.
    pub mode: DetectionMode,
    /// What it is the limit of, or the use of without a certain ceiling, and the unit: those of one resource belong
    /// together.
    pub resource: Option<Box<str>>,
    /// What it is beside the requests and the instances of its service.
    pub role: Role,
    /// What a value counts, if it counts something.
    pub pace: Pace,
    /// Whether it is of the requests that the service answers, so that an objective of the service is about it.
    pub of_requests: bool,
    /// Value beyond which it is bad from the first sample on, to the side that harms.
    pub objective: Option<f64>,
    /// Whether it is the room of a disk, which is full near the size that another metric reports, whatever is usual.
    pub is_disk_room: bool,
    /// Whether it is how long a function runs, of which another metric may report after which time it is cut off.
    pub is_function: bool,
    /// Whether it never fires.
    pub silent: bool,
    /// What the bars that it has to reach to fire are divided by.
    pub sensitivity: f64,
}

/// Corrects the guess for some metrics. What is absent stays as guessed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Metric name; a `*` at the end stands for any rest.
    pub metric: String,
    /// Service, in the same way; all of them if absent.
    #[serde(default)]
    pub service: Option<String>,
    /// What it measures.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Unit; wins over the unit of the samples.
    #[serde(default)]
    pub unit: Option<String>,
    /// Which direction is bad.
    #[serde(default, alias = "harm")]
    pub bad_direction: Option<BadDirection>,
    /// Value that it cannot exceed.
    #[serde(default)]
    pub ceiling: Option<f64>,
    /// Smallest spread, in the unit of the series.
    #[serde(default)]
    pub floor: Option<f64>,
    /// Whether it only ever grows.
    #[serde(default)]
    pub counter: Option<bool>,
    /// How it is judged.
    #[serde(default, alias = "judged")]
    pub mode: Option<DetectionMode>,
    /// Value beyond which it is bad from the first sample on: an objective of the service.
    #[serde(default)]
    pub objective: Option<f64>,
    /// Whether it never fires, but is suspected at most.
    #[serde(default)]
    pub silent: Option<bool>,
    /// What the bars that it has to reach to fire are divided by (0.1 to 10).
    #[serde(default)]
    pub sensitivity: Option<f64>,
}

impl Override {
    /// Returns the first one that is about a metric of a service.
    pub(crate) fn find<'o>(all: &'o [Self], service: &str, metric: &str) -> Option<&'o Self> {
        all.iter().find(|one| one.covers(metric) && one.is_for(service))
    }

    pub(crate) fn covers(&self, metric: &str) -> bool {
        fits(&self.metric, metric)
    }

    /// Returns whether it is about the metrics of a service.
    pub(crate) fn is_for(&self, service: &str) -> bool {
        self.service.as_ref().is_none_or(|pattern| fits(pattern, service))
    }
}

/// Returns whether a name is the one of a pattern, or begins like one that ends in a `*`.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Returns what a metric is the limit of, or the use of, with the unit.
fn resource_of(
    name: &Name,
    entry: &Entry,
    unit: &str,
    mode: DetectionMode,
    is_use: bool,
) -> Option<Box<str>> {
    let resource = match mode {
        DetectionMode::Limit => name.limited(),
        _ if is_use => name.used(),
        _ => return None,
    };
    Some(format!("{} {unit}", entry.resource.as_deref().unwrap_or(&resource)).into())
}

/// Returns the largest value of a share in that unit.
fn whole(name: &Name, unit: &str) -> Option<f64> {
    let is_share = name.has(&["ratio", "utilization", "utilisation", "fraction"]);
    match unit {
        "%" => Some(100.0),
        "1" if is_share => Some(1.0),
        _ => None,
    }
}

impl MetricProfile {
    /// Returns what a metric of that name means. The first override that covers it wins over the catalogue, and the unit
    /// of the samples over the one in the name.
    pub fn of(metric: &str, unit: &str, overrides: &[Override]) -> Self {
        let Some(key) = key::Key::parse(metric) else { return Self::of_name(metric, unit, overrides) };
        let public = key.public();
        key.profile(unit, overrides.iter().find(|one| one.covers(&public)))
    }

    /// Returns what a metric of that name means, as samples without labels have it.
    fn of_name(metric: &str, unit: &str, overrides: &[Override]) -> Self {
        let correction = overrides.iter().find(|one| one.covers(metric)).cloned().unwrap_or_default();
        let name = Name::new(metric);
        let entry = catalogue::entry(&name)
            .filter(|entry| correction.kind.is_none_or(|kind| Some(kind) == entry.kind))
            .unwrap_or(Entry::NONE);
        let function = name.function().filter(|_| correction.kind.is_none() && correction.mode.is_none());
        let is_timeout = function.is_some() && name.is_timeout() && entry.kind.is_none();
        let kind =
            correction.kind.or(entry.kind).or(is_timeout.then_some(Kind::Latency)).unwrap_or(Kind::Other);
        let counter = correction.counter.or(entry.counter).unwrap_or(name.last() == "total");
        let (kind, direction) = counted(kind, counter && correction.kind.is_none());
        let unit = match (correction.unit.as_deref().unwrap_or(unit), entry.unit.as_deref()) {
            ("", Some(unit)) => unit,
            ("", None) => catalogue::unit_of(&name, kind),
            (unit, _) => catalogue::ucum(unit),
        };
        let direction = correction.bad_direction.or(entry.bad_direction).or(direction);
        let bad_direction = direction.unwrap_or_else(|| bad_direction(kind, &name));
        let ceiling = correction.ceiling.or(entry.ceiling).or(whole(&name, unit));
        let (relative_floor, absolute_floor) = floors(kind, unit);
        let is_disk_room = kind == Kind::Disk && !counter && correction.objective.is_none();
        // whether there are any inodes says only their number: some file systems report none
        let is_left = is_disk_room && bad_direction == BadDirection::Down && catalogue::is_left(&name, unit);
        let nothing_left = is_left.then_some(NOTHING_LEFT);
        let objective = correction.objective.or(full(kind, bad_direction, unit, ceiling)).or(nothing_left);
        let ends = bad_direction == BadDirection::Up && ceiling.is_some()
            || bad_direction == BadDirection::Down && matches!(kind, Kind::Disk | Kind::Memory);
        let fills = matches!(kind, Kind::Disk | Kind::Memory | Kind::Pool) && !counter;
        let stated = correction.mode.or(entry.mode);
        let mode = stated.unwrap_or(match kind {
            Kind::Certificate => DetectionMode::Expiry,
            Kind::Restarts => DetectionMode::Restarts,
            _ if is_timeout => DetectionMode::Limit,
            _ if !counter && ceiling.is_none() && names_limit(kind, &name) => DetectionMode::Limit,
            _ if fills && ends => DetectionMode::Forecast,
            _ => DetectionMode::Normal,
        });
        // what the configuration or the unit says is certain, what the catalogue says a guess
        let is_certain = correction.ceiling.is_some() || ceiling.is_some() && entry.ceiling.is_none();
        let is_use = fills
            && !is_certain
            && (bad_direction == BadDirection::Up || ends)
            && matches!(stated, None | Some(DetectionMode::Forecast));
        let function =
            function.filter(|_| kind == Kind::Latency && !counter && correction.objective.is_none());
        let is_function = function.is_some();
        // of its time, whatever the unit
        let run_time = function.map(|function| format!("run time of {function}").into());
        let resource = run_time.or_else(|| resource_of(&name, entry, unit, mode, is_use));
        let has_ceiling = correction.ceiling.or(entry.ceiling).is_some();
        let role = if has_ceiling { Role::None } else { Role::of(&name, kind, unit, counter) };
        let pace = Pace::of(&name, unit, counter);
        let of_requests = role::is_of_requests(&name, kind);
        let unit = if counter && mode.is_by_normal() { per_second(unit) } else { unit.to_owned() };
        Self {
            kind,
            unit: unit.into(),
            bad_direction,
            ceiling,
            relative_floor,
            absolute_floor: correction.floor.unwrap_or(absolute_floor),
            counter,
            mode,
            resource,
            role,
            pace,
            of_requests,
            objective,
            is_disk_room,
            is_function,
            silent: correction.silent.unwrap_or(false),
            sensitivity: correction.sensitivity.unwrap_or(1.0),
        }
    }

    /// Returns whether another metric of the service may report its ceiling.
    pub(crate) fn may_be_limited(&self) -> bool {
        self.resource.is_some() && self.mode != DetectionMode::Limit
    }

    /// Returns whether there is a value beyond which it is bad whatever is usual for it, or may be one.
    pub(crate) fn may_have_objective(&self) -> bool {
        let may_follow =
            (self.is_disk_room || self.is_function) && self.may_be_limited() && self.mode.is_by_normal();
        !self.silent && (self.objective.is_some() || may_follow)
    }

    /// Returns the smallest spread around `level`, in the unit of the series: max(relative_floor * |level|, absolute_floor).
    pub fn floor(&self, level: f64) -> f64 {
        // the last term keeps a series that is constantly zero from being divided by
        (self.relative_floor * level.abs()).max(self.absolute_floor).max(1e-9)
    }

    /// Returns whether the metric measures something that fills up and does not follow the load. A slow rise of such a
    /// thing is a leak, not the time of day.
    pub fn accumulates(&self) -> bool {
        matches!(self.kind, Kind::Memory | Kind::Disk)
    }
}

/// What a metric means, with the ceiling that holds at the moment: the profile's own, or the one that another metric of
/// the service reports.
#[derive(Debug, Clone, Copy)]
pub struct Bounded<'a> {
    /// What it means.
    pub profile: &'a MetricProfile,
    /// Value that it cannot exceed now, if one is known.
    pub ceiling: Option<f64>,
    /// How bad a deviation may be at most.
    pub most: Severity,
}

impl Bounded<'_> {
    /// Returns the value beyond which it is bad whatever is usual for it, to the side that harms: its objective, or for a
    /// disk of which another metric reports the size, where that is nearly used up; or for a function, where it is cut off.
    pub(crate) fn objective(self, is_limited: bool) -> Option<f64> {
        let profile = self.profile;
        if profile.is_function && is_limited {
            return self.ceiling.map(|timeout| CUT_OFF_SHARE * timeout);
        }
        if !profile.is_disk_room || !is_limited {
            return profile.objective;
        }
        let size = self.ceiling?;
        match profile.bad_direction {
            BadDirection::Up => Some(FULL_SHARE * size),
            BadDirection::Down => Some((1.0 - FULL_SHARE) * size),
            BadDirection::Both => None,
        }
    }

    /// Returns whether `value` has come within a tenth of the ceiling of what is worse the more there is.
    pub fn is_nearly_full(self, value: f64) -> bool {
        self.profile.bad_direction == BadDirection::Up
            && self.ceiling.is_some_and(|ceiling| value >= 0.9 * ceiling)
    }
}

impl<'a> From<&'a MetricProfile> for Bounded<'a> {
    fn from(profile: &'a MetricProfile) -> Self {
        Self { profile, ceiling: profile.ceiling, most: Severity::Sev1 }
    }
}

/// Returns the kind of a metric, and which way it has to go to do harm where that is not the way of its kind: of what is
/// counted, connections are traffic, and bytes that are allocated or seconds that are spent fill nothing up.
fn counted(kind: Kind, is_counter: bool) -> (Kind, Option<BadDirection>) {
    match kind {
        Kind::Pool if is_counter => (Kind::Traffic, None),
        Kind::Memory if is_counter => (Kind::Other, None),
        Kind::Latency if is_counter => (Kind::Other, Some(BadDirection::Up)),
        kind => (kind, None),
    }
}

/// Returns whether a name is the one of a limit of what can be used up.
fn names_limit(kind: Kind, name: &Name) -> bool {
    match kind {
        Kind::Memory | Kind::Disk | Kind::Pool => name.is_limit(),
        Kind::Cpu => name.says_limit(),
        _ => false,
    }
}

/// Returns the unit of the increase of a counter.
fn per_second(unit: &str) -> String {
    if unit.is_empty() { "1/s".to_owned() } else { format!("{unit}/s") }
}

/// Returns which way a metric of that kind and name has to go to do harm.
fn bad_direction(kind: Kind, name: &Name) -> BadDirection {
    let remains = name.has(&["free", "available", "avail", "idle", "remaining", "headroom", "freeable"]);
    match kind {
        Kind::Other if role::is_hit_share(name) => BadDirection::Down,
        Kind::Traffic | Kind::Other => BadDirection::Both,
        Kind::Certificate => BadDirection::Down,
        _ if remains => BadDirection::Down,
        _ => BadDirection::Up,
    }
}

/// Returns the value from which on a disk is full, whatever is usual for it.
fn full(kind: Kind, bad_direction: BadDirection, unit: &str, ceiling: Option<f64>) -> Option<f64> {
    match (kind, bad_direction, unit, ceiling) {
        (Kind::Disk, BadDirection::Up, "%" | "1", Some(ceiling)) => Some(FULL_SHARE * ceiling),
        (Kind::Disk, BadDirection::Down, "%" | "1", Some(whole)) => Some((1.0 - FULL_SHARE) * whole),
        _ => None,
    }
}

/// Returns the smallest spread of a kind: as a part of the level, and in the unit.
fn floors(kind: Kind, unit: &str) -> (f64, f64) {
    let scale = match unit {
        "%" => 1.0,
        "1" => 0.01,
        _ => 0.0,
    };
    match kind {
        Kind::Latency | Kind::Certificate => (0.03, milliseconds(1.0, unit)),
        Kind::Errors => (0.03, if scale > 0.0 { 0.2 * scale } else { 0.001 }),
        Kind::Cpu => (0.03, 1.0 * scale),
        Kind::Memory | Kind::Disk => (0.005, 0.5 * scale),
        Kind::Pool => (0.02, 1.0),
        Kind::Lag if matches!(unit, "ms" | "s" | "us" | "ns") => (0.05, milliseconds(1000.0, unit)),
        Kind::Lag => (0.05, 10.0),
        Kind::Traffic => (0.03, 0.1),
        Kind::Silence | Kind::Restarts | Kind::Logs | Kind::DataLoss | Kind::Security | Kind::Other => {
            (0.01, 0.0)
        }
    }
}

/// Returns `ms` milliseconds in the given unit of time, or 0 where it is none.
fn milliseconds(ms: f64, unit: &str) -> f64 {
    match unit {
        "ms" => ms,
        "s" => ms / 1e3,
        "us" => ms * 1e3,
        "ns" => ms * 1e6,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(metric: &str) -> (Kind, BadDirection) {
        let profile = MetricProfile::of(metric, "", &[]);
        (profile.kind, profile.bad_direction)
    }

    #[test]
    fn names_of_three_conventions_are_understood() {
        for (name, kind, bad_direction) in [
            ("request_rate", Kind::Traffic, BadDirection::Both),
            ("error_rate", Kind::Errors, BadDirection::Up),
            ("latency_p99_ms", Kind::Latency, BadDirection::Up),
            ("cpu_percent", Kind::Cpu, BadDirection::Up),
            ("memory_percent", Kind::Memory, BadDirection::Up),
            ("db_connections", Kind::Pool, BadDirection::Up),
            ("consumer_lag", Kind::Lag, BadDirection::Up),
            ("http.server.request.duration", Kind::Latency, BadDirection::Up),
            ("db.client.connection.count", Kind::Pool, BadDirection::Up),
            ("CPUUtilization", Kind::Cpu, BadDirection::Up),
            ("node_filesystem_avail_bytes", Kind::Disk, BadDirection::Down),
            ("probe_ssl_earliest_cert_expiry", Kind::Certificate, BadDirection::Down),
            ("kafka_consumergroup_lag", Kind::Lag, BadDirection::Up),
            ("connection_pool_idle", Kind::Pool, BadDirection::Down),
            ("up", Kind::Errors, BadDirection::Down),
            ("request_success_ratio", Kind::Errors, BadDirection::Down),
            ("FreeStorageSpace", Kind::Disk, BadDirection::Down),
            ("FreeableMemory", Kind::Memory, BadDirection::Down),
            ("node_load1", Kind::Cpu, BadDirection::Up),
            ("HTTPCode_Target_5XX_Count", Kind::Errors, BadDirection::Up),
            ("http_request_duration_seconds_count", Kind::Traffic, BadDirection::Both),
            ("system.cpu.time", Kind::Cpu, BadDirection::Up),
            ("kube_pod_container_status_restarts_total", Kind::Restarts, BadDirection::Up),
            ("workload", Kind::Other, BadDirection::Both),
            ("flux_capacitance", Kind::Other, BadDirection::Both),
        ] {
            assert_eq!(guess(name), (kind, bad_direction), "{name}");
        }
    }

    #[test]
    fn only_the_configuration_says_that_data_is_lost_or_security_is_breached() {
        for (name, kind) in [("data_loss_total", "data_loss"), ("security_breaches", "security")] {
            assert_eq!(guess(name).0, Kind::Other, "{name}");
            let stated: Override = toml::from_str(&format!("metric = {name:?}\nkind = {kind:?}")).unwrap();
            let profile = MetricProfile::of(name, "", &[stated]);
            assert_eq!((profile.kind.to_string().as_str(), profile.bad_direction), (kind, BadDirection::Up));
            assert!(!TABLE.contains(&format!("{kind:?}")));
        }
    }

    #[test]
    fn units_and_ceilings_follow_from_the_name_or_the_sample() {
        assert_eq!(MetricProfile::of("cpu_percent", "", &[]).ceiling, Some(100.0));
        assert_eq!(MetricProfile::of("disk_used", "%", &[]).ceiling, Some(100.0));
        assert_eq!(MetricProfile::of("request_seconds", "", &[]).unit.as_ref(), "s");
        let counter = MetricProfile::of("http_requests_total", "", &[]);
        assert!(counter.counter && counter.unit.as_ref() == "1/s");
    }

    #[test]
    fn a_metric_is_judged_as_its_name_asks() {
        for (name, unit, mode) in [
            ("disk_used_percent", "", DetectionMode::Forecast),
            ("system.filesystem.utilization", "1", DetectionMode::Forecast),
            ("node_filesystem_avail_bytes", "", DetectionMode::Forecast),
            ("node_memory_MemFree_bytes", "", DetectionMode::Ignored),
            ("container_memory_usage_bytes", "", DetectionMode::Normal),
            ("probe_ssl_earliest_cert_expiry", "", DetectionMode::ExpiresAt),
            ("tls_cert_days_remaining", "", DetectionMode::Expiry),
            ("certificate_expiry_errors_total", "", DetectionMode::Normal),
            ("kube_pod_container_status_restarts_total", "", DetectionMode::Restarts),
            ("process_start_time_seconds", "", DetectionMode::StartTime),
            ("process.uptime", "s", DetectionMode::Uptime),
            ("http_request_duration_seconds_bucket", "", DetectionMode::Ignored),
            ("http_requests_created", "", DetectionMode::Ignored),
            ("hikaricp_connections_max", "", DetectionMode::Limit),
            ("heap_max_bytes", "", DetectionMode::Limit),
            ("container_memory_max_usage_bytes", "", DetectionMode::Normal),
            ("container.memory.limit_utilization", "1", DetectionMode::Forecast),
        ] {
            assert_eq!(MetricProfile::of(name, unit, &[]).mode, mode, "{name}");
        }
    }

    #[test]
    fn a_limit_and_its_use_are_of_one_resource() {
        let resource = |name: &str| MetricProfile::of(name, "", &[]).resource;
        for (limit, uses) in [
            (
                "node_filesystem_size_bytes",
                &["node_filesystem_avail_bytes", "node_filesystem_free_bytes"][..],
            ),
            ("node_filesystem_files", &["node_filesystem_files_free"]),
            ("node_memory_MemTotal_bytes", &["node_memory_MemAvailable_bytes"]),
            ("node_filefd_maximum", &["node_filefd_allocated"]),
            ("container_spec_memory_limit_bytes", &["container_memory_working_set_bytes"]),
            ("kubelet_volume_stats_capacity_bytes", &["kubelet_volume_stats_used_bytes"]),
            ("kubelet_volume_stats_inodes", &["kubelet_volume_stats_inodes_free"]),
            ("k8s.container.memory_limit", &["container.memory.working_set"]),
            ("db_connections_max", &["db_connections", "db_connections_active"]),
            ("max_connections", &["connections_in_use", "open_connections"]),
            ("hikaricp_connections_max", &["hikaricp_connections_active"]),
            ("jvm_memory_max_bytes", &["jvm_memory_used_bytes"]),
            ("jvm.memory.limit", &["jvm.memory.used"]),
            ("process_max_fds", &["process_open_fds"]),
            ("db.client.connection.max", &["db.client.connection.count"]),
            ("go_sql_max_open_connections", &["go_sql_in_use_connections"]),
            ("redis_maxclients", &["redis_connected_clients"]),
            ("worker_pool_limit", &["worker_pool_usage"]),
        ] {
            assert_eq!(MetricProfile::of(limit, "", &[]).mode, DetectionMode::Limit, "{limit}");
            for name in uses {
                assert!(MetricProfile::of(name, "", &[]).may_be_limited(), "{name}");
                assert_eq!(resource(name), resource(limit), "{name}");
            }
        }
        for (timeout, durations) in [
            ("lambda_timeout_seconds", &["lambda_duration_max_ms", "lambda_duration_p99_ms"][..]),
            ("aws.lambda.resize.timeout", &["aws.lambda.resize.duration.maximum"]),
            ("function_timeout_ms", &["function_duration_seconds"]),
            ("faas.timeout", &["faas.invoke_duration"]),
        ] {
            assert_eq!(MetricProfile::of(timeout, "", &[]).mode, DetectionMode::Limit, "{timeout}");
            for name in durations {
                let profile = MetricProfile::of(name, "", &[]);
                assert!(profile.may_be_limited() && profile.may_have_objective(), "{name}");
                assert_eq!(resource(name), resource(timeout), "{name}");
            }
        }
        for name in
            ["lambda_init_duration_ms", "function_cold_start_ms", "http_timeout_ms", "http_timeouts_total"]
        {
            assert_eq!(resource(name), None, "{name}");
        }
        assert_ne!(resource("hikaricp_connections_pending"), resource("hikaricp_connections_max"));
        assert_ne!(
            MetricProfile::of("heap_used", "MiBy", &[]).resource,
            MetricProfile::of("heap_max", "By", &[]).resource
        );
        for name in [
            "container_memory_usage_bytes",
            "hikaricp_connections",
            "disk_used_percent",
            "http_requests_max",
            "memory_limit_total",
        ] {
            assert_eq!(resource(name), None, "{name}");
        }
        let ceiling =
            Override { metric: "db_connections".into(), ceiling: Some(40.0), ..Override::default() };
        assert_eq!(
            MetricProfile::of("db_connections", "", &[ceiling]).resource,
            None,
            "what is configured wins"
        );
    }

    #[test]
    fn the_unit_of_the_sample_wins_and_is_written_one_way() {
        for (name, unit, expected) in [
            ("latency_ms", "s", "s"),
            ("CPUUtilization", "Percent", "%"),
            ("http_request_duration_seconds_count", "", "1/s"),
            ("system.network.io", "By", "By/s"),
            ("cert_days_remaining", "", "d"),
            ("heap_used", "MiBy", "MiBy"),
            ("process.cpu.utilization", "", "1"),
        ] {
            assert_eq!(MetricProfile::of(name, unit, &[]).unit.as_ref(), expected, "{name}");
        }
    }

    #[test]
    fn an_override_wins_and_leaves_the_rest_as_guessed() {
        let overrides = [Override {
            metric: "jobs_*".into(),
            kind: Some(Kind::Pool),
            ceiling: Some(40.0),
            ..Override::default()
        }];
        let profile = MetricProfile::of("jobs_running", "", &overrides);
        assert_eq!(
            (profile.kind, profile.bad_direction, profile.ceiling),
            (Kind::Pool, BadDirection::Up, Some(40.0))
        );
        assert_eq!(MetricProfile::of("job_running", "", &overrides).kind, Kind::Other);
    }

    #[test]
    fn former_names_of_settings_are_accepted() {
        let read = |text: &str| serde_json::from_str::<Override>(text).unwrap();
        let former = read(r#"{"metric": "jobs", "harm": "down", "judged": "forecast"}"#);
        assert_eq!(former, read(r#"{"metric": "jobs", "bad_direction": "down", "mode": "forecast"}"#));
        assert_eq!(
            (former.bad_direction, former.mode),
            (Some(BadDirection::Down), Some(DetectionMode::Forecast))
        );
    }
}
