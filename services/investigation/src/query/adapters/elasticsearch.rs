//! Elasticsearch and OpenSearch: one `_search` for the lines of each minute and an example.

use anyhow::Result;
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Subject};
use tokio::time::Instant;

use crate::query::http::Client;
use crate::query::options::Elasticsearch;
use crate::query::source::{Failure, QuerySource, topic};
use crate::query::{minutes, words};

/// Asks Elasticsearch or OpenSearch.
pub struct ElasticSource {
    client: Client,
    options: Elasticsearch,
}

impl ElasticSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Elasticsearch) -> Result<Self> {
        Ok(Self { client: Client::new(options.access())?, options: options.clone() })
    }

    fn request(&self, question: &Question, about: LogTopic) -> Value {
        let Elasticsearch { service_field, message_field, time_field, .. } = &self.options;
        // a single word may be part of a longer one, as in the names of exceptions
        let one = |word: &&str| {
            if word.contains([' ', '-']) {
                json!({ "match_phrase": { message_field: word } })
            } else {
                json!({ "wildcard": { message_field: { "value": format!("*{word}*"), "case_insensitive": true } } })
            }
        };
        let should: Vec<Value> = words::of(about).iter().map(one).collect();
        let (from, to) = (question.from.to_string(), question.to.to_string());
        let since = json!({ "range": { time_field: { "gte": question.onset.to_string() } } });
        json!({
            "size": 0,
            "track_total_hits": true,
            "query": { "bool": { "filter": [
                { "term": { service_field: question.service } },
                { "range": { time_field: { "gte": from, "lt": to } } },
            ] } },
            "aggs": { "since": { "filter": since }, "matching": {
                "filter": { "bool": { "should": should, "minimum_should_match": 1 } },
                "aggs": {
                    "minutes": { "date_histogram": { "field": time_field, "fixed_interval": "1m", "min_doc_count": 1 } },
                    "example": { "top_hits": {
                        "size": 1, "sort": [{ time_field: "desc" }], "_source": [message_field],
                    } },
                },
            } },
        })
    }

    /// Returns the line of a document, whose field may be nested or named with dots.
    fn line(&self, source: &Value) -> Option<String> {
        let field = &self.options.message_field;
        let nested = || field.split('.').try_fold(source, |part, name| part.get(name));
        source.get(field).or_else(nested)?.as_str().map(str::to_owned)
    }
}

#[derive(Deserialize)]
struct Document {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
    aggregations: Option<Aggregations>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    total: Option<Total>,
    #[serde(default)]
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_source", default)]
    source: Value,
}

#[derive(Deserialize)]
struct Aggregations {
    since: Since,
    matching: Matching,
}

/// Lines of the service since the first symptom.
#[derive(Deserialize)]
struct Since {
    doc_count: u64,
}

#[derive(Deserialize)]
struct Matching {
    minutes: Minutes,
    example: Example,
}

#[derive(Deserialize)]
struct Minutes {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: i64,
    doc_count: u64,
}

#[derive(Deserialize)]
struct Example {
    hits: Hits,
}

#[async_trait]
impl QuerySource for ElasticSource {
    fn name(&self) -> &'static str {
        "elasticsearch"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Lines { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let about = topic(question)?;
        let path = [self.options.index.as_str(), "_search"];
        let document: Document = self.client.post(&path, &self.request(question, about), deadline).await?;
        if document.timed_out || document.shards.failed > 0 {
            return Err(Failure::Partial);
        }
        let is_empty = document.hits.total.is_none_or(|total| total.value == 0);
        let found = document.aggregations.filter(|_| !is_empty);
        let Some(found) = found.filter(|found| found.since.doc_count > 0) else {
            return Err(Failure::Unknown(question.service.clone()));
        };
        let Matching { minutes, example } = found.matching;
        // buckets begin with whole minutes: their middle says to which of ours they belong
        let counts = minutes
            .buckets
            .iter()
            .map(|one| (one.key.saturating_add(minutes::MINUTE_MS / 2), one.doc_count as f64));
        let minutes = minutes::of(question.from, question.to, counts);
        let example = example.hits.hits.first().and_then(|hit| self.line(&hit.source));
        Ok(Answer::Lines { minutes, example })
    }
}
