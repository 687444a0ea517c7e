//! Settings.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use shared::events::Incident;
use shared::service::StageOptions;
use shared::text::secrets::Redactor;

use crate::log_terms::LogTerms;

/// Most that `resolve_hold_max_ms` may be.
const LONGEST_HOLD_MS: u64 = 86_400_000;
/// Most that `max_age_hours` may be.
const LONGEST_AGE_HOURS: u32 = 8_760;
/// Most that `edge_age_hours` may be: the store removes an edge that was not seen for 90 days.
const LONGEST_EDGE_AGE_HOURS: u32 = 24 * 90;

/// Times that an incident was opened again after which incidents are looked for no further back.
const MOST_FLAPS: u32 = 5;

/// Settings of correlation. Times that are given in intervals follow the cadence of the series themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How long a new group gathers before it is announced, in intervals of the series that opened it.
    pub group_wait_intervals: f64,
    /// Least of that wait, milliseconds.
    pub group_wait_min_ms: u64,
    /// Most of that wait, milliseconds.
    pub group_wait_max_ms: u64,
    /// How long all members must stay cleared before the incident is over, in intervals of the slowest member.
    pub resolve_hold_intervals: f64,
    /// Most of that, milliseconds.
    pub resolve_hold_max_ms: u64,
    /// How long after its incident was resolved a fault that comes back opens it again instead of another one, and how long
    /// all members of an incident that was opened again must stay cleared, milliseconds. Doubles with each time.
    pub flap_hold_ms: u64,
    /// Incidents of one environment that may open within a minute. What would open another one joins one incident, the storm; 0
    /// for no limit.
    pub storm_incidents: u32,
    /// After how many of its intervals without any news a firing member is not waited for any more. Detection repeats a
    /// member every 10 samples (`refresh_every`).
    pub unseen_intervals: f64,
    /// Least of that, milliseconds.
    pub unseen_min_ms: u64,
    /// Age at which a person is asked to look at an incident, and from which it takes in no further series, hours.
    pub max_age_hours: u32,
    /// Summed evidence, in nats, at which weak signals of several series open an incident together.
    pub open_nats: f64,
    /// Evidence, in nats, below which a firing series that nothing else speaks for does not open an incident at once.
    pub slight_nats: f64,
    /// For how long such a series has to fire, in its intervals.
    pub slight_intervals: f64,
    /// Lead, in nats, that another hypothesis must have over the suspect that was announced before it replaces it.
    pub cause_lead_nats: f64,
    /// For how long it must have that lead, in intervals of the slowest member.
    pub cause_hold_intervals: f64,
    /// Least of that, milliseconds.
    pub cause_hold_min_ms: u64,
    /// Most of that, milliseconds.
    pub cause_hold_max_ms: u64,
    /// Members that go on after a person has resolved their incident, and become no worse, open it again after this time,
    /// minutes.
    pub manual_hold_min: u32,
    /// What is replaced in text from telemetry and of changes; set from `[redaction]`.
    #[serde(skip)]
    pub redactor: Redactor,
    /// Terms in log lines by the kind of cause they name. Categories that are not listed keep the embedded terms.
    pub log_terms: LogTerms,
    /// A change this long before the first symptom may be its trigger, minutes.
    pub deployment_window_min: u32,
    /// An edge of the service graph that was not seen for this long is not used, hours.
    pub edge_age_hours: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            group_wait_intervals: 1.0,
            group_wait_min_ms: 500,
            group_wait_max_ms: 15_000,
            resolve_hold_intervals: 3.0,
            resolve_hold_max_ms: 900_000,
            flap_hold_ms: 600_000,
            storm_incidents: 20,
            unseen_intervals: 60.0,
            unseen_min_ms: 1_800_000,
            max_age_hours: 24,
            open_nats: 6.0,
            slight_nats: 3.0,
            slight_intervals: 6.0,
            cause_lead_nats: 1.5,
            cause_hold_intervals: 5.0,
            cause_hold_min_ms: 3_000,
            cause_hold_max_ms: 120_000,
            manual_hold_min: 30,
            redactor: Redactor::default(),
            log_terms: LogTerms::default(),
            deployment_window_min: 60,
            edge_age_hours: 24 * 7,
        }
    }
}

