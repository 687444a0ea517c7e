//! Hybrid retrieval: words and meaning, each ranks documents by their best chunk, and the two rankings are
//! fused.
//!
//! Reciprocal rank fusion after Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet
//! and individual Rank Learning Methods", SIGIR 2009: a document's score is the sum over rankings of 1 / (60
//! + rank).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::explanation::{self, Explanation};
use super::lexical::Corpus;
use super::reranking::{RERANKED, Reranker};
use super::{Chunk, Embedder, Error, Hit, Index, MAX_CHUNKS, Query};
use crate::events::rca::Reference;

/// Damps the first ranks; the value of the paper.
pub const K: f64 = 60.0;
/// Longer queries are cut, characters.
pub const MAX_QUERY: usize = 2_000;
/// Most documents of one answer.
pub const MAX_DOCUMENTS: usize = 50;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Words alone (BM25).
    Words,
    /// Meaning alone (vectors).
    Meaning,
    /// Both, fused.
    Both,
}

impl By {
    /// Returns how many rankings are fused.
    pub(super) fn rankings(self) -> usize {
        if self == Self::Both { 2 } else { 1 }
    }
}

/// Search over an embedder and an index. Cheap to clone.
#[derive(Clone)]
pub struct Retrieval {
    embedder: Option<Arc<dyn Embedder>>,
    index: Arc<dyn Index>,
    words: Arc<Mutex<Option<Counted>>>,
    reranker: Option<Arc<dyn Reranker>>,
}

/// Counted words, and when they were.
struct Counted {
    at: Instant,
    corpus: Arc<Corpus>,
}

impl Retrieval {
    /// Searches that index with vectors of that embedder.
    pub fn new(embedder: Arc<dyn Embedder>, index: Arc<dyn Index>) -> Self {
        Self { embedder: Some(embedder), index, words: Arc::default(), reranker: None }
    }

    /// Orders the first [`RERANKED`] documents of the fused ranking by that reranker. If it fails, they stand as they are.
    #[must_use]
    pub fn reranked_by(self, reranker: Arc<dyn Reranker>) -> Self {
        Self { reranker: Some(reranker), ..self }
    }

    /// Searches that index by words alone, without a model; a search by meaning fails.
    pub fn words_only(index: Arc<dyn Index>) -> Self {
        Self { embedder: None, index, words: Arc::default(), reranker: None }
    }

    /// Returns the documents that fit, best first; equal scores by similarity, then by document id.
    ///
    /// Words follow a change of the index within 30 seconds, meaning at once.
    pub async fn search(&self, query: &Query) -> Result<Vec<Found>, Error> {
        self.search_by(query, By::Both).await
    }

    /// Returns the documents that fit by some of the rankings; similarities are known of what meaning has found. By words
    /// alone nothing is embedded.
    pub async fn search_by(&self, query: &Query, by: By) -> Result<Vec<Found>, Error> {
        let query = bounded(query);
        let mut found = self.ranked(&query, by).await?;
        found.truncate(query.limit);
        Ok(found)
    }

    /// Returns all documents that a search finds, best first.
    async fn ranked(&self, query: &Query, by: By) -> Result<Vec<Found>, Error> {
        if query.limit == 0 || query.text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut rankings = Vec::with_capacity(by.rankings());
        if by != By::Words {
            let deep = Query { limit: depth(query), ..query.clone() };
            let hits = self.index.nearest(&self.vector(&query.text).await?, &deep).await?;
            rankings.push(by_meaning(&hits));
        }
        if by != By::Meaning {
            let corpus = self.corpus().await?;
            let mut chunks = corpus.search(&query.text, |chunk| query.admits(chunk));
            chunks.truncate(depth(query));
            rankings.push(by_words(&chunks));
        }
        let mut found = fuse(rankings);
        if by == By::Both {
            self.rerank(&query.text, &mut found).await;
        }
        Ok(found)
    }

    /// Orders the first documents anew. They share the scores that they had, so that these go on to say how documents stand.
    async fn rerank(&self, text: &str, found: &mut [Found]) {
        let Some(reranker) = &self.reranker else { return };
        let most = found.len().min(RERANKED);
        let first = &mut found[..most];
        let texts = first.iter().map(|one| format!("{}\n{}", one.chunk.title, one.chunk.text)).collect();
        match reranker.scores(text, texts).await {
            Ok(scores) if scores.len() == first.len() => {
                let held: Vec<f64> = first.iter().map(|one| one.score).collect();
                let mut order: Vec<usize> = (0..first.len()).collect();
                // of equal ones the first stays first
                order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
                let ordered: Vec<Found> = order.into_iter().map(|place| first[place].clone()).collect();
                for ((place, one), score) in first.iter_mut().zip(ordered).zip(held) {
                    *place = Found { score, ..one };
                }
            }
            Ok(scores) => tracing::warn!(scores = scores.len(), "the cross-encoder gave too few scores"),
            Err(error) => tracing::warn!(%error, "documents could not be ordered by the cross-encoder"),
        }
    }

