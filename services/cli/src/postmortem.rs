//! `firewatch postmortem`: the document of an incident is shown, revised and exported; what it teaches becomes a document that
//! the next investigation finds.

pub mod arguments;
pub mod draft;
pub mod html;
pub mod page;
pub mod show;

use std::io::Read as _;
use std::path::Path;

use catalogue::content::MAX_FILE;
use catalogue::incident::Incident as Document;
use shared::events::{Incident, RootCause};
use shared::knowledge::approved::{self, Approved, Outcome};
use shared::store::postmortems::{self, MAX_TEXT, Revised};
use shared::store::{ArtifactKind, Store};
use shared::text::sanitize::{NAME, lines, one_line};
use shared::text::secrets::Redactor;

use crate::failure::CliError;
use crate::incidents::{failed, find, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen};
use arguments::Postmortem;
use draft::draft;

/// Longest note on a revision, characters.
const MAX_NOTE: usize = 400;

/// Runs `firewatch postmortem ...`.
pub async fn run(command: Postmortem, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let (Postmortem::Show(show::Show { which, .. })
    | Postmortem::Revise { which, .. }
    | Postmortem::Draft { which }
    | Postmortem::Approve { which, .. }
    | Postmortem::Withdraw { which, .. }) = command;
    let incident = find(store.reads(), which, settings).await?;
    let work = Work { store: &store, settings, screen, incident };
    match command {
        Postmortem::Show(show) => show::run(&show, &work.incident, store.reads(), settings, screen).await,
        Postmortem::Revise { file, by, note, .. } => work.revise(&file, &by, &note).await,
        Postmortem::Draft { .. } => {
            let text = work.draft().await?.to_yaml().map_err(|error| CliError::Failed(error.to_string()))?;
            // YAML has no other way to write these characters than escapes, which the writer uses; what is left is text
            terminal::print(&(terminal::clean_lines(&text) + "\n"))
        }
        Postmortem::Approve { file, by, .. } => work.approve(file.as_deref(), &by).await,
        Postmortem::Withdraw { by, .. } => work.withdraw(&by).await,
    }
}

/// One incident and what is done with it.
struct Work<'s> {
    store: &'s Store,
    settings: &'s Settings,
    screen: &'s Screen,
    incident: Incident,
}

