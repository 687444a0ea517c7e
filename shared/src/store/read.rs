//! What stages, the command line and the dashboard read.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::Json;

use super::prepared::{query, query_opt};
use super::write::{ArtifactKind, Notification, NotificationState};
use super::{Error, Store, context};
use crate::catalogue::{Catalogue, Service};
use crate::events::anomaly::Context;
use crate::events::incident::Signal;
use crate::events::{Deployment, Incident};
use crate::graph::Graph;
use crate::ids::{AnomalyId, EventId, IncidentId};

/// Members of open incidents that are looked at together. Of more, those are left out that are not firing, then those
/// that were heard of least lately.
pub const MAX_MEMBERS: usize = 5_000;
/// Abnormal signals of no open incident that are looked at together; more than this many are a storm, and the oldest
/// are left out.
const MAX_LOOSE_SIGNALS: i64 = 500;
/// Members of one incident that are read with everything they carry; of more, the strongest.
const MAX_SIGNALS_OF: i64 = 200;

const SIGNALS: &str = "\
    (select body, incident_id from signals where incident_id in (select incident_id from incidents \
        where environment = $1 and state not in ('resolved', 'closed')) \
     order by status = 'firing' desc, observed_at desc, anomaly_id limit $3) \
    union all \
    (select body, incident_id from signals where environment = $1 and status <> 'cleared' and \
        (incident_id is null or incident_id in (select incident_id from incidents \
            where environment = $1 and state in ('resolved', 'closed'))) \
     order by started_at desc, anomaly_id limit $2)";
const INCIDENTS: &str = "select body from incidents \
    where environment = $1 and state not in ('resolved', 'closed') order by number";
const PAST: &str = "select body from incidents where environment = $1 and state in ('resolved', 'closed') \
     and resolved_at >= $2 order by resolved_at desc, number desc limit 50";
const CATALOGUE: &str = "select body from catalogue_services order by name";
const EDGES: &str =
    "select caller, callee from edges where environment = $1 and last_seen >= $2 order by 1, 2";
const DEPLOYMENTS: &str =
    "select body from deployments where environment = $1 and at >= $2 order by at desc limit 200";

