//! Alerts of Prometheus and other rule engines: the webhook of an Alertmanager (version 4), and `POST /api/v2/alerts`, by
//! which Firewatch itself is an Alertmanager.
//!
//! Sources: Alertmanager, "Configuration: webhook_config" and its OpenAPI (`postableAlerts`).
//!
//! Each alert counts by its own fingerprint and status; the status of its group says nothing. Only `POST` is needed of the
//! API: Prometheus asks for nothing else. Both are answered with 200 if every alert was taken or skipped and with 400 if one
//! was refused: neither is sent again, and the text says which and why.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::events::Alert;
use shared::text::sanitize::{SENTENCE, one_line};

use super::detail::detail;
use super::owner::{HINT, Owner};
use super::{Context, Unreadable};
use crate::refusals::Reason;
use crate::telemetry::Batch;

/// Name of the formats in refusals.
const WEBHOOK: &str = "webhook of Alertmanager";
const POSTED: &str = "alerts of Prometheus";
/// Most labels, and most annotations, of an alert.
const MAX_LABELS: usize = 64;
/// Longest value of a label or an annotation, bytes. A longer one is cut.
const MAX_VALUE_BYTES: usize = 4_096;
/// Label with the name of the rule.
const NAME: &str = "alertname";
/// 0001-01-01T00:00:00Z, seconds since the Unix epoch: what Go writes for a time that is not set.
const NOT_SET_S: i64 = -62_135_596_800;

/// Settings under `[gateway.alertmanager]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Labels of alerts that name the service, the first that is present wins; before those of `gateway.identity`.
    pub service_labels: Vec<String>,
    /// Service of alerts whose labels name none; empty: they are refused.
    pub fallback_service: String,
    /// Labels that name the severity, the first that is present wins.
    pub severity_labels: Vec<String>,
    /// Annotations that describe an alert in one sentence, the first that is present wins.
    pub summary_annotations: Vec<String>,
    /// Minutes after which an alert without an end is over unless it is sent again, where the source sends it again and
    /// again, as Prometheus does.
    pub resolve_timeout_minutes: u32,
    /// Names of alerts that are skipped: those that always fire, to show that alerts arrive.
    pub skipped_names: Vec<String>,
    /// Severities that are skipped.
    pub skipped_severities: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            service_labels: Vec::new(),
            fallback_service: String::new(),
            severity_labels: list(&["severity", "priority", "level"]),
            summary_annotations: list(&["summary", "message", "description"]),
            resolve_timeout_minutes: 5,
            skipped_names: list(&["Watchdog", "InfoInhibitor"]),
            skipped_severities: list(&["none"]),
        }
    }
}

impl Settings {
    /// Returns all problems, each after the name of its setting.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=1_440).contains(&self.resolve_timeout_minutes) {
            let found = self.resolve_timeout_minutes;
            problems.push(format!("resolve_timeout_minutes: {found} is not between 1 and 1440"));
        }
        if self.fallback_service.len() > 256 {
            problems.push("fallback_service: longer than 256 bytes".to_owned());
        }
        problems
    }
}

/// What the answer of a request needs besides what was refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Alerts skipped by the settings.
    pub skipped: usize,
    /// Alerts that Alertmanager left out because its group has more than `max_alerts`: they were never here.
    pub truncated: u64,
}

/// The body of a webhook. What describes the group is ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    version: String,
    #[serde(default)]
    truncated_alerts: u64,
    #[serde(borrow)]
    alerts: Vec<&'a RawValue>,
}

/// An alert of a webhook, or one that is posted, which has neither status nor fingerprint.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    #[serde(default)]
    status: Option<Status>,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    starts_at: Option<Timestamp>,
    #[serde(default)]
    ends_at: Option<Timestamp>,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
    #[serde(default)]
    fingerprint: String,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

/// When an alert fires.
struct Times {
    firing: bool,
    starts_ms: i64,
    ends_ms: Option<i64>,
}

/// Reads the body of a webhook.
pub fn webhook(
    body: &[u8],
    settings: &Settings,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    let group: Group<'_> = serde_json::from_slice(body).map_err(|error| malformed(WEBHOOK, &error))?;
    if group.version != "4" {
        let version = one_line(&group.version, 20);
        return Err(malformed(WEBHOOK, &format!("its version is {version:?}, only 4 is supported")));
    }
    let mut answer = Answer { truncated: group.truncated_alerts, ..Answer::default() };
    for (index, element) in group.alerts.iter().enumerate() {
        take(index, element, by_status, settings, ctx, batch, &mut answer);
    }
    Ok(answer)
}

/// Reads the alerts of `POST /api/v2/alerts`.
pub fn posted(
    body: &[u8],
    settings: &Settings,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    let alerts: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| malformed(POSTED, &error))?;
    let timeout_ms = i64::from(settings.resolve_timeout_minutes) * 60_000;
    let times = |received: &Received, now_ms: i64| Ok(by_times(received, now_ms, timeout_ms));
    let mut answer = Answer::default();
    for (index, element) in alerts.iter().enumerate() {
        take(index, element, times, settings, ctx, batch, &mut answer);
    }
    Ok(answer)
}

fn malformed(format: &'static str, reason: &impl Display) -> Unreadable {
    Unreadable::Malformed { format, reason: detail(reason) }
}

