//! The index as rows in PostgreSQL: an exact cosine scan, in process.
//!
//! The corpus is small (hundreds of chunks, at most [`MAX_CHUNKS`]), so it is kept in memory and scanned. A
//! version row that every change counts up tells when to read it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use deadpool_postgres::GenericClient;
use tokio_postgres::IsolationLevel;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Chunk, Error, Hit, Index, MAX_CHUNKS, Query, check_vector, content_hash, mismatch};
use crate::error::{self, Class};
use crate::store::{self, Store};

/// The index in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct PostgresIndex {
    store: Store,
    corpus: Arc<Mutex<Option<Arc<Corpus>>>>,
}

/// All chunks as of one version, by document and place.
struct Corpus {
    version: i64,
    dimensions: usize,
    chunks: Vec<(Chunk, Vec<f32>)>,
}

impl PostgresIndex {
    /// Uses the tables of that store; its migrations must have run.
    pub fn new(store: Store) -> Self {
        Self { store, corpus: Arc::default() }
    }

    async fn corpus(&self) -> Result<Arc<Corpus>, Error> {
        let mut client = self.store.client().await?;
        let Some((dimensions, version)) = head(&client).await? else {
            return Ok(Arc::new(Corpus { version: -1, dimensions: 0, chunks: Vec::new() }));
        };
        if let Some(corpus) = &*self.corpus.lock().unwrap_or_else(PoisonError::into_inner)
            && corpus.version == version
            && corpus.dimensions == dimensions
        {
            return Ok(Arc::clone(corpus));
        }
        let corpus = Arc::new(read(&mut client).await?);
        *self.corpus.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&corpus));
        Ok(corpus)
    }
}

#[async_trait]
impl Index for PostgresIndex {
    async fn prepare(&self, dimensions: usize) -> Result<(), Error> {
        // an index without chunks takes any length; one with chunks keeps the length they have
        let statement = "insert into knowledge_index (dimensions) values ($1)
            on conflict (single) do update
                set dimensions = excluded.dimensions, version = knowledge_index.version + 1
                where knowledge_index.dimensions <> excluded.dimensions
                    and not exists (select from knowledge_chunks)";
        let client = self.store.client().await?;
        let length = i32::try_from(dimensions).map_err(|_| mismatch(0, dimensions))?;
        client.execute(statement, &[&length]).await?;
        match head(&client).await? {
            Some((held, _)) if held != dimensions => Err(mismatch(held, dimensions)),
            _ => Ok(()),
        }
    }

