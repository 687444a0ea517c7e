//! Which runbook is taken.

use remediation::lookup::Found;
use shared::events::Category;
use shared::events::rca::{Candidate, Verdict};

use crate::context::{Shelf, candidate, planned, ranking};

async fn taken(shelf: &Shelf, candidate: Candidate) -> Option<String> {
    match planned(shelf, &ranking(Verdict::Cause, vec![candidate])).await.0 {
        Found::Runbook(runbook) => Some(runbook.doc_id),
        Found::None | Found::Unreachable => None,
    }
}

#[tokio::test]
async fn the_first_reference_for_the_kind_of_cause_wins() {
    let candidate =
        candidate("payment", Category::Dependency, &["error-rate", "high-latency", "dependency-outage"]);
    assert_eq!(taken(&Shelf::shipped(), candidate).await.as_deref(), Some("runbook/high-latency"));
}

#[tokio::test]
async fn without_a_reference_the_catalogue_decides_and_then_the_kind_of_cause() {
    let shelf = Shelf::shipped();
    // payment's own list has dependency-outage after high-latency; both are for failing dependencies
    assert_eq!(
        taken(&shelf, candidate("payment", Category::Dependency, &[])).await.as_deref(),
        Some("runbook/high-latency")
    );
    // payment's list has nothing for a full disk
    assert_eq!(
        taken(&shelf, candidate("payment", Category::Disk, &[])).await.as_deref(),
        Some("runbook/disk-full")
    );
}

#[tokio::test]
async fn a_runbook_that_cannot_be_read_is_passed_over() {
    let mut shelf = Shelf::shipped();
    for chunk in shelf.0.iter_mut().flatten().filter(|chunk| chunk.doc_id == "runbook/high-latency") {
        chunk.text = chunk.text.replace("- Risk: low", "- Risk: none whatever");
    }
    let candidate = candidate("payment", Category::Dependency, &["high-latency"]);
    assert_eq!(taken(&shelf, candidate).await.as_deref(), Some("runbook/dependency-outage"));
}

#[tokio::test]
async fn a_runbook_for_another_kind_of_cause_is_never_followed() {
    let mut shelf = Shelf::shipped();
    shelf.0.as_mut().unwrap().retain(|chunk| chunk.doc_id != "runbook/memory-leak");
    assert_eq!(taken(&shelf, candidate("payment", Category::Memory, &["db-connections"])).await, None);
}
