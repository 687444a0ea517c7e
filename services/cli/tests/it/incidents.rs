//! What `firewatch incidents` prints.

use cli::incidents::{Case, list, show};
use cli::terminal::{self, Screen};
use serde_json::{Value, json};
use shared::events::Incident;
use shared::store::TimelineEntry;

use crate::fixtures::{case, incident, of, postmortem, screen};

fn listed() -> Vec<Incident> {
    let mut resolved = incident();
    for (name, value) in [
        ("number", json!(9)),
        ("state", json!("closed")),
        ("severity", json!("sev3")),
        ("title", json!("nothing stands out")),
        ("suspects", json!([])),
        ("started_at", json!("2026-02-26T08:00:00Z")),
        ("opened_at", json!("2026-02-26T08:01:00Z")),
        ("resolved_at", json!("2026-02-26T09:03:00Z")),
    ] {
        resolved[name] = value;
    }
    vec![of(incident()), of(resolved)]
}

#[test]
fn the_list_is_one_line_each() {
    insta::assert_snapshot!(list::render(&listed(), &screen()));
}

#[test]
fn a_list_of_none_says_so() {
    assert_eq!(list::render(&[], &screen()), "no incidents\n");
}

#[test]
fn rows_that_cannot_be_read_are_counted() {
    assert_eq!(list::left_out(0), None);
    insta::assert_snapshot!([1, 2].map(|rows| list::left_out(rows).unwrap()).join("\n"), @r"
    1 incident is left out: its row cannot be read
    2 incidents are left out: their rows cannot be read
    ");
}

#[test]
fn a_narrow_terminal_wraps_the_list_and_shows_colours() {
    let screen = Screen { colour: true, width: Some(80), ..screen() };
    let text = list::render(&listed(), &screen);
    let widest = strip(&text).lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{text}");
    assert!(text.contains("\u{1b}["), "{text}");
}

#[test]
fn the_page_of_an_open_incident() {
    insta::assert_snapshot!(show::render(&case(), &screen()));
}

/// A command is pasted from the page into a shell.
#[test]
fn the_code_of_a_step_can_be_pasted() {
    let mut case = case();
    case.plan.as_mut().unwrap().steps[0].detail = "\
Look at the `consumer_lag` of each partition, then run `kubectl -n shop rollout restart deployment/order` once:
```sh
# nothing is changed here
kafka-consumer-groups --bootstrap-server kafka-0.kafka.streaming.svc.cluster.local:9092 --describe --group orders
cat <<'EOF'\u{1b}[31m
\tone\u{202e}
EOF
```

1. stop the consumer
2. start it again
   - one copy first

| stands still | cause |
|---|---|
| one partition | a record |"
        .into();
    let page = show::render(&case.cleaned().unwrap(), &screen());
    let start = page.find("PLAN").unwrap();
    let end = page.find("Escalate").unwrap();
    insta::assert_snapshot!(&page[start..end]);
}

#[test]
fn the_page_of_an_incident_that_has_just_been_opened() {
    let case = Case {
        signals: Vec::new(),
        root_cause: None,
        plan: None,
        notifications: Vec::new(),
        timeline: Vec::new(),
        incident: Incident { suspects: Vec::new(), deployment: None, ..case().incident },
        ..case()
    };
    insta::assert_snapshot!(show::render(&case, &screen()));
}

#[test]
fn a_finished_incident_shows_what_is_to_be_done_next() {
    let case = Case { postmortem: of(postmortem()), ..case() };
    let text = show::render(&case, &screen());
    let section: String = text
        .lines()
        .skip_while(|line| !line.starts_with("POSTMORTEM"))
        .take(4)
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(section);
}

#[test]
fn a_long_timeline_keeps_its_ends() {
    let first = case().timeline.remove(0);
    let timeline =
        (0..1_000).map(|n| TimelineEntry { summary: format!("line {n}"), ..first.clone() }).collect();
    let text = show::render(&Case { timeline, ..case() }, &screen());
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("line ")).collect();
    assert_eq!(lines.len(), 50, "{text}");
    assert!(lines[24].ends_with("line 24") && lines[25].ends_with("line 975"), "{text}");
    assert!(text.contains("... and 950 lines; --json has them all"), "{text}");
}

#[test]
fn no_text_of_an_incident_reaches_the_terminal_as_it_is() {
    let hostile =
        "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil\r\n".to_owned() + &"long ".repeat(1_000);
    let mut case = case();
    case.incident = of(poisoned(serde_json::to_value(&case.incident).unwrap(), &hostile));
    case.signals = of(poisoned(serde_json::to_value(&case.signals).unwrap(), &hostile));
    case.root_cause = of(poisoned(serde_json::to_value(&case.root_cause).unwrap(), &hostile));
    case.plan = of(poisoned(serde_json::to_value(&case.plan).unwrap(), &hostile));
    for delivery in &mut case.notifications {
        delivery.notification.subject.clone_from(&hostile);
        delivery.notification.recipients = vec![hostile.clone()];
    }
    for entry in &mut case.timeline {
        entry.actor.clone_from(&hostile);
        entry.summary.clone_from(&hostile);
    }
    let clean = case.cleaned().unwrap();
    let text = show::render(&clean, &screen()) + &list::render(&[clean.incident], &screen());
    let left: Vec<char> =
        text.chars().filter(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}').collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(text.contains("evil"), "the poison went nowhere");
    assert!(text.len() < 200_000, "{} bytes", text.len());

    let json = terminal::json(&case, true).unwrap();
    assert!(!json.chars().any(|char| char.is_control() && char != '\n'), "{json}");
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), serde_json::to_value(&case).unwrap());
}

/// Replaces every text that a stranger could have written: all but ids, times and names of our own.
fn poisoned(value: Value, hostile: &str) -> Value {
    const OURS: [&str; 16] = [
        "state",
        "severity",
        "status",
        "kind",
        "direction",
        "category",
        "verdict",
        "method",
        "priority",
        "risk",
        "type",
        "at",
        "started_at",
        "opened_at",
        "observed_at",
        "cleared_at",
    ];
    match value {
        Value::String(text) if text.parse::<shared::ids::EventId>().is_ok() => Value::String(text),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => Value::String(text),
        Value::String(_) => Value::String(hostile.to_owned()),
        Value::Array(items) => items.into_iter().map(|item| poisoned(item, hostile)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let value = if OURS.contains(&name.as_str()) { value } else { poisoned(value, hostile) };
                (name, value)
            })
            .collect(),
        other => other,
    }
}

fn strip(text: &str) -> String {
    text.lines().map(|line| terminal::clean(line, 10_000) + "\n").collect()
}
