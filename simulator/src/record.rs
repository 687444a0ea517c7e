//! A tick as records for Kafka.

use shared::events::envelope::Headers;
use shared::events::{Deployment, Envelope, Event, Fault, MetricSample, Refusal, Topic, encode};
use shared::ids::{EventId, derive};

use crate::shop::Tick;

/// One record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where to.
    pub topic: Topic,
    /// What decides its partition.
    pub key: String,
    /// CloudEvents headers; none on raw topics.
    pub headers: Headers,
    /// JSON; protobuf where it is an export of OTLP.
    pub payload: Vec<u8>,
}

/// Writes a tick as records: the metrics of each service as one array, all else one by one.
pub fn records(tick: &Tick) -> Result<Vec<Record>, Refusal> {
    let mut records = faults(&tick.faults)?;
    for samples in tick.metrics.chunk_by(|one, next| one.service == next.service) {
        samples.iter().try_for_each(MetricSample::validate)?;
        records.push(Record {
            topic: Topic::RawMetrics,
            key: samples[0].service.clone(),
            headers: Headers::new(),
            payload: serde_json::to_vec(samples)?,
        });
    }
    for line in &tick.logs {
        records.push(raw(Topic::RawLogs, line)?);
    }
    for span in &tick.spans {
        records.push(raw(Topic::RawSpans, span)?);
    }
    records.extend(deployments(&tick.deployments)?);
    Ok(records)
}

/// Writes the ground truth as records, one for each edge of a fault.
pub fn faults(faults: &[Fault]) -> Result<Vec<Record>, Refusal> {
    let record =
        |fault| Ok(Record { headers: envelope(fault).to_headers(), ..raw(Topic::SimFaults, fault)? });
    faults.iter().map(record).collect()
}

/// Writes changes as records, one each.
pub fn deployments(changes: &[Deployment]) -> Result<Vec<Record>, Refusal> {
    changes.iter().map(|change| raw(Topic::RawDeployments, change)).collect()
}

fn raw<E: Event>(topic: Topic, event: &E) -> Result<Record, Refusal> {
    Ok(Record { topic, key: event.subject(), headers: Headers::new(), payload: encode(event)? })
}

fn envelope(fault: &Fault) -> Envelope {
    let phase = format!("{:?}", fault.phase);
    let id =
        derive(&["event", Fault::TYPE, &fault.environment, &fault.service, &phase, &fault.at.to_string()]);
    Envelope::of(fault, EventId(id), "simulator", fault.at, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shop;
    use crate::service::{Metric, Service};

    #[test]
    fn each_service_writes_its_samples_as_one_record_under_its_name() {
        let tick = Shop::new(crate::Options::default()).tick(1_700_000_000_000);
        let records = records(&tick).unwrap();
        let metrics: Vec<_> = records.iter().filter(|record| record.topic == Topic::RawMetrics).collect();
        assert_eq!(
            metrics.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(),
            Service::ALL.map(Service::name)
        );
        for record in metrics {
            let samples: Vec<MetricSample> = serde_json::from_slice(&record.payload).unwrap();
            assert_eq!(samples.len(), Metric::ALL.len());
            assert!(samples.iter().all(|sample| sample.service == record.key));
        }
        let span = records.iter().find(|record| record.topic == Topic::RawSpans).unwrap();
        let decoded: shared::events::Span = shared::events::decode(&span.payload).unwrap();
        assert_eq!(span.key, decoded.trace_id);
    }
}
