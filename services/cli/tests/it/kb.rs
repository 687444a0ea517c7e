//! `firewatch kb`: what it prints, and the search over real parts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use catalogue::Content;
use catalogue::lint::{Finding, Report, Severity};
use catalogue::seed::seed;
use cli::kb::arguments::{By, Kind, Question};
use cli::kb::{explain, lint, nothing, search};
use cli::terminal::{Screen, cleaned};
use serde_json::Value;
use shared::events::Category;
use shared::knowledge::explanation::{Exclusion, Explanation, Meaning, Place, Term, Words};
use shared::knowledge::postgres::PostgresIndex;
use shared::knowledge::retrieval::{self, Found, Retrieval};
use shared::knowledge::{Chunk, DocumentKind, Options, Query};
use stack::testing::Database;

use crate::fixtures::screen;

const HOSTILE: &str = "a\u{1b}[31mred\u{1b}[0m\u{1b}]0;owned\u{7}\u{202e}b\u{200b}\r\nc";

fn question(by: By) -> Question {
    Question {
        text: vec!["pool".into(), "exhausted".into()],
        kind: None,
        service: None,
        category: None,
        limit: 5,
        by,
    }
}

fn found(doc_id: &str, kind: DocumentKind, score: f64, similarity: Option<f32>) -> Found {
    let chunk = Chunk {
        doc_id: doc_id.into(),
        kind,
        title: "Payment lost a database connection with every timeout".into(),
        section: "summary".into(),
        ordinal: 0,
        text: "- `db_connections` climbed".into(),
        facets: std::collections::BTreeMap::default(),
    };
    Found { chunk, score, similarity }
}

fn results(by: By, similarities: [Option<f32>; 3]) -> search::Document {
    let [first, second, third] = similarities;
    let found = vec![
        found("incident/INC-1107", DocumentKind::Incident, 1.0, first),
        found("runbook/db-connections", DocumentKind::Runbook, 0.98, second),
        found("incident/INC-1139", DocumentKind::Incident, 0.484, third),
    ];
    search::Document::of(&question(by), "pool exhausted".into(), found)
}

#[test]
fn results_are_a_table_with_what_investigation_would_make_of_incidents() {
    let all = results(By::Both, [Some(0.7124), Some(0.5), Some(0.61)]);
    let one = results(By::Both, [Some(0.7124), Some(0.5), Some(0.5999)]);
    let none = results(By::Meaning, [Some(0.41), Some(0.5), None]);
    let words = results(By::Words, [None, None, None]);
    let texts: Vec<_> =
        [&all, &one, &none, &words].map(|document| search::render(document, &screen())).into();
    insta::assert_snapshot!("search", texts.join("\n----\n\n"));
    insta::assert_snapshot!("search_as_json", cli::terminal::json(&one, true).unwrap());
    assert!(words.results.iter().all(|row| row.is_similar.is_none()));
    let narrow = Screen { colour: true, width: Some(80), ..screen() };
    assert!(search::render(&one, &narrow).contains("\u{1b}["));
}

#[test]
fn no_result_is_not_found_and_names_the_filters() {
    let narrowed = Question {
        kind: Some(Kind::Runbook),
        service: Some("order".into()),
        category: Some(Category::Pool),
        ..question(By::Both)
    };
    let said = [nothing(&question(By::Both), false), nothing(&narrowed, false), nothing(&narrowed, true)];
    assert!(said.iter().all(|failure| failure.code() == 3));
    insta::assert_snapshot!(said.map(|failure| failure.to_string()).join("\n"));
}

fn place(rank: Option<usize>, is_within_depth: bool) -> Place {
    let counted = rank.filter(|_| is_within_depth);
    let reciprocal = counted.map_or(0.0, |rank| 1.0 / (60.0 + rank as f64));
    Place {
        section: "Symptoms".into(),
        ordinal: 1,
        rank,
        is_within_depth,
        reciprocal,
        share: reciprocal * 61.0 / 2.0,
    }
}

