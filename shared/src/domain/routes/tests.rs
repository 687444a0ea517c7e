use serde_json::{Value, json};

use super::*;
use crate::events::Severity;
use crate::oncall::Rotation;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn roster() -> Roster {
    let rotation: Rotation = serde_json::from_value(json!({
        "name": "payments", "team": "payments", "zone": "UTC", "addresses": ["slack:#payments"],
        "people": [{"name": "ada", "addresses": ["mail:ada@shop.example"]}],
        "layers": [{"name": "all", "people": ["ada"], "handover": "2026-01-05T09:00", "length": "1 week"}],
        "escalations": [{"name": "urgent", "levels": [{"after_minutes": 0, "notify": [{"rotation": "payments"}]}]}],
    }))
    .unwrap();
    Roster::new(vec![rotation]).unwrap()
}

fn document() -> Value {
    json!({
        "version": 1, "zone": "Europe/Berlin",
        "receivers": {
            "payments": [{"rotation": "payments"}, {"team": "payments"}],
            "operations": [{"entry": "mail:ops@shop.example"}],
            "audit": [{"entry": "mail:audit@shop.example"}],
        },
        "fallback": ["operations"],
        "routes": [
            {"name": "audit", "matchers": "kind=\"security\"", "receivers": ["audit"], "deliver": "digest", "continue": true},
            {"name": "urgent", "matchers": "service=\"payment\", severity>=\"SEV2\"", "receivers": ["payments"],
             "escalation": "urgent"},
            {"name": "payments", "matchers": "service=\"payment\"", "receivers": ["payments"],
             "quiet": {"hours": [{"from": "22:00", "to": "07:00"}], "deliver": "digest"}, "escalation": "urgent"},
            {"name": "office", "matchers": "service=\"user\"", "receivers": ["operations"],
             "hours": [{"days": ["monday"], "from": "09:00", "to": "17:00"}],
             "quiet": {"hours": [{"from": "12:00", "to": "13:00"}], "deliver": "at_end"}},
        ],
    })
}

fn routes() -> Routes {
    Routes::new(serde_json::from_value(document()).unwrap(), &roster()).unwrap()
}

fn facts(service: &str, severity: Severity) -> Facts {
    Facts { services: [service.into()].into(), severity: Some(severity), ..Facts::default() }
}

/// Route, receivers, time and policy.
type Step = (Option<String>, Vec<String>, When, Option<String>);

fn planned(facts: &Facts, time: &str) -> Vec<Step> {
    let plan = routes().plan(facts, at(time));
    plan.into_iter()
        .map(|told| {
            let names = told.receivers.into_iter().map(|(name, _)| name).collect();
            (told.why.route, names, told.when, told.escalation)
        })
        .collect()
}

/// A Monday at noon, and at night, in Berlin.
const DAY: &str = "2026-03-02T09:00:00Z";
const NIGHT: &str = "2026-03-02T22:30:00Z";

#[test]
fn the_first_route_that_matches_is_taken_and_others_only_behind_one_that_continues() {
    let step = |route: &str, receiver: &str, when, policy: Option<&str>| {
        (Some(route.to_owned()), vec![receiver.to_owned()], when, policy.map(str::to_owned))
    };
    let sev1 = facts("payment", Severity::Sev1);
    assert_eq!(planned(&sev1, DAY), [step("urgent", "payments", When::Now, Some("urgent"))]);
    assert_eq!(planned(&sev1, NIGHT), [step("urgent", "payments", When::Now, Some("urgent"))]);
    let security = Facts { kinds: [crate::events::Kind::Security].into(), ..sev1 };
    assert_eq!(
        planned(&security, DAY),
        [step("audit", "audit", When::Digest, None), step("urgent", "payments", When::Now, Some("urgent"))]
    );
    let sev3 = facts("payment", Severity::Sev3);
    assert_eq!(planned(&sev3, DAY), [step("payments", "payments", When::Now, Some("urgent"))]);
    // what goes into a digest does not escalate
    assert_eq!(planned(&sev3, NIGHT), [step("payments", "payments", When::Digest, None)]);
}

