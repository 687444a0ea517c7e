//! `incidents.opened`, `incidents.updated`, `incidents.resolved`: the incident as it stands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::anomaly::{
    Anomaly, Band, Direction, Ended, FailedRequest, FailingRequests, LogTemplate, MAX_REQUESTS, Point,
    Sibling, Status, series_name,
};
use super::{Category, Event, Kind, Refusal, Severity, finite, named};
use crate::ids::{AnomalyId, ComplaintId, IncidentId};
use crate::text::seal::Sealed;
use crate::text::secrets::MAX_SEALED;

/// State of an incident. `shared::lifecycle` has the allowed transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A first anomaly has opened it; the group has not settled, nobody was notified.
    Detecting,
    /// The group has settled and was announced.
    Correlating,
    /// The investigation runs.
    Investigating,
    /// A ranked cause (or "unknown") is on record.
    RcaComplete,
    /// A plan was proposed.
    Remediating,
    /// No member is firing any more, for the hold. [`Incident::resolution`] says why.
    Resolved,
    /// The postmortem is written.
    Closed,
}

impl State {
    /// Returns whether the fault is still going on.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Resolved | Self::Closed)
    }
}

/// A hypothesis: a service and a kind of cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    /// Service.
    pub service: String,
    /// Kind of cause.
    pub category: Category,
    /// Explained evidence minus expected evidence that is absent, nats.
    pub score: f64,
    /// Probability of this service and this kind of cause among all hypotheses, including "not visible"; 0 to 1.
    pub posterior: f64,
    /// Probability of the service, whatever the kind of cause; 0 to 1. Absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_posterior: Option<f64>,
    /// One sentence for each observation that speaks for it, strongest first.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// A hypothesis that leads clearly over the first suspect. It becomes the first suspect if it keeps its lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Challenger {
    /// Service.
    pub service: String,
    /// Kind of cause.
    pub category: Category,
    /// Event time at which it took the lead.
    pub since: Timestamp,
}

/// One member: the last revision of an anomaly, with the data to draw and to check it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// Id of the anomaly.
    pub anomaly_id: AnomalyId,
    /// Revision of the anomaly.
    pub revision: u32,
    /// Service.
    pub service: String,
    /// Metric name.
    pub metric: String,
    /// Labels that tell the series from others of the same metric.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// Unit of the series, or empty.
    #[serde(default)]
    pub unit: String,
    /// What the series measures.
    pub kind: Kind,
    /// Severity of this series alone.
    pub severity: Severity,
    /// Status of the episode.
    pub status: Status,
    /// Strongest evidence of the episode so far, nats.
    pub evidence: f64,
    /// Direction of the deviation.
    pub direction: Direction,
    /// Last observed value, in the unit of the series.
    pub observed: f64,
    /// Expected band, in the unit of the series.
    pub expected: Band,
    /// Event time of the first abnormal sample.
    pub started_at: Timestamp,
    /// Event time of the sample of the last revision.
    pub observed_at: Timestamp,
    /// Event time at which it cleared; null until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
    /// Why it ended, once it has cleared. Older writers leave it out: see [`Signal::end`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// Usual distance between samples, milliseconds.
    pub interval_ms: u64,
    /// Explanation of the last revision, one sentence.
    pub explanation: String,
    /// Fastest burn rate of an availability objective while it fired: see [`Anomaly::burn_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn_rate: Option<f64>,
    /// Most requests that failed while it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<FailingRequests>,
    /// Samples, oldest first (at most 120).
    #[serde(default)]
    pub samples: Vec<Point>,
    /// Other series of the service (at most 20).
    #[serde(default)]
    pub siblings: Vec<Sibling>,
    /// Recent log lines of the service (at most 5 templates).
    #[serde(default)]
    pub logs: Vec<LogTemplate>,
    /// Requests for which the service has lately logged warnings or errors (at most 8). Incidents leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<FailedRequest>,
    /// What its log lines complain of that other services may complain of too (at most [`MAX_COMPLAINTS`]). Incidents leave it
    /// out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<Complaint>,
    /// Values behind placeholders in its texts, sealed. Incidents leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Sealed>,
}

/// Complaints that a signal carries at most.
pub const MAX_COMPLAINTS: usize = 4;

/// What a log line complains of that services share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Complaint {
    /// Derived from what the line names.
    pub id: ComplaintId,
    /// Whether the line names it, by an address or as a far end; otherwise it is known by the words of the line.
    pub is_named: bool,
}

impl Signal {
    /// Returns why it ended; nothing while it has not. An end without a reason is from an older writer, which knew no
    /// other reason than recovery.
    pub fn end(&self) -> Option<Ended> {
        (self.status == Status::Cleared).then(|| self.ended.unwrap_or(Ended::Recovered))
    }

