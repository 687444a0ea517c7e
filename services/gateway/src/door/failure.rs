//! Why a request as a whole is refused, and what that is in HTTP, in gRPC and in metrics.

use axum::http::StatusCode;
use tonic::Code;

use super::auth::Denied;
use crate::formats::Unreadable;
use crate::publish::Unavailable;

/// Why a request is refused. Nothing of it counts as taken.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its token.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Its content type is none of this path.
    #[error("content type {0:?} is not read here; send {1}")]
    MediaType(String, String),
    /// Its encoding is not supported.
    #[error("content encoding {0:?} is not supported; send {1}")]
    Encoding(String, String),
    /// It is larger than allowed once it is decompressed.
    #[error("the body is larger than {0} bytes; send smaller batches")]
    TooLarge(usize),
    /// It did not arrive in time.
    #[error("the body did not arrive within {0} ms")]
    Slow(u64),
    /// It broke off, or is not compressed as it says.
    #[error("the body cannot be read: {0}")]
    Broken(String),
    /// It is not what its content type says.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Too much is in flight.
    #[error("{0}; try again")]
    Busy(&'static str),
    /// Kafka did not acknowledge.
    #[error("{0}; try again")]
    Unavailable(#[from] Unavailable),
}

impl Failure {
    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denied) => denied.status(),
            Self::MediaType(..) | Self::Encoding(..) | Self::Unreadable(Unreadable::MediaType { .. }) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::TooLarge(_) | Self::Unreadable(Unreadable::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::Unreadable(Unreadable::Malformed { .. }) => StatusCode::BAD_REQUEST,
            Self::Unreadable(Unreadable::Signature) => StatusCode::UNAUTHORIZED,
            Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the code of gRPC.
    pub fn code(&self) -> Code {
        match self.status() {
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
            StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::InvalidArgument,
        }
    }

    /// Returns whether it helps to send the same again.
    pub fn is_retryable(&self) -> bool {
        matches!(self.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Returns the name for metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.outcome(),
            Self::MediaType(..) | Self::Unreadable(Unreadable::MediaType { .. }) => "media_type",
            Self::Encoding(..) => "encoding",
            Self::TooLarge(_) | Self::Unreadable(Unreadable::TooLarge(_)) => "too_large",
            Self::Slow(_) => "slow",
            Self::Broken(_) => "broken",
            Self::Unreadable(Unreadable::Malformed { .. }) => "malformed",
            Self::Unreadable(Unreadable::Signature) => "signature",
            Self::Busy(_) => "busy",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
