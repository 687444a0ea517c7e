//! The index in Qdrant, over gRPC.
//!
//! One collection with cosine distance; a point is a chunk, its payload the chunk itself, its hash and what
//! filters need. Facets are kept as one list of `name=value`, since a facet's name may hold what a payload
//! path may not.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    Condition, CreateCollectionBuilder, DeletePointsBuilder, Distance, Filter, PointId, PointStruct,
    PointsIdsList, QueryPointsBuilder, RetrievedPoint, ScrollPointsBuilder, SearchParamsBuilder,
    UpsertPointsBuilder, Value, VectorParamsBuilder,
};
use qdrant_client::{Payload, Qdrant, QdrantError};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Chunk, DocumentKind, Error, Hit, Index, MAX_CHUNKS, Query, check_vector, content_hash, mismatch,
};

/// Name of the collection.
pub const COLLECTION: &str = "firewatch_knowledge";

/// Points of one request.
const PAGE: usize = 256;

/// The index in Qdrant.
pub struct QdrantIndex {
    client: Qdrant,
}

/// Payload of a point.
#[derive(Serialize, Deserialize)]
struct Stored {
    doc_id: String,
    kind: DocumentKind,
    facets: Vec<String>,
    hash: String,
    chunk: Chunk,
}

impl QdrantIndex {
    /// Uses the server at that gRPC address. Does not connect yet.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, Error> {
        let client = Qdrant::from_url(url)
            .timeout(timeout)
            .connect_timeout(timeout)
            .skip_compatibility_check()
            .build()
            .map_err(|error| Error::Inconsistent(format!("qdrant_url {url:?}: {error}")))?;
        Ok(Self { client })
    }

    /// Returns length of vectors and number of points; nothing where there is no collection.
    async fn head(&self) -> Result<Option<(usize, u64)>, Error> {
        let info = match self.client.collection_info(COLLECTION).await {
            Err(error) if is_missing(&error) => return Ok(None),
            info => info?.result.unwrap_or_default(),
        };
        let vectors = info.config.and_then(|config| config.params).and_then(|params| params.vectors_config);
        match vectors.and_then(|vectors| vectors.config) {
            Some(Config::Params(params)) if params.distance() == Distance::Cosine => {
                Ok(Some((params.size as usize, info.points_count.unwrap_or_default())))
            }
            _ => Err(Error::Inconsistent(format!(
                "collection {COLLECTION} is not ours: its vectors have names or \
                 another distance than cosine"
            ))),
        }
    }

    async fn create(&self, dimensions: usize) -> Result<(), Error> {
        let vectors = VectorParamsBuilder::new(dimensions as u64, Distance::Cosine);
        let request = CreateCollectionBuilder::new(COLLECTION).vectors_config(vectors);
        match self.client.create_collection(request).await {
            Ok(_) => Ok(()),
            // another process may have been quicker
            Err(error) => self.head().await?.map(drop).ok_or_else(|| error.into()),
        }
    }

    /// Reads all points that pass the filter, page by page.
    async fn scroll(&self, filter: Filter) -> Result<Vec<RetrievedPoint>, Error> {
        let mut points = Vec::new();
        let mut offset: Option<PointId> = None;
        loop {
            let mut request = ScrollPointsBuilder::new(COLLECTION)
                .filter(filter.clone())
                .limit(PAGE as u32)
                .with_payload(true)
                .with_vectors(false);
            if let Some(offset) = offset.take() {
                request = request.offset(offset);
            }
            let page = match self.client.scroll(request).await {
                Err(error) if is_missing(&error) => return Ok(points),
                page => page?,
            };
            points.extend(page.result);
            if points.len() > MAX_CHUNKS {
                return Err(Error::Inconsistent(format!("more than {MAX_CHUNKS} chunks")));
            }
            match page.next_page_offset {
                Some(next) => offset = Some(next),
                None => return Ok(points),
            }
        }
    }

    async fn chunks(&self, filter: Filter) -> Result<Vec<Chunk>, Error> {
        let points = self.scroll(filter).await?;
        let mut chunks = points
            .into_iter()
            .map(|point| Ok(stored(point.payload)?.chunk))
            .collect::<Result<Vec<_>, Error>>()?;
        chunks.sort_by(|a, b| (&a.doc_id, a.ordinal).cmp(&(&b.doc_id, b.ordinal)));
        Ok(chunks)
    }
}

#[async_trait]
impl Index for QdrantIndex {
    async fn prepare(&self, dimensions: usize) -> Result<(), Error> {
        match self.head().await? {
            None => self.create(dimensions).await?,
            Some((held, 0)) if held != dimensions => {
                self.client.delete_collection(COLLECTION).await?;
                self.create(dimensions).await?;
            }
            Some(_) => {}
        }
        match self.head().await? {
            Some((held, _)) if held == dimensions => Ok(()),
            head => Err(mismatch(head.map_or(0, |(held, _)| held), dimensions)),
        }
    }