    /// Returns why a document stands where it does in a search; nothing where the index does not hold it.
    ///
    /// All chunks of the index are ranked for it, also those that the search does not look at.
    pub async fn explain(&self, query: &Query, by: By, doc_id: &str) -> Result<Option<Explanation>, Error> {
        let query = bounded(query);
        let corpus = self.corpus().await?;
        let hits = if by == By::Words || query.text.trim().is_empty() {
            Vec::new()
        } else {
            let all = Query { limit: MAX_CHUNKS, ..Query::default() };
            self.index.nearest(&self.vector(&query.text).await?, &all).await?
        };
        let mut explanation = explanation::explain(&query, by, doc_id, &corpus, &hits);
        if let Some(explanation) = explanation.as_mut().filter(|one| one.rank.is_some() && by == By::Both)
            && self.reranker.is_some()
        {
            let found = self.ranked(&query, by).await?;
            if let Some(place) = found.iter().position(|one| one.chunk.doc_id == doc_id) {
                explanation.fused_rank = explanation.rank.replace(place + 1);
                explanation.score = found[place].score;
            }
        }
        Ok(explanation)
    }

    /// Returns all chunks of a document in order; empty where there is none.
    pub async fn document(&self, doc_id: &str) -> Result<Vec<Chunk>, Error> {
        self.index.document(doc_id).await
    }

    /// Returns whether the index holds no document at all, e.g. before it is seeded.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.corpus().await?.is_empty())
    }

    async fn vector(&self, text: &str) -> Result<Vec<f32>, Error> {
        let embedder =
            self.embedder.as_ref().ok_or_else(|| Error::Embedding(anyhow!("no model is loaded")))?;
        let mut vectors = embedder.embed(&[text.to_owned()]).await?;
        vectors.pop().ok_or_else(|| Error::Inconsistent("the embedder gave no vector".into()))
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

/// Returns a query whose text and limit are within their bounds.
fn bounded(query: &Query) -> Query {
    let text = query.text.chars().take(MAX_QUERY).collect();
    Query { text, limit: query.limit.min(MAX_DOCUMENTS), ..query.clone() }
}

/// Returns how many chunks of each ranking a search looks at.
pub(super) fn depth(query: &Query) -> usize {
    query.limit * CHUNKS_PER_DOCUMENT
}

/// A chunk with its similarity.
pub(super) type Ranked = (Chunk, Option<f32>);

/// Ranks documents by their best chunk by meaning; `hits` are in order.
pub(super) fn by_meaning<'h>(hits: impl IntoIterator<Item = &'h Hit>) -> Vec<Ranked> {
    ranks(hits.into_iter().map(|hit| (&hit.chunk, Some(hit.score))))
}

/// Ranks documents by their best chunk by words; `chunks` are in order.
pub(super) fn by_words(chunks: &[(&Chunk, f64)]) -> Vec<Ranked> {
    ranks(chunks.iter().map(|(chunk, _)| (*chunk, None)))
}

/// Keeps the best chunk of each document, in order.
fn ranks<'c>(chunks: impl Iterator<Item = (&'c Chunk, Option<f32>)>) -> Vec<Ranked> {
    let mut seen = BTreeSet::new();
    chunks
        .filter(|(chunk, _)| seen.insert(&*chunk.doc_id))
        .map(|(chunk, similarity)| (chunk.clone(), similarity))
        .collect()
}

/// Returns what one of `rankings` rankings adds to the score of a document, whose rank there counts from 1.
pub(super) fn share(rank: usize, rankings: usize) -> f64 {
    let best = rankings as f64 / (K + 1.0);
    1.0 / (K + rank as f64) / best
}

/// Fuses rankings of documents; the chunk is taken from the first ranking that has the document.
pub(super) fn fuse(rankings: Vec<Vec<Ranked>>) -> Vec<Found> {
    let number = rankings.len();
    let mut documents: BTreeMap<String, Found> = BTreeMap::new();
    for ranking in rankings {
        for (rank, (chunk, similarity)) in (1..).zip(ranking) {
            documents
                .entry(chunk.doc_id.clone())
                .or_insert_with(|| Found { chunk, score: 0.0, similarity })
                .score += share(rank, number);
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
        let found = fuse(vec![meaning, words]);
        let order: Vec<_> = found.iter().map(|found| &*found.chunk.doc_id).collect();
        assert_eq!(order, ["both", "leads-meaning", "leads-words"]);
        assert_eq!(found[0].chunk.section, "by meaning");
        assert!((found[1].score - 0.5).abs() < 1e-12);
    }

    #[test]
    fn first_in_both_scores_one_and_a_document_counts_once() {
        let chunks = [ranked("a", "best", Some(0.9)), ranked("a", "next", Some(0.8))];
        let both = || ranks(chunks.iter().map(|(chunk, similarity)| (chunk, *similarity)));
        let found = fuse(vec![both(), both()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].chunk.section, "best");
        assert!((found[0].score - 1.0).abs() < 1e-12);
    }
}
