//! Seeding twice changes nothing; a change of the content is followed exactly.

use knowledge::seed::{Outcome, seed};
use shared::catalogue::Catalogue;
use shared::knowledge::{Index, catalogue};

#[tokio::test]
async fn seeding_follows_the_content_and_is_safe_to_repeat() {
    let embedder = super::embedder().await;
    let (index, _database) = super::index().await;
    let mut chunks = super::content().chunks();
    let all = chunks.len();
    let mut outcomes = vec![
        seed(&chunks, &embedder, &index, false).await.unwrap(),
        seed(&chunks, &embedder, &index, false).await.unwrap(),
    ];
    chunks[0].text.push_str(" One more sentence.");
    chunks.pop();
    outcomes.push(seed(&chunks, &embedder, &index, false).await.unwrap());
    assert_eq!(
        outcomes,
        [
            Outcome { added: all, ..Outcome::default() },
            Outcome { unchanged: all, ..Outcome::default() },
            Outcome { unchanged: all - 2, updated: 1, removed: 1, added: 0 },
        ]
    );
    assert_eq!(index.document(&chunks[0].doc_id).await.unwrap()[0], chunks[0]);
    assert_eq!(index.hashes().await.unwrap().len(), all - 1);
}

#[tokio::test]
async fn a_rebuild_writes_everything_again() {
    let embedder = super::embedder().await;
    let (index, _database) = super::index().await;
    let chunks = super::content().chunks().split_off(180);
    seed(&chunks, &embedder, &index, false).await.unwrap();
    let outcome = seed(&chunks, &embedder, &index, true).await.unwrap();
    let all = chunks.len();
    assert_eq!(outcome, Outcome { added: all, removed: all, ..Outcome::default() });
}

#[tokio::test]
async fn the_catalogue_in_the_store_becomes_that_of_the_content() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let full = super::content().catalogue;
    let written = catalogue::replace(&store, &full).await.unwrap();
    assert_eq!((written.written, written.removed), (6, 0));
    assert_eq!(store.reads().catalogue().await.unwrap(), full);

    let fewer = Catalogue::new(full.services().filter(|service| service.name != "user").cloned().map(
        |mut service| {
            if service.name == "order" {
                service.tier = 2;
            }
            service
        },
    ));
    let changed = catalogue::replace(&store, &fewer).await.unwrap();
    assert_eq!((changed.unchanged, changed.written, changed.removed), (4, 1, 1));
    assert_eq!(store.reads().catalogue().await.unwrap(), fewer);
}
