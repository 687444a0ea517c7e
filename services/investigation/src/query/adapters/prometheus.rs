//! Prometheus: `/api/v1/query_range`, one template of PromQL for each thing that is measured.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use serde::Deserialize;
use shared::events::Question;
use shared::events::anomaly::Point;
use shared::events::evidence::{Answer, MAX_POINTS};
use shared::events::question::{Role, Subject};
use tokio::time::Instant;

use crate::query::compare::unit;
use crate::query::http::Client;
use crate::query::options::Prometheus;
use crate::query::source::{Failure, QuerySource};

/// Time between two values.
const STEP_S: u32 = 15;
/// Most series that are read; of several the largest value at each time counts.
const MAX_SERIES: usize = 20;
/// Longest template, bytes.
const MAX_TEMPLATE: usize = 2_000;

/// Asks Prometheus.
pub struct PrometheusSource {
    client: Client,
    templates: BTreeMap<Role, String>,
}

impl PrometheusSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &Prometheus) -> Result<Self> {
        Ok(Self { client: Client::new(options.access())?, templates: options.templates.clone() })
    }

    /// Returns the query of a role for a service.
    pub fn query(&self, role: Role, service: &str) -> String {
        fill(self.templates.get(&role).map_or_else(|| template(role), String::as_str), service)
    }
}

/// Returns the embedded template, for the exporters that are most used: cAdvisor and kube-state-metrics, Micrometer's HikariCP
/// metrics, kafka_exporter, and node_exporter for disks.
pub fn template(role: Role) -> &'static str {
    match role {
        Role::CpuUsage => {
            r#"100 * sum(rate(container_cpu_usage_seconds_total{container="$service"}[2m])) / sum(kube_pod_container_resource_limits{container="$service",resource="cpu"})"#
        }
        Role::CpuThrottling => {
            r#"100 * sum(increase(container_cpu_cfs_throttled_periods_total{container="$service"}[2m])) / sum(increase(container_cpu_cfs_periods_total{container="$service"}[2m]))"#
        }
        Role::MemoryUsage => {
            r#"100 * max(sum by (namespace,pod) (container_memory_working_set_bytes{container="$service"}) / on(namespace,pod) sum by (namespace,pod) (kube_pod_container_resource_limits{container="$service",resource="memory"}))"#
        }
        Role::Restarts => r#"sum(kube_pod_container_status_restarts_total{container="$service"})"#,
        Role::Instances => {
            r#"sum(kube_deployment_status_replicas_available{deployment="$service"}) or sum(up{job="$service"})"#
        }
        Role::PoolWaiting => r#"sum(hikaricp_connections_pending{application="$service"})"#,
        Role::ConsumerLag => r#"sum(kafka_consumergroup_lag{consumergroup="$service"})"#,
        Role::DiskUsage => {
            r#"100 * max(kubelet_volume_stats_used_bytes{persistentvolumeclaim=~"(data-)?$pattern(-(data|[0-9]+))*"} / kubelet_volume_stats_capacity_bytes) or 100 * (1 - min(node_filesystem_avail_bytes{job="$service",fstype!~"tmpfs|overlay"} / node_filesystem_size_bytes))"#
        }
        Role::Requests => r#"sum(rate(http_server_requests_seconds_count{application="$service"}[2m]))"#,
        Role::DroppedPackets => {
            r#"sum(rate(container_network_receive_packets_dropped_total{pod=~"$pattern(-[bcdfghjklmnpqrstvwxz0-9]{1,10}){1,2}"}[2m])) + sum(rate(container_network_transmit_packets_dropped_total{pod=~"$pattern(-[bcdfghjklmnpqrstvwxz0-9]{1,10}){1,2}"}[2m]))"#
        }
    }
}

