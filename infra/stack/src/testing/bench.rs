//! What the test of a whole stage needs: a database, topics, and functions that publish inputs and read outputs.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;
use shared::bus::admin::Admin;
use shared::bus::reader::{From, Line, Reader};
use shared::bus::{self, Producer};
use shared::events::{Event, Incident, Outgoing, Topic, decode};
use shared::ids::{EventId, IncidentId, derive};
use shared::lifecycle::{Assessment, Change};
use shared::service::Common;
use shared::stage::{Effects, IncidentChange};
use shared::store::apply::Cause;
use shared::store::{self, Store};

use super::Database;

/// Time between two checks.
const PAUSE: Duration = Duration::from_millis(50);

/// A database of its own and the shared broker.
pub struct Bench {
    /// Options with which a stage reaches them.
    pub common: Common,
    /// The database, opened.
    pub store: Store,
    /// Writes to the broker.
    pub producer: Producer,
    _database: Database,
}

impl Bench {
    /// Clones a database and creates the topics that are missing. The session timeout is short, so that the group removes a dead
    /// replica soon.
    pub async fn open(topics: &[Topic]) -> Result<Self> {
        let database = super::postgres().await?;
        let kafka = bus::Options {
            brokers: super::kafka().await?,
            session_timeout_ms: 6_000,
            drain_timeout_ms: 3_000,
            ..bus::Options::default()
        };
        Admin::new(&kafka)?.provision(topics).await?;
        let (producer, store) = (Producer::connect(&kafka)?, database.store()?);
        let postgres = store::Options { url: database.url(), ..store::Options::default() };
        let common = Common { kafka, postgres, ..Common::default() };
        Ok(Self { common, store, producer, _database: database })
    }

    /// Returns the id of an incident that no other test uses.
    pub fn incident(&self, seed: &str) -> IncidentId {
        IncidentId(derive(&["bench", &self.common.postgres.url, seed]))
    }

    /// Stores an incident as correlation does, and applies further changes.
    pub async fn record(&self, id: IncidentId, incident: Incident, further: Vec<Change>) -> Result<()> {
        let assessment = Box::new(assessed(&incident));
        let opened = Change::Opened { environment: incident.environment, at: incident.opened_at, assessment };
        let changes = std::iter::once(opened).chain(further);
        let incidents =
            changes.map(|change| IncidentChange { incident_id: id, change, publish: None }).collect();
        self.apply(id, "recorded", Effects { incidents, ..Effects::default() }).await
    }

    /// Applies effects to an incident; `what` distinguishes them from others.
    pub async fn apply(&self, id: IncidentId, what: &str, effects: Effects) -> Result<()> {
        let cause = Cause::Event(EventId(derive(&[what, &id.to_string()])));
        shared::testing::apply(&self.store, "correlation", cause, &effects).await?;
        Ok(())
    }

    /// Publishes an event of another stage.
    pub async fn send<E: Event>(&self, topic: Topic, event: &E, id: EventId, time: Timestamp) -> Result<()> {
        let outgoing = Outgoing::new(topic, event, id, "test", time, None)?;
        let headers = outgoing.envelope.to_headers();
        Ok(self.producer.send(topic, Some(&outgoing.key), &headers, &outgoing.payload).await?)
    }

    /// Returns the records of a topic that have this key.
    pub async fn records(&self, topic: Topic, key: &str) -> Result<Vec<Line>> {
        let kafka = self.common.kafka.clone();
        let lines = tokio::task::spawn_blocking(move || {
            Reader::open(&kafka, topic, None, From::Beginning, Duration::from_secs(10))
                .and_then(|reader| reader.to_end(Duration::from_secs(20)))
        });
        let mut lines = lines.await??;
        lines.retain(|line| line.key.as_deref() == Some(key));
        Ok(lines)
    }

    /// Returns the events of an incident on a topic.
    pub async fn events<E: Event>(&self, topic: Topic, id: IncidentId) -> Result<Vec<E>> {
        let records = self.records(topic, &id.to_string()).await?;
        records.iter().map(|line| Ok(decode(line.payload.as_deref().unwrap_or_default())?)).collect()
    }
}

/// Returns the assessment that an incident shows.
pub fn assessed(incident: &Incident) -> Assessment {
    let incident = incident.clone();
    Assessment {
        challenger: None,
        title: incident.title,
        severity: incident.severity,
        suspects: incident.suspects,
        signals: incident.signals.into_iter().map(Arc::new).collect(),
        blast_radius: incident.blast_radius,
        impact: incident.impact,
        deployment: incident.deployment,
        storm: incident.storm,
    }
}

/// Repeats `look` until it returns a value. Fails after `deadline` with what was seen instead.
pub async fn until<T, S: Debug>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() > end => bail!("after {} s: {seen:#?}", deadline.as_secs()),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
