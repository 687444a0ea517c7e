//! Two channels side by side, and rows that were written when there was one.

use std::sync::Arc;

use communication::channel::{Channels, Email};
use communication::content::{IncidentSummary, Kind, NotificationContent};
use communication::options::Options;
use communication::recipients::Directory;
use jiff::Timestamp;
use serde_json::Value;
use shared::catalogue::Catalogue;
use shared::oncall::Roster;
use shared::stage::Effects;
use shared::store::{Notification, Write};

use crate::chat::Chat;
use crate::mails::{announced, notification};
use crate::scenario;

fn announce(commanders: &[&str], content: &NotificationContent) -> Effects {
    let options = Options {
        commanders: commanders.iter().map(|entry| (*entry).to_owned()).collect(),
        ..Options::default()
    };
    let email = Arc::new(Email::new(&options).unwrap());
    let channels = Channels::new([email as _, Arc::new(Chat::default()) as _]);
    let directory = Directory {
        options: &options,
        catalogue: &Catalogue::default(),
        channels: &channels,
        roster: &Roster::default(),
        routes: None,
        at: Timestamp::UNIX_EPOCH,
    };
    announced(directory, content, Some("[SEV2] #12 base"), Timestamp::UNIX_EPOCH)
}

fn notifications(effects: &Effects) -> Vec<Notification> {
    effects
        .writes
        .iter()
        .map(|write| match write {
            Write::Notification(notification) => (**notification).clone(),
            other => panic!("no notification but {other:?}"),
        })
        .collect()
}

#[test]
fn each_channel_gets_its_own_notification_and_its_own_queue() {
    for content in scenario::thread() {
        let effects = announce(&["chat:#payments", "commander@example.com"], &content);
        let sent = notifications(&effects);
        let channels: Vec<&str> = sent.iter().map(|notification| notification.channel.as_str()).collect();
        assert_eq!(channels, [Chat::NAME, Email::NAME]);
        assert_eq!(sent[0].recipients, ["#payments"]);
        assert_eq!(sent[1].recipients, ["commander@example.com"]);
        assert_ne!(sent[0].id, sent[1].id);
        assert_eq!(
            sent[1].id,
            notification(&content).id,
            "a mail has the same id with other channels beside it"
        );
        assert_eq!(sent[0].envelope["thread"], sent[0].incident_id.to_string());
        assert!(!sent[0].envelope.contains_key("message_id"));
        let [chat, mail] = &effects.timers[..] else { panic!("{:?}", effects.timers) };
        assert_ne!((&chat.id, &chat.key), (&mail.id, &mail.key), "one channel does not wait for another");
        assert_eq!(mail.key, content.incident.incident_id.to_string());
    }
}

#[test]
fn each_address_of_a_chat_gets_its_own_notification_and_its_own_queue() {
    for content in scenario::thread() {
        let effects =
            announce(&["chat:#a", "a@example.com", "chat:#b", "b@example.com", "chat:#a"], &content);
        let sent = notifications(&effects);
        let recipients: Vec<_> = sent.iter().map(|notification| notification.recipients.clone()).collect();
        assert_eq!(recipients, [vec!["#a"], vec!["#b"], vec!["a@example.com", "b@example.com"]]);
        let mut ids: Vec<_> = effects.timers.iter().map(|timer| timer.id.0).collect();
        ids.extend(sent.iter().map(|notification| notification.id.0));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 6);
        let incident = content.incident.incident_id;
        let keys: Vec<_> = effects.timers.iter().map(|timer| timer.key.clone()).collect();
        assert_eq!(
            keys,
            [format!("{incident}/chat/one/a"), format!("{incident}/chat/one/b"), incident.to_string()]
        );
    }
}

#[test]
fn a_channel_without_recipients_gets_nothing() {
    let content = scenario::thread().remove(0);
    for (commanders, channel) in [(vec!["chat:#payments"], Chat::NAME), (vec!["a@example.com"], Email::NAME)]
    {
        let sent = notifications(&announce(&commanders, &content));
        assert_eq!(
            sent.iter().map(|notification| notification.channel.as_str()).collect::<Vec<_>>(),
            [channel]
        );
    }
}

#[test]
fn an_entry_that_is_no_address_of_its_channel_is_left_out() {
    let content = scenario::thread().remove(0);
    let effects = announce(&["chat:payments", "pager:7", "chat:#payments", "chat: #payments"], &content);
    assert_eq!(notifications(&effects)[0].recipients, ["#payments"]);
    assert_eq!(effects.audit[0].action.name(), "mail_address_unusable");
    assert_eq!(effects.audit[0].detail["unusable"], serde_json::json!(["chat:payments", "pager:7"]));
}

/// Written by the code before there was a second channel, for the same incident.
const OLD_ROWS: [(Kind, &str); 2] = [
    (Kind::Opened, include_str!("rows/opened.json")),
    (Kind::RootCause, include_str!("rows/root_cause.json")),
];

#[test]
fn a_row_from_before_channels_is_read_and_is_still_written_the_same() {
    let thread = scenario::thread();
    for (kind, row) in OLD_ROWS {
        let content = thread.iter().find(|content| content.event.kind() == kind).unwrap();
        let row: Value = serde_json::from_str(row).unwrap();
        let read: Notification = serde_json::from_value(row.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), row, "replicas of both versions read one row");
        let new = notification(content);
        assert_eq!((read.id, &read.channel, &read.recipients), (new.id, &new.channel, &new.recipients));
        assert_eq!(read.envelope, new.envelope);
        let stored: NotificationContent = serde_json::from_value(read.event).unwrap();
        assert_eq!(stored.event.kind(), kind);
        // newer fields have their defaults
        let before = IncidentSummary { revision: 0, affected: 0, ..content.incident.clone() };
        assert_eq!(stored.incident, before);
    }
}
