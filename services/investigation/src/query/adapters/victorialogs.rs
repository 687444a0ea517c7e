//! VictoriaLogs: `/select/logsql/hits` for the lines of each minute, `/select/logsql/query` for an example.

use anyhow::Result;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Subject};
use tokio::time::Instant;

use super::prometheus::quoted;
use crate::query::http::{Client, parse};
use crate::query::options::VictoriaLogs;
use crate::query::source::{Failure, QuerySource, topic};
use crate::query::{minutes, words};

const QUERY: [&str; 3] = ["select", "logsql", "query"];

/// Asks VictoriaLogs.
pub struct VictoriaLogsSource {
    client: Client,
    service_field: String,
}

impl VictoriaLogsSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &VictoriaLogs) -> Result<Self> {
        Ok(Self { client: Client::new(options.access())?, service_field: options.service_field.clone() })
    }

    fn lines(&self, service: &str, about: LogTopic) -> String {
        format!(r#"{} AND _msg:~"{}""#, self.service(service), words::expression(about))
    }

    fn service(&self, service: &str) -> String {
        format!(r#""{}":="{}""#, quoted(&self.service_field), quoted(service))
    }

    /// Fails where there is no line of the service since the first symptom: then the absence of some says nothing.
    async fn knows(&self, question: &Question, deadline: Instant) -> Result<(), Failure> {
        let query = [
            ("query", format!("{} | limit 1", self.service(&question.service))),
            ("start", question.onset.to_string()),
            ("end", question.to.to_string()),
        ];
        let any = example(&self.client.get(&QUERY, &query, deadline).await?)?;
        any.map(drop).ok_or_else(|| Failure::Unknown(question.service.clone()))
    }
}

#[derive(Deserialize)]
struct Document {
    hits: Vec<Hits>,
}

#[derive(Deserialize)]
struct Hits {
    #[serde(default)]
    timestamps: Vec<Timestamp>,
    #[serde(default)]
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_msg", default)]
    message: String,
}

fn counts(document: &Document) -> Result<Vec<(i64, f64)>, Failure> {
    let mut counts = Vec::new();
    for Hits { timestamps, values } in &document.hits {
        if timestamps.len() != values.len() {
            return Err(Failure::Malformed("not as many counts as times".to_owned()));
        }
        let times = timestamps.iter().map(|at| at.as_millisecond());
        counts.extend(times.zip(values.iter().copied()));
    }
    Ok(counts)
}

/// Reads the first of the documents, one a line.
fn example(body: &[u8]) -> Result<Option<String>, Failure> {
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.next().map(|line| Ok(parse::<Line>(line)?.message)).transpose()
}

#[async_trait]
impl QuerySource for VictoriaLogsSource {
    fn name(&self) -> &'static str {
        "victorialogs"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Lines { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let about = topic(question)?;
        let lines = self.lines(&question.service, about);
        let query = [
            ("query", lines.clone()),
            ("start", question.from.to_string()),
            ("end", question.to.to_string()),
            ("step", "1m".to_owned()),
        ];
        let document = self.client.json(&["select", "logsql", "hits"], &query, deadline).await?;
        let minutes = minutes::of(question.from, question.to, counts(&document)?.into_iter());
        let query = [
            ("query", format!("{lines} | sort by (_time) desc | limit 1")),
            ("start", question.onset.to_string()),
            ("end", question.to.to_string()),
        ];
        let example = example(&self.client.get(&QUERY, &query, deadline).await?)?;
        if example.is_none() {
            self.knows(question, deadline).await?;
        }
        Ok(Answer::Lines { minutes, example })
    }
}
