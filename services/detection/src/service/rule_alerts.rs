//! Alerts of other rule engines, e.g. those that Prometheus sends to an Alertmanager: each by its own fingerprint.
//!
//! An alert fires when its source says so and clears when its source says so. One that is not sent again is over when the source
//! said it would be, and then nothing is known of a recovery.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Ended};
use shared::events::{self, Kind, Severity};
use shared::ids::AnomalyId;
use shared::text::sanitize::one_line;

use super::Service;
use super::outcome::{Outcome, Reason};
use crate::alert::certainty::Certainty;
use crate::alert::format::{duration, time};
use crate::alert::{Alert, Detector, Report, Subject, Verdict};
use crate::config::{AlertOptions, AlertWeight};
use crate::metric_profile::MetricProfile;

/// Name and version of the detector.
const DETECTOR: &str = "alertmanager/1";
/// Alerts of one service that are open at a time; further ones are dropped and counted.
const MAX_ALERTS: usize = 500;
/// Longest text of an explanation that is the source's, characters.
const MAX_SUMMARY: usize = 300;

/// The alerts of one service that fire, by fingerprint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RuleAlerts(BTreeMap<Box<str>, RuleAlert>);

/// One alert that fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RuleAlert {
    name: Box<str>,
    /// What it measures, guessed from its name.
    kind: Kind,
    severity: Box<str>,
    summary: Box<str>,
    starts_ms: i64,
    /// When it is over unless it is sent again.
    expires_ms: i64,
    /// When its source last said that it fires.
    newest_ms: i64,
    alert: Option<Box<Alert>>,
}

/// What happens to an alert.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Its source says that it fires.
    Firing(AlertWeight),
    /// Its source says that it is over.
    Resolved,
    /// Its source has not said anything for too long.
    Expired,
}

/// An event of one alert of a service.
struct Observation<'a> {
    service: &'a str,
    event: Event,
    at_ms: i64,
}

impl Detector for RuleAlert {
    type Input<'a> = Observation<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, Observation { service, event, at_ms }: Observation<'_>) -> Option<Report> {
        let verdict = verdict(event)?;
        let revision = Alert::follow(&mut self.alert, &verdict, self.starts_ms)?;
        let metric = format!("alert:{}", self.name).into();
        let subject = Subject { metric, kind: self.kind, unit: "".into(), detector: DETECTOR };
        let ended = match event {
            Event::Expired => Ended::SourceGone,
            Event::Resolved | Event::Firing(_) => Ended::Recovered,
        };
        let explanation = self.sentence(service, event, at_ms);
        Some(Report::new(subject, &revision, verdict, at_ms).explained(explanation).ended_by(ended))
    }
}

/// Returns what an event says; nothing of an alert that is not to count.
fn verdict(event: Event) -> Option<Verdict> {
    let expected = Band { lower: 0.0, center: 0.0, upper: 0.0 };
    let (certainty, severity) = match event {
        Event::Resolved | Event::Expired => return Some(Verdict::over(Direction::Up, 0.0, expected)),
        Event::Firing(AlertWeight::Ignore) => return None,
        Event::Firing(AlertWeight::Suspect) => (Certainty::Noticed, Severity::Sev4),
        Event::Firing(AlertWeight::Sev4) => (Certainty::Certain, Severity::Sev4),
        Event::Firing(AlertWeight::Sev3) => (Certainty::Certain, Severity::Sev3),
        Event::Firing(AlertWeight::Sev2) => (Certainty::Certain, Severity::Sev2),
        Event::Firing(AlertWeight::Sev1) => (Certainty::Certain, Severity::Sev1),
    };
    let nats = certainty.stated_nats();
    Some(Verdict { certainty, nats, severity, direction: Direction::Up, observed: 1.0, expected })
}

impl RuleAlert {
    fn new(alert: &events::Alert) -> Self {
        Self {
            name: alert.name.as_str().into(),
            kind: MetricProfile::of(&alert.name, "", &[]).kind,
            severity: one_line(&alert.severity, MAX_SUMMARY).into(),
            summary: one_line(&alert.summary, MAX_SUMMARY).into(),
            starts_ms: alert.starts_ms,
            expires_ms: i64::MAX,
            newest_ms: alert.ts_ms,
            alert: None,
        }
    }

