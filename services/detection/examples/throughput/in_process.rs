//! One thread, no bus: the input is a simulated day of the shop at one sample every ten seconds, with faults, as JSON
//! records of one service and tick. Detection and the naive way run in turn; the best of each is told.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use detection::{At, Partition, Settings};
use simulator::{Options, Shop};

use crate::naive::Windows;
use crate::process::thread_s;
use crate::{Figures, tell};
use stack::testing::usage::resident_bytes;

const TICKS: i64 = 8_640;
const INTERVAL_MS: i64 = 10_000;
const START_MS: i64 = 1_767_225_600_000;
const ROUNDS: usize = 5;
/// Services, series of each and samples of each series with which memory is measured.
const SERVICES: usize = 25;
const SERIES: usize = 400;
const FILLED: i64 = 864;
/// Time between those, milliseconds: they fill three days, by when a series has learned its first hours of the week.
const FILLED_EVERY_MS: i64 = 300_000;

/// Measures and prints.
pub(crate) fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let records = records()?;
    let samples = records.iter().map(|(_, _, count)| count).sum::<usize>();
    let bytes = records.iter().map(|(payload, _, _)| payload.len()).sum::<usize>();
    let (mut ours, mut naive) = (0.0_f64, 0.0_f64);
    let mut anomalies = 0;
    for _ in 0..ROUNDS {
        let begun = thread_s()?;
        anomalies = score(&records);
        ours = ours.max(samples as f64 / (thread_s()? - begun));
        let begun = thread_s()?;
        let mut windows = Windows::default();
        for (payload, _, _) in &records {
            black_box(windows.take(payload)?);
        }
        naive = naive.max(samples as f64 / (thread_s()? - begun));
    }
    println!("in process           {samples} samples in {} records, {bytes} bytes", records.len());
    println!("anomaly revisions    {anomalies}");
    println!("detection            {ours:.0} samples/s a core, parsed and scored");
    println!("naive                {naive:.0} samples/s a core (JSON tree, window of 240 recomputed)");
    println!("ratio                {:.1}", ours / naive);
    tell(figures, "detection_in_process_per_s_core", ours);
    tell(figures, "naive_in_process_per_s_core", naive);
    if let Some(bytes) = footprint()? {
        println!("bytes per series     {bytes} resident, of {} series with all they keep", SERVICES * SERIES);
        tell(figures, "detection_bytes_per_series", bytes as f64);
    }
    Ok(())
}

/// Returns payload, event time and number of samples of each record.
fn records() -> anyhow::Result<Vec<(Vec<u8>, i64, usize)>> {
    let mut shop = Shop::new(Options { seed: 1, ..Options::default() });
    let mut records = Vec::new();
    for tick in 0..TICKS {
        let ts_ms = START_MS + tick * INTERVAL_MS;
        for samples in shop.tick(ts_ms).metrics.chunk_by(|a, b| a.service == b.service) {
            records.push((serde_json::to_vec(samples)?, ts_ms, samples.len()));
        }
    }
    Ok(records)
}

fn score(records: &[(Vec<u8>, i64, usize)]) -> usize {
    let mut partition = Partition::new(0, Arc::new(Settings::default()));
    let mut anomalies = 0;
    for (offset, (payload, ts_ms, _)) in records.iter().enumerate() {
        let outcome = partition.metrics(payload, At { offset: offset as i64, timestamp_ms: Some(*ts_ms) });
        anomalies += outcome.anomalies.len();
    }
    anomalies
}

/// Returns how much resident memory a series takes with its names, its seasons and its last samples; nothing where the
/// system does not tell.
fn footprint() -> anyhow::Result<Option<u64>> {
    let own = std::process::id();
    let Ok(before) = resident_bytes(own) else { return Ok(None) };
    let mut partition = Partition::new(0, Arc::new(Settings::default()));
    // one buffer for all records: what they take must not be counted
    let mut payload = String::new();
    for i in 0..FILLED {
        let ts_ms = START_MS + i * FILLED_EVERY_MS;
        for service in 0..SERVICES {
            payload.clear();
            for series in 0..SERIES {
                let (before, value) =
                    (if series == 0 { '[' } else { ',' }, 100 + (i * 7 + series as i64) % 13);
                write!(
                    payload,
                    r#"{before}{{"service":"service-{service}","metric":"metric_{series}","unit":"ms","value":{value},"ts_ms":{ts_ms}}}"#
                )?;
            }
            payload.push(']');
            partition.metrics(payload.as_bytes(), At { offset: i, timestamp_ms: Some(ts_ms) });
        }
    }
    anyhow::ensure!(partition.series() == SERVICES * SERIES, "some series were refused");
    Ok(Some(resident_bytes(own)?.saturating_sub(before) / partition.series() as u64))
}
