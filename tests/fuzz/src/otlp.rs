//! Exports of OpenTelemetry, as the gateway reads them.

use std::collections::BTreeMap;

use gateway::formats::otlp::json::FromJson;
use gateway::formats::otlp::{Export, read_json, read_protobuf};
use gateway::formats::{Context, Unreadable};
use gateway::identity::Rules;
use gateway::telemetry::{Batch, Limits, Record};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use shared::events::{Event as _, LogRecord, MAX_PAYLOAD, MetricSample, Span, Topic, decode};

/// Time at which inputs come: a minute after that of the seeds.
const NOW_MS: i64 = 1_772_359_270_000;

/// Reads an input as an export of each signal in each encoding. Returns how many of them it is fit for.
///
/// Every record that is written is read by its consumer. An export in JSON means the same in protobuf.
pub fn check(input: &[u8]) -> usize {
    both::<ExportMetricsServiceRequest>(input)
        + both::<ExportLogsServiceRequest>(input)
        + both::<ExportTraceServiceRequest>(input)
}

fn both<E: Export + FromJson>(input: &[u8]) -> usize {
    let as_protobuf = records(|context, batch| read_protobuf::<E>(input, context, batch));
    let as_json = records(|context, batch| read_json::<E>(input, context, batch));
    if let (Some(records), Ok(export)) = (&as_json, E::from_json(input)) {
        let written = export.encode_to_vec();
        let again = self::records(|context, batch| read_protobuf::<E>(&written, context, batch));
        assert_eq!(Some(records), again.as_ref(), "an export means something else in protobuf");
    }
    usize::from(as_protobuf.is_some()) + usize::from(as_json.is_some())
}

fn records(read: impl FnOnce(&Context<'_>, &mut Batch) -> Result<(), Unreadable>) -> Option<Vec<Record>> {
    let (identity, headers) = (Rules::default(), BTreeMap::new());
    let context = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    read(&context, &mut batch).ok()?;
    assert_eq!(batch.refused.is_empty(), batch.refused.message().is_empty());
    let records = batch.into_records();
    records.iter().for_each(readable);
    Some(records)
}

fn readable(record: &Record) {
    assert!(record.payload.len() <= MAX_PAYLOAD, "a record of {} bytes", record.payload.len());
    assert!(!record.key.is_empty(), "a record without a key");
    let outcome = match record.topic {
        Topic::RawMetrics => serde_json::from_slice::<Vec<MetricSample>>(&record.payload)
            .map_err(|error| error.to_string())
            .and_then(|all| all.iter().try_for_each(|one| one.validate().map_err(|error| error.to_string()))),
        Topic::RawLogs => decode::<LogRecord>(&record.payload).map(drop).map_err(|error| error.to_string()),
        _ => decode::<Span>(&record.payload).map(drop).map_err(|error| error.to_string()),
    };
    assert_eq!(outcome, Ok(()), "{}", String::from_utf8_lossy(&record.payload));
}