/// Returns what is wrong with a template.
pub fn check_template(template: &str) -> Result<(), &'static str> {
    if template.len() > MAX_TEMPLATE {
        return Err("is longer than 2,000 bytes");
    }
    if !template.contains("$service") && !template.contains("$pattern") {
        return Err("contains neither $service nor $pattern");
    }
    // between backticks nothing is escaped, and a name is never part of the language
    let mut quote = None;
    let mut rest = template.chars();
    while let Some(character) = rest.next() {
        let is_placeholder =
            character == '$' && ["service", "pattern"].iter().any(|name| rest.as_str().starts_with(name));
        match quote {
            None if is_placeholder => return Err("has a placeholder outside of quotes"),
            None if matches!(character, '"' | '\'' | '`') => quote = Some(character),
            Some('`') if is_placeholder => return Err("has a placeholder between backticks"),
            Some('"' | '\'') if character == '\\' => {
                rest.next();
            }
            Some(open) if open == character => quote = None,
            _ => {}
        }
    }
    Ok(())
}

/// Puts a service into a template: `$service` as part of a string, `$pattern` as part of a string that is a regular expression.
pub fn fill(template: &str, service: &str) -> String {
    let mut pattern = String::new();
    for character in service.chars() {
        if r"\.+*?()|[]{}^$-".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    let mut filled = String::with_capacity(template.len() + service.len());
    let mut rest = template;
    // in one pass, so that a name that contains a placeholder is not filled again
    while let Some(place) = rest.find('$') {
        let (before, after) = rest.split_at(place);
        filled.push_str(before);
        rest = if let Some(after) = after.strip_prefix("$service") {
            filled.push_str(&quoted(service));
            after
        } else if let Some(after) = after.strip_prefix("$pattern") {
            filled.push_str(&quoted(&pattern));
            after
        } else {
            filled.push('$');
            &after[1..]
        };
    }
    filled.push_str(rest);
    filled
}

/// Escapes a text that stands between quotes, double or single.
pub fn quoted(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r"\x22").replace('\'', r"\x27").replace('\n', r"\n")
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    status: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Reads a matrix: of several series the largest value at each time. What is no finite number is left out.
fn read(document: Document) -> Result<Vec<Point>, Failure> {
    if document.status != "success" {
        return Err(Failure::Malformed(format!("status {:?}", document.status)));
    }
    if !document.warnings.is_empty() {
        return Err(Failure::Partial);
    }
    let data = document.data.ok_or_else(|| Failure::Malformed("no data".to_owned()))?;
    if data.result_type != "matrix" {
        return Err(Failure::Malformed(format!("result of type {:?}", data.result_type)));
    }
    if data.result.len() > MAX_SERIES {
        return Err(Failure::TooLarge);
    }
    let mut largest: BTreeMap<i64, f64> = BTreeMap::new();
    for (at, text) in data.result.into_iter().flat_map(|series| series.values) {
        let value = text.parse::<f64>().map_err(|_| Failure::Malformed("a value is no number".to_owned()))?;
        if value.is_finite() && at.is_finite() {
            // saturates
            let ts_ms = (at * 1_000.0).round() as i64;
            let known = largest.entry(ts_ms).or_insert(value);
            *known = known.max(value);
        }
    }
    if largest.len() > MAX_POINTS {
        return Err(Failure::TooLarge);
    }
    Ok(largest.into_iter().map(|(ts_ms, value)| Point { ts_ms, value }).collect())
}

#[async_trait]
impl QuerySource for PrometheusSource {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Series { .. })
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let Subject::Series { role } = question.subject else {
            return Err(Failure::Malformed("no question for Prometheus".to_owned()));
        };
        let query = [
            ("query", self.query(role, &question.service)),
            ("start", question.from.as_second().to_string()),
            ("end", question.to.as_second().to_string()),
            ("step", STEP_S.to_string()),
        ];
        let document = self.client.json(&["api", "v1", "query_range"], &query, deadline).await?;
        Ok(Answer::Series { unit: unit(role).to_owned(), points: read(document)? })
    }
}
