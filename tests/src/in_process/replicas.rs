//! The way of a tick through the gateway: exports of replicas, read by the gateway's own readers.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use gateway::formats::otlp::{Export, read_protobuf};
use gateway::formats::{Context, generic};
use gateway::identity::Rules;
use gateway::telemetry::{Batch, Limits};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use shared::events::Topic;
use shared::events::envelope::Headers;
use simulator::Tick;
use simulator::otlp::Exporter;
use simulator::record::Record;

/// Replicas of all services, and what the gateway needs to read them.
pub(super) struct Replicas {
    exporter: Exporter,
    identity: Rules,
    limits: Limits,
}

impl Replicas {
    pub(super) fn new(seed: u64, replicas: u32, interval_ms: u64) -> Self {
        let exporter = Exporter::new(seed, replicas, interval_ms, "production");
        Self { exporter, identity: Rules::default(), limits: Limits::default() }
    }

    /// Returns the records that the gateway writes of a tick. Fails where it refuses any item.
    pub(super) fn records(&mut self, tick: &Tick) -> Result<Vec<Record>> {
        let mut found = Vec::new();
        for record in self.exporter.records(tick)? {
            let mut batch = Batch::new(&self.limits, tick.ts_ms);
            match record.topic {
                Topic::RawMetrics => self.read::<ExportMetricsServiceRequest>(&record, tick, &mut batch)?,
                Topic::RawLogs => self.read::<ExportLogsServiceRequest>(&record, tick, &mut batch)?,
                Topic::RawSpans => self.read::<ExportTraceServiceRequest>(&record, tick, &mut batch)?,
                Topic::RawDeployments => {
                    let headers = BTreeMap::new();
                    let context = self.context(tick, &headers);
                    generic::read(&record.payload, generic::Kind::Deployments, &context, &mut batch)?;
                }
                _ => {
                    found.push(record);
                    continue;
                }
            }
            ensure!(batch.refused.is_empty(), "{}", batch.refused.message());
            ensure!(batch.taken.total() > 0, "an export of nothing: {record:?}");
            found.extend(batch.into_records().into_iter().map(|written| Record {
                topic: written.topic,
                key: written.key,
                headers: Headers::new(),
                payload: written.payload,
            }));
        }
        Ok(found)
    }

    fn read<E: Export>(&self, record: &Record, tick: &Tick, batch: &mut Batch) -> Result<()> {
        let headers = BTreeMap::new();
        Ok(read_protobuf::<E>(&record.payload, &self.context(tick, &headers), batch)?)
    }

    fn context<'a>(&'a self, tick: &Tick, headers: &'a BTreeMap<String, String>) -> Context<'a> {
        Context { identity: &self.identity, now_ms: tick.ts_ms, headers }
    }
}
