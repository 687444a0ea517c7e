//! How requests are answered, for formats that prescribe no body.

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::Outcome;
use super::failure::Failure;
use crate::formats::remote_write::{self, Answer};

/// How requests of a format are answered.
pub trait Answers: Sync {
    /// Returns the answer to a request that was taken, whole or in part.
    fn taken(&self, outcome: &Outcome) -> Response;

    /// Returns the answer to a request that was refused as a whole. `Retry-After` is added by the caller.
    fn refused(&self, failure: &Failure) -> Response;
}

/// Returns an answer with a body.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let body: Bytes = body.into();
    (status, [(header::CONTENT_TYPE, content_type)], Body::from(body)).into_response()
}

/// Answers in JSON: `taken`, `refused` and `passed_over` are numbers of items; `code` and `message` say what is wrong, as clients
/// of InfluxDB expect it.
pub struct Plain(StatusCode);

impl Plain {
    /// With status 200 where everything was taken.
    pub const OK: Self = Self(StatusCode::OK);
    /// With status 204 and without a body where everything was taken.
    pub const NO_CONTENT: Self = Self(StatusCode::NO_CONTENT);
}

impl Answers for Plain {
    fn taken(&self, outcome: &Outcome) -> Response {
        let refused = &outcome.refused;
        if refused.is_empty() && self.0 == StatusCode::NO_CONTENT {
            return self.0.into_response();
        }
        let mut body = json!({ "taken": outcome.taken.total(), "refused": refused.total() });
        if !outcome.passed_over.is_empty() {
            body["passed_over"] = json!(outcome.passed_over);
        }
        if refused.is_empty() {
            return answer(self.0, "application/json", body.to_string());
        }
        body["code"] = json!("invalid");
        body["message"] = json!(refused.message());
        answer(StatusCode::BAD_REQUEST, "application/json", body.to_string())
    }

    fn refused(&self, failure: &Failure) -> Response {
        let body = json!({ "code": failure.outcome(), "message": failure.to_string() });
        answer(failure.status(), "application/json", body.to_string())
    }
}

/// Answers to remote write: a line of text, and how much was written.
pub struct RemoteWrite;

impl Answers for RemoteWrite {
    fn taken(&self, outcome: &Outcome) -> Response {
        let mut response = match Answer::status(&outcome.refused) {
            204 => StatusCode::NO_CONTENT.into_response(),
            _ => answer(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", outcome.refused.message()),
        };
        for (name, value) in &outcome.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }

    fn refused(&self, failure: &Failure) -> Response {
        let mut response = answer(failure.status(), "text/plain; charset=utf-8", failure.to_string());
        for (name, _) in remote_write::Answer::default().headers() {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("0"));
        }
        response
    }
}
