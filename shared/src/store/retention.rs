//! Removes rows after their ages: which, when and by whom is in `docs/retention.md` and ADR 27.
//!
//! Each transaction removes a bounded number of rows and skips those that others have locked. It holds an advisory lock, so that
//! of all processes one removes at a time; whoever finds the lock taken leaves the work to the other one. A process may end at any
//! moment: what it has committed is removed, the rest is found again.

mod options;
pub mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::ToSql;
use tokio_util::sync::CancellationToken;

pub use options::Options;
use rules::{INCIDENTS, PARTS, Rule, SURPLUS};

use super::edges::MAX_WINDOW_MIN;
use super::{Error, Reads, Store, row};
use crate::metrics::runtime;

/// Taken by each transaction that removes rows.
const LOCK: &str = "select pg_try_advisory_xact_lock(hashtext('retention'), 0)";
/// Rows of one kind that are counted; of more, only that there are more is known.
const MAX_COUNTED: i64 = 1_000_000;
/// Pause before the lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Nothing old is left.
    Done,
    /// The process was asked to stop.
    Stopped,
    /// Another process removes rows.
    Busy,
}

/// What a turn did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// How it ended.
    pub end: End,
    /// Rows that it removed, by table.
    pub removed: BTreeMap<&'static str, u64>,
}

/// What would be removed of one kind of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Due {
    /// Table.
    pub table: &'static str,
    /// What the rows are.
    pub what: &'static str,
    /// Setting with the age; none where it is fixed.
    pub setting: Option<&'static str>,
    /// Age after which rows go, hours; none: they are kept for ever.
    pub after_hours: Option<u32>,
    /// Rows that are old (at most 1,000,000 are counted).
    pub rows: i64,
    /// Whether there are more of them.
    pub has_more: bool,
    /// Age of the oldest row, seconds; none where there is no row.
    pub oldest_s: Option<f64>,
}

/// Who removes rows, and how long it waits for others that do.
#[derive(Debug, Clone, Copy)]
pub struct Remover<'a> {
    /// Ages and bounds.
    pub options: &'a Options,
    /// Ends a turn between two transactions.
    pub stop: &'a CancellationToken,
    /// How often the lock is tried again while another process has it, 200 ms apart.
    pub tries: u32,
}

/// Why a turn ended before all was done.
enum Halt {
    Ended(End),
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Store {
    /// Removes all rows that are old. `note` is called after each transaction with the table and the rows that are gone from it.
    ///
    /// # Errors
    /// The first one, if the database does not answer, or refuses. What other rules are about is removed nevertheless.
    pub async fn remove_old(
        &self,
        remover: Remover<'_>,
        mut note: impl FnMut(&'static str, u64) + Send,
    ) -> Result<Turn, Error> {
        let mut removed = BTreeMap::new();
        let mut count = |table: &'static str, rows: u64| {
            if rows > 0 {
                *removed.entry(table).or_default() += rows;
                note(table, rows);
            }
        };
        let work = Work { store: self, remover };
        let end = match work.all(&mut count).await {
            Ok(()) => End::Done,
            Err(Halt::Ended(end)) => end,
            Err(Halt::Failed(error)) => return Err(error),
        };
        Ok(Turn { end, removed })
    }
}

/// Keeps the first failure for later, so that what is removed by other rules does not wait for it.
fn later(first: &mut Option<Error>, result: Result<(), Halt>) -> Result<(), Halt> {
    match result {
        Err(Halt::Failed(error)) => {
            first.get_or_insert(error);
            Ok(())
        }
        other => other,
    }
}

/// One turn.
struct Work<'a> {
    store: &'a Store,
    remover: Remover<'a>,
}

