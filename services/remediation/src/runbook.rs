//! A runbook as a plan needs it: its steps with the sections they stand in, and whom to call next.

use shared::events::remediation::{Action, Step};
use shared::knowledge::Chunk;
use shared::runbook::{self, ESCALATION, PLACEHOLDER, RunbookEscalation, RunbookStep};

/// A runbook, read for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runbook {
    /// Document, e.g. `runbook/db-connections`.
    pub doc_id: String,
    /// Title.
    pub title: String,
    /// Team that keeps it.
    pub owner: Option<String>,
    /// Steps with the section each stands in, in the order of the file; never empty.
    pub steps: Vec<(String, RunbookStep)>,
    /// Whom to call when they do not help, if it says so.
    pub escalation: Option<RunbookEscalation>,
}

/// Why a runbook cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A section is not written as it must be. The whole runbook is refused: a step that is missing in the middle
    /// is worse than none.
    #[error("{doc_id}#{section}: {reason}")]
    Section {
        /// Document.
        doc_id: String,
        /// Section.
        section: String,
        /// What is wrong with it.
        reason: String,
    },
    /// None of its sections holds steps.
    #[error("{doc_id} has no steps")]
    NoSteps {
        /// Document.
        doc_id: String,
    },
}

impl Runbook {
    /// Reads the chunks of one document, in order, for `service`.
    pub fn read(doc_id: &str, chunks: &[Chunk], service: &str) -> Result<Self, Error> {
        let refused = |section: &str| {
            let (doc_id, section) = (doc_id.to_owned(), section.to_owned());
            move |error: runbook::Error| Error::Section { doc_id, section, reason: error.to_string() }
        };
        let (mut steps, mut escalation) = (Vec::new(), None);
        for Chunk { section, text, .. } in chunks {
            if runbook::priority(section).is_some() {
                let read = runbook::steps(section, text, service).map_err(refused(section))?;
                steps.extend(read.into_iter().map(|step| (section.clone(), step)));
            } else if section == ESCALATION {
                escalation = Some(runbook::escalation(text).map_err(refused(section))?);
            }
        }
        if steps.is_empty() {
            return Err(Error::NoSteps { doc_id: doc_id.to_owned() });
        }
        let first = chunks.first();
        Ok(Self {
            doc_id: doc_id.to_owned(),
            title: first.map(|chunk| chunk.title.clone()).unwrap_or_default(),
            owner: first.and_then(|chunk| chunk.facets.get("owner").cloned()),
            steps,
            escalation,
        })
    }
}

/// Leaves a step to a person, because the name of its service could not be filled in: no typed action may carry such
/// a name. Commands keep their placeholder, sentences read on without it.
pub fn mark_manual(step: &mut Step) {
    step.action = Action::Manual;
    for text in [&mut step.title, &mut step.owner, &mut step.expected_outcome] {
        *text = text.replace(PLACEHOLDER, "the service");
    }
}
