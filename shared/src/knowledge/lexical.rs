//! Search by words: Okapi BM25 over chunks.
//!
//! Formula and constants: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
//! Foundations and Trends in Information Retrieval 3(4), 2009, section 3; the inverse document frequency with
//! 1 added inside the logarithm, so that a word in most chunks counts for little and never against.

use std::collections::{BTreeMap, BTreeSet};

use super::Chunk;
use super::explanation::Term;

/// How soon repetition of a word stops to count.
const K1: f64 = 1.2;
/// How much long chunks are discounted.
const B: f64 = 0.75;
/// Longer words are cut, bytes.
const MAX_WORD: usize = 64;
/// Most words that are read of a text.
const MAX_WORDS: usize = 4_000;

/// Words that say nothing about an incident.
const STOP_WORDS: [&str; 36] = [
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "for", "from", "had", "has", "have",
    "in", "into", "is", "it", "its", "not", "of", "on", "or", "that", "the", "their", "then", "there",
    "this", "to", "was", "were", "which", "while", "with",
];

/// Chunks with their words counted.
pub(super) struct Corpus {
    chunks: Vec<Chunk>,
    /// Number of words of each chunk.
    lengths: Vec<f64>,
    /// Word -> (chunk, times it stands there), by chunk.
    postings: BTreeMap<String, Vec<(usize, f64)>>,
    mean_length: f64,
}

impl Corpus {
    /// Counts the words of chunks.
    pub(super) fn new(chunks: Vec<Chunk>) -> Self {
        let mut postings: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
        let mut lengths = Vec::with_capacity(chunks.len());
        for (index, chunk) in chunks.iter().enumerate() {
            let words = words(&chunk.embedded_text());
            lengths.push(words.len() as f64);
            let mut counts: BTreeMap<String, f64> = BTreeMap::new();
            for word in words {
                *counts.entry(word).or_default() += 1.0;
            }
            for (word, count) in counts {
                postings.entry(word).or_default().push((index, count));
            }
        }
        let mean_length = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
        Self { chunks, lengths, postings, mean_length }
    }

    /// Returns the chunks that share words with `text` and that `admits` lets pass, best first; equal scores
    /// by id.
    pub(super) fn search(&self, text: &str, admits: impl Fn(&Chunk) -> bool) -> Vec<(&Chunk, f64)> {
        let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
        for word in query_words(text) {
            let postings = self.postings(&word);
            let idf = self.idf(postings.len());
            for &(index, count) in postings {
                *scores.entry(index).or_default() += self.weight(index, idf, count);
            }
        }
        let mut found: Vec<_> = scores
            .into_iter()
            .map(|(index, score)| (&self.chunks[index], score))
            .filter(|(chunk, _)| admits(chunk))
            .collect();
        found.sort_by(|(one, a), (other, b)| b.total_cmp(a).then_with(|| one.id().cmp(&other.id())));
        found
    }

    /// Returns all chunks of a document; empty where there is none.
    pub(super) fn document<'c>(&'c self, doc_id: &'c str) -> impl Iterator<Item = &'c Chunk> {
        self.chunks.iter().filter(move |chunk| chunk.doc_id == doc_id)
    }

    /// Returns whether there is no chunk.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Returns what each word of `text` adds to the score of a chunk, the largest part first. The sum is the score that
    /// [`Corpus::search`] returns.
    pub(super) fn terms(&self, text: &str, chunk: &Chunk) -> Vec<Term> {
        let is_chunk = |held: &Chunk| held.doc_id == chunk.doc_id && held.ordinal == chunk.ordinal;
        let place = self.chunks.iter().position(is_chunk);
        let mut terms: Vec<Term> = query_words(text)
            .into_iter()
            .map(|word| {
                let postings = self.postings(&word);
                let idf = self.idf(postings.len());
                let held = postings.iter().find(|(index, _)| Some(*index) == place);
                let score = held.map_or(0.0, |&(index, count)| self.weight(index, idf, count));
                let frequency = held.map_or(0, |(_, count)| *count as usize);
                Term { word, idf, chunks: postings.len(), frequency, score }
            })
            .collect();
        terms.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.word.cmp(&b.word)));
        terms
    }

    fn postings(&self, word: &str) -> &[(usize, f64)] {
        self.postings.get(word).map_or(&[], Vec::as_slice)
    }

    /// Returns the inverse document frequency of a word that stands in `with` chunks.
    fn idf(&self, with: usize) -> f64 {
        let (all, with) = (self.chunks.len() as f64, with as f64);
        (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
    }

    /// Returns what a word that stands `count` times in a chunk adds to its score.
    fn weight(&self, index: usize, idf: f64, count: f64) -> f64 {
        let length = 1.0 - B + B * self.lengths[index] / self.mean_length;
        idf * count * (K1 + 1.0) / (count + K1 * length)
    }
}