fn explanation() -> Explanation {
    let term =
        |word: &str, frequency, chunks, idf, score| Term { word: word.into(), idf, chunks, frequency, score };
    let (words, meaning) = (place(Some(1), true), place(Some(3), true));
    Explanation {
        doc_id: "incident/INC-1139".into(),
        kind: DocumentKind::Incident,
        title: "The pool of user was shrunk by a default".into(),
        text: "pool exhausted".into(),
        by: retrieval::By::Both,
        limit: 5,
        depth: 50,
        excluded_by: Vec::new(),
        score: words.share + meaning.share,
        words: Some(Words {
            place: Some(words),
            score: 6.5,
            terms: vec![term("pool", 3, 40, 1.75, 6.5), term("exhausted", 0, 12, 2.9, 0.0)],
        }),
        meaning: Some(Meaning { place: meaning, cosine: 0.5712 }),
        rank: Some(2),
        fused_rank: None,
        found: 48,
    }
}

/// The same document, below the depth of both rankings, excluded, and sharing no word.
fn variants() -> [Explanation; 4] {
    let below = Explanation { rank: Some(6), ..explanation() };
    let deep = |words: Option<Words>| Explanation {
        score: 0.0,
        rank: None,
        words,
        meaning: Some(Meaning { place: place(Some(63), false), cosine: 0.12 }),
        ..explanation()
    };
    let shared_words = explanation().words;
    let unlike = shared_words.clone().map(|words| Words {
        place: None,
        score: 0.0,
        terms: words.terms.into_iter().map(|term| Term { frequency: 0, score: 0.0, ..term }).collect(),
    });
    let excluded = Explanation {
        excluded_by: vec![
            Exclusion::Kind { asked: DocumentKind::Runbook, has: DocumentKind::Incident },
            Exclusion::Facet { name: "category".into(), asked: "disk".into(), has: vec!["pool".into()] },
            Exclusion::Facet { name: "service".into(), asked: "cart".into(), has: Vec::new() },
        ],
        score: 0.0,
        rank: None,
        found: 12,
        words: shared_words.map(|words| Words { place: Some(place(None, false)), ..words }),
        meaning: Some(Meaning { place: place(None, false), cosine: 0.66 }),
        ..explanation()
    };
    let by_words = Explanation { by: retrieval::By::Words, meaning: None, ..explanation() };
    [below, deep(unlike), excluded, by_words]
}

#[test]
fn an_explanation_shows_how_the_score_comes_about() {
    insta::assert_snapshot!("explanation", explain::render(&explanation(), &screen()));
    let variants: Vec<_> = variants().iter().map(|variant| explain::render(variant, &screen())).collect();
    insta::assert_snapshot!("explanation_variants", variants.join("\n----\n\n"));
    insta::assert_snapshot!("explanation_as_json", cli::terminal::json(&explanation(), true).unwrap());
}

fn report() -> Report {
    let finding = |file: &str, line, severity, message: &str| Finding {
        file: file.into(),
        line,
        severity,
        message: message.into(),
    };
    Report {
        files: 48,
        findings: vec![
            finding("runbooks", None, Severity::Error, "none is for the category pool"),
            finding("runbooks/disk-full.md", Some(12), Severity::Error, "runbook/none does not exist"),
            finding(
                "runbooks/disk-full.md",
                Some(30),
                Severity::Warning,
                "\"orders\" is not a service of the catalogue",
            ),
        ],
    }
}

#[test]
fn findings_are_one_line_each_with_a_summary() {
    insta::assert_snapshot!("lint", lint::render(&report(), &screen()));
    insta::assert_snapshot!(
        "lint_of_nothing",
        lint::render(&Report { files: 48, findings: Vec::new() }, &screen())
    );
}

