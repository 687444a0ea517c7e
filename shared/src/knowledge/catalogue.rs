//! Writes the service catalogue; [`Reads::catalogue`](crate::store::Reads::catalogue) reads it.

use tokio_postgres::types::Json;

use crate::catalogue::{Catalogue, Service};
use crate::store::{Error, Store};

/// Brings the schema up to date before the first agent has run.
pub async fn prepare(store: &Store) -> Result<(), Error> {
    store.migrate().await
}

/// What a new catalogue has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Services that are as they were.
    pub unchanged: usize,
    /// Services that were written.
    pub written: usize,
    /// Services that are gone.
    pub removed: usize,
}

/// Makes the catalogue in the store equal to `catalogue`.
pub async fn replace(store: &Store, catalogue: &Catalogue) -> Result<Change, Error> {
    let mut client = store.client().await?;
    let transaction = client.transaction().await?;
    let mut change = Change::default();
    for service in catalogue.services() {
        let written = transaction
            .execute(
                "insert into catalogue_services (name, body) values ($1, $2)
                 on conflict (name) do update set body = excluded.body
                 where catalogue_services.body <> excluded.body",
                &[&service.name, &Json(service)],
            )
            .await?;
        if written == 0 { change.unchanged += 1 } else { change.written += 1 }
    }
    let names: Vec<&str> = catalogue.services().map(|service: &Service| &*service.name).collect();
    let removed =
        transaction.execute("delete from catalogue_services where name <> all($1)", &[&names]).await?;
    change.removed = removed as usize;
    transaction.commit().await?;
    Ok(change)
}
