//! One record as one readable line, whatever it carries, and as one JSON document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::bus::dead_letter::{Disposition, header, is_mark};
use shared::bus::reader::Line;
use shared::clock::from_ms;
use shared::events::anomaly::{Anomaly, Direction, Status};
use shared::events::envelope::header as find;
use shared::events::fault::{Fault, Phase};
use shared::events::raw::{Alert, Deployment, Level, LogRecord, MetricSample, Span, SpanStatus};
use shared::events::rca::Verdict;
use shared::events::remediation::ActionResult;
use shared::events::{
    CatalogueService, Command, Event, Incident, MAX_PAYLOAD, Plan, Postmortem, RootCause, Topic,
};
use shared::text::format::{count, number};

use crate::figures::{counted, duration, evidence, expectation, moment, percent, quantity};
use crate::incidents::{severity_tone, state_tone};
use crate::terminal::{Screen, Tone, clean, cleaned_json};

/// Most of a payload that is shown as it is, characters.
const RAW: usize = 300;
/// Most samples of one record that are named.
const SAMPLES: usize = 4;

/// A record as a JSON document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document<'r> {
    /// Topic.
    pub topic: &'static str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Broker's or producer's timestamp.
    pub timestamp: Option<Timestamp>,
    /// Key.
    pub key: Option<&'r str>,
    /// Headers.
    pub headers: BTreeMap<&'r str, &'r str>,
    /// Payload, where it is JSON.
    pub value: Option<Value>,
    /// Payload as text, where it is not.
    pub text: Option<String>,
}

