//! The database connections of payment run out: everything that is on record when it is over.

use jiff::Timestamp;
use postmortem::record::Record;
use serde_json::{Value, json};
use shared::catalogue::{Catalogue, Service};
use shared::clock::from_ms;
use shared::events::anomaly::{Band, Direction, Ended, LogTemplate, Point, Status};
use shared::events::incident::{BlastRadius, Change, Impact, Incident, Money, Signal, State, Suspect};
use shared::events::raw::Level;
use shared::events::rca::{Candidate, Claim, Evidence, Method, Reference, Source, Verdict};
use shared::events::remediation::{Action, Escalation, Priority, Risk, Step};
use shared::events::{Category, Command, Kind, Plan, RootCause, Severity};
use shared::ids::{AnomalyId, CommandId, EventId, IncidentId, PlanId, derive};
use shared::store::commands::{Decided, Decision, Outcome};
use shared::store::{Notification, NotificationKind, NotificationState, TimelineEntry};

/// Owns what a [`Record`] borrows.
pub(crate) struct Scenario {
    pub(crate) incident: Incident,
    pub(crate) trail: Vec<TimelineEntry>,
    pub(crate) cause: Option<RootCause>,
    pub(crate) plan: Option<Plan>,
    pub(crate) catalogue: Catalogue,
    pub(crate) notifications: Vec<(Notification, NotificationState)>,
    pub(crate) commands: Vec<Decided>,
}

impl Scenario {
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            incident: &self.incident,
            trail: &self.trail,
            cause: self.cause.as_ref(),
            plan: self.plan.as_ref(),
            catalogue: &self.catalogue,
            notifications: &self.notifications,
            commands: &self.commands,
        }
    }
}

/// Returns the time that many seconds after the first symptom.
pub(crate) fn after(seconds: i64) -> Timestamp {
    let onset: Timestamp = "2026-03-14T09:26:50Z".parse().unwrap();
    from_ms(onset.as_millisecond() + seconds * 1_000)
}

fn service(name: &str, team: &str, tier: u8) -> Service {
    Service {
        name: name.into(),
        description: format!("The service {name}."),
        team: team.into(),
        tier,
        slo: 99.9,
        latency_slo_ms: 800.0,
        users_share: None,
        revenue: None,
        language: "Java".into(),
        depends_on: vec![],
        oncall: format!("oncall-{team}@shop.example"),
        contact: format!("{team}@shop.example"),
        runbooks: vec![],
        failure_modes: vec![],
    }
}

struct Series {
    service: &'static str,
    metric: &'static str,
    unit: &'static str,
    kind: Kind,
    expected: Band,
    /// Seconds after the first symptom.
    from: i64,
    until: i64,
    worst: f64,
}

fn signal(series: &Series) -> Signal {
    let Series { service, metric, unit, kind, expected, from, until, worst } = *series;
    let samples = (-6..=until / 10)
        .map(|n| {
            let inside = !(from..until).contains(&(n * 10));
            let ramp = ((n * 10 - from) as f64 / 100.0).clamp(0.2, 1.0);
            let value =
                if inside { expected.center } else { expected.center + (worst - expected.center) * ramp };
            Point { ts_ms: after(n * 10).as_millisecond(), value }
        })
        .collect();
    Signal {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode("production", service, metric, after(from).as_millisecond()),
        revision: 9,
        service: service.into(),
        metric: metric.into(),
        unit: unit.into(),
        kind,
        severity: Severity::Sev2,
        status: Status::Cleared,
        evidence: 6.0,
        direction: Direction::Up,
        observed: expected.center,
        expected,
        started_at: after(from),
        observed_at: after(until),
        cleared_at: Some(after(until)),
        ended: Some(Ended::Recovered),
        interval_ms: 10_000,
        explanation: format!(
            "{metric} of {service} is {worst}, expected {} to {}",
            expected.lower, expected.upper
        ),
        burn_rate: None,
        impact: None,
        samples,
        siblings: vec![],
        logs: vec![],
        requests: vec![],
        complaints: vec![],
        sealed: vec![],
    }
}

