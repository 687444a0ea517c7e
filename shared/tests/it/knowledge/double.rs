//! A double of Qdrant's gRPC interface, as far as the adapter uses it. What it does not know it refuses.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use qdrant_client::qdrant::collections_server::{Collections, CollectionsServer};
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use qdrant_client::qdrant::points_server::{Points, PointsServer};
use qdrant_client::qdrant::value::Kind;
use qdrant_client::qdrant::vector::Vector;
use qdrant_client::qdrant::vectors::VectorsOptions;
use qdrant_client::qdrant::with_payload_selector::SelectorOptions;
use qdrant_client::qdrant::{self, PointId, Value, query, vector_input, vectors_config};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// Starts a double without collections and returns its address. It lives as long as the test's runtime.
pub(super) async fn start() -> String {
    start_with(None, "").await
}

/// As [`start`], with the certificate and key of a server, and with a key that clients must show; empty: none.
pub(crate) async fn start_with(tls: Option<(String, String)>, api_key: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let double = Double::default();
    let check = move |request: Request<()>| {
        let shown = request.metadata().get("api-key").map_or(&b""[..], |key| key.as_bytes());
        if shown == api_key.as_bytes() {
            Ok(request)
        } else {
            Err(Status::unauthenticated("Invalid API key"))
        }
    };
    let (mut server, scheme) = (Server::builder(), if tls.is_some() { "https" } else { "http" });
    if let Some((certificate, key)) = tls {
        let identity = Identity::from_pem(certificate, key);
        server = server.tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
    }
    let server = server
        .add_service(PointsServer::with_interceptor(double.clone(), check))
        .add_service(CollectionsServer::with_interceptor(double, check));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    format!("{scheme}://localhost:{port}")
}

type Payload = HashMap<String, Value>;

#[derive(Clone, Default)]
struct Double {
    collections: Arc<Mutex<BTreeMap<String, Collection>>>,
}

struct Collection {
    params: qdrant::VectorParams,
    points: BTreeMap<String, (Vec<f32>, Payload)>,
}

impl Double {
    fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Collection) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let mut collections = self.collections.lock().unwrap();
        let missing = || Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"));
        act(collections.get_mut(name).ok_or_else(missing)?).map(Response::new)
    }
}

fn uuid(id: Option<PointId>) -> Result<String, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => Ok(text),
        other => Err(Status::unimplemented(format!("id {other:?}"))),
    }
}

fn keywords(value: Option<&Value>) -> Vec<&str> {
    match value.and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(text)) => vec![text],
        Some(Kind::ListValue(list)) => list.values.iter().flat_map(|item| keywords(Some(item))).collect(),
        _ => Vec::new(),
    }
}

