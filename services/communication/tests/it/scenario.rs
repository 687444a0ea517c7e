//! The database connections of payment run out: the data of one incident, from the opening to the postmortem.

use jiff::Timestamp;
use jiff::civil::date;
use shared::catalogue::Service;
use shared::clock::from_ms;
use shared::events::anomaly::{Band, Direction, Ended, LogTemplate, Point, Status};
use shared::events::incident::{
    BlastRadius, Change, Impact, Incident, Money, Signal, State, Statement, Suspect,
};
use shared::events::postmortem::{ActionItem, Moment, Times};
use shared::events::raw::Level;
use shared::events::rca::{Candidate, Claim, Evidence, Method, Reference, Source, Verdict};
use shared::events::remediation::{Action, Escalation, Priority, Risk, Step};
use shared::events::{Category, Kind as Measure, Plan, Postmortem, RootCause, Severity};
use shared::ids::{AnomalyId, IncidentId, PlanId, PostmortemId, derive};

use communication::content::{
    self, Digested, IncidentSummary, LifecycleEvent, News, NotificationContent, Update,
};

/// Seconds between samples.
const INTERVAL: i64 = 10;

pub(crate) fn onset() -> Timestamp {
    "2026-03-14T09:26:50Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    from_ms(onset().as_millisecond() + seconds * 1000)
}

/// Samples from 12 minutes before the onset until `until` seconds after it.
fn samples(until: i64, value: impl Fn(i64, f64) -> f64) -> Vec<Point> {
    (-72..=until / INTERVAL)
        .map(|n| {
            // two incommensurate waves look enough like noise and are the same on every run
            let wobble = (n as f64 * 1.7).sin() + 0.6 * (n as f64 * 4.1 + 1.0).sin();
            Point {
                ts_ms: after(n * INTERVAL).as_millisecond(),
                value: (value(n * INTERVAL, wobble) * 100.0).round() / 100.0,
            }
        })
        .collect()
}

/// How far the fault has come at `t` seconds after the onset; it lasts 200 s.
fn progress(t: i64) -> Option<f64> {
    (0..200).contains(&t).then(|| t as f64 / 200.0)
}

fn connections(t: i64, wobble: f64) -> f64 {
    progress(t)
        .map_or(30.0 + 1.4 * wobble, |p| (32.0 + 70.0 * (2.0 * (p + 0.05)).min(1.0) + wobble).min(100.0))
        .round()
}

fn errors(t: i64, wobble: f64) -> f64 {
    match progress(t) {
        Some(p) if p >= 0.2 => (0.5 + 29.5 * ((p - 0.2) / 0.3).min(1.0) + wobble).max(0.1),
        _ => 0.5 + 0.12 * wobble,
    }
}

struct Series {
    service: &'static str,
    metric: &'static str,
    unit: &'static str,
    kind: Measure,
    severity: Severity,
    evidence: f64,
    expected: Band,
    lag: i64,
}

const CONNECTIONS: Series = Series {
    service: "payment",
    metric: "db_connections",
    unit: "count",
    kind: Measure::Pool,
    severity: Severity::Sev2,
    evidence: 6.0,
    expected: Band { lower: 25.4, center: 30.0, upper: 34.6 },
    lag: 0,
};
const ERRORS: Series = Series {
    service: "payment",
    metric: "error_rate",
    unit: "%",
    kind: Measure::Errors,
    severity: Severity::Sev2,
    evidence: 5.8,
    expected: Band { lower: 0.12, center: 0.5, upper: 0.9 },
    lag: 40,
};
const GATEWAY: Series = Series {
    service: "api-gateway",
    metric: "error_rate",
    unit: "%",
    kind: Measure::Errors,
    severity: Severity::Sev3,
    evidence: 4.1,
    expected: Band { lower: 0.1, center: 0.5, upper: 0.92 },
    lag: 50,
};

