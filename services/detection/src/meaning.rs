//! What a metric means: its kind, its unit, which direction harms, where it ends and how much it may always move.
//!
//! The guess rests on whole words of the name, after the naming of OpenTelemetry's semantic conventions, Prometheus
//! and CloudWatch (never on parts of words: "workload" is not "load"). [`Override`] corrects it. A metric that means
//! nothing to anybody still works: it is [`Kind::Other`] and both directions count.

use serde::{Deserialize, Serialize};
use shared::events::Kind;
use shared::events::anomaly::Direction;

/// Which way a series has to go to do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// More is worse: latency, errors, use of anything that ends.
    Up,
    /// Less is worse: free space, remaining life, availability.
    Down,
    /// Either is worth knowing: traffic, and whatever is not understood.
    Both,
}

impl Harm {
    /// Tells whether a deviation to that side harms.
    pub fn includes(self, direction: Direction) -> bool {
        match self {
            Self::Up => direction == Direction::Up,
            Self::Down => direction == Direction::Down,
            Self::Both => true,
        }
    }
}

/// What one metric means.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// What it measures.
    pub kind: Kind,
    /// Unit (UCUM where there is one), or empty.
    pub unit: Box<str>,
    /// Which direction harms.
    pub harm: Harm,
    /// Value that it cannot exceed, if there is one.
    pub ceiling: Option<f64>,
    /// Smallest spread that is believed, as a part of the level: 0.03 is 3 %.
    pub relative_floor: f64,
    /// Smallest spread that is believed, in the unit of the series.
    pub absolute_floor: f64,
    /// Whether the value only ever grows, so that its increase per second is what matters.
    pub counter: bool,
}

/// Corrects the guess for some metrics. What is absent stays as guessed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Metric name; a `*` at the end stands for any rest.
    pub metric: String,
    /// What it measures.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Unit; wins over the unit of the samples.
    #[serde(default)]
    pub unit: Option<String>,
    /// Which direction harms.
    #[serde(default)]
    pub harm: Option<Harm>,
    /// Value that it cannot exceed.
    #[serde(default)]
    pub ceiling: Option<f64>,
    /// Smallest spread that is believed, in the unit of the series.
    #[serde(default)]
    pub floor: Option<f64>,
    /// Whether it only ever grows.
    #[serde(default)]
    pub counter: Option<bool>,
}

impl Override {
    fn covers(&self, metric: &str) -> bool {
        self.metric.strip_suffix('*').map_or(self.metric == metric, |start| metric.starts_with(start))
    }
}

impl Meaning {
    /// Returns what a metric of that name means. The first override that covers it wins over the guess.
    pub fn of(metric: &str, unit: &str, overrides: &[Override]) -> Self {
        let correction = overrides.iter().find(|one| one.covers(metric));
        let unit = correction.and_then(|one| one.unit.as_deref()).unwrap_or(unit);
        let mut meaning = Self::guess(metric, unit, correction.and_then(|one| one.kind));
        if let Some(correction) = correction {
            meaning.harm = correction.harm.unwrap_or(meaning.harm);
            meaning.ceiling = correction.ceiling.or(meaning.ceiling);
            meaning.absolute_floor = correction.floor.unwrap_or(meaning.absolute_floor);
            meaning.counter = correction.counter.unwrap_or(meaning.counter);
        }
        meaning
    }

