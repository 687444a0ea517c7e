//! What an answer says.

use investigation::query::compare::{Comparison, compare};
use proptest::prelude::*;
use shared::events::anomaly::Point;
use shared::events::evidence::{Answer, Call, Reported};
use shared::events::question::{Aspect, LogTopic, Report, Role, Subject, Trend};

use crate::answers::{calls, events, lines, question, series};
use crate::scene::at;

const CPU: Subject = Subject::Series { role: Role::CpuUsage };
const RESTARTS: Subject = Subject::Series { role: Role::Restarts };
const LINES: Subject = Subject::Lines { about: LogTopic::Pool };
const FAILING: Subject = Subject::Events { about: Report::Failing };

fn trend(subject: Subject, answer: &Answer) -> Option<Trend> {
    compare(&question("payment", subject), answer).map(|comparison| comparison.trend)
}

#[test]
fn a_level_rises_falls_or_stays_in_the_band_of_the_hour_before() {
    assert_eq!(trend(CPU, &series("%", 40.0, 95.0)), Some(Trend::Rose));
    assert_eq!(trend(CPU, &series("%", 95.0, 40.0)), Some(Trend::Fell));
    // within the narrowest band
    assert_eq!(trend(CPU, &series("%", 40.0, 43.0)), Some(Trend::AsBefore));
    // one restart is a rise, however many there were
    let restarts = |before, since| match series("", before, since) {
        Answer::Series { unit, mut points } => {
            for point in &mut points {
                point.value = point.value.floor();
            }
            Answer::Series { unit, points }
        }
        other => other,
    };
    assert_eq!(trend(RESTARTS, &restarts(300.0, 301.0)), Some(Trend::Rose));
    assert_eq!(trend(RESTARTS, &restarts(300.0, 300.0)), Some(Trend::AsBefore));
}

#[test]
fn a_spike_before_or_since_moves_no_level() {
    let Answer::Series { unit, mut points } = series("%", 40.0, 40.0) else { unreachable!() };
    (points[3].value, points[250].value) = (1e9, -1e9);
    assert_eq!(trend(CPU, &Answer::Series { unit, points }), Some(Trend::AsBefore));
}

#[test]
fn too_little_says_nothing() {
    let Answer::Series { unit, points } = series("%", 40.0, 95.0) else { unreachable!() };
    let part = |points: &[Point]| Answer::Series { unit: unit.clone(), points: points.to_vec() };
    // 240 values lie before the first symptom
    assert_eq!(trend(CPU, &part(&points[233..])), None);
    assert_eq!(trend(CPU, &part(&points[232..])), Some(Trend::Rose));
    assert_eq!(trend(CPU, &part(&points[..241])), None);
    assert_eq!(trend(CPU, &part(&[])), None);
    // another unit, or another kind of answer
    assert_eq!(trend(CPU, &series("ms", 40.0, 95.0)), None);
    assert_eq!(trend(CPU, &lines(0.0, 4.0)), None);
    let nan = Answer::Series {
        unit: unit.clone(),
        points: points.iter().map(|point| Point { value: f64::NAN, ..*point }).collect(),
    };
    assert_eq!(trend(CPU, &nan), None);
}

#[test]
fn that_nothing_has_moved_says_nothing_in_the_first_minutes() {
    let asked = |minutes: i64| shared::events::Question { to: at(minutes * 60), ..question("payment", CPU) };
    let trend = |minutes, since| compare(&asked(minutes), &series("%", 40.0, since)).map(|found| found.trend);
    assert_eq!((trend(2, 40.0), trend(2, 95.0)), (None, Some(Trend::Rose)));
    assert_eq!(trend(3, 40.0), Some(Trend::AsBefore));
}

#[test]
fn lines_are_compared_by_the_minute() {
    assert_eq!(trend(LINES, &lines(0.0, 4.0)), Some(Trend::Rose));
    assert_eq!(trend(LINES, &lines(2.0, 4.0)), Some(Trend::AsBefore));
    // fewer are no fall that anybody asks for, but said as it is
    assert_eq!(trend(LINES, &lines(0.0, 0.0)), Some(Trend::AsBefore));
    // two lines in all are what healthy services write as well
    let Answer::Lines { mut minutes, example } = lines(0.0, 0.0) else { unreachable!() };
    minutes[61].value = 2.0;
    assert_eq!(
        trend(LINES, &Answer::Lines { minutes: minutes.clone(), example: example.clone() }),
        Some(Trend::AsBefore)
    );
    // a log that is known for some minutes only
    minutes.drain(..55);
    assert_eq!(trend(LINES, &Answer::Lines { minutes, example }), None);
}

