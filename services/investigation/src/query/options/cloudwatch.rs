//! Settings of CloudWatch (`[investigation.queries.cloudwatch]`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::events::question::Role;
use shared::secret::Secret;

use crate::query::http::Access;

/// What a service is put in for.
const SERVICE: &str = "$service";
/// Most dimensions of a metric, as the API has it.
const MAX_DIMENSIONS: usize = 30;
/// Longest name of a namespace, a metric or a dimension.
const MAX_NAME: usize = 255;
/// Shortest period, seconds, of which each other is a multiple.
const PERIOD_S: u32 = 60;
/// Longest period, seconds: of a longer one there are too few values in half an hour.
const MAX_PERIOD_S: u32 = 300;

/// Amazon CloudWatch: metrics, and log groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudWatch {
    /// Region, e.g. `eu-central-1`; empty: nothing is asked.
    pub region: String,
    /// Id of the access key.
    pub access_key_id: Secret,
    /// The access key.
    pub secret_access_key: Secret,
    /// Token of temporary credentials; empty: none.
    pub session_token: Secret,
    /// Address for metrics; empty: that of the region.
    pub metrics_url: String,
    /// Address for logs; empty: that of the region.
    pub logs_url: String,
    /// CA certificates to trust instead of the system's, PEM.
    pub ca_file: PathBuf,
    /// Metrics by what is measured; what is not named here is not asked.
    pub metrics: BTreeMap<Role, Metric>,
    /// Log group of a service; empty: logs are not asked.
    pub log_group: String,
    /// Begin of the names of its log streams; empty: all of the group.
    pub stream_prefix: String,
}

/// A metric of each service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Namespace, e.g. `AWS/ECS`.
    pub namespace: String,
    /// Name, e.g. `CPUUtilization`.
    pub name: String,
    /// Statistic of each period.
    #[serde(default)]
    pub statistic: Statistic,
    /// Length of a period, seconds.
    #[serde(default = "period_s")]
    pub period_s: u32,
    /// All of its dimensions.
    pub dimensions: BTreeMap<String, String>,
}

fn period_s() -> u32 {
    PERIOD_S
}

/// A statistic, by its name in the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    /// Mean.
    #[default]
    Average,
    /// Sum.
    Sum,
    /// Smallest value.
    Minimum,
    /// Largest value.
    Maximum,
    /// Number of values.
    SampleCount,
}

impl Statistic {
    /// Returns whether it grows with the values of a period, so that it is too low before all of them have arrived.
    pub fn is_total(self) -> bool {
        matches!(self, Self::Sum | Self::SampleCount)
    }
}

impl CloudWatch {
    /// Returns whether metrics are asked.
    pub fn asks_metrics(&self) -> bool {
        !self.region.is_empty() && !self.metrics.is_empty()
    }

    /// Returns whether logs are asked.
    pub fn asks_logs(&self) -> bool {
        !self.region.is_empty() && !self.log_group.is_empty()
    }

    /// Returns the address for metrics.
    pub fn metrics_address(&self) -> Cow<'_, str> {
        self.address(&self.metrics_url, "monitoring")
    }

    /// Returns the address for logs.
    pub fn logs_address(&self) -> Cow<'_, str> {
        self.address(&self.logs_url, "logs")
    }

    fn address<'a>(&self, url: &'a str, api: &str) -> Cow<'a, str> {
        if url.is_empty() {
            Cow::Owned(format!("https://{api}.{}.amazonaws.com", self.region))
        } else {
            Cow::Borrowed(url)
        }
    }

    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.region.is_empty() {
            problems.extend(self.access());
        }
        for (role, metric) in &self.metrics {
            problems.extend(metric.validate().into_iter().map(|problem| format!("metrics.{role}{problem}")));
        }
        let is_name = |character: char| character.is_ascii_alphanumeric() || "._-/#".contains(character);
        if !self.log_group.replace(SERVICE, "").chars().all(is_name) {
            problems.push("log_group has characters that no name of a log group has".to_owned());
        }
        if self.stream_prefix.contains([':', '*']) {
            problems.push("stream_prefix has characters that no name of a log stream has".to_owned());
        }
        if !self.log_group.is_empty()
            && !format!("{}{}", self.log_group, self.stream_prefix).contains(SERVICE)
        {
            problems.push("log_group and stream_prefix do not contain $service".to_owned());
        }
        if self.log_group.is_empty() && !self.stream_prefix.is_empty() {
            problems.push("stream_prefix is set without log_group".to_owned());
        }
        problems
    }

    /// Returns what is wrong with where it is and how it is logged in to.
    fn access(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_part = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        };
        if !self.region.chars().all(is_part) {
            problems
                .push("region has other characters than lower-case letters, digits and hyphens".to_owned());
            return problems;
        }
        for (name, secret) in
            [("access_key_id", &self.access_key_id), ("secret_access_key", &self.secret_access_key)]
        {
            if secret.is_empty() {
                problems.push(format!("{name} is empty"));
            }
        }
        // both are sent in headers
        for (name, secret) in [("access_key_id", &self.access_key_id), ("session_token", &self.session_token)]
        {
            if !secret.expose().chars().all(|character| character.is_ascii_graphic()) {
                problems.push(format!("{name} has characters that a header cannot carry"));
            }
        }
        for (name, url) in [("metrics_url", self.metrics_address()), ("logs_url", self.logs_address())] {
            let found = Access::without_login(&url, Path::new("")).validate();
            problems.extend(found.into_iter().map(|problem| problem.replacen("url", name, 1)));
        }
        let host = self.metrics_address();
        let files = Access::without_login(&host, &self.ca_file).validate();
        problems.extend(files.into_iter().filter(|problem| problem.starts_with("ca_file")));
        if self.metrics.is_empty() && self.log_group.is_empty() {
            problems.push("region is set, and neither metrics nor log_group".to_owned());
        }
        problems
    }
}

impl Metric {
    /// Returns everything that is wrong, as the end of a line each.
    fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let names = [(".namespace", &self.namespace), (".name", &self.name)].into_iter();
        let dimensions = self.dimensions.keys().map(|name| (".dimensions", name));
        for (field, name) in names.chain(dimensions) {
            let is_name = (1..=MAX_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic());
            if !is_name {
                problems.push(format!("{field} has a name that is empty, too long or not of ASCII letters"));
            }
        }
        if !(PERIOD_S..=MAX_PERIOD_S).contains(&self.period_s) || !self.period_s.is_multiple_of(PERIOD_S) {
            problems.push(format!(".period_s {} is no multiple of 60 from 60 to 300", self.period_s));
        }
        if self.dimensions.len() > MAX_DIMENSIONS {
            problems.push(".dimensions are more than 30".to_owned());
        }
        if !self.dimensions.values().any(|value| value.contains(SERVICE)) {
            problems.push(".dimensions do not contain $service".to_owned());
        }
        problems
    }
}

/// Puts a service into a template. A name that contains the placeholder is not filled again.
pub fn fill(template: &str, service: &str) -> String {
    template.replace(SERVICE, service)
}
