//! `detection catalogue explain` over what sources really send: names, labels and types of each.
//!
//! A fixture is a scrape or an export of OTLP in JSON. Its snapshot has every series; `docs/catalogue.md` the same without
//! the values of labels (`FIREWATCH_UPDATE_CATALOGUE=1` writes it).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use detection::Settings;
use detection::tools::catalogue::{Args, command};

/// Fixtures, and what sends such series.
const SOURCES: [(&str, &str); 25] = [
    ("otel-http.json", "OpenTelemetry: HTTP"),
    ("otel-rpc.json", "OpenTelemetry: RPC"),
    ("otel-db.json", "OpenTelemetry: database clients"),
    ("otel-messaging.json", "OpenTelemetry: messaging"),
    ("otel-jvm.json", "OpenTelemetry: JVM"),
    ("otel-dotnet.json", "OpenTelemetry: .NET"),
    ("otel-go.json", "OpenTelemetry: Go"),
    ("otel-python.json", "OpenTelemetry: Python"),
    ("otel-hostmetrics.json", "OpenTelemetry: hostmetrics receiver"),
    ("otel-kubeletstats.json", "OpenTelemetry: kubeletstats receiver"),
    ("otel-k8s-cluster.json", "OpenTelemetry: k8s_cluster receiver"),
    ("spans.jsonl", "Spans, as the gateway derives them"),
    ("go-client.prom", "Prometheus client of Go"),
    ("node-exporter.prom", "node_exporter"),
    ("cadvisor.prom", "cAdvisor"),
    ("kube-state-metrics.prom", "kube-state-metrics and kubelet volumes"),
    ("blackbox-exporter.prom", "blackbox_exporter"),
    ("postgres-exporter.prom", "postgres_exporter"),
    ("redis-exporter.prom", "redis_exporter"),
    ("kafka-exporter.prom", "kafka_exporter"),
    ("kafka-jmx.prom", "Kafka by the JMX exporter"),
    ("nginx.prom", "nginx and ingress-nginx"),
    ("envoy.prom", "Envoy"),
    ("istio.prom", "Istio"),
    ("cloudwatch-yace.prom", "CloudWatch by YACE: EC2, RDS, ALB, SQS, Lambda, DynamoDB"),
];
/// Line of the page before which a person writes and after which this test does.
const MARK: &str = "<!-- what follows is written by tests/it/explain.rs -->\n";
/// Width of the column that says how replicas are folded, with the space after it.
const HOW_WIDTH: usize = 21;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/catalogue")
}

fn explained(file: &str) -> String {
    let file = fixtures().join(file).display().to_string();
    let args = Args { names: vec!["explain".to_owned(), file] };
    let mut out = Vec::new();
    command(&args, &Settings::default(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_source_is_judged_as_its_snapshot_says() {
    let listed: BTreeSet<String> = SOURCES.iter().map(|(file, _)| (*file).to_owned()).collect();
    let found = std::fs::read_dir(fixtures()).unwrap();
    let found: BTreeSet<String> =
        found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, listed);
    for (file, _) in SOURCES {
        let explained = explained(file);
        assert!(!explained.contains("could not be read"), "{file}: {explained}");
        let (name, _) = file.split_once('.').unwrap();
        insta::assert_snapshot!(format!("explain_{name}"), explained);
    }
}

/// Cuts the values of labels off: `a{b="c",d="e"}` is `a{b,d}`.
fn without_values(series: &str) -> String {
    let mut name = String::new();
    let mut is_value = false;
    let mut letters = series.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_value = !is_value,
            '\\' if is_value => _ = letters.next(),
            '=' if !is_value => {}
            _ if is_value => {}
            _ => name.push(letter),
        }
    }
    name
}

/// Returns the table of one source.
fn table(explained: &str) -> String {
    let mut rows = BTreeMap::new();
    let mut lines = explained.lines().skip(1);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let mut rest = line;
        let [kind, unit, bad, mode] = std::array::from_fn(|_| {
            let (cell, after) = rest.split_once(' ').unwrap();
            rest = after.trim_start();
            cell
        });
        let (how, series) = rest.split_at(HOW_WIDTH);
        let how = how.trim();
        let (series, limit) = series.split_once(", at most ").unwrap_or((series, ""));
        let limit = without_values(limit);
        let limit = if limit.is_empty() { "-".to_owned() } else { format!("`{limit}`") };
        let row = format!("{kind} | {unit} | {bad} | {mode} | {how} | {limit}");
        rows.entry(without_values(series)).or_insert(row);
    }
    let mut text = String::from(
        "| series | kind | unit | bad direction | mode | folded | at most |\n|---|---|---|---|---|---|---|\n",
    );
    for (series, row) in rows {
        writeln!(text, "| `{series}` | {row} |").unwrap();
    }
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines.filter(|line| !line.is_empty() && *line != "not judged:") {
        let (metric, why) = line.split_once(' ').unwrap();
        reasons.entry(why.trim()).or_default().push(metric);
    }
    if !reasons.is_empty() {
        text.push_str("\n| not judged | why |\n|---|---|\n");
    }
    for (why, metrics) in reasons {
        writeln!(text, "| `{}` | {why} |", metrics.join("`, `")).unwrap();
    }
    text
}

#[test]
fn the_page_of_the_catalogue_says_what_is_judged() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/catalogue.md");
    let written = std::fs::read_to_string(&page).unwrap();
    let (by_hand, _) = written.split_once(MARK).unwrap();
    let mut expected = format!("{by_hand}{MARK}");
    for (file, title) in SOURCES {
        write!(expected, "\n## {title}\n\n{}", table(&explained(file))).unwrap();
    }
    if std::env::var_os("FIREWATCH_UPDATE_CATALOGUE").is_some() {
        std::fs::write(&page, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(&page).unwrap() == expected,
        "docs/catalogue.md is stale: run this test with FIREWATCH_UPDATE_CATALOGUE=1"
    );
}
