//! The port: a system that can be asked.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use shared::events::Question;
use shared::events::evidence::{Answer, MAX_ITEMS, MAX_POINTS, MAX_WORDS};
use shared::events::question::{LogTopic, Subject};
use shared::text::format::duration;
use shared::text::sanitize::{NAME, one_line};
use shared::text::secrets::Redactor;
use tokio::time::Instant;

use super::breaker::Breaker;
use crate::metrics;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It took too long.
    #[error("did not answer within {}", seconds(*.0))]
    Timeout(u64),
    /// No connection, or it was lost.
    #[error("could not be reached")]
    Unreachable(String),
    /// It answered with an error.
    #[error("answered with status {0}")]
    Status(u16),
    /// It answered with an error that has a code, e.g. `ThrottlingException`.
    #[error("refused the query: {0}")]
    Refused(String),
    /// The answer is larger than what is read.
    #[error("sent an answer that is too large")]
    TooLarge,
    /// The answer is not of the form that is documented.
    #[error("sent an answer that cannot be read")]
    Malformed(String),
    /// It says itself that the answer is incomplete.
    #[error("sent an incomplete answer")]
    Partial,
    /// It has nothing at all of that service in the time that was asked for, so it cannot say that something is not there.
    #[error("has no data on {0}")]
    Unknown(String),
    /// Its last queries failed, so it is not asked.
    #[error("failed repeatedly and is not asked for now")]
    Broken,
}

fn seconds(ms: u64) -> String {
    duration(i64::try_from(ms).unwrap_or(i64::MAX)).replace('\u{a0}', " ")
}

impl Failure {
    /// Returns the reason as metrics have it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::Refused(_) => "refused",
            Self::TooLarge => "too_large",
            Self::Malformed(_) => "malformed",
            Self::Partial => "partial",
            Self::Unknown(_) => "unknown",
            Self::Broken => "broken",
        }
    }
}

/// Returns what lines are about that are asked for; a source of lines can be asked nothing else.
pub fn topic(question: &Question) -> Result<LogTopic, Failure> {
    match question.subject {
        Subject::Lines { about } => Ok(about),
        _ => Err(Failure::Malformed("no question about lines".to_owned())),
    }
}

/// A system that can be asked.
#[async_trait]
pub trait QuerySource: Send + Sync {
    /// Returns the name in the settings, e.g. `prometheus`.
    fn name(&self) -> &'static str;

    /// Returns whether it can be asked about that.
    fn can_answer(&self, subject: Subject) -> bool;

    /// Asks. Nothing that the other side sends may make it panic.
    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure>;
}

/// A source behind its timeout and circuit breaker; its answers are capped, redacted and of one line each.
pub struct Guarded {
    source: Box<dyn QuerySource>,
    breaker: Mutex<Breaker>,
    timeout: Duration,
    redactor: Redactor,
}

impl Guarded {
    /// Guards a source.
    pub fn new(source: Box<dyn QuerySource>, timeout: Duration, redactor: Redactor) -> Self {
        Self { source, breaker: Mutex::default(), timeout, redactor }
    }

    /// Returns the name of the source.
    pub fn name(&self) -> &'static str {
        self.source.name()
    }

    /// Returns whether the source can be asked about that.
    pub fn can_answer(&self, subject: Subject) -> bool {
        self.source.can_answer(subject)
    }

    /// Asks, unless the breaker is open; waits for at most the timeout, and not beyond `until`.
    pub async fn ask(&self, question: &Question, until: Instant) -> Result<Answer, Failure> {
        let begun = Instant::now();
        if !self.with_breaker(|breaker| breaker.admits(begun)) {
            metrics::QUERIES.add_one([self.name(), Failure::Broken.reason()]);
            return Err(Failure::Broken);
        }
        let deadline = until.min(begun + self.timeout);
        let allowed = deadline.duration_since(begun);
        let outcome = tokio::time::timeout_at(deadline, self.source.ask(question, deadline)).await;
        let outcome = outcome.unwrap_or(Err(Failure::Timeout(allowed.as_millis() as u64)));
        // what was cut short by the budget says nothing about the source
        let counts = outcome.is_ok() || allowed >= self.timeout || begun.elapsed() < allowed;
        if counts {
            let has_answered = matches!(outcome, Ok(_) | Err(Failure::Unknown(_)));
            self.with_breaker(|breaker| breaker.record(has_answered, Instant::now()));
        }
        let name = outcome.as_ref().map_or_else(Failure::reason, |_| "answered");
        metrics::QUERIES.add_one([self.name(), name]);
        metrics::QUERY_SECONDS.observe([self.name()], begun.elapsed().as_secs_f64());
        if let Err(failure) = &outcome {
            let detail = one_line(&self.redactor.redact(&format!("{failure:?}")), MAX_WORDS);
            tracing::warn!(source = self.name(), detail, "query failed");
        }
        outcome.map(|answer| clean(answer, &self.redactor))
    }

    fn with_breaker<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        // a breaker is whole after every step, whoever panicked beside it
        change(&mut self.breaker.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Caps an answer, and makes its texts fit to be stored: redacted first, so that a cut leaves no half of a secret.
pub fn clean(mut answer: Answer, redactor: &Redactor) -> Answer {
    let words = |text: &mut String, most| *text = one_line(&redactor.redact(text), most);
    match &mut answer {
        Answer::Series { points, .. } => points.truncate(MAX_POINTS),
        Answer::Lines { minutes, example } => {
            minutes.truncate(MAX_POINTS);
            if let Some(line) = example {
                words(line, MAX_WORDS);
            }
        }
        Answer::Calls { calls } => {
            calls.truncate(MAX_ITEMS);
            for call in calls {
                words(&mut call.name, NAME);
            }
        }
        Answer::Events { events } => {
            events.truncate(MAX_ITEMS);
            for event in events {
                words(&mut event.reason, NAME);
                words(&mut event.object, NAME);
                words(&mut event.message, MAX_WORDS);
            }
        }
    }
    answer
}
