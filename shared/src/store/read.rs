//! What stages, the command line and the dashboard read.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::types::Json;

use super::write::{ArtifactKind, Notification, NotificationState};
use super::{Error, Store};
use crate::catalogue::{Catalogue, Service};
use crate::events::incident::Signal;
use crate::events::{Deployment, Incident};
use crate::graph::Graph;
use crate::ids::{EventId, IncidentId};

/// Abnormal signals of no open incident that are looked at together; more than this many are a storm, and the oldest
/// are left out. Members of open incidents are never left out.
const MAX_LOOSE_SIGNALS: i64 = 500;

/// Everything a grouping decision in one environment rests on, as of one version.
#[derive(Debug, Clone)]
pub struct Neighbourhood {
    /// Version to commit against.
    pub version: i64,
    /// All members of open incidents, and what else is abnormal, with the incident it belongs or belonged to.
    pub signals: Vec<(Signal, Option<IncidentId>)>,
    /// Open incidents, oldest first.
    pub incidents: Vec<Incident>,
    /// What is known of the services.
    pub catalogue: Catalogue,
    /// Who calls whom: catalogue and spans together.
    pub graph: Graph,
    /// Changes at or after the asked-for time, newest first.
    pub deployments: Vec<Deployment>,
}

/// One line of an incident's timeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineEntry {
    /// Event time.
    pub at: Timestamp,
    /// Stage or person.
    pub actor: String,
    /// Kind of thing, for programs.
    pub action: String,
    /// Sentence for people.
    pub summary: String,
    /// Facts.
    pub detail: Value,
}