/// Reads one alert, and adds, skips or refuses it.
fn take(
    index: usize,
    element: &RawValue,
    times: impl Fn(&Received, i64) -> Result<Times, (Reason, String)>,
    settings: &Settings,
    ctx: &Context<'_>,
    batch: &mut Batch,
    answer: &mut Answer,
) {
    let read = serde_json::from_str::<Received>(element.get());
    let read = read.map_err(|error| (Reason::Invalid, error.to_string()));
    let taken = read.and_then(|received| {
        let times = times(&received, ctx.now_ms)?;
        alert(received, &times, settings, ctx)
    });
    match taken {
        Ok(Some(alert)) => batch.alert(&alert),
        Ok(None) => answer.skipped += 1,
        Err((reason, fault)) => batch.refused.add(reason, &detail(&format_args!("alert {index}: {fault}"))),
    }
}

/// Returns when an alert of a webhook fires: its status says whether.
fn by_status(received: &Received, now_ms: i64) -> Result<Times, (Reason, String)> {
    let status = received.status.ok_or_else(|| (Reason::Invalid, "it has no status".to_owned()))?;
    let firing = status == Status::Firing;
    let ends_ms = set(received.ends_at).or((!firing).then_some(now_ms));
    let starts_ms = set(received.starts_at).or(ends_ms).unwrap_or(now_ms);
    Ok(Times { firing, starts_ms, ends_ms })
}

/// Returns when a posted alert fires: until its end. The rules for missing times are those of Alertmanager.
fn by_times(received: &Received, now_ms: i64, timeout_ms: i64) -> Times {
    let ends_ms = set(received.ends_at);
    let starts_ms = set(received.starts_at).or(ends_ms).unwrap_or(now_ms);
    let ends_ms = ends_ms.unwrap_or(now_ms + timeout_ms);
    Times { firing: ends_ms > now_ms, starts_ms, ends_ms: Some(ends_ms) }
}

fn set(time: Option<Timestamp>) -> Option<i64> {
    time.filter(|time| time.as_second() != NOT_SET_S).map(Timestamp::as_millisecond)
}

/// Returns the alert, none if the settings say to skip it, or why it is refused.
fn alert(
    received: Received,
    times: &Times,
    settings: &Settings,
    ctx: &Context<'_>,
) -> Result<Option<Alert>, (Reason, String)> {
    let Received { mut labels, mut annotations, mut fingerprint, generator_url, .. } = received;
    // as Alertmanager does, before the fingerprint
    labels.retain(|_, value| !value.is_empty());
    if labels.len() > MAX_LABELS || annotations.len() > MAX_LABELS {
        return Err((Reason::Labels, format!("it has more than {MAX_LABELS} labels or annotations")));
    }
    let name = labels.get(NAME).cloned().ok_or_else(|| (Reason::Name, format!("it has no label {NAME}")))?;
    let severity = first(&labels, &settings.severity_labels);
    if settings.skipped_names.contains(&name) || settings.skipped_severities.contains(&severity) {
        return Ok(None);
    }
    let (service, environment) = owner(&labels, settings, ctx)?;
    if fingerprint.is_empty() {
        fingerprint = self::fingerprint(&labels);
    }
    let summary = one_line(&first(&annotations, &settings.summary_annotations), SENTENCE);
    for value in labels.values_mut().chain(annotations.values_mut()) {
        value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
    }
    if times.ends_ms.is_some_and(|ends_ms| ends_ms < times.starts_ms) {
        return Err((Reason::Invalid, "endsAt is before startsAt".into()));
    }
    Ok(Some(Alert {
        fingerprint,
        service,
        name,
        firing: times.firing,
        starts_ms: times.starts_ms,
        ends_ms: times.ends_ms,
        ts_ms: ctx.now_ms,
        environment,
        severity,
        summary,
        generator_url,
        labels,
        annotations,
    }))
}

/// Returns the first of these that is present.
fn first(texts: &BTreeMap<String, String>, names: &[String]) -> String {
    let mut found = names.iter().filter_map(|name| texts.get(name));
    found.find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

/// Returns service and environment of an alert.
fn owner(
    labels: &BTreeMap<String, String>,
    settings: &Settings,
    ctx: &Context<'_>,
) -> Result<(String, String), (Reason, String)> {
    let label = |name: &str| labels.get(name).map(String::as_str);
    let environment = ctx.identity.environment(label).to_owned();
    let own = Some(first(labels, &settings.service_labels)).filter(|named| !named.is_empty());
    let own = own.map(|named| ctx.identity.renames.get(&named).cloned().unwrap_or(named));
    let fallback = || Some(settings.fallback_service.clone()).filter(|named| !named.is_empty());
    let service = own
        .or_else(|| Owner::of(ctx.identity, label).map(|owner| owner.service.to_owned()))
        .or_else(fallback)
        .ok_or_else(|| {
            (Reason::NoService, format!("{HINT}, or set gateway.alertmanager.fallback_service"))
        })?;
    Ok((service, environment))
}

/// Returns the identity of labels, as Prometheus and Alertmanager compute it: FNV-1a of 64 bits over names and values in
/// the order of names, each followed by the byte 255. Source: `labelSetToFingerprint` of `prometheus/common/model`.
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests;
