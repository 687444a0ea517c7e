//! What stages, the command line and the dashboard read.

use deadpool_postgres::{GenericClient, Object, Transaction};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::edges::{EDGES, graph_of};
use super::prepared::{query, query_opt};
use super::write::ArtifactKind;
use super::{Error, Reads, context, row};
use crate::catalogue::{Catalogue, Service};
use crate::events::incident::Signal;
use crate::events::{Deployment, EvidenceRecord, Incident};
use crate::graph::Graph;
use crate::ids::{AnomalyId, EvidenceId, IncidentId};

/// Members of open incidents that are looked at together. Of more, those are left out that are not firing, then those
/// that were heard of least lately.
pub const MAX_MEMBERS: usize = 5_000;
/// Abnormal signals of no open incident that are looked at together; more than this many are a storm, and the oldest
/// are left out.
pub const MAX_LOOSE_SIGNALS: usize = 500;
/// Members of one incident that are read with everything they carry; of more, the strongest.
const MAX_SIGNALS_OF: i64 = 200;

const SIGNALS: &str = "\
    (select anomaly_id, body, incident_id from signals where incident_id in (select incident_id from incidents \
        where environment = $1 and state not in ('resolved', 'closed')) \
     order by status = 'firing' desc, observed_at desc, anomaly_id limit $3) \
    union all \
    (select anomaly_id, body, incident_id from signals where environment = $1 and status <> 'cleared' and \
        (incident_id is null or incident_id in (select incident_id from incidents \
            where environment = $1 and state in ('resolved', 'closed'))) \
     order by started_at desc, anomaly_id limit $2)";
const INCIDENTS: &str = "select incident_id, body from incidents \
    where environment = $1 and state not in ('resolved', 'closed') order by number";
const PAST: &str = "select incident_id, body from incidents where environment = $1 and state in ('resolved', 'closed') \
     and resolved_at >= $2 order by resolved_at desc, number desc limit 50";
pub(super) const CATALOGUE: &str = "select name, body from catalogue_services order by name";
const DEPLOYMENTS: &str = "select service || ' ' || version, body from deployments where environment = $1 and at >= $2 order by at desc limit 200";
/// Most changes that are read at once.
pub const MAX_DEPLOYMENTS: usize = 200;

/// Everything a grouping decision in one environment rests on, as of one version.
#[derive(Debug, Clone)]
pub struct Neighbourhood {
    /// Version to commit against.
    pub version: i64,
    /// Members of open incidents (at most [`MAX_MEMBERS`]), and what else is abnormal, with the incident it belongs or
    /// belonged to; without samples, siblings and logs.
    pub signals: Vec<(Arc<Signal>, Option<IncidentId>)>,
    /// Open incidents, oldest first; their signals without samples, siblings and logs.
    pub incidents: Vec<Incident>,
    /// What is known of the services.
    pub catalogue: Catalogue,
    /// Who calls whom: catalogue and spans together.
    pub graph: Graph,
    /// Changes at or after the asked-for time, newest first.
    pub deployments: Vec<Deployment>,
    /// Incidents that are over, where they were asked for: see [`Reads::past`].
    pub past: Vec<Incident>,
}

/// A page of a list of incidents.
#[derive(Debug, Clone)]
pub struct Page {
    /// Incidents by descending number.
    pub incidents: Vec<Incident>,
    /// Rows of the page that could not be read.
    pub unreadable: usize,
}

/// Which incidents are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incidents {
    /// All.
    All,
    /// Those that are neither resolved nor closed.
    Open,
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

/// Begins reads that see one state of the database.
pub(super) async fn snapshot(client: &mut Object) -> Result<Transaction<'_>, Error> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(snapshot.start().await?)
}

/// Returns the version of a scope. One without a row is at version 0; the first decision that is applied writes the row.
async fn version<C: GenericClient>(client: &C, scope: &str) -> Result<i64, Error> {
    let statement = "select scope, version from neighbourhoods where scope = $1";
    let found = query_opt(client, statement, &[&scope]).await?;
    found.map_or(Ok(0), |found| row::value(&found, "neighbourhoods", 1))
}

