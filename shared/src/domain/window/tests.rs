use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::weekly::{self, Day, Hours};
use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn weekly_in(cron: &str, zone: &str, hours: i64) -> Window {
    Window::recurring(cron, zone, SignedDuration::from_hours(hours)).unwrap()
}

fn starts(window: &Window, after: &str, number: usize) -> Vec<String> {
    let mut from = at(after);
    let mut found = Vec::new();
    while found.len() < number {
        let Some((start, _)) = window.next(from) else { break };
        found.push(start.to_string());
        from = start;
    }
    found
}

#[test]
fn a_window_that_occurs_once_has_a_start_and_an_end() {
    let (start, end) = (at("2026-03-01T22:00:00Z"), at("2026-03-02T02:00:00Z"));
    let window = Window::once(start, end).unwrap();
    assert!(window.is_active(start) && !window.is_active(end));
    assert_eq!((window.current(start), window.current(end)), (Some((start, end)), None));
    let before = at("2026-03-01T21:59:59Z");
    assert_eq!((window.next(before), window.next(start)), (Some((start, end)), None));
    assert_eq!(Window::once(start, start), Err(Error::EndsBeforeStart));
    assert!(matches!(Window::once(start, at("2026-03-01T22:00:59Z")), Err(Error::Length(_))));
    assert!(matches!(Window::once(start, at("2026-04-01T22:00:01Z")), Err(Error::Length(_))));
}

/// Berlin sets clocks forward on 2026-03-29 at 02:00 and back on 2026-10-25 at 03:00.
#[test]
fn a_start_that_does_not_exist_is_taken_at_the_next_instant() {
    let window = weekly_in("30 2 * * *", "Europe/Berlin", 1);
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(starts(&window, "2026-03-27T12:00:00Z", 3), expected);
    let (begin, end) = (at("2026-03-29T01:00:00Z"), at("2026-03-29T02:00:00Z"));
    assert_eq!(window.current(begin), Some((begin, end)));
    assert!(!window.is_active(at("2026-03-29T00:59:59Z")) && !window.is_active(end));

    let window = weekly_in("30 2 * * *", "America/New_York", 1);
    let expected = ["2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"];
    assert_eq!(starts(&window, "2026-03-07T00:00:00Z", 3), expected);
}

#[test]
fn a_start_that_exists_twice_is_taken_the_first_time() {
    let window = weekly_in("30 2 * * *", "Europe/Berlin", 1);
    let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(starts(&window, "2026-10-23T12:00:00Z", 3), expected);
    assert!(window.is_active(at("2026-10-25T01:29:59Z")));
    assert!(!window.is_active(at("2026-10-25T01:30:00Z")), "half past two comes twice, the window does not");

    let window = weekly_in("30 1 * * *", "America/New_York", 1);
    let expected = ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"];
    assert_eq!(starts(&window, "2026-10-31T00:00:00Z", 3), expected);
    // the second 01:00 to 02:00: what began in the first one is the latest start
    let minutes =
        Window::recurring("*/10 1 * * *", "America/New_York", SignedDuration::from_mins(5)).unwrap();
    assert_eq!(minutes.current(at("2026-11-01T06:20:00Z")), None);
    assert_eq!(
        minutes.current(at("2026-11-01T05:52:00Z")).map(|(start, _)| start),
        Some(at("2026-11-01T05:50:00Z"))
    );
    assert_eq!(minutes.next(at("2026-11-01T06:20:00Z")).unwrap().0, at("2026-11-02T06:00:00Z"));
}

#[test]
fn a_window_over_a_change_of_clocks_takes_as_long_as_it_says() {
    let window = weekly_in("0 0 * * *", "Europe/Berlin", 4);
    let (start, end) = window.current(at("2026-03-29T01:30:00Z")).unwrap();
    assert_eq!((start, end), (at("2026-03-28T23:00:00Z"), at("2026-03-29T03:00:00Z")));
}

