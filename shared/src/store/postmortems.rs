//! Revisions of postmortems: what was written from the record, and texts of people in place of that. A postmortem is a draft until
//! a person approves what is to be learned from it.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Row;

use super::feedback::write_audit;
use super::{Error, Reads, Store, TimelineEntry, read, row};
use crate::audit::AuditAction;
use crate::effects::Audit;
use crate::events::Postmortem;
use crate::ids::IncidentId;

const TABLE: &str = "postmortem_revisions";

/// Longest text of a revision, bytes.
pub const MAX_TEXT: usize = 256 * 1024;
/// Most revisions of a postmortem.
pub const MAX_REVISIONS: i32 = 200;
/// Lines on a postmortem that its standing is read from, the last ones.
const MAX_REVIEW_LINES: i64 = 500;

/// What a revision is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Written from the record.
    Record,
    /// Written by a person.
    Person {
        /// Who.
        by: String,
        /// Why; may be empty.
        note: String,
    },
}

/// One revision, without its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Revision {
    /// Counts from 1.
    pub revision: i32,
    /// When it was stored.
    pub at: Timestamp,
    /// What it is.
    pub origin: Origin,
}

/// A postmortem with its revisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What was written from the record, last of that.
    pub postmortem: Postmortem,
    /// All revisions, oldest first.
    pub revisions: Vec<Revision>,
    /// The one that was asked for.
    pub shown: Revision,
    /// Its text, Markdown.
    pub markdown: String,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a postmortem stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// Nobody has approved its last revision.
    Draft,
    /// A person has approved it.
    Approved {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// A person has withdrawn what they had approved.
    Withdrawn {
        /// Who.
        by: String,
        /// When.
        at: Timestamp,
    },
}

impl Standing {
    /// Returns where a postmortem stands after these lines of the audit trail: a new revision is a draft again.
    pub fn after(lines: &[TimelineEntry]) -> Self {
        lines.iter().fold(Self::Draft, |before, line| {
            let (by, at) = (line.actor.clone(), line.at);
            match line.action.parse() {
                Ok(AuditAction::PostmortemWritten | AuditAction::PostmortemRevised) => Self::Draft,
                Ok(AuditAction::PostmortemApproved) => Self::Approved { by, at },
                Ok(AuditAction::PostmortemWithdrawn) => Self::Withdrawn { by, at },
                _ => before,
            }
        })
    }
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revised {
    /// It is this revision.
    Stored(i32),
    /// The last revision has the same text.
    Unchanged(i32),
    /// The incident has no postmortem yet, or is not on record any more.
    Unwritten,
    /// There are [`MAX_REVISIONS`] already.
    Full,
}

impl Reads {
    /// Returns the postmortem of an incident in its last revision, or in the one that is named; nothing where there is none.
    ///
    /// # Errors
    /// If the database does not answer, or a row cannot be read.
    pub async fn postmortem(&self, id: IncidentId, which: Option<i32>) -> Result<Option<Document>, Error> {
        let mut client = self.client().await?;
        let snapshot = read::snapshot(&mut client).await?;
        let statement = "select revision, revised_at, revised_by, note from postmortem_revisions \
             where incident_id = $1 order by revision";
        let rows = snapshot.query(statement, &[&id.0]).await?;
        let revisions = rows.iter().map(revision).collect::<Result<Vec<Revision>, Error>>()?;
        let shown = match which {
            None => revisions.last(),
            Some(which) => revisions.iter().find(|one| one.revision == which),
        };
        let Some(shown) = shown.cloned() else { return Ok(None) };
        let (postmortem, _) = last_written(&snapshot, id).await?.ok_or_else(|| missing(id))?;
        let markdown = text(&snapshot, id, shown.revision).await?;
        let lines = "select id, at, actor, action, summary, detail from (select * from audit where incident_id = $1 \
             and action = any ($2) order by id desc limit $3) last order by id";
        let actions = REVIEW.map(AuditAction::name);
        let rows = snapshot.query(lines, &[&id.0, &&actions[..], &MAX_REVIEW_LINES]).await?;
        let lines = rows.iter().map(read::timeline_entry).collect::<Result<Vec<_>, Error>>()?;
        snapshot.commit().await?;
        Ok(Some(Document { postmortem, revisions, shown, markdown, standing: Standing::after(&lines) }))
    }
}

/// Lines that say where a postmortem stands.
const REVIEW: [AuditAction; 4] = [
    AuditAction::PostmortemWritten,
    AuditAction::PostmortemRevised,
    AuditAction::PostmortemApproved,
    AuditAction::PostmortemWithdrawn,
];

impl Store {
    /// Stores a text of a person as the next revision of a postmortem, with a line of the audit trail.
    ///
    /// # Errors
    /// If the database does not answer, or another revision was stored at the same time.
    pub async fn revise_postmortem(
        &self,
        id: IncidentId,
        markdown: &str,
        by: &str,
        note: &str,
        at: Timestamp,
    ) -> Result<Revised, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // an incident that is removed meanwhile gets no revision that would stay behind
        let kept = "select incident_id from incidents where incident_id = $1 for key share";
        if tx.query_opt(kept, &[&id.0]).await?.is_none() {
            return Ok(Revised::Unwritten);
        }
        let last = "select revision, incident_id from postmortem_revisions where incident_id = $1 \
             order by revision desc limit 1";
        let Some(last) = tx.query_opt(last, &[&id.0]).await? else { return Ok(Revised::Unwritten) };
        let last: i32 = row::value(&last, TABLE, 0)?;
        if text(&tx, id, last).await? == markdown {
            return Ok(Revised::Unchanged(last));
        }
        if last >= MAX_REVISIONS {
            return Ok(Revised::Full);
        }
        let next = last + 1;
        let written = tx
            .execute(
                "insert into postmortem_revisions (incident_id, revision, markdown, revised_by, note, revised_at) \
                 values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
                &[&id.0, &next, &markdown, &by, &note, &at],
            )
            .await?;
        if written == 0 {
            return Err(Error::Conflict { scope: format!("the postmortem of {id}") });
        }
        let why = if note.is_empty() { String::new() } else { format!(": {note}") };
        let line = Audit {
            incident_id: id,
            at,
            action: AuditAction::PostmortemRevised,
            summary: format!("The postmortem was revised by {by} (revision {next}){why}."),
            detail: json!({ "revision": next }),
        };
        write_audit(&tx, by, &line).await?;
        tx.commit().await?;
        Ok(Revised::Stored(next))
    }
}

