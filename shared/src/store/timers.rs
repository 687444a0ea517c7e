//! Timers are rows, claimed with `FOR UPDATE SKIP LOCKED`. A lease, renewed while the work goes on, lets another replica
//! take over from one that is dead or held.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Error, Store, row};
use crate::effects::Timer;
use crate::ids::{EventId, derive};
use crate::metrics::runtime;

const TABLE: &str = "timers";

/// How long a claimed timer is safe from other replicas after it was claimed or renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// Time between two renewals.
pub(crate) const RENEWAL: Duration = Duration::from_secs(3);

/// Of each key and name only the oldest timer that waits may ring: the condition on a timer `t`.
pub(crate) const FIRST_OF_ITS_KIND: &str = "not exists (select 1 from timers o where o.stage = t.stage \
    and o.key = t.key and o.name = t.name and o.state = 'waiting' and o.seq < t.seq)";

/// Returns the id that the audit lines of an attempt are known by: each attempt of a timer has lines of its own.
pub(crate) fn attempt_id(timer: EventId, attempts: u32) -> EventId {
    EventId(derive(&["attempt", &timer.to_string(), &attempts.to_string()]))
}

impl Timer {
    /// Columns of a timer in the order [`Timer::of_row`] reads them.
    pub(crate) const COLUMNS: &str = "timers.id, key, name, due, payload, attempts, failures, traceparent";

    /// Reads a row of [`Timer::COLUMNS`].
    pub(crate) fn of_row(found: &Row) -> Result<Self, Error> {
        let count =
            |column| row::value::<i32>(found, TABLE, column).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Ok(Self {
            id: EventId(row::value(found, TABLE, 0)?),
            key: row::value(found, TABLE, 1)?,
            name: row::value(found, TABLE, 2)?,
            due: row::value(found, TABLE, 3)?,
            payload: row::value(found, TABLE, 4)?,
            attempts: count(5)?,
            failures: count(6)?,
            traceparent: row::value(found, TABLE, 7)?,
        })
    }
}

impl Store {
    /// Claims timers of `stage` that are due at `now`; of each (key, name) only the oldest that waits.
    pub(crate) async fn claim_timers(
        &self,
        stage: &str,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<Timer>, Error> {
        let rows = self
            .client()
            .await?
            .query(
                &format!(
                    "with claimable as ( \
                        select t.stage, t.id, t.owner as former from timers t \
                        where t.stage = $1 and t.state = 'waiting' and t.due <= $3 \
                          and (t.lease_until is null or t.lease_until < now()) and {FIRST_OF_ITS_KIND} \
                        order by t.due limit $4 for update skip locked) \
                     update timers set owner = $2, lease_until = now() + make_interval(secs => $5) \
                     from claimable c where timers.stage = c.stage and timers.id = c.id \
                     returning {}, c.former",
                    Timer::COLUMNS
                ),
                &[&stage, &self.process(), &now, &limit, &LEASE.as_secs_f64()],
            )
            .await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for found in &rows {
            let timer = match Timer::of_row(found) {
                Ok(timer) => timer,
                Err(error) => {
                    row::report(&error);
                    self.give_up_timer(stage, row::value(found, TABLE, 0)?, &error).await?;
                    continue;
                }
            };
            if let Some(former) = row::value::<Option<&str>>(found, TABLE, 8)? {
                runtime::TIMERS.add_one([stage, "taken_over"]);
                tracing::info!(timer = timer.name, key = timer.key, former, "timer taken over");
            }
            claimed.push(timer);
        }
        Ok(claimed)
    }

    /// Gives up a timer whose row cannot be read.
    async fn give_up_timer(&self, stage: &str, id: Uuid, error: &Error) -> Result<(), Error> {
        let statement = "update timers set state = 'failed', owner = null, lease_until = null, last_error = $3 \
             where stage = $1 and id = $2";
        self.client().await?.execute(statement, &[&stage, &id, &error.to_string()]).await?;
        Ok(())
    }

    /// Renews the lease of a claimed timer. `false` means that another replica has taken it over.
    pub(crate) async fn renew_timer(&self, stage: &str, timer: &Timer) -> Result<bool, Error> {
        let renewed = self
            .client()
            .await?
            .execute(
                "update timers set lease_until = now() + make_interval(secs => $5) \
                 where stage = $1 and id = $2 and state = 'waiting' and owner = $3 and attempts = $4",
                &[&stage, &timer.id.0, &self.process(), &(timer.attempts as i32), &LEASE.as_secs_f64()],
            )
            .await?;
        Ok(renewed == 1)
    }

    /// Puts a claimed timer back, due again at `due`, or gives it up for good (`due` absent). `counts` tells whether the
    /// failure was the timer's own.
    pub(crate) async fn return_timer(
        &self,
        stage: &str,
        timer: &Timer,
        due: Option<Timestamp>,
        counts: bool,
        error: &str,
    ) -> Result<(), Error> {
        self.client()
            .await?
            .execute(
                "update timers set state = case when $4::timestamptz is null then 'failed' else 'waiting' end, \
                 due = coalesce($4, due), attempts = attempts + 1, failures = failures + $6, owner = null, \
                 lease_until = null, last_error = $5 \
                 where stage = $1 and id = $2 and state = 'waiting' and owner = $3",
                &[&stage, &timer.id.0, &self.process(), &due, &error, &i32::from(counts)],
            )
            .await?;
        Ok(())
    }

    /// Returns when the next timer of `stage` is due that nobody holds.
    pub(crate) async fn next_timer(&self, stage: &str) -> Result<Option<Timestamp>, Error> {
        let found = self
            .client()
            .await?
            .query_one(
                &format!(
                    "select min(t.due) from timers t where t.stage = $1 and t.state = 'waiting' \
                     and (t.lease_until is null or t.lease_until < now()) and {FIRST_OF_ITS_KIND}"
                ),
                &[&stage],
            )
            .await?;
        row::first(&found)
    }
}
