//! Documents ordered anew by a cross-encoder, on the real ONNX Runtime with the real tokenizer of the embedding model. No weights of
//! a cross-encoder are at hand, so the model is one of two nodes: it scores a pair by the largest number of its tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use shared::events::Category;
use shared::knowledge::embedding::{FastEmbedder, TOKENIZER};
use shared::knowledge::postgres::PostgresIndex;
use shared::knowledge::reranking::{CrossEncoder, FILES, Reranker};
use shared::knowledge::retrieval::{By, Found, Retrieval};
use shared::knowledge::{Chunk, DocumentKind, Embedder, Error, Index, Query};

/// Protocol buffers as ONNX writes them: fields of one message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, mut value: usize) -> Self {
        while value > 0x7f {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn number(self, field: usize, value: usize) -> Self {
        self.varint(field << 3).varint(value)
    }

    fn bytes(self, field: usize, value: &[u8]) -> Self {
        let mut with = self.varint(field << 3 | 2).varint(value.len());
        with.0.extend(value);
        with
    }

    fn text(self, field: usize, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: usize, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }
}

const INT64: usize = 7;
const FLOAT: usize = 1;

/// A tensor with two free dimensions.
fn tensor(name: &str, kind: usize) -> Message {
    let dimension = |name: &str| Message::default().text(2, name);
    let shape = Message::default().message(1, &dimension("batch")).message(1, &dimension("tokens"));
    let of = Message::default().message(1, &Message::default().number(1, kind).message(2, &shape));
    Message::default().text(1, name).message(2, &of)
}

/// `logits = cast(reduce_max(input_ids))`.
fn model() -> Vec<u8> {
    let ints = |name: &str, value: usize| Message::default().text(1, name).number(8, value).number(20, 7);
    let int = |name: &str, value: usize| Message::default().text(1, name).number(3, value).number(20, 2);
    let largest = Message::default()
        .text(1, "input_ids")
        .text(2, "largest")
        .text(4, "ReduceMax")
        .message(5, &ints("axes", 1))
        .message(5, &int("keepdims", 1));
    let cast =
        Message::default().text(1, "largest").text(2, "logits").text(4, "Cast").message(5, &int("to", FLOAT));
    let graph = Message::default()
        .message(1, &largest)
        .message(1, &cast)
        .text(2, "largest_token")
        .message(11, &tensor("input_ids", INT64))
        .message(11, &tensor("attention_mask", INT64))
        .message(12, &tensor("logits", FLOAT));
    let opset = Message::default().text(1, "").number(2, 13);
    Message::default().number(1, 8).message(8, &opset).message(7, &graph).0
}

fn folder(name: &str, model_dir: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(FILES[0]), model()).unwrap();
    std::fs::copy(model_dir.join(TOKENIZER), folder.join(FILES[1])).unwrap();
    for (name, text) in [
        (FILES[2], r#"{"pad_token_id":0}"#),
        (
            FILES[3],
            r#"{"unk_token":"[UNK]","sep_token":"[SEP]","pad_token":"[PAD]","cls_token":"[CLS]","mask_token":"[MASK]"}"#,
        ),
        (FILES[4], r#"{"model_max_length":512,"pad_token":"[PAD]"}"#),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    folder
}

fn runbook(name: &str, text: &str) -> Chunk {
    Chunk {
        doc_id: format!("runbook/{name}"),
        kind: DocumentKind::Runbook,
        title: name.into(),
        section: "Overview".into(),
        ordinal: 0,
        text: text.into(),
        facets: [("owner".to_owned(), Category::Pool.to_string())].into(),
    }
}

fn ids(found: &[Found]) -> Vec<&str> {
    found.iter().map(|one| one.chunk.doc_id.as_str()).collect()
}

/// A model that does not work.
struct Broken;

#[async_trait]
impl Reranker for Broken {
    async fn scores(&self, _: &str, _: Vec<String>) -> Result<Vec<f32>, Error> {
        Err(Error::Inconsistent("broken".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_documents_stand_in_the_order_of_the_cross_encoder() {
    let model_dir = stack::testing::model().await.unwrap();
    let folder = folder("cross-encoder", &model_dir);
    let embedder = Arc::new(FastEmbedder::load(&model_dir).await.unwrap());
    let database = stack::testing::postgres().await.unwrap();
    let index = Arc::new(PostgresIndex::new(database.store().unwrap()));
    let chunks = [
        runbook("pool", "the connection pool is exhausted"),
        runbook("disk", "the disk of the pool host is full: zookeeper logs"),
        runbook("wine", "a pool of water and a bottle of wine"),
    ];
    index.prepare(embedder.dimensions()).await.unwrap();
    let texts: Vec<String> = chunks.iter().map(|chunk| chunk.text.clone()).collect();
    let vectors = embedder.embed(&texts).await.unwrap();
    let rows: Vec<_> = chunks.iter().cloned().zip(vectors).collect();
    index.upsert(&rows).await.unwrap();

    let reranker = Arc::new(CrossEncoder::load(&folder, &model_dir).await.unwrap());
    let query = Query { text: "connection pool exhausted".into(), limit: 3, ..Query::default() };
    let plain = Retrieval::new(embedder, index);
    let fused = plain.search(&query).await.unwrap();
    assert_eq!(ids(&fused)[0], "runbook/pool");
    let scored = fused.iter().map(|one| format!("{}\n{}", one.chunk.title, one.chunk.text)).collect();
    let scores = reranker.scores(&query.text, scored).await.unwrap();
    let mut order: Vec<usize> = (0..3).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let expected: Vec<&str> = order.iter().map(|place| ids(&fused)[*place]).collect();
    assert_ne!(expected, ids(&fused), "{scores:?}");

    let reranked = plain.clone().reranked_by(reranker);
    let found = reranked.search(&query).await.unwrap();
    assert_eq!(ids(&found), expected);
    let held = |found: &[Found]| found.iter().map(|one| one.score).collect::<Vec<_>>();
    assert_eq!(held(&found), held(&fused), "scores fall along the new order");
    let explained = reranked.explain(&query, By::Both, expected[0]).await.unwrap().unwrap();
    assert_eq!(explained.rank, Some(1));
    assert_eq!(explained.fused_rank, Some(1 + ids(&fused).iter().position(|id| *id == expected[0]).unwrap()));
    // other rankings are as they were, and so is the answer where the model fails
    let words = reranked.search_by(&query, By::Words).await.unwrap();
    assert_eq!(ids(&words), ids(&plain.search_by(&query, By::Words).await.unwrap()));
    let broken = plain.clone().reranked_by(Arc::new(Broken));
    assert_eq!(broken.search(&query).await.unwrap(), fused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named_with_its_setting() {
    let model_dir = stack::testing::model().await.unwrap();
    for name in FILES {
        let folder = folder(&format!("cross-encoder-without-{name}"), &model_dir);
        std::fs::remove_file(folder.join(name)).unwrap();
        let Err(error) = CrossEncoder::load(&folder, &model_dir).await else { panic!("{name} is missing") };
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("knowledge.reranker_dir"), "{text}");
    }
}
