//! What goes wrong between a channel and its service.

use std::time::Duration;

use communication::channel::http::Request;
use communication::channel::{Failure, Http, Receipt};
use serde_json::json;
use shared::service::Secret;
use tokio::time::Instant;

use super::{ALL, Lab, assert_no_secret};
use crate::doubles::webhook::Webhook;
use crate::doubles::{Double, Fault, Reply};
use crate::scenario;

#[tokio::test]
async fn a_message_is_delivered_once_after_the_service_works_again() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    for entry in ALL {
        let before = lab.messages(entry);
        for fault in [Fault::broken(), Fault::Hang, Fault::Close, Fault::busy(1)] {
            lab.fail(entry, fault);
        }
        let failures = lab.deliver_in_the_end(entry, &content).await;
        assert_eq!(failures.len(), 4, "{entry}: {failures:?}");
        for failure in &failures[..3] {
            assert!(matches!(failure, Failure::Transient(_)), "{entry}: {failure:?}");
        }
        let pause = Duration::from_secs(1);
        assert!(
            matches!(&failures[3], Failure::Throttled { pause: asked, .. } if *asked == pause),
            "{entry}"
        );
        assert_eq!(lab.messages(entry), before + 1, "{entry}");
        assert_no_secret(&format!("{failures:?}"));
    }
}

/// Messages are sent by few lanes: mails and other receivers must find a free one.
#[tokio::test]
async fn a_host_that_hangs_holds_two_requests_and_the_others_are_put_off() {
    let (hangs, works) = (Double::start(Webhook::default()).await, Double::start(Webhook::default()).await);
    let http = Http::new(Duration::from_secs(20), Duration::from_secs(30)).unwrap();
    let request = |double: &Double<Webhook>| Request::post(double.url.parse().unwrap(), &json!({}));
    for _ in 0..2 {
        hangs.fail("/", Fault::Hang);
        let (http, request) = (http.clone(), request(&hangs));
        tokio::spawn(async move { http.send(request).await });
    }
    let begun = Instant::now();
    while hangs.requests().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", hangs.requests());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    let third = http.send(request(&hangs)).await;
    assert!(matches!(third, Err(Failure::Throttled { .. })), "{third:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "after {:?}", begun.elapsed());
    assert_eq!(hangs.requests().len(), 2);
    let other = http.send(request(&works)).await;
    assert!(!matches!(other, Err(Failure::Throttled { .. })) && works.requests().len() == 1, "{other:?}");
}

/// The service takes the message, and its answer is lost; and once more after it was accepted, as after a crash.
#[tokio::test]
async fn an_attempt_whose_outcome_is_unknown_doubles_nothing() {
    let lab = Lab::open().await;
    for content in &scenario::thread()[..2] {
        for entry in ["slack:#ops", "receiver:pages", "receiver:program", "receiver:issues"] {
            lab.fail(entry, Fault::CloseAfter);
            lab.deliver_in_the_end(entry, content).await;
            let first = lab.deliver(entry, content).await.unwrap();
            let again = lab.deliver(entry, content).await.unwrap();
            assert_eq!(first.envelope, again.envelope, "{entry}");
        }
    }
    assert_eq!(lab.slack.state(|slack| slack.messages.len()), 2, "one message and one reply");
    assert_eq!(lab.pagerduty.state(|pagerduty| pagerduty.alerts.len()), 1);
    assert_eq!(lab.webhook.state(|webhook| webhook.taken.len()), 2);
    let issues = lab.jira.state(|jira| jira.issues.clone());
    assert_eq!((issues.len(), issues[0].comments.len()), (1, 1));
}

#[tokio::test]
async fn an_alert_that_is_created_twice_is_one_alert() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    lab.fail("receiver:genie", Fault::CloseAfter);
    let failures = lab.deliver_in_the_end("receiver:genie", &content).await;
    assert_eq!(failures.len(), 1);
    assert_eq!(lab.messages("receiver:genie"), 1);
}

