//! Journal of steps and inbox: what has been done for an event.

use serde_json::Value;

use super::prepared::query_opt;
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

    /// Returns whether a consumer has handled an event.
    pub(crate) async fn is_processed(&self, consumer: &str, event: EventId) -> Result<bool, Error> {
        let client = self.client().await?;
        let statement = "select 1 from processed_events where consumer = $1 and event_id = $2";
        Ok(query_opt(&client, statement, &[&consumer, &event.0]).await?.is_some())
    }
}
