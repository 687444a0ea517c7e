//! What an answer says: the level since the first symptom against a robust band of the time before. Pure.

use jiff::{SignedDuration, Timestamp};
use shared::events::anomaly::Point;
use shared::events::evidence::{Answer, Call, Reported};
use shared::events::question::{Aspect, Question, Report, Role, Subject, Trend};

use super::minutes::MINUTE_MS;
use super::predictions;

/// Fewest values before, and since, that a level is taken from.
const MIN_BEFORE: usize = 8;
const MIN_SINCE: usize = 2;
/// Fewest minutes of a log before the first symptom.
const MIN_MINUTES: usize = 10;
/// Fewest lines since that count as a rise.
const MIN_LINES: f64 = 3.0;
/// Fewest calls before, and since, that a share of failures is taken from.
const MIN_CALLS_BEFORE: usize = 10;
const MIN_CALLS_SINCE: usize = 5;
/// Time since the first symptom from which it says something that a level is as before: until then it may still move.
const MIN_ABSENCE: SignedDuration = SignedDuration::from_mins(3);
/// Half width of the band, in spreads.
const SPREADS: f64 = 3.0;
/// Spread of a normal distribution in median absolute deviations.
const MAD_TO_SPREAD: f64 = 1.4826;
/// Narrowest half width of a share of failures, percentage points.
const MIN_SHARE: f64 = 10.0;
/// Narrowest half width of a rate of lines, per minute.
const MIN_LINE_RATE: f64 = 0.2;
/// A rate that rises has at least this multiple of what it was.
const RATE_FACTOR: f64 = 3.0;

/// Level from which on a usage that does not rise refutes nothing, percent: it may have been reached slowly.
const HIGH_USAGE: f64 = 80.0;

/// Time for which a cluster keeps its events (the default of kube-apiserver's `--event-ttl`).
pub const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Events by which there are more than before, where there were some.
const MORE_EVENTS: f64 = 1.5;

/// Unit of lines.
const LINES: &str = "{line}/min";
/// Unit of events.
const EVENTS: &str = "{event}/h";

/// The level since the first symptom, and the band of the time before.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What happened.
    pub trend: Trend,
    /// Level before.
    pub before: f64,
    /// Level since.
    pub since: f64,
    /// Lower edge of the band.
    pub lower: f64,
    /// Upper edge of the band.
    pub upper: f64,
    /// Unit of all four.
    pub unit: &'static str,
}

impl Comparison {
    /// Compares a level with a band of that half width, which ends at `least`.
    fn of(before: f64, since: f64, width: f64, least: f64, unit: &'static str) -> Option<Self> {
        let (lower, upper) = ((before - width).max(least), before + width);
        let trend = if since > upper {
            Trend::Rose
        } else if since < lower {
            Trend::Fell
        } else {
            Trend::AsBefore
        };
        let is_finite = [before, since, lower, upper].iter().all(|value| value.is_finite());
        is_finite.then_some(Self { trend, before, since, lower, upper, unit })
    }
}

/// Returns the unit in which a series is asked for.
pub fn unit(role: Role) -> &'static str {
    match role {
        Role::CpuUsage | Role::CpuThrottling | Role::MemoryUsage | Role::DiskUsage => "%",
        Role::Restarts | Role::Instances | Role::PoolWaiting | Role::ConsumerLag => "",
        Role::Requests | Role::DroppedPackets => "1/s",
    }
}

/// Returns the narrowest half width of a band: in the unit, and as a share of the level.
fn floor(role: Role) -> (f64, f64) {
    match role {
        Role::CpuUsage | Role::CpuThrottling | Role::MemoryUsage => (5.0, 0.1),
        Role::DiskUsage => (1.0, 0.02),
        Role::Restarts | Role::Instances => (0.5, 0.0),
        Role::PoolWaiting => (1.0, 0.25),
        Role::ConsumerLag => (50.0, 0.5),
        Role::Requests => (1.0, 0.3),
        Role::DroppedPackets => (1.0, 0.5),
    }
}

