//! Hybrid retrieval: words and meaning, each ranks documents by their best chunk, and the two rankings are
//! fused.
//!
//! Reciprocal rank fusion after Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet
//! and individual Rank Learning Methods", SIGIR 2009: a document's score is the sum over rankings of 1 / (60
//! + rank).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::lexical::Corpus;
use super::{Chunk, Embedder, Error, Index, Query};
use crate::events::rca::Reference;

/// Damps the first ranks; the value of the paper.
const K: f64 = 60.0;
/// Longer queries are cut, characters.
const MAX_QUERY: usize = 2_000;
/// Most documents of one answer.
const MAX_DOCUMENTS: usize = 50;
/// Chunks that each ranking looks at for one document of the answer: a document has up to seven.
const CHUNKS_PER_DOCUMENT: usize = 10;
/// How long counted words are kept before the index is read again.
const FRESH: Duration = Duration::from_secs(30);

/// A document that fits, by its best chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The chunk that fits best: the first by meaning, else the first by words.
    pub chunk: Chunk,
    /// 0 to 1: 1 is first in both rankings, .5 first in one and not found by the other. It says how the
    /// document stands among the others, not how well it fits.
    pub score: f64,
    /// Cosine similarity of query and chunk, where the document was found by meaning.
    pub similarity: Option<f32>,
}

impl Found {
    /// Returns what is published about it.
    pub fn reference(&self) -> Reference {
        Reference {
            doc_id: self.chunk.doc_id.clone(),
            title: self.chunk.title.clone(),
            section: self.chunk.section.clone(),
            score: self.score,
            alike: Vec::new(),
            different: Vec::new(),
        }
    }
}

/// Which rankings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Words alone (BM25).
    Words,
    /// Meaning alone (vectors).
    Meaning,
    /// Both, fused.
    Both,
}

/// Search over an embedder and an index. Cheap to clone.
#[derive(Clone)]
pub struct Retrieval {
    embedder: Arc<dyn Embedder>,
    index: Arc<dyn Index>,
    words: Arc<Mutex<Option<Counted>>>,
}

/// Counted words, and when they were.
struct Counted {
    at: Instant,
    corpus: Arc<Corpus>,
}

impl Retrieval {
    /// Searches that index with vectors of that embedder.
    pub fn new(embedder: Arc<dyn Embedder>, index: Arc<dyn Index>) -> Self {
        Self { embedder, index, words: Arc::default() }
    }

    /// Returns the documents that fit, best first; equal scores by similarity, then by document id.
    ///
    /// Words follow a change of the index within 30 seconds, meaning at once.
    pub async fn search(&self, query: &Query) -> Result<Vec<Found>, Error> {
        self.search_by(query, By::Both).await
    }

    /// Returns the documents that fit by some of the rankings; similarities are known of what meaning has found.
    pub async fn search_by(&self, query: &Query, by: By) -> Result<Vec<Found>, Error> {
        let limit = query.limit.min(MAX_DOCUMENTS);
        let text: String = query.text.chars().take(MAX_QUERY).collect();
        if limit == 0 || text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let deep = Query { text: text.clone(), limit: limit * CHUNKS_PER_DOCUMENT, ..query.clone() };
        let vector = self
            .embedder
            .embed(std::slice::from_ref(&text))
            .await?
            .pop()
            .ok_or_else(|| Error::Inconsistent("the embedder gave no vector".into()))?;
        let by_meaning = self.index.nearest(&vector, &deep).await?;
        let corpus = self.corpus().await?;
        let by_words = corpus.search(&text, |chunk| query.admits(chunk));

        let meaning = by_meaning.into_iter().map(|hit| (hit.chunk, Some(hit.score)));
        let words = by_words.into_iter().take(deep.limit).map(|(chunk, _)| (chunk.clone(), None));
        let (meaning, words) = (ranks(meaning), ranks(words));
        let mut found = match by {
            By::Words => fuse([words]),
            By::Meaning => fuse([meaning]),
            By::Both => fuse([meaning, words]),
        };
        found.truncate(limit);
        Ok(found)
    }

    /// Returns all chunks of a document in order; empty where there is none.
    pub async fn document(&self, doc_id: &str) -> Result<Vec<Chunk>, Error> {
        self.index.document(doc_id).await
    }

    async fn corpus(&self) -> Result<Arc<Corpus>, Error> {
        let mut words = self.words.lock().await;
        if let Some(counted) = &*words
            && counted.at.elapsed() < FRESH
        {
            return Ok(Arc::clone(&counted.corpus));
        }
        let corpus = Arc::new(Corpus::new(self.index.scan(&Query::default()).await?));
        *words = Some(Counted { at: Instant::now(), corpus: Arc::clone(&corpus) });
        Ok(corpus)
    }
}

/// A chunk with its similarity.
type Ranked = (Chunk, Option<f32>);

/// Keeps the best chunk of each document, in order.
fn ranks(chunks: impl Iterator<Item = Ranked>) -> Vec<Ranked> {
    let mut documents: Vec<Ranked> = Vec::new();
    for (chunk, similarity) in chunks {
        if documents.iter().all(|(seen, _)| seen.doc_id != chunk.doc_id) {
            documents.push((chunk, similarity));
        }
    }
    documents
}

/// Fuses rankings of documents; the chunk is taken from the first ranking that has the document.
fn fuse<const N: usize>(rankings: [Vec<Ranked>; N]) -> Vec<Found> {
    let best = N as f64 / (K + 1.0);
    let mut documents: BTreeMap<String, Found> = BTreeMap::new();
    for ranking in rankings {
        for (rank, (chunk, similarity)) in ranking.into_iter().enumerate() {
            let gain = 1.0 / (K + 1.0 + rank as f64) / best;
            documents
                .entry(chunk.doc_id.clone())
                .or_insert_with(|| Found { chunk, score: 0.0, similarity })
                .score += gain;
        }
    }
    let mut found: Vec<Found> = documents.into_values().collect();
    let similarity = |found: &Found| found.similarity.unwrap_or(-1.0);
    found.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| similarity(b).total_cmp(&similarity(a)))
            .then_with(|| a.chunk.doc_id.cmp(&b.chunk.doc_id))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::*;

    fn ranked(doc_id: &str, section: &str, similarity: Option<f32>) -> Ranked {
        let chunk = Chunk {
            doc_id: doc_id.into(),
            kind: DocumentKind::Runbook,
            title: doc_id.into(),
            section: section.into(),
            ordinal: 0,
            text: String::new(),
            facets: BTreeMap::default(),
        };
        (chunk, similarity)
    }

    #[test]
    fn a_document_that_both_rankings_find_comes_before_one_that_leads_a_single_ranking() {
        let meaning = vec![ranked("leads-meaning", "", Some(0.9)), ranked("both", "by meaning", Some(0.8))];
        let words = vec![ranked("leads-words", "", None), ranked("both", "by words", None)];
        let found = fuse([ranks(meaning.into_iter()), ranks(words.into_iter())]);
        let order: Vec<_> = found.iter().map(|found| &*found.chunk.doc_id).collect();
        assert_eq!(order, ["both", "leads-meaning", "leads-words"]);
        assert_eq!(found[0].chunk.section, "by meaning");
        assert!((found[1].score - 0.5).abs() < 1e-12);
    }

    #[test]
    fn first_in_both_scores_one_and_a_document_counts_once() {
        let both = || ranks([ranked("a", "best", Some(0.9)), ranked("a", "next", Some(0.8))].into_iter());
        let found = fuse([both(), both()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].chunk.section, "best");
        assert!((found[0].score - 1.0).abs() < 1e-12);
    }
}