    fn guess(metric: &str, unit: &str, kind: Option<Kind>) -> Self {
        let words = words(metric);
        let has = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
        let unit = if unit.is_empty() { unit_of(&words) } else { unit };
        let counter = words.last().is_some_and(|word| word == "total");
        let kind = kind.unwrap_or_else(|| kind_of(&has));
        let remains = has(&["free", "available", "avail", "idle", "remaining", "headroom"]);
        let succeeds = has(&["success", "successes", "availability"]);
        let harm = match kind {
            Kind::Traffic | Kind::Other => Harm::Both,
            Kind::Certificate => Harm::Down,
            Kind::Errors if succeeds => Harm::Down,
            _ if remains => Harm::Down,
            _ => Harm::Up,
        };
        let share = has(&["ratio", "utilization", "utilisation", "fraction"]);
        let ceiling = match unit {
            "%" => Some(100.0),
            "1" if share => Some(1.0),
            // the usual size of a pool where nobody has said otherwise
            _ if metric == "db_connections" => Some(100.0),
            _ => None,
        };
        let scale = match unit {
            "%" => 1.0,
            "1" => 0.01,
            _ => 0.0,
        };
        let (relative_floor, absolute_floor) = match kind {
            Kind::Latency | Kind::Certificate => (0.03, milliseconds(1.0, unit)),
            Kind::Errors => (0.03, 0.2 * scale),
            Kind::Cpu => (0.03, 1.0 * scale),
            Kind::Memory | Kind::Disk => (0.005, 0.5 * scale),
            Kind::Pool => (0.02, 1.0),
            Kind::Lag if matches!(unit, "ms" | "s" | "us" | "ns") => (0.05, milliseconds(1000.0, unit)),
            Kind::Lag => (0.05, 10.0),
            Kind::Traffic => (0.03, 0.1),
            Kind::Silence | Kind::Restarts | Kind::Logs | Kind::Other => (0.01, 0.0),
        };
        let unit = match unit {
            "" if counter => "1/s".to_owned(),
            unit if counter => format!("{unit}/s"),
            unit => unit.to_owned(),
        };
        Self { kind, unit: unit.into(), harm, ceiling, relative_floor, absolute_floor, counter }
    }

    /// Returns the smallest spread that is believed around `level`.
    pub fn floor(&self, level: f64) -> f64 {
        // the last term keeps a series that is constantly zero from being divided by
        (self.relative_floor * level.abs()).max(self.absolute_floor).max(1e-9)
    }

    /// Tells whether the metric measures something that fills up and does not follow the load. A slow rise of such a
    /// thing is a leak, not the time of day.
    pub fn accumulates(&self) -> bool {
        matches!(self.kind, Kind::Memory | Kind::Disk)
    }

    /// Tells whether `value` has come within a tenth of the ceiling.
    pub fn is_nearly_full(&self, value: f64) -> bool {
        self.harm == Harm::Up && self.ceiling.is_some_and(|ceiling| value >= 0.9 * ceiling)
    }
}

/// Returns the kind by the words of a name. The order decides where a name has words of several kinds: a latency of
/// the database pool is a latency.
fn kind_of(has: &dyn Fn(&[&str]) -> bool) -> Kind {
    let expires = has(&["expiry", "expires", "expiration", "remaining", "after", "lifetime"]);
    let disk = has(&["disk", "filesystem", "volume", "inode", "inodes", "storage"]);
    let io = has(&["io", "read", "reads", "write", "writes", "written", "ops", "iops", "operations"]);
    if has(&["cert", "certificate", "x509", "ssl", "tls"]) && expires {
        Kind::Certificate
    } else if has(&["lag", "backlog"]) {
        Kind::Lag
    } else if has(&[
        "latency", "duration", "p50", "p75", "p90", "p95", "p99", "p999", "rtt", "elapsed", "pause",
    ]) || (has(&["response"]) && has(&["time", "ms", "seconds"]))
    {
        Kind::Latency
    } else if has(&[
        "error",
        "errors",
        "failed",
        "failure",
        "failures",
        "exceptions",
        "5xx",
        "timeouts",
        "success",
        "successes",
        "availability",
    ]) {
        Kind::Errors
    } else if has(&["queue", "pending"]) && has(&["depth", "length", "size", "messages", "jobs"]) {
        Kind::Lag
    } else if disk && !io {
        Kind::Disk
    } else if has(&["memory", "mem", "heap", "rss"]) {
        Kind::Memory
    } else if has(&["cpu", "processor"]) {
        Kind::Cpu
    } else if has(&["connections", "connection", "pool", "threads", "fds", "descriptors", "sessions"]) {
        Kind::Pool
    } else if has(&["request", "requests", "rps", "qps", "tps", "throughput", "calls", "traffic"]) {
        Kind::Traffic
    } else {
        Kind::Other
    }
}

