//! What a sample must not cost, and that it is read as everyone else reads it.

use std::path::Path;
use std::sync::Arc;

use detection::sample::{Element, Reader};
use detection::{At, Partition};
use shared::events::{MetricSample, decode};

use crate::shop::{Noise, START_MS, Source};

#[test]
fn a_sample_of_a_known_series_allocates_nothing() {
    let mut source = Source::new(Noise::Uniform, 1);
    let mut record = |tick: i64| {
        let samples: Vec<String> = (0..40)
            .map(|series| {
                let value = 50.0 + source.draw();
                let ts_ms = START_MS + tick * 10_000;
                format!(r#"{{"service":"user","metric":"m{series}","value":{value},"ts_ms":{ts_ms}}}"#)
            })
            .collect();
        format!("[{}]", samples.join(","))
    };
    let (known, next): (Vec<String>, Vec<String>) =
        ((0..600).map(&mut record).collect(), (600..900).map(&mut record).collect());
    let mut partition = Partition::new(0, Arc::default());
    let mut feed = |records: &[String], from: i64| {
        let mut told = 0;
        for (offset, payload) in records.iter().enumerate() {
            let at = At { offset: from + offset as i64, timestamp_ms: None };
            let outcome = partition.metrics(payload.as_bytes(), at);
            assert_eq!(outcome.used, 40);
            told += outcome.anomalies.len();
        }
        told
    };
    feed(&known, 0);
    let allocations = allocation_counter::measure(|| assert_eq!(feed(&next, 600), 0)).count_total;
    assert_eq!(allocations, 0, "in {} samples", 40 * next.len());
}

#[test]
fn golden_samples_are_read_as_the_shared_type_reads_them() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tests/golden/firewatch.metric.v1");
    let mut read = Vec::new();
    for file in std::fs::read_dir(golden).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "schema.json" {
            continue;
        }
        let payload = std::fs::read(&path).unwrap();
        let expected: MetricSample = decode(&payload).unwrap();
        for payload in [payload.clone(), [b"[", payload.as_slice(), b"]"].concat()] {
            let mut samples = Vec::new();
            let result = Reader::default().read(&payload, |element| {
                let Element::Sample(sample) = element else { return };
                samples.push((
                    sample.service.to_string(),
                    sample.metric.to_string(),
                    sample.value,
                    sample.ts_ms,
                ));
                assert_eq!(sample.environment(), expected.environment, "{name}");
                assert_eq!(sample.unit(), expected.unit.as_deref().unwrap_or_default(), "{name}");
            });
            if name == "extreme.json" {
                // what no clock and no gauge says is refused here, where it would be taken for normal
                assert!(samples.is_empty() && result.is_err(), "{name}");
                continue;
            }
            result.unwrap();
            let MetricSample { service, metric, value, ts_ms, .. } = expected.clone();
            assert_eq!(samples, [(service, metric, value, ts_ms)], "{name}");
        }
        read.push(name);
    }
    assert!(read.len() >= 4, "{read:?}");
}
