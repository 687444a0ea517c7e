//! Deployments, as the tools that roll them out report them: GitHub, GitLab, Argo CD and Flux.
//!
//! Each request is verified with a secret of its source before it is read: the door asks it for no token. What reports no
//! deployment that was rolled out is taken and ignored, with a reason, and answered with 200: these tools send what they are
//! told to, and disable a webhook that fails.

mod argocd;
mod flux;
mod github;
mod gitlab;
mod signature;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::events::Deployment;
use shared::secret::Secret;
use shared::text::sanitize::{SENTENCE, one_line};

use super::detail::detail;
use super::{Context, Unreadable};
use crate::telemetry::Batch;

/// Settings under `[gateway.deployments]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Services by what deploys them: a repository (`shop/payment`), an application of Argo CD, a Kustomization or
    /// HelmRelease of Flux (`payment`, or with its namespace, `shop/payment`). What is not here is a service of the same
    /// name, without owner and namespace.
    pub services: BTreeMap<String, String>,
    /// Environments by the names of the source. What is not here keeps its name.
    pub environments: BTreeMap<String, String>,
    /// Webhooks of GitHub.
    pub github: GitHub,
    /// Webhooks of GitLab.
    pub gitlab: GitLab,
    /// Notifications of Argo CD.
    pub argocd: ArgoCd,
    /// Alerts of Flux.
    pub flux: Flux,
}

/// Settings under `[gateway.deployments.github]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitHub {
    /// Secret of the webhook; empty: every request is refused.
    pub secret: Secret,
    /// Another secret that is accepted while it is replaced; empty: none.
    pub previous_secret: Secret,
    /// States of a deployment that count as rolled out. With `in_progress` instead of `success` it counts from its start.
    pub states: Vec<String>,
}

impl Default for GitHub {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            previous_secret: Secret::default(),
            states: vec!["success".to_owned()],
        }
    }
}

/// Settings under `[gateway.deployments.gitlab]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GitLab {
    /// Secret token of the webhook; empty: every request is refused.
    pub secret: Secret,
    /// Another token that is accepted while it is replaced; empty: none.
    pub previous_secret: Secret,
    /// Statuses of a deployment that count as rolled out. With `running` instead of `success` it counts from its start.
    pub statuses: Vec<String>,
}

impl Default for GitLab {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            previous_secret: Secret::default(),
            statuses: vec!["success".to_owned()],
        }
    }
}

/// Settings under `[gateway.deployments.argocd]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArgoCd {
    /// Bearer token; empty: every request is refused.
    pub secret: Secret,
    /// Another token that is accepted while it is replaced; empty: none.
    pub previous_secret: Secret,
}

/// Settings under `[gateway.deployments.flux]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Flux {
    /// Key of the provider; empty: every request is refused.
    pub secret: Secret,
    /// Another key that is accepted while it is replaced; empty: none.
    pub previous_secret: Secret,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `deployment_status` of GitHub, signed by `X-Hub-Signature-256`.
    GitHub,
    /// Deployment events of GitLab, with `X-Gitlab-Token`.
    GitLab,
    /// A notification of Argo CD by our template, with a bearer token.
    ArgoCd,
    /// An event of Flux's notification controller (provider `generic-hmac`), signed by `X-Signature`.
    Flux,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 4] = [Self::GitHub, Self::GitLab, Self::ArgoCd, Self::Flux];

    /// Returns the last part of its path, e.g. of `/v1/deployments/github`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::ArgoCd => "argocd",
            Self::Flux => "flux",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It reports deployments, most often one, which the batch has taken or refused.
    Deployment,
    /// It reports no deployment that was rolled out: why.
    Ignored(String),
}

/// What a source reports: deployments, with service and environment in its own words, or why there is none.
#[derive(Debug)]
enum Report {
    Deployed(Vec<Deployed>),
    Ignored(String),
}

#[derive(Debug, Clone)]
struct Deployed {
    /// What is deployed, in the order in which settings are looked for; the last is the name of the service if no setting has one of them.
    names: Vec<String>,
    /// Environment in the words of the source; empty: the configured one.
    environment: String,
    version: String,
    ts_ms: i64,
    change_type: &'static str,
    git_sha: Option<String>,
    by: Option<String>,
    description: Option<String>,
}