#[test]
fn calls_are_compared_by_duration_and_by_share_of_failures() {
    let duration = Subject::Calls { aspect: Aspect::Duration };
    assert_eq!(trend(duration, &calls(20.0, 900.0, false)), Some(Trend::Rose));
    assert_eq!(trend(duration, &calls(20.0, 24.0, false)), Some(Trend::AsBefore));
    let failures = Subject::Calls { aspect: Aspect::Failures };
    let found = compare(&question("payment", failures), &calls(20.0, 20.0, true)).unwrap();
    assert_eq!((found.trend, found.before, found.since, found.unit), (Trend::Rose, 0.0, 100.0, "%"));
    assert_eq!(trend(failures, &calls(20.0, 20.0, false)), Some(Trend::AsBefore));
    let few = match calls(20.0, 20.0, true) {
        Answer::Calls { calls } => Answer::Calls { calls: calls[20..].to_vec() },
        other => other,
    };
    assert_eq!(trend(duration, &few), Some(Trend::AsBefore));
}

#[test]
fn one_event_is_a_rise_where_there_was_none_and_others_do_not_count() {
    assert_eq!(trend(FAILING, &events("BackOff", &[30])), Some(Trend::Rose));
    assert_eq!(trend(FAILING, &events("BackOff", &[-600, 30])), Some(Trend::Rose));
    // as often as before
    assert_eq!(
        trend(FAILING, &events("BackOff", &[-3_300, -2_700, -2_100, -1_500, -900, -300, 300])),
        Some(Trend::AsBefore)
    );
    assert_eq!(trend(FAILING, &events("BackOff", &[])), Some(Trend::AsBefore));
    let oom = Subject::Events { about: Report::OutOfMemory };
    assert_eq!(trend(oom, &events("BackOff", &[30])), Some(Trend::AsBefore));
    assert_eq!(trend(oom, &events("OOMKilling", &[30])), Some(Trend::Rose));
}

fn answer() -> impl Strategy<Value = Answer> {
    let number = prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), 0.0..100.0];
    let second = prop_oneof![-4_000_i64..1_000, Just(i64::MIN / 2_000), Just(i64::MAX / 2_000)];
    let point =
        (prop_oneof![(-4_000_i64..1_000).prop_map(|s| at(s).as_millisecond()), any::<i64>()], number.clone())
            .prop_map(|(ts_ms, value)| Point { ts_ms, value });
    let points = prop::collection::vec(point, 0..80);
    let moment = second.prop_map(|second| {
        jiff::Timestamp::from_second(second).unwrap_or_else(|_| at(second.clamp(-4_000, 1_000)))
    });
    let call = (moment.clone(), number, any::<bool>()).prop_map(|(at, ms, failed)| Call {
        at,
        name: "x".into(),
        ms,
        failed,
    });
    let event = (moment, any::<u32>()).prop_map(|(at, count)| Reported {
        at,
        count,
        reason: "BackOff".into(),
        object: String::new(),
        message: String::new(),
    });
    prop_oneof![
        points.clone().prop_map(|points| Answer::Series { unit: "%".into(), points }),
        (points, prop::option::of(".*")).prop_map(|(minutes, example)| Answer::Lines { minutes, example }),
        prop::collection::vec(call, 0..60).prop_map(|calls| Answer::Calls { calls }),
        prop::collection::vec(event, 0..60).prop_map(|events| Answer::Events { events }),
    ]
}

proptest! {
    /// Whatever is answered, the comparison is one of finite figures whose trend is that of its own band.
    #[test]
    fn any_answer_is_compared_in_finite_figures(answer in answer()) {
        for subject in [CPU, LINES, FAILING, Subject::Calls { aspect: Aspect::Duration }, Subject::Calls { aspect: Aspect::Failures }] {
            let Some(found) = compare(&question("payment", subject), &answer) else { continue };
            let Comparison { trend, before, since, lower, upper, .. } = found;
            prop_assert!([before, since, lower, upper].iter().all(|figure| figure.is_finite()));
            prop_assert_eq!(trend == Trend::Rose, since > upper);
            prop_assert_eq!(trend == Trend::Fell, since < lower);
        }
    }
}
