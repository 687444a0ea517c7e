//! Adapters against real servers, where these are installed. Without one its test is skipped with a message.

mod cloudwatch;
mod kubernetes;

use std::fmt::Debug;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use investigation::query::adapters::jaeger::JaegerSource;
use investigation::query::adapters::prometheus::PrometheusSource;
use investigation::query::adapters::victorialogs::VictoriaLogsSource;
use investigation::query::options::{Jaeger, Prometheus, VictoriaLogs};
use investigation::query::source::Failure;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::{Clock as _, SystemClock};
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{Aspect, LogTopic, Role, Subject};
use stack::testing::bench::until;

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply};

/// A name that would break a query that does not escape it.
const SERVICE: &str = "pay\"ment";
const START: Duration = Duration::from_secs(30);

/// A process with a folder of its own; both end with the test.
struct Server {
    child: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts a program; nothing where it is not installed.
    fn start(variable: &str, program: &str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let program = std::env::var(variable).unwrap_or_else(|_| program.to_owned());
        let folder = std::env::temp_dir().join(format!("firewatch-{variable}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new(&program);
        command.args(arguments(&folder)).current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(child) = command.spawn() {
            return Some(Self { child, folder });
        }
        eprintln!(
            "SKIPPED: {program} is not installed (set {variable}), so its adapter was tried against a double only"
        );
        std::fs::remove_dir_all(&folder).unwrap();
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns an address that is free.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Asks about the last minutes; the first symptom is now.
fn recent(subject: Subject) -> Question {
    let now: Timestamp = SystemClock.now();
    let (from, to) = (now - SignedDuration::from_mins(5), now + SignedDuration::from_secs(1));
    Question { from, onset: now, to, ..question(SERVICE, subject) }
}

async fn eventually<T, S: Debug>(look: impl AsyncFnMut() -> Result<T, S>) -> T {
    until(START, look).await.unwrap()
}

/// Each template must be valid PromQL, and a series must come back as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_answers_every_template() {
    // it scrapes this, so what it answers with is known
    let metrics = Double::serve(|_| {
        let line = "kube_pod_container_status_restarts_total{container=\"pay\\\"ment\",pod=\"p-0\"} 4\n";
        Reply::Body(line.as_bytes().to_vec())
    })
    .await;
    let (target, address) = (metrics.url.replace("http://", ""), free());
    let server = Server::start("FIREWATCH_PROMETHEUS_BIN", "prometheus", |folder| {
        let jobs = format!("- {{job_name: test, static_configs: [{{targets: ['{target}']}}]}}");
        let config = format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}\n");
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let listen = format!("--web.listen-address={address}");
        vec!["--config.file=prometheus.yml".into(), "--storage.tsdb.path=data".into(), listen]
    });
    let Some(_server) = server else { return };
    let options =
        |templates| Prometheus { url: format!("http://{address}"), templates, ..Prometheus::default() };
    let real = PrometheusSource::new(&options([].into())).unwrap();
    let asked = |role| recent(Subject::Series { role });
    let points = eventually(async || match ask(&real, &asked(Role::Restarts)).await {
        Ok(Answer::Series { points, .. }) if !points.is_empty() => Ok(points),
        other => Err(other),
    });
    assert!(points.await.iter().all(|point| point.value == 4.0));
    for role in [
        Role::CpuUsage,
        Role::CpuThrottling,
        Role::MemoryUsage,
        Role::Instances,
        Role::PoolWaiting,
        Role::ConsumerLag,
        Role::DiskUsage,
        Role::Requests,
        Role::DroppedPackets,
    ] {
        let answer = ask(&real, &asked(role)).await;
        assert!(
            matches!(&answer, Ok(Answer::Series { points, .. }) if points.is_empty()),
            "{role}: {answer:?}"
        );
    }
    let broken = options([(Role::Restarts, "sum($service".to_owned())].into());
    let broken = PrometheusSource::new(&broken).unwrap();
    assert_eq!(ask(&broken, &asked(Role::Restarts)).await, Err(Failure::Status(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_victorialogs_counts_lines_and_gives_one() {
    let address = free();
    let server = Server::start("FIREWATCH_VICTORIALOGS_BIN", "victoria-logs", |_| {
        vec!["-storageDataPath=data".into(), format!("-httpListenAddr={address}")]
    });
    let Some(_server) = server else { return };
    let options = VictoriaLogs { url: format!("http://{address}"), ..VictoriaLogs::default() };
    let real = VictoriaLogsSource::new(&options).unwrap();
    let asked = || recent(Subject::Lines { about: LogTopic::Memory });
    let unknown = eventually(async || match ask(&real, &asked()).await {
        Err(Failure::Unreachable(reason)) => Err(reason),
        other => Ok(other),
    });
    assert_eq!(unknown.await, Err(Failure::Unknown(SERVICE.into())));

    let line = |message: &str| {
        json!({ "_time": SystemClock.now(), "_msg": message, "service": SERVICE }).to_string()
    };
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let insert = async |lines: Vec<String>| {
        let url = format!("http://{address}/insert/jsonline?_stream_fields=service");
        let request = http.post(url).header("content-type", "application/stream+json").body(lines.join("\n"));
        request.send().await.unwrap().error_for_status().unwrap();
    };
    insert(vec![line("ready")]).await;
    let none = eventually(async || match ask(&real, &asked()).await {
        Ok(Answer::Lines { minutes, example }) => Ok((minutes, example)),
        other => Err(other),
    })
    .await;
    assert!(none.0.iter().all(|minute| minute.value == 0.0) && none.1.is_none(), "{none:?}");
    let onset = SystemClock.now();
    insert(vec![line("java.lang.OutOfMemoryError: heap"), line("Out of memory: killed"), line("ready")])
        .await;
    let found = eventually(async || match ask(&real, &Question { onset, ..asked() }).await {
        Ok(Answer::Lines { minutes, example: Some(example) }) => Ok((minutes, example)),
        other => Err(other),
    })
    .await;
    assert_eq!(found.0.iter().map(|minute| minute.value).sum::<f64>(), 2.0, "{found:?}");
    assert!(found.1.to_lowercase().contains("memory"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_jaeger_gives_the_calls_of_a_service() {
    let addresses: Vec<String> = (0..7).map(|_| free()).collect();
    let names = [
        "query.http-server",
        "collector.otlp.http",
        "collector.otlp.grpc",
        "query.grpc-server",
        "admin.http",
        "collector.grpc-server",
        "collector.http-server",
    ];
    let server = Server::start("FIREWATCH_JAEGER_BIN", "jaeger-all-in-one", |_| {
        names.iter().zip(&addresses).map(|(name, address)| format!("--{name}.host-port={address}")).collect()
    });
    let Some(_server) = server else { return };
    let options = Jaeger { url: format!("http://{}", addresses[0]), ..Jaeger::default() };
    let real = JaegerSource::new(&options).unwrap();
    let asked = recent(Subject::Calls { aspect: Aspect::Duration });
    let nanoseconds = |second: i64, ms: i64| {
        ((asked.onset + SignedDuration::from_secs(second)).as_nanosecond() + i128::from(ms) * 1_000_000)
            .to_string()
    };
    let span = |number: i64, second: i64, kind: u8| -> Value {
        json!({
            "traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": "POST /charge", "kind": kind,
            "startTimeUnixNano": nanoseconds(second, 0), "endTimeUnixNano": nanoseconds(second, 20),
            "status": { "code": if second == -30 { 2 } else { 1 } },
        })
    };
    let spans = [span(1, -60, 3), span(2, -30, 3), span(3, -20, 2), span(4, -900, 3)];
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": SERVICE } }] });
    let body = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": spans }] }] });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = async || {
        http.post(format!("http://{}/v1/traces", addresses[1])).json(&body).send().await?.error_for_status()
    };
    eventually(sent).await;
    let calls = eventually(async || match ask(&real, &asked).await {
        Ok(Answer::Calls { calls }) if calls.len() > 1 => Ok(calls),
        other => Err(other),
    })
    .await;
    let seen: Vec<(f64, bool)> = calls.iter().map(|call| (call.ms, call.failed)).collect();
    assert_eq!(seen, [(20.0, false), (20.0, true)], "{calls:?}");
}
