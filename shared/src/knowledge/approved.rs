//! Documents that people have approved: what is learned from incidents of one's own. They are kept as rows, and the seeder
//! indexes them beside the content directory.

use jiff::Timestamp;
use serde_json::json;
use tokio_postgres::types::Json;

use super::{Chunk, Embedder, Index, embedded};
use crate::audit::AuditAction;
use crate::effects::Audit;
use crate::ids::IncidentId;
use crate::store::feedback::write_audit;
use crate::store::{self, Store, row};

/// Most approved documents.
pub const MAX_APPROVED: i64 = 1_000;

/// An approved document.
#[derive(Debug, Clone, PartialEq)]
pub struct Approved {
    /// Document, e.g. `incident/FW-12`.
    pub doc_id: String,
    /// Incident that it is about.
    pub incident_id: IncidentId,
    /// Its chunks.
    pub chunks: Vec<Chunk>,
    /// Who approved it.
    pub approved_by: String,
    /// When, by the wall clock.
    pub approved_at: Timestamp,
}

/// What became of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is on record.
    Recorded,
    /// There are [`MAX_APPROVED`] documents already.
    Full,
}

/// Records an approval; a document that was approved before is replaced.
///
/// # Errors
/// If the database does not answer.
pub async fn approve(store: &Store, document: &Approved) -> Result<Outcome, store::Error> {
    let mut client = store.client().await?;
    let tx = client.transaction().await?;
    let written = tx
        .execute(
            "insert into approved_documents (doc_id, incident_id, chunks, approved_by, approved_at) \
             select $1, $2, $3, $4, $5 where exists (select from approved_documents where doc_id = $1) \
                or (select count(*) from approved_documents) < $6 \
             on conflict (doc_id) do update set chunks = excluded.chunks, approved_by = excluded.approved_by, \
             approved_at = excluded.approved_at",
            &[
                &document.doc_id,
                &document.incident_id.0,
                &Json(&document.chunks),
                &document.approved_by,
                &document.approved_at,
                &MAX_APPROVED,
            ],
        )
        .await?;
    if written == 0 {
        return Ok(Outcome::Full);
    }
    let line = Audit {
        incident_id: document.incident_id,
        at: document.approved_at,
        action: AuditAction::PostmortemApproved,
        summary: format!("{} was approved by {}.", document.doc_id, document.approved_by),
        detail: json!({ "doc_id": document.doc_id }),
    };
    write_audit(&tx, &document.approved_by, &line).await?;
    tx.commit().await?;
    Ok(Outcome::Recorded)
}

/// Deletes an approved document. Returns whether there was one.
///
/// # Errors
/// If the database does not answer.
pub async fn withdraw(
    store: &Store,
    doc_id: &str,
    incident_id: IncidentId,
    by: &str,
    at: Timestamp,
) -> Result<bool, store::Error> {
    let mut client = store.client().await?;
    let tx = client.transaction().await?;
    let gone = tx.execute("delete from approved_documents where doc_id = $1", &[&doc_id]).await?;
    if gone > 0 {
        let line = Audit {
            incident_id,
            at,
            action: AuditAction::PostmortemWithdrawn,
            summary: format!("{doc_id} was withdrawn by {by}."),
            detail: json!({ "doc_id": doc_id }),
        };
        write_audit(&tx, by, &line).await?;
    }
    tx.commit().await?;
    Ok(gone > 0)
}

/// Returns all approved documents, by id.
///
/// # Errors
/// If the database does not answer.
pub async fn all(store: &Store) -> Result<Vec<Approved>, store::Error> {
    const TABLE: &str = "approved_documents";
    let statement = "select doc_id, incident_id, chunks, approved_by, approved_at from approved_documents order by doc_id";
    let rows = store.client().await?.query(statement, &[]).await?;
    let read = |found: &tokio_postgres::Row| {
        Ok(Approved {
            doc_id: row::value(found, TABLE, 0)?,
            incident_id: IncidentId(row::value(found, TABLE, 1)?),
            chunks: row::document(found, TABLE, 2)?,
            approved_by: row::value(found, TABLE, 3)?,
            approved_at: row::value(found, TABLE, 4)?,
        })
    };
    Ok(row::readable(&rows, read))
}

/// Indexes the chunks of a document in place of those that the index has of it.
///
/// # Errors
/// If the model or the index fails.
pub async fn index(
    document: &Approved,
    embedder: &dyn Embedder,
    index: &dyn Index,
) -> Result<(), super::Error> {
    let rows = embedded(document.chunks.iter(), embedder).await?;
    index.prepare(embedder.dimensions()).await?;
    remove(&document.doc_id, index).await?;
    index.upsert(&rows).await
}

/// Removes a document from the index.
///
/// # Errors
/// If the index fails.
pub async fn remove(doc_id: &str, index: &dyn Index) -> Result<(), super::Error> {
    let held: Vec<uuid::Uuid> = index.document(doc_id).await?.iter().map(Chunk::id).collect();
    if held.is_empty() { Ok(()) } else { index.remove(&held).await }
}
