//! The plain life of an incident on each channel, and texts that try to be more than text.

use communication::channel::DryRun;
use communication::channel::{Channel as _, Delivery, Http, Teams};
use communication::content::{IncidentSummary, LifecycleEvent, NotificationContent};
use communication::message::Message;
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use shared::events::Severity;
use shared::events::incident::Incident;
use std::sync::Arc;
use std::time::Duration;

use super::{ALL, Lab, assert_no_secret};
use crate::mails::notification;
use crate::scenario;

async fn life(lab: &Lab, entry: &str) {
    for content in scenario::thread() {
        lab.deliver(entry, &content).await.unwrap();
    }
}

#[test]
fn messages_of_an_incident() {
    for content in scenario::thread() {
        let name = format!("message-{}", content.event.kind().name());
        assert_json_snapshot!(name, Message::new(&content, "https://firewatch.example.com"));
    }
}

#[tokio::test]
async fn in_slack_one_message_is_edited_and_has_all_news_in_its_thread() {
    let lab = Lab::open().await;
    life(&lab, "slack:#ops").await;
    let messages = lab.slack.state(|slack| slack.messages.clone());
    assert_eq!(messages.len(), 5);
    assert!(messages[1..].iter().all(|message| message.thread_ts.as_ref() == Some(&messages[0].ts)));
    assert_eq!(messages[0].edits, 4);
    let shown: Vec<Value> = messages.into_iter().map(|message| message.body).collect();
    assert_json_snapshot!("slack", shown);
}

#[tokio::test]
async fn a_webhook_of_slack_gets_messages_that_stand_alone() {
    let lab = Lab::open().await;
    lab.deliver("slack-webhook:hook", &scenario::thread()[0]).await.unwrap();
    assert_json_snapshot!("slack-webhook", lab.slack.state(|slack| slack.messages[0].body.clone()));
}

#[tokio::test]
async fn teams_gets_a_card_for_each_message() {
    let lab = Lab::open().await;
    life(&lab, "receiver:teams").await;
    assert_json_snapshot!("teams", lab.teams.state(|teams| teams.cards.clone()));
}

#[tokio::test]
async fn pagerduty_gets_an_event_only_where_the_status_changes() {
    let lab = Lab::open().await;
    life(&lab, "receiver:pages").await;
    let mut events = lab.pagerduty.state(|pagerduty| pagerduty.events.clone());
    let actions: Vec<_> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    for event in &mut events {
        event["routing_key"] = "***".into();
    }
    assert_json_snapshot!("pagerduty", events);
}

