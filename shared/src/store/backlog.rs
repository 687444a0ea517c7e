//! What waits in the database, and for how long: rows of the outbox, and timers.

use std::time::Duration;

use jiff::SignedDuration;

use super::timers::FIRST_OF_ITS_KIND;
use super::{Error, Reads, row};
use crate::clock::Clock;

const RESULT: &str = "backlog";

/// What waits in the database.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Backlog {
    /// Outbox rows that wait to be published.
    pub outbox_rows: i64,
    /// Age of the oldest of them; zero where none waits.
    pub outbox_age: Duration,
    /// By how much the timer that has been due for longest is late; zero where none is due. A timer behind an earlier one
    /// of its key and name is not due yet.
    pub timer_late: Duration,
    /// By how much the clock of the database is ahead of ours; negative where it is behind.
    pub clock_ahead: SignedDuration,
}

impl Reads {
    /// Returns what waits for `stage`, or for all stages together where none is named. Ages are by the clock of the
    /// database, lateness is by `clock`, which is the one that sets timers.
    pub async fn backlog(&self, stage: Option<&str>, clock: &dyn Clock) -> Result<Backlog, Error> {
        let client = self.client().await?;
        let statement = format!(
            "with waiting as (select created_at from outbox \
                where ($1::text is null or stage = $1) and published_at is null and rejected_at is null) \
             select count(*), \
                extract(epoch from now() - min(created_at))::float8, \
                (select extract(epoch from $2::timestamptz - min(t.due))::float8 from timers t \
                 where ($1::text is null or t.stage = $1) and t.state = 'waiting' and t.due < $2 \
                   and {FIRST_OF_ITS_KIND}), \
                clock_timestamp() \
             from waiting"
        );
        let before = clock.now();
        let found = client.query_one(&statement, &[&stage, &before]).await?;
        // the answer was made about halfway between question and receipt
        let midway = before + clock.now().duration_since(before) / 2;
        let age = |column| {
            let seconds: Option<f64> = row::value(&found, RESULT, column)?;
            Ok::<_, Error>(Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default())
        };
        let database: jiff::Timestamp = row::value(&found, RESULT, 3)?;
        Ok(Backlog {
            outbox_rows: row::value(&found, RESULT, 0)?,
            outbox_age: age(1)?,
            timer_late: age(2)?,
            clock_ahead: database.duration_since(midway),
        })
    }
}
