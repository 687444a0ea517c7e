//! The scoreboard of retrieval: `make score-retrieval`. Seeds the documents of the evaluation kit (found by
//! `FIREWATCH_BENCH_DIR`) into a real PostgreSQL with the real embedding model, and prints for words alone, meaning alone
//! and both: hit@1, hit@3 and MRR@10; and for floors of similarity how often "something similar is known" is right: once with
//! the wanted documents in the index, and once without them. The figures are also written to `target/score/retrieval.jsonl`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::knowledge::postgres::PostgresIndex;
use shared::knowledge::retrieval::{By, Found, Retrieval};
use shared::knowledge::{Chunk, DocumentKind, Options, Query};

/// Rank up to which a document is looked for.
const RANKS: usize = 10;
/// Longest chunk, characters; about what the model reads.
const LONGEST: usize = 1_200;
/// Where the figures are written.
const FIGURES: &str = "target/score/retrieval.jsonl";

#[derive(Debug, Deserialize)]
struct Document {
    doc_id: String,
    title: String,
    text: String,
}

#[derive(Debug, Deserialize)]
struct Asked {
    query: String,
    relevant: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Some(kit) = std::env::var_os("FIREWATCH_BENCH_DIR") else {
        eprintln!("FIREWATCH_BENCH_DIR is not set: NOTHING is searched and NOTHING is scored");
        return Ok(());
    };
    let folder = Path::new(&kit).join("data/kb/runbooks");
    let documents: Vec<Document> = lines(&folder.join("docs.jsonl.gz"))?;
    let asked: Vec<Asked> = lines(&folder.join("dev/queries.jsonl"))?;

    let database = stack::testing::postgres().await?;
    let options = Options { model_dir: stack::testing::model().await?, ..Options::default() };
    let (store, embedder) = (database.store()?, options.embedder().await?);
    let index = PostgresIndex::new(store.clone());
    let chunks: Vec<Chunk> = documents.iter().flat_map(chunks).collect();
    knowledge::seed::seed(&chunks, &embedder, &index, true).await?;
    let retrieval = Retrieval::new(Arc::new(embedder), Arc::new(index));
    println!("{} documents in {} chunks, {} queries", documents.len(), chunks.len(), asked.len());

    println!("\n| ranking | hit@1 | hit@3 | MRR@10 |\n|---|---|---|---|");
    let (mut both, mut rankings) = (Vec::new(), Vec::new());
    for (name, by) in [("words (BM25)", By::Words), ("meaning (vectors)", By::Meaning), ("both", By::Both)] {
        let mut places = Vec::new();
        both.clear();
        for one in &asked {
            let query = Query { text: one.query.clone(), limit: RANKS, ..Query::default() };
            let found = retrieval.search_by(&query, by).await?;
            places.push(found.iter().position(|found| one.relevant.contains(&found.chunk.doc_id)));
            both.push(found);
        }
        let ranking = Figures::of(name, &places);
        println!("{}", ranking.line());
        rankings.push(ranking);
    }
    let floors = floors(&asked, &both);
    println!(
        "\n| floor | wanted document above it | without the wanted documents: nothing above it | mean of both |\n|---|---|---|---|"
    );
    for floor in &floors {
        println!("{}", floor.line());
    }
    let figures = json!({ "documents": documents.len(), "chunks": chunks.len(), "queries": asked.len(),
        "rankings": rankings, "floors": floors });
    std::fs::create_dir_all("target/score")?;
    std::fs::write(FIGURES, format!("{figures}\n"))?;
    Ok(())
}

fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = if path.extension().is_some_and(|end| end == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(path).output().context("running gzip")?;
        ensure!(output.status.success(), "gzip failed on {}", path.display());
        String::from_utf8(output.stdout)?
    } else {
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?
    };
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Splits a document at its level-2 headings, and long sections at paragraphs.
fn chunks(document: &Document) -> Vec<Chunk> {
    let mut parts: Vec<String> = Vec::new();
    for section in document.text.split("\n## ") {
        let mut part = String::new();
        for paragraph in section.split("\n\n") {
            if !part.is_empty() && part.len() + paragraph.len() > LONGEST {
                parts.push(std::mem::take(&mut part));
            }
            part.push_str(paragraph);
            part.push('\n');
        }
        parts.push(part);
    }
    (0..)
        .zip(parts.into_iter().filter(|part| !part.trim().is_empty()))
        .map(|(ordinal, text)| Chunk {
            doc_id: document.doc_id.clone(),
            kind: DocumentKind::Runbook,
            title: document.title.clone(),
            section: format!("part {ordinal}"),
            ordinal,
            text,
            facets: BTreeMap::new(),
        })
        .collect()
}

/// How well a ranking finds what is wanted.
#[derive(Debug, Serialize)]
struct Figures {
    name: &'static str,
    hit_1: f64,
    hit_3: f64,
    mrr_10: f64,
}

impl Figures {
    fn of(name: &'static str, places: &[Option<usize>]) -> Self {
        let all = places.len() as f64;
        let hits = |most: usize| places.iter().flatten().filter(|place| **place < most).count() as f64 / all;
        let reciprocal: f64 = places.iter().flatten().map(|place| 1.0 / (*place as f64 + 1.0)).sum();
        Self { name, hit_1: hits(1), hit_3: hits(3), mrr_10: reciprocal / all }
    }

    fn line(&self) -> String {
        let Self { name, hit_1, hit_3, mrr_10 } = self;
        format!("| {name} | {hit_1:.3} | {hit_3:.3} | {mrr_10:.3} |")
    }
}

/// For a floor of similarity: how often the best hit that is wanted lies above it, and how often the best one that is not wanted lies
/// below.
#[derive(Debug, Serialize)]
struct Floor {
    #[serde(rename = "floor")]
    similarity: f64,
    kept: f64,
    refused: f64,
}

impl Floor {
    fn line(&self) -> String {
        let Self { similarity, kept, refused } = self;
        format!("| {similarity:.2} | {kept:.3} | {refused:.3} | {:.3} |", f64::midpoint(*kept, *refused))
    }
}

fn floors(asked: &[Asked], found: &[Vec<Found>]) -> Vec<Floor> {
    let best = |found: &[Found], wanted: &BTreeSet<&String>, is_wanted: bool| {
        let fit = found.iter().filter(|one| wanted.contains(&one.chunk.doc_id) == is_wanted);
        fit.filter_map(|one| one.similarity).reduce(f32::max)
    };
    let of = |floor: f32| {
        let (mut kept, mut refused) = (0, 0);
        for (one, found) in asked.iter().zip(found) {
            let wanted: BTreeSet<&String> = one.relevant.iter().collect();
            kept += usize::from(best(found, &wanted, true).is_some_and(|similarity| similarity >= floor));
            refused += usize::from(best(found, &wanted, false).is_none_or(|similarity| similarity < floor));
        }
        let share = |number: usize| number as f64 / asked.len() as f64;
        Floor { similarity: f64::from(floor), kept: share(kept), refused: share(refused) }
    };
    (30..=80).step_by(5).map(|percent| of(percent as f32 / 100.0)).collect()
}
