//! `firewatch evidence`: what was read for an investigation, as it was then.

pub mod arguments;
pub mod list;
pub mod page;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::events::evidence::Content;
use shared::events::rca::{Claim, Source};
use shared::events::{EvidenceRecord, RootCause};
use shared::ids::{EvidenceId, IncidentId};
use shared::store::{ArtifactKind, Reads, Store};
use shared::text::sanitize::{NAME, SENTENCE, one_line};
use shared::text::seal::Sealer;

use crate::arguments::IncidentRef;
use crate::failure::CliError;
use crate::incidents::{failed, find, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, clean_lines, cleaned};
use arguments::{Evidence, EvidenceRef};

/// A record, and where the last result of its incident cites it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// Number of the incident.
    pub incident: i64,
    /// The record as it is stored.
    pub record: EvidenceRecord,
    /// Ids of the record within the result, e.g. `E3`: one for each quote.
    pub pieces: Vec<String>,
    /// Claims that cite it.
    pub claims: Vec<Claim>,
}

impl Shown {
    /// Finds where a result cites a record.
    pub fn of(incident: i64, record: EvidenceRecord, result: Option<&RootCause>) -> Self {
        let pieces: Vec<String> = result
            .iter()
            .flat_map(|result| &result.evidence)
            .filter(|piece| piece.record == Some(record.id))
            .map(|piece| piece.id.clone())
            .collect();
        let cites = |claim: &&Claim| claim.evidence.iter().any(|id| pieces.contains(id));
        let claims = result.iter().flat_map(|result| {
            result.candidates.iter().flat_map(|candidate| &candidate.claims).chain(&result.exclusions)
        });
        Self { incident, claims: claims.filter(cites).cloned().collect(), pieces, record }
    }

    /// Returns it with every text fit for a terminal; a section of a document keeps its lines.
    pub fn cleaned(&self) -> Result<Self, CliError> {
        let mut shown = cleaned(self)?;
        if let (Content::Section { text, .. }, Content::Section { text: stored, .. }) =
            (&mut shown.record.content, &self.record.content)
        {
            *text = clean_lines(stored);
        }
        Ok(shown)
    }
}

/// Runs `firewatch evidence ...`.
pub async fn run(command: Evidence, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let request = Request { reads: store.reads(), settings };
    let text = match command {
        Evidence::List { which, json } => {
            let records = request.list(which).await?;
            if json { terminal::json(&records, true)? } else { list::render(&cleaned(&records)?, screen) }
        }
        Evidence::Show { which, json } => {
            let shown = request.show(&which).await?;
            if json { terminal::json(&shown, true)? } else { page::render(&shown.cleaned()?, screen) }
        }
        Evidence::Open { which, placeholder, by } => {
            let opened = Opened { which, placeholder: &placeholder, by: &one_line(&by, NAME) };
            request.open(&store, opened, screen).await?
        }
    };
    terminal::print(&text)
}

/// A placeholder that a person wants to read.
struct Opened<'a> {
    which: IncidentRef,
    placeholder: &'a str,
    by: &'a str,
}

/// Reads what is asked for.
struct Request<'s> {
    reads: &'s Reads,
    settings: &'s Settings,
}

