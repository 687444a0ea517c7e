//! Answers of queried systems, for tests.

use investigation::query::Asked;
use investigation::query::look::Found;
use jiff::SignedDuration;
use shared::events::Question;
use shared::events::anomaly::Point;
use shared::events::evidence::{Answer, Call, Reported};
use shared::events::question::{Aspect, LogTopic, Report, Role, Subject};

use crate::scene::at;

/// Asks about the time of the scene, which begins 40 s after a whole minute.
pub(crate) fn question(service: &str, subject: Subject) -> Question {
    Question { service: service.into(), subject, from: at(-3_640), onset: at(0), to: at(600) }
}

/// Values each 15 s, with some noise.
pub(crate) fn series(unit: &str, before: f64, since: f64) -> Answer {
    let value =
        |second: i64| (if second < 0 { before } else { since }) + (second / 15).rem_euclid(3) as f64 / 10.0;
    let point = |second| Point { ts_ms: at(second).as_millisecond(), value: value(second) };
    Answer::Series { unit: unit.into(), points: (-3_600..=600).step_by(15).map(point).collect() }
}

pub(crate) fn lines(before: f64, since: f64) -> Answer {
    let point = |second: i64| Point {
        ts_ms: at(second).as_millisecond(),
        value: if second < 0 { before } else { since },
    };
    let example = Some("HikariPool-1 - Connection is not available".to_owned());
    Answer::Lines { minutes: (-3_600..600).step_by(60).map(point).collect(), example }
}

pub(crate) fn calls(before: f64, since: f64, failed: bool) -> Answer {
    let call = |second: i64| Call {
        at: at(second),
        name: "POST /charge".into(),
        ms: if second < 0 { before } else { since },
        failed: failed && second >= 0,
    };
    Answer::Calls { calls: (-3_600..600).step_by(120).map(call).collect() }
}

pub(crate) fn events(reason: &str, seconds: &[i64]) -> Answer {
    let event = |second: &i64| Reported {
        at: at(*second) + SignedDuration::ZERO,
        reason: reason.into(),
        object: "pod payment-0".into(),
        message: "Back-off restarting failed container".into(),
        count: 3,
    };
    Answer::Events { events: seconds.iter().map(event).collect() }
}

fn found(source: &str, subject: Subject, answer: Answer) -> Found {
    Found {
        source: source.into(),
        question: question("payment", subject),
        again: Some(answer.clone()),
        answer,
    }
}

/// Answers about payment, of all kinds: what an exhausted pool predicts was seen, the rest was not.
pub(crate) fn asked() -> Asked {
    let answers = vec![
        found("prometheus", Subject::Series { role: Role::PoolWaiting }, series("", 0.0, 17.0)),
        found("prometheus", Subject::Series { role: Role::Instances }, series("", 3.0, 3.0)),
        found("loki", Subject::Lines { about: LogTopic::Pool }, lines(0.0, 4.0)),
        found("jaeger", Subject::Calls { aspect: Aspect::Duration }, calls(20.0, 21.0, false)),
        found("jaeger", Subject::Calls { aspect: Aspect::Failures }, calls(20.0, 20.0, false)),
        found("kubernetes", Subject::Events { about: Report::Failing }, events("BackOff", &[-3_000])),
    ];
    Asked { answers, ..Asked::default() }
}