#[tokio::test]
async fn a_severity_that_rises_is_an_event() {
    let lab = Lab::open().await;
    lab.deliver("receiver:pages", &scenario::thread()[0]).await.unwrap();
    let mut cause = scenario::thread().remove(1);
    cause.incident.severity = Severity::Sev1;
    lab.deliver("receiver:pages", &cause).await.unwrap();
    let severities = lab.pagerduty.state(|pagerduty| {
        pagerduty.events.iter().map(|event| event["payload"]["severity"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(severities, ["error", "critical"]);
}

#[tokio::test]
async fn opsgenie_gets_an_alert_with_notes_and_its_end() {
    let lab = Lab::open().await;
    life(&lab, "receiver:genie").await;
    let alerts = lab.opsgenie.state(|opsgenie| opsgenie.alerts.clone());
    assert_eq!(alerts.len(), 1);
    let alert = alerts.values().next().unwrap();
    assert_eq!((alert.state, alert.count, alert.notes.len()), ("closed", 1, 4));
    assert_json_snapshot!("opsgenie", json!({ "alert": alert.body, "notes": alert.notes }));
}

#[tokio::test]
async fn a_program_gets_a_signed_event_for_each_message() {
    let lab = Lab::open().await;
    life(&lab, "receiver:program").await;
    let taken = lab.webhook.state(|webhook| webhook.taken.clone());
    assert_eq!(taken.len(), 5);
    assert!(taken.iter().all(|(key, event)| event["id"] == key.as_str()));
    assert_json_snapshot!("webhook", taken[0].1);
    assert_eq!(
        lab.webhook.requests()[0].header("content-type"),
        "application/cloudevents+json; charset=utf-8"
    );
}

#[tokio::test]
async fn a_program_that_knows_alertmanager_gets_its_format_signed_with_both_keys() {
    let lab = Lab::open().await;
    for content in [0, 3].map(|place| scenario::thread().remove(place)) {
        lab.deliver("webhook:alertmanager", &content).await.unwrap();
    }
    let taken: Vec<Value> =
        lab.webhook.state(|webhook| webhook.taken.iter().map(|(_, body)| body.clone()).collect());
    assert_json_snapshot!("alertmanager", taken);
    assert_eq!(lab.webhook.requests()[0].header("firewatch-signature").matches("v1=").count(), 2);
}

#[tokio::test]
async fn jira_gets_an_issue_with_comments_and_a_transition() {
    let lab = Lab::open().await;
    life(&lab, "receiver:issues").await;
    let issues = lab.jira.state(|jira| jira.issues.clone());
    assert_eq!(issues.len(), 1);
    assert!(issues[0].is_done);
    assert_json_snapshot!("jira", json!({ "fields": issues[0].fields, "comments": issues[0].comments }));
}

fn hostile() -> NotificationContent {
    let evil = "<!channel> <https://evil.example|click> [x](https://evil.example) {code} !x.png! & \u{202E}\r\n\0`*_~";
    let mut incident = scenario::opened();
    incident.title = format!("{evil}: {evil}");
    incident.environment = evil.into();
    incident.affected_services = vec![evil.into(); 40];
    for signal in &mut incident.signals {
        signal.service = evil.into();
        signal.explanation = evil.repeat(80);
    }
    for suspect in &mut incident.suspects {
        suspect.service = evil.into();
        suspect.reasons = vec![evil.repeat(20); 30];
    }
    scenario_content(incident)
}

fn scenario_content(incident: Incident) -> NotificationContent {
    NotificationContent {
        incident: IncidentSummary::of(&incident),
        event: LifecycleEvent::Opened(Box::new(incident)),
    }
}

#[tokio::test]
async fn hostile_text_keeps_all_limits_and_commands_nothing() {
    let lab = Lab::open().await;
    for entry in ALL {
        lab.deliver(entry, &hostile()).await.unwrap_or_else(|failure| panic!("{entry}: {failure}"));
    }
    let posted = lab.slack.state(|slack| slack.messages[0].body.to_string());
    assert!(posted.contains("&lt;!channel&gt;"));
    let blocks = lab.slack.state(|slack| slack.messages[0].body["blocks"].clone());
    for block in blocks.as_array().unwrap().iter().filter(|block| block["text"]["type"] == "mrkdwn") {
        assert!(!block["text"]["text"].as_str().unwrap().contains('<'), "{block}");
        assert_eq!(block["text"]["verbatim"], true);
    }
    let issue = lab.jira.state(|jira| jira.issues[0].fields["description"].clone());
    assert!(issue.as_str().unwrap().contains("\\{code\\}"));
    let card = lab.teams.state(|teams| teams.cards[0].to_string());
    assert!(!card.contains("\"TextBlock\""), "text blocks have Markdown");
    let all: String =
        lab.requests().iter().map(|one| String::from_utf8_lossy(&one.body).into_owned()).collect();
    assert!(!all.contains('\u{202E}') && !all.contains("\\u0000"));
}

/// The largest message that the limits of its texts allow, in characters of four bytes.
#[tokio::test]
async fn a_message_that_is_too_large_is_shortened() {
    let lab = Lab::open().await;
    let long = "\u{1F525}".repeat(5_000);
    let mut cause = scenario::root_cause();
    cause.ruled_out = vec![long.clone(); 50];
    cause.missing = vec![long.clone(); 50];
    for candidate in &mut cause.candidates {
        candidate.cause.clone_from(&long);
        for claim in &mut candidate.claims {
            claim.text.clone_from(&long);
        }
    }
    let content = scenario::content(LifecycleEvent::RootCause(Box::new(cause)));
    for entry in ALL {
        lab.deliver(entry, &content).await.unwrap_or_else(|failure| panic!("{entry}: {failure}"));
        assert_eq!(lab.messages(entry), usize::from(entry == "slack-webhook:hook") + 1, "{entry}");
    }
    let card = lab.teams.state(|teams| teams.cards[0].to_string());
    assert!(card.contains(" more"), "what is left out is counted");
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_records_what_it_would_send() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    let http = Http::new(Duration::from_secs(1), Duration::from_secs(1)).unwrap();
    for channel in
        communication::channel::over_http(&lab.options, &http, Arc::new(shared::clock::SystemClock)).unwrap()
    {
        let mut notification = notification(&content);
        let name = ["hook", "teams", "pages", "genie", "program", "issues", "#ops"]
            .into_iter()
            .find(|name| channel.address(name).is_some())
            .unwrap();
        notification.recipients = vec![name.to_owned()];
        let delivery = Delivery { notification: &notification, content: &content, opening: None };
        let receipt = DryRun::new(channel).deliver(delivery).await.unwrap();
        assert!(receipt.answer.starts_with("dry run, not sent: "), "{receipt:?}");
        assert!(receipt.answer.contains("payment"), "{receipt:?}");
        assert_no_secret(&receipt.answer);
    }
    assert!(lab.requests().is_empty());
    assert!(!Teams::new(&lab.options, &http).one_message_for_all());
}
