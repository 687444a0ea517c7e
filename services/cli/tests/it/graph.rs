//! What `firewatch graph` prints, and of what.

use std::process::{Command, Output};
use std::time::Duration;

use cli::graph::arguments::Format;
use cli::graph::document::{Document, Edge, Source};
use cli::graph::render;
use cli::terminal::Screen;
use jiff::Timestamp;
use serde_json::Value;
use shared::calls::Calls;
use shared::clock::{Clock as _, SystemClock, from_ms};
use shared::events::raw::SpanStatus;
use shared::events::{Span, Topic};
use shared::graph::Callee;
use shared::ids::{EventId, derive};
use shared::service::{Config, Deps, Readiness};
use shared::stage::Effects;
use shared::store::{EdgeCalls, Write};
use stack::testing::bench::{Bench, until};
use tokio_util::sync::CancellationToken;

use crate::fixtures::screen;
use crate::replay::TURN;

const HOSTILE: &str = "x\"];\\N</title>&lt;\u{1b}]0;owned\u{7}\u{202e}%%{init}%% `a|b`\r\n#quot;";

fn edge(caller: &str, callee: &str) -> Edge {
    Edge {
        caller: caller.into(),
        callee: callee.into(),
        far_end: false,
        source: Source::Both,
        last_seen: Some("2026-03-01T10:02:20Z".parse().unwrap()),
        calls: Some(11_070),
        observed_s: Some(900.0),
        calls_per_s: Some(12.3),
        failed_share: Some(0.0234),
        latency_mean_ms: Some(84.2),
        latency_p95_ms: Some(310.0),
        self_mean_ms: Some(31.0),
    }
}

fn without_figures(edge: Edge) -> Edge {
    Edge {
        calls: edge.calls.map(|_| 0),
        calls_per_s: edge.calls.map(|_| 0.0),
        failed_share: None,
        latency_mean_ms: None,
        latency_p95_ms: None,
        self_mean_ms: None,
        ..edge
    }
}

/// A graph with an edge of each source, an idle one and a far end.
fn shop() -> Document {
    let from_catalogue = Edge {
        source: Source::Catalogue,
        last_seen: None,
        calls: None,
        observed_s: None,
        ..edge("order", "inventory")
    };
    let idle = Edge { last_seen: Some("2026-02-27T10:00:00Z".parse().unwrap()), ..edge("user", "order") };
    let far_end =
        Edge { far_end: true, source: Source::Spans, self_mean_ms: None, ..edge("payment", "acquirer") };
    Document {
        environment: "production".into(),
        version: "3f2a9c1b04de".into(),
        until: "2026-03-01T10:02:20Z".parse().unwrap(),
        window_s: 900,
        services: ["inventory", "order", "payment", "user"].map(str::to_owned).to_vec(),
        far_ends: vec!["acquirer".into()],
        edges: vec![
            without_figures(from_catalogue),
            Edge { failed_share: Some(0.0), ..edge("order", "payment") },
            far_end,
            without_figures(idle),
        ],
    }
}

fn hostile() -> Document {
    Document {
        environment: HOSTILE.into(),
        services: vec![HOSTILE.into(), format!("{HOSTILE}\u{200b}"), "order".into()],
        far_ends: vec![format!("far {HOSTILE}")],
        edges: vec![
            edge(HOSTILE, "order"),
            edge("order", &format!("{HOSTILE}\u{200b}")),
            Edge { far_end: true, ..edge("order", &format!("far {HOSTILE}")) },
        ],
        ..shop()
    }
}

fn rendered(document: &Document, format: Format) -> String {
    render(document, format, &screen()).unwrap()
}

#[test]
fn the_graph_in_each_form() {
    insta::assert_snapshot!("graph_as_table", rendered(&shop(), Format::Table));
    insta::assert_snapshot!("graph_as_json", rendered(&shop(), Format::Json));
    insta::assert_snapshot!("graph_as_dot", rendered(&shop(), Format::Dot));
    insta::assert_snapshot!("graph_as_mermaid", rendered(&shop(), Format::Mermaid));
}

#[test]
fn hostile_names_are_text_in_each_form() {
    insta::assert_snapshot!("hostile_graph_as_table", rendered(&hostile(), Format::Table));
    insta::assert_snapshot!("hostile_graph_as_dot", rendered(&hostile(), Format::Dot));
    insta::assert_snapshot!("hostile_graph_as_mermaid", rendered(&hostile(), Format::Mermaid));
    for format in [Format::Table, Format::Json, Format::Dot, Format::Mermaid] {
        let text = rendered(&hostile(), format);
        let left: Vec<char> =
            text.chars().filter(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}').collect();
        assert!(left.is_empty(), "{format:?}: {left:?}");
    }
    let json: Document = serde_json::from_str(&rendered(&hostile(), Format::Json)).unwrap();
    assert_eq!(json, hostile());
}

#[test]
fn a_graph_without_edges_is_its_first_line() {
    let empty = Document { edges: Vec::new(), services: Vec::new(), far_ends: Vec::new(), ..shop() };
    let text = rendered(&empty, Format::Table);
    assert_eq!(text.lines().count(), 1, "{text}");
    let narrow = Screen { colour: true, width: Some(80), ..screen() };
    assert!(render(&shop(), Format::Table, &narrow).unwrap().contains("\u{1b}["));
}

/// Runs the binary over a database.
fn graph(bench: &Bench, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    let url = &bench.common.postgres.url;
    command.arg("graph").args(arguments).env("FIREWATCH_POSTGRES__URL", url).output().unwrap()
}

