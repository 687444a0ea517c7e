//! Channels that use HTTP, each against a double of its service.

mod failures;
mod life;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use communication::channel::{Channels, Delivery, Failure, Http, Receipt, over_http};
use communication::content::NotificationContent;
use communication::notifications::{self, Thread};
use communication::options::Options;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::ManualClock;
use shared::ids::EventId;
use shared::store::{Notification, Write};

use crate::doubles::jira::Jira;
use crate::doubles::opsgenie::Opsgenie;
use crate::doubles::pagerduty::PagerDuty;
use crate::doubles::slack::{self, Slack};
use crate::doubles::teams::{self, Teams};
use crate::doubles::webhook::{self, Webhook};
use crate::doubles::{Double, Fault, Request, jira, opsgenie, pagerduty};
use crate::scenario;

/// An address of each channel.
pub(crate) const ALL: [&str; 7] = [
    "slack:#ops",
    "slack-webhook:hook",
    "receiver:teams",
    "receiver:pages",
    "receiver:genie",
    "receiver:program",
    "receiver:issues",
];

/// Texts of the settings that nobody may read anywhere.
const SECRETS: [&str; 8] = [
    slack::TOKEN,
    "secrethook",
    "secretsignature",
    pagerduty::KEY,
    opsgenie::KEY,
    webhook::SECRET,
    "secretpath",
    jira::TOKEN,
];

/// All doubles, and channels that are set up for them.
pub(crate) struct Lab {
    pub(crate) slack: Double<Slack>,
    pub(crate) teams: Double<Teams>,
    pub(crate) pagerduty: Double<PagerDuty>,
    pub(crate) opsgenie: Double<Opsgenie>,
    pub(crate) webhook: Double<Webhook>,
    pub(crate) jira: Double<Jira>,
    pub(crate) options: Options,
    rows: Mutex<BTreeMap<EventId, Notification>>,
    channels: Channels,
}

impl Lab {
    pub(crate) async fn open() -> Self {
        let slack = Double::start(Slack::default()).await;
        let teams = Double::start(Teams::default()).await;
        let pagerduty = Double::start(PagerDuty::default()).await;
        let opsgenie = Double::start(Opsgenie::default()).await;
        let webhook = Double::start(Webhook::default()).await;
        let jira = Double::start(Jira::default()).await;
        let settings = json!({
            "link_base_url": "https://firewatch.example.com",
            "slack": { "token": slack::TOKEN, "api_url": format!("{}/api", slack.url) },
            "receivers": {
                "hook": { "type": "slack-webhook", "url": format!("{}{}", slack.url, slack::HOOK) },
                "teams": { "type": "teams", "url": format!("{}{}", teams.url, teams::PATH) },
                "pages": { "type": "pagerduty", "api_url": pagerduty.url, "routing_key": pagerduty::KEY },
                "genie": { "type": "opsgenie", "api_url": opsgenie.url, "api_key": opsgenie::KEY, "team": "Payments" },
                "program": { "type": "webhook", "url": format!("{}{}", webhook.url, webhook::PATH),
                             "secret": webhook::SECRET },
                "alertmanager": { "type": "webhook", "url": format!("{}{}", webhook.url, webhook::PATH),
                                  "secret": "next-secret", "second_secret": webhook::SECRET, "format": "alertmanager" },
                "issues": { "type": "jira", "url": jira.url, "user": "me", "token": jira::TOKEN, "project": "OPS",
                            "issue_type": "Incident" },
            },
        });
        let options: Options = serde_json::from_value(settings).unwrap();
        assert_eq!(options.validate(), Vec::<String>::new());
        let channels = channels(&options);
        Self { slack, teams, pagerduty, opsgenie, webhook, jira, options, rows: Mutex::default(), channels }
    }

    /// Returns the channels.
    pub(crate) fn channels(&self) -> Channels {
        self.channels.clone()
    }

