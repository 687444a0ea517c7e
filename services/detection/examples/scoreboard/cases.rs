//! Single cases: what everybody expects to be found.

use std::fmt::Write as _;
use std::sync::Arc;

use detection::{At, Partition, Settings};
use serde_json::{Map, Value, json};
use shared::bus::tick::SHORTEST;
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

/// Who reports, and of whom one then stops.
const SILENCES: [(&str, &[&str]); 2] = [
    ("one of three services stops", &["stops", "second", "third"]),
    ("the only service of a partition stops", &["stops"]),
];

/// What was found how late: in samples, and where there is none, in seconds.
pub(crate) struct Cases {
    pub(crate) samples: Value,
    pub(crate) seconds: Value,
}

/// Runs each case: 300 healthy samples, then 60 of the fault.
pub(crate) fn score(page: &mut String) -> Cases {
    page.push_str(
        "\n## Single cases\n\n300 healthy samples (constant, or traffic that varies by 5 %), then the fault, 10 s a sample. Delay in \
         samples from the first one with the fault in it, which counts as 0, to the first `firing`.\n\n\
         | case | delay |\n|---|---|\n",
    );
    let samples = deviations(page);
    page.push_str(
        "\nA service whose lines stop altogether has no sample to be judged: time passes by the reports of others, or, where there are \
         none, by the ticks that the runtime writes into the log (`adr/0009-time-is-written-into-the-log.md`). 300 reports, then \
         silence: seconds from the last report to the first `firing`.\n\n\
         | case | 10 s between reports | 1 min |\n|---|---|---|\n",
    );
    Cases { samples, seconds: silences(page) }
}

fn deviations(page: &mut String) -> Value {
    let mut all = Map::new();
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
            let outcome = partition.metrics(line.as_bytes(), At { offset: i, timestamp_ms: Some(ts_ms) });
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

fn silences(page: &mut String) -> Value {
    let mut all = Map::new();
    for (name, services) in SILENCES {
        let seconds = [10, 60].map(|interval_s| silence(services, interval_s));
        let shown = seconds.map(|one| one.map_or("missed".to_owned(), |one| format!("{one} s")));
        let _ = writeln!(page, "| {name} | {} | {} |", shown[0], shown[1]);
        all.insert(name.to_owned(), json!({ "10s": seconds[0], "60s": seconds[1] }));
    }
    Value::Object(all)
}

/// Lets the first of some services stop after 300 reports, and an hour pass. Returns how long it takes to be missed,
/// seconds.
fn silence(services: &[&str], interval_s: i64) -> Option<i64> {
    let mut partition = Partition::new(0, Arc::new(Settings { partitions: 1, ..Settings::default() }));
    let (last_s, mut heard_s, mut offset) = ((HEALTHY - 1) * interval_s, 0, 0);
    for now_s in 0..last_s + 3600 {
        let ts_ms = START_MS + now_s * 1000;
        let mut records = Vec::new();
        if now_s % interval_s == 0 {
            let reporting = services.iter().skip(usize::from(now_s > last_s));
            records.extend(reporting.map(|service| {
                format!(r#"{{"service":"{service}","metric":"request_rate","value":200,"ts_ms":{ts_ms}}}"#)
            }));
        }
        // as the runtime does: it looks once a second
        let quiet_s = now_s - heard_s;
        let patience_ms = partition.patience_ms();
        if records.is_empty()
            && quiet_s >= SHORTEST.as_secs() as i64
            && patience_ms.is_some_and(|patience_ms| quiet_s * 1000 >= patience_ms)
        {
            records.push("[]".to_owned());
        }
        for record in records {
            (heard_s, offset) = (now_s, offset + 1);
            let outcome = partition.metrics(record.as_bytes(), At { offset, timestamp_ms: Some(ts_ms) });
            if outcome.anomalies.iter().any(|anomaly| anomaly.status == Status::Firing) {
                return Some(now_s - last_s);
            }
        }
    }
    None
}
