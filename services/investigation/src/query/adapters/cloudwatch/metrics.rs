//! Metrics: `GetMetricData` with one metric for each thing that is measured.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::events::Question;
use shared::events::anomaly::Point;
use shared::events::evidence::{Answer, MAX_POINTS};
use shared::events::question::{Role, Subject};
use tokio::time::Instant;

use super::MAX_PAGES;
use super::api::Api;
use crate::query::compare::unit;
use crate::query::options::{CloudWatch, Metric, fill};
use crate::query::source::{Failure, QuerySource};

/// Time after which the values of a period are taken to have arrived. AWS guarantees none.
const ARRIVAL: SignedDuration = SignedDuration::from_mins(2);

/// Asks CloudWatch for metrics.
pub struct MetricSource {
    api: Api,
    metrics: BTreeMap<Role, Metric>,
}

impl MetricSource {
    /// Makes the source; nothing is connected yet.
    pub fn new(options: &CloudWatch) -> Result<Self> {
        Ok(Self { api: Api::metrics(options)?, metrics: options.metrics.clone() })
    }

    /// Uses that clock.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { api: self.api.with_clock(clock), ..self }
    }

    /// Returns when the last period ends that can be read, in seconds: a total is too low until all of its values have arrived.
    fn end(&self, metric: &Metric, to: Timestamp) -> i64 {
        let arrived = || self.api.clock().now().saturating_sub(ARRIVAL).unwrap_or(to);
        let to = if metric.statistic.is_total() { to.min(arrived()) } else { to };
        to.as_second() - to.as_second().rem_euclid(i64::from(metric.period_s))
    }

    /// Gets the values of a metric by time, milliseconds.
    async fn values(
        &self,
        metric: &Metric,
        question: &Question,
        deadline: Instant,
    ) -> Result<BTreeMap<i64, f64>, Failure> {
        let period = i64::from(metric.period_s);
        let (from, to) = (question.from.as_second(), self.end(metric, question.to));
        let from = from - from.rem_euclid(period);
        let mut values = BTreeMap::new();
        if from >= to {
            return Ok(values);
        }
        let mut request = request(metric, &question.service, from, to);
        for _ in 0..MAX_PAGES {
            let page: Document = self.api.call(&request, deadline).await?;
            if !page.messages.is_empty() {
                return Err(Failure::Partial);
            }
            let token = page.next_token.filter(|token| !token.is_empty());
            for series in page.metric_data_results {
                series.check(token.is_some())?;
                for (at, value) in series.timestamps.into_iter().zip(series.values) {
                    // a value is stored under the begin of its period, and is known at the end; saturates
                    let end = (at.round() as i64).saturating_add(period);
                    values.insert(end.saturating_mul(1_000), value);
                }
            }
            if values.len() > MAX_POINTS {
                return Err(Failure::TooLarge);
            }
            let Some(token) = token else { return Ok(values) };
            request["NextToken"] = token.into();
        }
        Err(Failure::Partial)
    }
}

fn request(metric: &Metric, service: &str, from: i64, to: i64) -> Value {
    let dimensions: Vec<Value> = metric
        .dimensions
        .iter()
        .map(|(name, value)| json!({ "Name": name, "Value": fill(value, service) }))
        .collect();
    json!({
        "MetricDataQueries": [{ "Id": "m", "MetricStat": {
            "Metric": { "Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions },
            "Period": metric.period_s,
            "Stat": metric.statistic,
        } }],
        "StartTime": from,
        "EndTime": to,
        "ScanBy": "TimestampAscending",
        "MaxDatapoints": MAX_POINTS,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    metric_data_results: Vec<Series>,
    #[serde(default)]
    messages: Vec<Value>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    #[serde(default)]
    timestamps: Vec<f64>,
    #[serde(default)]
    values: Vec<f64>,
    status_code: Option<String>,
}

impl Series {
    /// Fails unless it is complete, or the rest is on another page.
    fn check(&self, has_next: bool) -> Result<(), Failure> {
        if self.timestamps.len() != self.values.len() {
            return Err(Failure::Malformed("not as many values as times".to_owned()));
        }
        match self.status_code.as_deref() {
            Some("Complete") => Ok(()),
            Some("PartialData") if has_next => Ok(()),
            Some("Forbidden") => Err(Failure::Refused("Forbidden".to_owned())),
            Some("PartialData" | "InternalError") => Err(Failure::Partial),
            other => Err(Failure::Malformed(format!("status {other:?}"))),
        }
    }
}

#[async_trait]
impl QuerySource for MetricSource {
    fn name(&self) -> &'static str {
        "cloudwatch"
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Series { role } if self.metrics.contains_key(&role))
    }

    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let none = || Failure::Malformed("no question for CloudWatch".to_owned());
        let Subject::Series { role } = question.subject else { return Err(none()) };
        let metric = self.metrics.get(&role).ok_or_else(none)?;
        // a value of a dimension has these characters only, so any other service has no metric
        if !question.service.chars().all(|character| matches!(character, ' '..='~')) {
            return Err(Failure::Unknown(question.service.clone()));
        }
        let values = self.values(metric, question, deadline).await?;
        let unit = unit(role);
        let is_rate = unit == "1/s" && metric.statistic.is_total();
        let divisor = if is_rate { f64::from(metric.period_s) } else { 1.0 };
        let points =
            values.into_iter().map(|(ts_ms, value)| Point { ts_ms, value: value / divisor }).collect();
        Ok(Answer::Series { unit: unit.to_owned(), points })
    }
}
