//! The index in Qdrant, over gRPC.
//!
//! One collection with cosine distance; a point is a chunk, its payload the chunk itself, its hash and what
//! filters need. Facets are kept as one list of `name=value`, since a facet's name may hold what a payload
//! path may not.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use qdrant_client::Payload;
use qdrant_client::qdrant::collections_client::CollectionsClient;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::points_client::PointsClient;
use qdrant_client::qdrant::vectors_config::Config;
use qdrant_client::qdrant::{
    Condition, CreateCollection, CreateCollectionBuilder, DeleteCollection, DeletePoints,
    DeletePointsBuilder, Distance, Filter, GetCollectionInfoRequest, PointId, PointStruct, PointsIdsList,
    QueryPoints, QueryPointsBuilder, RetrievedPoint, ScrollPoints, ScrollPointsBuilder, SearchParamsBuilder,
    UpsertPoints, UpsertPointsBuilder, Value, VectorParamsBuilder,
};
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::error;
use crate::secret::Secret;
use crate::tls;

use super::{
    Chunk, DocumentKind, Error, Hit, Index, MAX_CHUNKS, Query, check_vector, content_hash, mismatch,
};

/// Name of the collection.
pub const COLLECTION: &str = "firewatch_knowledge";

/// Points of one request.
const PAGE: usize = 256;
/// Largest answer that is read; a page of chunks is far smaller.
const MESSAGE_BYTES: usize = 256 << 20;

/// How the server is reached.
#[derive(Debug, Clone)]
pub struct Server<'s> {
    /// Its gRPC address; `https://` for TLS, where certificate and host name are checked.
    pub url: &'s str,
    /// Longest wait for a connection and for an answer.
    pub timeout: Duration,
    /// Key it asks for; empty: none.
    pub api_key: &'s Secret,
    /// CA certificates to trust instead of the system's, PEM; empty: the system's.
    pub ca_file: &'s Path,
}

/// The index in Qdrant.
pub struct QdrantIndex {
    endpoint: Endpoint,
    key: Key,
    channel: OnceLock<Channel>,
}

/// Adds the key to each request.
#[derive(Clone)]
struct Key(Option<MetadataValue<Ascii>>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("api-key", key.clone());
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Key>;

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
    /// Uses that server. Does not connect yet; connects again by itself.
    pub fn new(server: &Server<'_>) -> Result<Self, Error> {
        let Server { url, timeout, api_key, ca_file } = server;
        let refused = |error: &dyn std::error::Error| {
            Error::Inconsistent(format!("qdrant_url {url:?}: {}", error::chain(error)))
        };
        let mut endpoint = Endpoint::from_shared((*url).to_owned())
            .map_err(|error| refused(&error))?
            .timeout(*timeout)
            .connect_timeout(*timeout);
        if url.starts_with("https://") {
            let tls =
                tls::grpc(ca_file).map_err(|error| Error::Inconsistent(format!("qdrant_ca_file {error}")))?;
            endpoint = endpoint.tls_config(tls).map_err(|error| refused(&error))?;
        }
        let key = if api_key.is_empty() {
            None
        } else {
            let mut key: MetadataValue<Ascii> = api_key.expose().parse().map_err(|_| {
                Error::Inconsistent("qdrant_api_key has characters that no key has".to_owned())
            })?;
            key.set_sensitive(true);
            Some(key)
        };
        Ok(Self { endpoint, key: Key(key), channel: OnceLock::new() })
    }

    fn channel(&self) -> Channel {
        self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone()
    }

    fn collections(&self) -> CollectionsClient<Service> {
        CollectionsClient::with_interceptor(self.channel(), self.key.clone())
    }

    fn points(&self) -> PointsClient<Service> {
        PointsClient::with_interceptor(self.channel(), self.key.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
    }

    /// Returns length of vectors and number of points; nothing where there is no collection.
    async fn head(&self) -> Result<Option<(usize, u64)>, Error> {
        let request = GetCollectionInfoRequest { collection_name: COLLECTION.to_owned() };
        let info = match self.collections().get(request).await {
            Err(status) if is_missing(&status) => return Ok(None),
            info => info?.into_inner().result.unwrap_or_default(),
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
        match self.collections().create(CreateCollection::from(request)).await {
            Ok(_) => Ok(()),
            // another process may have been quicker
            Err(status) => self.head().await?.map(drop).ok_or_else(|| status.into()),
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
            let page = match self.points().scroll(ScrollPoints::from(request)).await {
                Err(status) if is_missing(&status) => return Ok(points),
                page => page?.into_inner(),
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
                let request = DeleteCollection {
                    collection_name: COLLECTION.to_owned(),
                    ..DeleteCollection::default()
                };
                self.collections().delete(request).await?;
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
            let request = UpsertPointsBuilder::new(COLLECTION, page).wait(true);
            self.points().upsert(UpsertPoints::from(request)).await?;
        }
        Ok(())
    }

    async fn remove(&self, ids: &[Uuid]) -> Result<(), Error> {
        for page in ids.chunks(PAGE) {
            let ids = page.iter().map(|id| id.to_string().into()).collect();
            let request = DeletePointsBuilder::new(COLLECTION).points(PointsIdsList { ids }).wait(true);
            self.points().delete(DeletePoints::from(request)).await?;
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
        let found = self.points().query(QueryPoints::from(request)).await?.into_inner().result;
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
    Payload::try_from(json).map_err(|error| invalid(&error))
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

fn is_missing(status: &Status) -> bool {
    status.code() == Code::NotFound
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        if status.code() == Code::InvalidArgument {
            return Self::Inconsistent(format!("Qdrant refused the request: {}", status.message()));
        }
        let reason = match std::error::Error::source(&status) {
            // it never came to an answer: why, is in the causes
            Some(cause) => tls::refusal(cause).unwrap_or_else(|| error::chain(cause)),
            None => format!("{} ({:?})", status.message(), status.code()),
        };
        Self::Unavailable(anyhow::anyhow!("Qdrant: {reason}"))
    }
}
