//! `firewatch diagnose`: the investigation of an incident, for a service and a time, on demand.

pub mod arguments;
pub mod page;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use investigation::investigator::{Investigator, Outcome};
use investigation::query::Asked;
use investigation::query::compare::EVENTS_KEPT;
use investigation::query::look::Case;
use investigation::sources::{CHANGES_BEFORE, Members};
use investigation::verdict::Knowledge;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::clock::{Clock as _, SystemClock, from_ms};
use shared::events::incident::{Incident, Signal};
use shared::events::{EvidenceRecord, RootCause};
use shared::graph::Graph;
use shared::ids::{IncidentId, derive};
use shared::knowledge::retrieval::Retrieval;
use shared::lifecycle::{self, Change};
use shared::service::Config;
use shared::store::{Neighbourhood, Reads, Store};
use shared::text::secrets::Redactor;

use crate::failure::CliError;
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, cleaned};
use arguments::Diagnose;

/// Most services that are named where one is unknown.
const MAX_NAMES: usize = 20;
/// Most incidents that are named.
const MAX_INCIDENTS: usize = 10;

/// What was looked at and found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Service.
    pub service: String,
    /// Environment.
    pub environment: String,
    /// Begin of the time that was looked at.
    pub from: Timestamp,
    /// Its end.
    pub at: Timestamp,
    /// The service, those it calls and those that call it, directly or not.
    pub services: Vec<String>,
    /// Their abnormal series, by the time they began.
    pub signals: Vec<Signal>,
    /// Numbers of the incidents that these belong to.
    pub incidents: Vec<i64>,
    /// Number of changes in the environment.
    pub changes: usize,
    /// Since when.
    pub changes_since: Timestamp,
    /// What the search for documents gave; absent where nothing was searched.
    pub documents: Option<Knowledge>,
    /// The ranked causes; absent where nothing was abnormal.
    pub result: Option<RootCause>,
    /// What was read.
    pub records: Vec<EvidenceRecord>,
}

/// Runs `firewatch diagnose`. `file` is where the settings of correlation and investigation are read from.
pub async fn run(
    request: Diagnose,
    file: Option<&Path>,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let (correlation, _): (Config<correlation::Options>, _) = Settings::configuration("correlation", file)?;
    let (investigation, _): (Config<investigation::Options>, _) =
        Settings::configuration("investigation", file)?;
    let store = open_store(settings)?;
    let scope = Scope::read(&request, &correlation.stage, &store, settings, screen).await?;
    let mut diagnosis = scope.diagnosis(&request);
    if !diagnosis.signals.is_empty() {
        diagnosis.incidents =
            scope.incidents(store.reads()).await.map_err(|error| failed(settings, &error))?;
        let retrieval = retrieval(&settings.common.knowledge, &store).await;
        let incident = scope.incident(&request, &correlation.stage)?;
        let asked = ask(&investigation, &incident, &diagnosis).await?;
        let outcome = Investigator::new(investigation.stage, retrieval)
            .investigate(&incident, Members::Listed, 1, &asked, store.reads())
            .await
            .map_err(|error| CliError::Failed(format!("the investigation failed: {error}")))?;
        diagnosis = diagnosis.with(outcome);
    }
    terminal::print(&if request.json {
        terminal::json(&diagnosis, true)?
    } else {
        page::render(&cleaned(&diagnosis)?, screen)
    })
}

/// Asks the sources that are configured for investigation.
async fn ask(
    config: &Config<investigation::Options>,
    incident: &Incident,
    diagnosis: &Diagnosis,
) -> Result<Asked, CliError> {
    let redactor = Redactor::new(&config.common.redaction);
    let mut stage = config.stage.clone();
    if SystemClock.now().duration_since(diagnosis.at) > EVENTS_KEPT {
        stage.queries = stage.queries.without_events();
    }
    let looker = stage.looker(&redactor);
    let looker = looker.map_err(|error| CliError::Usage(format!("investigation: {error:#}")))?;
    let Some(looker) = looker else { return Ok(Asked::default()) };
    let case = Case {
        suspects: &incident.suspects,
        signals: &diagnosis.signals,
        began: incident.started_at,
        until: diagnosis.at,
        known: &[],
        queries: config.stage.queries.queries,
    };
    Ok(looker.look(case).await)
}

/// Returns search over the knowledge base; nothing where it cannot be had, which is reported.
async fn retrieval(options: &shared::knowledge::Options, store: &Store) -> Option<Retrieval> {
    let loaded = options.retrieval(store.clone()).await;
    let report = |error: &shared::knowledge::Error| {
        let reason = terminal::clean(&error.to_string(), 500);
        eprintln!("firewatch: goes on without the knowledge base: {reason}");
    };
    loaded.inspect_err(report).ok()
}