#[test]
fn hostile_documents_are_text() {
    let mut document = results(By::Both, [Some(0.7), Some(0.5), Some(0.2)]);
    for row in &mut document.results {
        (row.doc_id, row.title, row.section) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
    }
    let mut explained = explanation();
    (explained.doc_id, explained.title) = (HOSTILE.into(), HOSTILE.into());
    if let Some(words) = &mut explained.words {
        words.terms[0].word = HOSTILE.into();
        words.place.as_mut().unwrap().section = HOSTILE.into();
    }
    explained.excluded_by =
        vec![Exclusion::Facet { name: HOSTILE.into(), asked: HOSTILE.into(), has: vec![HOSTILE.into()] }];
    let mut checked = report();
    (checked.findings[0].file, checked.findings[0].message) = (HOSTILE.into(), HOSTILE.into());
    let printed = [
        search::render(&cleaned(&document).unwrap(), &screen()),
        cli::terminal::json(&document, true).unwrap(),
        explain::render(&cleaned(&explained).unwrap(), &screen()),
        cli::terminal::json(&explained, true).unwrap(),
        lint::render(&cleaned(&checked).unwrap(), &screen()),
    ];
    for text in printed {
        let obeyed =
            |char: &char| (char.is_control() && *char != '\n') || matches!(char, '\u{202e}' | '\u{200b}');
        assert_eq!(text.chars().find(obeyed), None, "{text:?}");
    }
}

/// Runs `firewatch kb` without settings from outside.
fn kb(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    command.arg("kb").args(arguments).envs(settings.iter().copied()).output().unwrap()
}

fn content() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge")
}

