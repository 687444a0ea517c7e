//! Settings of detection, under `[detection]` or `FIREWATCH_DETECTION__...`.

mod labels;
mod zone;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::events::Topic;
use shared::service::StageOptions;
use shared::text::secrets::Redactor;

use crate::metric_profile::{Override, fits};
pub use labels::LabelOptions;
pub use zone::Zone;

/// Budgets that can be configured, false alarms a week.
pub(crate) const BUDGETS_A_WEEK: std::ops::RangeInclusive<f64> = 1e-3..=1e6;
/// Samples of a series that are kept for charts and for founding a baseline.
pub const BUFFER_SAMPLES: usize = 60;
/// Most phrases that may be configured, and most characters of one.
const MAX_PHRASES: usize = 100;
const MAX_PHRASE_CHARS: usize = 100;

/// Settings; every one has a default that is meant to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is replaced in log lines and sentences before they are published; set from `[redaction]`.
    #[serde(skip)]
    pub redactor: Redactor,
    /// Samples of a series before it is judged (10 to 60).
    pub warm_up: u32,
    /// Samples that a series' level remembers: long enough to be steady, short enough to follow the day.
    pub memory: u32,
    /// Samples after which a firing episode is reported again though nothing has changed, to refresh its chart.
    pub refresh_every: u32,
    /// Samples after which a steady new level is accepted as normal; twelve times as many where it is SEV2 or worse.
    pub accept_after: u32,
    /// Seconds that must have passed as well.
    pub accept_after_s: u32,
    /// Seconds by which a sample may be ahead of all others of its partition, and of the record's time.
    pub ahead_s: u32,
    /// Seconds behind its series from which a sample counts as late, not just out of order.
    pub late_after_s: u32,
    /// Seconds of silence after which a source is taken to be gone.
    pub gone_after_s: u32,
    /// Seconds of silence that are forgiven any source, however regular it is.
    pub silence_after_s: u32,
    /// Most series of one partition; samples of further ones are dropped and counted.
    pub max_series: usize,
    /// Most series of one service, which bounds its snapshot.
    pub max_series_per_service: usize,
    /// Time between snapshots, seconds: what is read again after a crash.
    pub snapshot_every_s: u32,
    /// Most that snapshots may write, MiB a second; where there is more state, they are written less often.
    pub snapshot_mib_s: f64,
    /// Days before its end from which on a certificate is noticed.
    pub certificate_notice_days: u32,
    /// Days before its end from which on it is certain that its renewal was missed.
    pub certificate_days: u32,
    /// Days before its end from which on that is urgent.
    pub certificate_urgent_days: u32,
    /// False alarms a week that all series of all partitions together may raise.
    pub false_alarms_a_week: f64,
    /// Zone in which days, weeks and months begin, for example `Europe/Berlin`.
    pub time_zone: Zone,
    /// Partitions among which all series are spread, as evenly as keys fall.
    pub partitions: u32,
    /// Environments in which the objectives of the service catalogue hold; a `*` at the end stands for any rest.
    pub catalogue_environments: Vec<String>,
    /// Corrections of what metrics mean.
    pub metrics: Vec<Override>,
    /// Which labels split what is judged.
    pub labels: LabelOptions,
    /// What counts as a critical log line.
    pub logs: LogOptions,
    /// How alerts of other rule engines count.
    pub alerts: AlertOptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            redactor: Redactor::default(),
            warm_up: 30,
            memory: 240,
            refresh_every: 10,
            accept_after: 500,
            accept_after_s: 3600,
            ahead_s: 300,
            late_after_s: 3600,
            gone_after_s: 86_400,
            silence_after_s: 30,
            max_series: 100_000,
            max_series_per_service: 500,
            snapshot_every_s: 5,
            snapshot_mib_s: 4.0,
            certificate_notice_days: 30,
            certificate_days: 14,
            certificate_urgent_days: 3,
            false_alarms_a_week: 1.0,
            time_zone: Zone::default(),
            partitions: Topic::RawMetrics.partitions().unsigned_abs(),
            catalogue_environments: vec!["*".to_owned()],
            metrics: Vec::new(),
            labels: LabelOptions::default(),
            logs: LogOptions::default(),
            alerts: AlertOptions::default(),
        }
    }
}

impl Settings {
    /// Returns whether the objectives of the service catalogue hold in an environment.
    pub(crate) fn heeds_catalogue(&self, environment: &str) -> bool {
        self.catalogue_environments.iter().any(|pattern| fits(pattern, environment))
    }

    pub(crate) fn accept_after_ms(&self) -> i64 {
        i64::from(self.accept_after_s) * 1000
    }

    pub(crate) fn ahead_ms(&self) -> i64 {
        i64::from(self.ahead_s) * 1000
    }

    pub(crate) fn silence_after_ms(&self) -> i64 {
        i64::from(self.silence_after_s) * 1000
    }

    pub(crate) fn gone_after_ms(&self) -> i64 {
        i64::from(self.gone_after_s) * 1000
    }

    pub(crate) fn late_after_ms(&self) -> i64 {
        i64::from(self.late_after_s) * 1000
    }
}

/// Settings of log detection, under `[detection.logs]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// Further phrases that are critical (SEV3).
    pub critical: Vec<String>,
    /// Whether the phrases that come with detection count as well.
    pub critical_defaults: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { critical: Vec::new(), critical_defaults: true }
    }
}