#[test]
fn leap_days_and_ends_of_months_are_found() {
    let leap = weekly_in("0 0 29 2 *", "UTC", 24);
    assert_eq!(starts(&leap, "2024-02-29T00:00:00Z", 2), ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    assert!(leap.is_active(at("2028-02-29T23:59:59Z")) && !leap.is_active(at("2028-03-01T00:00:00Z")));
    let last = weekly_in("0 22 L * *", "UTC", 4);
    let expected =
        ["2026-11-30T22:00:00Z", "2026-12-31T22:00:00Z", "2027-01-31T22:00:00Z", "2027-02-28T22:00:00Z"];
    assert_eq!(starts(&last, "2026-11-01T00:00:00Z", 4), expected);
    let thirty_first = weekly_in("0 0 31 * *", "UTC", 1);
    let expected = ["2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"];
    assert_eq!(starts(&thirty_first, "2026-01-01T00:00:00Z", 3), expected);
    let second_tuesday = weekly_in("0 20 * * tue#2", "UTC", 1);
    assert_eq!(starts(&second_tuesday, "2026-03-01T00:00:00Z", 1), ["2026-03-10T20:00:00Z"]);
}

#[test]
fn occurrences_that_overlap_or_touch_are_one() {
    let weekdays = weekly_in("0 0 * * mon-fri", "UTC", 24);
    let week = (at("2026-03-02T00:00:00Z"), at("2026-03-07T00:00:00Z"));
    for inside in ["2026-03-02T00:00:00Z", "2026-03-04T11:00:00Z", "2026-03-06T23:59:59Z"] {
        assert_eq!(weekdays.current(at(inside)), Some(week));
        assert_eq!(weekdays.next(at(inside)).unwrap().0, at("2026-03-09T00:00:00Z"));
    }
    assert_eq!(weekdays.next(at("2026-03-01T12:00:00Z")), Some(week));
    let nights = weekly_in("0 22 * * fri,sat", "UTC", 30);
    let expected = (at("2026-03-06T22:00:00Z"), at("2026-03-09T04:00:00Z"));
    assert_eq!(nights.current(at("2026-03-08T00:00:00Z")), Some(expected));
    let minutes = Window::recurring("* 9-16 * * *", "UTC", SignedDuration::from_mins(1)).unwrap();
    let expected = (at("2026-03-06T09:00:00Z"), at("2026-03-06T17:00:00Z"));
    assert_eq!(minutes.current(at("2026-03-06T12:34:56Z")), Some(expected));
}

#[test]
fn what_is_invalid_is_refused_with_the_reason() {
    let refused = |cron: &str, zone: &str, hours| {
        Window::recurring(cron, zone, SignedDuration::from_hours(hours)).unwrap_err()
    };
    assert_eq!(refused("0 0 30 2 *", "UTC", 1), Error::Never("0 0 30 2 *".into()));
    assert_eq!(refused("0 0 * * *", "UTC", 24), Error::Endless("0 0 * * *".into()));
    assert_eq!(refused("0 0 1 * *", "UTC", 24 * 30), Error::Endless("0 0 1 * *".into()));
    assert_eq!(refused("0 0 * * *", "Europe/Berlni", 1), Error::Zone("Europe/Berlni".into()));
    assert!(matches!(refused("0 0 * * *", "UTC", 0), Error::Length(_)));
    assert!(matches!(refused("0 0 * * *", "UTC", 24 * 31), Error::Length(_)));
    for wrong in ["", "0 0 * *", "0 0 0 * * *", "60 * * * *", "0 0 * * funday", "@daily", &"1,".repeat(200)] {
        assert!(matches!(refused(wrong, "UTC", 1), Error::Cron { .. }), "{wrong}");
    }
}

#[test]
fn a_window_is_read_in_the_form_it_is_written() {
    for text in [
        r#"{"start":"2026-03-01T22:00:00Z","end":"2026-03-02T02:00:00Z"}"#,
        r#"{"cron":"0 2 * * sun","zone":"Europe/Berlin","duration":"2h 30m"}"#,
    ] {
        let window: Window = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&window).unwrap(), text);
    }
    for text in [
        r#"{"start":"2026-03-01T22:00:00Z"}"#,
        r#"{"start":"2026-03-01T22:00:00Z","end":"2026-03-02T02:00:00Z","zone":"UTC"}"#,
        r#"{"cron":"0 2 * * sun","zone":"UTC","duration":"2h","ends":1}"#,
        r#"{"cron":"0 2 * * sun","zone":"UTC","duration":"long"}"#,
    ] {
        assert!(serde_json::from_str::<Window>(text).is_err(), "{text}");
    }
    assert_eq!(duration("1 day"), Ok(SignedDuration::from_hours(24)));
}

