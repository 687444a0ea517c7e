//! What the demo prints, and which expectations a run does not meet.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::events::fault::Phase;
use shared::events::{Anomaly, Fault, Incident, Plan, Postmortem, RootCause};
use stack::demo::console::Console;
use stack::observe::event_feed::Event;
use stack::observe::run_summary::RunObservation;
use stack::parts::mailbox::Mail;

const INCIDENT: &str = "11111111-1111-5111-8111-111111111111";

/// Returns a time, seconds after the start of the simulator.
fn at(second: u32) -> Timestamp {
    format!("2026-01-05T12:{:02}:{:02}Z", second / 60, second % 60).parse().unwrap()
}

fn event<E: shared::events::Event>(value: Value) -> E {
    let event: E = serde_json::from_value(value).unwrap();
    event.validate().unwrap();
    event
}

fn fault(phase: &str, second: u32) -> Event {
    Event::Fault(event::<Fault>(json!({
        "fault": 1, "scenario": "latency-spike", "service": "payment", "phase": phase, "at": at(second),
        "environment": "production",
    })))
}

fn anomaly(status: &str, revision: u32, second: u32) -> Event {
    Event::Anomaly(event::<Anomaly>(json!({
        "anomaly_id": INCIDENT, "revision": revision, "status": status, "kind": "latency", "environment": "production",
        "service": "payment", "metric": "latency_p99_ms", "unit": "ms", "severity": "sev2", "evidence": 6.0,
        "direction": "up", "observed": 1586.4, "expected": {"lower": 290.0, "center": 380.0, "upper": 432.2},
        "started_at": at(45), "observed_at": at(second), "interval_ms": 1000, "detector": "robust/1",
        "explanation": "",
    })))
}

fn incident(revision: u32, severity: &str, suspect: &str, resolved: Option<u32>) -> Incident {
    event(json!({
        "incident_id": INCIDENT, "number": 1, "revision": revision,
        "state": if resolved.is_some() { "resolved" } else { "correlating" },
        "severity": severity, "title": "payment: requests are slow", "environment": "production",
        "suspects": [{"service": suspect, "category": "dependency", "score": 9.0, "posterior": 0.89}],
        "members": [], "affected_services": ["payment", "order"], "blast_radius": {"callers": [], "share": 0.0},
        "signals": [], "started_at": at(45), "opened_at": at(47), "resolved_at": resolved.map(at),
    }))
}

fn cause() -> Event {
    Event::Cause(event::<RootCause>(json!({
        "incident_id": INCIDENT, "number": 1, "revision": 1, "incident_revision": 1, "environment": "production",
        "verdict": "cause",
        "candidates": [{
            "service": "payment", "cause": "payment waits for its database.", "category": "dependency",
            "confidence": 0.89, "claims": [],
        }],
        "evidence": [], "method": "deterministic", "claims_verified": 7, "claims_total": 10, "tokens": 0,
        "cost_microdollars": 0, "completed_at": at(48),
    })))
}

fn plan() -> Event {
    Event::Plan(event::<Plan>(json!({
        "plan_id": INCIDENT, "incident_id": INCIDENT, "number": 1, "revision": 1, "environment": "production",
        "service": "payment", "category": "dependency", "summary": "Two steps from \"High latency\".",
        "steps": [{
            "order": 1, "priority": "IMMEDIATE", "action": {"type": "manual"}, "title": "Move traffic off the slow zone",
            "detail": "", "risk": "low", "rollback": "", "owner": "", "expected_outcome": "", "source": "",
        }],
        "escalation": {"team": "payments", "contact": "", "after_minutes": 15, "note": ""}, "created_at": at(48),
    })))
}

fn postmortem() -> Event {
    Event::Postmortem(event::<Postmortem>(json!({
        "postmortem_id": INCIDENT, "incident_id": INCIDENT, "number": 1, "title": "payment: requests are slow",
        "severity": "sev1", "environment": "production", "markdown": "", "timeline": [],
        "action_items": [{"title": "", "owner": "", "due": "2026-01-12", "reason": ""}],
        "times": {"to_detect_ms": 2000, "to_cause_ms": 1000, "to_resolve_ms": 27000}, "generated_at": at(72),
    })))
}

