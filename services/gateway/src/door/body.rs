//! Reads bodies: whole, within a size and a time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::failure::Failure;
use super::limits::Slot;

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

/// Reads a body, decompressed by what is in front of it. Nothing is read beyond the bound, so that a small body that would become a
/// huge one is refused early.
pub(super) async fn whole(mut body: Body, bounds: Bounds, slot: &mut Slot) -> Result<Vec<u8>, Failure> {
    let deadline = Instant::now() + bounds.time;
    let mut read = Vec::new();
    while let Some(data) = next(&mut body, deadline, bounds.time).await? {
        if read.len() + data.len() > bounds.bytes {
            return Err(Failure::TooLarge(bounds.bytes));
        }
        slot.grow(data.len())?;
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// Reads what comes next of a body; none at its end.
pub(super) async fn next(
    body: &mut Body,
    deadline: Instant,
    time: Duration,
) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = tokio::time::timeout_at(deadline, body.frame())
            .await
            .map_err(|_| Failure::Slow(time.as_millis() as u64))?;
        match frame.transpose() {
            Ok(None) => return Ok(None),
            // trailers say nothing that is read
            Ok(Some(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Err(error) => return Err(Failure::Broken(cause(&error))),
        }
    }
}

/// Returns the innermost reason.
fn cause(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(inner) = at.source() {
        at = inner;
    }
    at.to_string()
}
