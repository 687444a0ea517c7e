//! A workflow of Microsoft Teams that posts cards.

use serde_json::{Value, json};

use super::{Reply, Request, Service};

pub(crate) const PATH: &str = "/workflows/0123/triggers/manual/paths/invoke/secretsignature";

/// A workflow.
#[derive(Default)]
pub(crate) struct Teams {
    pub(crate) cards: Vec<Value>,
}

impl Service for Teams {
    fn answer(&mut self, request: &Request) -> Reply {
        let error = |status, message: &str| {
            Reply::json(status, &json!({ "error": { "code": "Rejected", "message": message } }))
        };
        if request.path != PATH {
            return error(401, "DirectApiAuthorizationRequired");
        }
        if request.body.len() > 28 * 1024 {
            return error(413, "RequestEntityTooLarge");
        }
        let body = request.json();
        let attachment = &body["attachments"][0];
        let card = &attachment["content"];
        let is_card = body["type"] == "message"
            && attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
            && card["type"] == "AdaptiveCard"
            && card["version"] == "1.4"
            && card["body"].as_array().is_some_and(|body| !body.is_empty());
        if !is_card {
            return error(400, "the request is no Adaptive Card");
        }
        self.cards.push(body);
        Reply::text(202, "")
    }
}