    /// Returns the metric with its dimensions: see [`series_name`].
    pub fn series(&self) -> Cow<'_, str> {
        series_name(&self.metric, &self.dimensions)
    }

    /// Returns whether it is of the same series as another one.
    pub fn is_same_series(&self, other: &Self) -> bool {
        (&self.service, &self.metric, &self.dimensions) == (&other.service, &other.metric, &other.dimensions)
    }

    /// Returns the signal of an anomaly's revision, keeping from `before` what only grows.
    pub fn from_anomaly(anomaly: &Anomaly, before: Option<&Signal>) -> Self {
        let cleared = anomaly.status == Status::Cleared;
        let fires = anomaly.status == Status::Firing;
        Self {
            anomaly_id: anomaly.anomaly_id,
            revision: anomaly.revision,
            service: anomaly.service.clone(),
            metric: anomaly.metric.clone(),
            dimensions: anomaly.dimensions.clone(),
            unit: anomaly.unit.clone(),
            kind: anomaly.kind,
            severity: before.map_or(anomaly.severity, |b| b.severity.max(anomaly.severity)),
            status: anomaly.status,
            evidence: before.map_or(anomaly.evidence, |b| b.evidence.max(anomaly.evidence)),
            direction: anomaly.direction,
            observed: anomaly.observed,
            expected: anomaly.expected,
            started_at: anomaly.started_at,
            observed_at: anomaly.observed_at,
            cleared_at: cleared.then_some(anomaly.observed_at),
            ended: anomaly.ended.filter(|_| cleared),
            interval_ms: anomaly.interval_ms,
            explanation: match before {
                // the sentence of the strongest revision says why it counts; later ones tell of the way back
                Some(before) if cleared || anomaly.evidence < before.evidence => before.explanation.clone(),
                _ => anomaly.explanation.clone(),
            },
            burn_rate: largest(
                before.and_then(|b| b.burn_rate),
                anomaly.burn_rate.filter(|_| fires),
                |rate| *rate,
            ),
            impact: largest(before.and_then(|b| b.impact), anomaly.impact.filter(|_| fires), |impact| {
                impact.failing_per_s
            }),
            samples: anomaly.context.samples.clone(),
            siblings: anomaly.context.siblings.clone(),
            logs: match before {
                Some(before) if anomaly.context.logs.is_empty() => before.logs.clone(),
                _ => anomaly.context.logs.clone(),
            },
            requests: match before {
                Some(before) if anomaly.context.requests.is_empty() => before.requests.clone(),
                _ => anomaly.context.requests.iter().take(MAX_REQUESTS).copied().collect(),
            },
            complaints: before.map(|before| before.complaints.clone()).unwrap_or_default(),
            sealed: match before {
                // the sentence may be that of an earlier revision
                Some(before) => joined(&before.sealed, &anomaly.context.sealed),
                None => joined(&anomaly.context.sealed, &[]),
            },
        }
    }
}

/// Returns the values of both, one for each placeholder.
fn joined(before: &[Sealed], new: &[Sealed]) -> Vec<Sealed> {
    let mut all: Vec<Sealed> = Vec::new();
    for sealed in new.iter().chain(before) {
        if all.len() < MAX_SEALED && !all.contains(sealed) {
            all.push(sealed.clone());
        }
    }
    all
}

/// Returns the larger of two by `size`, the first where they are alike.
fn largest<T>(a: Option<T>, b: Option<T>, size: impl Fn(&T) -> f64) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) if size(&b) > size(&a) => Some(b),
        (a, b) => a.or(b),
    }
}

/// A deployment of a member's service shortly before the incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Service that was changed.
    pub service: String,
    /// Version.
    pub version: String,
    /// Event time of the change.
    pub at: Timestamp,
    /// Kind of change.
    pub change_type: String,
    /// Commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// Person or system that rolled it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<String>,
    /// Description by its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Risks named by its author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_risks: Vec<String>,
}

/// How an incident and another one belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// This one ended in the other: both turned out to be of the same fault.
    MergedInto,
    /// The other one ended in this one.
    Absorbed,
    /// This one opened soon after the other one was over, on the same call path.
    Follows,
    /// Its first members left the other one, for they are of another fault.
    SplitFrom,
    /// Members of this one left it and became the other one.
    SplitInto,
}

/// Something that a person has said of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, where a reason is asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A severity that a person has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeverityOverride {
    /// Worst severity that was computed.
    pub computed: Severity,
    /// Who set it, and why.
    pub statement: Statement,
}

/// A time in which nothing is sent about an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mute {
    /// Who muted it.
    pub statement: Statement,
    /// Until when; absent: until it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Another incident that belongs to this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The other incident.
    pub incident_id: IncidentId,
    /// Its number.
    pub number: i64,
    /// How they belong together.
    pub relation: Relation,
    /// Who asked for it; absent where it was decided from telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Link {
    /// Links an incident as telemetry shows.
    pub fn new(incident_id: IncidentId, number: i64, relation: Relation) -> Self {
        Self { incident_id, number, relation, by: None }
    }
}

/// Services that call the first suspect, directly or indirectly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlastRadius {
    /// Callers of the first suspect, direct and indirect, sorted (at most 400).
    pub callers: Vec<String>,
    /// Share of the known services that are affected or call the suspect, 0 to 1.
    pub share: f64,
}

