//! The sentence of a claim, from its relations and the sources they name. There is one sentence for each pattern of
//! relations, so a text that says something else than its relations is found.

use std::fmt::Write as _;

use jiff::Timestamp;
use shared::events::anomaly::{Band, Direction};
use shared::events::question::{Question, Trend};
use shared::events::rca::{Evidence, Relation, Source};
use shared::text::format::{band_in_words, clock, duration, figure};

use crate::query::look::title;
use crate::query::words::subject;

/// Returns the sentence of relations over evidence; nothing where they are of no known pattern.
pub fn phrase(relations: &[Relation], evidence: &[Evidence]) -> Option<String> {
    let text = match relations {
        [only] => single(only, evidence)?,
        [calls @ Relation::Calls { .. }, outside @ Relation::Outside { .. }] => {
            let Source::Edge { caller, callee } = &piece(calls, evidence)?.source else { return None };
            format!("{caller} calls {callee}, and shows it: {}", outside_its_band(outside, evidence)?)
        }
        [
            calls @ Relation::Calls { .. },
            first @ Relation::Began { at, .. },
            second @ Relation::Began { at: then, .. },
        ] => {
            let Source::Edge { caller, callee } = &piece(calls, evidence)?.source else { return None };
            format!(
                "{caller} is explained by {callee}, which it calls: {} left its band {} after {}",
                series(second, evidence)?,
                duration(ms(*at, *then)),
                series(first, evidence)?
            )
        }
        [Relation::Began { .. }, ..] => chain(relations, evidence)?,
        _ => return None,
    };
    Some(text.replace('\u{a0}', " ") + ".")
}

fn piece<'a>(relation: &Relation, evidence: &'a [Evidence]) -> Option<&'a Evidence> {
    evidence.iter().find(|piece| piece.id == relation.evidence())
}

fn ms(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond().saturating_sub(from.as_millisecond())
}

fn single(relation: &Relation, evidence: &[Evidence]) -> Option<String> {
    let piece = piece(relation, evidence)?;
    Some(match (relation, &piece.source) {
        (Relation::Outside { .. }, _) => outside_its_band(relation, evidence)?,
        (Relation::Reported { since, until, .. }, Source::Samples { .. }) => {
            format!("{}; reported {}", piece.quote.trim_end_matches('.'), spell(*since, *until))
        }
        (Relation::Inside { value, lower, upper, unit, at, .. }, Source::Samples { .. }) => {
            let band = Band { lower: *lower, center: f64::midpoint(*lower, *upper), upper: *upper };
            format!(
                "{} was inside its band at {} UTC: {}, expected {}",
                series(relation, evidence)?,
                clock(*at),
                figure(*value, unit),
                band_in_words(&band, unit)
            )
        }
        (Relation::Repeated { level, times, .. }, Source::Log { service, .. }) => {
            format!("{service} logged this line {times} times, as {level}")
        }
        (Relation::Before { seconds, .. }, Source::Deployment { service, version }) => {
            let before = duration(i64::try_from(*seconds).ok()?.saturating_mul(1_000));
            format!("{service} {version} was rolled out {before} before its first symptom")
        }
        (Relation::NoneBefore { .. }, Source::Deployments { service, from, to }) => {
            format!("No deployment of {service} is recorded from {} to {} UTC", clock(*from), clock(*to))
        }
        (Relation::SameCause { category, service, same_service, .. }, Source::Document { doc_id, .. }) => {
            let place = if *same_service { "at" } else { "at another service than" };
            format!("{doc_id} had the same kind of cause ({}) {place} {service}", category.words())
        }
        (Relation::KnownFailure { service, category, .. }, Source::Document { doc_id, .. }) => {
            format!("{doc_id} names {} among the known failures of {service}", category.words())
        }
        (Relation::Took { .. }, Source::EdgeTimes { caller, callee, onset, .. }) => {
            took(relation, caller, callee, *onset)?
        }
        (Relation::Compared { .. }, Source::Query { source, question }) => {
            compared(relation, source, question)?
        }
        _ => return None,
    })
}

