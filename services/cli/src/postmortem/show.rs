//! `firewatch postmortem show`: the document with where it stands, its action items and its timeline.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use shared::events::Incident;
use shared::events::postmortem::Times;
use shared::store::Reads;
use shared::store::action_items::{Filter, Item};
use shared::store::postmortems::{Document, Revision, Standing};
use shared::store::timeline::{Entry, Subject, Timeline};
use shared::text::sanitize::lines;

use super::{html, page};
use crate::arguments::IncidentRef;
use crate::failure::CliError;
use crate::incidents::failed;
use crate::output;
use crate::settings::Settings;
use crate::terminal::{self, Screen};

/// Name of the exported shape.
const FORMAT: &str = "firewatch.postmortem-document.v1";
/// Most action items; a postmortem has at most 8, and what was superseded stays.
const MAX_ITEMS: i64 = 200;

/// Shows a postmortem.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// Its number, e.g. 12, or its id.
    #[arg(value_name = "NUMBER|ID")]
    pub which: IncidentRef,
    /// An earlier revision; the last one unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub revision: Option<i32>,
    /// Prints a page of HTML that needs nothing else.
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    pub html: bool,
    /// Prints the text alone, as `revise` takes it.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
    /// File to write instead of the standard output; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// A postmortem as it is exported.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// `firewatch.postmortem-document.v1`.
    pub format: &'static str,
    /// The incident.
    pub incident: Subject,
    /// Where the postmortem stands.
    pub standing: Standing,
    /// The revision that is shown.
    pub revision: Revision,
    /// All revisions, oldest first.
    pub revisions: Vec<Revision>,
    /// Its text.
    pub markdown: String,
    /// Durations of the last revision that was written from the record.
    pub times: Times,
    /// Action items as they stand now, those of the document first.
    pub action_items: Vec<Item>,
    /// What is on record of the incident.
    pub timeline: Vec<Entry>,
    /// Later lines of the audit trail that are not in it.
    pub left_out: usize,
    /// Text of the last revision that was written from the record.
    #[serde(skip)]
    pub written: String,
}

impl Shown {
    /// Puts together what is shown.
    pub fn new(
        incident: &Incident,
        document: Document,
        items: Vec<Item>,
        timeline: Vec<Entry>,
        left_out: usize,
    ) -> Self {
        let Document { postmortem, revisions, shown, markdown, standing } = document;
        Self {
            format: FORMAT,
            incident: Timeline::of(incident, Vec::new(), 0).incident,
            standing,
            revision: shown,
            revisions,
            markdown,
            times: postmortem.times,
            action_items: items,
            timeline,
            left_out,
            written: postmortem.markdown,
        }
    }

    /// Returns whether an earlier revision is shown.
    pub fn is_outdated(&self) -> bool {
        self.revisions.last().is_some_and(|last| last.revision != self.revision.revision)
    }
}

/// Runs `firewatch postmortem show`.
pub(super) async fn run(
    show: &Show,
    incident: &Incident,
    reads: &Reads,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let (id, number) = (incident.incident_id, incident.number);
    let found = reads.postmortem(id, show.revision).await.map_err(|error| failed(settings, &error))?;
    let document = found.ok_or_else(|| {
        let which = show.revision.map_or_else(String::new, |revision| format!(" in revision {revision}"));
        let went = incident.merged_into().map_or_else(String::new, |into| {
            format!("; it ended in incident #{}, which has one once it is over", into.number)
        });
        CliError::NotFound(format!("incident #{number} has no postmortem{which}{went}"))
    })?;
    let filter = Filter { all: true, incident_id: Some(id), ..Filter::default() };
    let mut items = reads.action_items(&filter, MAX_ITEMS).await.map_err(|error| failed(settings, &error))?;
    items.sort_by_key(|item| item.is_superseded);
    let history = reads.history(id).await.map_err(|error| failed(settings, &error))?;
    let shown = Shown::new(incident, document, items, history.entries(incident.opened_at), history.left_out);
    let text = if show.json {
        terminal::json(&shown, true)?
    } else if show.markdown {
        lines(&shown.markdown)
    } else if show.html {
        lines(&html::render(&shown, screen.now))
    } else {
        page::render(&shown, screen)
    };
    output::write(&text, show.out.as_deref())
}
