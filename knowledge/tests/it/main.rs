//! The content as it is, indexed in a real PostgreSQL with the real model, and what is found in it.
//!
//! Needs `FIREWATCH_TEST_POSTGRES_URL` and `FIREWATCH_KNOWLEDGE__MODEL_DIR`.

mod content;
mod retrieval;
mod seeding;

use std::path::Path;

use knowledge::Content;
use shared::knowledge::embedding::FastEmbedder;
use shared::store::{Options, Store};

/// Returns the content of this repository.
fn content() -> Content {
    Content::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|problems| panic!("{problems}"))
}

fn required(variable: &str, what: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: {what}"))
}

async fn embedder() -> FastEmbedder {
    let directory = required("FIREWATCH_KNOWLEDGE__MODEL_DIR", "the directory of the embedding model");
    FastEmbedder::load(Path::new(&directory)).await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Returns an empty store in a schema of its own.
async fn store(schema: &str) -> Store {
    let url = required("FIREWATCH_TEST_POSTGRES_URL", "the address of a PostgreSQL database for tests");
    let options = Options { url, schema: schema.to_owned(), max_connections: 2, ..Options::default() };
    let store = Store::new(&options, "test").unwrap();
    let client = store.client().await.unwrap();
    client.batch_execute(&format!("drop schema if exists {schema} cascade")).await.unwrap();
    drop(client);
    store.migrate().await.unwrap();
    store
}
