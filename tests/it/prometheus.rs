//! A real Prometheus and a real Alertmanager, configured as `docs/connect` says, feed the pipeline through the gateway.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::bus;
use shared::bus::reader::{From, Reader};
use shared::events::anomaly::Status;
use shared::events::incident::Signal;
use shared::events::{Incident, MetricSample, Topic};
use shared::store::{Incidents, Store};
use stack::parts::kafka::{Further, create_topics};
use stack::parts::{ports, probe};
use stack::{Program, Stack};
use tests::Pipeline;
use tests::prometheus::Programs;

/// Longest time until an incident is open, or its alerts are over.
const PATIENCE: Duration = Duration::from_mins(2);
/// Longest time for a program to be ready on a busy machine.
const READY: Duration = Duration::from_mins(1);
/// Where the files of `docs/connect` send to, and what they scrape.
const GATEWAY: &str = "127.0.0.1:4318";
const TARGET: &str = "127.0.0.1:9464";

/// Starts the gateway and returns where it listens.
async fn gateway(stack: &Stack) -> Result<String> {
    let [port] = ports::free()?;
    let address = format!("127.0.0.1:{port}");
    let mut program = Program::new("gateway");
    for (name, value) in [("LISTEN", &*address), ("GRPC_LISTEN", "")] {
        program.environment.insert(format!("FIREWATCH_GATEWAY__{name}"), value.to_owned());
    }
    stack.spawn(&program)?.ready(READY).await?;
    Ok(address)
}

/// Waits for an open incident of `production` and returns what is asked of it.
async fn incident<T>(store: &Store, what: &str, pick: impl Fn(&Incident) -> Option<T>) -> Result<T> {
    let mut found = None;
    probe::until(what, PATIENCE, async || {
        let all = store.reads().incidents(Incidents::All, None, 100).await?.incidents;
        found = all.iter().filter(|one| one.environment == "production").find_map(&pick);
        ensure!(found.is_some(), "among {:?}", all.iter().map(|one| &one.title).collect::<Vec<_>>());
        Ok(())
    })
    .await?;
    found.context("no incident")
}

fn is_alert(signal: &Signal, service: &str, alert: &str) -> bool {
    signal.service == service && signal.metric == format!("alert:{alert}")
}

/// Waits until an incident has an alert with that status.
async fn alert(store: &Store, service: &str, name: &str, status: Status) -> Result<()> {
    let pick = |one: &Incident| {
        let mut signals = one.signals.iter();
        signals.find(|signal| is_alert(signal, service, name) && signal.status == status).map(drop)
    };
    incident(store, &format!("the alert {name} of {service}, {status:?}"), pick).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_scrapes_becomes_one_incident_of_the_service_with_the_fault() -> Result<()> {
    let Some(programs) = Programs::find()? else { return Ok(()) };
    let pipeline = Pipeline::start(1).await?;
    let (stack, store) = (&pipeline.stack, pipeline.stack.store()?);
    let gateway = gateway(stack).await?;
    // what the simulator writes itself goes elsewhere: of it only its page is seen
    let elsewhere = stack::testing::kafka_with(&Further::default()).await?;
    create_topics(elsewhere.admin()).await?;
    let node = programs.node_exporter().await?;
    let simulator = stack.spawn(&Program::new("simulator").with([
        &*format!("--brokers={}", elsewhere.brokers()),
        "--interval=500ms",
        "--first-fault-after=60",
        "--once",
        "--scenario=memory-leak",
    ]))?;
    simulator.ready(READY).await?;
    let shop = format!(
        "scrape_configs:\n  - job_name: shop\n    honor_labels: true\n    static_configs:\n      - targets: [\"{}\"]\n",
        simulator.http()
    );
    let prometheus = programs
        .prometheus(
            "prometheus.yml",
            &[
                (GATEWAY, &gateway),
                (TARGET, &node.address),
                ("job_name: payment", "job_name: node"),
                ("scrape_interval: 15s", "scrape_interval: 500ms"),
                ("max_samples_per_send: 2000", "batch_send_deadline: 1s"),
                ("scrape_configs:\n", &shop),
            ],
        )
        .await?;
    let suspect = |one: &Incident| Some(one.suspect()?.service.clone()).filter(|service| service != "node");
    let found = incident(&store, "the incident", suspect).await;
    ensure!(found.with_context(|| prometheus.log())? == "notification");
    let kafka = bus::Options { brokers: stack.brokers().to_owned(), ..bus::Options::default() };
    let lines = tokio::task::spawn_blocking(move || {
        Reader::open(&kafka, Topic::RawMetrics, None, From::Beginning, Duration::from_secs(10))
            .and_then(|reader| reader.to_end(Duration::from_secs(20)))
    });
    let mut load = None;
    for line in lines.await??.into_iter().filter(|line| line.key.as_deref() == Some("node")) {
        let samples: Vec<MetricSample> = serde_json::from_slice(&line.payload.unwrap_or_default())?;
        load = load.or(samples.into_iter().find(|sample| sample.metric == "node_load1"));
    }
    let load = load.context("nothing of the node exporter")?;
    ensure!(load.labels["instance"] == node.address && load.environment == "production", "{load:?}");
    pipeline.stack.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_of_prometheus_and_of_alertmanager_open_incidents_and_end_in_them() -> Result<()> {
    let Some(programs) = Programs::find()? else { return Ok(()) };
    let pipeline = Pipeline::start(1).await?;
    let store = pipeline.stack.store()?;
    let gateway = gateway(&pipeline.stack).await?;
    let alertmanager = programs
        .alertmanager(&[
            (GATEWAY, &gateway),
            ("group_wait: 5s", "group_wait: 1s"),
            ("group_interval: 30s", "group_interval: 1s"),
        ])
        .await?;
    let [port] = ports::free()?;
    let target = format!("127.0.0.1:{port}");
    let prometheus = programs
        .prometheus(
            "prometheus.yml",
            &[
                (GATEWAY, &gateway),
                (TARGET, &target),
                ("scrape_interval: 15s", "scrape_interval: 1s"),
                ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ],
        )
        .await?;
    // nothing listens there
    alert(&store, "payment", "PaymentDown", Status::Firing).await.with_context(|| prometheus.log())?;
    let labels = ["service=order", "severity=critical", "env=production"];
    alertmanager.alert("HighErrorRate", &labels, false)?;
    alert(&store, "order", "HighErrorRate", Status::Firing).await.with_context(|| alertmanager.log())?;

    let page = axum::Router::new().route("/metrics", axum::routing::get(|| async { "" }));
    let listener = tokio::net::TcpListener::bind(&target).await?;
    let serving = tokio::spawn(async { axum::serve(listener, page).await });
    alertmanager.alert("HighErrorRate", &labels, true)?;
    alert(&store, "payment", "PaymentDown", Status::Cleared).await.with_context(|| prometheus.log())?;
    alert(&store, "order", "HighErrorRate", Status::Cleared).await.with_context(|| alertmanager.log())?;
    serving.abort();
    pipeline.stack.stop().await
}
