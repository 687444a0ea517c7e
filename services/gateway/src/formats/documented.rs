//! What `docs/connect` says: its requests are taken, and its settings are read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::clock::{Clock as _, SystemClock};

use super::generic::{self, Kind, cloudevents};
use super::{Context, Unreadable, deployments, influx};
use crate::identity::Rules;
use crate::telemetry::{Batch, Limits};

/// Stands in for curl: writes its arguments, one a line, and what it reads.
const CURL: &str = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$OUT/arguments\"\ncat >\"$OUT/body\"\n";

/// A request that a script makes.
struct Sent {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connect/files")
}

/// Runs a script, and returns what it would send.
fn sent(script: &str) -> Sent {
    let out = std::env::temp_dir().join(format!("firewatch-{}-{script}", std::process::id()));
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("curl"), CURL).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(out.join("curl")).status().unwrap().success());
    let path = format!("{}:{}", out.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(files().join(script)).env("PATH", path).env("OUT", &out).env("FIREWATCH_TOKEN", "a b");
    assert!(command.status().unwrap().success(), "{script}");
    let arguments = fs::read_to_string(out.join("arguments")).unwrap();
    let body = fs::read(out.join("body")).unwrap();
    fs::remove_dir_all(&out).unwrap();
    let is_header = |line: &&str| !line.contains("://");
    let pairs = arguments.lines().filter(is_header).filter_map(|line| line.split_once(": "));
    let headers = pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let path = arguments.lines().find_map(|line| line.strip_prefix("http://127.0.0.1:4318"));
    Sent { path: path.unwrap().to_owned(), headers, body }
}

#[test]
fn each_script_sends_what_is_taken() {
    for (script, path, items) in [
        ("send-metrics.sh", "/v1/events/metrics", 2),
        ("send-logs.sh", "/v1/events/logs", 2),
        ("send-deployment.sh", "/v1/events/deployments", 1),
        ("send-span.sh", "/v1/events/spans", 1),
        ("send-alert.sh", "/v1/events/alerts", 1),
        ("send-cloudevent.sh", "/v1/cloudevents", 1),
        ("send-influx.sh", "/v1/influx/write?precision=s", 2),
    ] {
        let sent = sent(script);
        assert_eq!((&*sent.path, &*sent.headers["authorization"]), (path, "Bearer a b"));
        let identity = Rules::default();
        let now_ms = SystemClock.now().as_millisecond();
        let ctx = Context { identity: &identity, now_ms, headers: &sent.headers };
        let mut batch = Batch::new(&Limits::default(), now_ms);
        let read = taken(&sent, &ctx, &mut batch);
        assert_eq!((read, batch.refused.message()), (Ok(()), String::new()), "{script}");
        let taken = batch.taken;
        let all =
            [taken.samples, taken.histograms, taken.lines, taken.deployments, taken.spans, taken.alerts];
        assert_eq!(all.iter().sum::<usize>(), items, "{script}");
    }
}

fn taken(sent: &Sent, ctx: &Context<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    if let Some(name) = sent.path.strip_prefix("/v1/events/") {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).unwrap();
        return generic::read(&sent.body, kind, ctx, batch);
    }
    match &*sent.path {
        "/v1/cloudevents" => cloudevents::read(&sent.body, ctx, batch),
        _ => influx::read(&sent.body, influx::Precision::Seconds, ctx, batch).map(drop),
    }
}

/// Returns the settings of a file, which has one section below `[gateway]` and nothing else there.
fn settings<T: DeserializeOwned>(file: &str, section: &str) -> T {
    #[derive(Deserialize)]
    struct File<T> {
        gateway: BTreeMap<String, T>,
    }

    let text = fs::read_to_string(files().join(file)).unwrap();
    let mut sections = toml::from_str::<File<T>>(&text).unwrap().gateway;
    let settings = sections.remove(section).unwrap();
    assert!(sections.is_empty());
    settings
}

#[test]
fn the_settings_of_deployments_are_read() {
    let settings: deployments::Settings = settings("deployments.toml", "deployments");
    let secrets =
        [&settings.github.secret, &settings.gitlab.secret, &settings.argocd.secret, &settings.flux.secret];
    assert!(secrets.iter().all(|secret| !secret.is_empty()));
    assert_eq!(settings.services["shop/payments-api"], "payment");
}

#[test]
fn the_settings_of_the_bridge_are_read() {
    let settings: crate::bridge::Settings = settings("kafka.toml", "bridge");
    assert_eq!((settings.topics.len(), settings.validate()), (4, Vec::new()));
}