    /// Changes the settings.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self.channels = channels(&self.options);
        self
    }

    /// Sends one message as the stage does: the same notification each time, with the opening as it is stored.
    pub(crate) async fn deliver(
        &self,
        entry: &str,
        content: &NotificationContent,
    ) -> Result<Receipt, Failure> {
        let destination = self.channels.destination(entry).unwrap();
        let thread = Thread::of_one(destination.channel, &destination.address);
        let threads = std::slice::from_ref(&thread);
        let effects =
            notifications::announce(&self.channels, content, threads, vec![], Timestamp::UNIX_EPOCH).unwrap();
        let Some(Write::Notification(mut notification)) = effects.writes.into_iter().next() else {
            panic!("no notification")
        };
        let opening = thread.opening_id(notification.incident_id);
        let opening =
            self.rows.lock().unwrap().get(&opening).filter(|one| one.id != notification.id).cloned();
        let channel = self.channels.get(destination.channel).unwrap();
        let delivery = Delivery { notification: &notification, content, opening: opening.as_ref() };
        let receipt = channel.deliver(delivery).await?;
        if !receipt.envelope.is_empty() {
            let stored = Value::Object(receipt.envelope.clone());
            notification.envelope.insert(Notification::RECEIPT.to_owned(), stored);
        }
        self.rows.lock().unwrap().insert(notification.id, *notification);
        Ok(receipt)
    }

    /// Tries as often as the stage would, with the pauses that are asked for. Returns the failures before it was accepted.
    pub(crate) async fn deliver_in_the_end(
        &self,
        entry: &str,
        content: &NotificationContent,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        loop {
            match self.deliver(entry, content).await {
                Ok(_) => return failures,
                Err(failure @ Failure::Permanent(_)) => panic!("{entry}: {failure}"),
                Err(failure) => {
                    if let Failure::Throttled { pause, .. } = &failure {
                        tokio::time::sleep(*pause).await;
                    }
                    failures.push(failure);
                }
            }
            assert!(failures.len() < 10, "{entry}: {failures:?}");
        }
    }

    /// Lets the next request that writes for an address fail.
    pub(crate) fn fail(&self, entry: &str, fault: Fault) {
        match entry {
            "slack:#ops" => self.slack.fail("chat.postMessage", fault),
            "slack-webhook:hook" => self.slack.fail("/services/", fault),
            "receiver:teams" => self.teams.fail("/", fault),
            "receiver:pages" => self.pagerduty.fail("/", fault),
            "receiver:genie" => self.opsgenie.fail("/", fault),
            "receiver:issues" => self.jira.fail("/issue", fault),
            _ => self.webhook.fail("/", fault),
        }
    }

    /// How many messages an address has.
    pub(crate) fn messages(&self, entry: &str) -> usize {
        match entry {
            "slack:#ops" | "slack-webhook:hook" => self.slack.state(|slack| slack.messages.len()),
            "receiver:teams" => self.teams.state(|teams| teams.cards.len()),
            "receiver:pages" => self.pagerduty.state(|pagerduty| pagerduty.alerts.len()),
            "receiver:genie" => self.opsgenie.state(|opsgenie| opsgenie.alerts.len()),
            "receiver:issues" => self.jira.state(|jira| jira.issues.len()),
            _ => self.webhook.state(|webhook| webhook.taken.len()),
        }
    }

    /// All requests that any double has received.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let mut all = self.slack.requests();
        all.extend(self.teams.requests());
        all.extend(self.pagerduty.requests());
        all.extend(self.opsgenie.requests());
        all.extend(self.webhook.requests());
        all.extend(self.jira.requests());
        all
    }
}

fn channels(options: &Options) -> Channels {
    let http = Http::new(Duration::from_millis(400), Duration::from_secs(8)).unwrap();
    let clock = Arc::new(ManualClock::starting_at(scenario::onset()));
    Channels::new(over_http(options, &http, clock).unwrap())
}

/// Panics if a text holds a secret.
pub(crate) fn assert_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
