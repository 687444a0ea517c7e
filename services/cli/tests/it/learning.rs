//! From an incident to a document that the next investigation finds: evidence, diagnosis, feedback, approval.

use std::process::{Command, Output};
use std::sync::Arc;

use catalogue::incident::Incident as Document;
use cli::feedback::accuracy::{Accuracy, render};
use cli::postmortem::draft::draft;
use investigation::investigator::{Investigator, Outcome};
use investigation::query::Asked;
use investigation::sources::Members;
use jiff::Timestamp;
use serde_json::Value;
use shared::events::anomaly::Ended;
use shared::events::rca::{RootCause, Verdict};
use shared::events::{Category, Incident, Topic};
use shared::ids::{IncidentId, derive};
use shared::lifecycle::Change;
use shared::secret::Secret;
use shared::stage::Effects;
use shared::store::feedback::{Feedback, Judged, Judgement};
use shared::store::{ArtifactKind, Write};
use shared::text::seal::{Sealed, Sealer};
use stack::testing::bench::Bench;

use crate::commands::{self, Owner};

use crate::fixtures::{case, of, root_cause, screen};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn over() -> Incident {
    let resolved_at = Some(at("2026-03-01T10:42:32Z"));
    Incident { resolved_at, resolution: Some(Ended::Recovered), ..case().incident }
}

fn feedback(cause: Judgement) -> Feedback {
    Feedback {
        cause,
        service: None,
        category: None,
        comment: None,
        given_by: "ann".into(),
        given_at: at("2026-03-02T10:00:00Z"),
    }
}

#[test]
fn a_draft_is_a_document_of_the_knowledge_base() {
    let (signals, result) = (case().signals, of::<RootCause>(root_cause()));
    let document = draft(&over(), &signals, Some(&result), None).unwrap();
    let text = document.to_yaml().unwrap();
    assert_eq!(Document::read("draft", &text).unwrap(), document);
    insta::assert_snapshot!("draft", text);
}

#[test]
fn what_nobody_knows_or_people_refuted_is_not_learned() {
    let (signals, result) = (case().signals, of::<RootCause>(root_cause()));
    let of = |incident: &Incident, result: Option<&RootCause>, said: Option<&Feedback>| {
        draft(incident, &signals, result, said)
    };
    assert!(of(&case().incident, Some(&result), None).is_err(), "not over");
    assert!(of(&over(), None, None).is_err());
    let unknown = RootCause { verdict: Verdict::Unknown, ..result.clone() };
    assert!(of(&over(), Some(&unknown), None).is_err());
    let wrong = feedback(Judgement::Wrong);
    assert!(of(&over(), Some(&result), Some(&wrong)).is_err());
    // a person knows better
    let corrected = Feedback {
        service: Some("order".into()),
        category: Some(Category::Code),
        comment: Some("A retry loop in the checkout.".into()),
        ..wrong
    };
    let document = of(&over(), Some(&result), Some(&corrected)).unwrap();
    assert_eq!((&*document.services[0], document.category), ("order", Category::Code));
    assert_eq!(document.root_cause, "A retry loop in the checkout.");
    let confirmed = of(&over(), Some(&result), Some(&feedback(Judgement::Right))).unwrap();
    assert!(confirmed.contributing_factors[0].contains("confirmed"));
}

#[test]
fn accuracy_counts_what_people_have_judged() {
    let result: RootCause = of(root_cause());
    let judged = |verdict, confidence, cause| {
        let mut result = RootCause { verdict, ..result.clone() };
        result.candidates[0].confidence = confidence;
        Judged { feedback: feedback(cause), result }
    };
    let all = [
        judged(Verdict::Cause, 0.99, Judgement::Right),
        judged(Verdict::Cause, 0.9, Judgement::Right),
        judged(Verdict::Cause, 0.82, Judgement::Wrong),
        judged(Verdict::Likely, 0.5, Judgement::Wrong),
        judged(Verdict::Unknown, 0.2, Judgement::Wrong),
    ];
    let accuracy = Accuracy::of("production".into(), &all);
    assert_eq!((accuracy.all.judged, accuracy.all.right), (5, 2));
    assert_eq!((accuracy.cause.judged, accuracy.cause.right), (3, 2));
    let stated: Vec<Option<f64>> = accuracy.by_confidence.iter().map(|bin| bin.stated).collect();
    assert_eq!(stated.iter().filter(|stated| stated.is_some()).count(), 3, "{stated:?}");
    insta::assert_snapshot!("accuracy", render(&accuracy, &screen()));
    let none = Accuracy::of("production".into(), &[]);
    insta::assert_snapshot!("accuracy_of_none", render(&none, &screen()));
}

const SEAL_KEY: &str = "5a";

