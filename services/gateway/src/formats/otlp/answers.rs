//! Answers over HTTP, in the encoding of the request. Source: OTLP specification, OTLP/HTTP Response.

use axum::http::StatusCode;
use axum::response::Response;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use serde_json::json;

use super::Signal;
use crate::door::Outcome;
use crate::door::answers::{Answers, answer};
use crate::door::failure::Failure;
use crate::refusals::Refusals;

/// Answers in protobuf.
pub struct Protobuf(pub Signal);

/// Answers in JSON.
pub struct Json(pub Signal);

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

fn rejected(refused: &Refusals) -> i64 {
    i64::try_from(refused.total()).unwrap_or(i64::MAX)
}

/// Returns the answer to an export of metrics.
pub fn metrics(refused: &Refusals) -> ExportMetricsServiceResponse {
    let partial = || ExportMetricsPartialSuccess {
        rejected_data_points: rejected(refused),
        error_message: refused.message(),
    };
    ExportMetricsServiceResponse { partial_success: (!refused.is_empty()).then(partial) }
}

/// Returns the answer to an export of logs.
pub fn logs(refused: &Refusals) -> ExportLogsServiceResponse {
    let partial = || ExportLogsPartialSuccess {
        rejected_log_records: rejected(refused),
        error_message: refused.message(),
    };
    ExportLogsServiceResponse { partial_success: (!refused.is_empty()).then(partial) }
}

/// Returns the answer to an export of spans.
pub fn traces(refused: &Refusals) -> ExportTraceServiceResponse {
    let partial =
        || ExportTracePartialSuccess { rejected_spans: rejected(refused), error_message: refused.message() };
    ExportTraceServiceResponse { partial_success: (!refused.is_empty()).then(partial) }
}

impl Answers for Protobuf {
    fn taken(&self, outcome: &Outcome) -> Response {
        let body = match self.0 {
            Signal::Metrics => metrics(&outcome.refused).encode_to_vec(),
            Signal::Logs => logs(&outcome.refused).encode_to_vec(),
            Signal::Traces => traces(&outcome.refused).encode_to_vec(),
        };
        answer(StatusCode::OK, PROTOBUF, body)
    }

    fn refused(&self, failure: &Failure) -> Response {
        let status = tonic_types::Status {
            code: failure.code() as i32,
            message: failure.to_string(),
            details: Vec::new(),
        };
        answer(failure.status(), PROTOBUF, status.encode_to_vec())
    }
}

impl Answers for Json {
    fn taken(&self, outcome: &Outcome) -> Response {
        let field = match self.0 {
            Signal::Metrics => "rejectedDataPoints",
            Signal::Logs => "rejectedLogRecords",
            Signal::Traces => "rejectedSpans",
        };
        let refused = &outcome.refused;
        let body = if refused.is_empty() {
            json!({})
        } else {
            json!({ "partialSuccess": {
                (field): rejected(refused).to_string(),
                "errorMessage": refused.message(),
            } })
        };
        answer(StatusCode::OK, JSON, body.to_string())
    }

    fn refused(&self, failure: &Failure) -> Response {
        let body = json!({ "code": failure.code() as i32, "message": failure.to_string() });
        answer(failure.status(), JSON, body.to_string())
    }
}