fn mail(kind: &str, second: u32) -> Event {
    let reply = (kind != "opened").then(|| "opened@firewatch.test".to_owned());
    Event::Mail(Mail {
        received_at: at(second),
        kind: Some(kind.to_owned()),
        id: format!("{kind}@firewatch.test"),
        references: reply.iter().cloned().collect(),
        in_reply_to: reply,
        to: vec!["oncall@firewatch.test".to_owned(), "payments@firewatch.test".to_owned()],
        subject: "[SEV1] #1 payment: requests are slow".to_owned(),
        text: String::new(),
        html: String::new(),
        pictures: Vec::new(),
    })
}

fn good_run() -> Vec<Event> {
    vec![
        fault("started", 45),
        anomaly("suspect", 1, 46),
        anomaly("firing", 2, 47),
        anomaly("firing", 3, 48),
        Event::Opened(incident(1, "sev2", "order", None)),
        mail("opened", 48),
        Event::Updated(incident(2, "sev1", "order", None)),
        Event::Updated(incident(3, "sev1", "payment", None)),
        Event::Updated(incident(4, "sev1", "payment", None)),
        cause(),
        plan(),
        mail("root_cause", 49),
        mail("plan", 49),
        fault("ended", 69),
        anomaly("cleared", 4, 72),
        Event::Resolved(incident(5, "sev1", "payment", Some(72))),
        mail("resolved", 76),
        postmortem(),
        mail("postmortem", 77),
    ]
}

fn observe(events: &[Event]) -> RunObservation {
    let mut observation = RunObservation::default();
    for event in events {
        observation.record(event);
    }
    observation
}

#[test]
fn the_demo_prints_a_run() {
    let console = Console { colours: false, zone: TimeZone::UTC };
    let mut observation = RunObservation::default();
    let mut printed = String::new();
    for event in good_run() {
        if let Some(line) = console.line(&event, &observation, at(80)) {
            writeln!(printed, "{line}").unwrap();
        }
        observation.record(&event);
    }
    insta::assert_snapshot!("narration", printed);
    insta::assert_snapshot!("summary", console.summary(&observation));
    insta::assert_json_snapshot!("facts", observation.facts());
}

#[test]
fn each_missing_expectation_is_named() {
    assert_eq!(observe(&good_run()).missing(), Vec::new());
    let without = |gone: fn(&Event) -> bool| {
        let left: Vec<_> = good_run().into_iter().filter(|event| !gone(event)).collect();
        observe(&left).missing()
    };
    let with = |more: Event| {
        let mut events = good_run();
        events.push(more);
        observe(&events).missing()
    };
    let ends = |event: &Event| matches!(event, Event::Fault(fault) if fault.phase == Phase::Ended);
    let is_plan = |event: &Event| matches!(event, Event::Mail(mail) if mail.kind.as_deref() == Some("plan"));
    let second = Incident {
        incident_id: serde_json::from_value(json!("22222222-2222-5222-8222-222222222222")).unwrap(),
        number: 2,
        ..incident(1, "sev3", "order", None)
    };
    let early = Incident { opened_at: at(30), ..incident(6, "sev1", "payment", Some(72)) };
    let lost =
        Mail { id: "else@firewatch.test".to_owned(), references: Vec::new(), in_reply_to: None, ..fifth() };
    let dead = Event::DeadLetter { topic: "dlq.correlation", reason: "malformed".to_owned(), at: at(50) };
    let cases = [
        ("nothing", observe(&[]).missing()),
        ("no end", without(ends)),
        ("no cause", without(|event| matches!(event, Event::Cause(_)))),
        ("no plan", without(|event| matches!(event, Event::Plan(_)))),
        ("no postmortem", without(|event| matches!(event, Event::Postmortem(_)))),
        ("four mails", without(is_plan)),
        ("a mail twice", with(mail("plan", 78))),
        ("another thread", with(Event::Mail(lost))),
        ("two incidents", with(Event::Opened(second))),
        ("opened too early", with(Event::Updated(early))),
        ("resolved too early", with(Event::Resolved(incident(6, "sev1", "payment", Some(60))))),
        ("another suspect", with(Event::Updated(incident(6, "sev1", "order", Some(72))))),
        ("a dead letter", with(dead)),
    ]
    .map(|(case, missing)| {
        let sentences: Vec<String> = missing.iter().map(ToString::to_string).collect();
        format!("{case}: {}\n", sentences.join("; "))
    });
    insta::assert_snapshot!("missing", cases.concat());
}

fn fifth() -> Mail {
    let Event::Mail(mail) = mail("postmortem", 77) else { unreachable!("a mail is a mail") };
    mail
}
