//! Statements that a connection prepares once. A decision takes a dozen of them, and each would otherwise be parsed and
//! described anew, at the price of one more round trip.

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// Values of a statement.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Runs a statement and returns the number of rows it changed.
#[cfg(feature = "stage")]
pub(super) async fn execute<C: GenericClient>(
    client: &C,
    statement: &str,
    values: Values<'_>,
) -> Result<u64, Error> {
    client.execute(&client.prepare_cached(statement).await?, values).await
}

/// Returns the rows of a statement.
pub(super) async fn query<C: GenericClient>(
    client: &C,
    statement: &str,
    values: Values<'_>,
) -> Result<Vec<Row>, Error> {
    client.query(&client.prepare_cached(statement).await?, values).await
}

/// Returns the one row of a statement, if it has any.
pub(super) async fn query_opt<C: GenericClient>(
    client: &C,
    statement: &str,
    values: Values<'_>,
) -> Result<Option<Row>, Error> {
    client.query_opt(&client.prepare_cached(statement).await?, values).await
}
