//! The resolution of an incident: how long it lasted, why it is over, and how each signal ended.

use serde::Serialize;
use shared::ending;
use shared::events::anomaly::Ended;
use shared::events::incident::{Incident, Signal};
use shared::text::format;

use super::{Deployment, Fact, listed, meaning, name, sentence};

const MOST_SIGNALS: usize = 10;

/// The resolution of an incident.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Resolved {
    /// Durations and extent.
    pub facts: Vec<Fact>,
    /// Heading of the signals: that they recovered, where all of them have.
    pub signals_heading: &'static str,
    /// Signals with their ends, strongest first.
    pub signals: Vec<Row>,
    /// Members that are not shown.
    pub more_signals: usize,
    /// Likely trigger.
    pub deployment: Option<Deployment>,
}

/// A signal and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Service.
    pub service: String,
    /// Metric.
    pub metric: String,
    /// The abnormal sample farthest from the band, of those that were kept.
    pub worst: String,
    /// Last value.
    pub now: String,
    /// The band.
    pub expected: String,
    /// When it cleared.
    pub cleared: String,
    /// How it ended, one sentence; empty where it recovered.
    pub ended: String,
}

impl Row {
    fn new(signal: &Signal) -> Self {
        Self {
            service: name(&signal.service),
            metric: name(&signal.metric),
            worst: worst(signal).map_or_else(|| "–".to_owned(), |value| format::figure(value, &signal.unit)),
            now: format::figure(signal.observed, &signal.unit),
            expected: format::band(&signal.expected, &signal.unit),
            cleared: signal.cleared_at.map_or_else(|| "–".to_owned(), format::clock),
            ended: if has_recovered(signal) { String::new() } else { sentence(&ending::sentence(signal)) },
        }
    }
}

fn has_recovered(signal: &Signal) -> bool {
    signal.end() == Some(Ended::Recovered)
}

fn worst(signal: &Signal) -> Option<f64> {
    let end = signal.cleared_at.map_or(i64::MAX, jiff::Timestamp::as_millisecond);
    signal
        .samples
        .iter()
        .filter(|point| point.ts_ms >= signal.started_at.as_millisecond() && point.ts_ms < end)
        .map(|point| point.value)
        .filter(|value| value.is_finite())
        .max_by(|a, b| (a - signal.expected.center).abs().total_cmp(&(b - signal.expected.center).abs()))
}

impl Resolved {
    /// Builds the mail of a resolved incident.
    pub fn new(incident: &Incident) -> Self {
        let end = incident.resolved_at.unwrap_or(incident.opened_at);
        let mut facts = vec![
            Fact::new("Duration", format::between(incident.started_at, end)),
            Fact::new("Started", format::moment(incident.started_at)),
            Fact::new(
                "Detected",
                format!("after {}", format::between(incident.started_at, incident.opened_at)),
            ),
            Fact::new("Resolved", format!("{}{}", format::moment(end), how(incident.reason()))),
            Fact::new("Severity", format!("{}: {}", incident.severity.label(), meaning(incident.severity))),
        ];
        if !incident.affected_services.is_empty() {
            facts.push(Fact::new("Affected", listed(&incident.affected_services, 8)));
        }
        if let Some(suspect) = incident.suspect() {
            facts.push(Fact::new(
                "Suspect",
                format!(
                    "{}: {} ({})",
                    name(&suspect.service),
                    suspect.category.words(),
                    format::percent(suspect.posterior)
                ),
            ));
        }
        Self {
            facts,
            signals_heading: if incident.signals.iter().all(has_recovered) {
                "Recovered signals"
            } else {
                "How the signals ended"
            },
            signals: incident.signals.iter().take(MOST_SIGNALS).map(Row::new).collect(),
            more_signals: incident.members.len().saturating_sub(incident.signals.len().min(MOST_SIGNALS)),
            deployment: incident
                .deployment
                .as_ref()
                .map(|change| Deployment::new(change, incident.started_at)),
        }
    }

    /// Returns the summary in one sentence.
    pub fn lede(incident: &Incident) -> String {
        let end = incident.resolved_at.unwrap_or(incident.opened_at);
        let lasted = format::between(incident.started_at, end);
        if let Some(link) = incident.merged_into() {
            return format!(
                "Merged into incident #{}: both are of the same fault. It is followed there.",
                link.number
            );
        }
        let lasted = format!("The incident lasted {lasted}.");
        let reason = incident.reason();
        if !reason.is_recovery() {
            return format!("{}. {lasted}", sentence(&not_recovered(incident, reason)));
        }
        let others = incident.signals.iter().filter(|signal| !has_recovered(signal)).count();
        match (incident.members.len(), others) {
            (0 | 1, 0) => format!("The abnormal series is back to normal. {lasted}"),
            (many, 0) => format!("All {many} abnormal series are back to normal. {lasted}"),
            (_, others) => {
                let weaker = format::counted(others, "weaker signal");
                format!("The series that fired are back to normal; {weaker} did not recover. {lasted}")
            }
        }
    }
}

/// Says why an incident is over that did not end with a recovery: by its strongest signal that ended so.
fn not_recovered(incident: &Incident, reason: Ended) -> String {
    let why = ending::headline(reason);
    let recovered = incident.signals.iter().filter(|signal| has_recovered(signal)).count();
    let others = match recovered {
        0 => String::new(),
        count => format!("; {} recovered", format::counted(count, "other signal")),
    };
    match incident.signals.iter().find(|signal| signal.end() == Some(reason)) {
        Some(signal) => format!("{why}: {}{others}", ending::sentence(signal)),
        None => format!("{why}{others}"),
    }
}

/// Returns what is added to the time of a resolution.
fn how(reason: Ended) -> String {
    if reason.is_recovery() { String::new() } else { format!(", {}", ending::label(reason)) }
}
