//! How many samples one core parses and scores, in process, beside the naive way: `make bench`.
//!
//! The input is a simulated day of the shop at one sample every ten seconds, with faults, as JSON records of one
//! service and tick. The naive way parses each record into a tree and keeps a window of 240 samples a series, whose
//! mean and deviation it computes anew for every sample. Both run on one thread, several times in turn; the best of
//! each is told, for the machine is shared. Then memory is measured with 40,000 series.

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use detection::{At, Partition, Settings};
use simulator::{Options, Shop};

const TICKS: i64 = 8_640;
const INTERVAL_MS: i64 = 10_000;
const START_MS: i64 = 1_767_225_600_000;
const ROUNDS: usize = 5;
/// Services, series of each and samples of each series with which memory is measured.
const SERVICES: usize = 100;
const SERIES: usize = 400;
const FILLED: i64 = 70;

fn main() -> anyhow::Result<()> {
    let records = records()?;
    let samples = records.iter().map(|(_, _, count)| count).sum::<usize>();
    let bytes = records.iter().map(|(payload, _, _)| payload.len()).sum::<usize>();
    let (mut ours, mut naive) = (0.0_f64, 0.0_f64);
    let mut anomalies = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        anomalies = score(&records);
        ours = ours.max(samples as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        black_box(naively(&records)?);
        naive = naive.max(samples as f64 / begun.elapsed().as_secs_f64());
    }
    println!("samples              {samples} in {} records, {bytes} bytes", records.len());
    println!("anomaly revisions    {anomalies}");
    println!("detection            {ours:.0} samples/s on one core, parsed and scored in process");
    println!("naive                {naive:.0} samples/s (JSON tree, window of 240 recomputed)");
    println!("ratio                {:.1}", ours / naive);
    let bytes_per_series = footprint()?;
    if let Some(bytes) = bytes_per_series {
        println!("bytes per series     {bytes} resident, of {} series with all they keep", SERVICES * SERIES);
    }
    let summary = serde_json::json!({
        "samples": samples,
        "detection_bytes_per_series": bytes_per_series,
        "detection_in_process_per_s_core": ours.round(),
        "naive_in_process_per_s_core": naive.round(),
        "ratio": ours / naive,
    });
    std::fs::create_dir_all("target/bench")?;
    std::fs::write("target/bench/summary.json", serde_json::to_vec_pretty(&summary)?)?;
    Ok(())
}

/// Returns payload, event time and number of samples of each record.
fn records() -> anyhow::Result<Vec<(Vec<u8>, i64, usize)>> {
    let mut shop = Shop::new(Options { seed: 1, ..Options::default() });
    let mut records = Vec::new();
    for tick in 0..TICKS {
        let ts_ms = START_MS + tick * INTERVAL_MS;
        let mut by_service: HashMap<String, Vec<_>> = HashMap::new();
        for sample in shop.tick(ts_ms).metrics {
            by_service.entry(sample.service.clone()).or_default().push(sample);
        }
        for samples in by_service.into_values() {
            records.push((serde_json::to_vec(&samples)?, ts_ms, samples.len()));
        }
    }
    Ok(records)
}

/// Returns how much resident memory a series takes with its names, its season and its last samples; nothing where the
/// system does not tell.
fn footprint() -> anyhow::Result<Option<usize>> {
    let Some(before) = resident() else { return Ok(None) };
    let mut partition = Partition::new(0, Arc::new(Settings::default()));
    for i in 0..FILLED {
        let ts_ms = START_MS + i * INTERVAL_MS;
        for service in 0..SERVICES {
            let samples: Vec<_> = (0..SERIES)
                .map(|series| {
                    let value = 100 + (i * 7 + series as i64) % 13;
                    serde_json::json!({"service": format!("service-{service}"), "metric": format!("metric_{series}"),
                        "value": value, "ts_ms": ts_ms})
                })
                .collect();
            partition.metrics(&serde_json::to_vec(&samples)?, At { offset: i, timestamp_ms: ts_ms });
        }
    }
    anyhow::ensure!(partition.series() == SERVICES * SERIES, "some series were refused");
    Ok(resident().map(|after| after.saturating_sub(before) / partition.series()))
}

/// Returns the resident memory of this process, bytes.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

fn score(records: &[(Vec<u8>, i64, usize)]) -> usize {
    let mut partition = Partition::new(0, Arc::new(Settings::default()));
    let mut anomalies = 0;
    for (offset, (payload, ts_ms, _)) in records.iter().enumerate() {
        let outcome = partition.metrics(payload, At { offset: offset as i64, timestamp_ms: *ts_ms });
        anomalies += outcome.anomalies.len();
    }
    anomalies
}

fn naively(records: &[(Vec<u8>, i64, usize)]) -> anyhow::Result<usize> {
    let mut windows: HashMap<String, VecDeque<f64>> = HashMap::new();
    let mut alarms = 0;
    for (payload, _, _) in records {
        let tree: serde_json::Value = serde_json::from_slice(payload)?;
        for sample in tree.as_array().into_iter().flatten() {
            let window = windows.entry(format!("{}/{}", sample["service"], sample["metric"])).or_default();
            let value = sample["value"].as_f64().unwrap_or_default();
            let count = window.len().max(1) as f64;
            let mean = window.iter().sum::<f64>() / count;
            let deviation = (window.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
            alarms += usize::from(window.len() > 30 && (value - mean).abs() > 3.0 * deviation);
            window.push_back(value);
            if window.len() > 240 {
                window.pop_front();
            }
        }
    }
    Ok(alarms)
}
