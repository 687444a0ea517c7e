//! Everything on record of one incident, row by row as it is stored: `docs/incident-bundle.md`.

use super::{Error, Reads, read, row};
use crate::ids::IncidentId;

/// Rows that are read at once.
const ROWS: i32 = 100;

/// Rows of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Name, and name of its file without the extension. It never changes.
    pub name: &'static str,
    /// Columns and rows of an incident `$1`, in a fixed order.
    rows: &'static str,
}

/// All parts, in the order in which they are read.
pub const PARTS: [Part; 13] = [
    Part {
        name: "incident",
        rows: "select incident_id, number, environment, state, severity, revision, opened_at, resolved_at, updated_at, body \
            from incidents where incident_id = $1",
    },
    Part {
        name: "signals",
        rows: "select anomaly_id, environment, service, metric, revision, status, started_at, observed_at, body, context \
            from signals where incident_id = $1 order by started_at, anomaly_id",
    },
    Part {
        name: "evidence",
        rows: "select id, revision, source, excerpt, content, created_at from evidence where incident_id = $1 \
            order by revision, id",
    },
    Part {
        name: "artifacts",
        rows: "select kind, revision, body, created_at from artifacts where incident_id = $1 order by kind, revision",
    },
    Part {
        name: "postmortems",
        rows: "select revision, artifact, markdown, revised_by, note, revised_at from postmortem_revisions \
            where incident_id = $1 order by revision",
    },
    Part {
        name: "action_items",
        rows: "select item_id, revision, place, service, title, owner, due, priority, reason, state, superseded_in, \
            changed_by, changed_at, note, created_at from action_items where incident_id = $1 order by place, item_id",
    },
    Part {
        name: "notifications",
        rows: "select id, kind, channel, state, body, created_at, written_at, held_for, held_until from notifications where incident_id = $1 \
            order by created_at, id",
    },
    Part {
        name: "attempts",
        rows: "select a.id, a.notification_id, a.state, a.outcome, a.at from notification_attempts a \
            join notifications n on n.id = a.notification_id where n.incident_id = $1 order by a.id",
    },
    Part {
        name: "commands",
        rows: "select command_id, verb, asked_by, origin, asked_at, outcome, answer, body, stage, decided_at \
            from commands where incident_id = $1 order by decided_at, command_id",
    },
    Part {
        name: "feedback",
        rows: "select id, cause, body, given_at from feedback where incident_id = $1 order by id",
    },
    Part {
        name: "silences",
        rows: "select silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at, ended_at, ended_by, end_reason \
            from silences where silence_id::text in (select body ->> 'silence_id' from notifications \
                where incident_id = $1 and state = 'silenced') order by begun_at, silence_id",
    },
    Part {
        name: "timeline",
        rows: "select id, at, actor, action, summary, detail, event_id, ordinal, recorded_at from audit \
            where incident_id = $1 order by at, id",
    },
    Part {
        name: "approved",
        rows: "select doc_id, chunks, approved_by, approved_at from approved_documents where incident_id = $1 order by doc_id",
    },
];

impl Reads {
    /// Reads everything on record of an incident, as of one moment, a hundred rows at a time, and gives each row to `take`: the
    /// part it is of, and its columns as one line of JSON, times in UTC.
    ///
    /// # Errors
    /// If the database does not answer, or what `take` returns.
    pub async fn bundle<E: From<Error>>(
        &self,
        id: IncidentId,
        mut take: impl FnMut(&Part, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut client = self.client().await?;
        let snapshot = read::snapshot(&mut client).await?;
        snapshot.batch_execute("set local timezone to 'UTC'").await.map_err(Error::from)?;
        for part in &PARTS {
            let statement = format!("select to_jsonb(part)::text from ({}) part", part.rows);
            let prepared = snapshot.prepare(&statement).await.map_err(Error::from)?;
            let portal = snapshot.bind(&prepared, &[&id.0]).await.map_err(Error::from)?;
            loop {
                let rows = snapshot.query_portal(&portal, ROWS).await.map_err(Error::from)?;
                for found in &rows {
                    take(part, row::value(found, part.name, 0)?)?;
                }
                if rows.len() < ROWS as usize {
                    break;
                }
            }
        }
        snapshot.commit().await.map_err(Error::from)?;
        Ok(())
    }
}
