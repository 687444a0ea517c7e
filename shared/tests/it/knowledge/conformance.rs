//! What every index does, in vectors of three numbers.

use std::collections::BTreeMap;

use shared::knowledge::{Chunk, DocumentKind, Error, Hit, Index, Query, YES, content_hash, facet};

const X: [f32; 3] = [1.0, 0.0, 0.0];
const Y: [f32; 3] = [0.0, 1.0, 0.0];
/// Between the two, nearer to [`X`].
const NEAR_X: [f32; 3] = [0.8, 0.6, 0.0];

fn chunk(doc_id: &str, ordinal: u32) -> Chunk {
    let (kind, category) = match doc_id.split_once('/') {
        Some(("runbook", slug)) => (DocumentKind::Runbook, slug),
        _ => (DocumentKind::Incident, "pool"),
    };
    Chunk {
        doc_id: doc_id.into(),
        kind,
        title: format!("Title of {doc_id}"),
        section: format!("Section {ordinal}"),
        ordinal,
        text: "Umlaute äöü, \"quotes\", a brace { and\na second line.".into(),
        facets: BTreeMap::from([
            ("owner".to_owned(), "data platform=1".to_owned()),
            (facet("category", category), YES.to_owned()),
        ]),
    }
}

async fn filled(index: &dyn Index) -> [Chunk; 4] {
    let chunks = [
        chunk("runbook/pool", 0),
        chunk("runbook/pool", 1),
        chunk("runbook/lag", 0),
        chunk("incident/INC-1", 0),
    ];
    index.prepare(3).await.unwrap();
    let vectors = [X, NEAR_X, Y, Y];
    let rows: Vec<_> = chunks.iter().cloned().zip(vectors.map(Vec::from)).collect();
    index.upsert(&rows).await.unwrap();
    chunks
}

fn places(hits: &[Hit]) -> Vec<(&str, u32)> {
    hits.iter().map(|hit| (&*hit.chunk.doc_id, hit.chunk.ordinal)).collect()
}

fn inconsistent<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Inconsistent(reason)) => reason,
        other => panic!("not refused as inconsistent: {other:?}"),
    }
}

pub(super) async fn an_unprepared_index_is_empty_and_refuses_chunks(index: &dyn Index) {
    assert!(index.hashes().await.unwrap().is_empty());
    assert!(index.scan(&Query::default()).await.unwrap().is_empty());
    assert!(index.document("runbook/pool").await.unwrap().is_empty());
    assert!(index.nearest(&X, &Query { limit: 3, ..Query::default() }).await.unwrap().is_empty());
    let reason = inconsistent(index.upsert(&[(chunk("runbook/pool", 0), X.to_vec())]).await);
    assert!(reason.contains("seeder"), "{reason}");
}

pub(super) async fn preparing_is_safe_to_repeat(index: &dyn Index) {
    let chunks = filled(index).await;
    index.prepare(3).await.unwrap();
    assert_eq!(index.scan(&Query::default()).await.unwrap().len(), chunks.len());
}

pub(super) async fn an_index_with_chunks_keeps_its_dimensions(index: &dyn Index) {
    index.prepare(7).await.unwrap();
    let chunks = filled(index).await;
    let reason = inconsistent(index.prepare(7).await);
    assert!(reason.contains("--rebuild"), "{reason}");
    index.remove(&chunks.map(|chunk| chunk.id())).await.unwrap();
    index.prepare(7).await.unwrap();
}

pub(super) async fn chunks_are_found_nearest_first(index: &dyn Index) {
    let chunks = filled(index).await;
    let hits = index.nearest(&X, &Query { limit: 2, ..Query::default() }).await.unwrap();
    assert_eq!(places(&hits), [("runbook/pool", 0), ("runbook/pool", 1)]);
    assert!((hits[0].score - 1.0).abs() < 1e-6 && (hits[1].score - 0.8).abs() < 1e-6, "{hits:?}");
    assert_eq!(hits[0].chunk, chunks[0], "a chunk comes back as it was");
    assert!(index.nearest(&X, &Query::default()).await.unwrap().is_empty(), "a limit of 0 finds nothing");
}

pub(super) async fn equal_scores_come_in_order_of_their_ids(index: &dyn Index) {
    let [_, _, lag, incident] = filled(index).await;
    let hits = index.nearest(&Y, &Query { limit: 4, ..Query::default() }).await.unwrap();
    let mut expected = [lag, incident];
    expected.sort_by_key(Chunk::id);
    assert_eq!([&hits[0].chunk, &hits[1].chunk], [&expected[0], &expected[1]]);
}