/// Reads what is known of an environment besides its signals and incidents.
async fn surroundings<C: GenericClient>(
    client: &C,
    environment: &str,
    since: Timestamp,
    edges_since: Timestamp,
) -> Result<(Catalogue, Graph, Vec<Deployment>), Error> {
    let catalogue = query(client, CATALOGUE, &[]).await?;
    let edges = query(client, EDGES, &[&environment, &edges_since]).await?;
    let deployments = query(client, DEPLOYMENTS, &[&environment, &since]).await?;
    let catalogue = catalogue_of(&catalogue);
    let graph = graph_of(&catalogue, &edges);
    Ok((catalogue, graph, row::readable(&deployments, |found| row::document(found, "deployments", 1))))
}

impl Reads {
    /// Reads what a grouping decision in `environment` rests on: changes since `since`, edges seen since `edges_since`.
    pub async fn neighbourhood(
        &self,
        environment: &str,
        since: Timestamp,
        edges_since: Timestamp,
    ) -> Result<Neighbourhood, Error> {
        let mut client = self.client().await?;
        // one snapshot, so that the reads belong to that version
        let snapshot = snapshot(&mut client).await?;
        let version = version(&snapshot, environment).await?;
        let signals =
            query(&snapshot, SIGNALS, &[&environment, &(MAX_LOOSE_SIGNALS as i64), &(MAX_MEMBERS as i64)])
                .await?;
        let incidents = query(&snapshot, INCIDENTS, &[&environment]).await?;
        let (catalogue, graph, deployments) =
            surroundings(&snapshot, environment, since, edges_since).await?;
        snapshot.commit().await?;
        Ok(Neighbourhood {
            version,
            signals: row::readable(&signals, |found| {
                member(found).map(|(signal, of)| (Arc::new(signal), of))
            }),
            incidents: row::readable(&incidents, incident),
            catalogue,
            graph,
            deployments,
            past: Vec::new(),
        })
    }

    /// Brings up to date what a neighbourhood of an earlier decision holds besides signals and incidents. Returns whether it
    /// still stands: none of its signals and incidents has changed.
    pub async fn refresh(
        &self,
        neighbourhood: &mut Neighbourhood,
        environment: &str,
        since: Timestamp,
        edges_since: Timestamp,
    ) -> Result<bool, Error> {
        let client = self.client().await?;
        if version(&client, environment).await? != neighbourhood.version {
            return Ok(false);
        }
        (neighbourhood.catalogue, neighbourhood.graph, neighbourhood.deployments) =
            surroundings(&client, environment, since, edges_since).await?;
        // an incident gets its number as it is written
        let unnumbered = neighbourhood.incidents.iter_mut().filter(|incident| incident.number == 0);
        for opened in unnumbered {
            let statement = "select incident_id, number from incidents where incident_id = $1";
            let Some(found) = query_opt(&client, statement, &[&opened.incident_id.0]).await? else {
                return Ok(false);
            };
            opened.number = row::value(&found, "incidents", 1)?;
        }
        Ok(true)
    }

    /// Returns the incidents of an environment that were over at `since` or later, the last one first; of many, the last
    /// 50. Their signals are without samples, siblings and logs.
    pub async fn past(&self, environment: &str, since: Timestamp) -> Result<Vec<Incident>, Error> {
        let rows = query(&self.client().await?, PAST, &[&environment, &since]).await?;
        Ok(row::readable(&rows, incident))
    }