fn hours(days: &[Day], from: &str, to: &str) -> Hours {
    Hours { days: days.to_vec(), from: from.parse().unwrap(), to: to.parse().unwrap() }
}

#[test]
fn hours_of_the_week_follow_the_clock_on_the_wall() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let office = [hours(&[Day::Monday, Day::Friday], "09:00", "17:00")];
    // Friday before and Monday after the change of clocks
    for (time, expected) in [
        ("2026-03-27T07:59:59Z", false),
        ("2026-03-27T08:00:00Z", true),
        ("2026-03-27T16:00:00Z", false),
        ("2026-03-28T10:00:00Z", false),
        ("2026-03-30T06:59:59Z", false),
        ("2026-03-30T07:00:00Z", true),
    ] {
        assert_eq!(weekly::is_inside(&office, &zone, at(time)), expected, "{time}");
    }
    assert_eq!(
        weekly::next_edge(&office, &zone, at("2026-03-27T16:00:00Z")),
        Some(at("2026-03-30T07:00:00Z"))
    );
    assert_eq!(weekly::next_edge(&[], &zone, at("2026-03-27T16:00:00Z")), None);

    let night = [hours(&[Day::Saturday], "22:00", "06:00")];
    assert!(weekly::is_inside(&night, &zone, at("2026-03-29T03:59:59Z")));
    assert!(!weekly::is_inside(&night, &zone, at("2026-03-29T04:00:00Z")), "Sunday, 06:00 summer time");
    assert_eq!(weekly::end(&night, &zone, at("2026-03-28T22:00:00Z")), Some(at("2026-03-29T04:00:00Z")));
    assert_eq!(weekly::end(&night, &zone, at("2026-03-28T12:00:00Z")), None);
    let weekend = [hours(&[Day::Saturday, Day::Sunday], "00:00", "00:00"), hours(&[], "22:00", "07:00")];
    assert_eq!(weekly::end(&weekend, &zone, at("2026-03-27T22:00:00Z")), Some(at("2026-03-30T05:00:00Z")));
    assert_eq!(weekly::end(&[hours(&[], "00:00", "00:00")], &zone, at("2026-03-27T22:00:00Z")), None);
}

fn any_window() -> impl Strategy<Value = Window> {
    let cron = prop::sample::select(vec![
        "0 2 * * *",
        "30 2 * * sun",
        "*/20 1-3 * * *",
        "15 * * * sat,sun",
        "0 22 L * *",
        "0 0 * * mon-wed",
    ]);
    let zone = prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]);
    (cron, zone, 5_i64..600).prop_filter_map("endless", |(cron, zone, minutes)| {
        Window::recurring(cron, zone, SignedDuration::from_mins(minutes)).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn inside_outside_and_next_agree(window in any_window(), second in 1_760_000_000_i64..1_800_000_000) {
        let time = Timestamp::from_second(second).unwrap();
        let current = window.current(time);
        prop_assert_eq!(window.is_active(time), current.is_some());
        let (begin, end) = window.next(time).unwrap();
        prop_assert!(time < begin && begin < end);
        prop_assert!(!window.is_active(end), "an occurrence is merged with what touches it");
        if let Some((start, end)) = current {
            prop_assert!(start <= time && time < end && end < begin);
            // the same occurrence from each of its instants
            prop_assert_eq!(window.current(start), current);
            let before = start - SignedDuration::from_nanos(1);
            prop_assert!(!window.is_active(before));
            prop_assert_eq!(window.next(before), current);
        }
    }

    #[test]
    fn any_expression_is_read_or_refused(fields in prop::collection::vec("[0-9]{1,2}|\\*|[-0-9*,/#LWl?+]{1,6}", 5)) {
        let duration = SignedDuration::from_hours(1);
        if let Ok(window) = Window::recurring(&fields.join(" "), "Europe/Berlin", duration) {
            prop_assert!(window.next(at("2026-03-01T00:00:00Z")).is_some(), "{fields:?}");
        }
    }
}
