//! The opening of an incident: what, where, since when, how severe.

use serde::Serialize;
use shared::ending;
use shared::events::anomaly::{Direction, Ended, Status};
use shared::events::incident::{Incident, Relation, Signal, Suspect};
use shared::finding::Finding;
use shared::impact::{self, Tense};
use shared::text::{format, sanitize};

use super::{Deployment, Fact, blast, listed, meaning, name, sentence, sentences};

const MOST_SUSPECTS: usize = 3;
const MOST_SIGNALS: usize = 8;
const MOST_LOGS: usize = 3;

/// The opening of an incident.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Opened {
    /// Where, since when, how severe, blast radius.
    pub facts: Vec<Fact>,
    /// Hypotheses, best first.
    pub suspects: Vec<Hypothesis>,
    /// Members, strongest first.
    pub signals: Vec<Row>,
    /// Members that are not shown.
    pub more_signals: usize,
    /// Likely trigger.
    pub deployment: Option<Deployment>,
    /// Log lines of the suspect.
    pub logs: Vec<Log>,
}

/// A hypothesis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Hypothesis {
    /// Service.
    pub service: String,
    /// Kind of cause in words.
    pub cause: &'static str,
    /// E.g. `93 %`.
    pub confidence: String,
    /// The same as a whole number from 1 to 100, for the bar.
    pub share: u32,
    /// Why.
    pub reasons: Vec<String>,
}

impl Hypothesis {
    fn new(suspect: &Suspect) -> Self {
        Self {
            service: name(&suspect.service),
            cause: suspect.category.words(),
            confidence: format::percent(suspect.posterior),
            share: ((suspect.posterior * 100.0).round() as u32).clamp(1, 100),
            reasons: sentences(&suspect.reasons, 4),
        }
    }
}

/// A signal in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Service.
    pub service: String,
    /// Metric.
    pub metric: String,
    /// What was seen.
    pub observed: String,
    /// Above or below its band, abnormal in another way, or back inside it.
    pub side: &'static str,
    /// The same as an arrow; empty where it lies inside.
    pub arrow: &'static str,
    /// The band it was expected in.
    pub expected: String,
    /// The same in words: what was expected, or that the value lies inside.
    pub expectation: String,
    /// Time of the first abnormal sample.
    pub since: String,
}

impl Row {
    fn new(signal: &Signal) -> Self {
        let finding = Finding::from(signal);
        let (side, arrow) = match (signal.status, finding.side()) {
            (Status::Cleared, _) => match signal.end() {
                Some(Ended::Recovered) | None => ("back to normal", ""),
                Some(ended) => (ending::label(ended), ""),
            },
            (_, Some(Direction::Up)) => ("above", "↑"),
            (_, Some(Direction::Down)) => ("below", "↓"),
            (_, None) => ("abnormal", ""),
        };
        Self {
            service: name(&signal.service),
            metric: name(&signal.metric),
            observed: format::figure(signal.observed, &signal.unit),
            side,
            arrow,
            expected: format::band(&signal.expected, &signal.unit),
            expectation: finding.expectation(),
            since: format::clock(signal.started_at),
        }
    }
}

/// Log lines of one shape.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Log {
    /// Level.
    pub level: String,
    /// E.g. `41 times`.
    pub times: String,
    /// One line as it was written.
    pub example: String,
}

impl Opened {
    /// Builds the mail of an incident.
    pub fn new(incident: &Incident) -> Self {
        let suspect = incident.suspect().map(|suspect| suspect.service.as_str());
        let place = match suspect {
            Some(service) => format!("{} in {}", name(service), name(&incident.environment)),
            None => format!("{} in {}", listed(&incident.affected_services, 4), name(&incident.environment)),
        };
        let mut facts = vec![
            Fact::new("Where", place),
            Fact::new(
                "Since",
                format!(
                    "{}; detected after {}",
                    format::moment(incident.started_at),
                    format::between(incident.started_at, incident.opened_at)
                ),
            ),
            Fact::new("Severity", format!("{}: {}", incident.severity.label(), meaning(incident.severity))),
            Fact::new("Blast radius", blast(&incident.blast_radius)),
        ];
        if let Some(impact) = &incident.impact {
            facts.push(Fact::new("Impact", impact::in_words(impact, Tense::Present)));
        }
        if incident.reopened > 0 {
            let times = format::counted(incident.reopened as usize, "time");
            facts.push(Fact::new(
                "Opened again",
                format!("{times}: the fault came back after the incident was resolved"),
            ));
        }
        if incident.affected_services.len() > 1 {
            facts.push(Fact::new("Affected", listed(&incident.affected_services, 8)));
        }
        let logs = incident
            .signals
            .iter()
            .filter(|signal| suspect.is_none_or(|service| signal.service == service))
            .find(|signal| !signal.logs.is_empty())
            .map_or(&[][..], |signal| &signal.logs[..]);
        Self {
            facts,
            suspects: incident.suspects.iter().take(MOST_SUSPECTS).map(Hypothesis::new).collect(),
            signals: incident.signals.iter().take(MOST_SIGNALS).map(Row::new).collect(),
            more_signals: incident.members.len().saturating_sub(incident.signals.len().min(MOST_SIGNALS)),
            deployment: incident
                .deployment
                .as_ref()
                .map(|change| Deployment::new(change, incident.started_at)),
            logs: logs
                .iter()
                .take(MOST_LOGS)
                .map(|log| Log {
                    level: log.level.to_string().to_uppercase(),
                    times: if log.count == 1 { "once".to_owned() } else { format!("{} times", log.count) },
                    example: sanitize::one_line(&log.example, 240),
                })
                .collect(),
        }
    }

    /// Returns the summary in one or two sentences.
    pub fn lede(incident: &Incident) -> String {
        if incident.storm {
            return format!(
                "Very many incidents opened within a minute. What breaks meanwhile and belongs to none of them is collected \
                 here: {} of {} so far.",
                format::counted(incident.members.len(), "signal"),
                format::counted(incident.affected_services.len(), "service")
            );
        }
        let strongest =
            incident.signals.first().map(|signal| sentence(&signal.explanation)).unwrap_or_default();
        let cause = match incident.suspect() {
            Some(suspect) => format!(
                "Most likely cause: {} in {} ({}).",
                suspect.category.words(),
                name(&suspect.service),
                format::percent(suspect.posterior)
            ),
            None => "No likely cause is known yet.".to_owned(),
        };
        let told = match strongest.trim_end_matches('.') {
            "" => cause,
            strongest => format!("{strongest}. {cause}"),
        };
        let origin = incident.links.iter().find_map(|link| match link.relation {
            Relation::SplitFrom => {
                Some(format!(" Its signals were part of incident #{}, which is another fault.", link.number))
            }
            Relation::Follows => {
                Some(format!(" Incident #{} on the same call path was over shortly before.", link.number))
            }
            Relation::MergedInto | Relation::Absorbed | Relation::SplitInto => None,
        });
        told + &origin.unwrap_or_default()
    }
}
