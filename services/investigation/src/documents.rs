//! What past incidents and runbooks say about a suspect.

use shared::events::incident::{Incident, Suspect};
use shared::events::{Category, Kind};
use shared::knowledge::retrieval::{Found, Retrieval};
use shared::knowledge::{Chunk, DocumentKind, Error, Query};

use crate::options::Options;
use crate::similar;

/// Documents that fit a suspect, best first.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// Past incidents that are [similar](similar::is_similar).
    pub incidents: Vec<Found>,
    /// Runbooks for the suspect's kind of cause; if there is none, those that sound like it.
    pub runbooks: Vec<Found>,
    /// The page of the service at fault.
    pub page: Option<Chunk>,
}

/// Searches for what fits a suspect.
pub async fn search(
    retrieval: &Retrieval,
    incident: &Incident,
    suspect: &Suspect,
    options: &Options,
) -> Result<Documents, Error> {
    let text = question(incident, suspect);
    let incidents = Query {
        text: text.clone(),
        kind: Some(DocumentKind::Incident),
        limit: options.similar_incidents,
        ..Query::default()
    }
    .about(suspect.category);
    let any = Query { text, kind: Some(DocumentKind::Runbook), limit: options.runbooks, ..Query::default() };
    let mut runbooks = retrieval.search(&any.clone().about(suspect.category)).await?;
    if runbooks.is_empty() {
        runbooks = retrieval.search(&any).await?;
    }
    let mut incidents = retrieval.search(&incidents).await?;
    incidents.retain(similar::is_similar);
    let page = format!("{}/{}", DocumentKind::Service.name(), suspect.service);
    let page = retrieval.document(&page).await?.into_iter().next();
    Ok(Documents { incidents, runbooks, page })
}

/// What a person would ask: the service, what is seen there, and what its logs say.
fn question(incident: &Incident, suspect: &Suspect) -> String {
    let mut parts = vec![format!("{} {}", suspect.service, asked(suspect.category))];
    for signal in incident.signals.iter().filter(|signal| signal.service == suspect.service).take(4) {
        parts.push(format!("{} {}", signal.metric, seen(signal.kind)));
    }
    let log = incident
        .signals
        .iter()
        .filter(|signal| signal.service == suspect.service)
        .flat_map(|signal| &signal.logs)
        .max_by_key(|log| (log.level, log.count));
    parts.extend(log.map(|log| log.template.clone()));
    parts.extend(
        incident
            .deployment
            .as_ref()
            .filter(|change| change.service == suspect.service)
            .map(|_| "after a deployment".into()),
    );
    parts.join(", ")
}

fn asked(category: Category) -> &'static str {
    match category {
        Category::Dependency => "requests slow, waiting for something below",
        Category::Code => "requests fail",
        other => other.words(),
    }
}

fn seen(kind: Kind) -> &'static str {
    match kind {
        Kind::Latency => "slow requests",
        Kind::Errors => "failing requests",
        Kind::Cpu => "saturated processor",
        Kind::Memory => "growing memory",
        Kind::Pool => "exhausted pool",
        Kind::Lag => "growing lag",
        Kind::Disk => "full disk",
        Kind::Traffic => "changed traffic",
        Kind::Certificate => "expiring certificate",
        Kind::Silence => "service down, nothing reported",
        Kind::Restarts => "crash loop, restarts",
        Kind::Logs => "errors in the log",
        Kind::DataLoss => "lost or damaged data",
        Kind::Security => "breach of security",
        Kind::Other => "unusual value",
    }
}
