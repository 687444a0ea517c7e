//! Everything that the timeline of an incident is made of, as of one moment.

use deadpool_postgres::Transaction;
use jiff::Timestamp;

use super::commands::{self, Decided};
use super::timeline::{Entry, Sources, entries};
use super::{Error, Notification, Reads, TimelineEntry, notifications, read, row};
use crate::ids::IncidentId;

/// Most lines of an audit trail that are read, the first ones.
pub const MAX_LINES: usize = 10_000;
/// Lines that are read at once.
const PAGE: i64 = 1_000;
/// Most notifications that wait to be sent.
const MAX_WAITING: i64 = 1_000;

/// What is on record of an incident.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Audit trail, in event time: the first [`MAX_LINES`].
    pub trail: Vec<TimelineEntry>,
    /// The last commands about it, oldest first.
    pub commands: Vec<Decided>,
    /// Notifications that wait to be sent, without what they say.
    pub waiting: Vec<Notification>,
    /// Later lines of the trail.
    pub left_out: usize,
}

impl History {
    /// Returns the timeline.
    pub fn entries(&self, opened_at: Timestamp) -> Vec<Entry> {
        let Self { trail, commands, waiting, .. } = self;
        entries(&Sources { opened_at, trail, commands, waiting })
    }
}

impl Reads {
    /// Returns what is on record of an incident, all as of one moment.
    ///
    /// # Errors
    /// If the database does not answer, or a row cannot be read.
    pub async fn history(&self, id: IncidentId) -> Result<History, Error> {
        let mut client = self.client().await?;
        let snapshot = read::snapshot(&mut client).await?;
        let (trail, left_out) = trail(&snapshot, id).await?;
        let commands = commands::of_incident(&snapshot, id).await?;
        let statement = "select id, jsonb_set(body, '{event}', 'null'), state from notifications \
             where incident_id = $1 and state in ('pending', 'held') order by created_at, id limit $2";
        let rows = snapshot.query(statement, &[&id.0, &MAX_WAITING]).await?;
        snapshot.commit().await?;
        let waiting = row::readable(&rows, |found| notifications::notification(found).map(|(one, _)| one));
        Ok(History { trail, commands, waiting, left_out })
    }
}

/// Reads the audit trail in pages, and counts what is beyond the bound.
async fn trail(tx: &Transaction<'_>, id: IncidentId) -> Result<(Vec<TimelineEntry>, usize), Error> {
    let statement = "select id, at, actor, action, summary, detail from audit where incident_id = $1 \
         and ($2::timestamptz is null or (at, id) > ($2, $3)) order by at, id limit $4";
    let mut lines = Vec::new();
    let (mut after, mut last): (Option<Timestamp>, i64) = (None, 0);
    while lines.len() < MAX_LINES {
        let rows = tx.query(statement, &[&id.0, &after, &last, &PAGE]).await?;
        let is_end = rows.len() < PAGE as usize;
        if let Some(found) = rows.last() {
            (after, last) = (Some(row::value(found, "audit", 1)?), row::value(found, "audit", 0)?);
        }
        for found in &rows {
            lines.push(read::timeline_entry(found)?);
        }
        if is_end {
            return Ok((lines, 0));
        }
    }
    let count = "select count(*) from audit where incident_id = $1 and (at, id) > ($2, $3)";
    let found = tx.query_one(count, &[&id.0, &after, &last]).await?;
    let left_out: i64 = row::value(&found, "audit", 0)?;
    Ok((lines, usize::try_from(left_out).unwrap_or(0)))
}
