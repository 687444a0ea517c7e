//! The stage over a real Kafka and a real PostgreSQL.

use std::time::{Duration, Instant};

use postmortem::Options;
use shared::bus::reader::{From, Reader};
use shared::bus::{self, Producer};
use shared::events::incident::State;
use shared::events::{Incident, Outgoing, Postmortem, Topic, decode};
use shared::ids::{EventId, IncidentId, derive};
use shared::service::{Common, Config, Deps, Readiness};
use shared::stage::{Effects, IncidentChange};
use shared::store::apply::Cause;
use shared::store::lifecycle::{Assessment, Change};
use shared::store::{self, ArtifactKind, Store, Write};
use stack::testing::Database;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::scenario::{Scenario, after, exhausted_connections};

/// One consumer group is shared by all tests here, so they run one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// What a test stands on.
struct Place {
    database: Database,
    store: Store,
    kafka: bus::Options,
    producer: Producer,
}

impl Place {
    async fn open() -> Self {
        let database = stack::testing::postgres().await.unwrap();
        let kafka = bus::Options {
            brokers: stack::testing::kafka().await.unwrap(),
            session_timeout_ms: 6_000,
            drain_timeout_ms: 3_000,
            ..bus::Options::default()
        };
        let topics = [Topic::IncidentsResolved, Topic::Postmortems, Topic::DeadLetters("postmortem")];
        bus::admin::Admin::new(&kafka).unwrap().provision(&topics).await.unwrap();
        let (producer, store) = (Producer::connect(&kafka).unwrap(), database.store().unwrap());
        Self { database, store, kafka, producer }
    }

    fn id(&self, seed: &str) -> IncidentId {
        IncidentId(derive(&["postmortem", &self.database.url(), seed]))
    }

    async fn apply(&self, id: IncidentId, what: &str, effects: Effects) {
        let cause = Cause::Event(EventId(derive(&[what, &id.to_string()])));
        self.store.apply("correlation", cause, None, &effects).await.unwrap();
    }

    /// Puts an incident on record that is over, and tells of it twice.
    async fn resolved(&self, id: IncidentId, scenario: &Scenario) {
        let incident = scenario.incident.clone();
        let assessment = Box::new(Assessment {
            title: incident.title,
            severity: incident.severity,
            suspects: incident.suspects,
            signals: incident.signals,
            blast_radius: incident.blast_radius,
            deployment: incident.deployment,
        });
        let opened = Change::Opened { environment: incident.environment, at: incident.opened_at, assessment };
        let incidents = [opened, Change::Announced, Change::Resolved { at: after(220) }]
            .map(|change| IncidentChange { incident_id: id, change, publish: None })
            .into_iter()
            .collect();
        self.apply(id, "recorded", Effects { incidents, ..Effects::default() }).await;
        let incident: Incident = self.store.incident(id).await.unwrap().unwrap();
        let event_id = EventId::of("test", &id.to_string(), 1);
        let topic = Topic::IncidentsResolved;
        let outgoing = Outgoing::new(topic, &incident, event_id, "test", after(220), None).unwrap();
        for _ in 0..2 {
            let headers = outgoing.envelope.to_headers();
            self.producer.send(topic, Some(&outgoing.key), &headers, &outgoing.payload).await.unwrap();
        }
    }

    /// Puts cause and plan on record.
    async fn explained(&self, id: IncidentId, scenario: &Scenario) {
        let artifact = |kind, body| Write::Artifact { incident_id: id, kind, revision: 1, body };
        let writes = vec![
            artifact(ArtifactKind::RootCause, serde_json::to_value(&scenario.cause).unwrap()),
            artifact(ArtifactKind::Plan, serde_json::to_value(&scenario.plan).unwrap()),
        ];
        self.apply(id, "explained", Effects { writes, ..Effects::default() }).await;
    }

    fn start(&self, options: Options) -> (CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
        let postgres = store::Options { url: self.database.url(), ..store::Options::default() };
        let common = Common { kafka: self.kafka.clone(), postgres, ..Common::default() };
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "postmortem-test".into(), readiness: Readiness::default() };
        let config = Config::of("postmortem", common, options);
        (shutdown.clone(), tokio::spawn(postmortem::run(config, deps, shutdown)))
    }

    async fn written(&self, id: IncidentId) -> Option<Postmortem> {
        self.store.artifact(id, ArtifactKind::Postmortem).await.unwrap()
    }

    async fn wait_for(&self, id: IncidentId) -> Postmortem {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(postmortem) = self.written(id).await {
                return postmortem;
            }
            assert!(Instant::now() < deadline, "incident {id} has no postmortem");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the postmortems of an incident that are on the bus.
    async fn published(&self, id: IncidentId) -> Vec<Postmortem> {
        let kafka = self.kafka.clone();
        let lines = tokio::task::spawn_blocking(move || {
            Reader::open(&kafka, Topic::Postmortems, None, From::Beginning, Duration::from_secs(10))
                .and_then(|reader| reader.to_end(Duration::from_secs(20)))
        });
        let key = id.to_string();
        let lines = lines.await.unwrap().unwrap().into_iter().filter(|line| line.key.as_ref() == Some(&key));
        lines.map(|line| decode(&line.payload.unwrap()).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_waits_for_its_cause_and_is_written_up_once() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let scenario = exhausted_connections();
    let (late, known) = (place.id("late"), place.id("known"));
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
        let incident = place.store.incident(id).await.unwrap().unwrap();
        assert_eq!((incident.state, incident.closed_at), (State::Closed, incident.resolved_at));
        assert_eq!(place.published(id).await, [place.written(id).await.unwrap()]);
        let timeline = place.store.timeline(id).await.unwrap();
        assert_eq!(timeline.iter().filter(|entry| entry.action == "postmortem_written").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_ends_and_the_document_says_what_is_missing() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let id = place.id("unexplained");
    place.resolved(id, &exhausted_connections()).await;
    let (shutdown, running) = place.start(Options { wait_ms: 300, poll_ms: 100 });
    let postmortem = place.wait_for(id).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(postmortem.markdown.contains("No investigation is on record"), "{}", postmortem.markdown);
    assert_eq!(place.published(id).await, [postmortem]);
}
