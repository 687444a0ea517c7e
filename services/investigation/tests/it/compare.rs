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

#[test]
fn one_more_event_is_no_rise_where_there_were_some() {
    let one = |second| match events("BackOff", &[second]) {
        Answer::Events { mut events } => {
            for event in &mut events {
                event.count = 1;
            }
            events
        }
        other => panic!("{other:?}"),
    };
    let both = Answer::Events { events: [one(-600), one(30)].concat() };
    assert_eq!(trend(FAILING, &both), Some(Trend::AsBefore));
    assert_eq!(trend(FAILING, &Answer::Events { events: one(30) }), Some(Trend::Rose));
}

#[test]
fn a_restart_counts_whenever_it_was_and_one_before_the_first_symptom_does_not() {
    let restarted = |second: i64| {
        let points = (-3_600..=600).step_by(15).map(|at_s: i64| Point {
            ts_ms: at(at_s).as_millisecond(),
            value: if at_s < second { 300.0 } else { 301.0 },
        });
        Answer::Series { unit: String::new(), points: points.collect() }
    };
    assert_eq!(trend(RESTARTS, &restarted(540)), Some(Trend::Rose));
    assert_eq!(trend(RESTARTS, &restarted(-1_500)), Some(Trend::AsBefore));
    // counted anew, as after a rollout
    let Answer::Series { unit, mut points } = restarted(700) else { unreachable!() };
    points
        .iter_mut()
        .filter(|point| point.ts_ms >= at(60).as_millisecond())
        .for_each(|point| point.value = 0.0);
    assert_eq!(trend(RESTARTS, &Answer::Series { unit, points }), None);
}

#[test]
fn what_fills_slowly_or_was_started_anew_refutes_nothing() {
    let (memory, disk) =
        (Subject::Series { role: Role::MemoryUsage }, Subject::Series { role: Role::DiskUsage });
    assert_eq!(trend(disk, &series("%", 97.0, 97.0)), None);
    assert_eq!(trend(disk, &series("%", 40.0, 40.0)), Some(Trend::AsBefore));
    assert_eq!(trend(memory, &series("%", 90.0, 30.0)), None);
    assert_eq!(trend(CPU, &series("%", 40.0, 20.0)), Some(Trend::Fell));
    let early = shared::events::Question { to: at(90), ..question("payment", CPU) };
    assert_eq!(compare(&early, &series("%", 40.0, 20.0)), None, "it may still rise");
}

#[test]
fn a_few_failures_of_a_few_calls_are_no_rise() {
    let failures = Subject::Calls { aspect: Aspect::Failures };
    let Answer::Calls { mut calls } = calls(20.0, 20.0, false) else { unreachable!() };
    calls.last_mut().unwrap().failed = true;
    assert_eq!(trend(failures, &Answer::Calls { calls }), Some(Trend::AsBefore));
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
