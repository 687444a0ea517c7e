//! One incident, as the agents would leave it.

use cli::incidents::{Case, Delivery};
use cli::terminal::Screen;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::store::{NotificationState, TimelineEntry};

const ANOMALY: &str = "00000000-0000-5000-8000-0000000000a1";
const INCIDENT: &str = "00000000-0000-5000-8000-000000000012";

/// A pipe, two minutes after the incident was opened.
pub(crate) fn screen() -> Screen {
    Screen { colour: false, width: None, now: "2026-03-01T10:02:32Z".parse().unwrap() }
}

pub(crate) fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn anomaly() -> Value {
    json!({
        "anomaly_id": ANOMALY, "revision": 2, "status": "firing", "kind": "pool", "environment": "production",
        "service": "payment", "metric": "db_connections", "unit": "", "severity": "sev2", "evidence": 6.0,
        "direction": "up", "observed": 98.7, "expected": {"lower": 22.0, "center": 30.0, "upper": 38.2},
        "started_at": "2026-03-01T10:00:10Z", "observed_at": "2026-03-01T10:00:32Z", "interval_ms": 1000,
        "detector": "robust/1", "explanation": "db_connections of payment is at 98.7, expected 22 to 38.2, for 22 s.",
        "context": {"samples": samples()},
    })
}

fn samples() -> Value {
    let values = [30, 28, 33, 31, 29, 30, 35, 27, 30, 32, 39, 48, 61, 70, 79, 88, 96, 99, 98];
    let points = values.iter().enumerate().map(
        |(second, value)| json!({"ts_ms": 1_772_359_200_000_i64 + second as i64 * 1000, "value": value}),
    );
    points.collect()
}

fn signals() -> Value {
    let mut first = anomaly();
    first["samples"] = samples();
    let mut second = first.clone();
    for (name, value) in [
        ("anomaly_id", json!("00000000-0000-5000-8000-0000000000a2")),
        ("service", json!("order")),
        ("metric", json!("request_rate")),
        ("unit", json!("1/s")),
        ("kind", json!("traffic")),
        ("severity", json!("sev3")),
        ("status", json!("cleared")),
        ("cleared_at", json!("2026-03-01T10:02:00Z")),
        ("direction", json!("down")),
        ("observed", json!(58.3)),
        ("expected", json!({"lower": 52.0, "center": 60.0, "upper": 68.0})),
        ("evidence", json!(2.4)),
        ("explanation", json!("request_rate of order fell to 31, expected 52 to 68.")),
        (
            "samples",
            json!([{"ts_ms": 0, "value": 60}, {"ts_ms": 1, "value": 31}, {"ts_ms": 2, "value": 58.3}]),
        ),
        ("started_at", json!("2026-03-01T10:00:20Z")),
    ] {
        second[name] = value;
    }
    json!([first, second])
}

pub(crate) fn incident() -> Value {
    json!({
        "incident_id": INCIDENT, "number": 12, "revision": 7, "state": "remediating", "severity": "sev2",
        "title": "payment: the connection pool is running out", "environment": "production",
        "suspects": [
            {"service": "payment", "category": "pool", "score": 11.24, "posterior": 0.874, "reasons": [
                "db_connections is outside its band by 6.0 nats",
                "order and api-gateway call payment and became abnormal later"]},
            {"service": "order", "category": "code", "score": 4.1, "posterior": 0.09},
        ],
        "members": [ANOMALY, "00000000-0000-5000-8000-0000000000a2"], "affected_services": ["order", "payment"],
        "blast_radius": {"callers": ["api-gateway", "order"], "share": 0.5}, "signals": [],
        "impact": {
            "service": "order", "failing_per_minute": 41.3, "failing_share": 0.12, "users_share": 0.021,
            "revenue": {"per_minute": 318.0, "currency": "EUR"}},
        "deployment": {
            "service": "payment", "version": "2.4.1", "at": "2026-03-01T09:41:00Z", "change_type": "deploy",
            "git_sha": "9f2c1ab", "deployed_by": "ci", "description": "larger batches for settlement",
            "known_risks": ["holds connections longer"]},
        "started_at": "2026-03-01T10:00:10Z", "opened_at": "2026-03-01T10:00:32Z",
    })
}

