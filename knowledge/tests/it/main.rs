//! The content as it is, indexed in a real PostgreSQL with the real model, and what is found in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod content;
mod lint;
mod oncall;
mod publishing;
mod retrieval;
mod seeding;

use std::path::Path;

use knowledge::Content;
use shared::knowledge::embedding::FastEmbedder;
use shared::knowledge::postgres::PostgresIndex;
use stack::testing::Database;

/// Returns the content of this repository.
fn content() -> Content {
    Content::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_else(|problems| panic!("{problems}"))
}

async fn embedder() -> FastEmbedder {
    let directory = stack::testing::model().await.unwrap();
    FastEmbedder::load(&directory).await.unwrap()
}

/// Returns an empty index and the database it is in, to be kept as long.
async fn index() -> (PostgresIndex, Database) {
    let database = stack::testing::postgres().await.unwrap();
    (PostgresIndex::new(database.store().unwrap()), database)
}