/// Without the history Slack has no key: this is the one message that can be there twice.
#[tokio::test]
async fn a_bot_that_cannot_read_the_history_posts_all_the_same() {
    let lab = Lab::open().await;
    lab.slack.state(|slack| slack.is_blind = true);
    let content = scenario::thread().remove(0);
    lab.deliver("slack:#ops", &content).await.unwrap();
    lab.deliver("slack:C0123", &content).await.unwrap();
    assert_eq!(lab.messages("slack:#ops"), 2);
}

/// Other people write in the channel too: their messages do not hide ours, and a history that is too long is not read.
#[tokio::test]
async fn a_long_history_is_searched_within_a_bound() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    lab.deliver("slack:#ops", &content).await.unwrap();
    let chatter = |size: usize| json!({ "text": "x".repeat(size) });
    lab.slack.state(|slack| (0..100).for_each(|_| drop(slack.add("C0123", &chatter(10_000)))));
    lab.deliver("slack:#ops", &content).await.unwrap();
    assert_eq!(lab.messages("slack:#ops"), 101, "the message was found");
    lab.slack.state(|slack| (0..150).for_each(|_| drop(slack.add("C0123", &chatter(35_000)))));
    lab.deliver("slack:#ops", &content).await.unwrap();
    assert_eq!(lab.messages("slack:#ops"), 252, "it was posted unsearched");
}

#[tokio::test]
async fn blocks_that_are_refused_are_replaced_by_text() {
    let lab = Lab::open().await;
    lab.slack.state(|slack| slack.refuses_blocks = true);
    lab.deliver("slack:#ops", &scenario::thread()[0]).await.unwrap();
    let text = lab.slack.state(|slack| slack.messages[0].body["text"].clone());
    assert!(text.as_str().unwrap().contains("payment"), "{text}");
}

#[tokio::test]
async fn what_slack_refuses_is_classified() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    let refused = |error: &str| Fault::Answer(Reply::json(200, &json!({ "ok": false, "error": error })));
    for (error, passes) in [
        ("ratelimited", true),
        ("internal_error", true),
        ("channel_not_found", false),
        ("not_in_channel", false),
        ("is_archived", false),
        ("token_revoked", false),
    ] {
        lab.slack.fail("chat.postMessage", refused(error));
        let failure = lab.deliver("slack:#ops", &content).await.unwrap_err();
        assert_eq!(matches!(failure, Failure::Transient(_)), passes, "{failure:?}");
        assert!(failure.to_string().contains(error), "{failure}");
    }
    let failure = lab.deliver("slack:#unknown", &content).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Permanent(reason) if reason.contains("channel_not_found")),
        "{failure:?}"
    );
}

#[tokio::test]
async fn what_concerns_the_message_or_the_settings_is_final_and_names_no_secret() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    let cases = [
        (Reply::json(400, &json!({ "message": "bad", "errors": [super::pagerduty::KEY] })), false),
        (Reply::json(403, &json!({ "error": "forbidden" })), false),
        (Reply::text(404, "nothing at /v2/enqueue"), false),
        (
            Reply {
                status: 307,
                headers: vec![("location", "http://127.0.0.1:1/".into())],
                body: String::new(),
            },
            false,
        ),
        (Reply::text(408, ""), true),
        (Reply::text(502, "bad gateway"), true),
        (Reply::text(503, "busy"), true),
    ];
    for (reply, passes) in cases {
        lab.fail("receiver:pages", Fault::Answer(reply.clone()));
        let failure = lab.deliver("receiver:pages", &content).await.unwrap_err();
        assert_eq!(matches!(failure, Failure::Transient(_)), passes, "{reply:?} gave {failure:?}");
        assert!(failure.to_string().contains(&reply.status.to_string()), "{failure}");
        assert_no_secret(&failure.to_string());
    }
    assert_eq!(lab.messages("receiver:pages"), 0);
}

