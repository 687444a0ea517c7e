//! Makes index and catalogue equal to the content: adds what is new, replaces what has changed, removes what
//! is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use shared::knowledge::{Chunk, Embedder, Error, Index, content_hash, embedded};
use uuid::Uuid;

/// Chunks that are embedded and written together.
const BATCH: usize = 64;

/// What seeding has done to the chunks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// As they were.
    pub unchanged: usize,
    /// There was none with that id.
    pub added: usize,
    /// Written again.
    pub updated: usize,
    /// No longer in the content.
    pub removed: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unchanged, added, updated, removed } = self;
        write!(f, "{unchanged} chunks unchanged, {added} added, {updated} updated, {removed} removed")
    }
}

/// Seeds the index. Chunks whose hash is there already are neither embedded nor written, unless `rebuild` is
/// asked for: then everything is removed first, as after a change of the model.
///
/// A run that breaks off leaves a mixture of old and new chunks, each of them whole; the next run completes
/// it.
pub async fn seed(
    chunks: &[Chunk],
    embedder: &dyn Embedder,
    index: &dyn Index,
    rebuild: bool,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    if rebuild {
        let all: Vec<Uuid> = index.hashes().await?.into_keys().collect();
        if !all.is_empty() {
            index.remove(&all).await?;
        }
        outcome.removed = all.len();
    }
    index.prepare(embedder.dimensions()).await?;
    let held: BTreeMap<Uuid, String> = index.hashes().await?;

    let mut stale = Vec::new();
    for chunk in chunks {
        match held.get(&chunk.id()) {
            Some(hash) if *hash == content_hash(chunk) => outcome.unchanged += 1,
            Some(_) => {
                outcome.updated += 1;
                stale.push(chunk);
            }
            None => {
                outcome.added += 1;
                stale.push(chunk);
            }
        }
    }
    for batch in stale.chunks(BATCH) {
        let rows = embedded(batch.iter().copied(), embedder).await?;
        index.upsert(&rows).await?;
        tracing::debug!(chunks = rows.len(), "batch written");
    }
    let wanted: BTreeSet<Uuid> = chunks.iter().map(Chunk::id).collect();
    let gone: Vec<Uuid> = held.into_keys().filter(|id| !wanted.contains(id)).collect();
    if !gone.is_empty() {
        index.remove(&gone).await?;
    }
    outcome.removed += gone.len();
    Ok(outcome)
}