/// Verifies and reads a request.
pub fn read(
    body: &[u8],
    source: Source,
    settings: &Settings,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    let header = |name: &str| ctx.headers.get(name).map(String::as_str).unwrap_or_default();
    let secrets = settings.secrets(source);
    let verified = match source {
        Source::GitHub => signature::hmac(secrets, body, header("x-hub-signature-256")),
        Source::GitLab => signature::token(secrets, header("x-gitlab-token")),
        Source::ArgoCd => signature::token(secrets, bearer(header("authorization"))),
        Source::Flux => signature::hmac(secrets, body, header("x-signature")),
    };
    if !verified {
        return Err(Unreadable::Signature);
    }
    let report = match source {
        Source::GitHub => github::read(body, header("x-github-event"), &settings.github),
        Source::GitLab => gitlab::read(body, header("x-gitlab-event"), &settings.gitlab),
        Source::ArgoCd => argocd::read(body),
        Source::Flux => flux::read(body),
    }?;
    match report {
        Report::Ignored(why) => Ok(Answer::Ignored(why)),
        Report::Deployed(all) => {
            let mut services = BTreeSet::new();
            for deployed in all {
                let event = deployed.into_event(settings, ctx);
                if services.insert(event.service.clone()) {
                    batch.deployment(&event);
                }
            }
            Ok(Answer::Deployment)
        }
    }
}

impl Settings {
    /// Returns all problems, each after the name of its setting.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for source in Source::ALL {
            let [secret, previous] = self.secrets(source);
            if secret.is_empty() && !previous.is_empty() {
                problems
                    .push(format!("{}.previous_secret: there is no secret that replaces it", source.name()));
            }
        }
        for (setting, names) in [("services", &self.services), ("environments", &self.environments)] {
            for (name, replaced) in names.iter().filter(|(_, named)| !(1..=256).contains(&named.len())) {
                problems.push(format!("{setting}.{name}: {replaced:?} is not of 1 to 256 bytes"));
            }
        }
        problems
    }

    fn secrets(&self, source: Source) -> [&Secret; 2] {
        match source {
            Source::GitHub => [&self.github.secret, &self.github.previous_secret],
            Source::GitLab => [&self.gitlab.secret, &self.gitlab.previous_secret],
            Source::ArgoCd => [&self.argocd.secret, &self.argocd.previous_secret],
            Source::Flux => [&self.flux.secret, &self.flux.previous_secret],
        }
    }
}

fn bearer(authorization: &str) -> &str {
    let scheme = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    scheme.map(|(_, token)| token.trim()).unwrap_or_default()
}

impl Deployed {
    fn into_event(self, settings: &Settings, ctx: &Context<'_>) -> Deployment {
        let configured = self.names.iter().find_map(|name| named(&settings.services, name));
        let service = configured.or(self.names.last()).cloned().unwrap_or_default();
        let service = ctx.identity.renames.get(&service).cloned().unwrap_or(service);
        let environment = match self.environment.as_str() {
            "" => ctx.identity.environment.clone(),
            name => named(&settings.environments, name).cloned().unwrap_or(self.environment),
        };
        let line =
            |text: Option<String>| text.map(|text| one_line(&text, SENTENCE)).filter(|text| !text.is_empty());
        Deployment {
            service,
            version: self.version,
            ts_ms: self.ts_ms,
            environment,
            change_type: self.change_type.to_owned(),
            git_sha: self.git_sha.filter(|sha| !sha.is_empty()),
            deployed_by: line(self.by),
            description: line(self.description),
            known_risks: Vec::new(),
        }
    }
}

/// Returns what a name is replaced by. The case of letters makes no difference: GitHub has none either.
fn named<'a>(names: &'a BTreeMap<String, String>, name: &str) -> Option<&'a String> {
    names.get(name).or_else(|| {
        let mut found = names.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, replaced)| replaced)
    })
}

fn parsed<T: DeserializeOwned>(body: &[u8], format: &'static str) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|error| malformed(format, &error))
}

fn malformed(format: &'static str, reason: &(impl Display + ?Sized)) -> Unreadable {
    Unreadable::Malformed { format, reason: detail(reason) }
}

/// Returns the names of `owner/name`: all of it, and its last part.
fn names(path: &str) -> Vec<String> {
    let last = path.rsplit('/').next().unwrap_or(path);
    [path, last].map(str::to_owned).to_vec()
}

/// Returns the version of a commit and what it was called: the name if it looks like a version, the commit otherwise, for the
/// name may be that of a branch.
fn version(name: &str, commit: &str) -> String {
    let digits = name.strip_prefix('v').unwrap_or(name);
    let is_version = digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains('.');
    let commit = &commit[..commit.floor_char_boundary(12)];
    if is_version || commit.is_empty() { name.to_owned() } else { commit.to_owned() }
}

#[cfg(test)]
mod tests;
