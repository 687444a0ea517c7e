//! Invalid records on every raw topic: they become dead letters or counted drops, and a real fault still has its incident.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::agent::Agent;
use shared::bus::dead_letter::is_mark;
use shared::bus::reader::{From, Reader};
use shared::bus::{self, Producer};
use shared::events::Topic;
use shared::events::fault::Scenario;
use stack::observe::missing::Missing;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;

#[tokio::test]
async fn invalid_records_change_no_incident() -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    let options = bus::Options { brokers: pipeline.stack.brokers().to_owned(), ..bus::Options::default() };
    let producer = Producer::connect(&options)?;
    let huge = format!(
        r#"{{"service":"payment","metric":"m","value":1,"ts_ms":1,"labels":{{"x":"{}"}}}}"#,
        "y".repeat(900_000)
    );
    let refused: [&[u8]; 11] = [
        b"",
        b"\xff\xfe\x00",
        b"{",
        br#"{"service":"payment"}"#,
        br#"{"service":"payment","metric":"latency_p99_ms","value":NaN,"ts_ms":1}"#,
        br#"{"service":"payment","metric":"latency_p99_ms","value":"NaN","ts_ms":1}"#,
        br#"{"service":"payment","metric":"latency_p99_ms","value":1e999,"ts_ms":1}"#,
        br#"{"service":"payment","metric":"latency_p99_ms","value":9e9,"ts_ms":-5}"#,
        // seconds instead of milliseconds
        br#"{"service":"payment","metric":"latency_p99_ms","value":9e9,"ts_ms":1750000000}"#,
        // the year 2286
        br#"{"service":"payment","metric":"latency_p99_ms","value":9e9,"ts_ms":9999999999999}"#,
        huge.as_bytes(),
    ];
    // the year 2096, far ahead of all others
    let dropped: [&[u8]; 1] =
        [br#"{"service":"payment","metric":"latency_p99_ms","value":9e9,"ts_ms":4000000000000}"#];
    pipeline.simulate_fault(Scenario::LatencySpike, &["--seed=5"])?;
    for payload in refused.iter().chain(&dropped) {
        producer.send(Topic::RawMetrics, Some("payment"), &Vec::new(), payload).await?;
    }
    for topic in [Topic::RawDeployments, Topic::RawSpans, Topic::Anomalies, Topic::IncidentsOpened] {
        producer.send(topic, Some("payment"), &Vec::new(), b"\x00 not json").await?;
    }
    let apart_from_letters = |observation: &RunObservation| -> Vec<Missing> {
        let mut missing = observation.missing();
        missing.retain(|missing| !matches!(missing, Missing::DeadLetters { .. }));
        missing
    };
    pipeline.wait_for(Duration::from_mins(4), Duration::from_secs(5), apart_from_letters).await?;
    // raw.deployments is read by two stages, incidents.opened as well
    for (agent, letters) in [
        (Agent::Detection, refused.len() + 1),
        (Agent::Correlation, 3),
        (Agent::Investigation, 1),
        (Agent::Communication, 1),
    ] {
        let options = options.clone();
        let mut found = tokio::task::spawn_blocking(move || {
            Reader::open(&options, agent.dead_letters(), None, From::Beginning, Duration::from_secs(10))?
                .to_end(Duration::from_secs(20))
        })
        .await??;
        found.retain(|line| !is_mark(&line.headers));
        ensure!(found.len() == letters, "{agent} has {} dead letters instead of {letters}", found.len());
    }
    pipeline.stack.stop().await
}
