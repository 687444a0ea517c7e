//! The stage over a real Kafka and a real PostgreSQL.

use std::time::Duration;

use postmortem::Options;
use shared::agent::Agent;
use shared::events::anomaly::Ended;
use shared::events::incident::State;
use shared::events::{Incident, Postmortem, Topic};
use shared::ids::{EventId, IncidentId};
use shared::lifecycle::Change;
use shared::service::{Config, Deps, Readiness};
use shared::stage::Effects;
use shared::store::{ArtifactKind, Write};
use stack::testing::bench::{Bench, until};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::scenario::{Scenario, after, exhausted_connections};

/// One consumer group is shared by all tests here, so they run one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// What a test stands on.
struct Place(Bench);

impl Place {
    async fn open() -> Self {
        let topics = [Topic::IncidentsResolved, Topic::Postmortems, Topic::DeadLetters(Agent::Postmortem)];
        Self(Bench::open(&topics).await.unwrap())
    }

    /// Puts an incident on record that is over, and tells of it twice.
    async fn resolved(&self, id: IncidentId, scenario: &Scenario) {
        let further = vec![Change::Announced, Change::resolved(after(220), Ended::Recovered)];
        self.0.record(id, scenario.incident.clone(), further).await.unwrap();
        let incident: Incident = self.0.store.reads().incident(id).await.unwrap().unwrap();
        let event_id = EventId::of("test", &id.to_string(), 1);
        for _ in 0..2 {
            self.0.send(Topic::IncidentsResolved, &incident, event_id, after(220)).await.unwrap();
        }
    }

    /// Puts cause and plan on record.
    async fn explained(&self, id: IncidentId, scenario: &Scenario) {
        let artifact = |kind, body| Write::Artifact { incident_id: id, kind, revision: 1, body };
        let writes = vec![
            artifact(ArtifactKind::RootCause, serde_json::to_value(&scenario.cause).unwrap()),
            artifact(ArtifactKind::Plan, serde_json::to_value(&scenario.plan).unwrap()),
        ];
        self.0.apply(id, "explained", Effects { writes, ..Effects::default() }).await.unwrap();
    }

    fn start(&self, options: Options) -> (CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "postmortem-test".into(), readiness: Readiness::default() };
        let config = Config::of("postmortem", self.0.common.clone(), options);
        (shutdown.clone(), tokio::spawn(postmortem::run(config, deps, shutdown)))
    }

    async fn written(&self, id: IncidentId) -> Option<Postmortem> {
        self.0.store.reads().artifact(id, ArtifactKind::Postmortem).await.unwrap()
    }

    async fn wait_for(&self, id: IncidentId) -> Postmortem {
        let written = until(Duration::from_mins(1), async || {
            self.written(id).await.ok_or_else(|| format!("incident {id} has no postmortem"))
        });
        written.await.unwrap()
    }

    /// Returns the postmortems of an incident that are on the bus.
    async fn published(&self, id: IncidentId) -> Vec<Postmortem> {
        self.0.events(Topic::Postmortems, id).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_waits_for_its_cause_and_is_written_up_once() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let scenario = exhausted_connections();
    let (late, known) = (place.0.incident("late"), place.0.incident("known"));
    place.explained(known, &scenario).await;
    place.resolved(late, &scenario).await;
    place.resolved(known, &scenario).await;
    let (shutdown, running) = place.start(Options { wait_ms: 600_000, poll_ms: 100 });

    assert!(place.wait_for(known).await.markdown.contains("The cause (confidence"));
    assert_eq!(place.written(late).await, None, "it is over, but its cause is not on record");
    place.explained(late, &scenario).await;
    assert!(place.wait_for(late).await.markdown.contains("The cause (confidence"));
    shutdown.cancel();
    running.await.unwrap().unwrap();

    for id in [late, known] {
        let incident = place.0.store.reads().incident(id).await.unwrap().unwrap();
        assert_eq!((incident.state, incident.closed_at), (State::Closed, incident.resolved_at));
        assert_eq!(place.published(id).await, [place.written(id).await.unwrap()]);
        let timeline = place.0.store.reads().timeline(id).await.unwrap();
        assert_eq!(timeline.iter().filter(|entry| entry.action == "postmortem_written").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_ends_and_the_document_says_what_is_missing() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let id = place.0.incident("unexplained");
    place.resolved(id, &exhausted_connections()).await;
    let (shutdown, running) = place.start(Options { wait_ms: 300, poll_ms: 100 });
    let postmortem = place.wait_for(id).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(postmortem.markdown.contains("No investigation is on record"), "{}", postmortem.markdown);
    assert_eq!(place.published(id).await, [postmortem]);
}
