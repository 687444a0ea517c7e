//! What Slack sends when somebody presses a button: its signature, and what the button stands for.
//!
//! Source: "Verifying requests from Slack", version `v0` of the signature.

use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde::{Deserialize, Serialize};
use shared::ids::{EventId, IncidentId};
use shared::service::Secret;
use url::form_urlencoded;

/// Longest age of a request, and longest time that it may lie ahead.
pub const WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// `action_id` of the buttons.
pub const ACTION: &str = "firewatch";
/// Most bytes of a body that is read.
pub const MAX_BODY: usize = 64 * 1024;

/// Why a request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is older than [`WINDOW`], or that far ahead; it may be a replay.
    #[error("the request is not of this time")]
    Stale,
    /// The signature is not one of this body, time and secret.
    #[error("the signature is wrong")]
    Forged,
    /// It is no press of a button of ours.
    #[error("the request is no press of a button")]
    Unknown,
}

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Somebody takes the incident.
    Acknowledge,
    /// Somebody ends the incident.
    Resolve,
}

impl Verb {
    /// Returns the name in `action_id`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// What a button stands for: the text of its `value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// Incident.
    pub incident_id: IncidentId,
    /// What it does.
    pub verb: Verb,
    /// Notification in which it is.
    pub notification_id: EventId,
}

/// A press of a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Press {
    /// The button.
    pub button: Button,
    /// Id of the user who pressed it.
    pub user_id: String,
    /// Name of that user, for people; untrusted.
    pub user_name: String,
}

/// Checks a request: `timestamp` and `signature` are the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature`, `now` is the
/// wall clock's time. The comparison takes the same time for every signature.
pub fn verify(
    secret: &Secret,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), Refusal> {
    let seconds: i64 = timestamp.parse().map_err(|_| Refusal::Forged)?;
    let sent = Timestamp::from_second(seconds).map_err(|_| Refusal::Stale)?;
    if now.duration_since(sent).abs() > WINDOW {
        return Err(Refusal::Stale);
    }
    let given = signature.strip_prefix("v0=").and_then(|hex| hex::decode(hex).ok()).ok_or(Refusal::Forged)?;
    if secret.is_empty() {
        return Err(Refusal::Forged);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let signed = [b"v0:", timestamp.as_bytes(), b":", body].concat();
    hmac::verify(&key, &signed, &given).map_err(|_| Refusal::Forged)
}

/// Reads the body of a request, whose signature was checked, as a press of one of our buttons.
pub fn read(body: &[u8]) -> Result<Press, Refusal> {
    #[derive(Deserialize)]
    struct Payload {
        r#type: String,
        user: User,
        actions: Vec<Action>,
    }
    #[derive(Deserialize)]
    struct User {
        id: String,
        #[serde(default)]
        username: String,
    }
    #[derive(Deserialize)]
    struct Action {
        action_id: String,
        #[serde(default)]
        value: String,
    }
    if body.len() > MAX_BODY {
        return Err(Refusal::Unknown);
    }
    let (_, payload) =
        form_urlencoded::parse(body).find(|(name, _)| name == "payload").ok_or(Refusal::Unknown)?;
    let payload: Payload = serde_json::from_str(&payload).map_err(|_| Refusal::Unknown)?;
    let ours = |action: &&Action| action.action_id.starts_with(ACTION) && !action.value.is_empty();
    let action = payload.actions.iter().find(ours).filter(|_| payload.r#type == "block_actions");
    let button =
        serde_json::from_str(&action.ok_or(Refusal::Unknown)?.value).map_err(|_| Refusal::Unknown)?;
    let name = shared::text::sanitize::one_line(&payload.user.username, shared::text::sanitize::NAME);
    Ok(Press { button, user_id: payload.user.id, user_name: name })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                        channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                        response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F\
                        96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const SENT: i64 = 1_531_420_618;

    fn verified(secret: &str, signature: &str, body: &str, now: i64) -> Result<(), Refusal> {
        let now = Timestamp::from_second(now).unwrap();
        verify(&Secret::new(secret), &SENT.to_string(), signature, body.as_bytes(), now)
    }

    #[test]
    fn the_documented_example_is_accepted_within_five_minutes() {
        for now in [SENT, SENT + 300, SENT - 300] {
            assert_eq!(verified(SECRET, SIGNATURE, BODY, now), Ok(()));
        }
        for now in [SENT + 301, SENT - 301] {
            assert_eq!(verified(SECRET, SIGNATURE, BODY, now), Err(Refusal::Stale));
        }
    }

    #[test]
    fn another_body_secret_or_signature_is_refused() {
        assert_eq!(
            verified(SECRET, SIGNATURE, &BODY.replace("foobar", "foobaz"), SENT),
            Err(Refusal::Forged)
        );
        assert_eq!(verified("another", SIGNATURE, BODY, SENT), Err(Refusal::Forged));
        assert_eq!(verified("", SIGNATURE, BODY, SENT), Err(Refusal::Forged));
        for signature in ["", "v0=", "v0=00", "v1=a2", &SIGNATURE[3..], &SIGNATURE.replace('a', "b")] {
            assert_eq!(verified(SECRET, signature, BODY, SENT), Err(Refusal::Forged), "{signature}");
        }
    }

    #[test]
    fn what_a_button_stands_for_is_read_from_its_press() {
        let button = Button {
            incident_id: IncidentId(shared::ids::derive(&["incident"])),
            verb: Verb::Acknowledge,
            notification_id: EventId(shared::ids::derive(&["notification"])),
        };
        let press = |action: &str, value: &str| {
            let payload = serde_json::json!({
                "type": "block_actions",
                "user": { "id": "U2CERLKJA", "username": "road\u{202E}runner" },
                "actions": [{ "action_id": action, "value": value }],
            });
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("payload", &payload.to_string())
                .finish();
            read(body.as_bytes())
        };
        let value = serde_json::to_string(&button).unwrap();
        let read_back = press("firewatch_acknowledge", &value).unwrap();
        assert_eq!((read_back.button, read_back.user_id.as_str()), (button, "U2CERLKJA"));
        assert_eq!(read_back.user_name, "roadrunner");
        assert_eq!(press("other", &value), Err(Refusal::Unknown));
        assert_eq!(press("firewatch_acknowledge", "{}"), Err(Refusal::Unknown));
        assert_eq!(read(b"payload=%7B"), Err(Refusal::Unknown));
        assert_eq!(read(&vec![b'a'; MAX_BODY + 1]), Err(Refusal::Unknown));
    }
}