fn calls(caller: &str, callee: &str, kind: Callee, at: Timestamp, number: i64) -> Write {
    let mut calls = Calls::default();
    for call in 0..number {
        calls.add(20.0, call == 0);
    }
    calls.add_self(5.0);
    let first_seen = from_ms(at.as_millisecond() - 20_000);
    Write::Edge {
        environment: "production".into(),
        caller: caller.into(),
        callee: callee.into(),
        last_seen: at,
        seen: Box::new(EdgeCalls { kind, first_seen, calls }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stored_graph_is_printed_and_an_unknown_environment_is_not_found() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let output = graph(&bench, &[]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{printed}");
    assert!(printed.contains("no environment has sent anything yet"), "{printed}");

    let now = from_ms(SystemClock.now().as_millisecond());
    let writes = vec![
        calls("order", "payment", Callee::Service, now, 40),
        calls("payment", "acquirer", Callee::FarEnd, now, 20),
    ];
    let id = bench.incident("graph");
    bench.apply(id, "edges", Effects { writes, ..Effects::none() }).await.unwrap();

    let output = graph(&bench, &["--format", "json", "--since", "5m"]);
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["far_ends"], serde_json::json!(["acquirer"]));
    assert_eq!(document["services"], serde_json::json!(["order", "payment"]));
    let first = &document["edges"][0];
    assert_eq!((&first["caller"], &first["calls_per_s"]), (&"order".into(), &2.0.into()), "{first}");
    assert_eq!((&first["failed_share"], &first["self_mean_ms"]), (&0.025.into(), &5.0.into()), "{first}");

    for (format, start) in
        [("table", "production  version "), ("dot", "digraph"), ("mermaid", "%% production")]
    {
        let output = graph(&bench, &["--format", format]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.starts_with(start) && text.contains("acquirer"),
            "{output:?}"
        );
    }
    let output = graph(&bench, &["--environment", "staging"]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{printed}");
    assert!(printed.contains("staging") && printed.contains("known: production"), "{printed}");
}

/// A span of `service` that begins at `ts_ms`.
fn span(
    environment: &str,
    id: &str,
    parent: Option<&str>,
    service: &str,
    ts_ms: i64,
    duration_ms: f64,
) -> Span {
    let (trace, span_id) = id.split_once('/').unwrap();
    Span {
        trace_id: format!("{environment}-{trace}"),
        span_id: span_id.into(),
        parent_span_id: parent.map(str::to_owned),
        service: service.into(),
        operation: "call".into(),
        ts_ms,
        duration_ms,
        status: SpanStatus::Ok,
        environment: environment.into(),
        peer: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_correlation_reads_become_the_graph() {
    const TRACES: i64 = 20;

    let _turn = TURN.lock().await;
    let bench = Bench::open(&Topic::all()).await.unwrap();
    let environment = format!("graph-{}", std::process::id());
    let shutdown = CancellationToken::new();
    let config = Config::of("correlation", bench.common.clone(), correlation::Options::default());
    let deps = Deps { process: "correlation-graph".to_owned(), readiness: Readiness::default() };
    let running = tokio::spawn(correlation::run(config, deps, shutdown.clone()));

    let now_ms = SystemClock.now().as_millisecond();
    let send = async |span: Span| {
        let id = EventId(derive(&[&span.trace_id, &span.span_id]));
        bench.send(Topic::RawSpans, &span, id, from_ms(span.ts_ms)).await.unwrap();
    };
    for trace in 0..TRACES {
        let begin_ms = now_ms - 300_000 + trace * 10_000;
        let of = |id: &str, parent, service: &str, duration_ms| {
            span(&environment, &format!("{trace}/{id}"), parent, service, begin_ms, duration_ms)
        };
        send(Span { peer: Some("acquirer".into()), ..of("c", Some("b"), "payment", 10.0) }).await;
        send(of("a", None, "order", 50.0)).await;
        send(of("b", Some("a"), "payment", 30.0)).await;
    }
    let mut passed = 0;
    let document = until(Duration::from_mins(1), async || {
        // event time passes with spans
        passed += 1;
        let id = format!("later-{passed}/a");
        send(span(&environment, &id, None, "order", now_ms + passed * 5_000, 1.0)).await;
        let output = graph(&bench, &["--environment", &environment, "--format", "json"]);
        let document = serde_json::from_slice::<Document>(&output.stdout);
        let seen = document.map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let is_whole = |edge: &Edge| edge.calls == Some(TRACES);
        if seen.edges.len() == 2 && seen.edges.iter().all(is_whole) {
            Ok(seen)
        } else {
            Err(format!("{seen:?}"))
        }
    })
    .await
    .unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();

    let [inner, outer] = &document.edges[..] else { panic!("{document:?}") };
    assert_eq!((&*inner.caller, &*inner.callee, inner.far_end), ("order", "payment", false));
    assert_eq!((inner.latency_mean_ms, inner.failed_share), (Some(30.0), Some(0.0)));
    assert_eq!((&*outer.caller, &*outer.callee, outer.far_end), ("payment", "acquirer", true));
    assert_eq!((outer.latency_mean_ms, outer.self_mean_ms), (Some(10.0), None));
    assert_eq!((document.services, document.far_ends.len()), (vec!["order".into(), "payment".into()], 1));
    for edge in &document.edges {
        let rate = edge.calls_per_s.unwrap();
        assert!((0.05..0.2).contains(&rate), "a call each 10 s: {edge:?}");
    }
}
