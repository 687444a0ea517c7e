//! PagerDuty's Events API v2.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, Request, Service, length};

pub(crate) const KEY: &str = "0123456789abcdef0123456789secret";

/// A service with its alerts, by key: how each stands.
#[derive(Default)]
pub(crate) struct PagerDuty {
    pub(crate) events: Vec<Value>,
    pub(crate) alerts: BTreeMap<String, &'static str>,
}

impl Service for PagerDuty {
    fn answer(&mut self, request: &Request) -> Reply {
        let event = request.json();
        let errors = errors(&event, request.body.len());
        if request.path != "/v2/enqueue" || !errors.is_empty() {
            let body =
                json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors });
            return Reply::json(400, &body);
        }
        let key = event["dedup_key"].as_str().unwrap().to_owned();
        let state = match event["event_action"].as_str() {
            Some("trigger") => Some("triggered"),
            Some("acknowledge") => self.alerts.contains_key(&key).then_some("acknowledged"),
            _ => self.alerts.contains_key(&key).then_some("resolved"),
        };
        self.alerts.extend(state.map(|state| (key.clone(), state)));
        self.events.push(event);
        Reply::json(202, &json!({ "status": "success", "message": "Event processed", "dedup_key": key }))
    }
}

fn errors(event: &Value, size: usize) -> Vec<String> {
    let mut errors = Vec::new();
    if event["routing_key"] != KEY {
        // it quotes what it was given
        errors.push(format!("routing_key {} is invalid", event["routing_key"]));
    }
    if size > 512 * 1024 {
        errors.push("event exceeds 512 KB".to_owned());
    }
    if !(1..=255).contains(&length(&event["dedup_key"])) {
        errors.push("dedup_key is invalid".to_owned());
    }
    let payload = &event["payload"];
    match event["event_action"].as_str() {
        Some("acknowledge" | "resolve") => {}
        Some("trigger") => {
            if !(1..=1024).contains(&length(&payload["summary"])) {
                errors.push("payload.summary is invalid".to_owned());
            }
            if length(&payload["source"]) == 0 {
                errors.push("payload.source is missing".to_owned());
            }
            if !["critical", "error", "warning", "info"]
                .contains(&payload["severity"].as_str().unwrap_or_default())
            {
                errors.push("payload.severity is invalid".to_owned());
            }
        }
        _ => errors.push("event_action is invalid".to_owned()),
    }
    errors
}
