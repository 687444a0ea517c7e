use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A rotation with office hours, a layer for the rest, a holiday and an override.
fn document() -> Value {
    let people: Vec<Value> = ["ada", "ben", "cleo", "dan"]
        .map(|name| json!({"name": name, "addresses": [format!("mail:{name}@shop.example")]}))
        .to_vec();
    json!({
        "name": "payments", "team": "payments", "zone": "Europe/Berlin", "addresses": ["slack:#payments"],
        "people": people,
        "layers": [
            {"name": "office", "people": ["ada", "ben"], "handover": "2026-01-05T09:00", "length": "1 week",
             "hours": [{"days": ["monday", "tuesday", "wednesday", "thursday", "friday"], "from": "09:00", "to": "17:00"}]},
            {"name": "rest", "people": ["ben", "cleo", "dan"], "handover": "2026-01-05T09:00", "length": "1 day"},
        ],
        "overrides": [
            {"person": "dan", "from": "2026-03-03T12:00", "to": "2026-03-03T14:00", "reason": "ada at the dentist"},
        ],
        "holidays": {"layer": "rest", "dates": ["2026-04-03", "2026-04-06"]},
        "escalations": [{
            "name": "payments",
            "levels": [
                {"after_minutes": 0, "notify": [{"rotation": "payments"}]},
                {"after_minutes": 15, "notify": [{"team": "payments"}, {"entry": "mail:cto@shop.example"}]},
            ],
            "repeat": {"times": 1, "after_minutes": 10},
        }],
    })
}

fn rotation(change: impl FnOnce(&mut Value)) -> Rotation {
    let mut document = document();
    change(&mut document);
    serde_json::from_value(document).unwrap()
}

fn schedule() -> Schedule {
    Schedule::new(rotation(|_| ())).unwrap()
}

#[test]
fn the_first_layer_that_counts_has_the_person_on_call() {
    let schedule = schedule();
    let answer = |time: &str| {
        let Shift { person, why, until } = schedule.at(at(time));
        (person.unwrap(), why, until.unwrap().to_string())
    };
    let layer = |name: &str| Why::Layer(name.into());
    // Monday 2026-03-02: the ninth week begins with ada again
    for (time, person, why, until) in [
        ("2026-03-02T08:00:00Z", "ada", layer("office"), "2026-03-02T16:00:00Z"),
        ("2026-03-02T16:00:00Z", "dan", layer("rest"), "2026-03-03T08:00:00Z"),
        // ben has the office of the week, the night after it and the office of the next day
        ("2026-03-09T08:00:00Z", "ben", layer("office"), "2026-03-10T16:00:00Z"),
    ] {
        assert_eq!(answer(time), (person.to_owned(), why, until.to_owned()), "{time}");
    }
}

#[test]
fn an_override_comes_before_a_holiday_and_a_holiday_before_the_layers() {
    let schedule = schedule();
    let shift = schedule.at(at("2026-03-03T11:00:00Z"));
    assert_eq!(shift.person.as_deref(), Some("dan"));
    let to = "2026-03-03T14:00".parse().unwrap();
    assert_eq!(shift.why, Why::Override { to, reason: Some("ada at the dentist".into()) });
    assert_eq!(shift.until, Some(at("2026-03-03T13:00:00Z")));
    assert_eq!(schedule.at(at("2026-03-03T10:59:59Z")).person.as_deref(), Some("ada"));
    assert_eq!(schedule.at(at("2026-03-03T13:00:00Z")).person.as_deref(), Some("ada"));

    // Good Friday, in office hours
    let shift = schedule.at(at("2026-04-03T08:00:00Z"));
    let date = "2026-04-03".parse().unwrap();
    assert_eq!(shift.why, Why::Holiday { date, layer: "rest".into() });
    assert_eq!(schedule.at(at("2026-04-04T08:00:00Z")).why, Why::Layer("rest".into()));
    assert_eq!(schedule.at(at("2026-04-07T08:00:00Z")).why, Why::Layer("office".into()));
    let covered = rotation(|document| {
        let own = json!({"person": "ada", "from": "2026-04-01T00:00", "to": "2026-04-10T00:00"});
        document["overrides"].as_array_mut().unwrap().push(own);
    });
    let shift = Schedule::new(covered).unwrap().at(at("2026-04-03T08:00:00Z"));
    assert_eq!((shift.person.as_deref(), shift.until), (Some("ada"), Some(at("2026-04-09T22:00:00Z"))));
}