/// Returns the unit that the words of a name tell, or nothing.
fn unit_of(words: &[String]) -> &'static str {
    // Prometheus puts the unit last, or before `total`
    let last = words.iter().rev().find(|word| *word != "total").map_or("", String::as_str);
    match last {
        "percent" | "pct" | "percentage" => "%",
        "ms" | "milliseconds" | "millis" => "ms",
        "seconds" | "sec" => "s",
        "us" | "microseconds" => "us",
        "bytes" => "By",
        "ratio" => "1",
        _ => "",
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

/// Splits a name into lower-case words: at whatever is no letter or digit, and where the case turns (`CPUUtilization`
/// is `cpu`, `utilization`).
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(at + 1);
        let turns = letter.is_uppercase()
            && (before.is_some_and(char::is_lowercase) || after.is_some_and(|next| next.is_lowercase()));
        if turns || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(metric: &str) -> (Kind, Harm) {
        let meaning = Meaning::of(metric, "", &[]);
        (meaning.kind, meaning.harm)
    }

    #[test]
    fn names_of_three_conventions_are_understood() {
        for (name, kind, harm) in [
            ("request_rate", Kind::Traffic, Harm::Both),
            ("error_rate", Kind::Errors, Harm::Up),
            ("latency_p99_ms", Kind::Latency, Harm::Up),
            ("cpu_percent", Kind::Cpu, Harm::Up),
            ("memory_percent", Kind::Memory, Harm::Up),
            ("db_connections", Kind::Pool, Harm::Up),
            ("consumer_lag", Kind::Lag, Harm::Up),
            ("http.server.request.duration", Kind::Latency, Harm::Up),
            ("db.client.connection.count", Kind::Pool, Harm::Up),
            ("CPUUtilization", Kind::Cpu, Harm::Up),
            ("node_filesystem_avail_bytes", Kind::Disk, Harm::Down),
            ("probe_ssl_earliest_cert_expiry", Kind::Certificate, Harm::Down),
            ("kafka_consumergroup_lag", Kind::Lag, Harm::Up),
            ("connection_pool_idle", Kind::Pool, Harm::Down),
            ("workload", Kind::Other, Harm::Both),
            ("flux_capacitance", Kind::Other, Harm::Both),
        ] {
            assert_eq!(guess(name), (kind, harm), "{name}");
        }
    }

    #[test]
    fn units_and_ceilings_follow_from_the_name_or_the_sample() {
        assert_eq!(Meaning::of("cpu_percent", "", &[]).ceiling, Some(100.0));
        assert_eq!(Meaning::of("disk_used", "%", &[]).ceiling, Some(100.0));
        assert_eq!(Meaning::of("request_seconds", "", &[]).unit.as_ref(), "s");
        let counter = Meaning::of("http_requests_total", "", &[]);
        assert!(counter.counter && counter.unit.as_ref() == "1/s");
    }

    #[test]
    fn an_override_wins_and_leaves_the_rest_as_guessed() {
        let overrides = [Override {
            metric: "jobs_*".into(),
            kind: Some(Kind::Pool),
            ceiling: Some(40.0),
            ..Override::default()
        }];
        let meaning = Meaning::of("jobs_running", "", &overrides);
        assert_eq!((meaning.kind, meaning.harm, meaning.ceiling), (Kind::Pool, Harm::Up, Some(40.0)));
        assert_eq!(Meaning::of("job_running", "", &overrides).kind, Kind::Other);
    }
}
