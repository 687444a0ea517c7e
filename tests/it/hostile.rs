//! Invalid records and hostile text on every raw topic: they become dead letters, counted drops or plain text, and a real fault
//! still has its incident, cause, plan and mails.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::SignedDuration;
use shared::agent::Agent;
use shared::bus::dead_letter::is_mark;
use shared::bus::reader::{From, Reader};
use shared::bus::{self, Producer};
use shared::clock::{Clock as _, SystemClock};
use shared::events::Topic;
use shared::events::fault::Scenario;
use shared::text::{markdown, sanitize};
use stack::observe::missing::Missing;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;
use tests::injection::{self, Item, Links, corpus};

/// Waits for the fault and sends the corpus: the log, labels and spans of the service that fails hold hostile text, and so do the
/// notes of changes elsewhere.
async fn send_corpus(pipeline: &mut Pipeline, producer: &Producer) -> Result<()> {
    pipeline
        .wait_for(Duration::from_mins(2), Duration::ZERO, |observation| {
            if observation.fault().is_some() { Vec::new() } else { vec![Missing::Fault] }
        })
        .await?;
    let faulty = pipeline.observation.fault().map(|fault| fault.service.clone()).unwrap_or_default();
    let other = if faulty == "notification" { "user" } else { "notification" };
    let corpus = corpus(include_str!("injection/corpus.jsonl"))?;
    let mut carried = 0;
    for (number, item) in corpus.iter().enumerate() {
        let Some(record) = item.record(number, &faulty, other, SystemClock.now())? else { continue };
        producer.send(record.topic, Some(&record.key), &Vec::new(), &record.payload).await?;
        carried += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(carried > 100, "{carried} items");
    Ok(())
}

/// Checks that the corpus stands in the record, as text.
async fn was_read(pipeline: &Pipeline) -> Result<()> {
    let reads = pipeline.stack.store()?;
    let reads = reads.reads();
    let since = SystemClock.now() - SignedDuration::from_mins(30);
    let changes = reads.deployments("production", since).await?;
    let notes = changes.iter().filter(|change| format!("{change:?}").contains(injection::MARKER)).count();
    ensure!(notes > 10, "{notes} changes carry hostile notes");
    let incident = pipeline.observation.incident().context("no incident")?.incident_id;
    let lines = reads.signals_of(incident).await?.into_iter().flat_map(|signal| signal.logs);
    let lines = lines.filter(|log| log.example.contains(injection::MARKER)).count();
    ensure!(lines > 0, "no hostile line is in the context of the incident");
    Ok(())
}

#[tokio::test]
async fn invalid_records_and_hostile_text_change_no_incident() -> Result<()> {
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
    send_corpus(&mut pipeline, &producer).await?;
    let apart_from_letters = |observation: &RunObservation| -> Vec<Missing> {
        let mut missing = observation.missing();
        missing.retain(|missing| !matches!(missing, Missing::DeadLetters { .. }));
        missing
    };
    pipeline.wait_for(Duration::from_mins(4), Duration::from_secs(5), apart_from_letters).await?;
    injection::check(&pipeline.observation)?;
    was_read(&pipeline).await?;
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

/// A runbook is the team's own, and its text is quoted in mails all the same.
#[test]
fn hostile_text_of_a_runbook_is_text_in_a_mail() -> Result<()> {
    let corpus = corpus(include_str!("injection/corpus.jsonl"))?;
    ensure!(corpus.len() >= 120, "{} items", corpus.len());
    let texts = corpus.iter().filter_map(|item| match item {
        Item::Runbook { text } => Some(text),
        _ => None,
    });
    let mut read = 0;
    for text in texts {
        let text = sanitize::lines(text);
        let Ok(blocks) = markdown::blocks(&markdown::source(&text)) else { continue };
        read += 1;
        let html = communication::markdown::to_html(&markdown::write(&blocks));
        injection::check_html(&html, Links::Web)?;
    }
    ensure!(read > 8, "{read} texts");
    Ok(())
}
