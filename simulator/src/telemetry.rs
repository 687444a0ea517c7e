//! `/metrics`: what the simulated services report now, and how the simulator itself is doing.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use shared::events::Topic;

use crate::service::{Metric, Service};
use crate::shop::Tick;

/// Topics the simulator writes to.
const TOPICS: [Topic; 5] =
    [Topic::RawMetrics, Topic::RawLogs, Topic::RawSpans, Topic::RawDeployments, Topic::SimFaults];

/// The current values. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    page: PrometheusHandle,
    /// In the order of [`Tick::metrics`].
    vitals: Vec<Gauge>,
    records: Vec<(Topic, Counter)>,
    retries: Counter,
    ticks: Counter,
}

impl Telemetry {
    /// Registers all series. Those of services are absent until the first tick.
    pub fn new(environment: &str) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let environment = environment.to_owned();
        Self(Arc::new(metrics::with_local_recorder(&recorder, || {
            for metric in Metric::ALL {
                describe_gauge!(metric.name(), metric.help());
            }
            describe_counter!("simulator_records_total", "Records that Kafka has acknowledged.");
            describe_counter!("simulator_retries_total", "Records that had to be sent again.");
            describe_counter!("simulator_ticks_total", "Intervals that have passed in the shop.");
            let series =
                Service::ALL.into_iter().flat_map(|service| Metric::ALL.map(|metric| (service, metric)));
            Inner {
                page,
                vitals: series
                    .map(|(service, metric)| {
                        gauge!(metric.name(), "service" => service.name(), "environment" => environment.clone())
                    })
                    .collect(),
                records: TOPICS
                    .map(|topic| (topic, counter!("simulator_records_total", "topic" => topic.name())))
                    .to_vec(),
                retries: counter!("simulator_retries_total"),
                ticks: counter!("simulator_ticks_total"),
            }
        })))
    }

    /// Shows what a tick says.
    pub fn observe(&self, tick: &Tick) {
        for (gauge, sample) in self.0.vitals.iter().zip(&tick.metrics) {
            gauge.set(sample.value);
        }
        self.0.ticks.increment(1);
    }

    /// Counts a record that is safe.
    pub fn delivered(&self, topic: Topic) {
        if let Some((_, counter)) = self.0.records.iter().find(|(known, _)| *known == topic) {
            counter.increment(1);
        }
    }

    /// Counts records that have to be sent again.
    pub fn retried(&self, records: usize) {
        self.0.retries.increment(records as u64);
    }

    /// Returns what renders the page in the Prometheus text format.
    pub fn handle(&self) -> PrometheusHandle {
        self.0.page.clone()
    }
}
