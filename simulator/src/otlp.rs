//! A tick as OpenTelemetry's SDKs export it: each service has several replicas, each replica exports its own share as cumulative
//! histograms, sums and gauges with the names of the semantic conventions, and its own log records and spans.
//!
//! What the replicas report adds up to the values of the tick. How it is spread over them has noise of its own.

mod fleet;
mod gauges;
mod requests;
mod signals;
mod sink;
mod wire;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::events::envelope::Headers;
use shared::events::{Deployment, Refusal, Topic};

use crate::record::{Record, deployments, faults};
use crate::service::{Metric, Service};
use crate::shop::Tick;
use fleet::Fleet;
pub use sink::Gateway;

/// Number of the stream of randomness: the shop has others.
const STREAM: u64 = 16;

/// Writes ticks as exports. The same seed and ticks yield the same exports.
#[derive(Debug, Clone)]
pub struct Exporter {
    fleets: Vec<Fleet>,
    rng: ChaCha8Rng,
    interval_ms: u64,
}

/// One service at one tick.
#[derive(Debug, Clone, Copy)]
struct Report<'a> {
    service: Service,
    tick: &'a Tick,
    interval_ms: u64,
}

impl Report<'_> {
    /// Returns the value of a metric, if the service reports it.
    fn value(&self, metric: Metric) -> Option<f64> {
        let of_it = |sample: &&shared::events::MetricSample| {
            sample.service == self.service.name() && sample.metric == metric.name()
        };
        self.tick.metrics.iter().find(of_it).map(|sample| sample.value)
    }
}

impl Exporter {
    /// Begins with `replicas` replicas of each service, at least one.
    pub fn new(seed: u64, replicas: u32, interval_ms: u64, environment: &str) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM);
        let fleet = |service| Fleet::new(service, replicas.max(1), interval_ms, environment, &mut rng);
        let fleets = Service::ALL.map(fleet).into();
        Self { fleets, rng, interval_ms }
    }

    /// Writes a tick as records whose payloads are exports in protobuf: one for each replica and signal. Faults and deployments
    /// are events in JSON.
    pub fn records(&mut self, tick: &Tick) -> Result<Vec<Record>, Refusal> {
        let mut records = faults(&tick.faults)?;
        for fleet in &mut self.fleets {
            fleet.advance(tick.ts_ms, &mut self.rng);
            let report = Report { service: fleet.service, tick, interval_ms: self.interval_ms };
            records.extend(metrics(fleet, report, &mut self.rng));
            records.extend(logs(fleet, report, &mut self.rng));
        }
        records.extend(traces(&self.fleets, tick, &mut self.rng));
        for deployment in tick.deployments.iter().filter(|one| one.change_type != Deployment::RETIRE) {
            let named = |fleet: &&mut Fleet| fleet.service.name() == deployment.service;
            if let Some(fleet) = self.fleets.iter_mut().find(named) {
                fleet.roll_out(&deployment.version);
            }
        }
        records.extend(deployments(&tick.deployments)?);
        Ok(records)
    }
}

fn record(topic: Topic, service: Service, export: &impl Message) -> Record {
    let key = service.name().to_owned();
    Record { topic, key, headers: Headers::new(), payload: export.encode_to_vec() }
}

fn metrics(fleet: &mut Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) -> Vec<Record> {
    let gauges = gauges::measure(fleet, report, rng);
    if gauges.iter().all(Vec::is_empty) {
        return Vec::new();
    }
    requests::serve(fleet, report, rng);
    let service = fleet.service;
    let export = |(replica, mut metrics): (&fleet::Replica, Vec<_>)| {
        metrics.extend(requests::exported(replica, report.tick.ts_ms));
        let scope_metrics =
            vec![ScopeMetrics { scope: Some(wire::scope()), metrics, ..ScopeMetrics::default() }];
        let of_it = ResourceMetrics {
            resource: Some(replica.resource()),
            scope_metrics,
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![of_it] };
        record(Topic::RawMetrics, service, &request)
    };
    fleet.replicas.iter().zip(gauges).map(export).collect()
}

fn logs(fleet: &Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) -> Vec<Record> {
    let export = |(replica, log_records): (&fleet::Replica, Vec<_>)| {
        let scope_logs = vec![ScopeLogs { scope: Some(wire::scope()), log_records, ..ScopeLogs::default() }];
        let of_it =
            ResourceLogs { resource: Some(replica.resource()), scope_logs, ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![of_it] };
        record(Topic::RawLogs, fleet.service, &request)
    };
    let lines = signals::lines(fleet, report, rng);
    fleet.replicas.iter().zip(lines).filter(|(_, lines)| !lines.is_empty()).map(export).collect()
}

fn traces(fleets: &[Fleet], tick: &Tick, rng: &mut ChaCha8Rng) -> Vec<Record> {
    let mut records = Vec::new();
    for (fleet, of_replicas) in fleets.iter().zip(signals::spans(fleets, tick, rng)) {
        for (replica, spans) in fleet.replicas.iter().zip(of_replicas) {
            if spans.is_empty() {
                continue;
            }
            let scope_spans = vec![ScopeSpans { scope: Some(wire::scope()), spans, ..ScopeSpans::default() }];
            let of_it =
                ResourceSpans { resource: Some(replica.resource()), scope_spans, ..ResourceSpans::default() };
            let request = ExportTraceServiceRequest { resource_spans: vec![of_it] };
            records.push(record(Topic::RawSpans, fleet.service, &request));
        }
    }
    records
}
