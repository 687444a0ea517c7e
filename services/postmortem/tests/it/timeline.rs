//! The timeline: in order, without repetitions, bounded.

use postmortem::timeline::{MAX_MOMENTS, timeline};

use shared::store::commands::Outcome;

use crate::scenario::{after, asked, exhausted_connections, line, said};

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

#[test]
fn what_people_said_and_did_is_in_the_timeline_under_their_names() {
    let mut scenario = exhausted_connections();
    scenario.trail.extend([
        said(40, "jane", "acknowledged", "Incident 12 is acknowledged by jane."),
        said(50, "ann", "commented", "Comment by ann: the pool of payment is full"),
    ]);
    scenario.commands =
        vec![asked(60, "joe", Outcome::Refused, "incident 12 is acknowledged by jane already")];
    let timeline = timeline(&scenario.record());
    let of = |actor: &str| {
        let found = timeline.moments.iter().find(|moment| moment.actor == actor).unwrap();
        (found.at, found.what.as_str())
    };
    assert_eq!(of("jane"), (after(40), "Incident 12 is acknowledged by jane"));
    assert_eq!(of("ann"), (after(50), "the pool of payment is full"));
    let refused = "Command \"acknowledge\" refused: incident 12 is acknowledged by jane already";
    assert_eq!(of("joe"), (after(60), refused));
}

#[test]
fn statements_of_people_stay_in_a_storm_and_refused_commands_may_go() {
    let mut scenario = exhausted_connections();
    let joined = |n: i64| line(60 + n % 90, "correlation", "joined", &format!("Joined by series {n}"));
    scenario.trail.extend((0..500).map(joined));
    scenario.trail.push(said(100, "ann", "commented", "Comment by ann: restarted"));
    let refused = |n: i64| asked(101, "joe", Outcome::Refused, &format!("refused for reason {n}"));
    scenario.commands = (0..100).map(refused).collect();
    for (n, decided) in scenario.commands.iter_mut().enumerate() {
        let id = shared::ids::derive(&["refused", &n.to_string()]);
        decided.decision.command.command_id = shared::ids::CommandId(id);
    }
    let timeline = timeline(&scenario.record());
    assert_eq!(timeline.moments.len(), MAX_MOMENTS);
    assert!(timeline.moments.iter().any(|moment| moment.actor == "ann" && moment.what == "restarted"));
    assert!(timeline.moments.iter().filter(|moment| moment.actor == "joe").count() < 60);
    assert!(timeline.left_out > 0);
}
