//! Rows are read without a panic: one that does not parse is an error with its name, or is left out of a list and
//! reported. The first column of every statement is the key by which the row is known.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json};
use uuid::Uuid;

use super::Error;
use crate::metrics::runtime;

/// Unreadable rows that are logged once; of further ones only the count rises.
const LOGGED: usize = 1_000;

/// Returns a column of a row of `table`.
pub(crate) fn value<'r, T: FromSql<'r>>(row: &'r Row, table: &str, column: usize) -> Result<T, Error> {
    row.try_get(column).map_err(|error| unreadable(row, table, crate::error::chain(&error)))
}

/// Returns a column that holds a JSON document.
pub(crate) fn document<T: DeserializeOwned>(row: &Row, table: &str, column: usize) -> Result<T, Error> {
    value::<Json<T>>(row, table, column).map(|Json(document)| document)
}

/// Returns the first column of a row that an aggregate or a function gave.
#[cfg(feature = "stage")]
pub(crate) fn first<T: for<'r> FromSql<'r>>(row: &Row) -> Result<T, Error> {
    value(row, "result", 0)
}

/// Returns what `read` makes of each row, and leaves out and reports those it cannot read: for what is read of a whole
/// environment, where one row must not stop the decisions on all others.
pub(crate) fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Error>) -> Vec<T> {
    let keep = |row: &Row| read(row).inspect_err(report).ok();
    rows.iter().filter_map(keep).collect()
}

/// Counts an unreadable row, and logs each once.
pub(crate) fn report(error: &Error) {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

    let Error::Row { row, reason } = error else {
        tracing::error!(%error, "stored row cannot be read");
        return;
    };
    runtime::UNREADABLE_ROWS.add_one([row.split(' ').next().unwrap_or_default()]);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() < LOGGED && seen.insert(row.clone()) {
        tracing::error!(row, reason, "stored row cannot be read");
    }
}

/// Returns the error for a row that does not mean anything, with its name.
pub(crate) fn unreadable(row: &Row, table: &str, reason: String) -> Error {
    let key = row
        .try_get::<_, Uuid>(0)
        .map(|key| key.to_string())
        .or_else(|_| row.try_get::<_, i64>(0).map(|key| key.to_string()))
        .or_else(|_| row.try_get::<_, String>(0))
        .unwrap_or_default();
    Error::Row { row: format!("{table} {key}"), reason }
}
