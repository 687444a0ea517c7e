//! What only the runtime may do in production, for tests and for the programs that run them.

pub mod foreign;

use std::sync::Arc;

use deadpool_postgres::Object;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::agent::Agent;
use crate::bus::Producer;
use crate::clock::{Clock, SystemClock};
use crate::effects::Effects;
use crate::ids::EventId;
use crate::stage::Context;
use crate::store::apply::{Applied, Cause, Decided};
use crate::store::outbox::{self, RelayError};
use crate::store::retention::{Options, Remover, Turn};
use crate::store::{Error, Store};

/// Returns a connection to the database.
pub async fn client(store: &Store) -> Result<Object, Error> {
    store.client().await
}

/// Brings the schema up to date.
pub async fn migrate(store: &Store) -> Result<(), Error> {
    store.migrate().await
}

/// Applies effects as the runtime does for `stage`.
pub async fn apply(
    store: &Store,
    stage: &str,
    cause: Cause<'_>,
    effects: &Effects,
) -> Result<Applied, Error> {
    store.apply(stage, cause, None, effects).await
}

/// Applies the effects of several events as the runtime does for `stage`: in one transaction.
pub async fn apply_all(store: &Store, stage: &str, decided: &[(EventId, Effects)]) -> Result<Applied, Error> {
    let decided: Vec<Decided<'_>> = decided
        .iter()
        .map(|(event, effects)| Decided {
            cause: Cause::Event(*event),
            traceparent: None,
            effects,
            span: Span::none(),
        })
        .collect();
    store.apply_all(stage, &decided).await
}

/// Returns what a decision of `stage` on an event may know besides it.
pub fn context(store: &Store, stage: Agent, event_id: EventId, clock: Arc<dyn Clock>) -> Context {
    Context {
        event_id,
        traceparent: None,
        store: store.reads().clone(),
        journal: store.clone(),
        stage,
        clock,
    }
}

/// Publishes what waits in the outbox of `stage`.
pub async fn relay(store: &Store, stage: &str, producer: &Producer) -> Result<outbox::Turn, RelayError> {
    store.relay(stage, producer).await
}

/// Returns how many rows of `stage` wait to be published.
pub async fn outbox_depth(store: &Store, stage: &str) -> Result<i64, Error> {
    Ok(store.reads().backlog(Some(stage), &SystemClock).await?.outbox_rows)
}

/// Removes what is old or too much, as agents do once an hour, with what is set from the start.
pub async fn remove_old(store: &Store) -> Result<Turn, Error> {
    let (options, stop) = (Options::default(), CancellationToken::new());
    store.remove_old(Remover { options: &options, stop: &stop, tries: 0 }, |_, _| {}).await
}
