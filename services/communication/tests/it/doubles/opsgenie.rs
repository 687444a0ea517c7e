//! Opsgenie's Alerts API.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Request, Service, length};

pub(crate) const KEY: &str = "01234567-secret-key";

/// An alert.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alert {
    pub(crate) state: &'static str,
    pub(crate) count: usize,
    pub(crate) notes: Vec<String>,
    pub(crate) body: Value,
}

/// Alerts by alias.
#[derive(Default)]
pub(crate) struct Opsgenie {
    pub(crate) alerts: BTreeMap<String, Alert>,
}

impl Service for Opsgenie {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.header("authorization") != format!("GenieKey {KEY}") {
            return Reply::json(
                401,
                &json!({ "message": "Could not authenticate", "took": 0.0, "requestId": "r" }),
            );
        }
        let body = request.json();
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        let problem = match path.as_slice() {
            ["v2", "alerts"] => self.create(&body),
            ["v2", "alerts", alias, action]
                if request.query.get("identifierType").is_some_and(|by| by == "alias") =>
            {
                self.change(alias, action, &body)
            }
            _ => Some("path is unknown".to_owned()),
        };
        match problem {
            None => Reply::json(
                202,
                &json!({ "result": "Request will be processed", "took": 0.1, "requestId": "r" }),
            ),
            Some(problem) => Reply::json(
                422,
                &json!({ "message": "Request body is not processable", "errors": { "body": problem }, "requestId": "r" }),
            ),
        }
    }
}

impl Opsgenie {
    fn create(&mut self, body: &Value) -> Option<String> {
        let limits =
            [("message", 130), ("alias", 512), ("description", 15_000), ("source", 100), ("entity", 512)];
        let long = limits.iter().find(|(name, most)| length(&body[*name]) > *most);
        if length(&body["message"]) == 0 {
            return Some("message is required".to_owned());
        }
        if let Some((name, most)) = long {
            return Some(format!("{name} has more than {most} characters"));
        }
        let alert = self.alerts.entry(body["alias"].as_str()?.to_owned()).or_default();
        alert.count += 1;
        alert.state = "open";
        alert.body = body.clone();
        None
    }

    fn change(&mut self, alias: &str, action: &str, body: &Value) -> Option<String> {
        if length(&body["note"]) > 25_000 {
            return Some("note has more than 25000 characters".to_owned());
        }
        // requests are processed later: one for an alert that does not exist is accepted and has no effect
        let alert = self.alerts.get_mut(alias)?;
        alert.notes.extend(body["note"].as_str().map(str::to_owned));
        match action {
            "notes" => {}
            "acknowledge" => alert.state = "acknowledged",
            "close" => alert.state = "closed",
            other => return Some(format!("{other} is unknown")),
        }
        None
    }
}
