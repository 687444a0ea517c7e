//! Tempo: `/api/search` with TraceQL, once for the time before the first symptom and once for the time since.

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use shared::events::Question;
use shared::events::evidence::{Answer, Call};
use shared::events::question::Subject;
use tokio::time::Instant;

use super::calls::{MAX_CALLS, Spans, around};
use super::prometheus::quoted;
use crate::query::http::Client;
use crate::query::options::Tempo;
use crate::query::source::{Failure, QuerySource};

/// Most spans of a trace.
const MAX_SPANS: usize = 3;

/// Asks Tempo.
pub struct TempoSource {
    client: Client,
}

impl TempoSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Tempo) -> Result<Self> {
        Ok(Self { client: Client::new(options.access())?.with_header("x-scope-orgid", &options.tenant)? })
    }
}

#[async_trait]
impl Spans for TempoSource {
    async fn calls(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Call>, Failure> {
        let service = quoted(service);
        let query = [
            (
                "q",
                format!(
                    r#"{{ resource.service.name = "{service}" && kind = client }} | select(status, name)"#
                ),
            ),
            ("start", from.as_second().to_string()),
            ("end", to.as_second().to_string()),
            ("limit", MAX_CALLS.to_string()),
            ("spss", MAX_SPANS.to_string()),
        ];
        let document: Document = self.client.json(&["api", "search"], &query, deadline).await?;
        let sets = document.traces.into_iter().flat_map(|trace| trace.span_sets);
        sets.flat_map(|set| set.spans).map(Span::call).collect()
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    traces: Vec<Trace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    #[serde(default)]
    span_sets: Vec<SpanSet>,
}

#[derive(Deserialize)]
struct SpanSet {
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    start_time_unix_nano: String,
    duration_nanos: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    string_value: Option<String>,
}

impl Span {
    fn call(self) -> Result<Call, Failure> {
        let malformed = || Failure::Malformed("a time is no number of nanoseconds".to_owned());
        let start = self.start_time_unix_nano.parse::<i128>().map_err(|_| malformed())?;
        let at = Timestamp::from_nanosecond(start).map_err(|_| malformed())?;
        let nanoseconds = self.duration_nanos.parse::<u64>().map_err(|_| malformed())?;
        let failed = self.attributes.iter().any(|attribute| {
            attribute.key == "status" && attribute.value.string_value.as_deref() == Some("error")
        });
        Ok(Call { at, name: self.name, ms: nanoseconds as f64 / 1e6, failed })
    }
}

#[async_trait]
impl QuerySource for TempoSource {
    fn name(&self) -> &'static str {
        "tempo"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Calls { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        around(self, question, deadline).await
    }
}
