//! Writes the rotations of the people on call; [`Reads::rotations`](crate::store::Reads::rotations) reads them.

use tokio_postgres::types::Json;

use crate::oncall::Rotation;
use crate::store::{Error, Store};

/// Makes the rotations in the store equal to `rotations`, which are valid together.
///
/// # Errors
/// If the database does not answer.
pub async fn replace(store: &Store, rotations: &[Rotation]) -> Result<(), Error> {
    let mut client = store.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute("delete from oncall_rotations", &[]).await?;
    for rotation in rotations {
        let statement = "insert into oncall_rotations (name, body) values ($1, $2)";
        transaction.execute(statement, &[&rotation.name, &Json(rotation)]).await?;
    }
    Ok(transaction.commit().await?)
}