impl Work<'_> {
    async fn all(&self, note: &mut (impl FnMut(&'static str, u64) + Send)) -> Result<(), Halt> {
        let rows = i64::from(self.remover.options.batch_rows);
        let mut failure = None;
        later(&mut failure, self.incidents(rows, note).await)?;
        for rule in Rule::all() {
            if let Some(hours) = rule.hours(self.remover.options) {
                let removed =
                    self.until_less(&rule.removal(hours), rows, |gone| note(rule.table, gone)).await;
                later(&mut failure, removed)?;
            }
        }
        for surplus in SURPLUS {
            // the figures of an edge go with it, one for each minute
            let rows = (rows / MAX_WINDOW_MIN).max(1);
            let removed = self
                .until_less(&surplus.removal(), rows, |gone| {
                    runtime::GRAPH_ROWS_DROPPED.add([surplus.reason], gone);
                    note(surplus.table, gone);
                })
                .await;
            later(&mut failure, removed)?;
        }
        failure.map_or(Ok(()), |error| Err(Halt::Failed(error)))
    }

    /// Removes incidents, each time so many that their notes and they are one batch, and what belongs to them before further
    /// ones: also of those that a process has left that ended meanwhile. Where parts cannot be removed, no further incidents are.
    async fn incidents(
        &self,
        rows: i64,
        note: &mut (impl FnMut(&'static str, u64) + Send),
    ) -> Result<(), Halt> {
        let notes = rules::notes();
        let incidents = INCIDENTS.hours(self.remover.options).map(rules::incidents);
        loop {
            let mut failure = None;
            for part in &PARTS {
                let removed = self.until_less(&part.removal(), rows, |gone| note(part.table, gone)).await;
                later(&mut failure, removed)?;
            }
            if let Some(error) = failure {
                return Err(Halt::Failed(error));
            }
            self.until_less(&notes, rows, |_| {}).await?;
            let Some(incidents) = &incidents else { return Ok(()) };
            let gone = self.batch(incidents, rows / 2).await?;
            note(INCIDENTS.table, gone);
            if gone == 0 {
                return Ok(());
            }
        }
    }

    /// Repeats a statement until it finds fewer than `rows` rows.
    async fn until_less(
        &self,
        statement: &str,
        rows: i64,
        mut note: impl FnMut(u64) + Send,
    ) -> Result<(), Halt> {
        loop {
            let gone = self.batch(statement, rows).await?;
            note(gone);
            if gone < rows as u64 {
                return Ok(());
            }
        }
    }

    /// Runs one transaction, after a pause where the one before has changed something.
    async fn batch(&self, statement: &str, rows: i64) -> Result<u64, Halt> {
        let mut tries = 0;
        loop {
            if self.remover.stop.is_cancelled() {
                return Err(Halt::Ended(End::Stopped));
            }
            match self.store.locked(statement, &[&rows]).await? {
                Some(0) => return Ok(0),
                Some(gone) => {
                    self.pause(Duration::from_millis(self.remover.options.pause_ms)).await?;
                    return Ok(gone);
                }
                None if tries >= self.remover.tries => return Err(Halt::Ended(End::Busy)),
                None => {
                    tries += 1;
                    self.pause(LOCK_PAUSE).await?;
                }
            }
        }
    }

    async fn pause(&self, time: Duration) -> Result<(), Halt> {
        tokio::select! {
            () = self.remover.stop.cancelled() => Err(Halt::Ended(End::Stopped)),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

impl Store {
    /// Runs a statement in a transaction of its own under the lock and returns the rows it changed; none where another process
    /// has the lock.
    async fn locked(&self, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Option<u64>, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        if !row::first::<bool>(&tx.query_one(LOCK, &[]).await?)? {
            return Ok(None);
        }
        let changed = tx.execute(statement, values).await?;
        tx.commit().await?;
        Ok(Some(changed))
    }
}

impl Reads {
    /// Returns what would be removed now, by kind of rows. What belongs to incidents has their setting.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_for_removal(&self, options: &Options) -> Result<Vec<Due>, Error> {
        let client = self.client().await?;
        let counted = async |statement: Option<String>| {
            let Some(statement) = statement else { return Ok(0) };
            row::first::<i64>(&client.query_one(&statement, &[&(MAX_COUNTED + 1)]).await?)
        };
        let mut all = Vec::new();
        for rule in std::iter::once(INCIDENTS).chain(Rule::all()) {
            let hours = rule.hours(options);
            let rows = counted(hours.map(|hours| rule.count(hours))).await?;
            let oldest_s = row::first(&client.query_one(&rule.oldest(), &[]).await?)?;
            let Rule { table, what, setting, .. } = rule;
            all.push(Due { table, what, setting, after_hours: hours, rows, has_more: false, oldest_s });
            if table == INCIDENTS.table {
                for part in &PARTS {
                    let rows = counted(hours.map(|hours| rules::count_of(part, hours))).await?;
                    let (table, what) = (part.table, "of these incidents");
                    all.push(Due {
                        table,
                        what,
                        setting,
                        after_hours: hours,
                        rows,
                        has_more: false,
                        oldest_s: None,
                    });
                }
            }
        }
        for due in &mut all {
            due.has_more = due.rows > MAX_COUNTED;
            due.rows = due.rows.min(MAX_COUNTED);
        }
        Ok(all)
    }

    /// Returns the age of the oldest row of each table that rules are about, seconds; 0 where it has none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn oldest_rows(&self) -> Result<BTreeMap<&'static str, f64>, Error> {
        let client = self.client().await?;
        let mut ages: BTreeMap<&'static str, f64> = BTreeMap::new();
        for rule in std::iter::once(INCIDENTS).chain(Rule::all()) {
            let age: Option<f64> = row::first(&client.query_one(&rule.oldest(), &[]).await?)?;
            let oldest = ages.entry(rule.table).or_default();
            *oldest = oldest.max(age.unwrap_or_default());
        }
        Ok(ages)
    }
}
