//! The way to the gateway, over HTTP.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use shared::events::Topic;
use shared::secret::Secret;

use crate::delivery::{Error, Sink};
use crate::record::Record;

/// Attempts for one request before the delivery as a whole waits.
const ATTEMPTS: u32 = 3;
/// Longest wait that an answer may ask for.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The wait where it names none.
const WAIT: Duration = Duration::from_secs(1);
/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Most of a refusal that is repeated, characters.
const MAX_REASON: usize = 300;

/// A gateway, and where go what it does not take: faults.
#[derive(Debug, Clone)]
pub struct Gateway<S> {
    client: Client,
    url: String,
    token: Option<Secret>,
    others: S,
}

impl<S: Sink> Gateway<S> {
    /// Posts to a gateway at `url`, e.g. `http://127.0.0.1:4318`.
    pub fn new(url: &str, token: Option<Secret>, others: S) -> reqwest::Result<Self> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token, others })
    }

    async fn post(&self, path: &str, content_type: &'static str, body: &[u8]) -> Result<Response, Error> {
        let mut request = self
            .client
            .post(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, content_type)
            .body(body.to_vec());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        request.send().await.map_err(|error| Error::Unavailable(error.to_string()))
    }
}

impl<S: Sink> Sink for Gateway<S> {
    const NAME: &'static str = "gateway";

    async fn send(&self, record: &Record) -> Result<(), Error> {
        let (path, content_type) = match record.topic {
            Topic::RawMetrics => ("/v1/metrics", "application/x-protobuf"),
            Topic::RawLogs => ("/v1/logs", "application/x-protobuf"),
            Topic::RawSpans => ("/v1/traces", "application/x-protobuf"),
            Topic::RawDeployments => ("/v1/events/deployments", "application/json"),
            _ => return self.others.send(record).await,
        };
        let mut attempt = 1;
        loop {
            let response = self.post(path, content_type, &record.payload).await?;
            let status = response.status();
            if status.is_success() {
                return taken(record.topic, response).await;
            }
            let may_succeed =
                matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            let wait = wait(&response);
            let reason = format!("{path} answered {status}: {}", text(response).await);
            if !may_succeed && !status.is_server_error() {
                return Err(Error::Refused(reason));
            }
            if !may_succeed || attempt >= ATTEMPTS {
                return Err(Error::Unavailable(reason));
            }
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }
}

/// Returns how long to wait before another attempt.
fn wait(response: &Response) -> Duration {
    let named = response.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    named.map_or(WAIT, Duration::from_secs).min(MAX_WAIT)
}

async fn text(response: Response) -> String {
    let text = response.text().await.unwrap_or_default();
    text.chars().filter(|character| !character.is_control()).take(MAX_REASON).collect()
}

/// Fails where the gateway took a request but refused a part of it.
async fn taken(topic: Topic, response: Response) -> Result<(), Error> {
    if topic == Topic::RawDeployments {
        return Ok(());
    }
    let body = response.bytes().await.map_err(|error| Error::Unavailable(error.to_string()))?;
    // the answers to all three signals have the same fields
    let answer = ExportMetricsServiceResponse::decode(body)
        .map_err(|error| Error::Refused(format!("the answer is no OTLP: {error}")))?;
    match answer.partial_success {
        Some(refused) if refused.rejected_data_points > 0 => Err(Error::Refused(refused.error_message)),
        _ => Ok(()),
    }
}