/// A value as detection seals it.
fn seal() -> Sealed {
    Sealer::new(&Secret::new(SEAL_KEY.repeat(32))).unwrap().seal("[email 3f2a]", "ada@example.com").unwrap()
}

/// Returns what is on record of an incident, by its number.
async fn reads_of(bench: &Bench, number: i64) -> Vec<String> {
    let reads = bench.store.reads();
    let id = reads.incident_by_number(number).await.unwrap().unwrap().incident_id;
    reads.timeline(id).await.unwrap().into_iter().map(|entry| entry.action).collect()
}

/// Runs the binary over a database.
pub(crate) fn firewatch(bench: &Bench, arguments: &[&str]) -> Output {
    firewatch_with(bench, arguments, &[])
}

/// Runs the binary over a database, with settings.
fn firewatch_with(bench: &Bench, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    let model = &bench.common.knowledge.model_dir;
    command
        .args(arguments)
        .env("USER", "ann")
        .env("FIREWATCH_POSTGRES__URL", &bench.common.postgres.url)
        .env("FIREWATCH_KAFKA__BROKERS", &bench.common.kafka.brokers)
        .env("FIREWATCH_KNOWLEDGE__MODEL_DIR", model)
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

pub(crate) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_str(&printed(output)).unwrap()
}

/// Stores an incident with its signals, and its investigation as the stage writes it.
pub(crate) async fn investigated(bench: &Bench) -> (IncidentId, i64) {
    let id = bench.incident("learning");
    let mut signals = case().signals;
    signals[0].sealed = vec![seal()];
    let incident = Incident { signals: signals.clone(), incident_id: id, ..case().incident };
    bench.record(id, incident, vec![Change::Announced]).await.unwrap();
    let writes = signals.into_iter().map(|signal| Write::Signal {
        environment: "production".into(),
        signal: Arc::new(signal),
        incident_id: Some(id),
    });
    bench.apply(id, "members", Effects { writes: writes.collect(), ..Effects::none() }).await.unwrap();
    let reads = bench.store.reads();
    let stored = reads.incident(id).await.unwrap().unwrap();
    let investigator = Investigator::new(investigation::Options::default(), None);
    let Outcome { result, records, .. } =
        investigator.investigate(&stored, Members::OfIncident, 1, &Asked::default(), reads).await.unwrap();
    assert!(result.claims_verified > 0, "{result:#?}");
    let body = serde_json::to_value(&result).unwrap();
    let writes = vec![
        Write::Evidence { incident_id: id, revision: 1, records },
        Write::Artifact { incident_id: id, kind: ArtifactKind::RootCause, revision: 1, body },
    ];
    bench.apply(id, "cause", Effects { writes, ..Effects::none() }).await.unwrap();
    (id, stored.number)
}

