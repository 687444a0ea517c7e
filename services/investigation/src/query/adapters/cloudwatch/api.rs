//! Signed requests in AWS's JSON protocols.

use std::sync::Arc;

use anyhow::Result;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::clock::{Clock, SystemClock};
use tokio::time::Instant;

use super::sign::Signer;
use crate::query::http::{Access, Client, parse};
use crate::query::options::CloudWatch;
use crate::query::source::Failure;

/// Longest code of an error.
const MAX_CODE: usize = 60;

/// One operation of an API.
pub(super) struct Api {
    client: Client,
    signer: Signer,
    content_type: &'static str,
    target: &'static str,
    clock: Arc<dyn Clock>,
}

impl Api {
    pub(super) fn metrics(options: &CloudWatch) -> Result<Self> {
        let target = "GraniteServiceVersion20100801.GetMetricData";
        Self::new(options, (&options.metrics_address(), "monitoring"), "application/x-amz-json-1.0", target)
    }

    pub(super) fn logs(options: &CloudWatch) -> Result<Self> {
        let target = "Logs_20140328.FilterLogEvents";
        Self::new(options, (&options.logs_address(), "logs"), "application/x-amz-json-1.1", target)
    }

    fn new(
        options: &CloudWatch,
        (url, service): (&str, &'static str),
        content_type: &'static str,
        target: &'static str,
    ) -> Result<Self> {
        let client = Client::new(Access::without_login(url, &options.ca_file))?;
        let secrets = (&options.access_key_id, &options.secret_access_key, &options.session_token);
        let signer = Signer::new(secrets, &options.region, service);
        Ok(Self { client, signer, content_type, target, clock: Arc::new(SystemClock) })
    }

    /// Uses that clock.
    pub(super) fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// Returns the clock.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Asks, and reads a document.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: &Value,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let body = request.to_string().into_bytes();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(HeaderName::from_static("x-amz-target"), HeaderValue::from_static(self.target));
        let url = self.client.address().as_str();
        self.signer.sign(("POST", url), &mut headers, &body, self.clock.now())?;
        let (status, answer) = self.client.post_raw(headers, body, deadline).await?;
        if status.is_success() {
            return parse(&answer);
        }
        let code = if status.is_client_error() { code(&answer) } else { None };
        Err(code.map_or(Failure::Status(status.as_u16()), Failure::Refused))
    }
}

#[derive(Deserialize)]
struct Error {
    /// `ThrottlingException`, or that behind a namespace and `#`.
    #[serde(rename = "__type")]
    kind: String,
}

/// Returns the code of an error.
fn code(body: &[u8]) -> Option<String> {
    let Error { kind } = parse(body).ok()?;
    let code = kind.rsplit('#').next().unwrap_or_default();
    let is_code = (1..=MAX_CODE).contains(&code.len()) && code.chars().all(|one| one.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}
