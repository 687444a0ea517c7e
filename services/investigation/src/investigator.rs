//! One investigation: sources are read from the store, causes are claimed over them and checked against another reading.

use jiff::SignedDuration;
use shared::error::Error;
use shared::events::incident::Incident;
use shared::knowledge::retrieval::Retrieval;
use shared::store::Reads;

use crate::decision::{Basis, Claimed, Gathered, last_seen};
use crate::documents::{self, Documents};
use crate::metrics;
use crate::options::Options;
use crate::query::Asked;
use crate::sources::{EDGES, Members, Sources};
use crate::verdict::Knowledge;

pub use crate::decision::{LookedAt, Outcome};

/// Window of the figures of edges.
const FIGURES: SignedDuration = SignedDuration::from_mins(15);

/// How often causes are claimed anew because their sources have changed before the check.
const MAX_REPEATS: usize = 3;

/// Looks for causes. The stage asks it when an incident is announced, the command line on demand.
pub struct Investigator {
    options: Options,
    retrieval: Option<Retrieval>,
}

impl Investigator {
    /// Searches in `retrieval`; without it, no documents are cited and the result says so.
    pub fn new(options: Options, retrieval: Option<Retrieval>) -> Self {
        Self { options, retrieval }
    }

    /// Investigates an incident, with what queried systems have answered so far.
    ///
    /// # Errors
    /// If the store cannot be read. Documents that cannot be searched are reported as missing.
    pub async fn investigate(
        &self,
        incident: &Incident,
        members: Members,
        revision: u32,
        asked: &Asked,
        reads: &Reads,
    ) -> Result<Outcome, Error> {
        let incident = &*asked.ranked(incident);
        let mut sources = Sources::read(incident, members, reads).await?;
        let gathered = self.gather(incident, &sources, reads).await?;
        let mut claimed = Claimed::over(Basis { incident, sources: &sources, gathered: &gathered, asked })?;
        // what is published is checked against another reading of its sources; where they have changed meanwhile, it is claimed anew
        let mut again = Sources::read(incident, members, reads).await?;
        for _ in 0..MAX_REPEATS {
            if !again.have_changed_since(&sources) {
                break;
            }
            sources = again;
            claimed = Claimed::over(Basis { incident, sources: &sources, gathered: &gathered, asked })?;
            again = Sources::read(incident, members, reads).await?;
        }
        again.answers = asked.again();
        if let Some(retrieval) = &self.retrieval {
            again.read_documents(claimed.cited(), retrieval).await;
        }
        let basis = Basis { incident, sources: &sources, gathered: &gathered, asked };
        Ok(claimed.checked(basis, &again, revision))
    }

    /// Searches for documents and reads the figures of edges.
    async fn gather(&self, incident: &Incident, sources: &Sources, reads: &Reads) -> Result<Gathered, Error> {
        let mut documents = Vec::new();
        let mut knowledge =
            if self.retrieval.is_some() { Knowledge::NothingSimilar } else { Knowledge::Unavailable };
        for suspect in incident.suspects.iter().take(self.options.candidates) {
            let found = match &self.retrieval {
                None => Documents::default(),
                Some(retrieval) => documents::search(retrieval, incident, suspect, &self.options)
                    .await
                    .unwrap_or_else(|error| {
                        // the ranking does not rest on documents: it goes on without, and says so
                        tracing::warn!(incident = %incident.incident_id, %error, "knowledge could not be searched");
                        metrics::SEARCH_FAILURES.add_one([]);
                        knowledge = Knowledge::Unavailable;
                        Documents::default()
                    }),
            };
            if !found.incidents.is_empty() && knowledge == Knowledge::NothingSimilar {
                knowledge = Knowledge::Found;
            }
            documents.push(found);
        }
        let now = last_seen(&sources.signals).unwrap_or(incident.opened_at);
        let graph =
            reads.service_graph(&incident.environment, incident.started_at - EDGES, FIGURES, now).await?;
        let edges = graph.map_or_else(Vec::new, |graph| graph.edges);
        Ok(Gathered { documents, knowledge, edges })
    }
}