impl Diagnosis {
    fn with(self, outcome: Outcome) -> Self {
        let Outcome { result, records, looked_at, .. } = outcome;
        Self {
            changes: looked_at.changes,
            changes_since: looked_at.changes_since,
            documents: Some(looked_at.knowledge),
            result: Some(result),
            records,
            ..self
        }
    }
}

/// What may have to do with the service.
struct Scope {
    from: Timestamp,
    at: Timestamp,
    neighbourhood: Neighbourhood,
    services: BTreeSet<String>,
    signals: Vec<(Signal, Option<IncidentId>)>,
}

impl Scope {
    async fn read(
        request: &Diagnose,
        options: &correlation::Options,
        store: &Store,
        settings: &Settings,
        screen: &Screen,
    ) -> Result<Self, CliError> {
        let at = request.at.map_or(screen.now, |at| at.seen_from(screen.now));
        let from = before(at, request.since);
        let age = SignedDuration::from_hours(i64::from(options.edge_age_hours));
        let (reads, failed) = (store.reads(), |error| failed(settings, &error));
        let mut neighbourhood = reads
            .neighbourhood(&request.environment, before(from, CHANGES_BEFORE), before(at, age))
            .await
            .map_err(failed)?;
        neighbourhood.deployments.retain(|change| from_ms(change.ts_ms) <= at);
        let mut signals = reads.signals_between(&request.environment, from, at).await.map_err(failed)?;
        let services = related(&neighbourhood.graph, &request.service);
        let is_known = neighbourhood.graph.services().any(|known| known == request.service)
            || reads.has_signals(&request.environment, &request.service).await.map_err(failed)?;
        if !is_known {
            return Err(unknown(request, &neighbourhood.graph));
        }
        signals.retain(|(signal, _)| services.contains(&signal.service));
        Ok(Self { from, at, neighbourhood, services, signals })
    }

    fn diagnosis(&self, request: &Diagnose) -> Diagnosis {
        Diagnosis {
            service: request.service.clone(),
            environment: request.environment.clone(),
            from: self.from,
            at: self.at,
            services: self.services.iter().cloned().collect(),
            signals: self.signals.iter().map(|(signal, _)| signal.clone()).collect(),
            incidents: Vec::new(),
            changes: self.neighbourhood.deployments.len(),
            changes_since: before(self.from, CHANGES_BEFORE),
            documents: None,
            result: None,
            records: Vec::new(),
        }
    }

    /// Returns the numbers of the incidents that the signals belong to.
    async fn incidents(&self, reads: &Reads) -> Result<Vec<i64>, shared::store::Error> {
        let ids: BTreeSet<IncidentId> = self.signals.iter().filter_map(|(_, incident)| *incident).collect();
        let mut numbers = Vec::new();
        for id in ids.into_iter().take(MAX_INCIDENTS) {
            numbers.extend(reads.incident(id).await?.map(|incident| incident.number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns the incident that the signals would be, ranked as correlation ranks it.
    fn incident(&self, request: &Diagnose, options: &correlation::Options) -> Result<Incident, CliError> {
        let members = self.signals.iter().map(|(signal, _)| Arc::new(signal.clone())).collect();
        let assessment =
            correlation::assessment::assess(members, &self.neighbourhood, None, self.at, options);
        let id =
            IncidentId(derive(&["diagnosis", &request.environment, &request.service, &self.at.to_string()]));
        let opened = Change::Opened {
            environment: request.environment.clone(),
            at: self.at,
            assessment: Box::new(assessment),
        };
        lifecycle::apply(None, id, opened).map_err(|error| CliError::Failed(error.to_string()))
    }
}

fn before(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.saturating_sub(time).unwrap_or(Timestamp::MIN)
}

/// Returns a service with all that it calls and all that call it, directly or not.
fn related(graph: &Graph, service: &str) -> BTreeSet<String> {
    let mut services: BTreeSet<&str> = graph.ancestors(service);
    services.extend(graph.descendants(service));
    services.insert(service);
    services.into_iter().map(str::to_owned).collect()
}

fn unknown(request: &Diagnose, graph: &Graph) -> CliError {
    let Diagnose { service, environment, .. } = request;
    let known: Vec<&str> = graph.services().take(MAX_NAMES).collect();
    let hint =
        if known.is_empty() { "none is known".to_owned() } else { format!("known: {}", known.join(", ")) };
    CliError::NotFound(format!(
        "nothing is stored of service {service} in environment {environment} ({hint})"
    ))
}