fn signals() -> Vec<Signal> {
    let mut pool = signal(&Series {
        service: "payment",
        metric: "db_connections",
        unit: "count",
        kind: Kind::Pool,
        expected: Band { lower: 25.4, center: 30.0, upper: 34.6 },
        from: 0,
        until: 210,
        worst: 100.0,
    });
    pool.logs = vec![LogTemplate {
        level: Level::Error,
        template: "timed out waiting for a connection from the pool <*>".into(),
        count: 41,
        example: "timed out waiting for a connection from the pool payments-main (5000 ms)".into(),
        last_seen: after(190),
    }];
    let errors = signal(&Series {
        service: "payment",
        metric: "error_rate",
        unit: "%",
        kind: Kind::Errors,
        expected: Band { lower: 0.12, center: 0.5, upper: 0.9 },
        from: 40,
        until: 220,
        worst: 30.2,
    });
    let gateway = signal(&Series {
        service: "api-gateway",
        metric: "error_rate",
        unit: "%",
        kind: Kind::Errors,
        expected: Band { lower: 0.1, center: 0.5, upper: 0.92 },
        from: 50,
        until: 220,
        worst: 12.8,
    });
    vec![pool, errors, gateway]
}

/// A line of a command that was carried out.
pub(crate) fn said(seconds: i64, by: &str, action: &str, summary: &str) -> TimelineEntry {
    let command_id = CommandId(derive(&["said", &seconds.to_string()]));
    let detail = json!({ "command_id": command_id, "by": by, "origin": "cli" });
    TimelineEntry { detail, ..line(seconds, "correlation", action, summary) }
}

/// A command to acknowledge the incident, and what became of it.
pub(crate) fn asked(seconds: i64, by: &str, outcome: Outcome, answer: &str) -> Decided {
    let command = Command {
        command_id: CommandId(derive(&["asked", &seconds.to_string(), by])),
        environment: "production".into(),
        incident_id: Some(exhausted_connections().incident.incident_id),
        by: by.into(),
        origin: "cli".into(),
        at: after(seconds),
        action: shared::events::command::Action::Acknowledge,
    };
    Decided { decision: Decision { command, outcome, answer: answer.into() }, decided_at: after(seconds) }
}

pub(crate) fn line(seconds: i64, actor: &str, action: &str, summary: &str) -> TimelineEntry {
    TimelineEntry {
        at: after(seconds),
        actor: actor.into(),
        action: action.into(),
        summary: summary.into(),
        detail: Value::Null,
    }
}

pub(crate) fn exhausted_connections() -> Scenario {
    let signals = signals();
    let id = IncidentId::opened_by(signals[0].anomaly_id);
    let incident = Incident {
        incident_id: id,
        number: 12,
        revision: 11,
        state: State::Resolved,
        severity: Severity::Sev2,
        title: "payment: the connection pool is running out".into(),
        environment: "production".into(),
        suspects: vec![Suspect {
            service: "payment".into(),
            category: Category::Pool,
            score: 9.4,
            posterior: 0.93,
            service_posterior: None,
            reasons: vec![],
        }],
        challenger: None,
        members: signals.iter().map(|signal| signal.anomaly_id).collect(),
        affected_services: vec!["api-gateway".into(), "payment".into()],
        blast_radius: BlastRadius { callers: vec!["api-gateway".into(), "order".into()], share: 0.5 },
        impact: Some(Impact {
            service: "payment".into(),
            failing_per_minute: 41.3,
            failing_share: 0.12,
            users_share: Some(0.021),
            revenue: Some(Money { per_minute: 318.0, currency: "EUR".into() }),
        }),
        deployment: Some(Change {
            service: "payment".into(),
            version: "v3.18.0".into(),
            at: after(-1390),
            change_type: "deploy".into(),
            git_sha: Some("9f3c1e7ab04d55".into()),
            deployed_by: Some("jo@shop.example".into()),
            description: Some("retry refunds in the request path".into()),
            known_risks: vec!["holds a connection while it waits for the bank".into()],
        }),
        signals,
        started_at: after(0),
        opened_at: after(20),
        resolved_at: Some(after(220)),
        resolution: Some(Ended::Recovered),
        closed_at: None,
        reopened: 0,
        storm: false,
        links: Vec::new(),
        acknowledged: None,
        assignee: None,
        severity_override: None,
        mute: None,
        kept_open: None,
        resolved_by: None,
    };
    let cause = root_cause(&incident);
    let plan = plan(&incident);
    let trail = trail(&plan);
    let notifications = [NotificationKind::Opened, NotificationKind::RootCause, NotificationKind::Plan]
        .map(|kind| (notification(id, kind), NotificationState::Sent))
        .to_vec();
    let catalogue = Catalogue::new([
        service("payment", "payments", 1),
        service("api-gateway", "edge", 1),
        service("order", "orders", 2),
    ]);
    let (cause, plan) = (Some(cause), Some(plan));
    Scenario { incident, trail, cause, plan, catalogue, notifications, commands: vec![] }
}