    /// Returns an incident as it stands.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        let client = self.client().await?;
        let row = client
            .query_opt("select incident_id, body from incidents where incident_id = $1", &[&id.0])
            .await?;
        with_context(&**client, row).await
    }

    /// Returns those of the incidents that exist, by their ids. Their signals are without samples, siblings and logs.
    pub async fn incidents_by_id(&self, ids: &[IncidentId]) -> Result<Vec<Incident>, Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let statement =
            "select incident_id, body from incidents where incident_id = any ($1) order by incident_id";
        let rows = query(&self.client().await?, statement, &[&ids]).await?;
        rows.iter().map(incident).collect()
    }

    /// Returns the incident with that number.
    pub async fn incident_by_number(&self, number: i64) -> Result<Option<Incident>, Error> {
        let client = self.client().await?;
        let row =
            client.query_opt("select incident_id, body from incidents where number = $1", &[&number]).await?;
        with_context(&**client, row).await
    }

    /// Returns incidents by descending number, at most `limit`; with `before`, those with a smaller number, so that the last
    /// number of one page begins the next. Their signals are without samples, siblings and logs. Rows that cannot be read
    /// are left out and counted.
    pub async fn incidents(&self, which: Incidents, before: Option<i64>, limit: i64) -> Result<Page, Error> {
        let statement = "select incident_id, body from incidents \
             where (not $1 or state not in ('resolved', 'closed')) and number < $2 \
             order by number desc limit $3";
        let (open_only, before) = (which == Incidents::Open, before.unwrap_or(i64::MAX));
        let rows = self.client().await?.query(statement, &[&open_only, &before, &limit]).await?;
        let incidents = row::readable(&rows, incident);
        Ok(Page { unreadable: rows.len() - incidents.len(), incidents })
    }

    /// Returns those of the signals that are known, each with everything it carries and the incident it belongs or belonged to.
    pub async fn signals(&self, ids: &[AnomalyId]) -> Result<Vec<(Arc<Signal>, Option<IncidentId>)>, Error> {
        let client = self.client().await?;
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        let statement = "select anomaly_id, body, incident_id, context from signals where anomaly_id = any ($1) order by 1";
        let read = |found: &Row| whole_member(found).map(|(signal, incident)| (Arc::new(signal), incident));
        query(&client, statement, &[&ids]).await?.iter().map(read).collect()
    }

    /// Returns the members of an incident as they stand, with everything they carry: all of them, or the 200 strongest;
    /// by the time they began.
    pub async fn signals_of(&self, id: IncidentId) -> Result<Vec<Signal>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select anomaly_id, body, context from (select * from signals where incident_id = $1 \
                    order by (body ->> 'evidence')::float8 desc, started_at, anomaly_id limit $2) strongest \
                 order by started_at, anomaly_id",
                &[&id.0, &MAX_SIGNALS_OF],
            )
            .await?;
        rows.iter()
            .map(|found| {
                let mut signal = row::document(found, "signals", 1)?;
                context::put(&mut signal, row::document(found, "signals", 2)?);
                Ok(signal)
            })
            .collect()
    }

    /// Returns the signals of an environment that were abnormal at some time from `from` to `to`, as they stand now, each with
    /// everything it carries and the incident it belongs or belonged to; of many the 500 strongest; by the time they began.
    pub async fn signals_between(
        &self,
        environment: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Signal, Option<IncidentId>)>, Error> {
        let statement = "select anomaly_id, body, incident_id, context from (select * from signals \
                where environment = $1 and started_at <= $3 and (status <> 'cleared' or observed_at >= $2) \
                order by (body ->> 'evidence')::float8 desc, anomaly_id limit $4) strongest \
             order by started_at, anomaly_id";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&environment, &from, &to, &(MAX_LOOSE_SIGNALS as i64)];
        let rows = self.client().await?.query(statement, &values).await?;
        Ok(row::readable(&rows, whole_member))
    }

    /// Returns whether a signal of a service is stored, of any time.
    pub async fn has_signals(&self, environment: &str, service: &str) -> Result<bool, Error> {
        let statement = "select anomaly_id from signals where environment = $1 and service = $2 limit 1";
        Ok(self.client().await?.query_opt(statement, &[&environment, &service]).await?.is_some())
    }

    /// Returns the service graph of an environment: catalogue and spans seen since `edges_since`.
    pub async fn graph(&self, environment: &str, edges_since: Timestamp) -> Result<Graph, Error> {
        let client = self.client().await?;
        let catalogue = read_catalogue(&**client).await?;
        Ok(graph_of(&catalogue, &client.query(EDGES, &[&environment, &edges_since]).await?))
    }

    /// Returns changes in an environment at or after `since`, newest first, at most [`MAX_DEPLOYMENTS`].
    pub async fn deployments(&self, environment: &str, since: Timestamp) -> Result<Vec<Deployment>, Error> {
        let rows = self.client().await?.query(DEPLOYMENTS, &[&environment, &since]).await?;
        Ok(row::readable(&rows, |found| row::document(found, "deployments", 1)))
    }

    /// Returns the changes of a service within a time, oldest first; of very many the last 50.
    pub async fn changes_between(
        &self,
        environment: &str,
        service: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Deployment>, Error> {
        let statement = "select service || ' ' || version, body from deployments where environment = $1 and service = $2 and at between $3 and $4 \
                         order by at desc limit 50";
        let rows = self.client().await?.query(statement, &[&environment, &service, &from, &to]).await?;
        let mut changes: Vec<Deployment> =
            row::readable(&rows, |found| row::document(found, "deployments", 1));
        changes.reverse();
        Ok(changes)
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
                "select incident_id, body from artifacts where incident_id = $1 and kind = $2 order by revision desc limit 1",
                &[&id.0, &kind.name()],
            )
            .await?;
        row.map(|found| row::document(&found, "artifacts", 1)).transpose()
    }

    /// Returns a record of evidence.
    pub async fn evidence(&self, id: EvidenceId) -> Result<Option<EvidenceRecord>, Error> {
        let statement = "select id, incident_id, source, excerpt, content from evidence where id = $1";
        let row = self.client().await?.query_opt(statement, &[&id.0]).await?;
        row.as_ref().map(evidence).transpose()
    }

    /// Returns what was read for the last investigation of an incident, by source; records that cannot be read are left out.
    pub async fn evidence_of(&self, id: IncidentId) -> Result<Vec<EvidenceRecord>, Error> {
        let statement = "select id, incident_id, source, excerpt, content from evidence where incident_id = $1 \
             and revision = (select max(revision) from evidence where incident_id = $1) order by source::text, id";
        let rows = self.client().await?.query(statement, &[&id.0]).await?;
        Ok(row::readable(&rows, evidence))
    }

    /// Returns the audit trail of an incident, in event time.
    pub async fn timeline(&self, id: IncidentId) -> Result<Vec<TimelineEntry>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                "select id, at, actor, action, summary, detail from audit where incident_id = $1 order by at, id limit 2000",
                &[&id.0],
            )
            .await?;
        rows.iter().map(timeline_entry).collect()
    }

    /// Returns the service catalogue as it was last seeded; empty if it never was.
    pub async fn catalogue(&self) -> Result<Catalogue, Error> {
        let client = self.client().await?;
        read_catalogue(&**client).await
    }
}