fn signal(series: &Series, until: i64, values: impl Fn(i64, f64) -> f64) -> Signal {
    let samples = samples(until, values);
    let last = *samples.last().unwrap();
    let cleared = until > 220;
    Signal {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode(
            "production",
            series.service,
            series.metric,
            after(series.lag).as_millisecond(),
        ),
        revision: if cleared { 9 } else { 2 },
        service: series.service.into(),
        metric: series.metric.into(),
        unit: series.unit.into(),
        kind: series.kind,
        severity: series.severity,
        status: if cleared { Status::Cleared } else { Status::Firing },
        evidence: series.evidence,
        direction: Direction::Up,
        observed: last.value,
        expected: series.expected,
        started_at: after(series.lag),
        observed_at: from_ms(last.ts_ms),
        cleared_at: cleared.then(|| after(230)),
        ended: cleared.then_some(Ended::Recovered),
        interval_ms: INTERVAL as u64 * 1000,
        explanation: format!(
            "{} of {} left its band of {} to {} upwards at {}",
            series.metric,
            series.service,
            series.expected.lower,
            series.expected.upper,
            after(series.lag).strftime("%H:%M:%S")
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

#[expect(clippy::too_many_lines, reason = "data, written out")]
fn incident(until: i64) -> Incident {
    let mut pool = signal(&CONNECTIONS, until, connections);
    pool.logs = vec![
        LogTemplate {
            level: Level::Error,
            template: "could not obtain a connection from pool <*> within <*> ms".into(),
            count: 41,
            example:
                "could not obtain a connection from pool payments-main within 5000 ms (100 of 100 in use)"
                    .into(),
            last_seen: after(until.min(190)),
        },
        LogTemplate {
            level: Level::Warn,
            template: "checkout <*> retried".into(),
            count: 17,
            example: "checkout 88121 retried: upstream answered 503".into(),
            last_seen: after(until.min(190)),
        },
    ];
    let signals = vec![
        pool,
        signal(&ERRORS, until, errors),
        signal(&GATEWAY, until, |t, wobble| errors(t - 10, wobble) * 0.4 + 0.3),
    ];
    Incident {
        incident_id: IncidentId::opened_by(signals[0].anomaly_id),
        number: 12,
        revision: 3,
        state: State::Correlating,
        severity: Severity::Sev2,
        title: "payment: database connections exhausted".into(),
        environment: "production".into(),
        suspects: vec![
            Suspect {
                service: "payment".into(),
                category: Category::Pool,
                score: 9.4,
                posterior: 0.931,
                service_posterior: None,
                reasons: vec![
                    "its connections left their band first, 40 s before any error".into(),
                    "its own errors follow the connections, and its caller's errors follow its own".into(),
                ],
            },
            Suspect {
                service: "payment".into(),
                category: Category::Deployment,
                score: 5.2,
                posterior: 0.042,
                service_posterior: None,
                reasons: vec![
                    "a version went out 23 min before the onset, which is long for its kind".into(),
                ],
            },
        ],
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
        signals,
        deployment: Some(Change {
            service: "payment".into(),
            version: "v3.18.0".into(),
            at: after(-1390),
            change_type: "deploy".into(),
            git_sha: Some("9f3c1e7ab04d55".into()),
            deployed_by: Some("release-train".into()),
            description: Some("retry refunds in the request path".into()),
            known_risks: vec!["holds a connection while it waits for the bank".into()],
        }),
        started_at: after(0),
        opened_at: after(50),
        resolved_at: None,
        resolution: None,
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
    }
}

pub(crate) fn opened() -> Incident {
    incident(80)
}

pub(crate) fn resolved() -> Incident {
    Incident {
        revision: 11,
        state: State::Resolved,
        resolved_at: Some(after(240)),
        resolution: Some(Ended::Recovered),
        ..incident(240)
    }
}

/// Returns the incident as it was resolved with its strongest member ended for this reason.
pub(crate) fn ended(reason: Ended) -> Incident {
    let mut incident = Incident { resolution: Some(reason), ..resolved() };
    (incident.signals[0].ended, incident.signals[0].observed) = (Some(reason), 78.0);
    incident
}

#[expect(clippy::too_many_lines, reason = "data, written out")]
pub(crate) fn root_cause() -> RootCause {
    let incident = opened();
    let samples_of = |signal: &Signal| Source::Samples {
        service: signal.service.clone(),
        metric: signal.metric.clone(),
        anomaly_id: signal.anomaly_id,
    };
    RootCause {
        incident_id: incident.incident_id,
        number: incident.number,
        revision: 1,
        incident_revision: incident.revision,
        environment: incident.environment.clone(),
        verdict: Verdict::Cause,
        candidates: vec![
            Candidate {
                service: "payment".into(),
                cause: "payment has run out of database connections: the pool is at its ceiling of 100 and requests fail while they wait for one".into(),
                category: Category::Pool,
                confidence: 0.91,
                claims: vec![
                    Claim {
                        text: "The connections of payment left their band first and are at the ceiling of the pool.".into(),
                        evidence: vec!["E1".into(), "E2".into()],
                        relations: Vec::new(),
                    },
                    Claim {
                        text: "Errors of payment followed 40 s later, those of its caller api-gateway 10 s after that.".into(),
                        evidence: vec!["E3".into(), "E4".into()],
                        relations: Vec::new(),
                    },
                    Claim {
                        text: "The runbook for exhausted connection pools describes these symptoms.".into(),
                        evidence: vec!["E5".into()],
                        relations: Vec::new(),
                    },
                ],
                similar_incidents: vec![Reference {
                    doc_id: "incident/INC-1041".into(),
                    title: "Payment pool exhausted by a transaction left open".into(),
                    section: "cause".into(),
                    score: 0.83,
                    alike: Vec::new(),
                    different: Vec::new(),
                }],
                runbooks: vec![Reference {
                    doc_id: "runbook/db-connections".into(),
                    title: "Database connection pool exhausted".into(),
                    section: "Immediate actions".into(),
                    score: 0.88,
                    alike: Vec::new(),
                    different: Vec::new(),
                }],
            },
            Candidate {
                service: "payment".into(),
                cause: "version v3.18.0 of payment holds connections longer than the one before".into(),
                category: Category::Deployment,
                confidence: 0.06,
                claims: vec![Claim {
                    text: "It was rolled out 23 min before the onset, and its author named connections as a risk.".into(),
                    evidence: vec!["E6".into()],
                    relations: Vec::new(),
                }],
                similar_incidents: vec![],
                runbooks: vec![],
            },
        ],
        evidence: vec![
            Evidence {
                id: "E1".into(),
                source: samples_of(&incident.signals[0]),
                quote: "96 at 09:28:10, expected 25.4 to 34.6, abnormal since 09:26:50".into(),
                record: None,
            },
            Evidence {
                id: "E2".into(),
                source: Source::Log { service: "payment".into(), anomaly_id: incident.signals[0].anomaly_id },
                quote: "could not obtain a connection from pool payments-main within 5000 ms (100 of 100 in use)".into(),
                record: None,
            },
            Evidence {
                id: "E3".into(),
                source: samples_of(&incident.signals[1]),
                quote: "21.4 % at 09:28:10, expected 0.12 to 0.9, abnormal since 09:27:30".into(),
                record: None,
            },
            Evidence {
                id: "E4".into(),
                source: Source::Edge { caller: "api-gateway".into(), callee: "payment".into() },
                quote: "api-gateway calls payment".into(),
                record: None,
            },
            Evidence {
                id: "E5".into(),
                source: Source::Document { doc_id: "runbook/db-connections".into(), section: "Symptoms".into() },
                quote: "- Connections in use climb to `max_connections`; errors begin when the first request waits longer than the pool's timeout.".into(),
                record: None,
            },
            Evidence {
                id: "E6".into(),
                source: Source::Deployment { service: "payment".into(), version: "v3.18.0".into() },
                quote: "deploy at 09:03:40: retry refunds in the request path".into(),
                record: None,
            },
        ],
        exclusions: Vec::new(),
        ruled_out: vec![
            "CPU saturation of payment: 22 %, within its band".into(),
            "Slow callee inventory: latency and errors are within their bands".into(),
            "More traffic: 81 requests a second, expected 74 to 87".into(),
        ],
        missing: vec!["Statements that hold connections: no database telemetry is collected".into()],
        method: Method::Deterministic,
        claims_verified: 4,
        claims_total: 5,
        tokens: 0,
        cost_microdollars: 0,
        completed_at: after(51),
        corrected_at: None,
        queries: 0,
    }
}

pub(crate) fn unknown_cause() -> RootCause {
    RootCause {
        verdict: Verdict::Unknown,
        candidates: vec![],
        evidence: vec![],
        claims_verified: 0,
        claims_total: 0,
        ..root_cause()
    }
}

fn step(order: u32, priority: Priority, action: Action, text: [&str; 5], risk: Risk) -> Step {
    let [title, detail, rollback, expected, section] = text;
    Step {
        order,
        priority,
        action,
        title: title.into(),
        detail: detail.into(),
        risk,
        rollback: rollback.into(),
        owner: "on-call of payment".into(),
        expected_outcome: expected.into(),
        source: format!("runbook/db-connections#{section}"),
    }
}

#[expect(clippy::too_many_lines, reason = "data, written out")]
pub(crate) fn plan() -> Plan {
    let incident = opened();
    let payment = || "payment".to_owned();
    Plan {
        plan_id: PlanId(derive(&["plan", "sample"])),
        incident_id: incident.incident_id,
        number: incident.number,
        revision: 1,
        environment: incident.environment,
        service: payment(),
        category: Category::Pool,
        summary: "Free the connections of payment, then find what holds them, so that checkouts work again within minutes.".into(),
        steps: vec![
            step(
                1,
                Priority::Immediate,
                Action::ClearConnections { service: payment() },
                [
                    "End sessions that are idle in a transaction",
                    "List sessions with `select pid, query from pg_stat_activity where state = 'idle in transaction'`:\n- note what they last ran\n- end them with `pg_terminate_backend(pid)`, oldest first.",
                    "None needed: the pool opens new connections by itself.",
                    "`db_connections` falls below 60 within a minute.",
                    "Immediate actions",
                ],
                Risk::Low,
            ),
            step(
                2,
                Priority::Immediate,
                Action::Restart { service: payment() },
                [
                    "Restart the instances one by one",
                    "Only if step 1 does not help. Wait for each instance to be ready before the next.",
                    "None: a restart cannot be undone, but it drops no request that was accepted.",
                    "Connections in use start from zero on each instance.",
                    "Immediate actions",
                ],
                Risk::Medium,
            ),
            step(
                3,
                Priority::Within15Min,
                Action::RollbackDeployment { service: payment(), from_version: None, to_version: None },
                [
                    "Go back to the version before v3.18.0",
                    "If connections climb again after the restart, the new version holds them.",
                    "Roll out v3.18.0 again.",
                    "Connections stay within 25 to 35.",
                    "Within 15 minutes",
                ],
                Risk::Medium,
            ),
            step(
                4,
                Priority::Within1Hour,
                Action::Manual,
                [
                    "Set a timeout for idle transactions",
                    "A leaked transaction then ends by itself instead of holding a connection for ever.",
                    "Remove the setting.",
                    "No session is idle in a transaction for longer than 30 s.",
                    "Within 1 hour",
                ],
                Risk::Low,
            ),
        ],
        escalation: Escalation {
            team: "Payments".into(),
            contact: "payments@example.com".into(),
            after_minutes: 15,
            note: "If connections are still above 90, call the database administrators as well.".into(),
        },
        created_at: after(52),
    }
}

pub(crate) fn postmortem() -> Postmortem {
    let incident = resolved();
    Postmortem {
        postmortem_id: PostmortemId(derive(&["postmortem", "sample"])),
        incident_id: incident.incident_id,
        number: incident.number,
        title: incident.title.clone(),
        severity: incident.severity,
        environment: incident.environment,
        markdown: include_str!("postmortem.md").to_owned(),
        timeline: vec![Moment {
            at: after(0),
            actor: "payment".into(),
            what: "first abnormal sample".into(),
        }],
        action_items: vec![
            ActionItem {
                item_id: None,
                priority: None,
                title: "Set a timeout for idle transactions".into(),
                owner: "Payments".into(),
                due: date(2026, 3, 21),
                reason: "sessions held connections without working".into(),
            },
            ActionItem {
                item_id: None,
                priority: None,
                title: "Collect the statements that hold connections".into(),
                owner: "Payments".into(),
                due: date(2026, 3, 28),
                reason: "the investigation could not see them".into(),
            },
        ],
        times: Times { to_detect_ms: 50_000, to_cause_ms: Some(1_000), to_resolve_ms: 240_000 },
        generated_at: after(240),
    }
}

pub(crate) fn content(event: LifecycleEvent) -> NotificationContent {
    let incident = match &event {
        LifecycleEvent::Resolved(_) | LifecycleEvent::Postmortem(_) => IncidentSummary::of(&resolved()),
        LifecycleEvent::Update(update) => match update.news {
            News::Severity { after, .. } => {
                IncidentSummary { severity: after, ..IncidentSummary::of(&opened()) }
            }
            _ => IncidentSummary::of(&opened()),
        },
        _ => IncidentSummary::of(&opened()),
    };
    NotificationContent { incident, event }
}

/// The five mails of the incident, in order.
pub(crate) fn thread() -> Vec<NotificationContent> {
    [
        LifecycleEvent::Opened(Box::new(opened())),
        LifecycleEvent::RootCause(Box::new(root_cause())),
        LifecycleEvent::Plan(Box::new(plan())),
        LifecycleEvent::Resolved(Box::new(resolved())),
        LifecycleEvent::Postmortem(Box::new(postmortem())),
    ]
    .map(content)
    .into()
}

/// Returns a service of the catalogue.
pub(crate) fn service(name: &str, oncall: &str, contact: &str) -> Service {
    Service {
        name: name.into(),
        description: String::new(),
        team: "payments".into(),
        tier: 1,
        slo: 99.9,
        latency_slo_ms: 500.0,
        users_share: None,
        revenue: None,
        language: String::new(),
        depends_on: vec![],
        oncall: oncall.into(),
        contact: contact.into(),
        runbooks: vec![],
        failure_modes: vec![],
    }
}

/// Who says something, and why.
pub(crate) fn statement() -> Statement {
    Statement { by: "jane".into(), at: Timestamp::UNIX_EPOCH, reason: "the shop is down".into() }
}

fn status() -> content::Status {
    content::Status {
        number: 2,
        minutes: 125,
        affected: 3,
        abnormal: 1,
        assignee: Some("joe".into()),
        cause: Some("payment, connection pool".into()),
        step: Some("Restart one instance of payment".into()),
        is_last: false,
    }
}

fn digested(number: i64, is_over: bool) -> Digested {
    Digested {
        number,
        title: format!("connections of service {number} run out"),
        environment: "production".into(),
        severity: Severity::Sev4,
        is_over,
        lines: vec!["09:26 Incident opened: 2 signals are abnormal.".into()],
        more: usize::from(is_over),
    }
}

/// News between the events of every incident, one of each kind.
pub(crate) fn updates() -> Vec<Update> {
    let update = |news| Update { incident_id: opened().incident_id, at: onset(), revision: 7, news };
    let mut cause = root_cause();
    cause.revision += 1;
    vec![
        update(News::Severity { before: Severity::Sev3, after: Severity::Sev1, stated: Some(statement()) }),
        update(News::Scope { before: 2, added: vec!["user".into(), "order".into()], count: 4 }),
        update(News::Cause { before: "order, code".into(), cause: Box::new(cause) }),
        update(News::Plan { plan: Box::new(plan()) }),
        update(News::Acknowledged { by: "jane".into(), assignee: Some("joe".into()) }),
        update(News::Escalated { minutes: 45, level: 1, round: 1 }),
        update(News::Status(Box::new(status()))),
        update(News::Summary {
            lines: vec![
                "09:31 Plan replaced: Restart the pool.".into(),
                "09:40 Acknowledged: jane works on it.".into(),
            ],
            more: 1,
        }),
        update(News::Digest { incidents: vec![digested(12, false), digested(9, true)], more: 3 }),
    ]
}
