//! Loki: `/loki/api/v1/query_range`, once for the lines of each minute and once for an example.

use anyhow::Result;
use async_trait::async_trait;
use serde::Deserialize;
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Subject};
use tokio::time::Instant;

use super::prometheus::fill;
use crate::query::http::Client;
use crate::query::options::Loki;
use crate::query::source::{Failure, QuerySource, topic};
use crate::query::{minutes, words};

const PATH: [&str; 4] = ["loki", "api", "v1", "query_range"];

/// Asks Loki.
pub struct LokiSource {
    client: Client,
    selector: String,
}

impl LokiSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Loki) -> Result<Self> {
        let client = Client::new(options.access())?.with_header("x-scope-orgid", &options.tenant)?;
        Ok(Self { client, selector: options.selector.clone() })
    }

    /// Fails where there is no line of the service since the first symptom: then the absence of some says nothing.
    async fn knows(&self, question: &Question, deadline: Instant) -> Result<(), Failure> {
        let query = [
            ("query", fill(&self.selector, &question.service)),
            ("start", question.onset.as_second().to_string()),
            ("end", question.to.as_second().to_string()),
            ("limit", "1".to_owned()),
        ];
        let any = example(self.client.json(&PATH, &query, deadline).await?)?;
        any.map(drop).ok_or_else(|| Failure::Unknown(question.service.clone()))
    }

    fn lines(&self, service: &str, about: LogTopic) -> String {
        format!("{} |~ `{}`", fill(&self.selector, service), words::expression(about))
    }
}

#[derive(Deserialize)]
struct Document {
    status: String,
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Matrix(Vec<Series>),
    Streams(Vec<Stream>),
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    values: Vec<(String, String)>,
}

fn checked(document: Document) -> Result<Data, Failure> {
    if document.status == "success" {
        Ok(document.data)
    } else {
        Err(Failure::Malformed(format!("status {:?}", document.status)))
    }
}

fn counts(document: Document) -> Result<Vec<(i64, f64)>, Failure> {
    let Data::Matrix(series) = checked(document)? else {
        return Err(Failure::Malformed("lines where counts were asked for".to_owned()));
    };
    let values = series.into_iter().flat_map(|series| series.values);
    values
        .map(|(at, count)| {
            let count = count.parse().map_err(|_| Failure::Malformed("a count is no number".to_owned()))?;
            // a value counts the minute before it
            Ok((((at * 1_000.0) as i64).saturating_sub(1), count))
        })
        .collect()
}

fn example(document: Document) -> Result<Option<String>, Failure> {
    let Data::Streams(streams) = checked(document)? else {
        return Err(Failure::Malformed("counts where lines were asked for".to_owned()));
    };
    Ok(streams.into_iter().flat_map(|stream| stream.values).map(|(_, line)| line).next())
}

#[async_trait]
impl QuerySource for LokiSource {
    fn name(&self) -> &'static str {
        "loki"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Lines { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let about = topic(question)?;
        let lines = self.lines(&question.service, about);
        let step_s = minutes::MINUTE_MS / 1_000;
        let query = [
            ("query", format!("sum(count_over_time({lines} [{step_s}s]))")),
            ("start", (question.from.as_second() + step_s).to_string()),
            ("end", question.to.as_second().to_string()),
            ("step", step_s.to_string()),
        ];
        let counts = counts(self.client.json(&PATH, &query, deadline).await?)?;
        let minutes = minutes::of(question.from, question.to, counts.into_iter());
        let query = [
            ("query", lines),
            ("start", question.onset.as_second().to_string()),
            ("end", question.to.as_second().to_string()),
            ("limit", "1".to_owned()),
            ("direction", "backward".to_owned()),
        ];
        let example = example(self.client.json(&PATH, &query, deadline).await?)?;
        if example.is_none() {
            self.knows(question, deadline).await?;
        }
        Ok(Answer::Lines { minutes, example })
    }
}