async fn resolve(bench: &Bench, id: IncidentId) {
    let resolved = Change::resolved(at("2026-03-01T10:42:32Z"), Ended::Recovered);
    let change = shared::stage::IncidentChange { incident_id: id, change: resolved, publish: None };
    bench.apply(id, "resolved", Effects { incidents: vec![change], ..Effects::none() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_shown_and_a_time_is_diagnosed_without_an_incident() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let (_, number) = investigated(&bench).await;

    let records = json(&firewatch(&bench, &["evidence", "list", &number.to_string(), "--json"]));
    let cited = |record: &&Value| !record["pieces"].as_array().unwrap().is_empty();
    let first = records.as_array().unwrap().iter().find(cited).unwrap();
    let piece = format!("{number}:{}", first["pieces"][0].as_str().unwrap());
    let shown = json(&firewatch(&bench, &["evidence", "show", &piece, "--json"]));
    assert_eq!(shown["record"], first["record"]);
    assert!(!shown["claims"].as_array().unwrap().is_empty(), "{shown:#}");
    let by_id = shown["record"]["id"].as_str().unwrap();
    assert!(printed(&firewatch(&bench, &["evidence", "show", by_id])).contains(by_id));
    let page = printed(&firewatch(&bench, &["incidents", "show", &number.to_string()]));
    assert!(page.contains(&format!("firewatch evidence show {number}:E")), "{page}");
    for missing in
        [format!("{number}:E99"), "999:E1".into(), IncidentId(derive(&["no such record"])).to_string()]
    {
        let output = firewatch(&bench, &["evidence", "show", &missing]);
        assert_eq!(output.status.code(), Some(3), "{missing}: {output:?}");
    }

    // who is concerned can be read with the key that the agents sealed with
    let open = |key: &str, placeholder: &str| {
        let variables = [("FIREWATCH_REDACTION__SEAL_KEY", key)];
        firewatch_with(&bench, &["evidence", "open", &number.to_string(), placeholder], &variables)
    };
    let sealed = seal().placeholder;
    assert_eq!(printed(&open(&SEAL_KEY.repeat(32), &sealed)), "ada@example.com\n");
    for (key, placeholder, code) in [
        ("", sealed.as_str(), 2),
        ("5a5a", &sealed, 2),
        (&"00".repeat(32), &sealed, 1),
        (&SEAL_KEY.repeat(32), "[email 0000]", 3),
    ] {
        let output = open(key, placeholder);
        assert_eq!(output.status.code(), Some(code), "{key} {placeholder}: {output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("5a5a5a"), "{output:?}");
    }
    let opened = reads_of(&bench, number).await;
    assert_eq!(opened.iter().filter(|action| *action == "placeholder_opened").count(), 1, "{opened:?}");

    // the same time again, without the incident
    let at = "2026-03-01T10:02:32Z";
    let diagnosis = json(&firewatch(&bench, &["diagnose", "payment", "--at", at, "--json"]));
    assert_eq!(diagnosis["result"]["candidates"][0]["service"], "payment", "{diagnosis:#}");
    assert_eq!(diagnosis["result"]["candidates"][0]["category"], "pool", "{diagnosis:#}");
    assert_eq!(diagnosis["incidents"], serde_json::json!([number]));
    assert_eq!(diagnosis["documents"], "unavailable");
    // before anything happened, it says what that rests on
    let before = printed(&firewatch(&bench, &["diagnose", "payment", "--at", "2026-02-01"]));
    assert!(before.contains("Nothing that is stored of payment"), "{before}");
    let unknown = firewatch(&bench, &["diagnose", "payments", "--at", at]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_document_is_found_and_survives_seeding_until_it_is_withdrawn() {
    let mut bench = Bench::open(&commands::TOPICS).await.unwrap();
    bench.common.knowledge.model_dir = stack::testing::model().await.unwrap();
    let (id, number) = investigated(&bench).await;
    let number = number.to_string();
    let early = firewatch(&bench, &["postmortem", "approve", &number]);
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    resolve(&bench, id).await;

    let owner = Owner::start(&bench).await;
    printed(&firewatch(&bench, &["feedback", &number, "--cause", "right", "--wait", "1m"]));
    owner.stop().await;
    let accuracy = json(&firewatch(&bench, &["accuracy", "--json"]));
    assert_eq!(accuracy["all"], serde_json::json!({"judged": 1, "right": 1}));
    let wrong = firewatch(&bench, &["feedback", &number, "--cause", "right", "--category", "cpu"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");

    // people edit the draft before they approve it
    let draft = printed(&firewatch(&bench, &["postmortem", "draft", &number]));
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("draft-{id}.yaml"));
    std::fs::write(&file, draft.replace("Recovered after", "The pool was enlarged. Recovered after"))
        .unwrap();
    let path = file.to_str().unwrap();
    printed(&firewatch(&bench, &["postmortem", "approve", &number, "--file", path]));
    std::fs::remove_file(&file).unwrap();
    let once = printed(&firewatch(&bench, &["kb", "draft"]));
    assert!(once.starts_with("No kind of cause is that of 3 or more"), "{once}");
    let few = firewatch(&bench, &["kb", "draft", "--service", "payment", "--category", "pool"]);
    assert_eq!(few.status.code(), Some(3), "{few:?}");

    // the next investigation of such a fault finds it, also after the index was made anew
    let knowledge = &bench.common.knowledge;
    let embedder = knowledge.embedder().await.unwrap();
    let index = knowledge.open_index(bench.store.clone()).unwrap();
    let approved = shared::knowledge::approved::all(&bench.store).await.unwrap();
    let chunks: Vec<_> = approved.into_iter().flat_map(|document| document.chunks).collect();
    assert_eq!(chunks.len(), 4);
    catalogue::seed::seed(&chunks, &embedder, &*index, true).await.unwrap();
    let retrieval = knowledge.retrieval(bench.store.clone()).await.unwrap();
    let reads = bench.store.reads();
    let stored = reads.incident(id).await.unwrap().unwrap();
    let investigator = Investigator::new(investigation::Options::default(), Some(retrieval));
    let outcome =
        investigator.investigate(&stored, Members::OfIncident, 2, &Asked::default(), reads).await.unwrap();
    let past = &outcome.result.candidates[0].similar_incidents;
    let doc_id = format!("incident/FW-{number}");
    assert_eq!(past.first().map(|found| &found.doc_id), Some(&doc_id), "{past:#?}");

    printed(&firewatch(&bench, &["postmortem", "withdraw", &number]));
    assert!(index.document(&doc_id).await.unwrap().is_empty());
    let again = firewatch(&bench, &["postmortem", "withdraw", &number]);
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    let actions: Vec<String> =
        reads.timeline(id).await.unwrap().into_iter().map(|entry| entry.action).collect();
    for action in ["feedback_given", "postmortem_approved", "postmortem_withdrawn"] {
        assert!(actions.iter().any(|known| known == action), "{actions:?}");
    }
}