impl LogOptions {
    /// Returns what is wrong with them.
    fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.critical.len() > MAX_PHRASES {
            problems.push(format!("logs: critical has more than {MAX_PHRASES} phrases"));
        }
        for phrase in &self.critical {
            if !phrase.contains(char::is_alphanumeric) {
                problems.push(format!("logs: the critical phrase {phrase:?} has no word"));
            } else if phrase.chars().count() > MAX_PHRASE_CHARS {
                problems
                    .push(format!("logs: a critical phrase is longer than {MAX_PHRASE_CHARS} characters"));
            }
        }
        problems
    }
}

/// Settings of alerts of other rule engines, under `[detection.alerts]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertOptions {
    /// How an alert counts by the word of its severity, beside the usual words; case does not matter.
    pub severities: BTreeMap<String, AlertWeight>,
    /// How one counts whose word is unknown or that has none.
    pub otherwise: AlertWeight,
    /// Hours after which an alert is over that is not sent again and whose source did not say when it would be.
    pub forget_after_h: u32,
}

/// How an alert of another rule engine counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertWeight {
    /// Opens an incident.
    Sev1,
    /// The same.
    Sev2,
    /// The same.
    Sev3,
    /// The same.
    Sev4,
    /// Opens none alone, but adds to the evidence of others.
    Suspect,
    /// Does not count.
    Ignore,
}

impl Default for AlertOptions {
    fn default() -> Self {
        Self { severities: BTreeMap::new(), otherwise: AlertWeight::Sev3, forget_after_h: 24 }
    }
}

impl AlertOptions {
    pub(crate) fn forget_after_ms(&self) -> i64 {
        i64::from(self.forget_after_h) * 3_600_000
    }

    /// Returns how an alert of that severity counts.
    pub(crate) fn weight(&self, severity: &str) -> AlertWeight {
        let word = severity.to_ascii_lowercase();
        if let Some(weight) = self.severities.get(&word) {
            return *weight;
        }
        match word.as_str() {
            "critical" | "page" | "emergency" | "fatal" | "disaster" | "sev1" | "p1" => AlertWeight::Sev2,
            "error" | "high" | "major" | "sev2" | "p2" | "sev3" | "p3" | "average" => AlertWeight::Sev3,
            "warning" | "warn" | "minor" | "medium" | "low" | "sev4" | "p4" | "ticket" => {
                AlertWeight::Suspect
            }
            "info" | "information" | "none" | "ok" | "p5" | "debug" => AlertWeight::Ignore,
            _ => self.otherwise,
        }
    }
}

impl StageOptions for Settings {
    fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        require((10..=BUFFER_SAMPLES as u32).contains(&self.warm_up), "warm_up must be between 10 and 60");
        require(self.memory >= self.warm_up, "memory must not be below warm_up");
        require(self.refresh_every >= 1, "refresh_every must be at least 1");
        require(self.accept_after >= BUFFER_SAMPLES as u32, "accept_after must be at least 60");
        require((1..=300).contains(&self.snapshot_every_s), "snapshot_every_s must be between 1 and 300");
        require((0.1..=1024.0).contains(&self.snapshot_mib_s), "snapshot_mib_s must be between 0.1 and 1024");
        require(self.max_series >= 1, "max_series must be at least 1");
        require(
            (1..=500).contains(&self.max_series_per_service),
            "max_series_per_service must be between 1 and 500: a snapshot must fit into one record",
        );
        require(
            self.certificate_notice_days >= self.certificate_days
                && self.certificate_days >= self.certificate_urgent_days,
            "certificate_notice_days, certificate_days and certificate_urgent_days must not rise",
        );
        require(
            BUDGETS_A_WEEK.contains(&self.false_alarms_a_week),
            "false_alarms_a_week must be between 0.001 and 1000000",
        );
        require(self.partitions >= 1, "partitions must be at least 1");
        require(
            (1..=720).contains(&self.alerts.forget_after_h),
            "alerts: forget_after_h must be between 1 and 720",
        );
        require(
            self.alerts.severities.keys().all(|word| word.bytes().all(|byte| !byte.is_ascii_uppercase())),
            "alerts: the words of severities must be in lower case",
        );
        for correction in &self.metrics {
            let ceiling = correction.ceiling.is_none_or(|value| value.is_finite() && value > 0.0);
            let floor = correction.floor.is_none_or(|value| value.is_finite() && value >= 0.0);
            let objective = correction.objective.is_none_or(f64::is_finite);
            let sensitivity = correction.sensitivity.is_none_or(|value| (0.1..=10.0).contains(&value));
            require(objective, &format!("metrics: the objective of {} must be a number", correction.metric));
            require(
                sensitivity,
                &format!("metrics: the sensitivity of {} must be between 0.1 and 10", correction.metric),
            );
            require(!correction.metric.is_empty(), "metrics: an entry names no metric");
            require(ceiling, &format!("metrics: the ceiling of {} must be above 0", correction.metric));
            require(floor, &format!("metrics: the floor of {} must not be negative", correction.metric));
        }
        problems.extend(self.labels.validate());
        problems.extend(self.logs.validate());
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_named_at_once() {
        assert_eq!(Settings::default().validate(), [""; 0]);
        let wrong = Settings { warm_up: 5, refresh_every: 0, ..Settings::default() };
        assert_eq!(wrong.validate().len(), 2);
        let critical = |phrases: &[&str]| LogOptions {
            critical: phrases.iter().map(|&phrase| phrase.to_owned()).collect(),
            ..LogOptions::default()
        };
        assert_eq!(critical(&["ok", "--", &"x".repeat(101)]).validate().len(), 2);
        assert_eq!(critical(&["x"; 101]).validate().len(), 1);
    }
}
