//! Events of Kubernetes as log lines of the workloads that they are about: `v1` and `events.k8s.io/v1`, one, a list, an
//! array, lines, or as a watch sends them.
//!
//! Source: Kubernetes API reference, Event. Event exporters send the same objects, often with the labels of the object that an
//! event is about.
//!
//! Events of type `Warning` become lines at level `warn`, or `error` by their reason. Those of type `Normal` are ignored: a
//! rollout scales ReplicaSets, a node pulls images. An event that repeats is sent again with a higher count: each time is one
//! line, with the count as a label.
//!
//! A request is answered with 200 if all events were taken or ignored and with 400 if one was refused.

mod workload;

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::events::LogRecord;
use shared::events::raw::Level;
use shared::text::sanitize::{NAME, one_line};

use super::detail::detail;
use super::{Context, Unreadable};
use crate::refusals::Reason;
use crate::telemetry::Batch;

/// Name of the format in refusals.
const FORMAT: &str = "events of Kubernetes";
/// Longest message of an event, characters. Kubernetes cuts at 1,024 bytes.
const MAX_MESSAGE: usize = 2_000;

/// Settings under `[gateway.kubernetes]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Reasons of events that become lines at level `error`; other warnings are lines at level `warn`.
    pub error_reasons: Vec<String>,
    /// Whether events of type `Normal` become lines at level `info`; otherwise they are ignored.
    pub normal_events: bool,
    /// Service of events about what is no workload: nodes, volumes, namespaces.
    pub cluster_service: String,
    /// Environments by namespace. What is not here is in the environment that its labels name, or the configured one.
    pub environments: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let reasons = [
            "BackOff",
            "BackoffLimitExceeded",
            "CrashLoopBackOff",
            "DeadlineExceeded",
            "ErrImagePull",
            "Evicted",
            "Failed",
            "FailedAttachVolume",
            "FailedCreate",
            "FailedCreatePodSandBox",
            "FailedMount",
            "FailedScheduling",
            "ImagePullBackOff",
            "NodeNotReady",
            "OOMKilled",
            "OOMKilling",
            "ProgressDeadlineExceeded",
            "SystemOOM",
        ];
        Self {
            error_reasons: reasons.map(str::to_owned).to_vec(),
            normal_events: false,
            cluster_service: "kubernetes".to_owned(),
            environments: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Returns all problems, each after the name of its setting.
    pub fn validate(&self) -> Vec<String> {
        let is_name = |name: &str| (1..=256).contains(&name.len());
        let mut problems = Vec::new();
        if !is_name(&self.cluster_service) {
            problems.push("cluster_service: not of 1 to 256 bytes".to_owned());
        }
        for (namespace, environment) in self.environments.iter().filter(|(_, named)| !is_name(named)) {
            problems.push(format!("environments.{namespace}: {environment:?} is not of 1 to 256 bytes"));
        }
        problems
    }
}

/// What the answer of a request needs besides what was refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Events ignored: normal ones, and what a watch says besides events.
    pub ignored: usize,
}

/// A list, what a watch sends, or an event: distinguished by their fields.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

/// An event of either API. The names of the older one have priority where both are written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Observed {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(alias = "note", default)]
    message: String,
    #[serde(alias = "regarding")]
    involved_object: Object,
    #[serde(default)]
    metadata: Metadata,
    #[serde(alias = "deprecatedCount", default)]
    count: Option<u64>,
    #[serde(alias = "deprecatedFirstTimestamp", default)]
    first_timestamp: Option<Timestamp>,
    #[serde(alias = "deprecatedLastTimestamp", default)]
    last_timestamp: Option<Timestamp>,
    #[serde(default)]
    event_time: Option<Timestamp>,
    #[serde(default)]
    series: Option<Series>,
    #[serde(alias = "deprecatedSource", default)]
    source: Option<Source>,
}

/// What an event is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    field_path: String,
    /// Added by event exporters.
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(default)]
    count: u64,
    #[serde(default)]
    last_observed_time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    host: String,
}

/// Reads events.
pub fn read(
    body: &[u8],
    settings: &Settings,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    let text = str::from_utf8(body).map_err(|error| malformed(&error))?;
    let mut answer = Answer::default();
    // several values are lines
    let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let values: Vec<_> = values.collect::<Result<_, _>>().map_err(|error| malformed(&error))?;
    if values.is_empty() {
        return Err(malformed(&"it is empty"));
    }
    let mut index = 0;
    for value in values {
        for element in elements(value)? {
            let taken = event(element, settings, ctx, batch);
            match taken {
                Ok(true) => {}
                Ok(false) => answer.ignored += 1,
                Err((reason, fault)) => {
                    batch.refused.add(reason, &detail(&format_args!("event {index}: {fault}")));
                }
            }
            index += 1;
        }
    }
    Ok(answer)
}