#[tokio::test]
async fn a_wrong_secret_is_named_by_nobody() {
    let lab = Lab::open().await.with(|options| {
        let settings = serde_json::to_value(&*options).unwrap();
        let mut receivers = options.receivers.clone();
        for (name, receiver) in &mut receivers {
            use communication::receivers::Receiver;
            match receiver {
                Receiver::PagerDuty(pages) => pages.routing_key = Secret::new("wrong-hunter2"),
                Receiver::Opsgenie(genie) => genie.api_key = Secret::new("wrong-hunter2"),
                Receiver::Webhook(webhook) => webhook.secret = Secret::new("wrong-hunter2"),
                Receiver::Jira(jira) => jira.token = Secret::new("wrong-hunter2"),
                Receiver::Teams(hook) | Receiver::SlackWebhook(hook) => {
                    let (place, _) = hook.url.expose().rsplit_once('/').unwrap();
                    hook.url = Secret::new(format!("{place}/wrong-hunter2"));
                }
            }
            assert!(settings["receivers"][name.as_str()].is_object());
        }
        options.receivers = receivers;
        options.slack.token = Secret::new("wrong-hunter2");
    });
    for entry in ALL {
        let failure = lab.deliver(entry, &scenario::thread()[0]).await.unwrap_err();
        assert!(matches!(failure, Failure::Permanent(_)), "{entry}: {failure:?}");
        assert!(!format!("{failure:?} {failure}").contains("hunter2"), "{entry}: {failure}");
    }
    let shown = format!("{:?} {}", lab.options, serde_json::to_string(&lab.options).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_no_secret(&shown);
}

#[tokio::test]
async fn a_service_that_fails_again_and_again_is_left_alone() {
    let lab = Lab::open().await;
    let content = scenario::thread().remove(0);
    for _ in 0..5 {
        lab.fail("receiver:pages", Fault::broken());
        assert!(matches!(lab.deliver("receiver:pages", &content).await, Err(Failure::Transient(_))));
    }
    let failure = lab.deliver("receiver:pages", &content).await.unwrap_err();
    let Failure::Throttled { pause, .. } = &failure else { panic!("{failure:?}") };
    assert!(*pause > Duration::from_secs(20), "{failure:?}");
    assert_eq!(lab.pagerduty.requests().len(), 5, "no request while it is left alone");
    lab.deliver("receiver:genie", &content).await.unwrap();
}

#[tokio::test]
async fn messages_to_one_channel_of_slack_are_a_second_apart() {
    let lab = Lab::open().await;
    let started = Instant::now();
    let delivered: Vec<Receipt> = vec![
        lab.deliver("slack-webhook:hook", &scenario::thread()[0]).await.unwrap(),
        lab.deliver("slack-webhook:hook", &scenario::thread()[1]).await.unwrap(),
        lab.deliver("slack-webhook:hook", &scenario::thread()[2]).await.unwrap(),
    ];
    assert_eq!(delivered.len(), 3);
    assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn an_entry_that_names_no_receiver_is_refused() {
    let options: communication::Options = serde_json::from_value(json!({
        "commanders": ["receiver:pages", "slack:#ops", "teams:pages", "pagerduty:pages", "receiver:nobody", "oncall@example.com"],
        "receivers": { "pages": { "type": "pagerduty", "routing_key": "k" } },
    }))
    .unwrap();
    let problems = options.validate();
    let refused: Vec<_> = problems.iter().filter_map(|problem| problem.split('"').nth(1)).collect();
    assert_eq!(refused, ["slack:#ops", "teams:pages", "receiver:nobody"], "{problems:?}");
}

#[tokio::test]
async fn channels_are_opened_as_they_are_set_up() {
    let lab = Lab::open().await;
    let plain = communication::channel::open(&communication::Options::default()).unwrap();
    assert_eq!(plain.destination("slack:#ops"), None);
    for dry_run in [false, true] {
        let options = communication::Options { dry_run, ..lab.options.clone() };
        let channels = communication::channel::open(&options).unwrap();
        let named = |entry: &str| channels.destination(entry).map(|destination| destination.channel);
        assert_eq!(
            ALL.map(named).map(Option::unwrap),
            ["slack", "slack-webhook", "teams", "pagerduty", "opsgenie", "webhook", "jira"]
        );
        assert_eq!(named("oncall@example.com"), Some("email"));
        assert_eq!(named("receiver:nobody"), None);
    }
}