#[test]
fn hours_open_a_route_and_quiet_hours_delay_it() {
    let user = facts("user", Severity::Sev3);
    let fallback = [(None, vec!["operations".to_owned()], When::Now, None)];
    assert_eq!(planned(&user, NIGHT), fallback);
    assert_eq!(planned(&user, DAY)[0].0.as_deref(), Some("office"));
    let at_noon = &planned(&user, "2026-03-02T11:15:00Z")[0];
    assert_eq!(at_noon.2, When::At(at("2026-03-02T12:00:00Z")));
    assert!(routes().plan(&user, at("2026-03-02T11:15:00Z"))[0].why.is_quiet);
}

#[test]
fn a_receiver_stands_for_people_teams_and_addresses() {
    let told = &routes().plan(&facts("payment", Severity::Sev1), at(DAY))[0];
    let (_, whom) = &told.receivers[0];
    let reached: Vec<Vec<String>> = whom.iter().map(|whom| roster().reach(whom, at(DAY)).addresses).collect();
    assert_eq!(reached, [["mail:ada@shop.example"], ["slack:#payments"]]);
    assert_eq!(told.why.matchers.to_string(), "service=\"payment\", severity>=\"SEV2\"");
}

fn problems(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut document = document();
    change(&mut document);
    let document: Document = serde_json::from_value(document).unwrap();
    document
        .problems(Some(&roster()))
        .into_iter()
        .map(|Problem { field, reason }| format!("{field}: {reason}"))
        .collect()
}

#[test]
fn all_problems_are_named_with_their_place() {
    assert_eq!(problems(|_| ()), Vec::<String>::new());
    let found = problems(|document| {
        document["version"] = json!(2);
        document["zone"] = json!("Mars");
        document["receivers"]["payments"][0]["rotation"] = json!("user");
        document["receivers"]["audit"] = json!([]);
        document["fallback"] = json!(["ops"]);
        document["routes"][0]["escalation"] = json!("urgent");
        document["routes"][1]["escalation"] = json!("slow");
        document["routes"][2]["name"] = json!("urgent");
        document["routes"][3]["receivers"] = json!([]);
        document["routes"][3]["quiet"]["hours"] = json!([{"from": "00:00", "to": "00:00"}]);
    });
    let expected = [
        "version: 2 is not 1",
        "zone: unknown time zone \"Mars\", expected a name such as Europe/Berlin",
        "receivers.audit: is empty",
        "receivers.payments[0]: there is no rotation \"user\"",
        "fallback[0]: \"ops\" is not one of receivers",
        "routes[0].escalation: never begins: what goes into a digest does not escalate",
        "routes[1].escalation: there is no escalation policy \"slow\"",
        "routes[2].name: \"urgent\" is used twice",
        "routes[3].receivers: is empty",
        "routes[3].quiet.hours: never end, so nothing would be delivered",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_route_that_never_matches_is_refused() {
    let with = |index: usize, field: &str, value: Value| {
        let field = field.to_owned();
        problems(move |document| document["routes"][index][field] = value)
    };
    let matchers = |index, text: &str| with(index, "matchers", json!(text));
    let found = matchers(3, "environment=\"a\", environment=\"b\"");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("routes[3].matchers: the route never matches: environment"), "{found:?}");
    let found = matchers(2, "");
    assert_eq!(
        found,
        [
            "routes[3].matchers: the route never matches: \"payments\" stands above it, takes everything and does not continue"
        ]
    );
    let found = matchers(3, "service=\"payment\", severity=\"SEV1\"");
    assert!(found[0].contains("\"urgent\" stands above it, takes all that it would match"), "{found:?}");
    // it is taken only at certain hours, or it continues, or it is narrower
    assert_eq!(matchers(0, ""), Vec::<String>::new());
    assert_eq!(with(2, "hours", json!([{"from": "09:00", "to": "17:00"}])), Vec::<String>::new());
    assert_eq!(matchers(3, "service!=\"payment\""), Vec::<String>::new());
}

#[test]
fn unknown_fields_and_matchers_are_refused_when_it_is_read() {
    for (field, value) in
        [("priority", json!(1)), ("matchers", json!("team=\"x\"")), ("deliver", json!("later"))]
    {
        let mut document = document();
        document["routes"][0][field] = value;
        assert!(serde_json::from_value::<Document>(document).is_err(), "{field}");
    }
}
