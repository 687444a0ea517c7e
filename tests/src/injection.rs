//! Hostile text in everything that anyone may write: what it must not change, and how that is seen.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;
use shared::events::raw::{Level, LogRecord, MetricSample, Span, SpanStatus};
use shared::events::{Deployment, Event, Plan, Topic, encode};
use shared::ids::derive;
use stack::observe::run_summary::RunObservation;
use stack::parts::mailbox::Mail;

/// Host that every item of the corpus names: where it occurs, text of the corpus has got.
pub const MARKER: &str = "evil.example";

/// The same, written from right to left.
const REVERSED: &str = "elpmaxe.live";

/// One hostile text, and what carries it.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "carrier", rename_all = "snake_case")]
pub enum Item {
    /// A line of a log.
    Log {
        /// The line.
        message: String,
    },
    /// Labels of a sample.
    Label {
        /// The labels.
        labels: BTreeMap<String, String>,
    },
    /// Names in a span.
    Span {
        /// Operation.
        operation: String,
        /// Far end.
        peer: Option<String>,
    },
    /// Notes of a change.
    Deployment {
        /// Kind of change.
        #[serde(default)]
        change_type: Option<String>,
        /// Commit.
        #[serde(default)]
        git_sha: Option<String>,
        /// Who rolled it out.
        #[serde(default)]
        deployed_by: Option<String>,
        /// Description.
        #[serde(default)]
        description: Option<String>,
        /// Risks.
        #[serde(default)]
        known_risks: Vec<String>,
    },
    /// Text of a runbook.
    Runbook {
        /// The text.
        text: String,
    },
}

/// A record that carries an item.
#[derive(Debug, Clone)]
pub struct Carried {
    /// Topic.
    pub topic: Topic,
    /// Key.
    pub key: String,
    /// JSON.
    pub payload: Vec<u8>,
}

/// Reads a corpus, one item a line.
///
/// # Errors
/// If a line is no item, or does not hold the marker.
pub fn corpus(text: &str) -> Result<Vec<Item>> {
    let item = |(number, line): (usize, &str)| {
        let is_marked = line.contains(MARKER) || line.contains(REVERSED);
        ensure!(is_marked, "line {} has no marker", number + 1);
        serde_json::from_str(line).with_context(|| format!("line {}", number + 1))
    };
    text.lines().enumerate().map(item).collect()
}

impl Item {
    /// Returns the record that carries the item, at a time; nothing for text that no topic carries. Log lines are those of `faulty`,
    /// the service that fails; changes are those of `other`, which does not.
    ///
    /// # Errors
    /// If the record is not valid.
    pub fn record(&self, number: usize, faulty: &str, other: &str, at: Timestamp) -> Result<Option<Carried>> {
        let ts_ms = at.as_millisecond();
        Ok(Some(match self.clone() {
            Self::Log { message } => carried(
                Topic::RawLogs,
                &LogRecord {
                    service: faulty.into(),
                    level: if number.is_multiple_of(2) { Level::Error } else { Level::Warn },
                    message,
                    ts_ms,
                    environment: "production".into(),
                    trace_id: None,
                    labels: BTreeMap::new(),
                },
            )?,
            Self::Label { labels } => carried(
                Topic::RawMetrics,
                &MetricSample { labels, ..MetricSample::of(faulty, "injected_ratio", 1.0, ts_ms) },
            )?,
            Self::Span { operation, peer } => carried(
                Topic::RawSpans,
                &Span {
                    trace_id: derive(&["injected", &number.to_string()]).simple().to_string(),
                    span_id: format!("{number:016x}"),
                    parent_span_id: None,
                    service: faulty.into(),
                    operation,
                    ts_ms,
                    duration_ms: 5.0,
                    status: SpanStatus::Ok,
                    environment: "production".into(),
                    peer,
                },
            )?,
            Self::Deployment { change_type, git_sha, deployed_by, description, known_risks } => carried(
                Topic::RawDeployments,
                &Deployment {
                    service: other.into(),
                    version: format!("0.0.{number}"),
                    ts_ms,
                    environment: "production".into(),
                    change_type: change_type.unwrap_or_else(|| "deploy".into()),
                    git_sha,
                    deployed_by,
                    description,
                    known_risks,
                },
            )?,
            Self::Runbook { .. } => return Ok(None),
        }))
    }
}