impl<'r> Document<'r> {
    /// Returns the document of a record of `topic`.
    pub fn of(topic: Topic, record: &'r Line) -> Self {
        let payload = record.payload.as_deref();
        let value = payload.and_then(|payload| serde_json::from_slice(payload).ok());
        Self {
            topic: topic.name(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp_ms.map(from_ms),
            key: record.key.as_deref(),
            headers: record.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            text: payload
                .filter(|_| value.is_none())
                .map(|payload| String::from_utf8_lossy(payload).into_owned()),
            value,
        }
    }
}

/// Renders a record of `topic` as one line: event time, then what it says. What cannot be read is shown as it is, in
/// part.
pub fn render(topic: Topic, record: &Line, screen: &Screen) -> String {
    let payload = record.payload.as_deref();
    let told = match (topic, payload) {
        (Topic::DeadLetters(_), _) if is_mark(&record.headers) => Some(mark(record)),
        (Topic::DeadLetters(_), _) => Some(dead_letter(record, screen)),
        (_, Some(payload)) => tell(topic, payload, screen),
        (_, None) => None,
    };
    let written = find(&record.headers, "ce_time").and_then(|time| time.parse().ok());
    let told = told.unwrap_or_else(|| Told { at: None, text: raw(record, screen) });
    let at = told.at.or(written).or(record.timestamp_ms.map(from_ms));
    let time = at.map_or_else(|| " ".repeat(19), moment);
    format!("{}  {}\n", screen.paint(Tone::Faint, &time), told.text)
}

/// What a record says.
struct Told {
    /// Event time, where the payload has one.
    at: Option<Timestamp>,
    text: String,
}

impl Told {
    fn at(at: Timestamp, text: String) -> Self {
        Self { at: Some(at), text }
    }
}

/// Tells what a payload of `topic` says, if it can be read.
fn tell(topic: Topic, payload: &[u8], screen: &Screen) -> Option<Told> {
    Some(match topic {
        Topic::RawMetrics => metrics(payload, screen)?,
        Topic::RawLogs => log(&read(payload)?, screen),
        Topic::RawDeployments => deployment(&read(payload)?, screen),
        Topic::RawSpans => span(&read(payload)?, screen),
        Topic::RawAlerts => alert(&read(payload)?, screen),
        Topic::CatalogueServices => catalogue_service(&read(payload)?, screen),
        Topic::Anomalies => anomaly(&read(payload)?, screen),
        Topic::IncidentsOpened | Topic::IncidentsUpdated | Topic::IncidentsResolved => {
            incident(&read(payload)?, screen)
        }
        Topic::RcaCompleted => cause(&read(payload)?, screen),
        Topic::Plans => plan(&read(payload)?, screen),
        Topic::Actions => action(&read(payload)?),
        Topic::Postmortems => postmortem(&read(payload)?, screen),
        Topic::OperatorCommands => command(&read(payload)?, screen),
        Topic::SimFaults => fault(&read(payload)?, screen),
        Topic::DetectionState | Topic::DeadLetters(_) => return None,
    })
}

/// Reads an event with all its texts cleaned.
fn read<E: Event>(payload: &[u8]) -> Option<E> {
    let event: E = serde_json::from_value(json(payload)?).ok()?;
    event.validate().ok().map(|()| event)
}

fn json(payload: &[u8]) -> Option<Value> {
    if payload.len() > MAX_PAYLOAD {
        return None;
    }
    serde_json::from_slice(payload).ok().map(cleaned_json)
}

fn metrics(payload: &[u8], screen: &Screen) -> Option<Told> {
    let samples: Vec<MetricSample> = match json(payload)? {
        Value::Array(items) => {
            items.into_iter().map(serde_json::from_value).collect::<Result<_, _>>().ok()?
        }
        one => vec![serde_json::from_value(one).ok()?],
    };
    let first = samples.first()?;
    let mut text = screen.paint(Tone::Strong, &first.service);
    for sample in samples.iter().take(SAMPLES) {
        // a batch may hold several services; most do not
        let service =
            if sample.service == first.service { String::new() } else { format!("{} ", sample.service) };
        let value = if sample.histogram.is_some() {
            format!("{} values in buckets", sample.value)
        } else {
            quantity(sample.value, sample.unit.as_deref().unwrap_or_default())
        };
        let _ = write!(text, "  {service}{} {value}", sample.metric);
    }
    if samples.len() > SAMPLES {
        let _ = write!(text, "  and {} more", samples.len() - SAMPLES);
    }
    Some(Told::at(from_ms(first.ts_ms), text))
}

fn log(log: &LogRecord, screen: &Screen) -> Told {
    let tone = match log.level {
        Level::Trace | Level::Debug => Tone::Faint,
        Level::Info => Tone::Plain,
        Level::Warn => Tone::Warning,
        Level::Error | Level::Fatal => Tone::Alarm,
    };
    let level = screen.paint(tone, &format!("{:<5}", log.level.to_string().to_uppercase()));
    Told::at(
        from_ms(log.ts_ms),
        format!("{level} {}  {}", screen.paint(Tone::Strong, &log.service), log.message),
    )
}

fn command(command: &Command, screen: &Screen) -> Told {
    let Command { action, by, origin, incident_id, environment, .. } = command;
    let about = incident_id.map_or_else(|| environment.clone(), |incident| incident.to_string());
    let verb = screen.paint(Tone::Strong, action.verb());
    Told::at(command.at, format!("{verb} of {about}, asked by {by} ({origin})"))
}

fn alert(alert: &Alert, screen: &Screen) -> Told {
    let Alert { service, name, firing, severity, summary, .. } = alert;
    let state =
        if *firing { screen.paint(Tone::Alarm, "firing") } else { screen.paint(Tone::Plain, "resolved") };
    let mut text = format!("{}  {name} {state}", screen.paint(Tone::Strong, service));
    for part in [severity, summary].into_iter().filter(|part| !part.is_empty()) {
        let _ = write!(text, ", {part}");
    }
    Told::at(from_ms(alert.ts_ms), text)
}

fn deployment(deployment: &Deployment, screen: &Screen) -> Told {
    let Deployment { service, version, change_type, .. } = deployment;
    let mut text = format!("{}  {change_type} of {version}", screen.paint(Tone::Strong, service));
    if let Some(person) = &deployment.deployed_by {
        let _ = write!(text, " by {person}");
    }
    if let Some(description) = &deployment.description {
        let _ = write!(text, ": {description}");
    }
    Told::at(from_ms(deployment.ts_ms), text)
}

fn catalogue_service(stated: &CatalogueService, screen: &Screen) -> Told {
    let mut text = screen.paint(Tone::Strong, &stated.service);
    if let Some(slo) = stated.slo {
        let _ = write!(text, "  {slo} % available");
    }
    if let Some(ms) = stated.latency_slo_ms {
        let _ = write!(text, "  p99 below {}", quantity(ms, "ms"));
    }
    Told { at: None, text }
}

fn span(span: &Span, screen: &Screen) -> Told {
    let (tone, status) = match span.status {
        SpanStatus::Ok => (Tone::Plain, "ok"),
        SpanStatus::Error => (Tone::Alarm, "error"),
        SpanStatus::Unset => (Tone::Faint, "unset"),
    };
    let parent = span
        .parent_span_id
        .as_deref()
        .map_or_else(|| "root".to_owned(), |parent| format!("child of {parent}"));
    let text = format!(
        "{}  {}  {} ms  {}  trace {} span {} {parent}",
        screen.paint(Tone::Strong, &span.service),
        span.operation,
        number(span.duration_ms),
        screen.paint(tone, status),
        span.trace_id,
        span.span_id,
    );
    Told::at(from_ms(span.ts_ms), text)
}

fn anomaly(anomaly: &Anomaly, screen: &Screen) -> Told {
    let tone = match anomaly.status {
        Status::Suspect => Tone::Warning,
        Status::Firing => Tone::Alarm,
        Status::Cleared => Tone::Good,
    };
    let arrow = match anomaly.direction {
        Direction::Up => '▲',
        Direction::Down => '▼',
    };
    let text = format!(
        "{}  {}  {} {arrow} {}, {}  {}  {}",
        screen.paint(tone, &format!("{:<7}", anomaly.status.to_string())),
        screen.paint(Tone::Strong, &anomaly.service),
        anomaly.metric,
        quantity(anomaly.observed, &anomaly.unit),
        expectation(anomaly),
        anomaly.severity.label(),
        evidence(anomaly.evidence),
    );
    Told::at(anomaly.observed_at, text)
}

fn incident(incident: &Incident, screen: &Screen) -> Told {
    let suspect = incident.suspect().map_or_else(String::new, |suspect| {
        format!("  suspect {} ({})", suspect.service, percent(suspect.posterior))
    });
    let text = format!(
        "{}  {}  {}  {}{suspect}  {}, revision {}",
        screen.paint(Tone::Strong, &format!("#{}", incident.number)),
        screen.paint(state_tone(incident.state), &incident.state.to_string()),
        screen.paint(severity_tone(incident.severity), incident.severity.label()),
        incident.title,
        counted(incident.members.len(), "signal"),
        incident.revision,
    );
    // the record of an incident has no time of its own revision: the envelope has
    Told { at: None, text }
}

fn cause(cause: &RootCause, screen: &Screen) -> Told {
    let found = match cause.candidates.first() {
        Some(first) => {
            format!("{} ({}, {})", first.cause, first.service, percent(first.confidence))
        }
        None => "no candidate".to_owned(),
    };
    let verdict = match cause.verdict {
        Verdict::Cause => "cause found",
        Verdict::Likely => "likely cause",
        Verdict::Unknown => "cause unknown",
    };
    let text = format!(
        "{}  {verdict}: {found}  {} of {} claims verified",
        screen.paint(Tone::Strong, &format!("#{}", cause.number)),
        cause.claims_verified,
        cause.claims_total,
    );
    Told::at(cause.completed_at, text)
}

fn plan(plan: &Plan, screen: &Screen) -> Told {
    let urgencies: Vec<String> = plan
        .steps
        .chunk_by(|a, b| a.priority == b.priority)
        .map(|steps| format!("{} {}", steps.len(), steps[0].priority))
        .collect();
    let text = format!(
        "{}  plan {} for {}: {}  {}",
        screen.paint(Tone::Strong, &format!("#{}", plan.number)),
        plan.revision,
        plan.service,
        plan.summary,
        urgencies.join(", "),
    );
    Told::at(plan.created_at, text)
}

fn action(action: &ActionResult) -> Told {
    let text = format!("step {} of plan {}: {}", action.order, action.plan_id, action.outcome);
    Told::at(action.at, text)
}

fn postmortem(postmortem: &Postmortem, screen: &Screen) -> Told {
    let times = &postmortem.times;
    let ms = |ms: i64| duration(jiff::SignedDuration::from_millis(ms));
    let text = format!(
        "{}  {}  {}  detected in {}, resolved in {}, {}",
        screen.paint(Tone::Strong, &format!("#{}", postmortem.number)),
        screen.paint(severity_tone(postmortem.severity), postmortem.severity.label()),
        postmortem.title,
        ms(times.to_detect_ms),
        ms(times.to_resolve_ms),
        counted(postmortem.action_items.len(), "action item"),
    );
    Told::at(postmortem.generated_at, text)
}

fn fault(fault: &Fault, screen: &Screen) -> Told {
    let (tone, phase) = match fault.phase {
        Phase::Started => (Tone::Alarm, "started"),
        Phase::Ended => (Tone::Good, "ended"),
    };
    let text = format!(
        "{}  fault {} {}: {}",
        screen.paint(Tone::Strong, &fault.service),
        fault.fault,
        screen.paint(tone, phase),
        fault.scenario,
    );
    Told::at(fault.at, text)
}

/// Tells why a record was refused and where it came from, then what it says.
fn dead_letter(record: &Line, screen: &Screen) -> Told {
    let of = |name| find(&record.headers, name).map(|value| clean(value, RAW));
    let origin = of(header::TOPIC).unwrap_or_else(|| "an unknown topic".to_owned());
    let place = match (of(header::PARTITION), of(header::OFFSET)) {
        (Some(partition), Some(offset)) => format!("[{partition}]@{offset}"),
        _ => String::new(),
    };
    let reason = of(header::REASON).unwrap_or_else(|| "no reason given".to_owned());
    let attempts = of(header::ATTEMPTS).map_or_else(String::new, |attempts| match attempts.as_str() {
        "1" => " after 1 attempt".to_owned(),
        _ => format!(" after {attempts} attempts"),
    });
    let said = Topic::from_name(&origin)
        .zip(record.payload.as_deref())
        .and_then(|(topic, payload)| tell(topic, payload, screen))
        .map_or_else(|| raw(record, screen), |told| told.text);
    let text = format!(
        "{}  {}{attempts}  {said}",
        screen.paint(Tone::Strong, &format!("{origin}{place}")),
        screen.paint(Tone::Alarm, &reason),
    );
    Told { at: record.timestamp_ms.map(from_ms), text }
}

/// Tells what was decided about a dead letter.
fn mark(record: &Line) -> Told {
    let text = Disposition::of(record).map_or_else(
        || "a decision that cannot be read".to_owned(),
        |mark| {
            let because =
                mark.because.map_or_else(String::new, |because| format!(": {}", clean(&because, RAW)));
            format!(
                "[{}]@{} {} by {}{because}",
                record.partition,
                mark.offset,
                mark.decision,
                clean(&mark.by, RAW)
            )
        },
    );
    Told { at: record.timestamp_ms.map(from_ms), text }
}

/// Shows the beginning of a payload that says nothing to us.
fn raw(record: &Line, screen: &Screen) -> String {
    let key = record.key.as_deref().map_or_else(|| "no key".to_owned(), |key| clean(key, RAW));
    let said = match record.payload.as_deref() {
        None => screen.paint(Tone::Faint, "deleted"),
        Some([]) => screen.paint(Tone::Faint, "empty"),
        Some(payload) => match std::str::from_utf8(payload) {
            Ok(text) if !text.contains('\0') => clean(text, RAW),
            _ => {
                screen.paint(Tone::Faint, &format!("{} bytes that are no text", count(payload.len() as i64)))
            }
        },
    };
    format!("{}  {said}", screen.paint(Tone::Strong, &key))
}
