//! What a mail contains: plain data, cleaned and formatted for people, ready for its two templates.

pub mod opened;
pub mod plan;
pub mod postmortem;
pub mod resolved;
pub mod root_cause;
pub mod update;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::events::Severity;
use shared::events::anomaly::Ended;
use shared::events::incident::{BlastRadius, Change};
use shared::text::{format, sanitize};

use crate::chart::{self, Picture};
use crate::content::{Kind, LifecycleEvent, NotificationContent};
use crate::message;

/// What every mail contains.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Frame {
    /// Which mail it is, e.g. `Incident opened`.
    pub kind: &'static str,
    /// `SEV1` to `SEV4`.
    pub severity: &'static str,
    /// Colour of the bar and the badge.
    pub colour: &'static str,
    /// Incident number; 0 where the mail is about several.
    pub number: i64,
    /// One line.
    pub title: String,
    /// Environment.
    pub environment: String,
    /// What to do now, one sentence each; empty where the news asks for nothing.
    pub next: Vec<String>,
    /// Summary in one or two sentences.
    pub lede: String,
    /// Incident.
    pub incident_id: String,
    /// Where it can be seen, or empty.
    pub link: String,
    /// The picture, if there is one.
    pub picture: Option<Inline>,
}

/// How a mail refers to its picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Inline {
    /// Content-ID without angle brackets.
    pub cid: String,
    /// What it shows.
    pub alt: String,
    /// Width, CSS pixels.
    pub width: u32,
    /// Height, CSS pixels.
    pub height: u32,
}

/// Content-ID of the picture; unique within its mail, which is all that `multipart/related` asks for.
pub const PICTURE_ID: &str = "metric@firewatch";

/// A label and its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// E.g. `Where`.
    pub label: &'static str,
    /// One sentence.
    pub value: String,
}

impl Fact {
    /// Labels a text.
    pub(crate) fn new(label: &'static str, value: impl Into<String>) -> Self {
        Self { label, value: value.into() }
    }
}

impl Frame {
    /// Builds the frame of a mail.
    pub fn new(
        content: &NotificationContent,
        lede: String,
        link_base: &str,
        picture: Option<&Picture>,
    ) -> Self {
        let (incident, is_of_many) = (&content.incident, content.event.is_of_many());
        Self {
            kind: words(&content.event),
            severity: incident.severity.label(),
            colour: match &content.event {
                LifecycleEvent::Resolved(incident)
                    if incident.reason().is_recovery() && incident.merged_into().is_none() =>
                {
                    "#1b7f4b"
                }
                LifecycleEvent::Resolved(_) => "#5b6675",
                _ => colour(incident.severity),
            },
            number: if is_of_many { 0 } else { incident.number },
            title: sanitize::one_line(&incident.title, 160),
            environment: name(&incident.environment),
            next: next(content),
            lede,
            incident_id: incident.incident_id.to_string(),
            link: link(link_base, incident.number).filter(|_| !is_of_many).unwrap_or_default(),
            picture: picture.map(|picture| Inline {
                cid: PICTURE_ID.to_owned(),
                alt: picture.alt.clone(),
                width: chart::WIDTH,
                height: chart::HEIGHT,
            }),
        }
    }
}

/// Returns what to do now. Chat has a button to acknowledge; a mail names the command.
fn next(content: &NotificationContent) -> Vec<String> {
    let mut next = message::what_to_do(content);
    if content.event.kind() == Kind::Opened {
        next.extend(update::acknowledge(&content.incident, content.incident.severity));
    }
    next.retain(|sentence| !sentence.is_empty());
    next
}

/// Returns where an incident can be seen; none where no address is set.
pub(crate) fn link(base: &str, number: i64) -> Option<String> {
    let base = base.trim_end_matches('/');
    (!base.is_empty()).then(|| format!("{base}/incidents/{number}"))
}