#[test]
fn a_shift_ends_when_it_is_somebody_else() {
    let schedule = schedule();
    let shift = schedule.at(at("2026-03-10T15:00:00Z"));
    let (begin, next) = schedule.next(at("2026-03-10T15:00:00Z")).unwrap();
    assert_eq!((shift.person.as_deref(), shift.until), (Some("ben"), Some(begin)));
    assert_ne!(next.person, shift.person);
    let alone = rotation(|document| {
        document["layers"] =
            json!([{"name": "all", "people": ["ada"], "handover": "2026-01-05T09:00", "length": "12h"}]);
        document["holidays"] = Value::Null;
    });
    let schedule = Schedule::new(alone).unwrap();
    let shift = schedule.at(at("2026-05-01T00:00:00Z"));
    assert_eq!((shift.person.as_deref(), shift.until), (Some("ada"), None));
    assert_eq!(schedule.next(at("2026-05-01T00:00:00Z")), None);
}

#[test]
fn handovers_stay_at_their_time_on_the_wall() {
    let daily = rotation(|document| {
        document["layers"] = json!([
            {"name": "all", "people": ["ada", "ben"], "handover": "2026-01-05T02:30", "length": "1 day"},
            {"name": "half", "people": ["ada", "ben"], "handover": "2026-01-05T09:00", "length": "12h"},
        ]);
        document["holidays"] = Value::Null;
    });
    let schedule = Schedule::new(daily).unwrap();
    let begins = |layer: usize, from: &str| {
        let mut time = at(from);
        let mut begins = Vec::new();
        for _ in 0..3 {
            time = schedule.turn(layer, time).unwrap().end;
            begins.push(time.to_string());
        }
        begins
    };
    // half past two does not exist on 2026-03-29, and exists twice on 2026-10-25
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(begins(0, "2026-03-27T12:00:00Z"), expected);
    let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(begins(0, "2026-10-23T12:00:00Z"), expected);
    let expected = ["2026-03-28T20:00:00Z", "2026-03-29T07:00:00Z", "2026-03-29T19:00:00Z"];
    assert_eq!(begins(1, "2026-03-28T12:00:00Z"), expected);
}

#[test]
fn hours_in_which_nobody_is_on_call_are_a_warning_and_a_shift_without_a_person() {
    let gap = rotation(|document| {
        document["layers"].as_array_mut().unwrap().pop();
        document["holidays"] = Value::Null;
    });
    let problems = gap.problems();
    let reason = "nobody is on call from Monday 00:00 to Monday 09:00, from Monday 17:00 to Tuesday 09:00, \
        from Tuesday 17:00 to Wednesday 09:00, and 3 more times";
    let expected = Problem { field: "layers".into(), reason: reason.into(), gravity: Gravity::Warning };
    assert_eq!(problems, [expected]);
    let schedule = Schedule::new(gap.clone()).unwrap();
    let time = at("2026-03-06T18:00:00Z");
    let shift = schedule.at(time);
    assert_eq!((shift.person, shift.why), (None, Why::NoLayer));
    assert_eq!(shift.until, Some(at("2026-03-09T08:00:00Z")));
    let reached = Roster::new(vec![gap]).unwrap().reach(&Whom::Rotation("payments".into()), time);
    assert_eq!((reached.person, reached.addresses), (None, vec![]));
}

