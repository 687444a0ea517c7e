//! The document index: one conformance suite over both adapters.
//!
//! PostgreSQL is real. Qdrant is a double that speaks its gRPC interface, made from the client's own
//! generated types: it shows that the adapter says and understands the right things, not that a server does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod conformance;
pub(crate) mod double;

use std::path::Path;
use std::time::Duration;

use shared::knowledge::postgres::PostgresIndex;
use shared::knowledge::qdrant::{QdrantIndex, Server};
use shared::knowledge::{Error, Index, Query};
use shared::secret::Secret;

/// Runs every case of the suite over an adapter; each case gets an index of its own.
macro_rules! conforms {
    ($adapter:ident: $($case:ident),* $(,)?) => {
        mod $adapter {
            $(
                #[tokio::test]
                async fn $case() {
                    let (index, _keep) = super::$adapter().await;
                    super::conformance::$case(&*index).await;
                }
            )*
        }
    };
}

macro_rules! both_conform {
    ($($case:ident),* $(,)?) => {
        conforms!(postgres: $($case),*);
        conforms!(qdrant: $($case),*);
    };
}

both_conform![
    an_unprepared_index_is_empty_and_refuses_chunks,
    preparing_is_safe_to_repeat,
    an_index_with_chunks_keeps_its_dimensions,
    chunks_are_found_nearest_first,
    equal_scores_come_in_order_of_their_ids,
    kind_and_facets_narrow_what_is_found,
    a_document_is_read_in_order,
    writing_again_replaces_at_once,
    removed_chunks_are_gone,
    a_wrong_vector_changes_nothing,
    pages_are_read_to_the_end,
];

async fn postgres() -> (Box<dyn Index>, stack::testing::Database) {
    let database = stack::testing::postgres().await.unwrap();
    (Box::new(PostgresIndex::new(database.store().unwrap())), database)
}

async fn qdrant() -> (Box<dyn Index>, ()) {
    (Box::new(at(&double::start().await, Duration::from_secs(5))), ())
}

fn at(url: &str, timeout: Duration) -> QdrantIndex {
    let (api_key, ca_file) = (&Secret::default(), Path::new(""));
    QdrantIndex::new(&Server { url, timeout, api_key, ca_file }).unwrap()
}

#[tokio::test]
async fn a_qdrant_that_is_not_there_is_unavailable() {
    let vacant = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let index = at(&format!("http://{vacant}"), Duration::from_millis(500));
    let outcome = index.scan(&Query::default()).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_qdrant_that_hangs_is_unavailable_after_the_timeout() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let index = at(&url, Duration::from_millis(300));
    let outcome = tokio::time::timeout(Duration::from_secs(20), index.prepare(3)).await.expect("it gives up");
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
}