fn malformed(reason: &impl Display) -> Unreadable {
    Unreadable::Malformed { format: FORMAT, reason: detail(reason) }
}

/// Returns the events of an array or a list; anything else is one.
fn elements(value: &RawValue) -> Result<Vec<&RawValue>, Unreadable> {
    if value.get().starts_with('[') {
        return serde_json::from_str(value.get()).map_err(|error| malformed(&error));
    }
    match serde_json::from_str(value.get()) {
        Ok(Outer { items: Some(items), .. }) => Ok(items),
        _ => Ok(vec![value]),
    }
}

/// Adds an event; false if it is ignored.
fn event(
    element: &RawValue,
    settings: &Settings,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<bool, (Reason, String)> {
    let invalid = |error: serde_json::Error| (Reason::Invalid, error.to_string());
    let outer: Outer<'_> = serde_json::from_str(element.get()).map_err(invalid)?;
    let element = match (outer.kind.as_deref(), outer.object) {
        (Some("ADDED" | "MODIFIED"), Some(object)) => object,
        // also of a watch: an event was removed, an error, a place to go on from
        (Some(_), Some(_)) => return Ok(false),
        _ => element,
    };
    let event: Observed = serde_json::from_str(element.get()).map_err(invalid)?;
    let level = match event.kind.as_str() {
        "Warning" if settings.error_reasons.contains(&event.reason) => Level::Error,
        "Warning" => Level::Warn,
        "Normal" if settings.normal_events => Level::Info,
        "Normal" => return Ok(false),
        other => {
            let detail = format!("its type {:?} is neither Warning nor Normal", one_line(other, 40));
            return Err((Reason::Unsupported, detail));
        }
    };
    let time = event.time().ok_or_else(|| (Reason::Clock, "it has no time".to_owned()))?;
    batch.line(line(&event, level, time.as_millisecond(), settings, ctx));
    Ok(true)
}

impl Observed {
    /// Returns when it was observed last.
    fn time(&self) -> Option<Timestamp> {
        let of_series = self.series.as_ref().and_then(|series| series.last_observed_time);
        of_series
            .or(self.last_timestamp)
            .or(self.event_time)
            .or(self.first_timestamp)
            .or(self.metadata.creation_timestamp)
    }

    /// Returns how often it was observed.
    fn count(&self) -> u64 {
        self.series.as_ref().map(|series| series.count).or(self.count).unwrap_or(1)
    }
}

fn line(event: &Observed, level: Level, ts_ms: i64, settings: &Settings, ctx: &Context<'_>) -> LogRecord {
    let object = &event.involved_object;
    let label = |name: &str| object.labels.as_ref()?.get(name).map(String::as_str);
    let workload = || workload::of(&object.kind, &object.name).map(str::to_owned);
    let service = ctx.identity.service(label).map(str::to_owned).or_else(workload);
    let service = service.unwrap_or_else(|| settings.cluster_service.clone());
    let service = ctx.identity.renames.get(&service).cloned().unwrap_or(service);
    let environment = settings.environments.get(&object.namespace);
    let environment = environment.map_or_else(|| ctx.identity.environment(label), String::as_str);
    let labels = [
        ("k8s.namespace.name", object.namespace.clone()),
        ("k8s.object.kind", object.kind.clone()),
        ("k8s.object.name", object.name.clone()),
        ("k8s.container.name", container(&object.field_path).to_owned()),
        ("k8s.event.reason", event.reason.clone()),
        ("k8s.event.count", event.count().to_string()),
        ("k8s.node.name", event.source.as_ref().map(|source| source.host.clone()).unwrap_or_default()),
    ];
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), one_line(&value, 256)));
    let (reason, message) = (one_line(&event.reason, NAME), one_line(&event.message, MAX_MESSAGE));
    LogRecord {
        service,
        level,
        message: if reason.is_empty() { message } else { format!("{reason}: {message}") },
        ts_ms,
        environment: environment.to_owned(),
        trace_id: None,
        labels: labels.filter(|(_, value)| !value.is_empty()).collect(),
    }
}

/// Returns the container of a path such as `spec.containers{payment}`.
fn container(path: &str) -> &str {
    path.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}')).unwrap_or_default()
}

#[cfg(test)]
mod tests;