impl Request<'_> {
    async fn list(&self, which: IncidentRef) -> Result<Vec<Shown>, CliError> {
        let (number, id) = self.incident(which).await?;
        let result = self.result(id).await?;
        let records = self.reads.evidence_of(id).await.map_err(|error| failed(self.settings, &error))?;
        if records.is_empty() {
            return Err(CliError::NotFound(format!("incident #{number} has no evidence on record")));
        }
        Ok(records.into_iter().map(|record| Shown::of(number, record, result.as_ref())).collect())
    }

    async fn show(&self, which: &EvidenceRef) -> Result<Shown, CliError> {
        let id = match which {
            EvidenceRef::Id(id) => *id,
            EvidenceRef::Cited(incident, piece) => self.cited(*incident, piece).await?,
        };
        let found = self.reads.evidence(id).await.map_err(|error| failed(self.settings, &error))?;
        let record = found.ok_or_else(|| CliError::NotFound(format!("{which} is not on record")))?;
        let (number, id) = self.incident(IncidentRef::Id(record.incident_id)).await?;
        Ok(Shown::of(number, record, self.result(id).await?.as_ref()))
    }

    /// Opens what stands behind a placeholder, once it is on record who reads it.
    async fn open(&self, store: &Store, asked: Opened<'_>, screen: &Screen) -> Result<String, CliError> {
        let Opened { which, placeholder, by } = asked;
        let key = &self.settings.common.redaction.seal_key;
        let sealer = Sealer::new(key).ok_or_else(|| {
            CliError::Usage(
                "no key: set redaction.seal_key (FIREWATCH_REDACTION__SEAL_KEY) to the key of the agents"
                    .into(),
            )
        })?;
        let (number, id) = self.incident(which).await?;
        let signals = self.reads.signals_of(id).await.map_err(|error| failed(self.settings, &error))?;
        let all: Vec<_> = signals
            .iter()
            .flat_map(|signal| &signal.sealed)
            .filter(|sealed| sealed.placeholder == placeholder)
            .collect();
        let said = terminal::clean(placeholder, NAME);
        if all.is_empty() {
            return Err(CliError::NotFound(format!("no value of {said} is sealed in incident #{number}")));
        }
        let values: BTreeSet<String> = all.iter().filter_map(|sealed| sealer.open(sealed)).collect();
        if values.is_empty() {
            return Err(CliError::Failed(format!(
                "{said} of incident #{number} was sealed with another key"
            )));
        }
        store.note_opened(id, &said, by, screen.now).await.map_err(|error| failed(self.settings, &error))?;
        Ok(values.iter().map(|value| terminal::clean(value, SENTENCE) + "\n").collect())
    }

    /// Returns the record that a piece of the last result is quoted from.
    async fn cited(&self, incident: IncidentRef, piece: &str) -> Result<EvidenceId, CliError> {
        let (number, id) = self.incident(incident).await?;
        let missing = |what: &str| CliError::NotFound(format!("incident #{number} {what}"));
        let result = self.result(id).await?.ok_or_else(|| missing("was not investigated yet"))?;
        let piece = result.evidence.into_iter().find(|known| known.id == piece);
        let piece = piece.ok_or_else(|| missing("cites no such piece of evidence"))?;
        piece.record.ok_or_else(|| missing("was investigated by a release that kept no records"))
    }

    async fn incident(&self, which: IncidentRef) -> Result<(i64, IncidentId), CliError> {
        let found = find(self.reads, which, self.settings).await?;
        Ok((found.number, found.incident_id))
    }

    async fn result(&self, id: IncidentId) -> Result<Option<RootCause>, CliError> {
        let found = self.reads.artifact(id, ArtifactKind::RootCause).await;
        found.map_err(|error| failed(self.settings, &error))
    }
}

/// Returns what a source is, in a few words.
pub(crate) fn source_words(source: &Source) -> String {
    match source {
        Source::Samples { service, metric, .. } => format!("samples of {service} {metric}"),
        Source::Log { service, .. } => format!("logs of {service}"),
        Source::Deployment { service, version } => format!("deployment of {service} {version}"),
        Source::Deployments { service, .. } => format!("deployments of {service}"),
        Source::Edge { caller, callee } => format!("call from {caller} to {callee}"),
        Source::EdgeTimes { caller, callee, onset, .. } => {
            format!("duration of calls from {caller} to {callee} around {onset}")
        }
        Source::Document { doc_id, section } => format!("{doc_id}, {section}"),
        Source::Query { source, question } => format!("answer of {source} about {}", question.service),
    }
}