fn incident(found: &Row) -> Result<Incident, Error> {
    row::document(found, "incidents", 1)
}

/// Reads a row of [`SIGNALS`].
fn member(found: &Row) -> Result<(Signal, Option<IncidentId>), Error> {
    let incident: Option<uuid::Uuid> = row::value(found, "signals", 2)?;
    Ok((row::document(found, "signals", 1)?, incident.map(IncidentId)))
}

/// Reads a row of a member with its context in the fourth column.
fn whole_member(found: &Row) -> Result<(Signal, Option<IncidentId>), Error> {
    let (mut signal, incident) = member(found)?;
    context::put(&mut signal, row::document(found, "signals", 3)?);
    Ok((signal, incident))
}

fn evidence(found: &Row) -> Result<EvidenceRecord, Error> {
    const TABLE: &str = "evidence";
    Ok(EvidenceRecord {
        id: EvidenceId(row::value(found, TABLE, 0)?),
        incident_id: IncidentId(row::value(found, TABLE, 1)?),
        source: row::document(found, TABLE, 2)?,
        excerpt: row::value(found, TABLE, 3)?,
        content: row::document(found, TABLE, 4)?,
    })
}

fn timeline_entry(found: &Row) -> Result<TimelineEntry, Error> {
    Ok(TimelineEntry {
        at: row::value(found, "audit", 1)?,
        actor: row::value(found, "audit", 2)?,
        action: row::value(found, "audit", 3)?,
        summary: row::value(found, "audit", 4)?,
        detail: row::value(found, "audit", 5)?,
    })
}

async fn with_context<C: tokio_postgres::GenericClient + Sync>(
    client: &C,
    found: Option<Row>,
) -> Result<Option<Incident>, Error> {
    let Some(found) = found else { return Ok(None) };
    let mut incident = incident(&found)?;
    context::attach(client, &mut incident, &context::Contexts::new()).await?;
    Ok(Some(incident))
}

async fn read_catalogue<C: tokio_postgres::GenericClient + Sync>(client: &C) -> Result<Catalogue, Error> {
    Ok(catalogue_of(&client.query(CATALOGUE, &[]).await?))
}

/// Reads the rows of [`CATALOGUE`].
pub(super) fn catalogue_of(rows: &[Row]) -> Catalogue {
    let service = |found: &Row| row::document::<Service>(found, "catalogue_services", 1);
    Catalogue::new(row::readable(rows, service))
}
