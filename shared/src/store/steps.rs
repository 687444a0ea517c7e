//! Journal of steps and inbox: what has been done for an event.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::prepared::{query, query_opt};
use super::{Error, Store, row};
use crate::ids::EventId;

impl Store {
    /// Returns what a step of an event gave, if it has succeeded before.
    pub(crate) async fn step(
        &self,
        consumer: &str,
        event: EventId,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let client = self.client().await?;
        let statement =
            "select event_id, result from steps where consumer = $1 and event_id = $2 and name = $3";
        let found = client.query_opt(statement, &[&consumer, &event.0, &name]).await?;
        found.map(|found| row::value(&found, "steps", 1)).transpose()
    }

    /// Keeps what a step gave. The first result stays.
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

    /// Returns those events that a consumer has handled.
    pub(crate) async fn processed(
        &self,
        consumer: &str,
        events: &[EventId],
    ) -> Result<BTreeSet<EventId>, Error> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.0).collect();
        let statement = "select event_id from processed_events where consumer = $1 and event_id = any ($2)";
        let rows = query(&self.client().await?, statement, &[&consumer, &ids]).await?;
        rows.iter().map(|found| row::value(found, "processed_events", 0).map(EventId)).collect()
    }

    /// Returns whether a consumer has handled an event.
    pub(crate) async fn is_processed(&self, consumer: &str, event: EventId) -> Result<bool, Error> {
        let client = self.client().await?;
        let statement = "select 1 from processed_events where consumer = $1 and event_id = $2";
        Ok(query_opt(&client, statement, &[&consumer, &event.0]).await?.is_some())
    }
}
