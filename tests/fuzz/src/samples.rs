//! Records of the raw topics, as detection reads them.

use std::sync::Arc;

use detection::sample::{self, Reader, Sample};
use detection::{At, Outcome, Partition};
use shared::events::{Refusal, encode};

/// Time of the records, milliseconds: near the one of the golden messages, so that their samples are in time.
const STAMP_MS: i64 = 1_772_359_210_000;

/// One sample, with its value to the last bit.
type Row = (String, String, String, String, u64, i64);

/// Checks what detection makes of a record. Returns how many samples, lines and deployments were used.
///
/// The fast reader of samples finds what serde_json finds, and each refusal is the same to the word. A partition takes the
/// record from each raw topic without a panic, and its anomalies can be published.
pub fn check(payload: &[u8]) -> u32 {
    if !payload.is_empty() {
        let fast = rows(|take| Reader::default().read(payload, take));
        let by_serde = rows(|take| sample::read(payload, take));
        assert_eq!(fast, by_serde, "the two readers of samples disagree");
    }
    let mut partition = Partition::new(0, Arc::default());
    let at = At { offset: 0, timestamp_ms: Some(STAMP_MS) };
    [partition.deployment(payload, at), partition.metrics(payload, at), partition.log(payload, at)]
        .iter()
        .map(taken)
        .sum()
}

/// Returns the samples that a reader hands over, and the refusal.
fn rows<'a>(
    read: impl FnOnce(&mut dyn FnMut(&Sample<'a>)) -> Result<(), Refusal>,
) -> (Vec<Row>, Result<(), String>) {
    let mut rows = Vec::new();
    let result = read(&mut |sample: &Sample<'a>| {
        let names = [&*sample.service, &*sample.metric, sample.environment(), sample.unit()];
        let [service, metric, environment, unit] = names.map(str::to_owned);
        rows.push((service, metric, environment, unit, sample.value.to_bits(), sample.ts_ms));
    });
    (rows, result.map_err(|refusal| format!("{}: {refusal}", refusal.reason())))
}

fn taken(outcome: &Outcome) -> u32 {
    for anomaly in &outcome.anomalies {
        assert!(encode(anomaly).is_ok(), "an anomaly cannot be published: {anomaly:?}");
    }
    outcome.used
}