/// An amount of money each minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Money {
    /// Amount a minute, in the currency.
    pub per_minute: f64,
    /// Currency, ISO 4217: `EUR`.
    pub currency: String,
}

/// What users and the business lost at the worst moment of an incident. Figures are of one service each, never a sum over
/// services: one request of a user fails at each service of its call path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// Service with most failing requests.
    pub service: String,
    /// Requests to it that fail each minute.
    pub failing_per_minute: f64,
    /// Share of the requests to it that fail, 0 to 1.
    pub failing_share: f64,
    /// Share of all users that it concerns, 0 to 1, where the catalogue knows the share of users of a failing service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users_share: Option<f64>,
    /// Revenue that depends on failing requests, where the catalogue knows the revenue of a failing service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revenue: Option<Money>,
}

impl Impact {
    /// Returns the worst of two: users and revenue each for itself, failing requests with their service and share.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let users_share = largest(self.users_share, other.users_share, |share| *share);
        let revenue = largest(self.revenue.clone(), other.revenue.clone(), |money| money.per_minute);
        let worst = if other.failing_per_minute > self.failing_per_minute { other } else { self };
        Self { users_share, revenue, ..worst }
    }

    fn validate(&self) -> Result<(), Refusal> {
        finite("failing_per_minute", self.failing_per_minute)?;
        finite("failing_share", self.failing_share)?;
        finite("users_share", self.users_share.unwrap_or_default())?;
        finite("revenue", self.revenue.as_ref().map_or(0.0, |money| money.per_minute))
    }
}

/// An incident in its current state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Derived from the anomaly that opened it.
    pub incident_id: IncidentId,
    /// Sequential number for people.
    pub number: i64,
    /// Counts every change of the record.
    pub revision: u32,
    /// State in the life cycle.
    pub state: State,
    /// Worst severity so far, or the one that a person has set.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// Environment.
    pub environment: String,
    /// Hypotheses, best first (at most 5).
    pub suspects: Vec<Suspect>,
    /// Hypothesis that leads over the first suspect and may replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Challenger>,
    /// Ids of the anomalies of the incident (at most 2000, the first ones).
    pub members: Vec<AnomalyId>,
    /// Services with at least one member, sorted (at most 400).
    pub affected_services: Vec<String>,
    /// Services that call the first suspect.
    pub blast_radius: BlastRadius,
    /// Worst impact so far; absent where no number of failing requests is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// Members with their last revisions (at most 40, strongest first).
    pub signals: Vec<Signal>,
    /// Likeliest trigger among the deployments, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Change>,
    /// Event time of the first abnormal sample of any member.
    pub started_at: Timestamp,
    /// Event time of the anomaly that opened it.
    pub opened_at: Timestamp,
    /// Event time at which the last member cleared; null until the incident is resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Why it is over: the worst end of those of its members that decide. Older writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Ended>,
    /// When the incident was closed; null until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// How often the fault came back after the incident was resolved, and opened it again.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub reopened: u32,
    /// Whether it collects what broke while too many incidents opened at once. Its members need not be of one fault.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub storm: bool,
    /// Other incidents that belong to this one (at most 20, the first ones).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Who has acknowledged it; absent where nobody has since it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Statement>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Present where a person has set the severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity_override: Option<SeverityOverride>,
    /// Present where nothing is sent about it for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mute: Option<Mute>,
    /// Present where a person has opened it again: then it is over when a person says so, or when a member that has joined
    /// since has recovered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_open: Option<Statement>,
    /// Present where a person has resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<Statement>,
}

impl Incident {
    /// Returns the incident that this one was merged into, if it was.
    pub fn merged_into(&self) -> Option<&Link> {
        self.links.iter().find(|link| link.relation == Relation::MergedInto)
    }

    /// Returns whether a person has said that this one and another are of different faults.
    pub fn was_parted_from(&self, other: IncidentId) -> bool {
        self.links.iter().any(|link| {
            link.incident_id == other
                && link.by.is_some()
                && matches!(link.relation, Relation::SplitFrom | Relation::SplitInto)
        })
    }

    /// Returns whether nothing is to be sent about it at `now`.
    pub fn is_muted(&self, now: Timestamp) -> bool {
        self.mute.as_ref().is_some_and(|mute| mute.until.is_none_or(|until| now < until))
    }

    /// Returns why it is over; `recovered` where an older writer left it out, or where it is not over.
    pub fn reason(&self) -> Ended {
        self.resolution.unwrap_or(Ended::Recovered)
    }

    /// Returns the first suspect's service, if any stands out.
    pub fn suspect(&self) -> Option<&Suspect> {
        self.suspects.first()
    }
}

impl Event for Incident {
    const TYPE: &'static str = "firewatch.incident.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("environment", &self.environment)?;
        for suspect in &self.suspects {
            finite("score", suspect.score)?;
            finite("posterior", suspect.posterior)?;
            finite("service_posterior", suspect.service_posterior.unwrap_or_default())?;
        }
        if let Some(impact) = &self.impact {
            impact.validate()?;
        }
        Ok(())
    }
}
