//! Settings of Slack and of named receivers: services that are reached by HTTP, each with an address and a secret of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::service::Secret;

use crate::channel::http::address;

/// Longest name of a receiver, characters.
const MAX_NAME: usize = 64;
/// Most receivers.
const MOST: usize = 200;

/// A Slack app, under `[communication.slack]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slack {
    /// Bot token (`xoxb-...`); empty: `slack:` is no channel.
    pub token: Secret,
    /// Address of the Web API.
    pub api_url: String,
}

impl Default for Slack {
    fn default() -> Self {
        Self { token: Secret::default(), api_url: "https://slack.com/api".to_owned() }
    }
}

/// A receiver, under `[communication.receivers.NAME]`. `receiver:NAME` is its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Receiver {
    /// An incoming webhook of Slack: neither threads nor edits.
    SlackWebhook(Hook),
    /// A workflow of Microsoft Teams that posts to a chat or channel.
    Teams(Hook),
    /// A service of PagerDuty with an integration of Events API v2.
    #[serde(rename = "pagerduty")]
    PagerDuty(PagerDuty),
    /// An integration of Opsgenie, or of a service with the same Alerts API.
    Opsgenie(Opsgenie),
    /// A program of your own.
    Webhook(Webhook),
    /// A project of Jira.
    Jira(Jira),
}

/// An address that is a secret, for who knows it may post.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hook {
    /// Address.
    pub url: Secret,
}

/// PagerDuty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PagerDuty {
    /// Integration key.
    pub routing_key: Secret,
    /// Address of the Events API; `https://events.eu.pagerduty.com` in the EU.
    pub api_url: String,
}

impl Default for PagerDuty {
    fn default() -> Self {
        Self { routing_key: Secret::default(), api_url: "https://events.pagerduty.com".to_owned() }
    }
}

/// Opsgenie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Opsgenie {
    /// Key of the API integration.
    pub api_key: Secret,
    /// Address of the API; `https://api.eu.opsgenie.com` in the EU.
    pub api_url: String,
    /// Team that is called; empty: the one that the integration belongs to.
    pub team: String,
}

impl Default for Opsgenie {
    fn default() -> Self {
        Self {
            api_key: Secret::default(),
            api_url: "https://api.opsgenie.com".to_owned(),
            team: String::new(),
        }
    }
}

/// What a webhook posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// CloudEvents 1.0 in structured mode.
    #[default]
    Cloudevents,
    /// The webhook of Alertmanager, version 4.
    Alertmanager,
}

/// A webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Address.
    pub url: Secret,
    /// Key of the signature.
    pub secret: Secret,
    /// A second key while keys are changed: both signatures are sent. Empty: none.
    pub second_secret: Secret,
    /// What is posted.
    pub format: Format,
}

/// How Jira is run: the search for issues has two addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edition {
    /// By Atlassian.
    #[default]
    Cloud,
    /// By yourself.
    DataCenter,
}

/// A project of Jira.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jira {
    /// Address of the site.
    pub url: String,
    /// How it is run.
    pub edition: Edition,
    /// User, with an API token; empty: the token is a personal access token.
    pub user: String,
    /// Token.
    pub token: Secret,
    /// Key of the project.
    pub project: String,
    /// Type of the issues.
    pub issue_type: String,
    /// Name of the transition at the end of an incident; empty: issues stay as they are.
    pub resolve_transition: String,
}

impl Default for Jira {
    fn default() -> Self {
        Self {
            url: String::new(),
            edition: Edition::Cloud,
            user: String::new(),
            token: Secret::default(),
            project: String::new(),
            issue_type: "Task".to_owned(),
            resolve_transition: "Done".to_owned(),
        }
    }
}

/// Returns everything that is wrong with Slack and the receivers, one sentence each. No sentence holds a secret.
pub fn validate(slack: &Slack, receivers: &BTreeMap<String, Receiver>) -> Vec<String> {
    let mut problems = Vec::new();
    check(&mut problems, "slack.api_url", address(&slack.api_url));
    header(&mut problems, "slack.token", &slack.token);
    if receivers.len() > MOST {
        problems.push(format!("receivers: {} are more than {MOST}", receivers.len()));
    }
    for (name, receiver) in receivers {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            problems.push(format!(
                "receivers: {name:?} has other characters than a-z, 0-9, - and _, or too many"
            ));
        }
        let mut found = receiver.problems();
        problems.extend(found.drain(..).map(|problem| format!("receivers.{name}.{problem}")));
    }
    problems
}

