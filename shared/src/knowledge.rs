//! Knowledge: documents in chunks, embedded and searched. Two ports, [`Embedder`] and [`Index`].
//!
//! # Facets
//!
//! What a chunk is about, as pairs of strings that a [`Query`] can ask for. A facet with one value is written
//! plainly: `category`, `service` and `severity` of an incident, `owner` of a runbook or a service. A facet
//! with several values is written once for each, as [`facet`] spells it: `category:pool` stands on every
//! document about exhausted pools, `service:payment` on every incident and service page that names payment.
//! Runbooks are for all services.

pub mod approved;
pub mod catalogue;
pub mod embedding;
pub mod explanation;
mod lexical;
mod options;
pub mod postgres;
#[cfg(feature = "qdrant")]
pub mod qdrant;
pub mod reranking;
pub mod retrieval;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::events::Category;

pub use options::{Adapter, Options};

/// Most chunks an index holds.
pub const MAX_CHUNKS: usize = 10_000;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A past incident.
    Incident,
    /// A runbook.
    Runbook,
    /// A page about a service.
    Service,
}

impl DocumentKind {
    /// Returns its name, as messages and ids have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incident => "incident",
            Self::Runbook => "runbook",
            Self::Service => "service",
        }
    }
}

/// A part of a document that is found on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Document, e.g. `runbook/db-connections`.
    pub doc_id: String,
    /// What the document is.
    pub kind: DocumentKind,
    /// Title of the document.
    pub title: String,
    /// Part of it: a runbook's `##` heading; `summary`, `cause`, `resolution`, `factors` of an incident.
    pub section: String,
    /// Place within the document, from 0.
    pub ordinal: u32,
    /// The text, Markdown.
    pub text: String,
    /// Facets to filter by, see the [module](self).
    #[serde(default)]
    pub facets: BTreeMap<String, String>,
}

impl Chunk {
    /// Returns the id of the chunk: derived from document and place, so that seeding again replaces it.
    pub fn id(&self) -> uuid::Uuid {
        crate::ids::derive(&["chunk", &self.doc_id, &self.ordinal.to_string()])
    }

    /// Returns what is embedded: title, section and text.
    pub fn embedded_text(&self) -> String {
        format!("{}\n{}\n{}", self.title, self.section, self.text)
    }

    /// Returns whether the chunk's document is about that kind of cause.
    pub fn has_category(&self, category: Category) -> bool {
        self.facets.contains_key(&facet("category", &category.to_string()))
    }

    /// Returns whether the chunk's document is about that service.
    pub fn has_service(&self, service: &str) -> bool {
        self.facets.contains_key(&facet("service", service))
    }
}

/// Returns the key of one value of a facet that may have several, e.g. `category:pool`. Its value is [`YES`].
pub fn facet(name: &str, value: &str) -> String {
    format!("{name}:{value}")
}

/// What stands under a key made by [`facet`].
pub const YES: &str = "yes";

/// A chunk that fits a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk: Chunk,
    /// Cosine similarity, -1 to 1.
    pub score: f32,
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Words, as a person would ask.
    pub text: String,
    /// Only documents of this kind.
    pub kind: Option<DocumentKind>,
    /// Only chunks with these facets.
    pub facets: BTreeMap<String, String>,
    /// Most hits.
    pub limit: usize,
}

impl Query {
    /// Returns whether a chunk is of the kind and has the facets that are asked for.
    pub fn admits(&self, chunk: &Chunk) -> bool {
        self.kind.is_none_or(|kind| kind == chunk.kind)
            && self.facets.iter().all(|(name, value)| chunk.facets.get(name) == Some(value))
    }

    /// Asks only for documents about that kind of cause.
    #[must_use]
    pub fn about(mut self, category: Category) -> Self {
        self.facets.insert(facet("category", &category.to_string()), YES.to_owned());
        self
    }

    /// Asks only for documents that name that service. Runbooks name none.
    #[must_use]
    pub fn naming(mut self, service: &str) -> Self {
        self.facets.insert(facet("service", service), YES.to_owned());
        self
    }
}

/// Why knowledge cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index is down or slow; try again.
    #[error("knowledge index unavailable: {0:#}")]
    Unavailable(anyhow::Error),
    /// The embedding model failed.
    #[error("embedding failed: {0:#}")]
    Embedding(anyhow::Error),
    /// The index holds something else than was asked for.
    #[error("knowledge index is inconsistent: {0}")]
    Inconsistent(String),
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) => Self::unavailable(error),
            Error::Embedding(_) => Self::retry(error),
            Error::Inconsistent(_) => Self::fatal(error),
        }
    }
}

/// Turns text into vectors of [`Embedder::dimensions`] numbers, each of length 1.
#[async_trait]
pub trait Embedder: Send + Sync + 'static {
    /// Returns one vector for each text, in order.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error>;

    /// Returns the length of a vector.
    fn dimensions(&self) -> usize;
}

/// Keeps chunks with their vectors.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// Prepares the index for vectors of that length; safe to repeat.
    async fn prepare(&self, dimensions: usize) -> Result<(), Error>;

    /// Writes chunks, replacing those with the same id.
    async fn upsert(&self, chunks: &[(Chunk, Vec<f32>)]) -> Result<(), Error>;

    /// Removes chunks by id.
    async fn remove(&self, ids: &[uuid::Uuid]) -> Result<(), Error>;

    /// Returns id and content hash (see [`content_hash`]) of every chunk.
    async fn hashes(&self) -> Result<BTreeMap<uuid::Uuid, String>, Error>;

    /// Returns the nearest chunks, best first; equal scores by id.
    async fn nearest(&self, vector: &[f32], query: &Query) -> Result<Vec<Hit>, Error>;

    /// Returns all chunks of a document in order; empty where there is none.
    async fn document(&self, doc_id: &str) -> Result<Vec<Chunk>, Error>;

    /// Returns all chunks that match the query's kind and facets, by document and place, for lexical search
    /// (at most [`MAX_CHUNKS`]).
    async fn scan(&self, query: &Query) -> Result<Vec<Chunk>, Error>;
}

/// Returns chunks with their vectors, as an index keeps them.
///
/// # Errors
/// If the model fails.
pub async fn embedded<'c>(
    chunks: impl Iterator<Item = &'c Chunk> + Clone,
    embedder: &dyn Embedder,
) -> Result<Vec<(Chunk, Vec<f32>)>, Error> {
    let texts: Vec<String> = chunks.clone().map(Chunk::embedded_text).collect();
    let vectors = embedder.embed(&texts).await?;
    Ok(chunks.cloned().zip(vectors).collect())
}

/// Refuses a vector that is not of that length, not finite or not of length 1.
fn check_vector(vector: &[f32], dimensions: usize) -> Result<(), Error> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if vector.len() == dimensions && (norm - 1.0).abs() < 1e-3 {
        return Ok(());
    }
    Err(Error::Inconsistent(format!(
        "a vector of {} numbers and length {norm:.3} was given; {dimensions} numbers and length 1 are expected",
        vector.len()
    )))
}

fn mismatch(held: usize, wanted: usize) -> Error {
    Error::Inconsistent(format!(
        "it holds vectors of {held} numbers and the model makes {wanted}: seed with --rebuild"
    ))
}

/// Returns a hash over everything in a chunk, to tell whether it changed.
pub fn content_hash(chunk: &Chunk) -> String {
    use sha2::{Digest, Sha256};
    let canonical = serde_json::to_vec(chunk).expect("a chunk is plain data");
    hex::encode(Sha256::digest(canonical))
}
