//! Calls before the first symptom and since, as the tracing systems are asked for them.

use async_trait::async_trait;
use jiff::Timestamp;
use shared::events::Question;
use shared::events::evidence::{Answer, Call, MAX_ITEMS};
use tokio::time::Instant;

use crate::query::source::Failure;

/// Most calls of each of the two times.
pub(super) const MAX_CALLS: usize = MAX_ITEMS / 2;

/// A system that keeps spans.
#[async_trait]
pub(super) trait Spans: Sync {
    /// Returns calls that a service has made about a time, in any order.
    async fn calls(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Call>, Failure>;
}

/// Asks for the calls of each of the two times. Of very many the first ones of each are kept.
pub(super) async fn around(
    spans: &impl Spans,
    question: &Question,
    deadline: Instant,
) -> Result<Answer, Failure> {
    let mut all = Vec::new();
    for (from, to) in [(question.from, question.onset), (question.onset, question.to)] {
        let mut calls = spans.calls(&question.service, from, to, deadline).await?;
        calls.retain(|call| call.at >= from && call.at < to);
        calls.sort_by(|a, b| a.at.cmp(&b.at).then(a.name.cmp(&b.name)));
        calls.truncate(MAX_CALLS);
        all.extend(calls);
    }
    Ok(Answer::Calls { calls: all })
}