    async fn upsert(&self, chunks: &[(Chunk, Vec<f32>)]) -> Result<(), Error> {
        let mut client = self.store.client().await?;
        let transaction = client.transaction().await?;
        let dimensions = next_version(&transaction).await?;
        let statement = transaction
            .prepare_cached(
                "insert into knowledge_chunks (id, doc_id, ordinal, hash, chunk, vector)
                 values ($1, $2, $3, $4, $5, $6)
                 on conflict (id) do update
                     set hash = excluded.hash, chunk = excluded.chunk, vector = excluded.vector",
            )
            .await?;
        for (chunk, vector) in chunks {
            check_vector(vector, dimensions)?;
            let ordinal = chunk.ordinal.cast_signed();
            transaction
                .execute(
                    &statement,
                    &[&chunk.id(), &chunk.doc_id, &ordinal, &content_hash(chunk), &Json(chunk), vector],
                )
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn remove(&self, ids: &[Uuid]) -> Result<(), Error> {
        let mut client = self.store.client().await?;
        let transaction = client.transaction().await?;
        next_version(&transaction).await?;
        transaction.execute("delete from knowledge_chunks where id = any($1)", &[&ids]).await?;
        Ok(transaction.commit().await?)
    }

    async fn hashes(&self) -> Result<BTreeMap<Uuid, String>, Error> {
        let client = self.store.client().await?;
        let rows = client.query("select id, hash from knowledge_chunks", &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    async fn nearest(&self, vector: &[f32], query: &Query) -> Result<Vec<Hit>, Error> {
        let corpus = self.corpus().await?;
        if corpus.chunks.is_empty() {
            return Ok(Vec::new());
        }
        check_vector(vector, corpus.dimensions)?;
        let mut near: Vec<(f32, &Chunk)> = corpus
            .chunks
            .iter()
            .filter(|(chunk, _)| query.admits(chunk))
            .map(|(chunk, held)| (cosine(vector, held), chunk))
            .collect();
        near.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.id().cmp(&other.id())));
        near.truncate(query.limit);
        Ok(near.into_iter().map(|(score, chunk)| Hit { chunk: chunk.clone(), score }).collect())
    }

    async fn document(&self, doc_id: &str) -> Result<Vec<Chunk>, Error> {
        let corpus = self.corpus().await?;
        Ok(corpus
            .chunks
            .iter()
            .map(|(chunk, _)| chunk)
            .filter(|chunk| chunk.doc_id == doc_id)
            .cloned()
            .collect())
    }

    async fn scan(&self, query: &Query) -> Result<Vec<Chunk>, Error> {
        let corpus = self.corpus().await?;
        Ok(corpus
            .chunks
            .iter()
            .map(|(chunk, _)| chunk)
            .filter(|chunk| query.admits(chunk))
            .cloned()
            .collect())
    }
}

/// Returns dimensions and version, where the index has been prepared.
async fn head(client: &impl GenericClient) -> Result<Option<(usize, i64)>, Error> {
    let row = client.query_opt("select dimensions, version from knowledge_index", &[]).await?;
    row.map(|row| Ok((row.try_get::<_, i32>(0)?.unsigned_abs() as usize, row.try_get(1)?))).transpose()
}

/// Counts the version up and returns the length of vectors; holds off other writers until the end of the
/// transaction.
async fn next_version(client: &impl GenericClient) -> Result<usize, Error> {
    client
        .query_opt("update knowledge_index set version = version + 1 returning dimensions", &[])
        .await?
        .ok_or_else(|| Error::Inconsistent("the index has not been prepared: run the seeder".into()))
        .and_then(|row| Ok(row.try_get::<_, i32>(0)?.unsigned_abs() as usize))
}

/// Reads version and chunks as they stood at one moment.
async fn read(client: &mut deadpool_postgres::Client) -> Result<Corpus, Error> {
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let (dimensions, version) =
        head(&transaction).await?.ok_or_else(|| Error::Inconsistent("the index has gone".into()))?;
    let rows = transaction
        .query(
            "select chunk, vector from knowledge_chunks order by doc_id collate \"C\", ordinal limit $1",
            &[&(MAX_CHUNKS as i64 + 1)],
        )
        .await?;
    transaction.commit().await?;
    if rows.len() > MAX_CHUNKS {
        return Err(Error::Inconsistent(format!(
            "more than {MAX_CHUNKS} chunks; use Qdrant for a corpus of that size"
        )));
    }
    let chunks = rows
        .iter()
        .map(|row| {
            let unreadable = |error: tokio_postgres::Error| {
                Error::Inconsistent(format!("a chunk cannot be read: {error}"))
            };
            let Json(chunk) = row.try_get::<_, Json<Chunk>>(0).map_err(unreadable)?;
            let vector: Vec<f32> = row.try_get(1).map_err(unreadable)?;
            check_vector(&vector, dimensions)?;
            Ok((chunk, vector))
        })
        .collect::<Result<_, Error>>()?;
    Ok(Corpus { version, dimensions, chunks })
}

/// The cosine of two vectors of length 1 is their product.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>().clamp(-1.0, 1.0)
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        let error = error::Error::from(error);
        match error.class() {
            Class::Unavailable | Class::Retry => Self::Unavailable(error.into()),
            Class::Reject | Class::Fatal => Self::Inconsistent(error.to_string()),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        store::Error::from(error).into()
    }
}
