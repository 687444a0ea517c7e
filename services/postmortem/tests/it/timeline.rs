//! The timeline: in order, without repetitions, bounded.

use postmortem::timeline::{MAX_MOMENTS, timeline};

use crate::scenario::{exhausted_connections, line};

#[test]
fn time_never_goes_back_and_nothing_is_said_twice() {
    let mut scenario = exhausted_connections();
    scenario.trail.reverse();
    let again = scenario.trail[0].clone();
    scenario.trail.insert(0, again);
    let timeline = timeline(&scenario.record());
    assert!(timeline.moments.is_sorted_by_key(|moment| moment.at), "{timeline:#?}");
    assert_eq!(timeline.left_out, 0);
    // the trail, the deployment and the first symptom
    assert_eq!(timeline.moments.len(), scenario.trail.len() - 1 + 2);
    assert!(timeline.moments[0].what.contains("v3.18.0"), "{timeline:#?}");
}

#[test]
fn the_same_sentence_in_a_row_is_one_row() {
    let mut scenario = exhausted_connections();
    scenario.trail =
        (0..5).map(|n| line(30 + n, "communication", "mail_delayed", "mail is delayed")).collect();
    let timeline = timeline(&scenario.record());
    let said: Vec<&str> = timeline
        .moments
        .iter()
        .map(|moment| moment.what.as_str())
        .filter(|what| what.contains("delayed"))
        .collect();
    assert_eq!(said, ["mail is delayed (5 times within 4\u{a0}s)"]);
}

#[test]
fn a_storm_leaves_the_story_and_says_what_is_missing() {
    let mut scenario = exhausted_connections();
    scenario.trail.extend(
        (0..500).map(|n| line(60 + n % 90, "correlation", "joined", &format!("Joined by series {n}"))),
    );
    scenario.trail.push(line(100, "anna", "comment", "Restarted the instances"));
    let timeline = timeline(&scenario.record());
    assert_eq!(timeline.moments.len(), MAX_MOMENTS);
    assert_eq!(timeline.left_out, scenario.trail.len() + 2 - MAX_MOMENTS);
    for kept in ["Opened by", "Cause:", "Plan 1", "All signals are back", "Restarted the instances"] {
        assert!(timeline.moments.iter().any(|moment| moment.what.starts_with(kept)), "{kept} is gone");
    }
    assert!(timeline.moments.is_sorted_by_key(|moment| moment.at));
    let document = postmortem::document::write(&scenario.record());
    assert!(document.markdown.contains("lines of lesser weight left out"));
}
