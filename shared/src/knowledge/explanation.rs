//! Why a document stands where it stands in a search: its place by words and by meaning, what each adds to its score, and the
//! filters that it does not pass.

use serde::{Deserialize, Serialize};

use super::lexical::Corpus;
use super::retrieval::{By, K, by_meaning, by_words, depth, fuse, share};
use super::{Chunk, DocumentKind, Hit, Query, YES};

/// What one word of a query adds to the score of a chunk (BM25).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The word in the form in which words are compared: lower case, without a plural `s`.
    pub word: String,
    /// Inverse document frequency: the fewer chunks have the word, the larger.
    pub idf: f64,
    /// Chunks of the index with the word.
    pub chunks: usize,
    /// Times the word stands in the chunk.
    pub frequency: usize,
    /// What it adds to the score of the chunk; 0 where the chunk does not have it.
    pub score: f64,
}

/// Why a filter does not admit a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "filter", rename_all = "snake_case")]
pub enum Exclusion {
    /// It is of another kind.
    Kind {
        /// What is asked for.
        asked: DocumentKind,
        /// What the document is.
        has: DocumentKind,
    },
    /// It lacks a facet.
    Facet {
        /// Name of the facet, e.g. `category`.
        name: String,
        /// Value that is asked for.
        asked: String,
        /// Values that the document has, sorted.
        has: Vec<String>,
    },
}

/// The place of a document in one ranking, by its best chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Section of the best chunk.
    pub section: String,
    /// Place of the best chunk within the document, from 0.
    pub ordinal: u32,
    /// Rank among the documents that the filters admit, from 1; none where they exclude this one.
    pub rank: Option<usize>,
    /// Whether the search looks that deep: it reads the first [`Explanation::depth`] chunks of a ranking.
    pub is_within_depth: bool,
    /// 1 / (60 + rank); 0 where the document does not count in the ranking.
    pub reciprocal: f64,
    /// Its part of the score: the reciprocal as a share of what the first in all rankings gets.
    pub share: f64,
}

/// How a document stands by words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// Its place; none where it shares no word with the query.
    pub place: Option<Place>,
    /// BM25 score of its best chunk; the sum over `terms`.
    pub score: f64,
    /// The words of the query, the largest part first.
    pub terms: Vec<Term>,
}

/// How a document stands by meaning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meaning {
    /// Its place.
    pub place: Place,
    /// Cosine similarity of query and best chunk, -1 to 1.
    pub cosine: f32,
}

/// Why a document stands where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Document.
    pub doc_id: String,
    /// What it is.
    pub kind: DocumentKind,
    /// Its title.
    pub title: String,
    /// The text that is searched for, cut where the search cuts it.
    pub text: String,
    /// Which rankings count.
    pub by: By,
    /// Most documents of the answer.
    pub limit: usize,
    /// Chunks of each ranking that the search looks at.
    pub depth: usize,
    /// Why the filters exclude it; empty where they admit it.
    pub excluded_by: Vec<Exclusion>,
    /// Its place by words; none where the search is by meaning alone.
    pub words: Option<Words>,
    /// Its place by meaning; none where the search is by words alone.
    pub meaning: Option<Meaning>,
    /// Sum of its shares, 0 to 1: the score that the search gives it. 0 where it is not found.
    pub score: f64,
    /// Its rank among all documents that are found, from 1; none where it is not found.
    pub rank: Option<usize>,
    /// Its rank before a cross-encoder ordered the first documents anew, from 1; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fused_rank: Option<usize>,
    /// Documents that are found; the answer holds the first `limit` of them.
    pub found: usize,
}

impl Explanation {
    /// Returns whether the answer of the search holds the document.
    pub fn is_returned(&self) -> bool {
        self.rank.is_some_and(|rank| rank <= self.limit)
    }
}

/// Explains the place of a document; nothing where the corpus does not hold it. `query` is within its bounds, and `hits` are all
/// chunks of the index by meaning, best first, regardless of filters.
pub(super) fn explain(
    query: &Query,
    by: By,
    doc_id: &str,
    corpus: &Corpus,
    hits: &[Hit],
) -> Option<Explanation> {
    let first = corpus.document(doc_id).next()?;
    let is_admitted = corpus.document(doc_id).any(|chunk| query.admits(chunk));
    let near: Vec<&Hit> = hits.iter().filter(|hit| query.admits(&hit.chunk)).collect();
    let like = corpus.search(&query.text, |chunk| query.admits(chunk));
    let within = depth(query);

    let mut rankings = Vec::with_capacity(by.rankings());
    if by != By::Words {
        rankings.push(by_meaning(near.iter().take(within).copied()));
    }
    if by != By::Meaning {
        rankings.push(by_words(&like[..like.len().min(within)]));
    }
    let found = fuse(rankings);
    let rank = found.iter().position(|found| found.chunk.doc_id == doc_id);

    let target = Target { doc_id, is_admitted, depth: within, rankings: by.rankings() };
    let words = (by != By::Meaning).then(|| words(&target, query, corpus, &like));
    let meaning = if by == By::Words { None } else { meaning(&target, &near, hits) };
    Some(Explanation {
        doc_id: doc_id.to_owned(),
        kind: first.kind,
        title: first.title.clone(),
        text: query.text.clone(),
        by,
        limit: query.limit,
        depth: within,
        excluded_by: if is_admitted { Vec::new() } else { exclusions(query, first) },
        words,
        meaning,
        score: rank.map_or(0.0, |rank| found[rank].score),
        rank: rank.map(|rank| rank + 1),
        fused_rank: None,
        found: found.len(),
    })
}

