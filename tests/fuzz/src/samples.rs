//! Records of the raw topics, as detection reads them.

use std::sync::Arc;

use detection::sample::{self, Element, Reader};
use detection::{At, Outcome, Partition};
use shared::events::{Refusal, encode};

/// Time of the records, milliseconds: near the one of the golden messages, so that their samples are in time.
const STAMP_MS: i64 = 1_772_359_210_000;

/// One sample, with its value to the last bit, or why an element is refused.
#[derive(Debug, PartialEq, Eq)]
enum Row {
    Sample([String; 4], u64, i64),
    Refused(String),
}

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

/// Returns what a reader hands over, and the refusal.
fn rows(
    read: impl FnOnce(&mut dyn FnMut(Element<'_>)) -> Result<(), Refusal>,
) -> (Vec<Row>, Result<(), String>) {
    let mut rows = Vec::new();
    let result = read(&mut |element: Element<'_>| {
        rows.push(match element {
            Element::Sample(sample) => {
                let names = [&*sample.service, &*sample.metric, sample.environment(), sample.unit()];
                Row::Sample(names.map(str::to_owned), sample.value.to_bits(), sample.ts_ms)
            }
            Element::Refused(source, fault) => Row::Refused(format!("{source:?} {fault:?}")),
        });
    });
    (rows, result.map_err(|refusal| format!("{}: {refusal}", refusal.reason())))
}

fn taken(outcome: &Outcome) -> u32 {
    for anomaly in &outcome.anomalies {
        assert!(encode(anomaly).is_ok(), "an anomaly cannot be published: {anomaly:?}");
    }
    outcome.used
}