/// Says how long calls took, and how much of it the callee worked itself.
fn took(relation: &Relation, caller: &str, callee: &str, onset: Timestamp) -> Option<String> {
    let Relation::Took { trend, before_ms, since_ms, self_before_ms, self_since_ms, .. } = relation else {
        return None;
    };
    let ms = |value: f64| figure(value, "ms");
    let (before, since) = (ms(*before_ms), ms(*since_ms));
    let mut text = match trend {
        Trend::Rose => format!("Calls from {caller} to {callee} became slow"),
        Trend::Fell => format!("Calls from {caller} to {callee} became fast"),
        Trend::AsBefore => format!("Calls from {caller} to {callee} took as long as before"),
    };
    _ = write!(text, ": {since} on average since {} UTC, {before} in the half hour before", clock(onset));
    if let Some((own_before, own)) = self_before_ms.zip(*self_since_ms) {
        _ = write!(text, "; self time of {callee} {}, {} before", ms(own), ms(own_before));
    }
    Some(text)
}

/// Says what the answer of a queried system shows.
fn compared(relation: &Relation, source: &str, question: &Question) -> Option<String> {
    let Relation::Compared { trend, before, since, unit, onset, .. } = relation else { return None };
    let (what, source) = (subject(question.subject, &question.service), title(source));
    let (before, since, onset) = (figure(*before, unit), figure(*since, unit), clock(*onset));
    Some(match trend {
        Trend::Rose => {
            format!("{what} rose from {before} in the hour before {onset} UTC to {since} ({source})")
        }
        Trend::Fell => {
            format!("{what} fell from {before} in the hour before {onset} UTC to {since} ({source})")
        }
        Trend::AsBefore => format!(
            "{what} stayed in its range after {onset} UTC: {since}, {before} in the hour before ({source})"
        ),
    })
}

/// Says the order in which series left their bands.
fn chain(relations: &[Relation], evidence: &[Evidence]) -> Option<String> {
    let mut text = String::from("Order of events: ");
    let mut start: Option<Timestamp> = None;
    for relation in relations {
        match (relation, start) {
            (Relation::Calls { .. }, Some(_)) => {}
            (Relation::Began { at, .. }, None) => {
                _ = write!(text, "{} at {} UTC", series(relation, evidence)?, clock(*at));
                start = Some(*at);
            }
            (Relation::Began { at, .. }, Some(start)) => {
                _ = write!(text, " → {} (+{})", series(relation, evidence)?, duration(ms(start, *at)));
            }
            _ => return None,
        }
    }
    Some(text)
}

/// Names a series.
fn series(relation: &Relation, evidence: &[Evidence]) -> Option<String> {
    let Source::Samples { service, metric, .. } = &piece(relation, evidence)?.source else { return None };
    let what = match metric.as_str() {
        "logs:critical" => "critical log lines",
        "logs:errors" => "warnings and errors in the log",
        "logs:new_template" => "new warnings and errors in the log",
        "logs:volume" => "the number of log lines",
        metric => metric,
    };
    Some(format!("{what} of {service}"))
}

fn outside_its_band(relation: &Relation, evidence: &[Evidence]) -> Option<String> {
    let Relation::Outside { side, value, edge, unit, at, since, until, .. } = relation else { return None };
    let (side, most) = match side {
        Direction::Up => ("above", "at most"),
        Direction::Down => ("below", "at least"),
    };
    Some(format!(
        "{}: {} at {} UTC, {side} its band ({most} {}); abnormal {}",
        series(relation, evidence)?,
        figure(*value, unit),
        clock(*at),
        figure(*edge, unit),
        spell(*since, *until)
    ))
}

/// Says how long something lasted: until when, or that it goes on.
fn spell(since: Timestamp, until: Option<Timestamp>) -> String {
    match until {
        None => format!("since {} UTC", clock(since)),
        Some(until) => format!("from {} to {} UTC", clock(since), clock(until)),
    }
}
