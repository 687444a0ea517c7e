//! `firewatch replay` over a story that the real stages have worked through.

use std::process::{Command, Output};

use anyhow::Result;
use communication::channel::email::message_id;
use communication::content::Kind;
use jiff::Timestamp;
use serde_json::Value;
use shared::events::Topic;
use shared::testing;
use stack::testing::mail;
use tokio::sync::Mutex;

use crate::story::{self, STAGES, Story};

/// The consumer groups are shared by all tests here, so they run one after another.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

/// Runs the binary over the parts of a story.
fn replay(story: &Story, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    let common = &story.bench.common;
    command
        .arg("replay")
        .args(arguments)
        .env("FIREWATCH_KAFKA__BROKERS", &common.kafka.brokers)
        .env("FIREWATCH_POSTGRES__URL", &common.postgres.url)
        .env("FIREWATCH_COMMUNICATION__COMMANDERS", &story.recipient)
        .env("FIREWATCH_COMMUNICATION__FALLBACK", &story.recipient)
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// Arguments for the window of a story and nothing before it.
fn window(story: &Story, stage: &str) -> Vec<String> {
    since(story, story.from, stage)
}

fn since(story: &Story, from: Timestamp, stage: &str) -> Vec<String> {
    let (from, to) = (from.to_string(), story.to.to_string());
    ["--stage", stage, "--from", &from, "--to", &to, "--warm-up", "0s"].map(str::to_owned).to_vec()
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Everything that production has: each table's content, and how many records the story's incidents have on each topic.
async fn state(story: &Story) -> Result<Vec<(String, String)>> {
    let client = testing::client(&story.bench.store).await?;
    let tables = client
        .query("select tablename::text from pg_tables where schemaname = 'public' order by 1", &[])
        .await?;
    let mut state = Vec::new();
    for table in tables {
        let table: String = table.try_get(0)?;
        let digest = format!(
            "select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from public.{table} t"
        );
        state.push((table, client.query_one(&digest, &[]).await?.try_get(0)?));
    }
    for topic in Topic::all() {
        for incident in &story.incidents {
            let records = story.bench.records(topic, &incident.incident_id.to_string()).await?;
            state.push((topic.name().to_owned(), records.len().to_string()));
        }
    }
    Ok(state)
}

async fn scratch_schemas(story: &Story) -> Result<Vec<String>> {
    let client = testing::client(&story.bench.store).await?;
    let named =
        "select nspname::text from pg_namespace where nspname like 'firewatch\\_replay\\_%' order by 1";
    client.query(named, &[]).await?.into_iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Returns how many mails about the story's incidents the mail server has.
async fn mails(story: &Story) -> Result<usize> {
    let domain = communication::Options::default().domain;
    let ids: Vec<String> = story
        .incidents
        .iter()
        .flat_map(|incident| Kind::LIFECYCLE.map(|kind| message_id(incident.incident_id, kind, 0, &domain)))
        .collect();
    let (_, mailbox) = mail().await?;
    Ok(mailbox.mails().await?.iter().filter(|mail| ids.contains(&mail.id)).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_stage_did_comes_out_again_and_nothing_else_happens() {
    let _turn = TURN.lock().await;
    let story = story::play().await.unwrap();
    let before = state(&story).await.unwrap();
    assert_eq!(mails(&story).await.unwrap(), 10, "five for each of two incidents");
    let model = stack::testing::model().await.unwrap();
    let model = [("FIREWATCH_KNOWLEDGE__MODEL_DIR", model.to_str().unwrap())];
    for stage in STAGES {
        let arguments = window(&story, stage);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let first = replay(&story, &arguments, &model);
        assert_eq!(first.status.code(), Some(0), "{}", told(&first));
        assert!(told(&first).contains("No difference."), "{}", told(&first));
        let again = replay(&story, &arguments, &model);
        assert_eq!(first.stdout, again.stdout, "twice the same bytes");
        let json = replay(&story, &[&arguments[..], &["--json"]].concat(), &model);
        let report: Value = serde_json::from_slice(&json.stdout).unwrap();
        // the story has two incidents, so every stage has published, or told, something about each
        let same: u64 =
            report["outputs"].as_array().unwrap().iter().map(|tally| tally["same"].as_u64().unwrap()).sum();
        assert!(same >= 2, "{report:#}");
        assert_eq!(report["differences"], Value::Array(Vec::new()));
    }
    // the later stages find what was there before their window, however little of it is in the window
    for stage in &STAGES[1..] {
        let arguments = since(&story, story.middle, stage);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = replay(&story, &arguments, &model);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    assert_eq!(state(&story).await.unwrap(), before);
    assert_eq!(mails(&story).await.unwrap(), 10, "a replay sends no mail");
    assert_eq!(scratch_schemas(&story).await.unwrap(), [""; 0]);
}

/// Finds a topic's counts in a report: same, different, only production, only replay.
fn counts(report: &Value, topic: &str) -> [u64; 4] {
    let tallies = report["outputs"].as_array().unwrap();
    let tally = tallies.iter().find(|tally| tally["topic"] == topic).unwrap_or(&Value::Null);
    ["same", "different", "only_then", "only_now"].map(|count| tally[count].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_setting_shows_what_it_changes_and_only_that() {
    let _turn = TURN.lock().await;
    let story = story::play().await.unwrap();
    let arguments = window(&story, "correlation");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let harder = [("FIREWATCH_CORRELATION__OPEN_NATS", "1000")];
    let output = replay(&story, &[&arguments[..], &["--json"]].concat(), &harder);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts(&report, "incidents.opened"), [1, 0, 1, 0], "{report:#}");
    assert_eq!(counts(&report, "incidents.resolved"), [1, 0, 1, 0], "{report:#}");
    assert_eq!(counts(&report, "dlq.correlation")[1..], [0, 0, 0], "{report:#}");
    let weak = story.incidents[0].incident_id.to_string();
    for difference in report["differences"].as_array().unwrap() {
        assert_eq!(
            (&difference["verdict"], &difference["subject"]),
            (&"only_then".into(), &Value::from(&*weak))
        );
    }
    let again = replay(&story, &[&arguments[..], &["--json"]].concat(), &harder);
    assert_eq!(output.stdout, again.stdout, "twice the same bytes");

    let arguments = window(&story, "communication");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let others = [("FIREWATCH_COMMUNICATION__COMMANDERS", "someone-else@example.com")];
    let output = replay(&story, &[&arguments[..], &["--json"]].concat(), &others);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for difference in report["differences"].as_array().unwrap() {
        assert_eq!(
            (&difference["verdict"], &difference["topic"]),
            (&"different".into(), &"notifications".into())
        );
        for field in difference["fields"].as_array().unwrap() {
            assert!(field["path"].as_str().unwrap().starts_with("recipients"), "{difference:#}");
        }
    }
    assert_eq!(scratch_schemas(&story).await.unwrap(), [""; 0]);
}