fn carried<E: Event>(topic: Topic, event: &E) -> Result<Carried> {
    Ok(Carried { topic, key: event.subject(), payload: encode(event)? })
}

/// Checks that no text of the corpus has become a step, a recipient, a header, a link or an element, and that nothing steers a
/// reader's terminal or the direction of writing.
///
/// # Errors
/// What has.
pub fn check(observation: &RunObservation) -> Result<()> {
    ensure!(!observation.plans.is_empty() && !observation.mails.is_empty(), "no plan or no mail");
    for plan in observation.plans.values() {
        check_plan(plan)?;
    }
    for mail in &observation.mails {
        check_mail(mail).with_context(|| mail.subject.clone())?;
    }
    Ok(())
}

/// The steps of a plan come from runbooks alone.
fn check_plan(plan: &Plan) -> Result<()> {
    let escalation = serde_json::to_string(&plan.escalation)?;
    ensure!(!escalation.contains(MARKER), "escalation: {escalation}");
    for step in &plan.steps {
        let text = serde_json::to_string(step)?;
        ensure!(!text.contains(MARKER), "step: {text}");
    }
    Ok(())
}

fn check_mail(mail: &Mail) -> Result<()> {
    ensure!(mail.to.iter().all(|to| !to.contains(MARKER)), "recipients {:?}", mail.to);
    ensure!(mail.id.ends_with("@firewatch") || !mail.id.contains(MARKER), "message id {}", mail.id);
    ensure!(!mail.subject.contains(['\r', '\n']), "subject {:?}", mail.subject);
    let steers = |text: &str| text.chars().any(shared::text::sanitize::steers);
    ensure!(!steers(&mail.text) && !steers(&mail.subject), "a character steers the direction of writing");
    ensure!(!mail.text.contains('\u{1b}'), "a terminal would obey the text");
    check_html(&mail.html, Links::None)
}

/// Which links a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// None: telemetry and notes.
    None,
    /// Those to the web and to mail addresses: the team's own runbooks.
    Web,
}

/// Checks that no text of the corpus has become an element of a page, but for links that it may hold.
///
/// # Errors
/// The element.
pub fn check_html(html: &str, links: Links) -> Result<()> {
    let is_link = |element: &str| {
        ["a href=\"https://", "a href=\"mailto:"].iter().any(|link| element.starts_with(link))
    };
    for element in elements(html) {
        let may = links == Links::Web && is_link(element);
        ensure!(may || !element.contains(MARKER), "element {element}");
    }
    Ok(())
}

/// Returns the tags of a page: what a reader's program acts on. Text between tags is text, as long as each `<` that begins a tag
/// is ours, which the marker shows.
fn elements(html: &str) -> impl Iterator<Item = &str> {
    html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(html: &str) -> Mail {
        Mail {
            received_at: Timestamp::UNIX_EPOCH,
            kind: None,
            id: "1@firewatch".into(),
            in_reply_to: None,
            references: Vec::new(),
            to: vec!["on-call@shop.example".into()],
            subject: "payment is slow".into(),
            text: String::new(),
            html: html.into(),
            pictures: Vec::new(),
        }
    }

    #[test]
    fn text_of_the_corpus_may_be_quoted_and_not_obeyed() {
        check_mail(&mail("<p>&lt;script src=//evil.example&gt; https://evil.example</p>")).unwrap();
        for html in [
            "<p><script src=//evil.example></p>",
            "<a href=\"https://evil.example/1\">Acknowledge</a>",
            "<p style='background:url(//evil.example)'>",
        ] {
            assert!(check_mail(&mail(html)).is_err(), "{html}");
        }
        assert!(check_mail(&Mail { to: vec!["a@evil.example".into()], ..mail("") }).is_err());
        assert!(check_mail(&Mail { subject: "a\r\nBcc: b".into(), ..mail("") }).is_err());
        assert!(check_mail(&Mail { text: "\u{202e}".into(), ..mail("") }).is_err());
    }
}
