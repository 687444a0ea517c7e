use serde_json::json;

use super::*;
use crate::clock::from_ms;
use crate::events::Command;
use crate::events::command::Action;
use crate::ids::{CommandId, derive};

fn line(at: i64, actor: &str, action: &str, summary: &str, detail: Value) -> TimelineEntry {
    let (actor, action, summary) = (actor.to_owned(), action.to_owned(), summary.to_owned());
    TimelineEntry { at: from_ms(at), actor, action, summary, detail }
}

fn id(seed: &str) -> CommandId {
    CommandId(derive(&["timeline", seed]))
}

fn decided(seed: &str, at: i64, action: Action, outcome: commands::Outcome, answer: &str) -> Decided {
    let command = Command {
        command_id: id(seed),
        environment: "production".into(),
        incident_id: Some(IncidentId(derive(&["incident"]))),
        by: "jane".into(),
        origin: "slack".into(),
        at: from_ms(at),
        action,
    };
    let decision = commands::Decision { command, outcome, answer: answer.to_owned() };
    Decided { decision, decided_at: from_ms(at + 5) }
}

fn of(trail: &[TimelineEntry], commands: &[Decided]) -> Vec<Entry> {
    entries(&Sources { opened_at: from_ms(60_000), trail, commands, waiting: &[] })
}

#[test]
fn a_command_with_a_line_is_one_entry_with_who_and_from_where() {
    let said = json!({ "command_id": id("ack"), "by": "jane", "origin": "slack" });
    let trail = [
        line(60_000, "correlation", "opened", "Opened by db_connections.", json!({})),
        line(65_000, "correlation", "acknowledged", "Incident 12 is acknowledged by jane.", said),
    ];
    let commands = [decided("ack", 65_000, Action::Acknowledge, commands::Outcome::Accepted, "done")];
    let entries = of(&trail, &commands);
    assert_eq!(entries.len(), 2, "{entries:#?}");
    let Entry { kind, actor, origin, outcome, offset_ms, .. } = &entries[1];
    assert_eq!((*kind, actor.as_str(), origin.as_deref()), (Kind::Command, "jane", Some("slack")));
    assert_eq!((*outcome, *offset_ms), (Some(Outcome::Accepted), 5_000));
    assert_eq!((entries[0].kind, entries[0].outcome), (Kind::System, None));
}

#[test]
fn a_refused_command_is_there_with_its_reason_in_its_place() {
    let trail = [
        line(60_000, "correlation", "opened", "Opened.", json!({})),
        line(90_000, "correlation", "resolved", "Over.", json!({})),
    ];
    let refused = decided("late", 70_000, Action::Unmute, commands::Outcome::Refused, "it is not muted");
    let entries = of(&trail, &[refused]);
    assert_eq!(entries[1].outcome, Some(Outcome::Refused));
    assert_eq!(entries[1].what, "Command \"unmute\" refused: it is not muted");
    assert_eq!(entries.iter().map(|entry| entry.offset_ms).collect::<Vec<_>>(), [0, 10_000, 30_000]);
}

#[test]
fn a_comment_is_its_words_and_what_was_done_past_the_topic_is_of_the_person() {
    let said = json!({ "command_id": id("c"), "by": "ann", "origin": "cli" });
    let trail = [
        line(61_000, "correlation", "commented", "Comment by ann: Comment by ann: the pool?", said),
        line(62_000, "ann", "postmortem_approved", "incident/FW-12 was approved by ann.", json!({})),
        // an action of a newer writer
        line(63_000, "correlation", "levitated", "It levitates.", json!({})),
    ];
    let entries = of(&trail, &[]);
    assert_eq!((entries[0].kind, entries[0].what.as_str()), (Kind::Comment, "Comment by ann: the pool?"));
    assert_eq!((entries[1].kind, entries[1].actor.as_str()), (Kind::Command, "ann"));
    assert_eq!(entries[2].kind, Kind::System);
}

#[test]
fn notifications_say_what_became_of_them() {
    let by_mail = || json!({ "channel": "email" });
    let trail = [
        line(61_000, "communication", "mail_sent", "Sent.", by_mail()),
        line(61_000, "communication", "mail_failed", "Given up.", by_mail()),
        line(61_000, "communication", "notification_silenced", "Not sent.", json!({})),
        line(61_000, "communication", "notification_held", "Not sent yet.", by_mail()),
        line(61_000, "communication", "notification_summarized", "In a summary.", by_mail()),
    ];
    let entries = of(&trail, &[]);
    let outcomes: Vec<Option<Outcome>> = entries.iter().map(|entry| entry.outcome).collect();
    let expected = [Outcome::Sent, Outcome::Failed, Outcome::Silenced, Outcome::Held, Outcome::Summarized];
    assert_eq!(outcomes, expected.map(Some));
    assert_eq!(entries[0].origin.as_deref(), Some("email"));
    assert!(entries.iter().all(|entry| entry.kind == Kind::Notification));
}

#[test]
fn the_order_does_not_depend_on_that_of_the_sources() {
    let trail: Vec<TimelineEntry> = (0..20)
        .map(|n| line(60_000 + n * 7_919 % 13 * 1_000, "correlation", "joined", &format!("{n}"), json!({})))
        .collect();
    let entries = of(&trail, &[]);
    assert!(entries.is_sorted_by_key(|entry| entry.at));
    let first = from_ms(60_000);
    let same: Vec<&str> =
        entries.iter().filter(|entry| entry.at == first).map(|entry| entry.what.as_str()).collect();
    assert_eq!(same, ["0", "13"], "what happened at the same time stays as it was recorded");
    assert!(of(&[], &[]).is_empty());
}

#[test]
fn offsets_have_a_sign_and_days() {
    let cases =
        [(0, "+00:00:00"), (192_999, "+00:03:12"), (-22_000, "-00:00:22"), (176_400_000, "+2d 01:00:00")];
    for (ms, expected) in cases {
        assert_eq!(offset(ms), expected);
    }
    assert_eq!(offset(i64::MIN).chars().next(), Some('-'));
}
