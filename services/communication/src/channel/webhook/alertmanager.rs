//! The body of Alertmanager's webhook, version 4: one group with one alert for each incident.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::message::{Message, Status};

/// Most characters of the description.
const MAX_DESCRIPTION: usize = 8_000;
/// What Alertmanager writes for a time that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Returns the body for a message.
pub fn body(message: &Message, receiver: &str, link_base: &str) -> Value {
    let about = &message.about;
    let id = about.incident_id.to_string();
    let is_over = message.status == Status::Resolved;
    let status = if is_over { "resolved" } else { "firing" };
    let labels = json!({
        "alertname": "FirewatchIncident",
        "incident": id,
        "severity": message.severity.label(),
        "service": about.service,
        "environment": about.environment,
    });
    let annotations = json!({
        "summary": about.subject,
        "headline": message.headline,
        "description": message.text(MAX_DESCRIPTION),
    });
    let ends = if is_over { message.at.to_string() } else { NEVER.to_owned() };
    let link = message.link.clone().unwrap_or_default();
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{incident=\"{id}\"}}"),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": receiver,
        "groupLabels": { "incident": id },
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": link_base,
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": about.started_at,
            "endsAt": ends,
            "generatorURL": link,
            "fingerprint": fingerprint(&id),
        }],
    })
}

/// Returns 16 hexadecimal digits that stay the same for an incident.
fn fingerprint(id: &str) -> String {
    hex::encode(&Sha256::digest(id.as_bytes())[..8])
}
