//! Commands over a real Kafka and PostgreSQL, with the stage that decides on them.

use serde_json::Value;
use shared::events::incident::State;
use shared::events::{Command, Topic, decode};
use shared::service::{Config, Deps, Readiness};
use stack::testing::bench::Bench;
use tokio::sync::MutexGuard;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::learning::{firewatch, investigated, json, printed};
use crate::replay::TURN;

/// What correlation reads and writes.
pub(crate) const TOPICS: [Topic; 7] = [
    Topic::OperatorCommands,
    Topic::Anomalies,
    Topic::RawDeployments,
    Topic::RawSpans,
    Topic::IncidentsOpened,
    Topic::IncidentsUpdated,
    Topic::IncidentsResolved,
];

/// The stage that decides on commands about incidents, while a test needs it.
pub(crate) struct Owner {
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    _turn: MutexGuard<'static, ()>,
}

impl Owner {
    pub(crate) async fn start(bench: &Bench) -> Self {
        let turn = TURN.lock().await;
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "correlation-test".into(), readiness: Readiness::default() };
        let config = Config::of("correlation", bench.common.clone(), correlation::Options::default());
        let running = tokio::spawn(correlation::run(config, deps, shutdown.clone()));
        Self { shutdown, running, _turn: turn }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_its_outcome_and_ends_with_it() {
    let bench = Bench::open(&TOPICS).await.unwrap();
    let (id, number) = investigated(&bench).await;
    let number = number.to_string();
    let ask = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.insert(1, &number);
        firewatch(&bench, &all)
    };
    // nobody decides yet: the command is queued, and says how to ask for its outcome
    let waiting = ask(&["ack", "--wait", "1s"]);
    assert_eq!(waiting.status.code(), Some(6), "{waiting:?}");
    let text = String::from_utf8(waiting.stderr).unwrap();
    let asked = text.split("--command-id ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();

    let owner = Owner::start(&bench).await;
    let outcome = json(&ask(&["ack", "--wait", "1m", "--command-id", asked, "--json"]));
    assert_eq!(outcome["outcome"], Value::from("accepted"), "{outcome:#}");
    assert_eq!(outcome["command"]["by"], Value::from("ann"));
    // it was sent twice and decided once
    let sent = bench.records(Topic::OperatorCommands, &id.to_string()).await.unwrap();
    let ids = sent.iter().filter_map(|line| decode::<Command>(line.payload.as_deref()?).ok());
    assert_eq!(ids.filter(|command| command.command_id.to_string() == asked).count(), 2);
    let trail = bench.store.reads().timeline(id).await.unwrap();
    assert_eq!(trail.iter().filter(|entry| entry.action == "acknowledged").count(), 1);

    let again = ask(&["ack", "--wait", "1m"]);
    let refused = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(5), "{again:?}");
    assert_eq!(refused, format!("firewatch: refused: incident {number} is acknowledged by ann already\n"));
    printed(&ask(&["comment", "looks like the pool", "--wait", "1m"]));
    printed(&ask(&["assign", "--to", "joe", "--wait", "1m"]));
    printed(&ask(&["severity", "sev4", "--reason", "no users yet", "--wait", "1m"]));
    printed(&ask(&["mute", "--for", "2h", "--wait", "1m"]));
    let shown = printed(&firewatch(&bench, &["incidents", "show", &number]));
    for line in
        ["Acknowledged", "Assigned to", "Severity set", "Muted", "Comment by ann: looks like the pool"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    printed(&ask(&["resolve", "--reason", "the pool was enlarged", "--wait", "1m"]));
    let missing = firewatch(&bench, &["ack", "999"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    owner.stop().await;
    let over = bench.store.reads().incident(id).await.unwrap().unwrap();
    assert_eq!(over.state, State::Resolved);
}
