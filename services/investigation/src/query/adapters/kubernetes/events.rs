//! Warnings about a workload: `/api/v1/namespaces/{namespace}/events`.

use anyhow::Result;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use shared::events::Question;
use shared::events::evidence::{Answer, MAX_ITEMS, Reported};
use shared::events::question::Subject;
use tokio::time::Instant;

use super::pods::Pods;
use crate::query::http::parse;
use crate::query::options::Kubernetes;
use crate::query::source::{Failure, QuerySource};

/// Most events of a namespace that are read.
const MAX_EVENTS: usize = 2_000;
/// Letters and digits of generated names.
const GENERATED: &str = "bcdfghjklmnpqrstvwxz0123456789";

/// Asks the API server for events.
pub struct EventSource {
    pods: Pods,
}

impl EventSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Kubernetes) -> Result<Self> {
        Ok(Self { pods: Pods::new(options)? })
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    items: Vec<Event>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    involved_object: Object,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    count: Option<u32>,
    first_timestamp: Option<Timestamp>,
    last_timestamp: Option<Timestamp>,
    #[serde(rename = "eventTime")]
    observed: Option<Timestamp>,
    series: Option<Series>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(default)]
    count: u32,
    last_observed_time: Option<Timestamp>,
}

impl Event {
    /// Returns what was reported before the first symptom, and since. An event is stored once with a count and two times: the
    /// share before is that of its time.
    fn reported(self, question: &Question) -> Vec<Reported> {
        let first = self.first_timestamp.or(self.observed);
        let series = self.series.as_ref();
        let last = series.and_then(|series| series.last_observed_time).or(self.last_timestamp).or(first);
        let (Some(first), Some(last)) = (first.or(last), last) else { return Vec::new() };
        let count = series.map(|series| series.count).or(self.count).unwrap_or(1).max(1);
        let seconds = |time: SignedDuration| time.as_secs_f64().max(0.0);
        let whole = seconds(last.duration_since(first));
        // how many there were up to a time, of those that were spread evenly; the last one is known
        let until = |time: Timestamp| {
            let share = if whole > 0.0 { seconds(time.duration_since(first)) / whole } else { 0.0 };
            (f64::from(count - 1) * share.min(1.0)).round() as u32
        };
        let earlier = until(question.from);
        let all_before = last < question.onset;
        let before = if all_before { count } else { until(question.onset) }.saturating_sub(earlier);
        let since = count - earlier - before;
        let just_before = question.onset - SignedDuration::from_millis(1);
        let object = format!("{} {}", self.involved_object.kind.to_lowercase(), self.involved_object.name);
        let one = |at: Timestamp, count: u32| Reported {
            at,
            reason: self.reason.clone().unwrap_or_default(),
            object: object.clone(),
            message: self.message.clone().unwrap_or_default(),
            count,
        };
        let mut all = Vec::new();
        if before > 0 {
            all.push(one(last.min(just_before), before));
        }
        if since > 0 {
            all.push(one(last, since));
        }
        all.retain(|one| one.at >= question.from && one.at <= question.to);
        all
    }
}

/// Whether an object belongs to a workload: it has its name, or that and what Kubernetes appends to it.
fn belongs(object: &str, service: &str) -> bool {
    let Some(rest) = object.strip_prefix(service) else { return false };
    let mut parts = rest.split('-');
    let is_generated = |part: &str| {
        (1..=10).contains(&part.len()) && part.chars().all(|character| GENERATED.contains(character))
    };
    parts.next() == Some("") && rest.matches('-').count() <= 2 && parts.all(is_generated)
}

#[async_trait]
impl QuerySource for EventSource {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Events { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let query = [("fieldSelector", "type=Warning".to_owned()), ("limit", MAX_EVENTS.to_string())];
        let document: Document = parse(&self.pods.get(&["events"], &query, deadline).await?)?;
        if document.metadata.next.is_some_and(|next| !next.is_empty()) {
            return Err(Failure::Partial);
        }
        let own = document.items.into_iter();
        let own = own.filter(|event| belongs(&event.involved_object.name, &question.service));
        let mut events: Vec<Reported> = own.flat_map(|event| event.reported(question)).collect();
        events.sort_by(|a, b| (a.at, &a.object, &a.reason).cmp(&(b.at, &b.object, &b.reason)));
        // of very many the last ones
        events.drain(..events.len().saturating_sub(MAX_ITEMS));
        if events.is_empty() && self.pods.of(&question.service, deadline).await?.is_empty() {
            return Err(Failure::Unknown(question.service.clone()));
        }
        Ok(Answer::Events { events })
    }
}

#[cfg(test)]
mod tests {
    use super::belongs;

    #[test]
    fn a_pod_belongs_to_the_workload_whose_name_it_begins_with() {
        for pod in ["order", "order-0", "order-5c8d9f7b6d", "order-5c8d9f7b6d-x2k4z"] {
            assert!(belongs(pod, "order"), "{pod}");
        }
        for pod in
            ["orders-0", "order-history", "order-history-5c8d9f7b6d-x2k4z", "border-0", "order-", "order--x"]
        {
            assert!(!belongs(pod, "order"), "{pod}");
        }
    }
}
