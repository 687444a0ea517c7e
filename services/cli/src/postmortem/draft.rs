//! The draft: the record of an incident as a document of the knowledge base.

use catalogue::incident::{Incident as Document, MAX_ITEM, MAX_TEXT, MAX_TITLE};
use jiff::SignedDuration;
use shared::ending;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{Candidate, RootCause};
use shared::events::{Category, Kind};
use shared::knowledge::DocumentKind;
use shared::store::feedback::{Feedback, Judgement};
use shared::text::format::duration;
use shared::text::sanitize::one_line;

/// Most symptoms.
const MAX_SYMPTOMS: usize = 6;
/// Most services.
const MAX_SERVICES: usize = 10;

/// Returns the id of the document of an incident.
pub fn id(number: i64) -> String {
    format!("FW-{number}")
}

/// Writes the draft.
///
/// # Errors
/// Why there is none: the incident is not over, or nobody knows its cause.
pub fn draft(
    incident: &Incident,
    signals: &[Signal],
    result: Option<&RootCause>,
    feedback: Option<&Feedback>,
) -> Result<Document, &'static str> {
    let resolved_at = incident.resolved_at.ok_or("it is not over yet")?;
    let cause = Cause::of(result, feedback)?;
    let mut services = vec![cause.service.clone()];
    services.extend(incident.affected_services.iter().filter(|name| **name != cause.service).cloned());
    services.truncate(MAX_SERVICES);
    let mut strongest: Vec<&Signal> = signals.iter().collect();
    strongest.sort_by(|a, b| {
        (b.service == cause.service)
            .cmp(&(a.service == cause.service))
            .then(b.evidence.total_cmp(&a.evidence))
            .then(a.anomaly_id.cmp(&b.anomaly_id))
    });
    let first = strongest.first().ok_or("no signal of it is on record")?;
    let mut symptoms: Vec<String> =
        strongest.iter().take(MAX_SYMPTOMS).map(|signal| item(&signal.explanation)).collect();
    let log = strongest.iter().flat_map(|signal| &signal.logs).max_by_key(|log| (log.level, log.count));
    symptoms.extend(log.map(|log| item(&format!("log: {}", log.example))));
    symptoms.retain(|symptom| !symptom.is_empty());
    Ok(Document {
        id: id(incident.number),
        title: one_line(&incident.title, MAX_TITLE),
        kind: seen_first(signals, &cause.service).unwrap_or(first.kind),
        category: cause.category,
        severity: incident.severity,
        services,
        started_at: incident.started_at,
        detected_at: incident.opened_at.max(incident.started_at),
        resolved_at: resolved_at.max(incident.opened_at + SignedDuration::from_secs(1)),
        symptoms,
        root_cause: one_line(&cause.text, MAX_TEXT),
        resolution: how_it_ended(incident),
        contributing_factors: vec![cause.origin.to_owned()],
        tags: vec![environment(incident)],
        runbooks: cause.runbooks,
    })
}

/// Says how an incident ended and how long it took, which is all that the record says of it.
pub fn how_it_ended(incident: &Incident) -> String {
    let until = incident.resolved_at.unwrap_or(incident.started_at);
    let lasted = until.duration_since(incident.started_at);
    format!("{} after {}.", ending::headline(incident.reason()), duration(lasted.as_millis() as i64))
}

/// What is held to be the cause.
struct Cause {
    service: String,
    category: Category,
    text: String,
    origin: &'static str,
    runbooks: Vec<String>,
}

impl Cause {
    fn of(result: Option<&RootCause>, feedback: Option<&Feedback>) -> Result<Self, &'static str> {
        let found = result.and_then(RootCause::cause);
        if feedback.is_none_or(|said| said.cause == Judgement::Right) {
            let found = found.ok_or("its cause is not known; say it with firewatch feedback")?;
            let origin = match feedback {
                Some(_) => "the cause was found from telemetry and confirmed by a person",
                None => "the cause was found from telemetry; nobody has confirmed it",
            };
            return Ok(Self {
                service: found.service.clone(),
                category: found.category,
                text: told(found),
                origin,
                runbooks: runbooks(found),
            });
        }
        let first = result.and_then(|result| result.candidates.first());
        let service = feedback.and_then(|said| said.service.clone()).or_else(|| {
            // another kind of cause at the same service
            feedback.and_then(|said| said.category)?;
            Some(first?.service.clone())
        });
        let category = feedback.and_then(|said| said.category);
        let (Some(service), Some(category)) = (service, category) else {
            return Err(
                "its cause was judged to be wrong; say the right one with firewatch feedback --category",
            );
        };
        let comment = feedback.and_then(|said| said.comment.clone());
        Ok(Self {
            text: comment.unwrap_or_else(|| format!("{service}: {}.", category.words())),
            service,
            category,
            origin: "the cause was stated by a person; the one found from telemetry was wrong",
            runbooks: Vec::new(),
        })
    }
}

/// The cause in a sentence, and what was checked of it.
fn told(candidate: &Candidate) -> String {
    let claims: Vec<&str> = candidate.claims.iter().map(|claim| claim.text.as_str()).collect();
    format!("{} {}", candidate.cause, claims.join(" "))
}

fn runbooks(candidate: &Candidate) -> Vec<String> {
    let prefix = format!("{}/", DocumentKind::Runbook.name());
    let ids = candidate.runbooks.iter().map(|found| found.doc_id.clone());
    ids.filter(|id| id.starts_with(&prefix)).collect()
}

/// Returns what was noticed first of the service at fault.
fn seen_first(signals: &[Signal], service: &str) -> Option<Kind> {
    let own = signals.iter().filter(|signal| signal.service == service);
    own.min_by_key(|signal| (signal.started_at, signal.anomaly_id)).map(|signal| signal.kind)
}

fn item(text: &str) -> String {
    one_line(text, MAX_ITEM)
}

fn environment(incident: &Incident) -> String {
    one_line(&incident.environment, 40)
}
