//! Reads what a mail sink received, whichever of the two kinds it is.

use std::time::Duration;

use anyhow::{Context, Result};
use mail_parser::{HeaderValue, MessageParser, MimeHeaders};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// One mail, as its reader's program would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// `Message-ID`, without the angle brackets.
    pub id: String,
    /// `In-Reply-To`, without the angle brackets.
    pub in_reply_to: Option<String>,
    /// `References`, oldest first, without the angle brackets.
    pub references: Vec<String>,
    /// Addresses of `To`.
    pub to: Vec<String>,
    /// `Subject`.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// The `Content-ID` of each inline picture, without the angle brackets.
    pub pictures: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Maildev,
    Mailhog,
}

/// A mail sink's store, read over HTTP.
#[derive(Debug, Clone)]
pub struct Mailbox {
    kind: Kind,
    url: String,
    client: Client,
}

impl Mailbox {
    /// Reads a maildev at `url`.
    pub fn maildev(url: impl Into<String>) -> Self {
        Self { kind: Kind::Maildev, url: url.into(), client: Client::new() }
    }

    /// Reads a Mailhog at `url`.
    pub fn mailhog(url: impl Into<String>) -> Self {
        Self { kind: Kind::Mailhog, url: url.into(), client: Client::new() }
    }

    /// Returns all mails, in the order they arrived.
    pub async fn mails(&self) -> Result<Vec<Mail>> {
        let sources = match self.kind {
            Kind::Maildev => self.maildev_sources().await,
            Kind::Mailhog => self.mailhog_sources().await,
        };
        sources
            .with_context(|| format!("reading the mail sink at {}", self.url))?
            .iter()
            .map(|source| parse(source))
            .collect()
    }

    async fn maildev_sources(&self) -> Result<Vec<Vec<u8>>> {
        #[derive(Deserialize)]
        struct Entry {
            id: String,
        }
        let entries: Vec<Entry> = serde_json::from_slice(&self.get("/email").await?)?;
        let mut sources = Vec::with_capacity(entries.len());
        for entry in entries {
            sources.push(self.get(&format!("/email/{}/source", entry.id)).await?);
        }
        Ok(sources)
    }

    async fn mailhog_sources(&self) -> Result<Vec<Vec<u8>>> {
        let answer: Value = serde_json::from_slice(&self.get("/api/v2/messages?limit=1000").await?)?;
        let items = answer["items"].as_array().context("no items")?;
        // newest first
        items.iter().rev().map(|item| Ok(item["Raw"]["Data"].as_str().context("no raw data")?.into())).collect()
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let response = self.client.get(format!("{}{path}", self.url)).timeout(ANSWER).send().await?;
        Ok(response.error_for_status()?.bytes().await?.to_vec())
    }
}

fn parse(source: &[u8]) -> Result<Mail> {
    let message = MessageParser::default().parse(source).context("not a mail")?;
    let ids = |value: &HeaderValue| -> Vec<String> {
        value.as_text_list().unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    let to = message.to().map(|to| to.iter().filter_map(|to| Some(to.address()?.to_owned())).collect());
    Ok(Mail {
        id: message.message_id().context("a mail without Message-ID")?.to_owned(),
        in_reply_to: ids(message.in_reply_to()).pop(),
        references: ids(message.references()),
        to: to.unwrap_or_default(),
        subject: message.subject().unwrap_or_default().to_owned(),
        text: message.body_text(0).unwrap_or_default().into_owned(),
        html: message.body_html(0).unwrap_or_default().into_owned(),
        pictures: message.attachments().filter_map(|part| Some(part.content_id()?.to_owned())).collect(),
    })
}