fn revision(found: &Row) -> Result<Revision, Error> {
    let by: Option<String> = row::value(found, TABLE, 2)?;
    let note: Option<String> = row::value(found, TABLE, 3)?;
    Ok(Revision {
        revision: row::value(found, TABLE, 0)?,
        at: row::value(found, TABLE, 1)?,
        origin: by.map_or(Origin::Record, |by| Origin::Person { by, note: note.unwrap_or_default() }),
    })
}

/// Returns the text of a revision.
async fn text<C: GenericClient>(client: &C, id: IncidentId, revision: i32) -> Result<String, Error> {
    let statement = "select r.incident_id, coalesce(r.markdown, a.body ->> 'markdown') from postmortem_revisions r \
         left join artifacts a on a.incident_id = r.incident_id and a.kind = 'postmortem' and a.revision = r.artifact \
         where r.incident_id = $1 and r.revision = $2";
    let found = client.query_opt(statement, &[&id.0, &revision]).await?.ok_or_else(|| missing(id))?;
    row::value::<Option<String>>(&found, TABLE, 1)?.ok_or_else(|| missing(id))
}

/// Returns what was written from the record, last of that, with its revision.
async fn last_written<C: GenericClient>(
    client: &C,
    id: IncidentId,
) -> Result<Option<(Postmortem, i32)>, Error> {
    let statement = "select incident_id, body, revision from artifacts where incident_id = $1 and kind = 'postmortem' \
         order by revision desc limit 1";
    let found = client.query_opt(statement, &[&id.0]).await?;
    found
        .map(|found| Ok((row::document(&found, "artifacts", 1)?, row::value(&found, "artifacts", 2)?)))
        .transpose()
}

fn missing(id: IncidentId) -> Error {
    Error::Row { row: format!("{TABLE} of {id}"), reason: "its text is not on record".to_owned() }
}

/// Records that an artifact was written: it is the next revision.
#[cfg(feature = "stage")]
pub(super) async fn written<C: GenericClient>(tx: &C, id: IncidentId, artifact: u32) -> Result<(), Error> {
    let statement = "insert into postmortem_revisions (incident_id, revision, artifact, revised_at) \
         select $1, coalesce(max(revision), 0) + 1, $2, now() from postmortem_revisions where incident_id = $1 \
         on conflict do nothing";
    let artifact = i32::try_from(artifact).unwrap_or(i32::MAX);
    let written = super::prepared::execute(tx, statement, &[&id.0, &artifact]).await?;
    let conflict = || Error::Conflict { scope: format!("the postmortem of {id}") };
    (written == 1).then_some(()).ok_or_else(conflict)
}
