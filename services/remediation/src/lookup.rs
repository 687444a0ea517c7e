//! Finds the runbook that covers a kind of cause.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::catalogue::Catalogue;
use shared::events::Category;
use shared::knowledge::{Chunk, DocumentKind, Error, Index, Query};

use crate::metrics;
use crate::runbook::Runbook;
use crate::target::Target;

/// Tries before a plan is made without the index.
const TRIES: u32 = 3;
/// Pause between tries.
const PAUSE: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A runbook for that kind of cause.
    Runbook(Box<Runbook>),
    /// There is none.
    None,
    /// The index did not answer: there may be one.
    Unreachable,
}

/// Looks for a runbook that covers the target's kind of cause.
///
/// Of several, those that the investigation refers to come first, in its order, then those the catalogue names for the
/// service, then the rest by id. A runbook that cannot be read is passed over. One for another kind of cause is not
/// taken: its steps may do harm.
pub async fn find(index: &dyn Index, target: &Target<'_>, catalogue: &Catalogue) -> Found {
    if target.category == Category::Unknown {
        return Found::None;
    }
    let chunks = match scan(index, target.category).await {
        Ok(chunks) => chunks,
        Err(error) => {
            tracing::warn!(category = %target.category, %error, "runbooks could not be looked up");
            metrics::INDEX_FAILURES.add_one([]);
            return Found::Unreachable;
        }
    };
    let mut documents: BTreeMap<String, Vec<Chunk>> = BTreeMap::new();
    for chunk in chunks {
        documents.entry(chunk.doc_id.clone()).or_default().push(chunk);
    }
    let mut ranked: Vec<(String, Vec<Chunk>)> = documents.into_iter().collect();
    ranked.sort_by_key(|(doc_id, _)| rank(doc_id, target, catalogue));
    for (doc_id, mut chunks) in ranked {
        chunks.sort_by_key(|chunk| chunk.ordinal);
        match Runbook::read(&doc_id, &chunks, target.service) {
            Ok(runbook) => return Found::Runbook(Box::new(runbook)),
            Err(error) => {
                tracing::warn!(%error, "runbook passed over");
                metrics::RUNBOOKS_REFUSED.add_one([]);
            }
        }
    }
    Found::None
}

async fn scan(index: &dyn Index, category: Category) -> Result<Vec<Chunk>, Error> {
    let query = Query { kind: Some(DocumentKind::Runbook), ..Query::default() }.about(category);
    for _ in 1..TRIES {
        match index.scan(&query).await {
            Err(Error::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
    index.scan(&query).await
}

fn rank(doc_id: &str, target: &Target<'_>, catalogue: &Catalogue) -> (u8, usize) {
    let referred = target.candidate.map_or(&[][..], |candidate| &candidate.runbooks);
    let named = catalogue.get(target.service).map_or(&[][..], |service| &service.runbooks);
    if let Some(place) = referred.iter().position(|reference| reference.doc_id == doc_id) {
        return (0, place);
    }
    named.iter().position(|name| name == doc_id).map_or((2, 0), |place| (1, place))
}