pub(super) async fn kind_and_facets_narrow_what_is_found(index: &dyn Index) {
    filled(index).await;
    let runbooks = Query { kind: Some(DocumentKind::Runbook), limit: 9, ..Query::default() };
    assert_eq!(index.nearest(&X, &runbooks).await.unwrap().len(), 3);
    assert_eq!(index.scan(&runbooks).await.unwrap().len(), 3);

    let pool = Query { facets: BTreeMap::from([(facet("category", "pool"), YES.to_owned())]), ..runbooks };
    assert_eq!(places(&index.nearest(&Y, &pool).await.unwrap()), [("runbook/pool", 1), ("runbook/pool", 0)]);
    assert_eq!(index.scan(&pool).await.unwrap().len(), 2);

    let owner = BTreeMap::from([("owner".to_owned(), "data platform=1".to_owned())]);
    assert_eq!(index.scan(&Query { facets: owner, ..Query::default() }).await.unwrap().len(), 4);
    let nobody = BTreeMap::from([("owner".to_owned(), "nobody".to_owned())]);
    assert!(index.scan(&Query { facets: nobody, ..Query::default() }).await.unwrap().is_empty());
}

pub(super) async fn a_document_is_read_in_order(index: &dyn Index) {
    index.prepare(3).await.unwrap();
    let sections: Vec<_> =
        [2, 0, 1].into_iter().map(|ordinal| (chunk("runbook/pool", ordinal), X.to_vec())).collect();
    index.upsert(&sections).await.unwrap();
    let read = index.document("runbook/pool").await.unwrap();
    assert_eq!(read.iter().map(|chunk| chunk.ordinal).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(index.document("runbook/none").await.unwrap().is_empty());
}

pub(super) async fn writing_again_replaces_at_once(index: &dyn Index) {
    let [mut changed, ..] = filled(index).await;
    assert_eq!(index.hashes().await.unwrap()[&changed.id()], content_hash(&changed));
    changed.text = "another text".into();
    index.upsert(&[(changed.clone(), Y.to_vec())]).await.unwrap();

    let hashes = index.hashes().await.unwrap();
    assert_eq!((hashes.len(), &hashes[&changed.id()]), (4, &content_hash(&changed)));
    assert_eq!(index.document("runbook/pool").await.unwrap()[0], changed);
    let nearest = index.nearest(&X, &Query { limit: 1, ..Query::default() }).await.unwrap();
    assert_eq!(places(&nearest), [("runbook/pool", 1)], "the vector is replaced too");
}

pub(super) async fn removed_chunks_are_gone(index: &dyn Index) {
    let [first, second, ..] = filled(index).await;
    assert_eq!(index.scan(&Query::default()).await.unwrap().len(), 4);
    index.remove(&[first.id(), chunk("runbook/unknown", 0).id()]).await.unwrap();
    assert_eq!(index.document("runbook/pool").await.unwrap(), [second]);
    assert_eq!(index.hashes().await.unwrap().len(), 3);
}

pub(super) async fn a_wrong_vector_changes_nothing(index: &dyn Index) {
    filled(index).await;
    for wrong in [vec![1.0, 0.0], vec![2.0, 0.0, 0.0], vec![f32::NAN, 0.0, 0.0]] {
        let rows = [(chunk("runbook/new", 0), X.to_vec()), (chunk("runbook/new", 1), wrong.clone())];
        inconsistent(index.upsert(&rows).await);
        inconsistent(index.nearest(&wrong, &Query { limit: 1, ..Query::default() }).await);
    }
    assert_eq!(index.hashes().await.unwrap().len(), 4);
}

pub(super) async fn pages_are_read_to_the_end(index: &dyn Index) {
    index.prepare(3).await.unwrap();
    let many: Vec<_> = (0..600).map(|ordinal| (chunk("runbook/long", ordinal), X.to_vec())).collect();
    index.upsert(&many).await.unwrap();
    assert_eq!(index.hashes().await.unwrap().len(), 600);
    let read = index.scan(&Query::default()).await.unwrap();
    assert!(read.iter().map(|chunk| chunk.ordinal).eq(0..600));
    index.remove(&read.iter().map(Chunk::id).collect::<Vec<_>>()).await.unwrap();
    assert!(index.scan(&Query::default()).await.unwrap().is_empty());
}
