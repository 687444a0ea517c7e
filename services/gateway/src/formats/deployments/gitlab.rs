//! GitLab. Source: "Webhook events", Deployment events.

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde::Deserialize;
use shared::text::sanitize::one_line;

use super::{Deployed, GitLab, Report, malformed, names, parsed, version};
use crate::formats::Unreadable;

const FORMAT: &str = "webhook of GitLab";
/// Times as GitLab writes them, e.g. `2021-04-28 21:50:00 +0200`.
const TIME: &str = "%Y-%m-%d %H:%M:%S %z";

#[derive(Deserialize)]
struct Payload {
    object_kind: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_changed_at: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    short_sha: String,
    /// Address of the commit, which ends in its full hash.
    #[serde(default)]
    commit_url: Option<String>,
    #[serde(default)]
    commit_title: Option<String>,
    #[serde(default, rename = "ref")]
    reference: String,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    project: Option<Project>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
}

pub(super) fn read(body: &[u8], event: &str, settings: &GitLab) -> Result<Report, Unreadable> {
    let payload: Payload = parsed(body, FORMAT)?;
    if payload.object_kind != "deployment" {
        let kind = one_line(if event.is_empty() { &payload.object_kind } else { event }, 40);
        return Ok(Report::Ignored(format!("event {kind:?}: only deployment events are deployments")));
    }
    if !settings.statuses.contains(&payload.status) {
        return Ok(Report::Ignored(format!("status {:?} of the deployment", one_line(&payload.status, 40))));
    }
    let project = payload.project.ok_or_else(|| malformed(FORMAT, &"it has no project"))?;
    let time = time(&payload.status_changed_at).ok_or_else(|| {
        malformed(
            FORMAT,
            &format!("status_changed_at is no time: {:?}", one_line(&payload.status_changed_at, 40)),
        )
    })?;
    let commit = payload.commit_url.as_deref().and_then(|url| url.rsplit('/').next());
    let is_hash = |commit: &&str| commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let commit = commit.filter(is_hash).unwrap_or(&payload.short_sha).to_owned();
    Ok(Report::Deployed(vec![Deployed {
        names: names(&project.path_with_namespace),
        environment: payload.environment,
        version: version(&payload.reference, &commit),
        ts_ms: time.as_millisecond(),
        change_type: "deploy",
        git_sha: Some(commit),
        by: payload.user.map(|user| user.username),
        description: payload.commit_title,
    }]))
}

fn time(text: &str) -> Option<Timestamp> {
    let spaced = strtime::parse(TIME, text).and_then(|parsed| parsed.to_timestamp());
    spaced.or_else(|_| text.parse()).ok()
}