impl Work<'_> {
    async fn draft(&self) -> Result<Document, CliError> {
        let (reads, id) = (self.store.reads(), self.incident.incident_id);
        let result: Option<RootCause> = reads
            .artifact(id, ArtifactKind::RootCause)
            .await
            .map_err(|error| failed(self.settings, &error))?;
        let signals = reads.signals_of(id).await.map_err(|error| failed(self.settings, &error))?;
        let feedback = reads.feedback(id).await.map_err(|error| failed(self.settings, &error))?;
        draft(&self.incident, &signals, result.as_ref(), feedback.last())
            .map_err(|why| CliError::Failed(format!("incident #{}: {why}", self.incident.number)))
    }

    async fn approve(&self, file: Option<&Path>, by: &str) -> Result<(), CliError> {
        let document = match file {
            None => self.draft().await?,
            Some(file) => read(file)?,
        };
        let id = draft::id(self.incident.number);
        if document.id != id {
            let said = terminal::clean(&document.id, NAME);
            return Err(CliError::Usage(format!("the id of the document is {said:?} and not {id:?}")));
        }
        let approved = Approved {
            doc_id: document.doc_id(),
            incident_id: self.incident.incident_id,
            chunks: document.chunks(),
            approved_by: one_line(by, NAME),
            approved_at: self.screen.now,
        };
        let outcome =
            approved::approve(self.store, &approved).await.map_err(|error| failed(self.settings, &error))?;
        if outcome == Outcome::Full {
            return Err(CliError::Failed(format!(
                "{} documents are approved already; move some to the content directory or withdraw them",
                approved::MAX_APPROVED
            )));
        }
        let doc_id = &approved.doc_id;
        match self.index(&approved).await {
            Ok(()) => terminal::print(&format!("{doc_id} is approved and indexed\n")),
            // what is on record is indexed with the next run of the seeder
            Err(error) => Err(CliError::Failed(format!(
                "{doc_id} is approved and could not be indexed yet ({error}); `make seed` indexes it"
            ))),
        }
    }

    async fn index(&self, approved: &Approved) -> Result<(), shared::knowledge::Error> {
        let knowledge = &self.settings.common.knowledge;
        let index = knowledge.open_index(self.store.clone())?;
        approved::index(approved, &knowledge.embedder().await?, &*index).await
    }

    async fn revise(&self, file: &Path, by: &str, note: &str) -> Result<(), CliError> {
        let redactor = Redactor::new(&self.settings.common.redaction);
        let text = revised(&contents(file, MAX_TEXT as u64)?, &redactor)?;
        let number = self.incident.number;
        let (by, note) = (one_line(by, NAME), one_line(&redactor.redact(note), MAX_NOTE));
        let outcome = self
            .store
            .revise_postmortem(self.incident.incident_id, &text, &by, &note, self.screen.now)
            .await
            .map_err(|error| failed(self.settings, &error))?;
        match outcome {
            Revised::Stored(revision) => terminal::print(&format!(
                "revision {revision} of the postmortem of incident #{number} is stored; it is a draft until it is approved\n"
            )),
            Revised::Unchanged(revision) => {
                terminal::print(&format!("revision {revision} has this text already; nothing has changed\n"))
            }
            Revised::Unwritten => {
                Err(CliError::NotFound(format!("incident #{number} has no postmortem yet")))
            }
            Revised::Full => Err(CliError::Failed(format!(
                "the postmortem has {} revisions already; more are not stored",
                postmortems::MAX_REVISIONS
            ))),
        }
    }

    async fn withdraw(&self, by: &str) -> Result<(), CliError> {
        let doc_id = format!("incident/{}", draft::id(self.incident.number));
        let (id, by) = (self.incident.incident_id, one_line(by, NAME));
        let was_there = approved::withdraw(self.store, &doc_id, id, &by, self.screen.now)
            .await
            .map_err(|error| failed(self.settings, &error))?;
        if !was_there {
            return Err(CliError::NotFound(format!("{doc_id} is not approved")));
        }
        let unindexed = async || {
            let index = self.settings.common.knowledge.open_index(self.store.clone())?;
            approved::remove(&doc_id, &*index).await
        };
        unindexed().await.map_err(|error| {
            CliError::Failed(format!(
                "{doc_id} is withdrawn and still indexed ({error}); `make seed` removes it"
            ))
        })?;
        terminal::print(&format!("{doc_id} is withdrawn\n"))
    }
}

fn read(file: &Path) -> Result<Document, CliError> {
    Document::read(&file.display().to_string(), &contents(file, MAX_FILE)?)
        .map_err(|problems| CliError::Usage(format!("the document is invalid: {problems}")))
}

/// Reads a file of text, of at most `most` bytes.
fn contents(file: &Path, most: u64) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let unusable =
        |why: &dyn std::fmt::Display| CliError::Usage(format!("reading {}: {why}", file.display()));
    std::fs::File::open(file)
        .and_then(|opened| opened.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| unusable(&error))?;
    if bytes.len() as u64 > most {
        return Err(unusable(&format!("it is longer than {} KiB; shorten it", most / 1024)));
    }
    String::from_utf8(bytes).map_err(|error| unusable(&error))
}

/// Returns the text of a revision as it is stored: without what the settings hide, and without characters that steer who reads it.
///
/// # Errors
/// If it is empty.
pub fn revised(text: &str, redactor: &Redactor) -> Result<String, CliError> {
    let mut text = lines(text).trim().to_owned() + "\n";
    if text.trim().is_empty() {
        return Err(CliError::Usage(
            "the text is empty; `firewatch postmortem show --markdown` prints the last one".to_owned(),
        ));
    }
    redactor.apply(&mut text);
    Ok(text)
}
