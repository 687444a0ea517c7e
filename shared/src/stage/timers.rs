//! Timers are rows, claimed with `FOR UPDATE SKIP LOCKED`. A lease, renewed while the work goes on, lets another replica
//! take over from one that is dead or held.

use std::time::Duration;

use jiff::Timestamp;

use tokio_postgres::Row;

use super::Timer;
use crate::ids::{EventId, derive};
use crate::store::{Error, Store};

/// How long a claimed timer is safe from other replicas after it was claimed or renewed.
pub const LEASE: Duration = Duration::from_secs(10);
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
    /// Reads a row of `timers`.
    pub(crate) fn of_row(row: &Row) -> Self {
        Self {
            id: EventId(row.get("id")),
            key: row.get("key"),
            name: row.get("name"),
            due: row.get("due"),
            payload: row.get("payload"),
            attempts: u32::try_from(row.get::<_, i32>("attempts")).unwrap_or(u32::MAX),
            failures: u32::try_from(row.get::<_, i32>("failures")).unwrap_or(u32::MAX),
        }
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
                     returning timers.id, key, name, due, payload, attempts, failures, c.former"
                ),
                &[&stage, &self.process(), &now, &limit, &LEASE.as_secs_f64()],
            )
            .await?;
        let claimed = rows.into_iter().map(|row| {
            let timer = Timer::of_row(&row);
            if let Some(former) = row.get::<_, Option<&str>>("former") {
                metrics::counter!("firewatch_timers_total", "stage" => stage.to_owned(), "outcome" => "taken_over")
                    .increment(1);
                tracing::info!(timer = timer.name, key = timer.key, former, "timer taken over");
            }
            timer
        });
        Ok(claimed.collect())
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
        let row = self
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
        Ok(row.get(0))
    }
}
