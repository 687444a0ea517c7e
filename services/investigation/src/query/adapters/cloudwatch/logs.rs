//! Logs: `FilterLogEvents`, newest first. It returns lines and counts none, so these are counted here.

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Subject};
use tokio::time::Instant;

use super::MAX_PAGES;
use super::api::Api;
use crate::query::options::{CloudWatch, fill};
use crate::query::source::{Failure, QuerySource, topic};
use crate::query::{minutes, words};

/// Most lines of a page.
const MAX_LINES: usize = 5_000;

/// Asks CloudWatch for logs.
pub struct LogSource {
    api: Api,
    log_group: String,
    stream_prefix: String,
}

impl LogSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &CloudWatch) -> Result<Self> {
        let (log_group, stream_prefix) = (options.log_group.clone(), options.stream_prefix.clone());
        Ok(Self { api: Api::logs(options)?, log_group, stream_prefix })
    }

    /// Gets pages, newest lines first, until `take` has enough, there are no more, or they are too many. Returns whether there
    /// are more.
    async fn pages(
        &self,
        service: &str,
        (from, to): (Timestamp, Timestamp),
        (limit, pattern): (usize, Option<String>),
        deadline: Instant,
        mut take: impl FnMut(Vec<Event>) -> bool + Send,
    ) -> Result<bool, Failure> {
        let mut request = json!({
            "logGroupName": fill(&self.log_group, service),
            "startTime": from.as_millisecond(),
            // the API takes it as the last time
            "endTime": to.as_millisecond() - 1,
            "limit": limit,
            "startFromHead": false,
        });
        if !self.stream_prefix.is_empty() {
            request["logStreamNamePrefix"] = fill(&self.stream_prefix, service).into();
        }
        if let Some(pattern) = pattern {
            request["filterPattern"] = pattern.into();
        }
        for _ in 0..MAX_PAGES {
            let page: Page = self.page(&request, service, deadline).await?;
            let token = page.next_token.filter(|token| !token.is_empty());
            let is_enough = take(page.events);
            let Some(token) = token.filter(|_| !is_enough) else { return Ok(false) };
            request["nextToken"] = token.into();
        }
        Ok(true)
    }

    async fn page(&self, request: &Value, service: &str, deadline: Instant) -> Result<Page, Failure> {
        self.api.call(request, deadline).await.map_err(|failure| match failure {
            // there is no log group of that name
            Failure::Refused(code) if code == "ResourceNotFoundException" => {
                Failure::Unknown(service.to_owned())
            }
            other => other,
        })
    }

    /// Fails where there is no line of the service since the first symptom: then the absence of some says nothing.
    async fn knows(&self, question: &Question, deadline: Instant) -> Result<(), Failure> {
        let mut is_any = false;
        let since = (question.onset, question.to);
        let is_more = self
            .pages(&question.service, since, (1, None), deadline, |events| {
                is_any |= !events.is_empty();
                is_any
            })
            .await?;
        match (is_any, is_more) {
            (true, _) => Ok(()),
            (false, true) => Err(Failure::Partial),
            (false, false) => Err(Failure::Unknown(question.service.clone())),
        }
    }
}

/// Returns the expression that finds lines of a topic. CloudWatch's has classes and alternatives, and neither groups nor flags.
fn pattern(about: LogTopic) -> String {
    let mut pattern = "%".to_owned();
    for (place, word) in words::of(about).iter().enumerate() {
        if place > 0 {
            pattern.push('|');
        }
        for character in word.chars() {
            match character {
                ' ' => pattern.push_str(r"\s"),
                letter if letter.is_ascii_lowercase() => {
                    pattern.extend(['[', letter.to_ascii_uppercase(), letter, ']']);
                }
                other => pattern.push(other),
            }
        }
    }
    pattern.push('%');
    pattern
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    events: Vec<Event>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    timestamp: i64,
    #[serde(default)]
    message: String,
}

/// Lines that were found.
struct Lines {
    about: LogTopic,
    counts: Vec<(i64, f64)>,
    /// The newest one since the first symptom.
    example: Option<(i64, String)>,
    /// Time of the last line that was read; they are read from the newest on.
    oldest: i64,
    is_sorted: bool,
}

impl Lines {
    fn take(&mut self, events: Vec<Event>, onset: Timestamp) {
        for Event { timestamp, message } in events {
            self.is_sorted &= timestamp <= self.oldest;
            self.oldest = timestamp;
            if !words::are_in(self.about, &message) {
                continue;
            }
            self.counts.push((timestamp, 1.0));
            let is_newer = self.example.as_ref().is_none_or(|(newest, _)| *newest < timestamp);
            if is_newer && timestamp >= onset.as_millisecond() {
                self.example = Some((timestamp, message));
            }
        }
    }
}

#[async_trait]
impl QuerySource for LogSource {
    fn name(&self) -> &'static str {
        "cloudwatch_logs"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Lines { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let about = topic(question)?;
        // with a slash it would be in the log group of another one, and other characters are in no name of a group
        let is_part = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if !question.service.chars().all(is_part) {
            return Err(Failure::Unknown(question.service.clone()));
        }
        let mut lines = Lines { about, counts: Vec::new(), example: None, oldest: i64::MAX, is_sorted: true };
        let (window, wanted) = ((question.from, question.to), (MAX_LINES, Some(pattern(about))));
        let is_more = self
            .pages(&question.service, window, wanted, deadline, |events| {
                lines.take(events, question.onset);
                false
            })
            .await?;
        let mut minutes = minutes::of(question.from, question.to, lines.counts.into_iter());
        if is_more {
            // the begin is not there; without what was logged since the first symptom there is no answer
            if !lines.is_sorted || lines.oldest >= question.onset.as_millisecond() {
                return Err(Failure::Partial);
            }
            minutes.retain(|minute| minute.ts_ms >= lines.oldest);
        }
        if lines.example.is_none() {
            self.knows(question, deadline).await?;
        }
        Ok(Answer::Lines { minutes, example: lines.example.map(|(_, line)| line) })
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    /// What the API takes: at most 1,024 bytes, of characters that its expressions have.
    #[test]
    fn the_pattern_of_each_topic_is_one_that_the_api_takes() {
        use LogTopic::{Certificate, Disk, Exception, Memory, Network, Pool};
        for about in [Memory, Pool, Disk, Certificate, Network, Exception] {
            let pattern = pattern(about);
            assert!(pattern.len() <= 1_024, "{pattern}");
            let inner = pattern.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).unwrap();
            let is_known = |one: char| one.is_ascii_alphanumeric() || r"[]\|-".contains(one);
            assert!(inner.chars().all(is_known), "{pattern}");
            let found = Regex::new(inner).unwrap();
            for word in words::of(about) {
                let title = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
                for line in [(*word).to_owned(), word.to_uppercase(), format!("x{title}y")] {
                    assert!(found.is_match(&line) && words::are_in(about, &line), "{line}");
                }
            }
            assert!(!found.is_match("ready"));
        }
    }
}