    fn sentence(&self, service: &str, event: Event, at_ms: i64) -> String {
        let name = one_line(&self.name, MAX_SUMMARY);
        let since = time(self.starts_ms, at_ms);
        match event {
            Event::Firing(_) => {
                let severity =
                    if self.severity.is_empty() { String::new() } else { format!(" ({})", self.severity) };
                let summary =
                    if self.summary.is_empty() { String::new() } else { format!(": {}", self.summary) };
                format!("the alert {name}{severity} of {service} fires since {since}{summary}")
            }
            Event::Resolved => {
                format!("the alert {name} of {service}, which had fired since {since}, is resolved")
            }
            Event::Expired => format!(
                "the alert {name} of {service}, which had fired since {since}, was not sent again for {}",
                duration(at_ms.saturating_sub(self.newest_ms))
            ),
        }
    }
}

impl RuleAlerts {
    /// Returns when the first of them is over unless it is sent again, milliseconds.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        self.0.values().map(|alert| alert.expires_ms).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Service {
    /// Takes what a source says of one alert. `now_ms` is the time of the record.
    pub(crate) fn observe_rule_alert(
        &mut self,
        alert: &events::Alert,
        now_ms: i64,
        options: &AlertOptions,
        outcome: &mut Outcome,
    ) -> Result<(), Reason> {
        let known = self.rule_alerts.0.get(&*alert.fingerprint);
        if known.is_some_and(|known| alert.starts_ms < known.starts_ms || alert.ts_ms < known.newest_ms) {
            return Err(Reason::OutOfOrder);
        }
        let starts_anew = known.is_some_and(|known| alert.starts_ms > known.starts_ms);
        let expires_ms = alert.ends_ms.unwrap_or(alert.ts_ms.saturating_add(options.forget_after_ms()));
        let fires = alert.firing && expires_ms > alert.ts_ms;
        if starts_anew || !fires {
            // where it starts anew its end was lost on the way
            let at_ms =
                if fires { alert.starts_ms } else { alert.ends_ms.unwrap_or(alert.ts_ms).min(alert.ts_ms) };
            self.end_rule_alert(&alert.fingerprint, Event::Resolved, at_ms, outcome);
        }
        let weight = options.weight(&alert.severity);
        if !fires || weight == AlertWeight::Ignore {
            return Ok(());
        }
        if self.rule_alerts.0.len() >= MAX_ALERTS && !self.rule_alerts.0.contains_key(&*alert.fingerprint) {
            return Err(Reason::SeriesLimit);
        }
        let entry = self.rule_alerts.0.entry(alert.fingerprint.as_str().into());
        let entry = entry.or_insert_with(|| RuleAlert::new(alert));
        (entry.newest_ms, entry.expires_ms) = (alert.ts_ms, expires_ms);
        entry.severity = one_line(&alert.severity, MAX_SUMMARY).into();
        let event = Event::Firing(weight);
        let report =
            entry.observe(Observation { service: &self.name, event, at_ms: now_ms.min(alert.ts_ms) });
        self.publish_rule_alert(&alert.fingerprint, report, outcome);
        Ok(())
    }

    /// Ends the alerts that are over because they were not sent again.
    pub(crate) fn expire_rule_alerts(&mut self, now_ms: i64, outcome: &mut Outcome) {
        let over = self.rule_alerts.0.iter().filter(|(_, alert)| alert.expires_ms <= now_ms);
        let over: Vec<(Box<str>, i64)> =
            over.map(|(fingerprint, alert)| (fingerprint.clone(), alert.expires_ms)).collect();
        for (fingerprint, expires_ms) in over {
            self.end_rule_alert(&fingerprint, Event::Expired, expires_ms, outcome);
        }
    }

    fn end_rule_alert(&mut self, fingerprint: &str, event: Event, at_ms: i64, outcome: &mut Outcome) {
        let Some(mut alert) = self.rule_alerts.0.remove(fingerprint) else { return };
        let report =
            alert.observe(Observation { service: &self.name, event, at_ms: at_ms.max(alert.starts_ms) });
        self.publish_rule_alert(fingerprint, report, outcome);
    }

    /// Publishes the report of an alert. Two of one name that start at the same time are two episodes.
    fn publish_rule_alert(&self, fingerprint: &str, report: Option<Report>, outcome: &mut Outcome) {
        let Some(report) = report else { return };
        let is_decision = report.is_decision;
        let mut anomaly = self.anomaly(report);
        let identity = format!("{}:{fingerprint}", anomaly.metric);
        anomaly.anomaly_id = AnomalyId::of_episode(
            &self.environment,
            &self.name,
            &identity,
            anomaly.started_at.as_millisecond(),
        );
        if is_decision {
            outcome.decide(anomaly.anomaly_id);
        }
        outcome.add(anomaly);
    }
}
