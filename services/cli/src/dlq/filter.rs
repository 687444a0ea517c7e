//! Which dead letters are meant.

use jiff::Timestamp;
use shared::bus::dead_letter::DeadLetter;

use crate::arguments::dlq::Filter;

/// Returns whether a letter meets all conditions. One without a time meets none about time.
pub fn wants(filter: &Filter, letter: &DeadLetter, now: Timestamp) -> bool {
    let Filter { stage, topic, reason, key, since, until } = filter;
    let holds = |text: &String| letter.reason().to_lowercase().contains(&text.to_lowercase());
    stage.is_none_or(|stage| letter.address.stage == stage)
        && topic.is_none_or(|topic| letter.origin().is_some_and(|origin| origin.topic == topic.name()))
        && reason.as_ref().is_none_or(holds)
        && (key.is_none() || *key == letter.key)
        && since.is_none_or(|since| letter.at.is_some_and(|at| at >= since.seen_from(now)))
        && until.is_none_or(|until| letter.at.is_some_and(|at| at < until.seen_from(now)))
}
