//! `/metrics`: what the simulated services report now, and how the simulator itself is doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};
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
    registry: Registry,
    /// By the name of the metric.
    vitals: BTreeMap<&'static str, GaugeVec>,
    environment: String,
    records: Vec<(Topic, IntCounter)>,
    retries: IntCounter,
    dropped: IntCounterVec,
    ticks: IntCounter,
}

impl Telemetry {
    /// Registers all families. Series of services are absent until the first tick.
    pub fn new(environment: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let mut vitals = BTreeMap::new();
        for metric in Metric::ALL.into_iter().chain(Metric::EXTRA) {
            let family = GaugeVec::new(Opts::new(metric.name(), metric.help()), &["service", "environment"])?;
            registry.register(Box::new(family.clone()))?;
            vitals.insert(metric.name(), family);
        }
        let environment = environment.to_owned();
        let records = IntCounterVec::new(
            Opts::new("simulator_records_total", "Records that were acknowledged."),
            &["topic"],
        )?;
        let retries = IntCounter::new("simulator_retries_total", "Records that had to be sent again.")?;
        let ticks = IntCounter::new("simulator_ticks_total", "Intervals that have passed in the shop.")?;
        registry.register(Box::new(records.clone()))?;
        let dropped = IntCounterVec::new(
            Opts::new("simulator_dropped_total", "Records that were not written."),
            &["reason"],
        )?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(ticks.clone()))?;
        let records = TOPICS.map(|topic| (topic, records.with_label_values(&[topic.name()]))).to_vec();
        Ok(Self(Arc::new(Inner { registry, vitals, environment, records, retries, dropped, ticks })))
    }

    /// Sets the gauges to the samples of a tick. A service that reports none has none.
    pub fn observe(&self, tick: &Tick) {
        let labels = |service| [service, self.0.environment.as_str()];
        for sample in &tick.metrics {
            if let Some(family) = self.0.vitals.get(sample.metric.as_str()) {
                family.with_label_values(&labels(&sample.service)).set(sample.value);
            }
        }
        let reports = |service: &Service| tick.metrics.iter().any(|sample| sample.service == service.name());
        for service in Service::ALL.into_iter().filter(|service| !reports(service)) {
            for family in self.0.vitals.values() {
                // fails where it has never reported
                _ = family.remove_label_values(&labels(service.name()));
            }
        }
        self.0.ticks.inc();
    }

    /// Counts a record that is safe.
    pub fn delivered(&self, topic: Topic) {
        if let Some((_, counter)) = self.0.records.iter().find(|(known, _)| *known == topic) {
            counter.inc();
        }
    }

    /// Counts records that have to be sent again.
    pub fn retried(&self, records: usize) {
        self.0.retries.inc_by(records as u64);
    }

    /// Counts a record that was refused for good.
    pub fn refused(&self) {
        self.0.dropped.with_label_values(&["refused"]).inc();
    }

    /// Returns the page in the Prometheus text format.
    pub fn render(&self) -> String {
        let families = self.0.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| format!("# {error}\n"))
    }
}
