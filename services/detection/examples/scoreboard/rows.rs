//! Single cases: what everybody expects to be found.

use std::fmt::Write as _;
use std::sync::Arc;

use detection::{At, Partition, Settings};
use serde_json::{Value, json};
use shared::events::anomaly::Status;

use crate::shop::START_MS;

const INTERVAL_MS: i64 = 10_000;
const HEALTHY: i64 = 300;

/// A case: a metric, its healthy value, and what each sample reads from the fault on; nothing where it is missing.
type Case = (&'static str, &'static str, f64, fn(i64) -> Option<f64>);

const CASES: [Case; 5] = [
    ("total outage: traffic falls to 0", "request_rate", 200.0, |_| Some(0.0)),
    ("total outage: availability falls to 0", "availability_ratio", 1.0, |_| Some(0.0)),
    ("one sample in seven is NaN, the others 0", "request_rate", 200.0, |i| (i % 7 != 0).then_some(0.0)),
    ("constant, then a step of a tenth", "flux", 45.0, |_| Some(49.5)),
    ("constant 0, then 20 messages of lag more a sample", "consumer_lag", 0.0, |i| {
        Some(20.0 * (i + 1) as f64)
    }),
];

/// Runs each case: 300 healthy samples, then 60 of the fault.
pub(crate) fn score(page: &mut String) -> Value {
    page.push_str(
        "\n## Single cases\n\n300 healthy samples (constant, or traffic that varies by 5 %), then the fault. Delay in samples \
         to the first `firing`. Lines that stop coming altogether are no sample, and not judged by a series.\n\n\
         | case | delay |\n|---|---|\n",
    );
    let mut all = serde_json::Map::new();
    for (name, metric, level, fault) in CASES {
        let settings = Settings { partitions: 1, ..Settings::default() };
        let mut partition = Partition::new(0, Arc::new(settings));
        let mut delay = None;
        for i in 0..HEALTHY + 60 {
            let swing =
                if metric == "request_rate" { 0.05 * ((i * 7919 % 13) as f64 / 6.0 - 1.0) } else { 0.0 };
            let value = if i < HEALTHY { Some(level * (1.0 + swing)) } else { fault(i - HEALTHY) };
            let value = value.map_or("NaN".to_owned(), |value| value.to_string());
            let ts_ms = START_MS + i * INTERVAL_MS;
            let line = format!(r#"{{"service":"s","metric":"{metric}","value":{value},"ts_ms":{ts_ms}}}"#);
            let outcome = partition.metrics(line.as_bytes(), At { offset: i, timestamp_ms: ts_ms });
            if outcome.anomalies.iter().any(|anomaly| anomaly.status == Status::Firing) {
                delay = delay.or(Some(i - HEALTHY));
            }
        }
        let shown = delay.map_or("missed".to_owned(), |delay| delay.to_string());
        let _ = writeln!(page, "| {name} | {shown} |");
        all.insert(name.to_owned(), json!(delay));
    }
    Value::Object(all)
}
