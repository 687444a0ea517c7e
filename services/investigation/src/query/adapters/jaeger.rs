//! Jaeger: `/api/traces`, once for the time before the first symptom and once for the time since.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shared::events::Question;
use shared::events::evidence::{Answer, Call};
use shared::events::question::Subject;
use tokio::time::Instant;

use super::calls::{Spans, around};
use crate::query::http::Client;
use crate::query::options::Jaeger;
use crate::query::source::{Failure, QuerySource};

/// Most traces of each of the two times.
const MAX_TRACES: usize = 40;

/// Asks Jaeger.
pub struct JaegerSource {
    client: Client,
}

impl JaegerSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Jaeger) -> Result<Self> {
        Ok(Self { client: Client::new(options.access())? })
    }
}

#[async_trait]
impl Spans for JaegerSource {
    async fn calls(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Call>, Failure> {
        let query = [
            ("service", service.to_owned()),
            ("tags", r#"{"span.kind":"client"}"#.to_owned()),
            ("start", from.as_microsecond().to_string()),
            ("end", to.as_microsecond().to_string()),
            ("limit", MAX_TRACES.to_string()),
        ];
        let document: Document = self.client.json(&["api", "traces"], &query, deadline).await?;
        if document.errors.is_some_and(|errors| !errors.is_empty()) {
            return Err(Failure::Partial);
        }
        let traces = document.data.unwrap_or_default().into_iter();
        Ok(traces.flat_map(|trace| trace.calls(service)).collect())
    }
}

#[derive(Deserialize)]
struct Document {
    data: Option<Vec<Trace>>,
    errors: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Trace {
    #[serde(default)]
    spans: Vec<Span>,
    #[serde(default)]
    processes: BTreeMap<String, Process>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    operation_name: String,
    /// Microseconds since the epoch.
    start_time: i64,
    /// Microseconds.
    duration: f64,
    #[serde(rename = "processID")]
    process_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: Value,
}

impl Trace {
    fn calls(self, service: &str) -> Vec<Call> {
        let Self { spans, processes } = self;
        let own =
            |span: &Span| processes.get(&span.process_id).is_some_and(|one| one.service_name == service);
        spans.into_iter().filter(own).filter_map(Span::call).collect()
    }
}

impl Span {
    /// Returns the call that a span is, if it is one.
    fn call(self) -> Option<Call> {
        let has = |key: &str, value: &str| {
            let is =
                |tag: &Tag| tag.value.as_str().map_or_else(|| tag.value.to_string(), str::to_owned) == value;
            self.tags.iter().any(|tag| tag.key == key && is(tag))
        };
        let is_call = has("span.kind", "client") && self.duration.is_finite() && self.duration >= 0.0;
        let failed = has("error", "true") || has("otel.status_code", "ERROR");
        let at = Timestamp::from_microsecond(self.start_time).ok()?;
        is_call.then_some(Call { at, name: self.operation_name, ms: self.duration / 1_000.0, failed })
    }
}

#[async_trait]
impl QuerySource for JaegerSource {
    fn name(&self) -> &'static str {
        "jaeger"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Calls { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        around(self, question, deadline).await
    }
}