#[test]
fn all_problems_are_named_with_their_place() {
    assert_eq!(rotation(|_| ()).problems(), []);
    let wrong = rotation(|document| {
        document["zone"] = json!("Europe/Berlni");
        document["people"][1]["name"] = json!("ada");
        document["people"][2]["addresses"] = json!([]);
        document["layers"][0]["length"] = json!("400 days");
        document["overrides"][0]["to"] = json!("2026-03-03T11:00");
        document["holidays"]["layer"] = json!("night");
        document["escalations"][0]["levels"][0]["after_minutes"] = json!(15);
        document["escalations"][0]["levels"][1]["notify"] = json!([]);
        document["escalations"][0]["repeat"]["times"] = json!(0);
    });
    let named: Vec<String> = wrong
        .problems()
        .into_iter()
        .map(|Problem { field, reason, .. }| format!("{field}: {reason}"))
        .collect();
    let expected = [
        "zone: unknown time zone \"Europe/Berlni\", expected a name such as Europe/Berlin",
        "people: \"ada\" appears twice",
        "people[2].addresses: is empty",
        "layers[0].people[1]: \"ben\" is not one of people",
        "layers[0].length: 9600 h is not between 1 hour and 366 days",
        "layers[1].people[0]: \"ben\" is not one of people",
        "overrides[0].to: is not after from",
        "holidays.layer: \"night\" is not one of layers",
        "escalations[0].levels[1].after_minutes: is not later than the level before",
        "escalations[0].levels[1].notify: is empty",
        "escalations[0].repeat.times: 0 is not between 1 and 20",
    ];
    assert_eq!(named, expected);
    assert!(Schedule::new(wrong).is_err());
    let overlapping = rotation(|document| {
        let own = json!({"person": "ada", "from": "2026-03-03T13:00", "to": "2026-03-03T15:00"});
        document["overrides"].as_array_mut().unwrap().push(own);
    });
    let gravity: Vec<Gravity> = overlapping.problems().into_iter().map(|problem| problem.gravity).collect();
    assert_eq!(gravity, [Gravity::Warning]);
    for (field, value) in
        [("length", json!("90m")), ("length", json!("often")), ("handover", json!("monday"))]
    {
        let mut document = document();
        document["layers"][0][field] = value;
        assert!(serde_json::from_value::<Rotation>(document).is_err(), "{field}");
    }
}

#[test]
fn rotations_refer_to_each_other() {
    let other = |policy: &str, whom: Value| {
        let policy = policy.to_owned();
        rotation(move |document| {
            document["name"] = json!("orders");
            document["escalations"][0]["name"] = json!(policy);
            document["escalations"][0]["levels"][0]["notify"] = json!([whom]);
        })
    };
    let roster =
        Roster::new(vec![rotation(|_| ()), other("orders", json!({"rotation": "payments"}))]).unwrap();
    assert_eq!(roster.policy("orders").map(|policy| policy.levels.len()), Some(2));
    let time = at("2026-03-02T08:00:00Z");
    let reached = roster.reach(&Whom::Rotation("orders".into()), time);
    assert_eq!(reached.person.as_deref(), Some("ada"));
    assert_eq!(reached.addresses, ["mail:ada@shop.example"]);
    assert_eq!(roster.reach(&Whom::Team("payments".into()), time).addresses, ["slack:#payments"]);
    assert_eq!(roster.reach(&Whom::Entry("mail:x@y.example".into()), time).addresses, ["mail:x@y.example"]);

    let refused = |rotations: Vec<Rotation>| {
        let problems = Roster::new(rotations).unwrap_err();
        problems
            .into_iter()
            .map(|(place, problem)| (place, problem.field, problem.reason))
            .collect::<Vec<_>>()
    };
    let field = "escalations[0].levels[0].notify[0]".to_owned();
    assert_eq!(
        refused(vec![rotation(|_| ()), other("payments", json!({"rotation": "user"}))]),
        [
            (1, "escalations[0].name".to_owned(), "\"payments\" is used twice".to_owned()),
            (1, field, "there is no rotation \"user\"".to_owned()),
        ]
    );
    assert_eq!(refused(vec![rotation(|_| ()), rotation(|_| ())])[0].1, "name");
}

