//! `firewatch incidents`: incidents, as PostgreSQL has them.

pub mod export;
pub mod list;
pub mod show;
pub mod timeline;

use serde::Serialize;
use shared::events::incident::{Signal, State};
use shared::events::{Incident, Plan, Postmortem, RootCause, Severity};
use shared::store::{self, ArtifactKind, Notification, NotificationState, Reads, Store, TimelineEntry};

use crate::arguments::{self, IncidentRef};
use crate::failure::CliError;
use crate::figures::counted;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone, clean, clean_lines, cleaned};

/// Everything that is stored about one incident.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// The incident as it stands.
    pub incident: Incident,
    /// All its members, in order of their onset.
    pub signals: Vec<Signal>,
    /// Last result of the investigation.
    pub root_cause: Option<RootCause>,
    /// Last plan.
    pub plan: Option<Plan>,
    /// Postmortem.
    pub postmortem: Option<Postmortem>,
    /// What people were told, oldest first.
    pub notifications: Vec<Delivery>,
    /// Audit trail, oldest first.
    pub timeline: Vec<TimelineEntry>,
}

/// A notification and where it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// Where it stands.
    pub state: NotificationState,
    /// The notification.
    #[serde(flatten)]
    pub notification: Notification,
}

/// Returns a plan with every text in it fit for a terminal; how a step is done keeps its lines.
fn cleaned_plan(plan: &Plan) -> Result<Plan, CliError> {
    let mut shown = cleaned(plan)?;
    for (cleaned, step) in shown.steps.iter_mut().zip(&plan.steps) {
        if step.is_from_runbook() {
            cleaned.detail = clean_lines(&step.detail);
        }
    }
    Ok(shown)
}

impl Case {
    /// Returns the case with every text in it fit for a terminal.
    pub fn cleaned(&self) -> Result<Self, CliError> {
        Ok(Self {
            incident: cleaned(&self.incident)?,
            signals: cleaned(&self.signals)?,
            root_cause: cleaned(&self.root_cause)?,
            plan: self.plan.as_ref().map(cleaned_plan).transpose()?,
            postmortem: cleaned(&self.postmortem)?,
            notifications: self
                .notifications
                .iter()
                .map(|delivery| {
                    Ok(Delivery { state: delivery.state, notification: cleaned(&delivery.notification)? })
                })
                .collect::<Result<_, serde_json::Error>>()?,
            timeline: self
                .timeline
                .iter()
                .map(|entry| TimelineEntry {
                    actor: clean(&entry.actor, 100),
                    action: clean(&entry.action, 100),
                    summary: clean(&entry.summary, 1_000),
                    ..entry.clone()
                })
                .collect(),
        })
    }
}

/// Runs `firewatch incidents ...`.
pub async fn run(
    command: arguments::Incidents,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let text = match command {
        arguments::Incidents::List { open, before, limit, json } => {
            let which = if open { store::Incidents::Open } else { store::Incidents::All };
            let store::Page { incidents, unreadable } = store
                .reads()
                .incidents(which, before, limit)
                .await
                .map_err(|error| failed(settings, &error))?;
            if let Some(note) = list::left_out(unreadable) {
                eprintln!("{note}");
            }
            if json { terminal::json(&incidents, true)? } else { list::render(&cleaned(&incidents)?, screen) }
        }
        arguments::Incidents::Export { which, out, json } => {
            let incident = find(store.reads(), which, settings).await?;
            let manifest = export::export(store.reads(), &incident, &out, settings, screen).await?;
            if json {
                terminal::json(&manifest, true)?
            } else {
                let rows: u64 = manifest.parts.iter().map(|part| part.rows).sum();
                let rows = counted(rows as usize, "row");
                format!("incident #{} is exported to {}: {rows}\n", manifest.number, out.display())
            }
        }
        arguments::Incidents::Show { which, json } => {
            let incident = find(store.reads(), which, settings).await?;
            let case = read(store.reads(), incident).await.map_err(|error| failed(settings, &error))?;
            if json { terminal::json(&case, true)? } else { show::render(&case.cleaned()?, screen) }
        }
        arguments::Incidents::Timeline { which, markdown, json, out } => {
            let timeline = timeline::read(store.reads(), which, settings).await?;
            let text = if json {
                terminal::json(&timeline, true)?
            } else if markdown {
                timeline.to_markdown()
            } else {
                timeline::render(&timeline::cleaned(&timeline), screen)
            };
            return output::write(&text, out.as_deref());
        }
    };
    terminal::print(&text)
}

async fn read(store: &Reads, incident: Incident) -> Result<Case, store::Error> {
    let id = incident.incident_id;
    let notifications = store.notifications(id).await?;
    Ok(Case {
        signals: store.signals_of(id).await?,
        root_cause: store.artifact(id, ArtifactKind::RootCause).await?,
        plan: store.artifact(id, ArtifactKind::Plan).await?,
        postmortem: store.artifact(id, ArtifactKind::Postmortem).await?,
        notifications: notifications
            .into_iter()
            .map(|(notification, state)| Delivery { state, notification })
            .collect(),
        timeline: store.timeline(id).await?,
        incident,
    })
}

/// Opens the database of the settings.
pub(crate) fn open_store(settings: &Settings) -> Result<Store, CliError> {
    Store::new(&settings.common.postgres, "firewatch").map_err(|error| failed(settings, &error))
}

/// Returns the incident that was named.
pub(crate) async fn find(
    reads: &Reads,
    which: IncidentRef,
    settings: &Settings,
) -> Result<Incident, CliError> {
    let found = match which {
        IncidentRef::Number(number) => reads.incident_by_number(number).await,
        IncidentRef::Id(id) => reads.incident(id).await,
    };
    let found = found.map_err(|error| failed(settings, &error))?;
    found.ok_or_else(|| CliError::NotFound(format!("there is no incident {which}")))
}

/// Returns the failure for an error of the store.
pub(crate) fn failed(settings: &Settings, error: &store::Error) -> CliError {
    /// PostgreSQL's code for a table that does not exist.
    const UNDEFINED_TABLE: &str = "42P01";

    match error {
        store::Error::Pool(_) => {
            let address = shared::text::redact::mask(&settings.common.postgres.url);
            settings.unreachable("PostgreSQL", &address, "FIREWATCH_POSTGRES__URL", &innermost(error))
        }
        store::Error::Query(query) if query.code().is_some_and(|code| code.code() == UNDEFINED_TABLE) => {
            CliError::Failed(
                "the database has no tables of Firewatch yet; they come with the first agent".to_owned(),
            )
        }
        other => CliError::Failed(other.to_string()),
    }
}

/// Returns the message at the bottom of a chain of errors: what the operating system or the server said.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Returns how loud a severity is.
pub(crate) fn severity_tone(severity: Severity) -> Tone {
    match severity {
        Severity::Sev1 | Severity::Sev2 => Tone::Alarm,
        Severity::Sev3 => Tone::Warning,
        Severity::Sev4 => Tone::Plain,
    }
}

/// Returns how loud a state is.
pub(crate) fn state_tone(state: State) -> Tone {
    if state.is_open() { Tone::Warning } else { Tone::Good }
}

/// Returns how long an incident has lasted, from its first abnormal sample.
fn lasted(incident: &Incident, screen: &Screen) -> String {
    let until = incident.resolved_at.unwrap_or(screen.now);
    let lasted = crate::figures::duration(until.duration_since(incident.started_at));
    if incident.resolved_at.is_some() { lasted } else { format!("{lasted} so far") }
}