fn trail(plan: &Plan) -> Vec<TimelineEntry> {
    vec![
        line(
            20,
            "correlation",
            "opened",
            "Opened by db_connections of payment is 51, expected 25.4 to 34.6, since 09:26:50 (3 samples): 1.7 times its usual level.",
        ),
        line(
            30,
            "correlation",
            "announced",
            "The group settled: 1 signals, 0 other services affected; SEV2 announced.",
        ),
        line(
            30,
            "investigation",
            "cause_ranked",
            "Cause: The connection pool of payment is exhausted; requests wait for a connection (an exhausted connection pool, confidence 91 %, 5 of 5 claims verified).",
        ),
        line(30, "remediation", "plan_proposed", &format!("Plan 1 proposed. {}", plan.summary)),
        line(31, "communication", "mail_sent", "opened mail sent to 2 people"),
        line(32, "communication", "mail_sent", "root cause mail sent to 2 people"),
        line(
            50,
            "correlation",
            "joined",
            "Joined by error_rate of payment is 6.4 %, expected 0.12 to 0.9 %, since 09:27:30 (2 samples): 12.9 times its usual level.",
        ),
        line(
            60,
            "correlation",
            "joined",
            "Joined by error_rate of api-gateway is 2.9 %, expected 0.1 to 0.92 %, since 09:27:40 (2 samples): 5.9 times its usual level.",
        ),
        line(210, "correlation", "cleared", "db_connections of payment is back inside its band."),
        line(220, "correlation", "cleared", "error_rate of api-gateway is back inside its band."),
        line(220, "correlation", "cleared", "error_rate of payment is back inside its band."),
        line(
            220,
            "correlation",
            "resolved",
            "All signals are back inside their bands, 220 s after the first symptom.",
        ),
    ]
}

fn notification(incident_id: IncidentId, kind: NotificationKind) -> Notification {
    Notification {
        id: EventId(derive(&["notification", kind.name()])),
        incident_id,
        kind,
        channel: "email".into(),
        recipients: vec!["oncall-payments@shop.example".into()],
        subject: "[SEV2] payment: the connection pool is running out".into(),
        severity: Severity::Sev2,
        event: Value::Null,
        created_at: after(30),
        envelope: serde_json::Map::new(),
    }
}

#[expect(clippy::too_many_lines, reason = "data, written out")]
fn root_cause(incident: &Incident) -> RootCause {
    let samples = |place: usize| Source::Samples {
        service: incident.signals[place].service.clone(),
        metric: incident.signals[place].metric.clone(),
        anomaly_id: incident.signals[place].anomaly_id,
    };
    let claim = |text: &str, evidence: &[&str]| Claim {
        text: text.into(),
        evidence: evidence.iter().map(|id| (*id).to_owned()).collect(),
        relations: Vec::new(),
    };
    let piece = |id: &str, source: Source, quote: &str| Evidence {
        id: id.into(),
        source,
        quote: quote.into(),
        record: None,
    };
    RootCause {
        incident_id: incident.incident_id,
        number: incident.number,
        revision: 1,
        incident_revision: 3,
        environment: incident.environment.clone(),
        verdict: Verdict::Cause,
        candidates: vec![
            Candidate {
                service: "payment".into(),
                cause: "The connection pool of payment is exhausted; requests wait for a connection.".into(),
                category: Category::Pool,
                confidence: 0.91,
                claims: vec![
                    claim(
                        "db_connections of payment is above its band of 25.4 to 34.6 since 09:26:50 UTC.",
                        &["E1"],
                    ),
                    claim("payment logs the same failure 41 times.", &["E2"]),
                    claim("api-gateway calls payment and shows it: error_rate.", &["E3", "E4"]),
                ],
                similar_incidents: vec![Reference {
                    doc_id: "incident/INC-1107".into(),
                    title: "Payment lost a database connection with every acquirer timeout".into(),
                    section: "cause".into(),
                    score: 0.83,
                    alike: Vec::new(),
                    different: Vec::new(),
                }],
                runbooks: vec![],
            },
            Candidate {
                service: "payment".into(),
                cause: "Version v3.18.0 of payment is bad.".into(),
                category: Category::Deployment,
                confidence: 0.06,
                claims: vec![claim("It went out 23 min before.", &["E5"])],
                similar_incidents: vec![],
                runbooks: vec![],
            },
        ],
        evidence: vec![
            piece("E1", samples(0), "91 count at 2026-03-14T09:28:10Z"),
            piece(
                "E2",
                Source::Log { service: "payment".into(), anomaly_id: incident.signals[0].anomaly_id },
                "timed out waiting for a connection from the pool payments-main (5000 ms)",
            ),
            piece(
                "E3",
                Source::Edge { caller: "api-gateway".into(), callee: "payment".into() },
                "api-gateway calls payment",
            ),
            piece("E4", samples(2), "12.8 % at 2026-03-14T09:28:10Z"),
            piece(
                "E5",
                Source::Deployment { service: "payment".into(), version: "v3.18.0".into() },
                "payment v3.18.0 (deploy) at 2026-03-14T09:03:40Z",
            ),
        ],
        exclusions: Vec::new(),
        ruled_out: vec!["cpu_percent of payment stayed inside its band: 22, expected 18 to 26.".into()],
        missing: vec!["Nothing is recorded of what holds the connections of payment.".into()],
        method: Method::Deterministic,
        claims_verified: 5,
        claims_total: 5,
        tokens: 0,
        cost_microdollars: 0,
        completed_at: after(30),
        corrected_at: None,
        queries: 0,
    }
}

