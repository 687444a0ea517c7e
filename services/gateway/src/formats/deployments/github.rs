//! GitHub. Source: "Webhook events and payloads", `deployment_status`.
//!
//! `release` is ignored: it says that a version exists, not that it runs anywhere.

use jiff::Timestamp;
use serde::Deserialize;
use shared::text::sanitize::one_line;

use super::{Deployed, GitHub, Report, malformed, names, parsed, version};
use crate::formats::Unreadable;

const FORMAT: &str = "webhook of GitHub";

#[derive(Deserialize)]
struct Payload {
    deployment_status: Status,
    deployment: Subject,
    repository: Repository,
}

#[derive(Deserialize)]
struct Status {
    state: String,
    #[serde(default)]
    environment: String,
    created_at: Timestamp,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Subject {
    sha: String,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    creator: Option<Creator>,
}

#[derive(Deserialize)]
struct Creator {
    login: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

pub(super) fn read(body: &[u8], event: &str, settings: &GitHub) -> Result<Report, Unreadable> {
    match event {
        "deployment_status" => {}
        "" => return Err(malformed(FORMAT, &"the header X-GitHub-Event is missing")),
        "ping" => return Ok(Report::Ignored("a ping".into())),
        other => {
            let other = one_line(other, 40);
            return Ok(Report::Ignored(format!("event {other:?}: only deployment_status is a deployment")));
        }
    }
    let Payload { deployment_status: status, deployment, repository } = parsed(body, FORMAT)?;
    if !settings.states.contains(&status.state) {
        return Ok(Report::Ignored(format!("state {:?} of the deployment", one_line(&status.state, 40))));
    }
    let change_type = match deployment.task.as_str() {
        task if task.contains("rollback") => "rollback",
        task if task.contains("migration") => "migration",
        _ => "deploy",
    };
    let is_described = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    Ok(Report::Deployed(vec![Deployed {
        names: names(&repository.full_name),
        environment: if status.environment.is_empty() { deployment.environment } else { status.environment },
        version: version(&deployment.reference, &deployment.sha),
        ts_ms: status.created_at.as_millisecond(),
        change_type,
        git_sha: Some(deployment.sha),
        by: deployment.creator.map(|creator| creator.login),
        description: Some(deployment.description).filter(is_described).unwrap_or(status.description),
    }]))
}
