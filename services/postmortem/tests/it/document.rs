//! What the document says.

use jiff::civil::date;
use postmortem::{actions, document};
use shared::events::anomaly::Ended;
use shared::events::postmortem::Priority;
use shared::events::{Category, Severity};
use shared::store::commands::Outcome;
use shared::store::{NotificationKind, NotificationState};

use crate::scenario::{after, asked, exhausted_connections, said, unknown_cause};

#[test]
fn exhausted_connections_are_written_up() {
    insta::assert_snapshot!(document::write(&exhausted_connections().record()).markdown);
}

#[test]
fn an_unknown_cause_is_written_up_as_unknown() {
    insta::assert_snapshot!(document::write(&unknown_cause().record()).markdown);
}

#[test]
fn an_end_without_recovery_is_written_up_as_such() {
    let sections = [Ended::NewLevel, Ended::SourceGone, Ended::Retired, Ended::Forced].map(|reason| {
        let mut scenario = exhausted_connections();
        scenario.incident.resolution = Some(reason);
        scenario.incident.signals[0].ended = Some(reason);
        let markdown = document::write(&scenario.record()).markdown;
        assert!(!markdown.contains("back to normal"), "{markdown}");
        let section = |title: &str| {
            let text = markdown.split(&format!("## {title}\n\n")).nth(1).unwrap();
            text.split("\n## ").next().unwrap().to_owned()
        };
        format!("{}\n{}\n{}", section("Summary"), section("Impact"), section("Resolution"))
    });
    insta::assert_snapshot!(sections.join("\n----\n"));
}

#[test]
fn times_are_those_of_the_record() {
    let postmortem = document::write(&exhausted_connections().record());
    let times = postmortem.times;
    assert_eq!((times.to_detect_ms, times.to_cause_ms, times.to_resolve_ms), (20_000, Some(10_000), 220_000));
    assert_eq!(postmortem.generated_at, after(220));
    assert_eq!(
        document::write(&unknown_cause().record()).times.to_cause_ms,
        None,
        "an unknown cause was not found"
    );
}

#[test]
fn the_worse_it_was_the_sooner_items_are_due() {
    let over = date(2026, 2, 25);
    let due = |severity| actions::due(severity, over);
    assert_eq!(due(Severity::Sev1), date(2026, 3, 4));
    assert_eq!(due(Severity::Sev2), date(2026, 3, 4));
    assert_eq!(due(Severity::Sev3), date(2026, 3, 11));
    assert_eq!(due(Severity::Sev4), date(2026, 3, 27));
    let items = document::write(&exhausted_connections().record()).action_items;
    assert!(
        items
            .iter()
            .all(|item| item.due == date(2026, 3, 21) && !item.owner.is_empty() && !item.reason.is_empty())
    );
}

#[test]
fn a_bad_deployment_is_a_matter_of_rollouts_and_not_of_people() {
    let mut scenario = exhausted_connections();
    scenario.cause.as_mut().unwrap().candidates[0].category = Category::Deployment;
    let postmortem = document::write(&scenario.record());
    let text = serde_json::to_string(&postmortem).unwrap();
    assert!(!text.contains("jo@shop.example"), "{}", postmortem.markdown);
    assert!(postmortem.markdown.contains("it named the risks holds a connection"), "{}", postmortem.markdown);
    assert!(postmortem.action_items[0].title.starts_with("Let a rollout of payment stop by itself"));
}

#[test]
fn an_incident_of_which_little_is_known_still_has_its_document() {
    let mut scenario = unknown_cause();
    scenario.cause = None;
    scenario.trail.clear();
    scenario.notifications.clear();
    scenario.incident.signals.clear();
    scenario.incident.suspects.clear();
    scenario.incident.affected_services = vec!["ledger".into()];
    let postmortem = document::write(&scenario.record());
    assert!(postmortem.markdown.contains("No investigation is on record, so no cause is claimed"));
    assert!(
        postmortem.action_items.iter().any(|item| item.title == "Describe ledger in the service catalogue")
    );
}

#[test]
fn it_is_the_same_however_soon_people_are_told_that_it_is_over() {
    let mut scenario = exhausted_connections();
    let before = document::write(&scenario.record());
    for state in [NotificationState::Pending, NotificationState::Sent, NotificationState::Failed] {
        let mut resolved = scenario.notifications[0].0.clone();
        resolved.kind = NotificationKind::Resolved;
        scenario.notifications.truncate(3);
        scenario.notifications.push((resolved, state));
        assert_eq!(document::write(&scenario.record()), before, "{state:?}");
    }
}

#[test]
fn what_a_silence_hid_nobody_was_told() {
    let mut scenario = exhausted_connections();
    let before = document::write(&scenario.record());
    let hidden = scenario.notifications[0].0.clone();
    scenario.notifications.push((hidden, NotificationState::Silenced));
    assert_eq!(document::write(&scenario.record()), before);
}

#[test]
fn the_same_record_makes_the_same_document() {
    let (one, two) = (exhausted_connections(), exhausted_connections());
    assert_eq!(document::write(&one.record()), document::write(&two.record()));
}

#[test]
fn what_people_did_is_in_the_resolution_and_what_was_refused_is_not() {
    let mut scenario = exhausted_connections();
    scenario.trail.push(said(90, "ann", "commented", "Comment by ann: rolled *back* to 3.17"));
    scenario.commands = vec![asked(95, "joe", Outcome::Refused, "it is acknowledged already")];
    let markdown = document::write(&scenario.record()).markdown;
    let resolution = markdown.split("## Resolution").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(resolution.contains("ann: rolled \\*back\\* to 3.17"), "{resolution}");
    assert!(!resolution.contains("acknowledged already"), "{resolution}");
    assert!(!resolution.contains("is not on record"), "{resolution}");
}

#[test]
fn items_keep_their_ids_and_rank_by_severity_and_by_what_they_prevent() {
    let scenario = exhausted_connections();
    let (once, again) = (document::write(&scenario.record()), document::write(&scenario.record()));
    let ids = |items: &[shared::events::postmortem::ActionItem]| -> Vec<_> {
        items.iter().map(|item| item.item_id.unwrap()).collect()
    };
    assert_eq!(ids(&once.action_items), ids(&again.action_items));
    let distinct: std::collections::BTreeSet<_> = ids(&once.action_items).into_iter().collect();
    assert_eq!(distinct.len(), once.action_items.len());
    let priorities: Vec<Priority> = once.action_items.iter().map(|item| item.priority.unwrap()).collect();
    assert!(priorities.is_sorted(), "those that prevent a repetition come first: {priorities:?}");
    assert_eq!(priorities.first(), Some(&actions::priority(scenario.incident.severity)));
    let priority = |severity| actions::priority(severity);
    assert_eq!(priority(Severity::Sev1), Priority::High);
    assert_eq!(priority(Severity::Sev3), Priority::Medium);
    assert_eq!(priority(Severity::Sev4), Priority::Low);
}