impl Store {
    /// Reads what a grouping decision in `environment` rests on: changes since `since`, edges seen since `edges_since`.
    pub async fn neighbourhood(
        &self,
        environment: &str,
        since: Timestamp,
        edges_since: Timestamp,
    ) -> Result<Neighbourhood, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        tx.execute("insert into neighbourhoods (scope) values ($1) on conflict do nothing", &[&environment])
            .await?;
        // the lock makes the reads below belong to that version
        let version = tx
            .query_one("select version from neighbourhoods where scope = $1 for share", &[&environment])
            .await?
            .get(0);
        let signals = tx
            .query(
                "select body, incident_id from signals where incident_id in (select incident_id from incidents \
                    where environment = $1 and state not in ('resolved', 'closed')) \
                 union all \
                 (select body, incident_id from signals where environment = $1 and status <> 'cleared' and \
                    (incident_id is null or incident_id in (select incident_id from incidents \
                        where environment = $1 and state in ('resolved', 'closed'))) \
                  order by started_at desc, anomaly_id limit $2)",
                &[&environment, &MAX_LOOSE_SIGNALS],
            )
            .await?
            .into_iter()
            .map(|row| (row.get::<_, Json<Signal>>(0).0, row.get::<_, Option<uuid::Uuid>>(1).map(IncidentId)))
            .collect();
        let incidents = tx
            .query(
                "select body from incidents where environment = $1 and state not in ('resolved', 'closed') \
                 order by number",
                &[&environment],
            )
            .await?
            .into_iter()
            .map(|row| row.get::<_, Json<Incident>>(0).0)
            .collect();
        let catalogue = read_catalogue(&*tx).await?;
        let mut graph = catalogue.graph();
        for row in tx
            .query(
                "select caller, callee from edges where environment = $1 and last_seen >= $2 order by 1, 2",
                &[&environment, &edges_since],
            )
            .await?
        {
            graph.add_edge(row.get(0), row.get(1));
        }
        let deployments = tx
            .query(
                "select body from deployments where environment = $1 and at >= $2 order by at desc limit 200",
                &[&environment, &since],
            )
            .await?
            .into_iter()
            .map(|row| row.get::<_, Json<Deployment>>(0).0)
            .collect();
        tx.commit().await?;
        Ok(Neighbourhood { version, signals, incidents, catalogue, graph, deployments })
    }

    /// Returns an incident as it stands.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        let row = self
            .client()
            .await?
            .query_opt("select body from incidents where incident_id = $1", &[&id.0])
            .await?;
        Ok(row.map(|row| row.get::<_, Json<Incident>>(0).0))
    }

    /// Returns the incident with that number.
    pub async fn incident_by_number(&self, number: i64) -> Result<Option<Incident>, Error> {
        let row = self
            .client()
            .await?
            .query_opt("select body from incidents where number = $1", &[&number])
            .await?;
        Ok(row.map(|row| row.get::<_, Json<Incident>>(0).0))
    }

    /// Returns incidents, newest first.
    pub async fn incidents(&self, open_only: bool, limit: i64) -> Result<Vec<Incident>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select body from incidents where not $1 or state not in ('resolved', 'closed') \
                 order by number desc limit $2",
                &[&open_only, &limit],
            )
            .await?;
        Ok(rows.into_iter().map(|row| row.get::<_, Json<Incident>>(0).0).collect())
    }

    /// Returns all members of an incident as they stand, with everything they carry.
    pub async fn signals_of(&self, id: IncidentId) -> Result<Vec<Signal>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select body from signals where incident_id = $1 order by started_at, anomaly_id",
                &[&id.0],
            )
            .await?;
        Ok(rows.into_iter().map(|row| row.get::<_, Json<Signal>>(0).0).collect())
    }

    /// Returns the service graph of an environment: catalogue and spans seen since `edges_since`.
    pub async fn graph(&self, environment: &str, edges_since: Timestamp) -> Result<Graph, Error> {
        let client = self.client().await?;
        let mut graph = read_catalogue(&**client).await?.graph();
        for row in client
            .query(
                "select caller, callee from edges where environment = $1 and last_seen >= $2 order by 1, 2",
                &[&environment, &edges_since],
            )
            .await?
        {
            graph.add_edge(row.get(0), row.get(1));
        }
        Ok(graph)
    }

    /// Returns the last revision of a result of an incident.
    pub async fn artifact<T: DeserializeOwned>(
        &self,
        id: IncidentId,
        kind: ArtifactKind,
    ) -> Result<Option<T>, Error> {
        let row = self
            .client()
            .await?
            .query_opt(
                "select body from artifacts where incident_id = $1 and kind = $2 order by revision desc limit 1",
                &[&id.0, &kind.name()],
            )
            .await?;
        row.map(|row| Ok(serde_json::from_value(row.get(0))?)).transpose()
    }

    /// Returns the audit trail of an incident, in event time.
    pub async fn timeline(&self, id: IncidentId) -> Result<Vec<TimelineEntry>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select at, actor, action, summary, detail from audit where incident_id = $1 order by at, id limit 2000",
                &[&id.0],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| TimelineEntry {
                at: row.get(0),
                actor: row.get(1),
                action: row.get(2),
                summary: row.get(3),
                detail: row.get(4),
            })
            .collect())
    }

    /// Returns a notification and where it stands.
    pub async fn notification(
        &self,
        id: EventId,
    ) -> Result<Option<(Notification, NotificationState)>, Error> {
        let row = self
            .client()
            .await?
            .query_opt("select body, state from notifications where id = $1", &[&id.0])
            .await?;
        row.as_ref().map(notification).transpose()
    }

    /// Returns the notifications of an incident, oldest first.
    pub async fn notifications(
        &self,
        id: IncidentId,
    ) -> Result<Vec<(Notification, NotificationState)>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select body, state from notifications where incident_id = $1 order by created_at, \
                 array_position(array['opened', 'root_cause', 'plan', 'resolved', 'postmortem'], kind)",
                &[&id.0],
            )
            .await?;
        rows.iter().map(notification).collect()
    }

    /// Returns the service catalogue as it was last seeded; empty if it never was.
    pub async fn catalogue(&self) -> Result<Catalogue, Error> {
        let client = self.client().await?;
        read_catalogue(&**client).await
    }

    /// Returns what a step of an event gave, if it has succeeded before.
    #[cfg(feature = "stage")]
    pub(crate) async fn step(
        &self,
        consumer: &str,
        event: EventId,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let row = self
            .client()
            .await?
            .query_opt(
                "select result from steps where consumer = $1 and event_id = $2 and name = $3",
                &[&consumer, &event.0, &name],
            )
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Keeps what a step gave. The first result stays.
    #[cfg(feature = "stage")]
    pub(crate) async fn remember_step(
        &self,
        consumer: &str,
        event: EventId,
        name: &str,
        result: &Value,
    ) -> Result<(), Error> {
        self.client()
            .await?
            .execute(
                "insert into steps (consumer, event_id, name, result) values ($1, $2, $3, $4) on conflict do nothing",
                &[&consumer, &event.0, &name, result],
            )
            .await?;
        Ok(())
    }

    /// Tells whether a consumer has handled an event.
    #[cfg(feature = "stage")]
    pub(crate) async fn is_processed(&self, consumer: &str, event: EventId) -> Result<bool, Error> {
        let row = self
            .client()
            .await?
            .query_opt(
                "select 1 from processed_events where consumer = $1 and event_id = $2",
                &[&consumer, &event.0],
            )
            .await?;
        Ok(row.is_some())
    }
}

async fn read_catalogue<C: tokio_postgres::GenericClient + Sync>(client: &C) -> Result<Catalogue, Error> {
    let rows = client.query("select body from catalogue_services order by name", &[]).await?;
    Ok(Catalogue::new(rows.into_iter().map(|row| row.get::<_, Json<Service>>(0).0)))
}

fn notification(row: &tokio_postgres::Row) -> Result<(Notification, NotificationState), Error> {
    let state: String = row.get(1);
    Ok((serde_json::from_value(row.get(0))?, serde_json::from_value(Value::String(state))?))
}
