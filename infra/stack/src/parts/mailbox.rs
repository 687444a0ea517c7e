//! Reads the mails that a mail sink accepted, a maildev or a Mailhog.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use mail_parser::{HeaderValue, MessageParser, MimeHeaders};
use reqwest::Client;
use serde::Deserialize;
use shared::clock::{Clock, SystemClock};

use crate::parts::probe;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// One mail, as a mail program would show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// When it was accepted at the latest: the time of the sink if it gives one, else the time it was read.
    pub received_at: Timestamp,
    /// `X-Firewatch-Kind`: `opened`, `root_cause`, `plan`, `resolved` or `postmortem`.
    pub kind: Option<String>,
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

/// The mails of a mail sink, read over HTTP.
#[derive(Debug, Clone)]
pub struct Mailbox {
    kind: Kind,
    url: String,
    client: Client,
}

impl Mailbox {
    /// Reads a maildev at `url`.
    pub fn maildev(url: impl Into<String>) -> Self {
        Self { kind: Kind::Maildev, url: url.into(), client: probe::client() }
    }

    /// Reads a Mailhog at `url`.
    pub fn mailhog(url: impl Into<String>) -> Self {
        Self { kind: Kind::Mailhog, url: url.into(), client: probe::client() }
    }

    /// Returns all mails, in the order they arrived.
    pub async fn mails(&self) -> Result<Vec<Mail>> {
        self.mails_after(0).await
    }

    /// Returns the mails but the first `known` ones, in the order they arrived.
    pub async fn mails_after(&self, known: usize) -> Result<Vec<Mail>> {
        let mails = match self.kind {
            Kind::Maildev => self.read_maildev(known).await,
            Kind::Mailhog => self.read_mailhog(known).await,
        };
        mails.with_context(|| format!("reading the mail sink at {}", self.url))
    }

    async fn read_maildev(&self, known: usize) -> Result<Vec<Mail>> {
        #[derive(Deserialize)]
        struct Entry {
            id: String,
        }
        let entries: Vec<Entry> = serde_json::from_slice(&self.get(&format!("/email?skip={known}")).await?)?;
        let mut mails = Vec::with_capacity(entries.len());
        for entry in entries {
            let source = self.get(&format!("/email/{}/source", entry.id)).await?;
            mails.push(parse(&source, SystemClock.now())?);
        }
        Ok(mails)
    }

    async fn read_mailhog(&self, known: usize) -> Result<Vec<Mail>> {
        mailhog(&self.get("/api/v2/messages?limit=1000").await?, known)
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let response = self.client.get(format!("{}{path}", self.url)).timeout(ANSWER).send().await?;
        Ok(response.error_for_status()?.bytes().await?.to_vec())
    }
}

/// Parses the list of a Mailhog, newest first, without the `known` oldest mails.
fn mailhog(answer: &[u8], known: usize) -> Result<Vec<Mail>> {
    #[derive(Deserialize)]
    struct Answer {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Item {
        created: Timestamp,
        raw: Raw,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Raw {
        data: String,
    }
    let answer: Answer = serde_json::from_slice(answer)?;
    answer.items.iter().rev().skip(known).map(|item| parse(item.raw.data.as_bytes(), item.created)).collect()
}

fn parse(source: &[u8], received_at: Timestamp) -> Result<Mail> {
    let message = MessageParser::default().parse(source).context("parsing a mail")?;
    let ids = |value: &HeaderValue| -> Vec<String> {
        value.as_text_list().unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    let to = message.to().map(|to| to.iter().filter_map(|to| Some(to.address()?.to_owned())).collect());
    Ok(Mail {
        received_at,
        kind: message.header("X-Firewatch-Kind").and_then(|kind| Some(kind.as_text()?.trim().to_owned())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailhogs_list_is_read_oldest_first() {
        let item = |id: &str, second: u32| {
            serde_json::json!({
                "ID": format!("{id}@mailhog.example"),
                "Created": format!("2026-01-05T12:00:{second:02}.123456789Z"),
                "Content": {"Headers": {}, "Body": "", "Size": 0, "MIME": null},
                "Raw": {
                    "From": "firewatch@firewatch.test", "To": ["oncall@firewatch.test"], "Helo": "test",
                    "Data": format!(
                        "Message-ID: <{id}@firewatch.test>\r\nX-Firewatch-Kind: root_cause\r\n\
                         Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\
                         \r\nslow=C2=B7er\r\n"
                    ),
                },
            })
        };
        let list = serde_json::json!({"total": 3, "count": 3, "start": 0, "items": [item("c", 3), item("b", 2), item("a", 1)]});
        let mails = mailhog(list.to_string().as_bytes(), 1).unwrap();
        assert_eq!(
            mails.iter().map(|mail| mail.id.as_str()).collect::<Vec<_>>(),
            ["b@firewatch.test", "c@firewatch.test"]
        );
        assert_eq!(mails[0].received_at.to_string(), "2026-01-05T12:00:02.123456789Z");
        assert_eq!(mails[0].kind.as_deref(), Some("root_cause"));
        assert_eq!(mails[0].text.trim(), "slow·er");
    }
}
