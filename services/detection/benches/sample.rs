//! What one sample costs: read, judged by its series, and both with everything between them.
//!
//! `cargo bench -p detection`, or `make bench` with all other figures.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use detection::metric_profile::Metric;
use detection::sample::{Element, Reader};
use detection::series::Series;
use detection::series::alarm_budget::FiringThreshold;
use detection::{At, Partition, Settings};
use simulator::{Options, Shop};

const START_MS: i64 = 1_767_225_600_000;
const METRIC: &str = "latency_p99_ms";
const INTERVAL_MS: i64 = 10_000;
/// Ticks of the shop before anything is measured, and that are measured: a day each.
const TICKS: i64 = 8_640;

/// Returns the records of a day of the shop, an array of one service's samples each, and how many samples they hold.
fn records(shop: &mut Shop, day: i64) -> (Vec<(i64, Vec<u8>)>, u64) {
    let (mut records, mut count) = (Vec::new(), 0);
    for tick in 0..TICKS {
        let ts_ms = START_MS + (day * TICKS + tick) * INTERVAL_MS;
        let samples = shop.tick(ts_ms).metrics;
        count += samples.len() as u64;
        for of_service in samples.chunk_by(|a, b| a.service == b.service) {
            records.push((ts_ms, serde_json::to_vec(of_service).expect("samples can be written")));
        }
    }
    (records, count)
}

fn sample(c: &mut Criterion) {
    let settings = Settings::default();
    let mut shop = Shop::new(Options { seed: 1, ..Options::default() });
    let (before, _) = records(&mut shop, 0);
    let (day, count) = records(&mut shop, 1);
    let mut group = c.benchmark_group("sample");
    group.throughput(Throughput::Elements(count)).sample_size(10);

    let mut reader = Reader::default();
    group.bench_function("parse", |b| {
        b.iter(|| {
            for (_, payload) in &day {
                let take = |element: Element<'_>| {
                    black_box(element);
                };
                reader.read(payload, take).expect("good samples");
            }
        });
    });

    let mut values = Vec::new();
    for (ts_ms, payload) in before.iter().chain(&day) {
        let take = |element: Element<'_>| {
            let Element::Sample(sample) = element else { return };
            let is_it = sample.service == "payment" && sample.metric == METRIC;
            values.extend(is_it.then_some((*ts_ms, sample.value)));
        };
        reader.read(payload, take).expect("good samples");
    }
    assert!(!values.is_empty(), "the shop does not tell {METRIC}");
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("observe", |b| {
        b.iter(|| {
            let mut series = Series::new(Metric::new(METRIC, "ms", &settings.metrics));
            for &(ts_ms, value) in &values {
                drop(black_box(series.observe(ts_ms, value, &FiringThreshold::default(), &settings)));
            }
        });
    });

    group.throughput(Throughput::Elements(count));
    let shared = Arc::new(settings.clone());
    let state = {
        let mut partition = Partition::new(0, Arc::clone(&shared));
        for (offset, (ts_ms, payload)) in before.iter().enumerate() {
            partition.metrics(payload, At { offset: offset as i64, timestamp_ms: Some(*ts_ms) });
        }
        partition.snapshot()
    };
    let restore = || {
        let records = state.records.iter().map(|record| (record.key.as_str(), record.value.as_slice()));
        Partition::restore(0, Arc::clone(&shared), records).partition
    };
    group.bench_function("parse and score", |b| {
        b.iter_batched(
            restore,
            |mut partition| {
                for (offset, (ts_ms, payload)) in day.iter().enumerate() {
                    let offset = (before.len() + offset) as i64;
                    drop(black_box(partition.metrics(payload, At { offset, timestamp_ms: Some(*ts_ms) })));
                }
                partition
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, sample);
criterion_main!(benches);
