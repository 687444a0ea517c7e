//! What `firewatch routes` is asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shared::events::{Category, Kind, Severity};
use shared::matchers::Facts;

use crate::arguments::category;
use crate::arguments::moment::Moment;

/// What can be done with routes.
#[derive(Debug, Clone, Subcommand)]
pub enum Routes {
    /// Prints who would be notified of an incident, when and why, and how that escalates.
    ///
    /// Nothing is sent, and nothing is connected to.
    Test(Test),
    /// Checks a file of routes: names that do not exist, routes that never match.
    Check(Check),
}

/// An incident that routes are tried with.
#[derive(Debug, Clone, Args)]
pub struct Test {
    /// Service that is concerned; may be given several times.
    #[arg(long = "service", value_name = "NAME", required = true)]
    pub services: Vec<String>,
    /// Severity, 1 (everything is down) to 4 (informational).
    #[arg(long, value_name = "1-4", value_parser = severity)]
    pub sev: Severity,
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Metric that is abnormal; may be given several times.
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// What is measured, e.g. latency or pool; may be given several times.
    #[arg(long = "kind", value_name = "KIND", value_parser = kind)]
    pub kinds: Vec<Kind>,
    /// Kind of cause, e.g. network; may be given several times.
    #[arg(long = "category", value_name = "CATEGORY", value_parser = category)]
    pub categories: Vec<Category>,
    /// Label of its series; may be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// When, e.g. `2026-03-01 22:30`; now unless given.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// Content directory with `routes.yaml` and `oncall`.
    #[arg(
        long,
        env = "FIREWATCH_CONTENT",
        hide_env_values = true,
        value_name = "DIRECTORY",
        default_value = "knowledge"
    )]
    pub dir: PathBuf,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A file that is checked.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// File; `routes.yaml` of the content directory unless given.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Content directory with `oncall`, whose rotations and escalation policies the file may name.
    #[arg(
        long,
        env = "FIREWATCH_CONTENT",
        hide_env_values = true,
        value_name = "DIRECTORY",
        default_value = "knowledge"
    )]
    pub dir: PathBuf,
}

impl Test {
    /// Returns what is known of the incident.
    pub fn facts(&self) -> Facts {
        let mut facts = Facts {
            environment: Some(self.environment.clone()),
            services: self.services.iter().cloned().collect(),
            metrics: self.metrics.iter().cloned().collect(),
            kinds: self.kinds.iter().copied().collect(),
            categories: self.categories.iter().copied().collect(),
            severity: Some(self.sev),
            ..Facts::default()
        };
        for (name, value) in &self.labels {
            facts.add_label(name, value);
        }
        facts
    }
}

fn severity(text: &str) -> Result<Severity, &'static str> {
    match text {
        "1" => Ok(Severity::Sev1),
        "2" => Ok(Severity::Sev2),
        "3" => Ok(Severity::Sev3),
        "4" => Ok(Severity::Sev4),
        _ => Err("not a number from 1 to 4"),
    }
}

fn kind(name: &str) -> Result<Kind, &'static str> {
    serde_json::from_value(name.into()).map_err(|_| "not a kind such as latency, errors, pool or traffic")
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
