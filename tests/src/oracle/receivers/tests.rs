use std::time::Duration;

use super::*;

const TEST: Duration = Duration::from_secs(2);

#[test]
fn the_routes_of_the_run_fit_together() {
    let (rotation, routes) = routes().unwrap();
    assert!(Roster::new(vec![rotation]).is_ok());
    assert!(routes.routes.iter().any(|route| route.deliver == shared::routes::Deliver::Digest));
}

#[test]
fn a_trouble_begins_with_a_request_and_ends_by_time() {
    let trouble = |before, kind| Trouble { receiver: Receiver::Slack, before, for_ms: 1_000, kind };
    let troubles = [trouble(1, TroubleKind::Hangs), trouble(0, TroubleKind::Fails(503))];
    let mut ahead = Ahead { troubles: troubles.clone().into(), answered: 0, current: None };
    let begun = Instant::now();
    let mut at = |ms| ahead.next(begun + Duration::from_millis(ms));
    assert_eq!(at(0), (None, None));
    assert_eq!(at(5_000), (Some(TroubleKind::Hangs), Some(troubles[0].clone())));
    assert_eq!(at(5_999), (Some(TroubleKind::Hangs), None));
    assert_eq!(at(6_000), (Some(TroubleKind::Fails(503)), Some(troubles[1].clone())));
    assert_eq!(at(7_000), (None, None));
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> reqwest::Result<u16> {
    let answer = client.post(format!("{url}/v2/enqueue")).json(body).timeout(TEST).send().await?;
    let status = answer.status().as_u16();
    answer.bytes().await?;
    Ok(status)
}

#[tokio::test]
async fn a_receiver_misbehaves_as_planned_and_records_what_it_took() {
    let receiver = Receiver::PagerDuty;
    let kinds = [
        TroubleKind::BreaksOff,
        TroubleKind::Fails(500),
        TroubleKind::Busy { retry_after_s: 1 },
        TroubleKind::Hangs,
    ];
    // each ends at once: it is met by one request
    let troubles = kinds.map(|kind| Trouble { receiver, before: 0, for_ms: 0, kind });
    let receivers = Receivers::start(&troubles).await.unwrap();
    let (client, url) = (reqwest::Client::new(), &receivers.urls[&receiver]);
    let event = json!({
        "routing_key": SECRET, "dedup_key": "one", "event_action": "trigger",
        "payload": { "summary": "payment is slow", "source": "payment", "severity": "error" },
    });
    assert!(post(&client, url, &event).await.is_err(), "the connection breaks");
    assert_eq!(post(&client, url, &event).await.unwrap(), 500);
    assert_eq!(post(&client, url, &event).await.unwrap(), 429);
    assert!(post(&client, url, &event).await.unwrap_err().is_timeout());
    assert_eq!(post(&client, url, &event).await.unwrap(), 202);
    assert_eq!(post(&client, url, &json!({ "routing_key": SECRET })).await.unwrap(), 400);
    let record = receivers.record();
    let taken: Vec<_> = record.accepted.iter().map(|one| (one.key.as_str(), one.is_answered)).collect();
    assert_eq!(taken, [("one/trigger", false), ("one/trigger", true)]);
    assert_eq!((record.refused.len(), record.troubles.len(), record.disturbed), (1, 4, 4));
}

/// Answers a request to a receiver.
fn answer(
    receiver: Receiver,
    (method, path): (Method, &str),
    headers: &[(&'static str, String)],
    body: &Value,
    messages: &mut Vec<Value>,
) -> Result<services::Answer, String> {
    let headers = headers.iter().map(|(name, value)| {
        (header::HeaderName::from_static(name), header::HeaderValue::from_str(value).unwrap())
    });
    let (uri, body) = (path.parse().unwrap(), Bytes::from(body.to_string()));
    let call = Call { method: &method, uri: &uri, headers: &headers.collect(), body: &body };
    services::answer(receiver, &call, messages)
}

#[test]
fn a_webhook_that_is_not_signed_with_its_key_is_refused() {
    let event = json!({
        "specversion": "1.0", "id": "n1", "source": "urn:x", "type": "t", "subject": "s", "data": { "kind": "opened" },
    });
    let with = |secret: &str, key: &str| {
        let signed = hmac(secret, format!("17.{event}").as_bytes());
        let headers = [
            ("firewatch-timestamp", "17".to_owned()),
            ("firewatch-signature", format!("v1={signed}")),
            ("content-type", "application/cloudevents+json; charset=utf-8".to_owned()),
            ("idempotency-key", key.to_owned()),
        ];
        answer(Receiver::Webhook, (Method::POST, "/"), &headers, &event, &mut Vec::new())
    };
    assert_eq!(with(SECRET, "n1").unwrap().key.as_deref(), Some("n1"));
    assert_eq!(with("another", "n1"), Err("the signature is wrong".to_owned()));
    assert!(with(SECRET, "n2").is_err());
}

fn hmac(secret: &str, bytes: &[u8]) -> String {
    use ring::hmac;
    hex::encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), bytes))
}

#[test]
fn slack_lists_what_was_posted_and_opsgenie_tells_actions_apart() {
    let mut messages = Vec::new();
    let login = [("authorization", format!("Bearer {SECRET}"))];
    let mut slack =
        |request: (Method, &str), body: Value| answer(Receiver::Slack, request, &login, &body, &mut messages);
    let post = |id: &str, thread: Option<&str>| {
        json!({ "channel": SLACK_CHANNEL, "text": "t", "thread_ts": thread,
                "metadata": { "event_payload": { "notification_id": id } } })
    };
    let first = slack((Method::POST, "/chat.postMessage"), post("n1", None)).unwrap();
    assert_eq!(first.key.as_deref(), Some("n1"));
    let ts = first.body["ts"].as_str().unwrap().to_owned();
    slack((Method::POST, "/chat.postMessage"), post("n2", Some(&ts))).unwrap();
    slack((Method::POST, "/chat.postMessage"), post("n3", None)).unwrap();
    let edit = json!({ "channel": SLACK_CHANNEL, "ts": ts, "text": "u" });
    assert_eq!(slack((Method::POST, "/chat.update"), edit).unwrap().key, None);
    let replies = slack((Method::GET, &format!("/conversations.replies?ts={ts}")), Value::Null).unwrap();
    let ids = |answer: &services::Answer| -> Vec<String> {
        let messages = answer.body["messages"].as_array().unwrap().iter();
        messages
            .map(|one| one["metadata"]["event_payload"]["notification_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&replies), ["n2", "n1"]);
    let all = slack((Method::GET, "/conversations.history"), Value::Null).unwrap();
    assert_eq!(ids(&all), ["n3", "n2", "n1"]);
    assert!(
        answer(Receiver::Slack, (Method::GET, "/conversations.history"), &[], &Value::Null, &mut messages)
            .is_err()
    );

    let login = [("authorization", format!("GenieKey {SECRET}"))];
    let genie = |path: &str, body: Value| {
        answer(Receiver::Opsgenie, (Method::POST, path), &login, &body, &mut Vec::new())
    };
    let create = genie("/v2/alerts", json!({ "alias": "i1", "message": "slow" })).unwrap();
    assert_eq!(create.key.as_deref(), Some("i1/create"));
    let close = genie("/v2/alerts/i1/close?identifierType=alias", json!({ "note": "over" })).unwrap();
    assert_eq!(close.key.as_deref(), Some("i1/close"));
    assert!(genie("/v2/alerts/i1/close", json!({ "note": "over" })).is_err());
}
