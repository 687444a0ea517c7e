//! The schema a replay works in: made for one run, in the same database, and gone with it.

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::Error;
use crate::clock::{Clock as _, SystemClock};
use crate::store::{self, Store, row};

/// What the names of all scratch schemas begin with.
pub const PREFIX: &str = "firewatch_replay_";
/// Namespace of the advisory locks that tell a schema in use from an abandoned one.
const LOCKS: &str = "firewatch_replay";
/// What the comment of a schema says that is to stay.
const KEPT: &str = "kept";
/// Longest time one statement may take, milliseconds: some copy whole tables.
const STATEMENT_TIMEOUT_MS: u64 = 120_000;
/// Connections of a replay: one holds the lock, one pages through the steps, one works.
const CONNECTIONS: usize = 4;

/// Tables of a replay, beside those of Firewatch.
const TABLES: &str = "\
    create table replay_steps ( \
        moment timestamptz not null, rank smallint not null, topic text not null, partition int not null, \
        position bigint not null, at timestamptz not null, id uuid, kind text, traceparent text, payload bytea); \
    create table replay_outputs ( \
        seq bigint generated always as identity, side text not null, topic text not null, id text not null, \
        subject text not null, at timestamptz not null, body bytea not null, unique (side, topic, id)); \
    create table replay_incidents ( \
        incident_id uuid primary key, unchanged boolean not null, opened timestamptz not null, told timestamptz); \
    create table replay_notifications (id uuid primary key, written timestamptz not null);";

/// A scratch schema with Firewatch's tables in it, all empty.
pub(super) struct Scratch {
    /// The schema, opened as a stage opens its own.
    pub(super) store: Store,
    /// Schema of production, quoted.
    pub(super) production: String,
    /// Its name.
    pub(super) schema: String,
    /// Its end, whichever way, ends the lock.
    lock: Object,
}

impl Scratch {
    /// Makes a schema; removes what runs that were killed have left behind.
    pub(super) async fn create(production: &store::Options) -> Result<Self, Error> {
        // refuses a schema whose name would not be safe below
        Store::new(production, LOCKS)?;
        let stamp = SystemClock.now().as_microsecond();
        let schema = format!("{PREFIX}{}_{stamp}", std::process::id());
        let options = store::Options {
            schema: schema.clone(),
            max_connections: CONNECTIONS,
            statement_timeout_ms: STATEMENT_TIMEOUT_MS,
            ..production.clone()
        };
        let store = Store::new(&options, &schema)?;
        let lock = store.client().await.map_err(Error::Store)?;
        let production = format!("\"{}\"", production.schema);
        check(&lock, &production).await?;
        remove_abandoned(&lock).await?;
        // before there is a schema, so that nobody takes it for an abandoned one
        lock.query_one("select pg_advisory_lock(hashtext($1), hashtext($2))", &[&LOCKS, &schema]).await?;
        let scratch = Self { store, production, schema, lock };
        match scratch.furnish().await {
            Ok(()) => Ok(scratch),
            Err(error) => {
                // the next replay removes what cannot be removed now
                let _ = scratch.remove().await;
                Err(error)
            }
        }
    }

    async fn furnish(&self) -> Result<(), Error> {
        self.store.migrate().await?;
        self.lock.batch_execute(TABLES).await?;
        let version = |schema: &str| format!("select max(version) from {schema}.refinery_schema_history");
        let theirs: Option<i32> = row::first(&self.lock.query_one(&version(&self.production), &[]).await?)?;
        let ours: Option<i32> = row::first(&self.lock.query_one(&version(&self.schema), &[]).await?)?;
        if theirs == ours { Ok(()) } else { Err(Error::OtherVersion { theirs, ours }) }
    }

    /// Stores an output of one side, `then` (production) or `now` (the replay); the first of one id counts.
    pub(super) async fn output(
        &self,
        side: &str,
        topic: &str,
        id: &str,
        subject: &str,
        at: Timestamp,
        body: &[u8],
    ) -> Result<(), store::Error> {
        self.store
            .client()
            .await?
            .execute(
                "insert into replay_outputs (side, topic, id, subject, at, body) \
                 values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                &[&side, &topic, &id, &subject, &at, &body],
            )
            .await?;
        Ok(())
    }

    /// Removes the schema.
    pub(super) async fn remove(self) -> Result<(), Error> {
        self.lock.batch_execute(&format!("drop schema if exists {} cascade", self.schema)).await?;
        self.close();
        Ok(())
    }

    /// Leaves the schema for people to look at, and returns its name.
    pub(super) async fn keep(self) -> Result<String, Error> {
        self.lock.batch_execute(&format!("comment on schema {} is '{KEPT}'", self.schema)).await?;
        let schema = self.schema.clone();
        self.close();
        Ok(schema)
    }

    fn close(self) {
        // a session's lock goes with its connection
        drop(Object::take(self.lock));
    }
}

/// Returns whether production has Firewatch's tables.
async fn check(client: &Object, production: &str) -> Result<(), Error> {
    let table = format!("{production}.refinery_schema_history");
    let found = client.query_one("select to_regclass($1) is not null", &[&table]).await?;
    if row::first(&found)? { Ok(()) } else { Err(Error::NothingThere) }
}

/// Removes scratch schemas that no process holds and nobody wanted to keep.
async fn remove_abandoned(client: &Object) -> Result<(), Error> {
    let rows = client
        .query(
            "select nspname::text from pg_namespace where starts_with(nspname, $1) \
             and obj_description(oid, 'pg_namespace') is distinct from $2",
            &[&PREFIX, &KEPT],
        )
        .await?;
    for found in rows {
        let schema: String = row::first(&found)?;
        let locks: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&LOCKS, &schema];
        let lock = "select pg_try_advisory_lock(hashtext($1), hashtext($2))";
        if row::first(&client.query_one(lock, &locks).await?)? {
            let dropped = client.batch_execute(&format!("drop schema if exists \"{schema}\" cascade")).await;
            client.query_one("select pg_advisory_unlock(hashtext($1), hashtext($2))", &locks).await?;
            dropped?;
        }
    }
    Ok(())
}