fn plan(incident: &Incident) -> Plan {
    let step = |order, priority, action, title: &str, risk, section: &str| Step {
        order,
        priority,
        action,
        title: title.into(),
        detail: "How to do it.".into(),
        risk,
        rollback: "none needed".into(),
        owner: "on-call of payment".into(),
        expected_outcome: "`db_connections` falls below 60".into(),
        source: format!("runbook/db-connections#{section}"),
    };
    let service = || "payment".to_owned();
    Plan {
        plan_id: PlanId(derive(&["plan", "sample"])),
        incident_id: incident.incident_id,
        number: incident.number,
        revision: 1,
        environment: incident.environment.clone(),
        service: service(),
        category: Category::Pool,
        summary: "For payment, 3 steps from \"Database connection pool exhausted\" (runbook/db-connections), because the \
                  cause is an exhausted connection pool (confidence 91 %)."
            .into(),
        steps: vec![
            step(
                1,
                Priority::Immediate,
                Action::ClearConnections { service: service() },
                "Close the leaked connections",
                Risk::Medium,
                "Immediate actions",
            ),
            step(
                2,
                Priority::Within15Min,
                Action::RollbackDeployment { service: service(), from_version: None, to_version: None },
                "Go back to the version before, if the leak began with a deployment",
                Risk::Medium,
                "Within 15 minutes",
            ),
            step(
                3,
                Priority::Within1Hour,
                Action::Manual,
                "Bound how long a connection may be held",
                Risk::Low,
                "Within 1 hour",
            ),
        ],
        escalation: Escalation {
            team: "payments".into(),
            contact: "oncall-payments@shop.example".into(),
            after_minutes: 15,
            note: "Next: data-platform on-call.".into(),
        },
        created_at: after(30),
    }
}

/// The same fault where nothing could be told of its cause, and where much else went wrong.
pub(crate) fn unknown_cause() -> Scenario {
    let mut scenario = exhausted_connections();
    scenario.incident.severity = Severity::Sev3;
    scenario.incident.opened_at = after(120);
    scenario.incident.deployment = None;
    scenario.incident.impact = None;
    if let Some(cause) = &mut scenario.cause {
        cause.verdict = Verdict::Unknown;
        cause.candidates.truncate(1);
        cause.candidates[0].confidence = 0.22;
        cause.claims_verified = 4;
        cause.completed_at = after(130);
    }
    scenario.plan = None;
    scenario.notifications[1].1 = NotificationState::Failed;
    scenario.trail = vec![
        line(
            120,
            "correlation",
            "opened",
            "Opened by error_rate of payment is 30.2 %, expected 0.12 to 0.9 %.",
        ),
        line(
            125,
            "correlation",
            "suspect_changed",
            "First suspect is now payment (an exhausted connection pool), before it was api-gateway (a fault in its code or configuration).",
        ),
        line(130, "investigation", "cause_ranked", "No cause is visible in this telemetry."),
        line(131, "communication", "mail_delayed", "opened mail is delayed: connection refused"),
        line(
            220,
            "correlation",
            "resolved",
            "All signals are back inside their bands, 220 s after the first symptom.",
        ),
    ];
    scenario
}