/// Everything a grouping decision in one environment rests on, as of one version.
#[derive(Debug, Clone)]
pub struct Neighbourhood {
    /// Version to commit against.
    pub version: i64,
    /// Members of open incidents (at most [`MAX_MEMBERS`]), and what else is abnormal, with the incident it belongs or
    /// belonged to; without samples, siblings and logs.
    pub signals: Vec<(Signal, Option<IncidentId>)>,
    /// Open incidents, oldest first; their signals without samples, siblings and logs.
    pub incidents: Vec<Incident>,
    /// What is known of the services.
    pub catalogue: Catalogue,
    /// Who calls whom: catalogue and spans together.
    pub graph: Graph,
    /// Changes at or after the asked-for time, newest first.
    pub deployments: Vec<Deployment>,
    /// Incidents that are over, where they were asked for: see [`Store::past`].
    pub past: Vec<Incident>,
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
        // one snapshot, so that the reads belong to that version
        let snapshot = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let version =
            query_opt(&snapshot, "select version from neighbourhoods where scope = $1", &[&environment])
                .await?;
        let signals =
            query(&snapshot, SIGNALS, &[&environment, &MAX_LOOSE_SIGNALS, &(MAX_MEMBERS as i64)]).await?;
        let incidents = query(&snapshot, INCIDENTS, &[&environment]).await?;
        let catalogue = query(&snapshot, CATALOGUE, &[]).await?;
        let edges = query(&snapshot, EDGES, &[&environment, &edges_since]).await?;
        let deployments = query(&snapshot, DEPLOYMENTS, &[&environment, &since]).await?;
        snapshot.commit().await?;
        if version.is_none() {
            let first = "insert into neighbourhoods (scope) values ($1) on conflict do nothing";
            client.execute(first, &[&environment]).await?;
        }
        let catalogue = catalogue_of(&catalogue);
        let graph = graph_of(&catalogue, &edges);
        Ok(Neighbourhood {
            version: version.map_or(0, |row| row.get(0)),
            signals: signals.iter().map(member).collect(),
            incidents: incidents.iter().map(|row| row.get::<_, Json<Incident>>(0).0).collect(),
            catalogue,
            graph,
            deployments: deployments.iter().map(|row| row.get::<_, Json<Deployment>>(0).0).collect(),
            past: Vec::new(),
        })
    }

    /// Returns the incidents of an environment that were over at `since` or later, the last one first; of many, the last
    /// 50. Their signals are without samples, siblings and logs.
    pub async fn past(&self, environment: &str, since: Timestamp) -> Result<Vec<Incident>, Error> {
        let rows = query(&self.client().await?, PAST, &[&environment, &since]).await?;
        Ok(rows.into_iter().map(|row| row.get::<_, Json<Incident>>(0).0).collect())
    }

    /// Returns an incident as it stands.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        let client = self.client().await?;
        let row = client.query_opt("select body from incidents where incident_id = $1", &[&id.0]).await?;
        with_context(&**client, row).await
    }

    /// Returns the incident with that number.
    pub async fn incident_by_number(&self, number: i64) -> Result<Option<Incident>, Error> {
        let client = self.client().await?;
        let row = client.query_opt("select body from incidents where number = $1", &[&number]).await?;
        with_context(&**client, row).await
    }

    /// Returns incidents, newest first; their signals without samples, siblings and logs.
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

    /// Returns a signal with everything it carries, and the incident it belongs or belonged to.
    pub async fn signal(&self, id: AnomalyId) -> Result<Option<(Signal, Option<IncidentId>)>, Error> {
        let client = self.client().await?;
        let statement = "select body, incident_id, context from signals where anomaly_id = $1";
        let row = query_opt(&client, statement, &[&id.0]).await?;
        Ok(row.map(|row| {
            let (mut signal, incident) = member(&row);
            context::put(&mut signal, row.get::<_, Json<Context>>(2).0);
            (signal, incident)
        }))
    }

    /// Returns the members of an incident as they stand, with everything they carry: all of them, or the 200 strongest;
    /// by the time they began.
    pub async fn signals_of(&self, id: IncidentId) -> Result<Vec<Signal>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select body, context from (select * from signals where incident_id = $1 \
                    order by (body ->> 'evidence')::float8 desc, started_at, anomaly_id limit $2) strongest \
                 order by started_at, anomaly_id",
                &[&id.0, &MAX_SIGNALS_OF],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let mut signal = row.get::<_, Json<Signal>>(0).0;
                context::put(&mut signal, row.get::<_, Json<Context>>(1).0);
                signal
            })
            .collect())
    }

    /// Returns the service graph of an environment: catalogue and spans seen since `edges_since`.
    pub async fn graph(&self, environment: &str, edges_since: Timestamp) -> Result<Graph, Error> {
        let client = self.client().await?;
        let catalogue = read_catalogue(&**client).await?;
        Ok(graph_of(&catalogue, &client.query(EDGES, &[&environment, &edges_since]).await?))
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
                 array_position(array['opened', 'root_cause', 'plan', 'resolved', 'postmortem'], kind), channel",
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
        let client = self.client().await?;
        let statement = "select 1 from processed_events where consumer = $1 and event_id = $2";
        Ok(query_opt(&client, statement, &[&consumer, &event.0]).await?.is_some())
    }
}

/// Returns what the catalogue and the rows of [`EDGES`] say together.
fn graph_of(catalogue: &Catalogue, edges: &[tokio_postgres::Row]) -> Graph {
    let mut graph = catalogue.graph();
    for edge in edges {
        graph.add_edge(edge.get(0), edge.get(1));
    }
    graph
}

fn member(row: &tokio_postgres::Row) -> (Signal, Option<IncidentId>) {
    (row.get::<_, Json<Signal>>(0).0, row.get::<_, Option<uuid::Uuid>>(1).map(IncidentId))
}

async fn with_context<C: tokio_postgres::GenericClient + Sync>(
    client: &C,
    row: Option<tokio_postgres::Row>,
) -> Result<Option<Incident>, Error> {
    let Some(row) = row else { return Ok(None) };
    let mut incident = row.get::<_, Json<Incident>>(0).0;
    context::attach(client, &mut incident).await?;
    Ok(Some(incident))
}

async fn read_catalogue<C: tokio_postgres::GenericClient + Sync>(client: &C) -> Result<Catalogue, Error> {
    Ok(catalogue_of(&client.query(CATALOGUE, &[]).await?))
}

fn catalogue_of(rows: &[tokio_postgres::Row]) -> Catalogue {
    Catalogue::new(rows.iter().map(|row| row.get::<_, Json<Service>>(0).0))
}

fn notification(row: &tokio_postgres::Row) -> Result<(Notification, NotificationState), Error> {
    let state: String = row.get(1);
    Ok((serde_json::from_value(row.get(0))?, serde_json::from_value(Value::String(state))?))
}
