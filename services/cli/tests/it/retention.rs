//! Rows go after their ages, and a person's data on request: what the commands print and change.

use std::collections::{BTreeMap, BTreeSet};

use cli::privacy::{NOT_REACHED, Outcome, render};
use cli::retention::{Ran, preview, removed};
use shared::events::Topic;
use shared::store::erasure::Erased;
use shared::store::retention::{Due, End, Turn};
use stack::testing::bench::Bench;

use crate::fixtures::screen;
use crate::learning::{firewatch, investigated, json, printed};

#[test]
fn what_would_go_and_what_went_are_tables() {
    let due = |table, what, setting, after_hours, rows, oldest_s| Due {
        table,
        what,
        setting,
        after_hours,
        rows,
        has_more: rows == 1_000_000,
        oldest_s,
    };
    let all = [
        due(
            "incidents",
            "incidents that are over",
            Some("incidents_days"),
            Some(9_600),
            12,
            Some(35_000_000.0),
        ),
        due("signals", "of these incidents", Some("incidents_days"), Some(9_600), 1_000_000, None),
        due("audit", "audit trail of removed incidents", Some("audit_days"), None, 0, Some(7_300.0)),
        due("edge_minutes", "figures of calls by the minute", None, Some(2), 0, None),
    ];
    let turn = |end, removed| Ran {
        ages: BTreeMap::from([("incidents_days", 400), ("audit_days", 0)]),
        turn: Turn { end, removed },
    };
    let went = [
        turn(End::Done, BTreeMap::from([("incidents", 12), ("signals", 144)])),
        turn(End::Done, BTreeMap::new()),
        turn(End::Busy, BTreeMap::new()),
    ];
    let mut pages = vec![preview(&all, &screen())];
    pages.extend(went.iter().map(|ran| removed(ran, &screen())));
    insta::assert_snapshot!("retention", pages.join("---\n"));
}

#[test]
fn an_erasure_says_what_it_reached_and_what_not_and_never_whom() {
    let found = Erased {
        placeholder: Some("erased-0123456789".into()),
        rows: BTreeMap::from([("audit", 3), ("commands", 1)]),
        texts: 5,
        sealed: 1,
        values: BTreeSet::new(),
    };
    let values = BTreeSet::from(["Jane".into(), "slack:@jane\u{1b}[31m".into()]);
    let outcome = |is_preview, erased| Outcome { is_preview, erased, not_reached: NOT_REACHED.to_vec() };
    let pages = [
        outcome(false, found.clone()),
        outcome(true, Erased { placeholder: None, sealed: 0, values, ..found }),
        outcome(false, Erased::default()),
    ];
    let pages: Vec<String> = pages.iter().map(|outcome| render(outcome, &screen())).collect();
    insta::assert_snapshot!("privacy", pages.join("---\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_counted_then_removed_with_the_ages_of_the_settings() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let (id, number) = investigated(&bench).await;
    let client = shared::testing::client(&bench.store).await.unwrap();
    let old = "update incidents set state = 'closed', resolved_at = now() - interval '500 days', \
        updated_at = now() - interval '500 days'; \
        update signals set status = 'cleared', observed_at = now() - interval '500 days'";
    client.batch_execute(old).await.unwrap();
    let rows = |printed: &serde_json::Value, table: &str| {
        let all = printed.as_array().unwrap();
        all.iter().find(|due| due["table"] == table).unwrap()["rows"].as_i64().unwrap()
    };
    let counted = json(&firewatch(&bench, &["retention", "preview", "--json"]));
    assert_eq!((rows(&counted, "incidents"), rows(&counted, "signals")), (1, 2), "{counted:#}");
    assert!(bench.store.reads().incident(id).await.unwrap().is_some());

    let refused = firewatch(&bench, &["retention", "run", "--json"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(why.contains("incidents_days 400") && why.contains("--yes"), "{why}");
    assert!(bench.store.reads().incident(id).await.unwrap().is_some(), "nothing was removed");
    let turn = json(&firewatch(&bench, &["retention", "run", "--yes", "--json"]));
    assert_eq!(turn["ages"]["incidents_days"], 400);
    assert_eq!(
        (&turn["end"], &turn["removed"]["incidents"], &turn["removed"]["signals"]),
        (&"done".into(), &1.into(), &2.into())
    );
    let shown = firewatch(&bench, &["incidents", "show", &number.to_string()]);
    assert_eq!(shown.status.code(), Some(3), "{shown:?}");
    let again = printed(&firewatch(&bench, &["retention", "run", "--yes"]));
    assert!(
        again.starts_with("ages: ") && again.ends_with("\nnothing is old enough to be removed\n"),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_counted_then_erased() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    investigated(&bench).await;
    let client = shared::testing::client(&bench.store).await.unwrap();
    client.batch_execute("update incidents set body = body || '{\"assignee\": \"jane\"}'").await.unwrap();
    let erase = |arguments: &[&str]| {
        let all = [&["privacy", "erase", "--by", "ann", "--person", "jane"], arguments].concat();
        firewatch(&bench, &all)
    };
    let counted = json(&erase(&["--preview", "--json"]));
    assert_eq!(
        (&counted["is_preview"], &counted["rows"]["incidents"]),
        (&true.into(), &1.into()),
        "{counted:#}"
    );
    assert_eq!(counted["values"], serde_json::json!(["jane"]), "{counted:#}");
    let agent = firewatch(&bench, &["privacy", "erase", "--by", "ann", "--person", "Correlation"]);
    assert_eq!(agent.status.code(), Some(2), "{agent:?}");
    let erased = erase(&[]);
    let text = printed(&erased);
    assert!(
        text.contains("1 text in 1 row replaced by erased-") && text.contains("redaction.seal_key"),
        "{text}"
    );
    assert!(!text.contains("jane") && erased.stderr.is_empty(), "{text}");
    let again = json(&erase(&["--json"]));
    assert_eq!((&again["placeholder"], &again["texts"]), (&().into(), &0.into()), "{again:#}");
}