pub(crate) fn root_cause() -> Value {
    json!({
        "incident_id": INCIDENT, "number": 12, "revision": 1, "incident_revision": 3, "environment": "production",
        "verdict": "likely", "method": "deterministic", "claims_verified": 2, "claims_total": 3, "tokens": 0,
        "cost_microdollars": 0, "completed_at": "2026-03-01T10:00:33Z",
        "candidates": [{
            "service": "payment", "cause": "payment has used up its database connections since version 2.4.1.",
            "category": "pool", "confidence": 0.79,
            "claims": [
                {"text": "The pool is at its ceiling.", "evidence": ["E1"]},
                {"text": "Version 2.4.1 was rolled out 19 minutes before, and its author named the risk.", "evidence": ["E2", "E3"]}],
            "similar_incidents": [{"doc_id": "incident/INC-0007", "title": "Payment leaked connections", "section": "cause", "score": 0.81}],
            "runbooks": [{"doc_id": "runbook/db-connections", "title": "Database connections run out", "section": "Immediate actions", "score": 0.77}]}],
        "evidence": [
            {"id": "E1", "source": {"kind": "samples", "service": "payment", "metric": "db_connections", "anomaly_id": ANOMALY}, "quote": "98.7, expected 22 to 38.2"},
            {"id": "E2", "source": {"kind": "deployment", "service": "payment", "version": "2.4.1"}, "quote": "larger batches for settlement; known risk: holds connections longer"},
            {"id": "E3", "source": {"kind": "log", "service": "payment", "anomaly_id": ANOMALY}, "quote": "timed out waiting for a connection from the pool after <*> ms"}],
        "ruled_out": ["CPU of payment is inside its band."],
        "missing": ["No spans of the database itself."],
    })
}

pub(crate) fn plan() -> Value {
    let step = |order: u32, priority: &str, action: Value, title: &str, risk: &str| {
        json!({
            "order": order, "priority": priority, "action": action, "title": title, "risk": risk,
            "detail": "Take one instance out of the load balancer, restart it, wait until it is ready, go on with the next one.",
            "rollback": "none needed", "owner": "on-call of payment", "expected_outcome": "db_connections falls below 40 within two minutes",
            "source": "runbook/db-connections#Immediate actions"})
    };
    json!({
        "plan_id": "00000000-0000-5000-8000-0000000000b1", "incident_id": INCIDENT, "number": 12, "revision": 1,
        "environment": "production", "service": "payment", "category": "pool",
        "summary": "Free the connections of payment, then go back to the version before 2.4.1.",
        "steps": [
            step(1, "IMMEDIATE", json!({"type": "clear_connections", "service": "payment"}), "Close idle connections", "low"),
            step(2, "IMMEDIATE", json!({"type": "rollback_deployment", "service": "payment"}), "Roll back to the version before", "medium"),
            step(3, "WITHIN_1HOUR", json!({"type": "manual"}), "Raise the ceiling of the pool", "high")],
        "escalation": {"team": "platform", "contact": "#platform-oncall", "after_minutes": 15, "note": "owns the database"},
        "created_at": "2026-03-01T10:00:34Z",
    })
}

pub(crate) fn postmortem() -> Value {
    json!({
        "postmortem_id": "00000000-0000-5000-8000-0000000000c1", "incident_id": INCIDENT, "number": 12,
        "title": "payment ran out of database connections", "severity": "sev2", "environment": "production",
        "markdown": "# payment ran out of database connections\n", "timeline": [],
        "action_items": [{"title": "Alert on pool use above 80 %", "owner": "payment", "due": "2026-03-15", "reason": "the first sign was the ceiling itself"}],
        "times": {"to_detect_ms": 22_000, "to_cause_ms": 1_000, "to_resolve_ms": 262_000},
        "generated_at": "2026-03-01T10:04:32Z",
    })
}

fn notification(kind: &str, at: &str) -> Value {
    json!({
        "id": "00000000-0000-5000-8000-0000000000d1", "incident_id": INCIDENT, "kind": kind, "channel": "email",
        "recipients": ["payment-oncall@example.com", "platform@example.com"], "message_id": "opened.12@firewatch",
        "subject": "[SEV2] #12 payment: the connection pool is running out", "severity": "sev2", "event": null, "created_at": at,
    })
}

fn entry(at: &str, actor: &str, action: &str, summary: &str) -> TimelineEntry {
    TimelineEntry {
        at: at.parse().unwrap(),
        actor: actor.into(),
        action: action.into(),
        summary: summary.into(),
        detail: Value::Null,
    }
}

/// An incident that is being worked on.
pub(crate) fn case() -> Case {
    Case {
        incident: of(incident()),
        signals: of(signals()),
        root_cause: of(root_cause()),
        plan: of(plan()),
        postmortem: None,
        notifications: vec![
            Delivery {
                state: NotificationState::Sent,
                notification: of(notification("opened", "2026-03-01T10:00:32Z")),
            },
            Delivery {
                state: NotificationState::Pending,
                notification: of(notification("root_cause", "2026-03-01T10:00:33Z")),
            },
        ],
        timeline: vec![
            entry(
                "2026-03-01T10:00:32Z",
                "correlation",
                "opened",
                "Opened by db_connections of payment, which is at 98.7 where 22 to 38.2 was expected, for 22 s.",
            ),
            entry(
                "2026-03-01T10:00:33Z",
                "investigation",
                "cause_ranked",
                "Ranked the causes: payment, an exhausted connection pool.",
            ),
            entry("2026-03-02T00:00:01Z", "remediation", "plan_proposed", "Proposed a plan of 3 steps."),
        ],
    }
}