/// Returns whether an event is one of those that are asked for.
pub fn reports(about: Report, reason: &str, message: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word) || message.contains(word));
    match about {
        Report::OutOfMemory => has(&["OOMKill", "SystemOOM", "out of memory"]),
        Report::Failing => has(&["BackOff", "Unhealthy", "FailedScheduling", "FailedMount", "Failed"]),
        Report::Storage => has(&["Evicted", "DiskPressure", "FreeDiskSpaceFailed", "no space left"]),
    }
}

/// Returns what an answer says; nothing where it is too little, or no answer to that question.
pub fn compare(question: &Question, answer: &Answer) -> Option<Comparison> {
    let is_early = question.to.duration_since(question.onset) < MIN_ABSENCE;
    let expected = predictions::observation(question.subject).map(|(expected, _)| expected);
    compared(question, answer).filter(|found| {
        let is_seen = expected.is_some_and(|expected| expected.is_seen(found.trend));
        is_seen || !is_early && refutes(question.subject, found)
    })
}

/// Returns whether it says something that the expected is not seen. A memory that falls may be that of a container that was
/// started anew, and what fills slowly is high long before the first symptom.
fn refutes(subject: Subject, found: &Comparison) -> bool {
    match subject {
        Subject::Series { role: Role::MemoryUsage } if found.trend == Trend::Fell => false,
        Subject::Series { role: Role::CpuUsage | Role::MemoryUsage | Role::DiskUsage } => {
            found.since < HIGH_USAGE
        }
        _ => true,
    }
}

fn compared(question: &Question, answer: &Answer) -> Option<Comparison> {
    match (question.subject, answer) {
        (Subject::Series { role: Role::Restarts }, Answer::Series { unit: has, points })
            if has == unit(Role::Restarts) =>
        {
            restarts(question, points)
        }
        (Subject::Series { role }, Answer::Series { unit: has, points }) if has == unit(role) => {
            let values = points.iter().map(|point| (point.ts_ms, point.value));
            levels(question, values, floor(role), unit(role))
        }
        (Subject::Lines { .. }, Answer::Lines { minutes, .. }) => lines(question, minutes),
        (Subject::Calls { aspect: Aspect::Duration }, Answer::Calls { calls }) => {
            let values = calls.iter().map(|call| (call.at.as_millisecond(), call.ms));
            levels(question, values, (5.0, 0.5), "ms")
        }
        (Subject::Calls { aspect: Aspect::Failures }, Answer::Calls { calls }) => failures(question, calls),
        (Subject::Events { about }, Answer::Events { events }) => counted(question, about, events),
        _ => None,
    }
}

/// Compares medians.
fn levels(
    question: &Question,
    values: impl Iterator<Item = (i64, f64)>,
    (least, share): (f64, f64),
    unit: &'static str,
) -> Option<Comparison> {
    let (mut before, mut since) = (Vec::new(), Vec::new());
    for (ts_ms, value) in values.filter(|(ts_ms, value)| value.is_finite() && within(question, *ts_ms)) {
        let side = if ts_ms < question.onset.as_millisecond() { &mut before } else { &mut since };
        side.push(value);
    }
    if before.len() < MIN_BEFORE || since.len() < MIN_SINCE {
        return None;
    }
    let (center, spread) = (median(&mut before.clone())?, spread(&before)?);
    let width = (SPREADS * spread).max(least).max(share * center.abs());
    Comparison::of(center, median(&mut since)?, width, f64::MIN, unit)
}

/// Compares the last counts: one restart moves no median. A count that falls was begun anew.
fn restarts(question: &Question, points: &[Point]) -> Option<Comparison> {
    let onset = question.onset.as_millisecond();
    let known = points.iter().filter(|point| point.value.is_finite() && within(question, point.ts_ms));
    let (before, since): (Vec<&Point>, Vec<&Point>) = known.partition(|point| point.ts_ms < onset);
    if before.len() < MIN_BEFORE || since.len() < MIN_SINCE {
        return None;
    }
    let (was, is) = (before.last()?.value, since.last()?.value);
    let found = Comparison::of(was, is, floor(Role::Restarts).0, f64::MIN, unit(Role::Restarts))?;
    (found.trend != Trend::Fell).then_some(found)
}