/// A point passes when each field that is asked for is, or contains, the keyword.
fn passes(filter: Option<&qdrant::Filter>, payload: &Payload) -> Result<bool, Status> {
    let Some(filter) = filter else { return Ok(true) };
    if !filter.should.is_empty() || !filter.must_not.is_empty() || filter.min_should.is_some() {
        return Err(Status::unimplemented("only `must` is known"));
    }
    for condition in &filter.must {
        let Some(ConditionOneOf::Field(field)) = &condition.condition_one_of else {
            return Err(Status::unimplemented("only conditions on fields are known"));
        };
        let Some(MatchValue::Keyword(wanted)) =
            field.r#match.as_ref().and_then(|found| found.match_value.as_ref())
        else {
            return Err(Status::unimplemented("only keywords are known"));
        };
        if !keywords(payload.get(&field.key)).contains(&&**wanted) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn shown(selector: Option<&qdrant::WithPayloadSelector>, payload: &Payload) -> Payload {
    match selector.and_then(|selector| selector.selector_options.as_ref()) {
        Some(SelectorOptions::Enable(true)) => payload.clone(),
        _ => Payload::new(),
    }
}

fn dimension_error(expected: u64, got: usize) -> Status {
    Status::invalid_argument(format!(
        "Wrong input: Vector dimension error: expected dim: {expected}, got {got}"
    ))
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

fn done() -> qdrant::PointsOperationResponse {
    let result =
        qdrant::UpdateResult { status: qdrant::UpdateStatus::Completed.into(), ..Default::default() };
    qdrant::PointsOperationResponse { result: Some(result), ..Default::default() }
}

/// Implements a service: the methods that are written out, and a refusal for each that is only named.
macro_rules! service {
    (impl $service:ident { $($known:tt)* } refuses { $($name:ident($request:ident) -> $reply:ident;)* }) => {
        #[tonic::async_trait]
        impl $service for Double {
            $($known)*
            $(
                async fn $name(&self, _: Request<qdrant::$request>) -> Result<Response<qdrant::$reply>, Status> {
                    Err(Status::unimplemented(stringify!($name)))
                }
            )*
        }
    };
}

service! {
    impl Points {
        async fn upsert(
            &self,
            request: Request<qdrant::UpsertPoints>,
        ) -> Result<Response<qdrant::PointsOperationResponse>, Status> {
            let request = request.into_inner();
            self.with(&request.collection_name, |collection| {
                for point in request.points {
                    let vector = match point.vectors.and_then(|vectors| vectors.vectors_options) {
                        Some(VectorsOptions::Vector(qdrant::Vector { vector: Some(Vector::Dense(dense)), .. })) => {
                            dense.data
                        }
                        other => return Err(Status::unimplemented(format!("vector {other:?}"))),
                    };
                    if vector.len() as u64 != collection.params.size {
                        return Err(dimension_error(collection.params.size, vector.len()));
                    }
                    collection.points.insert(uuid(point.id)?, (vector, point.payload));
                }
                Ok(done())
            })
        }

        async fn delete(
            &self,
            request: Request<qdrant::DeletePoints>,
        ) -> Result<Response<qdrant::PointsOperationResponse>, Status> {
            let request = request.into_inner();
            self.with(&request.collection_name, |collection| {
                match request.points.and_then(|points| points.points_selector_one_of) {
                    Some(PointsSelectorOneOf::Points(list)) => {
                        for id in list.ids {
                            collection.points.remove(&uuid(Some(id))?);
                        }
                        Ok(done())
                    }
                    other => Err(Status::unimplemented(format!("selector {other:?}"))),
                }
            })
        }

        async fn scroll(
            &self,
            request: Request<qdrant::ScrollPoints>,
        ) -> Result<Response<qdrant::ScrollResponse>, Status> {
            let request = request.into_inner();
            let from = request.offset.map(|offset| uuid(Some(offset))).transpose()?.unwrap_or_default();
            self.with(&request.collection_name, |collection| {
                let mut result = Vec::new();
                let mut next_page_offset = None;
                for (id, (_, payload)) in collection.points.range(from..) {
                    if !passes(request.filter.as_ref(), payload)? {
                        continue;
                    }
                    if result.len() as u32 == request.limit.unwrap_or(10) {
                        next_page_offset = Some(id.clone().into());
                        break;
                    }
                    let payload = shown(request.with_payload.as_ref(), payload);
                    result.push(qdrant::RetrievedPoint { id: Some(id.clone().into()), payload, ..Default::default() });
                }
                Ok(qdrant::ScrollResponse { result, next_page_offset, ..Default::default() })
            })
        }

        async fn query(
            &self,
            request: Request<qdrant::QueryPoints>,
        ) -> Result<Response<qdrant::QueryResponse>, Status> {
            let request = request.into_inner();
            let vector = match request.query.and_then(|query| query.variant) {
                Some(query::Variant::Nearest(qdrant::VectorInput {
                    variant: Some(vector_input::Variant::Dense(dense)),
                })) => dense.data,
                other => return Err(Status::unimplemented(format!("query {other:?}"))),
            };
            self.with(&request.collection_name, |collection| {
                if vector.len() as u64 != collection.params.size {
                    return Err(dimension_error(collection.params.size, vector.len()));
                }
                let mut result = Vec::new();
                for (id, (held, payload)) in &collection.points {
                    if passes(request.filter.as_ref(), payload)? {
                        let payload = shown(request.with_payload.as_ref(), payload);
                        let (id, score) = (Some(id.clone().into()), cosine(&vector, held));
                        result.push(qdrant::ScoredPoint { id, payload, score, ..Default::default() });
                    }
                }
                // a server promises nothing about the order of equal scores: here it is the opposite of ours
                result.reverse();
                result.sort_by(|a, b| b.score.total_cmp(&a.score));
                result.truncate(request.limit.unwrap_or(10) as usize);
                Ok(qdrant::QueryResponse { result, ..Default::default() })
            })
        }
    } refuses {
        get(GetPoints) -> GetResponse;
        update_vectors(UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(DeletePointVectors) -> PointsOperationResponse;
        set_payload(SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse;
        create_field_index(CreateFieldIndexCollection) -> PointsOperationResponse;
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse;
        create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse;
        delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse;
        search(SearchPoints) -> SearchResponse;
        search_batch(SearchBatchPoints) -> SearchBatchResponse;
        search_groups(SearchPointGroups) -> SearchGroupsResponse;
        recommend(RecommendPoints) -> RecommendResponse;
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse;
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse;
        discover(DiscoverPoints) -> DiscoverResponse;
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse;
        count(CountPoints) -> CountResponse;
        update_batch(UpdateBatchPoints) -> UpdateBatchResponse;
        query_batch(QueryBatchPoints) -> QueryBatchResponse;
        query_groups(QueryPointGroups) -> QueryGroupsResponse;
        facet(FacetCounts) -> FacetResponse;
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse;
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse;
    }
}

service! {
    impl Collections {
        async fn get(
            &self,
            request: Request<qdrant::GetCollectionInfoRequest>,
        ) -> Result<Response<qdrant::GetCollectionInfoResponse>, Status> {
            self.with(&request.into_inner().collection_name, |collection| {
                let config = Some(vectors_config::Config::Params(collection.params));
                let vectors_config = Some(qdrant::VectorsConfig { config });
                let params = Some(qdrant::CollectionParams { vectors_config, ..Default::default() });
                let result = qdrant::CollectionInfo {
                    config: Some(qdrant::CollectionConfig { params, ..Default::default() }),
                    points_count: Some(collection.points.len() as u64),
                    ..Default::default()
                };
                Ok(qdrant::GetCollectionInfoResponse { result: Some(result), ..Default::default() })
            })
        }

        async fn create(
            &self,
            request: Request<qdrant::CreateCollection>,
        ) -> Result<Response<qdrant::CollectionOperationResponse>, Status> {
            let request = request.into_inner();
            let name = request.collection_name;
            let params = match request.vectors_config.and_then(|vectors| vectors.config) {
                Some(vectors_config::Config::Params(params)) => params,
                other => return Err(Status::unimplemented(format!("vectors {other:?}"))),
            };
            let mut collections = self.collections.lock().unwrap();
            if collections.contains_key(&name) {
                return Err(Status::already_exists(format!("Wrong input: Collection `{name}` already exists!")));
            }
            collections.insert(name, Collection { params, points: BTreeMap::new() });
            Ok(Response::new(qdrant::CollectionOperationResponse { result: true, ..Default::default() }))
        }

        async fn delete(
            &self,
            request: Request<qdrant::DeleteCollection>,
        ) -> Result<Response<qdrant::CollectionOperationResponse>, Status> {
            let gone = self.collections.lock().unwrap().remove(&request.into_inner().collection_name).is_some();
            Ok(Response::new(qdrant::CollectionOperationResponse { result: gone, ..Default::default() }))
        }
    } refuses {
        list(ListCollectionsRequest) -> ListCollectionsResponse;
        update(UpdateCollection) -> CollectionOperationResponse;
        update_aliases(ChangeAliases) -> CollectionOperationResponse;
        list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse;
        list_aliases(ListAliasesRequest) -> ListAliasesResponse;
        collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse;
        collection_exists(CollectionExistsRequest) -> CollectionExistsResponse;
        update_collection_cluster_setup(UpdateCollectionClusterSetupRequest) -> UpdateCollectionClusterSetupResponse;
        create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse;
        delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse;
        list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse;
    }
}