/// What a mail is about, in words. One about an incident that did not recover says so.
pub(crate) fn words(event: &LifecycleEvent) -> &'static str {
    match event {
        LifecycleEvent::Opened(incident) if incident.reopened > 0 => "Incident opened again",
        LifecycleEvent::Resolved(incident) if incident.merged_into().is_some() => "Incident merged",
        LifecycleEvent::Resolved(incident) => match incident.reason() {
            Ended::Recovered => Kind::Resolved.words(),
            Ended::Retired => "Incident resolved, the service was retired",
            Ended::Manual => "Incident resolved by a person",
            Ended::NewLevel | Ended::SourceGone | Ended::Forced => "Incident resolved without recovery",
        },
        event => event.kind().words(),
    }
}

/// Least age of news that says how old it is: after an outage of Firewatch, or where telemetry comes late.
const OLD: SignedDuration = SignedDuration::from_mins(10);

/// Says how old news of that time is when it is written; nothing where it is fresh, or where it is not known when it was written.
pub(crate) fn age(at: Timestamp, written_at: Option<Timestamp>) -> Option<String> {
    let written_at = written_at.filter(|written_at| written_at.duration_since(at) >= OLD)?;
    let day = at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M");
    Some(format!("Old news: this was {} ago, at {day} UTC.", format::between(at, written_at)))
}

/// The colour of a severity; white text on it has a contrast of at least 4.5.
fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "#b3261e",
        Severity::Sev2 => "#b54708",
        Severity::Sev3 => "#856404",
        Severity::Sev4 => "#2b5f96",
    }
}

/// What a severity means.
fn meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "a critical path is failing",
        Severity::Sev2 => "users are affected",
        Severity::Sev3 => "degraded service with little user impact",
        Severity::Sev4 => "no user impact expected",
    }
}

fn name(text: &str) -> String {
    sanitize::one_line(text, sanitize::NAME)
}

fn sentence(text: &str) -> String {
    sanitize::one_line(text, sanitize::SENTENCE)
}

fn sentences(texts: &[String], most: usize) -> Vec<String> {
    texts.iter().take(most).map(|text| sentence(text)).filter(|text| !text.is_empty()).collect()
}

/// Returns names as in a sentence: `a, b and c`; further ones are counted.
fn listed(names: &[String], most: usize) -> String {
    let shown: Vec<String> = names.iter().take(most).map(|text| name(text)).collect();
    let more = names.len() - shown.len();
    let mut parts = shown;
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    match parts.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// Returns the blast radius in one sentence.
fn blast(radius: &BlastRadius) -> String {
    let share = format::percent(radius.share);
    let callers = match radius.callers.as_slice() {
        [] => "no known callers".to_owned(),
        [caller] => format!("1 caller ({})", name(caller)),
        callers => format!("{} direct or indirect callers ({})", callers.len(), listed(callers, 8)),
    };
    format!("{callers}; {share} of the known services")
}

/// A change, and how long before the fault it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// E.g. `user v2.4.1 (deploy)`.
    pub what: String,
    /// E.g. `4 min 10 s before the first abnormal sample`.
    pub when: String,
    /// Who, commit, description: what is known of it.
    pub detail: String,
    /// Known risks.
    pub risks: Vec<String>,
}

impl Deployment {
    fn new(change: &Change, started_at: Timestamp) -> Self {
        let side = if change.at <= started_at { "before" } else { "after" };
        let mut detail: Vec<String> = Vec::new();
        detail.extend(change.description.as_deref().map(sentence));
        detail.extend(change.deployed_by.as_deref().map(|by| format!("deployed by {}", name(by))));
        detail.extend(change.git_sha.as_deref().map(|sha| format!("commit {}", sanitize::one_line(sha, 12))));
        Self {
            what: format!(
                "{} {} ({})",
                name(&change.service),
                name(&change.version),
                sanitize::one_line(&change.change_type, 24)
            ),
            when: format!(
                "{}, {} {side} the first abnormal sample",
                format::clock(change.at),
                format::between(change.at, started_at)
            ),
            detail: detail.join(" · "),
            risks: sentences(&change.known_risks, 3),
        }
    }
}
