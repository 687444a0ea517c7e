//! The methods of Jira's REST API that the channel calls. Version 2 takes text; version 3 differs in that alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use serde_json::{Value, json};
use shared::ids::EventId;
use shared::service::Secret;

use super::text::mark;
use crate::channel::Failure;
use crate::channel::http::{Http, Request, address, at};
use crate::receivers::{Edition, Jira};

/// Comments of an issue that are searched for our own, the last ones.
const SEARCHED: &str = "20";

/// A client of one site.
pub struct Api<'a> {
    http: &'a Http,
    settings: &'a Jira,
    base: Url,
}

impl<'a> Api<'a> {
    /// Makes a client.
    pub fn new(http: &'a Http, settings: &'a Jira) -> Result<Self, Failure> {
        let base = address(&settings.url).map_err(|problem| Failure::Permanent(format!("url {problem}")))?;
        Ok(Self { http, settings, base })
    }

    /// Returns the key of the issue with that label, if there is one.
    pub async fn issue_of(&self, label: &str) -> Result<Option<String>, Failure> {
        let path: &[&str] = match self.settings.edition {
            Edition::Cloud => &["search", "jql"],
            Edition::DataCenter => &["search"],
        };
        let jql = format!("project = \"{}\" AND labels = \"{label}\"", self.settings.project);
        let query = [("jql", jql.as_str()), ("fields", "labels"), ("maxResults", "1")];
        let found = self.get(path, &query).await?;
        Ok(found["issues"][0]["key"].as_str().map(str::to_owned))
    }

    /// Creates an issue and returns its key.
    pub async fn create(&self, issue: &Value) -> Result<String, Failure> {
        let created = self.send(Request::post(self.at(&["issue"]), issue)).await?;
        named(&created, "key")
    }

    /// Returns the id of the comment of a notification, if there is one.
    pub async fn comment_of(&self, key: &str, id: EventId) -> Result<Option<String>, Failure> {
        let query = [("orderBy", "-created"), ("maxResults", SEARCHED)];
        let found = self.get(&["issue", key, "comment"], &query).await?;
        let comments = found["comments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mark = mark(id);
        let is_ours = |comment: &&Value| comment["body"].as_str().is_some_and(|body| body.contains(&mark));
        Ok(comments.iter().find(is_ours).and_then(|comment| comment["id"].as_str()).map(str::to_owned))
    }

    /// Adds a comment and returns its id.
    pub async fn comment(&self, key: &str, body: &str) -> Result<String, Failure> {
        let url = self.at(&["issue", key, "comment"]);
        let created = self.send(Request::post(url, &json!({ "body": body }))).await?;
        named(&created, "id")
    }

    /// Makes the transition of that name. Returns whether the issue offers it.
    pub async fn transition(&self, key: &str, name: &str) -> Result<bool, Failure> {
        let offered = self.get(&["issue", key, "transitions"], &[]).await?;
        let transitions = offered["transitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_it =
            |one: &&Value| one["name"].as_str().is_some_and(|offered| offered.eq_ignore_ascii_case(name));
        let Some(id) = transitions.iter().find(is_it).and_then(|one| one["id"].as_str()) else {
            return Ok(false);
        };
        let url = self.at(&["issue", key, "transitions"]);
        self.send(Request::post(url, &json!({ "transition": { "id": id } }))).await?;
        Ok(true)
    }

    fn at(&self, path: &[&str]) -> Url {
        at(&self.base, &[&["rest", "api", "2"], path].concat())
    }

    async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(Request::get(url)).await
    }

    async fn send(&self, request: Request) -> Result<Value, Failure> {
        let Jira { user, token, .. } = self.settings;
        let login = if user.is_empty() {
            format!("Bearer {}", token.expose())
        } else {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", token.expose())))
        };
        let encoded = login.split_once(' ').map(|(_, encoded)| Secret::new(encoded)).unwrap_or_default();
        let request = request.authorised(&login, token)?.hiding(&encoded);
        Ok(self.http.send(request).await?.json())
    }
}

fn named(created: &Value, name: &str) -> Result<String, Failure> {
    let found = created[name].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::Permanent(format!("Jira accepted the request and named no {name}")))
}
