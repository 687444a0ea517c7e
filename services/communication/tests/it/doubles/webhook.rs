//! A program that takes a webhook: it checks the signature, and takes each key once.

use communication::channel::webhook::signature;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::service::Secret;

use super::{Reply, Request, Service};

pub(crate) const PATH: &str = "/hooks/secretpath";
pub(crate) const SECRET: &str = "signing-secret";

/// What was taken, each once.
#[derive(Default)]
pub(crate) struct Webhook {
    pub(crate) taken: Vec<(String, Value)>,
}

impl Service for Webhook {
    fn answer(&mut self, request: &Request) -> Reply {
        let seconds = request.header("firewatch-timestamp").parse().unwrap_or_default();
        let expected =
            signature([&Secret::new(SECRET)], Timestamp::from_second(seconds).unwrap(), &request.body);
        let is_signed = request.header("firewatch-signature").split(',').any(|one| one == expected);
        if request.path != PATH || !is_signed {
            return Reply::json(401, &json!({ "error": "the signature is wrong" }));
        }
        let key = request.header("idempotency-key").to_owned();
        if key.is_empty() {
            return Reply::json(400, &json!({ "error": "no key" }));
        }
        if !self.taken.iter().any(|(known, _)| *known == key) {
            self.taken.push((key, request.json()));
        }
        Reply::text(204, "")
    }
}