/// Compares lines a minute.
fn lines(question: &Question, minutes: &[Point]) -> Option<Comparison> {
    let onset = question.onset.as_millisecond();
    let known = minutes.iter().filter(|point| point.value.is_finite() && point.value >= 0.0);
    let (before, since): (Vec<&Point>, Vec<&Point>) =
        known.partition(|point| point.ts_ms.saturating_add(MINUTE_MS) <= onset);
    if before.len() < MIN_MINUTES || since.is_empty() {
        return None;
    }
    let before: Vec<f64> = before.iter().map(|point| point.value).collect();
    let total: f64 = since.iter().map(|point| point.value).sum();
    let mean = before.iter().sum::<f64>() / before.len() as f64;
    let width = (SPREADS * spread(&before)?).max((RATE_FACTOR - 1.0) * mean).max(MIN_LINE_RATE);
    let rate = total / since.len() as f64;
    // a line or two is what healthy services write as well
    let width = if total < MIN_LINES { width.max(rate) } else { width };
    Comparison::of(mean, rate, width, 0.0, LINES)
}

/// Compares shares of calls that fail.
fn failures(question: &Question, calls: &[Call]) -> Option<Comparison> {
    let (before, since): (Vec<&Call>, Vec<&Call>) = calls
        .iter()
        .filter(|call| within(question, call.at.as_millisecond()))
        .partition(|call| call.at < question.onset);
    if before.len() < MIN_CALLS_BEFORE || since.len() < MIN_CALLS_SINCE {
        return None;
    }
    let share = |calls: &[&Call]| calls.iter().filter(|call| call.failed).count() as f64 / calls.len() as f64;
    let (was, is) = (share(&before), share(&since));
    let all: Vec<&Call> = before.iter().chain(&since).copied().collect();
    let (pooled, each) = (share(&all), 1.0 / before.len() as f64 + 1.0 / since.len() as f64);
    let error = 100.0 * (pooled * (1.0 - pooled) * each).sqrt();
    Comparison::of(100.0 * was, 100.0 * is, (SPREADS * error).max(MIN_SHARE), 0.0, "%")
}

/// Compares events an hour.
fn counted(question: &Question, about: Report, events: &[Reported]) -> Option<Comparison> {
    let hours = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64() / 3_600.0;
    // what was reported earlier is not kept
    let from = question.to.saturating_sub(EVENTS_KEPT).map_or(question.from, |kept| kept.max(question.from));
    let (hours_before, hours_since) = (hours(from, question.onset), hours(question.onset, question.to));
    if hours_before <= 0.0 || hours_since <= 0.0 {
        return None;
    }
    let own = events
        .iter()
        .filter(|event| event.at >= from && event.at <= question.to)
        .filter(|event| reports(about, &event.reason, &event.message));
    let (before, since): (Vec<&Reported>, Vec<&Reported>) = own.partition(|event| event.at < question.onset);
    let total = |events: &[&Reported]| events.iter().map(|event| f64::from(event.count)).sum::<f64>();
    let was = total(&before) / hours_before;
    // one event more in a few minutes is a high rate, and no rise where there were some before
    let least = if was > 0.0 { MORE_EVENTS / hours_since } else { 0.0 };
    let width = ((RATE_FACTOR - 1.0) * was).max(least);
    Comparison::of(was, total(&since) / hours_since, width, 0.0, EVENTS)
}

fn within(question: &Question, ts_ms: i64) -> bool {
    (question.from.as_millisecond()..=question.to.as_millisecond()).contains(&ts_ms)
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len().is_multiple_of(2) {
        Some(f64::midpoint(*values.get(middle.checked_sub(1)?)?, upper))
    } else {
        Some(upper)
    }
}

/// Returns the spread by the median absolute deviation.
fn spread(values: &[f64]) -> Option<f64> {
    let center = median(&mut values.to_vec())?;
    let mut deviations: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
    Some(MAD_TO_SPREAD * median(&mut deviations)?)
}
