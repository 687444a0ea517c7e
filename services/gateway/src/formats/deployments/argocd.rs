//! Argo CD, by the notification template in `docs/connect/files/argocd-notifications.yaml`.

use jiff::Timestamp;
use serde::Deserialize;
use shared::text::sanitize::one_line;

use super::{Deployed, Report, malformed, parsed};
use crate::formats::Unreadable;

const FORMAT: &str = "notification of Argo CD";

/// The fields of our template.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    application: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    environment: String,
    /// Phase of the operation.
    phase: String,
    /// When the operation ended, RFC 3339.
    finished_at: String,
    /// Commit or version of a chart that was synchronised; of an application with several sources, all of them.
    revision: String,
    /// The first image, whose tag is the version.
    #[serde(default)]
    image: String,
    #[serde(default)]
    initiated_by: String,
    #[serde(default)]
    message: String,
}

pub(super) fn read(body: &[u8]) -> Result<Report, Unreadable> {
    let payload: Payload = parsed(body, FORMAT)?;
    if payload.phase != "Succeeded" {
        return Ok(Report::Ignored(format!("phase {:?} of the operation", one_line(&payload.phase, 40))));
    }
    let time: Timestamp =
        payload.finished_at.parse().map_err(|error| malformed(FORMAT, &format!("finished_at: {error}")))?;
    let Payload { application, namespace, .. } = payload;
    let is_commit =
        payload.revision.len() >= 40 && payload.revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    let revision = if is_commit { &payload.revision[..12] } else { &*payload.revision };
    let version = tag(&payload.image).unwrap_or(revision).to_owned();
    let qualified = format!("{namespace}/{application}");
    Ok(Report::Deployed(vec![Deployed {
        names: vec![qualified, application],
        environment: payload.environment,
        version,
        ts_ms: time.as_millisecond(),
        change_type: "deploy",
        git_sha: is_commit.then_some(payload.revision),
        by: Some(payload.initiated_by),
        description: Some(payload.message),
    }]))
}

/// Returns the tag of an image: what follows the colon in its last part, without a digest.
fn tag(image: &str) -> Option<&str> {
    let named = image.split('@').next()?.rsplit('/').next()?;
    named.split_once(':').map(|(_, tag)| tag).filter(|tag| !tag.is_empty())
}