impl Receiver {
    /// Returns the name of its channel.
    pub fn channel(&self) -> &'static str {
        match self {
            Self::SlackWebhook(_) => "slack-webhook",
            Self::Teams(_) => "teams",
            Self::PagerDuty(_) => "pagerduty",
            Self::Opsgenie(_) => "opsgenie",
            Self::Webhook(_) => "webhook",
            Self::Jira(_) => "jira",
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match self {
            Self::SlackWebhook(Hook { url }) | Self::Teams(Hook { url }) => {
                check(&mut problems, "url", address(url.expose()));
            }
            Self::PagerDuty(PagerDuty { routing_key, api_url }) => {
                check(&mut problems, "api_url", address(api_url));
                required(&mut problems, "routing_key", routing_key.expose());
            }
            Self::Opsgenie(Opsgenie { api_key, api_url, .. }) => {
                check(&mut problems, "api_url", address(api_url));
                required(&mut problems, "api_key", api_key.expose());
                header(&mut problems, "api_key", api_key);
            }
            Self::Webhook(Webhook { url, secret, .. }) => {
                check(&mut problems, "url", address(url.expose()));
                required(&mut problems, "secret", secret.expose());
            }
            Self::Jira(jira) => {
                check(&mut problems, "url", address(&jira.url));
                required(&mut problems, "token", jira.token.expose());
                header(&mut problems, "token", &jira.token);
                let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if jira.project.is_empty() || !jira.project.chars().all(is_key) {
                    problems.push(format!("project: {:?} is no key of a project", jira.project));
                }
                required(&mut problems, "issue_type", &jira.issue_type);
            }
        }
        problems
    }
}

fn check<T>(problems: &mut Vec<String>, name: &str, outcome: Result<T, &'static str>) {
    problems.extend(outcome.err().map(|problem| format!("{name}: {problem}")));
}

fn required(problems: &mut Vec<String>, name: &str, text: &str) {
    if text.is_empty() {
        problems.push(format!("{name}: is not set"));
    }
}

fn header(problems: &mut Vec<String>, name: &str, secret: &Secret) {
    if !secret.expose().chars().all(|c| c.is_ascii_graphic()) {
        problems.push(format!("{name}: has characters that a header cannot carry"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<BTreeMap<String, Receiver>, String> {
        serde_json::from_str(toml).map_err(|error| error.to_string())
    }

    #[test]
    fn all_problems_of_all_receivers_are_named_at_once_and_no_secret() {
        let receivers = read(
            r#"{"Pages": {"type": "pagerduty", "api_url": "http://events.pagerduty.com"},
                "chat": {"type": "teams", "url": "http://example.com/hunter2"},
                "hook": {"type": "webhook", "url": "https://me:hunter2@example.com"},
                "jira": {"type": "jira", "url": "https://jira.example.com", "token": "hunter2\n", "project": "A B"},
                "ok": {"type": "opsgenie", "api_key": "hunter2", "api_url": "http://127.0.0.1:8080"}}"#,
        )
        .unwrap();
        let problems = validate(&Slack::default(), &receivers);
        let named: Vec<_> = problems.iter().filter_map(|problem| problem.split(": ").next()).collect();
        assert_eq!(
            named,
            [
                "receivers",
                "receivers.Pages.api_url",
                "receivers.Pages.routing_key",
                "receivers.chat.url",
                "receivers.hook.url",
                "receivers.hook.secret",
                "receivers.jira.token",
                "receivers.jira.project"
            ]
        );
        let shown = format!("{problems:?} {receivers:?} {}", serde_json::to_string(&receivers).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn an_unknown_type_or_field_is_refused() {
        assert!(read(r#"{"a": {"type": "fax"}}"#).unwrap_err().contains("fax"));
        assert!(read(r#"{"a": {"type": "teams", "ur1": ""}}"#).unwrap_err().contains("ur1"));
    }
}
