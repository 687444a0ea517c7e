//! Whether causes were right, as people say.

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::{Display, EnumString, IntoStaticStr};
#[cfg(feature = "stage")]
use tokio_postgres::types::Json;

use super::{Error, Reads, Store, row};
use crate::audit::AuditAction;
use crate::effects::Audit;
use crate::events::{Category, RootCause};
use crate::ids::{IncidentId, derive};

/// Most judgements that are kept of one incident; the last one counts.
#[cfg(feature = "stage")]
const MAX_JUDGEMENTS: i64 = 100;
/// Incidents that accuracy is counted over, the last ones.
const MAX_JUDGED: i64 = 10_000;

/// Whether the first candidate was the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Judgement {
    /// It was.
    Right,
    /// It was not.
    Wrong,
}

/// What a person says of the cause of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Whether the cause was right.
    pub cause: Judgement,
    /// The service that was at fault, where another one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The kind of cause, where it was another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Who says so.
    pub given_by: String,
    /// When, by the wall clock.
    pub given_at: Timestamp,
}

/// A judged incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The last judgement.
    pub feedback: Feedback,
    /// The result it is about.
    pub result: RootCause,
}

impl Store {
    /// Records that a person reads what a placeholder of an incident stands for.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn note_opened(
        &self,
        id: IncidentId,
        placeholder: &str,
        by: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let line = Audit {
            incident_id: id,
            at,
            action: AuditAction::PlaceholderOpened,
            summary: format!("{by} read what {placeholder} stands for."),
            detail: json!({ "placeholder": placeholder }),
        };
        write_audit(&tx, by, &line).await?;
        Ok(tx.commit().await?)
    }
}

/// Writes what a person says of the cause of an incident. Of very many judgements the oldest are deleted.
#[cfg(feature = "stage")]
pub(super) async fn write(tx: &Transaction<'_>, id: IncidentId, feedback: &Feedback) -> Result<(), Error> {
    let cause: &'static str = feedback.cause.into();
    tx.execute(
        "insert into feedback (incident_id, cause, body, given_at) values ($1, $2, $3, $4)",
        &[&id.0, &cause, &Json(feedback), &feedback.given_at],
    )
    .await?;
    tx.execute(
        "delete from feedback where incident_id = $1 and id not in \
         (select id from feedback where incident_id = $1 order by id desc limit $2)",
        &[&id.0, &MAX_JUDGEMENTS],
    )
    .await?;
    Ok(())
}

/// Writes a line of the audit trail about what a person did.
pub(crate) async fn write_audit(tx: &Transaction<'_>, person: &str, line: &Audit) -> Result<(), Error> {
    let Audit { incident_id, at, action, summary, detail } = line;
    let event = derive(&["person", &incident_id.to_string(), action.name(), &at.to_string()]);
    tx.execute(
        "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal) \
         values ($1, $2, $3, $4, $5, $6, $7, 0) on conflict do nothing",
        &[&incident_id.0, at, &person, &action.name(), summary, detail, &event],
    )
    .await?;
    Ok(())
}

impl Reads {
    /// Returns what people have said of the cause of an incident, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn feedback(&self, id: IncidentId) -> Result<Vec<Feedback>, Error> {
        let statement = "select id, body from feedback where incident_id = $1 order by id";
        let rows = self.client().await?.query(statement, &[&id.0]).await?;
        Ok(row::readable(&rows, |found| row::document(found, "feedback", 1)))
    }

    /// Returns the last judgement of each judged incident of an environment with the last result of its investigation: of the
    /// 10,000 last ones.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn judged(&self, environment: &str) -> Result<Vec<Judged>, Error> {
        let statement = "select last.id, last.body, result.body from \
             (select distinct on (incident_id) id, incident_id, body from feedback order by incident_id, id desc) last \
             join lateral (select body from artifacts where incident_id = last.incident_id and kind = 'root_cause' \
                order by revision desc limit 1) result on true \
             join incidents using (incident_id) where incidents.environment = $1 order by last.id desc limit $2";
        let rows = self.client().await?.query(statement, &[&environment, &MAX_JUDGED]).await?;
        let read = |found: &tokio_postgres::Row| {
            let feedback = row::document(found, "feedback", 1)?;
            Ok(Judged { feedback, result: row::document(found, "feedback", 2)? })
        };
        Ok(row::readable(&rows, read))
    }
}
