//! Who is on call, and who is notified of what: rotations and routes, as the seeder has read them from files.

#[cfg(any(feature = "stage", feature = "knowledge"))]
use tokio_postgres::types::Json;

#[cfg(any(feature = "stage", feature = "knowledge"))]
use super::Store;
use super::{Error, Reads, prepared, row};
use crate::oncall::Rotation;
use crate::routes;

impl Reads {
    /// Returns the rotations of the people on call as they were last seeded; empty if they never were.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn rotations(&self) -> Result<Vec<Rotation>, Error> {
        let statement = "select name, body from oncall_rotations order by name";
        let rows = prepared::query(&self.client().await?, statement, &[]).await?;
        Ok(row::readable(&rows, |found| row::document(found, "oncall_rotations", 1)))
    }

    /// Returns the routes as they were last seeded; none if there were none. What cannot be read is of another release, and none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn routes(&self) -> Result<Option<routes::Document>, Error> {
        let statement = "select id, body from notification_routes";
        let rows = prepared::query(&self.client().await?, statement, &[]).await?;
        Ok(row::readable(&rows, |found| row::document(found, "notification_routes", 1)).pop())
    }
}

#[cfg(any(feature = "stage", feature = "knowledge"))]
impl Store {
    /// Makes rotations and routes in the store equal to these, which are valid together. Without routes, roles decide who is notified.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn replace_oncall(
        &self,
        rotations: &[Rotation],
        routes: Option<&routes::Document>,
    ) -> Result<(), Error> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute("delete from oncall_rotations; delete from notification_routes").await?;
        for rotation in rotations {
            let statement = "insert into oncall_rotations (name, body) values ($1, $2)";
            transaction.execute(statement, &[&rotation.name, &Json(rotation)]).await?;
        }
        if let Some(document) = routes {
            let statement = "insert into notification_routes (body) values ($1)";
            transaction.execute(statement, &[&Json(document)]).await?;
        }
        Ok(transaction.commit().await?)
    }
}