/// The document that is explained, and how a ranking counts.
struct Target<'t> {
    doc_id: &'t str,
    is_admitted: bool,
    depth: usize,
    rankings: usize,
}

impl Target<'_> {
    /// Returns the place of the document by its best chunk, given all admitted chunks in order.
    fn place<'c>(&self, best: &Chunk, admitted: impl Iterator<Item = &'c Chunk>) -> Place {
        let mut before: Vec<&str> = Vec::new();
        let mut place = Place {
            section: best.section.clone(),
            ordinal: best.ordinal,
            rank: None,
            is_within_depth: false,
            reciprocal: 0.0,
            share: 0.0,
        };
        for (index, chunk) in admitted.enumerate() {
            if chunk.doc_id == self.doc_id {
                let rank = before.len() + 1;
                place.rank = Some(rank);
                place.is_within_depth = index < self.depth;
                break;
            }
            if !before.contains(&&*chunk.doc_id) {
                before.push(&chunk.doc_id);
            }
        }
        if let Some(rank) = place.rank.filter(|_| place.is_within_depth) {
            place.reciprocal = 1.0 / (K + rank as f64);
            place.share = share(rank, self.rankings);
        }
        place
    }
}

fn words(target: &Target<'_>, query: &Query, corpus: &Corpus, like: &[(&Chunk, f64)]) -> Words {
    let is_own = |(chunk, _): &&(&Chunk, f64)| chunk.doc_id == target.doc_id;
    let excluded;
    let best = if target.is_admitted {
        like.iter().find(is_own)
    } else {
        excluded = corpus.search(&query.text, |chunk| chunk.doc_id == target.doc_id);
        excluded.first()
    };
    match best {
        Some((chunk, score)) => Words {
            place: Some(target.place(chunk, like.iter().map(|(chunk, _)| *chunk))),
            score: *score,
            terms: corpus.terms(&query.text, chunk),
        },
        None => Words {
            place: None,
            score: 0.0,
            terms: corpus
                .document(target.doc_id)
                .next()
                .map(|chunk| corpus.terms(&query.text, chunk))
                .unwrap_or_default(),
        },
    }
}

fn meaning(target: &Target<'_>, near: &[&Hit], all: &[Hit]) -> Option<Meaning> {
    let is_own = |hit: &&Hit| hit.chunk.doc_id == target.doc_id;
    let best = if target.is_admitted { near.iter().copied().find(is_own) } else { all.iter().find(is_own) }?;
    let place = target.place(&best.chunk, near.iter().map(|hit| &hit.chunk));
    Some(Meaning { place, cosine: best.score })
}

