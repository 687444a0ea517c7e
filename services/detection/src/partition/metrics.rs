//! Metrics of detection, besides those every agent has.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::IntCounter;
use shared::agent::Agent;
use shared::events::{Anomaly, Topic};
use shared::metrics::{Counter, CounterFamily, Gauge, GaugeFamily};

use crate::partition::{Outcome, Partition};
use crate::service::outcome::Unusable;

/// Services that have a label of their own; the others share one.
const MAX_SERVICE_LABELS: usize = 200;
const OTHER_SERVICES: &str = "(others)";

/// Samples and lines that were used.
static USED: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_detection_samples_total", "Samples and log lines used.", ["topic"])
});
/// Samples and lines that were dropped, and anomalies that were invalid.
static DROPPED: Counter<2> = LazyLock::new(|| {
    let help = "Samples and log lines dropped, by reason; invalid anomalies under their own topic.";
    CounterFamily::new("firewatch_detection_dropped_total", help, ["topic", "reason"])
});
/// Records that went to the dead-letter topic.
static REFUSED: Counter<2> = LazyLock::new(|| {
    let help = "Records sent to the dead-letter topic, by reason.";
    CounterFamily::new("firewatch_detection_refused_total", help, ["topic", "reason"])
});
/// Samples that could not be used, by the service that sent them.
static UNUSABLE: Counter<2> = LazyLock::new(|| {
    let help =
        "Samples that could not be used, by service and cause: refused, far ahead, or of too many series.";
    CounterFamily::new("firewatch_detection_unusable_samples_total", help, ["service", "cause"])
});
/// Labelled samples that were folded.
static FOLDED: Counter<1> = LazyLock::new(|| {
    let help =
        "Labelled samples folded into series: of their own dimensions, or of all others beyond the limit.";
    CounterFamily::new("firewatch_detection_folded_total", help, ["dimensions"])
});
/// Services whose clocks are ahead.
static CLOCK_AHEAD: Gauge<1> = LazyLock::new(|| {
    let help = "By how much the clock of a service is ahead of the times of its records, seconds.";
    GaugeFamily::new("firewatch_detection_clock_ahead_seconds", help, ["service"])
});
/// Services that are named in labels.
static NAMED: Mutex<BTreeSet<Box<str>>> = Mutex::new(BTreeSet::new());
/// Revisions that were published.
static ANOMALIES: Counter<1> = LazyLock::new(|| {
    CounterFamily::new("firewatch_detection_anomalies_total", "Revisions of anomalies published.", ["status"])
});
/// Services that report in another partition.
static ELSEWHERE: Counter<1> = LazyLock::new(|| {
    let help = "Services that stopped reporting in a partition and were found in another one.";
    CounterFamily::new("firewatch_detection_elsewhere_total", help, ["topic"])
});
/// Series in memory.
static SERIES: Gauge<1> =
    LazyLock::new(|| GaugeFamily::new("firewatch_detection_series", "Series in memory.", ["partition"]));
/// Distance between a record's time and the newest sample's.
static EVENT_LAG: Gauge<1> = LazyLock::new(|| {
    let help = "Time between the newest sample and the time of its record, seconds.";
    GaugeFamily::new("firewatch_detection_event_lag_seconds", help, ["partition"])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    for counter in [&USED, &ANOMALIES, &ELSEWHERE, &FOLDED] {
        LazyLock::force(counter);
    }
    for counter in [&DROPPED, &REFUSED, &UNUSABLE] {
        LazyLock::force(counter);
    }
    for gauge in [&SERIES, &EVENT_LAG, &CLOCK_AHEAD] {
        LazyLock::force(gauge);
    }
}

/// Counts what was used: the one metric that every record changes, so it is looked up once.
pub struct Used(Vec<(Topic, IntCounter)>);

impl Default for Used {
    fn default() -> Self {
        Self(Agent::Detection.inputs().iter().map(|topic| (*topic, USED.with([topic.name()]))).collect())
    }
}

impl Used {
    /// Counts what was used of one record of `topic`.
    pub fn count(&self, topic: Topic, used: u32) {
        if let Some((_, counter)) = self.0.iter().find(|(of, _)| *of == topic) {
            counter.inc_by(u64::from(used));
        }
    }
}

/// Counts what else came of one record of `topic`: most often nothing.
pub fn count(topic: &'static str, outcome: &Outcome) {
    for (reason, count) in outcome.dropped.iter() {
        DROPPED.add([topic, reason.as_str()], u64::from(count));
    }
    if !outcome.elsewhere.is_empty() {
        ELSEWHERE.add([topic], outcome.elsewhere.len() as u64);
    }
    if let Some(refusal) = &outcome.refused {
        REFUSED.add_one([topic, refusal.reason()]);
    }
    for (dimensions, count) in
        ["own", "other"].into_iter().zip(outcome.folded).filter(|(_, count)| *count > 0)
    {
        FOLDED.add([dimensions], u64::from(count));
    }
    outcome.unusable.iter().for_each(count_unusable);
}

/// Counts samples that could not be used, and logs it each time their number has doubled.
fn count_unusable(unusable: &Unusable) {
    let Unusable { service, cause, samples } = unusable;
    let counter = UNUSABLE.with([&label(service), cause.as_str()]);
    let before = counter.get();
    counter.inc_by(*samples);
    let total = before + samples;
    if before == 0 || total.ilog2() > before.ilog2() {
        tracing::warn!(%service, cause = cause.as_str(), total, "samples of a service cannot be used");
    }
}

/// Returns the label of a service: its name, unless too many have one already.
fn label(service: &str) -> Box<str> {
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    if named.contains(service) {
        return service.into();
    }
    if named.len() >= MAX_SERVICE_LABELS {
        return OTHER_SERVICES.into();
    }
    named.insert(service.into());
    service.into()
}

/// Counts a revision that is published.
pub fn count_published(anomaly: &Anomaly) {
    ANOMALIES.add_one([&anomaly.status.to_string()]);
}

/// Counts a revision that is dropped because it breaks the contract.
pub fn count_invalid() {
    DROPPED.add_one([Topic::Anomalies.name(), "invalid"]);
}

/// Shows how a partition stands. `now_ms` is the time of its last record, if that is known.
pub fn show(number: i32, partition: &Partition, now_ms: Option<i64>) {
    let number = number.to_string();
    SERIES.set([&number], partition.series() as f64);
    for (service, ahead_ms) in partition.clocks_ahead() {
        CLOCK_AHEAD.set([&label(service)], ahead_ms as f64 / 1000.0);
    }
    if let (Some(now_ms), Some(newest_ms)) = (now_ms, partition.newest_ms()) {
        let lag = now_ms.saturating_sub(newest_ms).max(0) as f64 / 1000.0;
        EVENT_LAG.set([&number], lag);
    }
}