#[test]
fn the_content_of_this_repository_is_clean_and_a_directory_that_is_missing_is_not_found() {
    let content = content();
    let output = kb(&["lint", content.to_str().unwrap(), "--json"], &[]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{report}");
    let output = kb(&["lint", "no/such/place"], &[]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn errors_end_the_check_with_1() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kb-lint");
    for folder in ["incidents", "runbooks", "services"] {
        std::fs::create_dir_all(directory.join(folder)).unwrap();
    }
    let output = kb(&["lint", directory.to_str().unwrap()], &[]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("runbooks: error: none is for the category cpu\n"), "{text}");
    assert!(text.ends_with("12 errors, 0 warnings in 0 files\n"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("firewatch: 12 errors in "), "{output:?}");
}

#[test]
fn a_wrong_question_ends_with_2() {
    for arguments in [
        &["search"][..],
        &["search", "  "],
        &["search", "x", "--limit", "51"],
        &["search", "x", "--category", "unknown"],
        &["explain", "x"],
    ] {
        let output = kb(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
}

/// The content of this repository in a real index, with the real model.
struct Library {
    database: Database,
    model_dir: PathBuf,
    retrieval: Retrieval,
}

impl Library {
    async fn open() -> Self {
        let database = stack::testing::postgres().await.unwrap();
        let model_dir = stack::testing::model().await.unwrap();
        let options = Options { model_dir: model_dir.clone(), ..Options::default() };
        let (embedder, store) = (options.embedder().await.unwrap(), database.store().unwrap());
        let index = PostgresIndex::new(store);
        seed(&Content::load(&content()).unwrap().chunks(), &embedder, &index, false).await.unwrap();
        Self { database, model_dir, retrieval: Retrieval::new(Arc::new(embedder), Arc::new(index)) }
    }

    fn kb(&self, arguments: &[&str], model_dir: &str) -> Output {
        let url = self.database.url();
        kb(arguments, &[("FIREWATCH_POSTGRES__URL", &url), ("FIREWATCH_KNOWLEDGE__MODEL_DIR", model_dir)])
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.kb(&[arguments, &["--json"]].concat(), self.model_dir.to_str().unwrap());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_prints_what_retrieval_finds_and_needs_a_model_only_for_meaning() {
    let library = Library::open().await;
    let text = "payment db_connections exhausted";
    let query = Query { text: text.into(), kind: Some(DocumentKind::Incident), limit: 4, ..Query::default() };
    let expected = library.retrieval.search(&query.about(Category::Pool)).await.unwrap();
    let printed = library.json(&["search", text, "--kind", "incident", "--category", "pool", "--limit", "4"]);
    let printed: search::Document = serde_json::from_value(printed).unwrap();
    let ids = |row: &search::Row| (row.doc_id.clone(), row.section.clone(), row.score, row.similarity);
    let of = |found: &Found| {
        (found.chunk.doc_id.clone(), found.chunk.section.clone(), found.score, found.similarity)
    };
    assert!(!expected.is_empty());
    assert_eq!(
        printed.results.iter().map(ids).collect::<Vec<_>>(),
        expected.iter().map(of).collect::<Vec<_>>()
    );

    let output = library.kb(&["search", text, "--kind", "runbook", "--by", "words"], "no/such/place");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && table.contains("runbook/db-connections"), "{output:?}");
    let output = library.kb(&["search", text], "no/such/place");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("FIREWATCH_KNOWLEDGE__MODEL_DIR") && said.contains("--by words"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let output = library.kb(&["search", text, "--by", "words", "--service", "cart"], "no/such/place");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let empty = stack::testing::postgres().await.unwrap();
    let output = kb(&["search", "x", "--by", "words"], &[("FIREWATCH_POSTGRES__URL", &empty.url())]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("seeder"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_adds_up_to_what_the_search_returns() {
    let library = Library::open().await;
    let text = "order consumer lag grows after a deployment, events are late";
    for (by, named) in
        [(retrieval::By::Both, "both"), (retrieval::By::Words, "words"), (retrieval::By::Meaning, "meaning")]
    {
        let query = Query { text: text.into(), limit: 50, ..Query::default() };
        let found = library.retrieval.search_by(&query, by).await.unwrap();
        for (rank, found) in (1..).zip(&found) {
            let doc_id = &found.chunk.doc_id;
            let read = library.retrieval.explain(&query, by, doc_id).await.unwrap().unwrap();
            let words = read.words.as_ref().and_then(|words| words.place.as_ref());
            let meaning = read.meaning.as_ref().map(|meaning| &meaning.place);
            let shares: f64 = words.into_iter().chain(meaning).map(|place| place.share).sum();
            assert!((shares - found.score).abs() < 1e-12, "{named}: {read:?}");
            assert_eq!((read.score, read.rank), (found.score, Some(rank)), "{named}: {read:?}");
            if let Some(similarity) = found.similarity {
                assert_eq!(read.meaning.as_ref().map(|meaning| meaning.cosine), Some(similarity));
            }
            if let Some(words) = &read.words {
                let sum: f64 = words.terms.iter().map(|term| term.score).sum();
                assert!((sum - words.score).abs() < 1e-9, "{named}: {words:?}");
            }
        }
        let doc_id = &*found[1].chunk.doc_id;
        let printed = library.json(&["explain", text, "--limit", "50", "--by", named, "--document", doc_id]);
        let printed: Explanation = serde_json::from_value(printed).unwrap();
        assert_eq!(Some(printed), library.retrieval.explain(&query, by, doc_id).await.unwrap());
    }
    // a small answer looks at fewer chunks of each ranking than there are
    let query = Query { text: text.into(), limit: 3, ..Query::default() };
    for found in library.retrieval.search(&query).await.unwrap() {
        let read = library.retrieval.explain(&query, retrieval::By::Both, &found.chunk.doc_id).await.unwrap();
        assert_eq!(read.map(|read| (read.score, read.is_returned())), Some((found.score, true)));
    }
    let printed =
        library.json(&["explain", text, "--category", "disk", "--document", "runbook/consumer-lag"]);
    let printed: Explanation = serde_json::from_value(printed).unwrap();
    let lag = Exclusion::Facet { name: "category".into(), asked: "disk".into(), has: vec!["lag".into()] };
    assert_eq!((printed.excluded_by, printed.rank), (vec![lag], None));
    let model_dir = library.model_dir.to_str().unwrap();
    let output = library.kb(&["explain", text, "--document", "runbook/none"], model_dir);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}