/// Returns why a query does not admit a chunk; empty where it does.
fn exclusions(query: &Query, chunk: &Chunk) -> Vec<Exclusion> {
    let kind = query
        .kind
        .filter(|kind| *kind != chunk.kind)
        .map(|kind| Exclusion::Kind { asked: kind, has: chunk.kind });
    let lacking = query.facets.iter().filter(|(name, value)| chunk.facets.get(*name) != Some(value));
    let facets = lacking.map(|(name, value)| match name.split_once(':') {
        Some((name, asked)) if value == YES => {
            let of_name = |key: &String| key.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
            let has = chunk.facets.keys().filter_map(of_name).collect();
            Exclusion::Facet { name: name.to_owned(), asked: asked.to_owned(), has }
        }
        _ => Exclusion::Facet {
            name: name.clone(),
            asked: value.clone(),
            has: chunk.facets.get(name).cloned().into_iter().collect(),
        },
    });
    kind.into_iter().chain(facets).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::facet;
    use super::*;
    use crate::events::Category;

    fn chunk(doc_id: &str, ordinal: u32, text: &str) -> Chunk {
        let kind =
            if doc_id.starts_with("incident/") { DocumentKind::Incident } else { DocumentKind::Runbook };
        Chunk {
            doc_id: doc_id.into(),
            kind,
            title: String::new(),
            section: format!("section {ordinal}"),
            ordinal,
            text: text.into(),
            facets: BTreeMap::from([(facet("category", "pool"), YES.to_owned())]),
        }
    }

    fn chunks() -> Vec<Chunk> {
        let mut chunks = vec![
            chunk("runbook/pool", 0, "connections are exhausted"),
            chunk("runbook/pool", 1, "the pool of connections waits, the pool is empty"),
            chunk("incident/INC-1", 0, "the pool was exhausted by a leak"),
            chunk("runbook/disk", 0, "no space is left"),
        ];
        chunks[3].facets = BTreeMap::from([(facet("category", "disk"), YES.to_owned())]);
        // documents that fill the rankings
        chunks.extend((0..30).map(|number| chunk(&format!("incident/X-{number:02}"), 0, "pool pool pool")));
        chunks
    }

    /// Hits in the order of the chunks.
    fn hits(chunks: &[Chunk]) -> Vec<Hit> {
        (0..)
            .zip(chunks)
            .map(|(at, chunk)| Hit { chunk: chunk.clone(), score: 0.9 - at as f32 / 100.0 })
            .collect()
    }

    fn query(limit: usize) -> Query {
        Query { text: "pool exhausted".into(), limit, ..Query::default() }
    }

    #[test]
    fn the_shares_of_each_document_add_up_to_its_score_and_ranks_to_the_order() {
        let (corpus, hits) = (Corpus::new(chunks()), hits(&chunks()));
        for by in [By::Both, By::Words, By::Meaning] {
            let query = query(50);
            let mut rankings = vec![by_meaning(&hits), by_words(&corpus.search(&query.text, |_| true))];
            match by {
                By::Both => {}
                By::Words => drop(rankings.remove(0)),
                By::Meaning => drop(rankings.remove(1)),
            }
            let found = fuse(rankings);
            for (rank, found) in (1..).zip(&found) {
                let read = explain(&query, by, &found.chunk.doc_id, &corpus, &hits).unwrap();
                let words = read.words.as_ref().and_then(|words| words.place.as_ref());
                let meaning = read.meaning.as_ref().map(|meaning| &meaning.place);
                let shares: f64 = words.into_iter().chain(meaning).map(|place| place.share).sum();
                assert!((shares - found.score).abs() < 1e-12 && read.score == found.score, "{read:?}");
                assert_eq!((read.rank, read.found), (Some(rank), if by == By::Words { 32 } else { 33 }));
                if let Some(words) = &read.words {
                    let sum: f64 = words.terms.iter().map(|term| term.score).sum();
                    assert!((sum - words.score).abs() < 1e-12, "{words:?}");
                }
            }
        }
    }

    #[test]
    fn a_document_is_explained_by_its_best_chunk_in_each_ranking() {
        let (corpus, hits) = (Corpus::new(chunks()), hits(&chunks()));
        let read = explain(&query(5), By::Both, "runbook/pool", &corpus, &hits).unwrap();
        let (words, meaning) = (read.words.unwrap(), read.meaning.unwrap());
        assert_eq!((meaning.place.ordinal, meaning.place.rank, meaning.cosine), (0, Some(1), 0.9));
        assert_eq!((words.place.unwrap().ordinal, &*words.terms[0].word), (0, "exhausted"));
        assert!((meaning.place.reciprocal - 1.0 / 61.0).abs() < 1e-12);
        assert!((meaning.place.share - 0.5).abs() < 1e-12);
        let disk = explain(&query(5), By::Both, "runbook/disk", &corpus, &hits).unwrap().words.unwrap();
        assert!(disk.place.is_none() && disk.score == 0.0 && disk.terms.len() == 2, "{disk:?}");
        assert!(explain(&query(5), By::Both, "runbook/none", &corpus, &hits).is_none());
    }

    #[test]
    fn a_document_below_the_depth_of_the_search_has_a_rank_and_no_share() {
        let (corpus, hits) = (Corpus::new(chunks()), hits(&chunks()));
        let read = explain(&query(1), By::Meaning, "incident/X-29", &corpus, &hits).unwrap();
        let place = &read.meaning.as_ref().unwrap().place;
        assert_eq!((place.rank, place.is_within_depth, place.share), (Some(33), false, 0.0));
        assert_eq!((read.depth, read.rank, read.score, read.is_returned()), (10, None, 0.0, false));
    }

    #[test]
    fn an_excluded_document_has_its_figures_and_the_filters_that_exclude_it() {
        let (corpus, hits) = (Corpus::new(chunks()), hits(&chunks()));
        let query =
            Query { kind: Some(DocumentKind::Incident), ..query(5) }.about(Category::Disk).naming("user");
        let read = explain(&query, By::Both, "runbook/pool", &corpus, &hits).unwrap();
        let facet = |name: &str, asked: &str, has: &[&str]| Exclusion::Facet {
            name: name.into(),
            asked: asked.into(),
            has: has.iter().map(ToString::to_string).collect(),
        };
        let kind = Exclusion::Kind { asked: DocumentKind::Incident, has: DocumentKind::Runbook };
        assert_eq!(
            read.excluded_by,
            [kind, facet("category", "disk", &["pool"]), facet("service", "user", &[])]
        );
        assert_eq!((read.rank, read.score, read.found), (None, 0.0, 0));
        let (words, meaning) = (read.words.unwrap(), read.meaning.unwrap());
        assert!(words.score > 0.0 && meaning.cosine > 0.8);
        assert_eq!((words.place.unwrap().rank, meaning.place.rank), (None, None));
    }
}