    async fn upsert(&self, chunks: &[(Chunk, Vec<f32>)]) -> Result<(), Error> {
        let Some((dimensions, _)) = self.head().await? else {
            return Err(Error::Inconsistent("the index has not been prepared: run the seeder".into()));
        };
        let mut points = Vec::with_capacity(chunks.len());
        for (chunk, vector) in chunks {
            check_vector(vector, dimensions)?;
            points.push(PointStruct::new(chunk.id().to_string(), vector.clone(), payload(chunk)?));
        }
        for page in points.chunks(PAGE) {
            self.client.upsert_points(UpsertPointsBuilder::new(COLLECTION, page).wait(true)).await?;
        }
        Ok(())
    }

    async fn remove(&self, ids: &[Uuid]) -> Result<(), Error> {
        for page in ids.chunks(PAGE) {
            let ids = page.iter().map(|id| id.to_string().into()).collect();
            let request = DeletePointsBuilder::new(COLLECTION).points(PointsIdsList { ids }).wait(true);
            self.client.delete_points(request).await?;
        }
        Ok(())
    }

    async fn hashes(&self) -> Result<BTreeMap<Uuid, String>, Error> {
        let points = self.scroll(Filter::default()).await?;
        points.into_iter().map(|point| Ok((id(point.id)?, stored(point.payload)?.hash))).collect()
    }

    async fn nearest(&self, vector: &[f32], query: &Query) -> Result<Vec<Hit>, Error> {
        let Some((dimensions, points)) = self.head().await? else { return Ok(Vec::new()) };
        if points == 0 || query.limit == 0 {
            return Ok(Vec::new());
        }
        check_vector(vector, dimensions)?;
        // the corpus is small: an exact search costs nothing and answers the same every time
        let request = QueryPointsBuilder::new(COLLECTION)
            .query(vector.to_vec())
            .filter(filter(query)?)
            .limit(query.limit as u64)
            .params(SearchParamsBuilder::default().exact(true))
            .with_payload(true);
        let found = self.client.query(request).await?.result;
        let mut hits = found
            .into_iter()
            .map(|point| Ok(Hit { chunk: stored(point.payload)?.chunk, score: point.score }))
            .collect::<Result<Vec<_>, Error>>()?;
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.chunk.id().cmp(&b.chunk.id())));
        Ok(hits)
    }

    async fn document(&self, doc_id: &str) -> Result<Vec<Chunk>, Error> {
        self.chunks(Filter::must([is("doc_id", doc_id.to_owned())])).await
    }

    async fn scan(&self, query: &Query) -> Result<Vec<Chunk>, Error> {
        self.chunks(filter(query)?).await
    }
}

fn filter(query: &Query) -> Result<Filter, Error> {
    let mut conditions = Vec::new();
    if let Some(kind) = query.kind {
        let serde_json::Value::String(name) = serde_json::to_value(kind).map_err(|error| invalid(&error))?
        else {
            return Err(Error::Inconsistent(format!("{kind:?} has no name")));
        };
        conditions.push(is("kind", name));
    }
    conditions.extend(query.facets.iter().map(|(name, value)| is("facets", pair(name, value))));
    Ok(Filter::must(conditions))
}

/// Asks for a field that is, or contains, exactly that text. Left to itself the client makes a full-text
/// search of a text with a space in it.
fn is(field: &str, text: String) -> Condition {
    Condition::matches(field, MatchValue::Keyword(text))
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}={value}")
}

fn payload(chunk: &Chunk) -> Result<Payload, Error> {
    let stored = Stored {
        doc_id: chunk.doc_id.clone(),
        kind: chunk.kind,
        facets: chunk.facets.iter().map(|(name, value)| pair(name, value)).collect(),
        hash: content_hash(chunk),
        chunk: chunk.clone(),
    };
    let json = serde_json::to_value(stored).map_err(|error| invalid(&error))?;
    Payload::try_from(json).map_err(Error::from)
}

fn stored(payload: HashMap<String, Value>) -> Result<Stored, Error> {
    Payload::from(payload).deserialize().map_err(|error| invalid(&error))
}

fn id(point: Option<PointId>) -> Result<Uuid, Error> {
    match point.and_then(|point| point.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => text.parse().map_err(|error| invalid(&error)),
        other => Err(Error::Inconsistent(format!("a point has the id {other:?}, not a UUID"))),
    }
}

fn invalid(error: &dyn std::fmt::Display) -> Error {
    Error::Inconsistent(format!("a chunk cannot be read: {error}"))
}

// gRPC status codes, https://grpc.io/docs/guides/status-codes/
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;

fn is_missing(error: &QdrantError) -> bool {
    matches!(error, QdrantError::ResponseError { status } if i32::from(status.code()) == NOT_FOUND)
}

impl From<QdrantError> for Error {
    fn from(error: QdrantError) -> Self {
        match error {
            QdrantError::ResponseError { status } if i32::from(status.code()) == INVALID_ARGUMENT => {
                Self::Inconsistent(format!("Qdrant refused the request: {}", status.message()))
            }
            QdrantError::ResponseError { status } => {
                Self::Unavailable(anyhow::anyhow!("Qdrant: {} ({})", status.message(), status.code()))
            }
            error => Self::Unavailable(error.into()),
        }
    }
}