impl Options {
    /// Returns how long all members must stay cleared if the slowest has a sample every `interval_ms`.
    pub fn hold(&self, interval_ms: u64) -> SignedDuration {
        let hold_ms = (interval_ms as f64 * self.resolve_hold_intervals).min(self.resolve_hold_max_ms as f64);
        SignedDuration::from_millis(hold_ms as i64)
    }

    /// Returns how long all members of an incident must stay cleared that was opened again `reopened` times.
    pub fn hold_of(&self, incident: &Incident, interval_ms: u64) -> SignedDuration {
        match incident.reopened {
            0 => self.hold(interval_ms),
            times => self.hold(interval_ms).max(self.flap_window(times - 1)),
        }
    }

    /// Returns how long after it was resolved the fault of an incident that was opened again `reopened` times opens it once more.
    pub fn flap_window(&self, reopened: u32) -> SignedDuration {
        let doubled = self.flap_hold_ms.saturating_mul(1 << reopened.min(16));
        SignedDuration::from_millis(doubled.min(LONGEST_HOLD_MS) as i64)
    }

    /// Returns how far back incidents that are over may still matter to a series with a sample every `interval_ms`.
    pub fn look_back(&self, interval_ms: u64) -> SignedDuration {
        (self.hold(interval_ms) * 2).max(self.flap_window(MOST_FLAPS))
    }
}

impl StageOptions for Options {
    fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in [
            ("group_wait_intervals", self.group_wait_intervals),
            ("resolve_hold_intervals", self.resolve_hold_intervals),
            ("unseen_intervals", self.unseen_intervals),
            ("open_nats", self.open_nats),
            ("slight_nats", self.slight_nats),
            ("slight_intervals", self.slight_intervals),
            ("cause_lead_nats", self.cause_lead_nats),
            ("cause_hold_intervals", self.cause_hold_intervals),
        ] {
            if !(value.is_finite() && (0.0..=1_000.0).contains(&value)) {
                problems.push(format!("{name} {value} is not between 0 and 1000"));
            }
        }
        if self.resolve_hold_max_ms > LONGEST_HOLD_MS {
            problems.push(format!("resolve_hold_max_ms {} is more than a day", self.resolve_hold_max_ms));
        }
        if !(1_000..=LONGEST_HOLD_MS).contains(&self.unseen_min_ms) {
            problems.push(format!("unseen_min_ms {} is not between a second and a day", self.unseen_min_ms));
        }
        if !(1..=LONGEST_AGE_HOURS).contains(&self.max_age_hours) {
            problems.push(format!("max_age_hours {} is not between an hour and a year", self.max_age_hours));
        }
        if self.cause_hold_max_ms > LONGEST_HOLD_MS {
            problems.push(format!("cause_hold_max_ms {} is more than a day", self.cause_hold_max_ms));
        }
        if !(1..=24 * 60).contains(&self.manual_hold_min) {
            problems
                .push(format!("manual_hold_min {} is not between a minute and a day", self.manual_hold_min));
        }
        if self.edge_age_hours > LONGEST_EDGE_AGE_HOURS {
            problems.push(format!("edge_age_hours {} is more than 90 days", self.edge_age_hours));
        }
        if self.flap_hold_ms > LONGEST_HOLD_MS {
            problems.push(format!("flap_hold_ms {} is more than a day", self.flap_hold_ms));
        }
        if self.group_wait_min_ms > self.group_wait_max_ms {
            problems.push("group_wait_min_ms is above group_wait_max_ms".to_owned());
        }
        if self.cause_hold_min_ms > self.cause_hold_max_ms {
            problems.push("cause_hold_min_ms is above cause_hold_max_ms".to_owned());
        }
        problems.extend(self.log_terms.validate());
        problems
    }
}
