//! Flux. Source: notification controller, Provider of type `generic-hmac`, and its `Event`; kustomize controller and
//! helm controller, which write them.
//!
//! A Kustomization is reconciled again and again, and says each time that it succeeded. A change is in another event, which
//! lists what was applied, one object a line: `Deployment/shop/cart configured`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use shared::text::sanitize::one_line;

use super::{Deployed, Report, parsed};
use crate::formats::Unreadable;

const FORMAT: &str = "event of Flux";
/// Kinds of objects that run a service.
const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "Rollout"];
/// Most workloads of one event that are deployments of their own.
const MAX_WORKLOADS: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    involved_object: Object,
    #[serde(default)]
    severity: String,
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
    let payload: Payload = parsed(body, FORMAT)?;
    let object = &payload.involved_object;
    let own = [format!("{}/{}", object.namespace, object.name), object.name.clone()];
    let (names, change_type) = match (object.kind.as_str(), payload.reason.as_str()) {
        ("Kustomization", _) if payload.severity == "info" => (kustomized(&payload.message, &own), "deploy"),
        ("HelmRelease", "InstallSucceeded" | "UpgradeSucceeded") => (vec![own.to_vec()], "deploy"),
        ("HelmRelease", "RollbackSucceeded") => (vec![own.to_vec()], "rollback"),
        ("HelmRelease", "UninstallSucceeded") => (vec![own.to_vec()], "retire"),
        _ => (Vec::new(), ""),
    };
    let described = || format!("{} of a {}", one_line(&payload.reason, 40), one_line(&object.kind, 40));
    if names.is_empty() {
        return Ok(Report::Ignored(format!("{}: nothing was applied", described())));
    }
    let Some(revision) = payload.labelled("revision") else {
        return Ok(Report::Ignored(format!("{} without a revision", described())));
    };
    let deployed = |names| payload.deployed(names, revision, change_type);
    Ok(Report::Deployed(names.into_iter().map(deployed).collect()))
}

impl Payload {
    /// Returns what metadata say, with or without the group of the object before the name.
    fn labelled(&self, name: &str) -> Option<&str> {
        let mut found = self.metadata.iter().filter(|(key, _)| key.rsplit('/').next() == Some(name));
        found.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn deployed(&self, names: Vec<String>, revision: &str, change_type: &'static str) -> Deployed {
        let commit = commit(revision);
        let version = self
            .labelled("app-version")
            .or_else(|| commit.map(|commit| &commit[..commit.floor_char_boundary(12)]))
            .unwrap_or(revision);
        let environment = self.labelled("environment").or_else(|| self.labelled("env"));
        Deployed {
            names,
            environment: environment.unwrap_or_default().to_owned(),
            version: version.to_owned(),
            ts_ms: self.timestamp.as_millisecond(),
            change_type,
            git_sha: commit.map(str::to_owned),
            by: Some("flux".to_owned()),
            description: Some(self.message.clone()),
        }
    }
}

/// Returns the names of what a Kustomization has deployed: those of each workload that was applied, behind its own; its own alone
/// if something else was applied; none if nothing was.
fn kustomized(message: &str, own: &[String; 2]) -> Vec<Vec<String>> {
    let mut is_changed = false;
    let mut workloads = BTreeSet::new();
    for line in message.lines() {
        let Some((subject, "created" | "configured")) = line.trim().rsplit_once(' ') else { continue };
        let Some((kind, path)) = subject.split_once('/') else { continue };
        is_changed = true;
        if WORKLOADS.contains(&kind) && workloads.len() < MAX_WORKLOADS {
            workloads.insert(path);
        }
    }
    if workloads.is_empty() {
        return if is_changed { vec![own.to_vec()] } else { Vec::new() };
    }
    let names = |path: &str| own.iter().cloned().chain(super::names(path)).collect();
    workloads.into_iter().map(names).collect()
}

/// Returns the commit of a revision, e.g. of `main@sha1:8d6c1e4f...`.
fn commit(revision: &str) -> Option<&str> {
    let (_, hash) = revision.split_once("@sha1:")?;
    Some(hash).filter(|hash| !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