/// Returns the words of a query, each once.
fn query_words(text: &str) -> BTreeSet<String> {
    words(text).into_iter().collect()
}

/// Returns the words of a text in lower case and without a plural `s`. A name with underscores or capitals inside counts as
/// a whole and by its parts: `db_connections` gives `db_connections`, `db` and `connection`, and `PodNotReady` gives
/// `podnotready`, `pod` and `ready`.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let separators = |c: char| !(c.is_alphanumeric() || c == '_');
    for name in text.split(separators).map(|name| name.trim_matches('_')).filter(|name| !name.is_empty()) {
        if words.len() >= MAX_WORDS {
            break;
        }
        let parts = parts(name);
        let name = name.to_lowercase();
        if parts.len() > 1 {
            words.extend(parts.iter().filter_map(|part| word(&part.to_lowercase())));
            words.push(cut(&name).to_owned());
        } else {
            words.extend(word(&name));
        }
    }
    words
}

/// Splits a name at underscores and where a capital follows a small letter or a digit.
fn parts(name: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in name.split('_') {
        let (mut start, mut last) = (0, None);
        for (at, c) in part.char_indices() {
            let ends = last.is_some_and(|last: char| last.is_lowercase() || last.is_ascii_digit());
            if c.is_uppercase() && ends {
                parts.push(&part[start..at]);
                start = at;
            }
            last = Some(c);
        }
        parts.push(&part[start..]);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn word(text: &str) -> Option<String> {
    let plural = text.len() > 3 && text.ends_with('s') && !text.ends_with("ss");
    let stem = if plural { &text[..text.len() - 1] } else { text };
    (!stem.is_empty() && !STOP_WORDS.contains(&text)).then(|| cut(stem).to_owned())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_WORD)]
}

#[cfg(test)]
mod tests {
    use super::super::DocumentKind;
    use super::*;

    fn chunk(doc_id: &str, text: &str) -> Chunk {
        Chunk {
            doc_id: doc_id.into(),
            kind: DocumentKind::Runbook,
            title: String::new(),
            section: String::new(),
            ordinal: 0,
            text: text.into(),
            facets: BTreeMap::default(),
        }
    }

    #[test]
    fn metric_names_are_found_whole_and_by_their_parts() {
        assert_eq!(
            words("The db_connections were exhausted."),
            ["db", "connection", "db_connections", "exhausted"]
        );
        assert_eq!(words("__ -- ĀÄ99%"), ["āä99"]);
        assert_eq!(words("KubePodNotReady"), ["kube", "pod", "ready", "kubepodnotready"]);
    }

    #[test]
    fn a_rare_word_outweighs_a_common_one() {
        let corpus = Corpus::new(vec![
            chunk("a", "service slow slow slow"),
            chunk("b", "service certificate"),
            chunk("c", "service slow"),
        ]);
        let found: Vec<_> =
            corpus.search("slow certificate", |_| true).into_iter().map(|(c, _)| &*c.doc_id).collect();
        assert_eq!(found, ["b", "a", "c"]);
        assert!(corpus.search("the of and", |_| true).is_empty());
    }

    #[test]
    fn the_parts_of_a_score_add_up_to_it() {
        let corpus = Corpus::new(vec![
            chunk("a", "service slow slow slow"),
            chunk("b", "service certificate"),
            chunk("c", "service slow"),
        ]);
        let text = "slow service with certificate and cheese";
        for (chunk, score) in corpus.search(text, |_| true) {
            let terms = corpus.terms(text, chunk);
            let sum: f64 = terms.iter().map(|term| term.score).sum();
            assert!((sum - score).abs() < 1e-12, "{terms:?}");
            assert_eq!(terms.len(), 4);
        }
        let [first, ..] = &corpus.terms(text, &corpus.chunks[0])[..] else { panic!("four words") };
        assert_eq!((&*first.word, first.frequency, first.chunks), ("slow", 3, 2));
        let terms = corpus.terms(text, &chunk("d", "nowhere"));
        assert!(terms.iter().all(|term| term.frequency == 0 && term.score == 0.0), "{terms:?}");
    }
}