#[test]
fn a_chain_is_run_again_after_its_last_level() {
    let policy = &rotation(|_| ()).escalations[0];
    let due: Vec<u32> = policy.steps().map(|(minutes, _)| minutes).collect();
    assert_eq!(due, [0, 15, 25, 40]);
    let once = Policy { repeat: None, ..policy.clone() };
    assert_eq!(once.steps().count(), 2);
}

fn any_layer() -> impl Strategy<Value = Schedule> {
    let zone = prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]);
    (zone, 1_u32..400, 0_i64..60 * 24, 1_usize..4).prop_map(|(zone, hours, minute, people)| {
        let handover = jiff::civil::date(2026, 2, 1).at(0, 0, 0, 0) + SignedDuration::from_mins(minute);
        let names: Vec<String> = ["ada", "ben", "cleo"][..people].iter().map(ToString::to_string).collect();
        Schedule::new(rotation(|document| {
            document["zone"] = json!(zone);
            document["holidays"] = Value::Null;
            document["layers"] = json!([
                {"name": "all", "people": names, "handover": handover.to_string(), "length": format!("{hours}h")}
            ]);
        }))
        .unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn exactly_one_person_has_the_turn_at_any_instant(
        schedule in any_layer(), second in 1_760_000_000_i64..1_800_000_000
    ) {
        let time = Timestamp::from_second(second).unwrap();
        let turn = schedule.turn(0, time).unwrap();
        prop_assert!(turn.begin <= time && time < turn.end);
        // the turns before and after touch it
        let before = schedule.turn(0, turn.begin - SignedDuration::from_nanos(1)).unwrap();
        let after = schedule.turn(0, turn.end).unwrap();
        prop_assert_eq!((before.end, after.begin), (turn.begin, turn.end));
        let layer = &schedule.rotation().layers[0];
        if layer.people.len() > 1 && turn.end.duration_since(turn.begin) > SignedDuration::from_hours(2) {
            let place = |person: &str| layer.people.iter().position(|known| known == person).unwrap();
            prop_assert_eq!((place(turn.person) + 1) % layer.people.len(), place(after.person));
        }
    }

    #[test]
    fn handovers_are_multiples_of_the_length_by_the_clock_on_the_wall(
        schedule in any_layer(), second in 1_760_000_000_i64..1_800_000_000
    ) {
        let layer = &schedule.rotation().layers[0];
        let turn = schedule.turn(0, Timestamp::from_second(second).unwrap()).unwrap();
        let local = schedule.zone().to_datetime(turn.begin);
        let away = local.duration_since(layer.handover).as_secs();
        // a time that does not exist has moved to the end of the gap, at most an hour
        let moved = away.rem_euclid(i64::from(layer.length.0) * 3_600);
        let before = schedule.zone().to_datetime(turn.begin - SignedDuration::from_nanos(1));
        let is_gap = local.duration_since(before) > SignedDuration::from_mins(1);
        prop_assert!(moved == 0 || (is_gap && moved <= 3_600), "{local} is {moved} s off");
    }

    #[test]
    fn a_shift_lasts_until_its_end_and_not_longer(second in 1_760_000_000_i64..1_800_000_000, step in 0_i64..100) {
        let schedule = schedule();
        let time = Timestamp::from_second(second).unwrap();
        let shift = schedule.at(time);
        let until = shift.until.unwrap();
        prop_assert!(until > time);
        let inside = time + (until.duration_since(time) / 100) * i32::try_from(step).unwrap();
        prop_assert_eq!(&schedule.at(inside).person, &shift.person);
        prop_assert_ne!(&schedule.at(until).person, &shift.person);
    }
}
