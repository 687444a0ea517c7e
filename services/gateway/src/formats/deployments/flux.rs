//! Flux. Source: notification controller, Provider of type `generic-hmac`, and its `Event`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use shared::text::sanitize::one_line;

use super::{Deployed, Report, parsed};
use crate::formats::Unreadable;

const FORMAT: &str = "event of Flux";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    involved_object: Object,
    timestamp: Timestamp,
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

pub(super) fn read(body: &[u8]) -> Result<Report, Unreadable> {
    let Payload { involved_object: object, timestamp, reason, message, metadata } = parsed(body, FORMAT)?;
    let change_type = match (object.kind.as_str(), reason.as_str()) {
        ("Kustomization", "ReconciliationSucceeded")
        | ("HelmRelease", "InstallSucceeded" | "UpgradeSucceeded") => "deploy",
        ("HelmRelease", "RollbackSucceeded") => "rollback",
        ("HelmRelease", "UninstallSucceeded") => "retire",
        (kind, reason) => {
            let (kind, reason) = (one_line(kind, 40), one_line(reason, 40));
            return Ok(Report::Ignored(format!("reason {reason:?} of a {kind}")));
        }
    };
    // with or without the group of the object before it
    let labelled = |name: &str| {
        let mut found = metadata.iter().filter(|(key, _)| key.rsplit('/').next() == Some(name));
        found.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    };
    let Some(revision) = labelled("revision") else {
        return Ok(Report::Ignored(format!("a {} without a revision", one_line(&object.kind, 40))));
    };
    let commit = commit(revision);
    let version = labelled("app-version")
        .or_else(|| commit.map(|commit| &commit[..commit.floor_char_boundary(12)]))
        .unwrap_or(revision);
    Ok(Report::Deployed(Deployed {
        names: vec![format!("{}/{}", object.namespace, object.name), object.name.clone()],
        environment: labelled("environment").or_else(|| labelled("env")).unwrap_or_default().to_owned(),
        version: version.to_owned(),
        ts_ms: timestamp.as_millisecond(),
        change_type,
        git_sha: commit.map(str::to_owned),
        by: Some("flux".to_owned()),
        description: Some(message),
    }))
}

/// Returns the commit of a revision, e.g. of `main@sha1:8d6c1e4f...`.
fn commit(revision: &str) -> Option<&str> {
    let (_, hash) = revision.split_once("@sha1:")?;
    Some(hash).filter(|hash| !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
