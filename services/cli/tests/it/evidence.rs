//! What `firewatch evidence` prints.

use cli::evidence::{Shown, list, page};
use serde_json::json;
use shared::events::EvidenceRecord;
use shared::events::evidence::{Content, EdgeFigures};
use shared::events::rca::{RootCause, Source};
use shared::ids::{AnomalyId, IncidentId};

use crate::fixtures::{anomaly, case, of, root_cause, screen};

fn incident() -> IncidentId {
    case().incident.incident_id
}

fn record(source: Source, excerpt: &str, content: Content) -> EvidenceRecord {
    EvidenceRecord::new(incident(), source, excerpt, content).unwrap()
}

fn samples() -> EvidenceRecord {
    let signal = &case().signals[0];
    let source = Source::Samples {
        service: signal.service.clone(),
        metric: signal.metric.clone(),
        anomaly_id: signal.anomaly_id,
    };
    record(source, &signal.explanation, Content::samples_of(signal))
}

fn others() -> Vec<EvidenceRecord> {
    let anomaly_id: AnomalyId = of(anomaly()["anomaly_id"].clone());
    let logs = json!([{"level": "error", "template": "no connection within <*> ms", "count": 42,
        "example": "no connection within 5000 ms", "last_seen": "2026-03-01T10:00:30Z"}]);
    let figures = EdgeFigures {
        last_seen: Some("2026-03-01T10:00:30Z".parse().unwrap()),
        calls: Some(11_070),
        failed_share: Some(0.0234),
        latency_mean_ms: Some(84.2),
        latency_p95_ms: Some(310.0),
        self_mean_ms: None,
    };
    let edge = |callee: &str| Source::Edge { caller: "order".into(), callee: callee.into() };
    let change = json!({"service": "payment", "version": "2.4.1", "ts_ms": 1_772_358_060_000_i64,
        "description": "larger batches for settlement", "known_risks": ["holds connections longer"]});
    vec![
        record(
            Source::Log { service: "payment".into(), anomaly_id },
            "no connection within 5000 ms",
            Content::Logs { templates: of(logs) },
        ),
        record(edge("payment"), "order calls payment", Content::Edge(figures)),
        record(edge("inventory"), "order calls inventory", Content::Edge(EdgeFigures::default())),
        record(
            Source::Deployment { service: "payment".into(), version: "2.4.1".into() },
            "larger batches for settlement",
            Content::Deployment(of(change)),
        ),
        record(
            Source::Document { doc_id: "incident/INC-1107".into(), section: "cause".into() },
            "Each timeout leaked one connection.",
            Content::Section {
                title: "Payment lost its connections".into(),
                text: "Each timeout leaked one connection.\n\n```sh\npsql -c 'select 1'\n```".into(),
                facets: [("category".to_owned(), "pool".to_owned())].into(),
            },
        ),
    ]
}

/// A result that cites the samples.
fn result() -> RootCause {
    let mut result: RootCause = of(root_cause());
    result.evidence[0].record = Some(samples().id);
    result
}

#[test]
fn a_record_is_shown_with_what_its_source_held_and_the_claims_that_cite_it() {
    let result = result();
    let shown = Shown::of(12, samples(), Some(&result)).cleaned().unwrap();
    assert_eq!(shown.pieces, ["E1"]);
    insta::assert_snapshot!("evidence_samples", page::render(&shown, &screen()));
    let text: Vec<String> = others()
        .into_iter()
        .map(|record| page::render(&Shown::of(12, record, None).cleaned().unwrap(), &screen()))
        .collect();
    insta::assert_snapshot!("evidence_others", text.join("\n---\n"));
}

/// Answers of queried systems, one of each kind.
fn answers() -> Vec<EvidenceRecord> {
    let at = "2026-03-01T10:00:30Z";
    let minutes = json!([{ "ts_ms": 1_772_359_200_000_i64, "value": 0.0 }, { "ts_ms": 1_772_359_260_000_i64, "value": 4.0 }]);
    let answers = [
        (
            "prometheus",
            json!({ "kind": "series", "role": "cpu_usage" }),
            json!({ "of": "series", "unit": "%", "points": minutes }),
        ),
        (
            "loki",
            json!({ "kind": "lines", "about": "pool" }),
            json!({ "of": "lines", "minutes": minutes, "example": "no connection" }),
        ),
        (
            "jaeger",
            json!({ "kind": "calls", "aspect": "duration" }),
            json!({ "of": "calls", "calls": [{ "at": at, "name": "POST /charge", "ms": 820.0, "failed": true }] }),
        ),
        (
            "kubernetes",
            json!({ "kind": "events", "about": "failing" }),
            json!({ "of": "events", "events": [{ "at": at, "reason": "BackOff", "object": "pod payment-0",
                "message": "Back-off restarting failed container", "count": 7 }] }),
        ),
    ];
    answers
        .into_iter()
        .map(|(source, subject, answer)| {
            let question =
                of(json!({ "service": "payment", "subject": subject, "from": "2026-03-01T09:00:00Z",
                "onset": "2026-03-01T10:00:00Z", "to": "2026-03-01T10:10:00Z" }));
            let source = Source::Query { source: source.into(), question };
            record(source, "as it was quoted", Content::Answer(of(answer)))
        })
        .collect()
}

#[test]
fn an_answer_of_a_queried_system_is_shown_as_it_was_given() {
    let text: Vec<String> = answers()
        .into_iter()
        .map(|record| page::render(&Shown::of(12, record, None).cleaned().unwrap(), &screen()))
        .collect();
    insta::assert_snapshot!("evidence_answers", text.join("\n---\n"));
}

#[test]
fn cited_records_come_first() {
    let result = result();
    let records = others().into_iter().chain([samples()]);
    let shown: Vec<Shown> = records.map(|record| Shown::of(12, record, Some(&result))).collect();
    insta::assert_snapshot!("evidence_list", list::render(&shown, &screen()));
}

#[test]
fn hostile_text_is_text() {
    let hostile = "a\u{1b}[31m\u{202e}b\u{7}\r\nc";
    let content = Content::Section {
        title: hostile.into(),
        text: format!("{hostile}\n```\n{hostile}\n```"),
        facets: [].into(),
    };
    let source = Source::Document { doc_id: hostile.into(), section: hostile.into() };
    let shown = Shown::of(12, record(source, hostile, content), None).cleaned().unwrap();
    for text in [page::render(&shown, &screen()), list::render(&[shown], &screen())] {
        let left: Vec<char> =
            text.chars().filter(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}').collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
