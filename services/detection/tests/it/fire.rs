//! The simulator's faults, seen by a partition.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use detection::{At, Partition, Settings};
use shared::events::Topic;
use shared::events::anomaly::{Anomaly, Status};
use shared::events::fault::{Phase, Scenario};
use simulator::noise::Noise;
use simulator::schedule::Faults;
use simulator::{Options, Shop, Tick, record};

pub(crate) const START_MS: i64 = 1_750_000_000_000;
pub(crate) const INTERVAL_MS: i64 = 10_000;

/// One run of the simulator.
pub(crate) struct Run {
    /// First tick of each fault, and the first without it.
    pub(crate) burns: Vec<(i64, i64)>,
    /// All revisions, in order.
    pub(crate) anomalies: Vec<Anomaly>,
}

pub(crate) fn watch(faults: Faults, noise: Noise, seed: u64, first: u64, gap: u64, ticks: i64) -> Run {
    watch_beside(faults, noise, seed, first, gap, ticks, |_| {})
}

/// Shows each tick to somebody else as well.
pub(crate) fn watch_beside(
    faults: Faults,
    noise: Noise,
    seed: u64,
    first: u64,
    gap: u64,
    ticks: i64,
    see: impl FnMut(&Tick),
) -> Run {
    watch_every(INTERVAL_MS, faults, noise, seed, first, gap, ticks, see)
}

/// The same at any cadence.
#[allow(clippy::too_many_arguments, reason = "they are what a run of the simulator is made of")]
pub(crate) fn watch_every(
    interval_ms: i64,
    faults: Faults,
    noise: Noise,
    seed: u64,
    first: u64,
    gap: u64,
    ticks: i64,
    mut see: impl FnMut(&Tick),
) -> Run {
    let mut shop = Shop::new(Options {
        seed,
        interval_ms: interval_ms.unsigned_abs(),
        noise,
        faults,
        first_fault_after: first,
        min_gap: gap,
        ..Options::default()
    });
    let mut partition = Partition::new(0, Arc::new(Settings { partitions: 1, ..Settings::default() }));
    let (mut burns, mut anomalies) = (Vec::new(), Vec::new());
    let mut offset = 0;
    for i in 0..ticks {
        let ts_ms = START_MS + i * interval_ms;
        let tick = shop.tick(ts_ms);
        see(&tick);
        for fault in &tick.faults {
            match fault.phase {
                Phase::Started => burns.push((ts_ms, i64::MAX)),
                Phase::Ended => burns.last_mut().unwrap().1 = ts_ms,
            }
        }
        for record in record::records(&tick).unwrap() {
            offset += 1;
            let at = At { offset, timestamp_ms: Some(ts_ms) };
            let outcome = match record.topic {
                Topic::RawMetrics => partition.metrics(&record.payload, at),
                Topic::RawLogs => partition.log(&record.payload, at),
                Topic::RawDeployments => partition.deployment(&record.payload, at),
                _ => continue,
            };
            assert!(outcome.refused.is_none() && outcome.dropped.iter().next().is_none());
            anomalies.extend(outcome.anomalies);
        }
    }
    Run { burns, anomalies }
}

impl Run {
    /// Returns for each (service, metric) when its first episode began to fire at or after `from_ms`.
    pub(crate) fn fired(&self, from_ms: i64) -> BTreeMap<(&str, &str), i64> {
        let (mut fired, mut known) = (BTreeMap::new(), HashSet::new());
        for anomaly in self.anomalies.iter().filter(|anomaly| anomaly.status == Status::Firing) {
            let at = anomaly.observed_at.as_millisecond();
            // one that goes on firing has begun before
            if known.insert(anomaly.anomaly_id) && at >= from_ms {
                fired.entry((anomaly.service.as_str(), anomaly.metric.as_str())).or_insert(at);
            }
        }
        fired
    }
}

/// The culprit's own metric.
pub(crate) fn metric(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::LatencySpike | Scenario::DependencyOutage => "latency_p99_ms",
        Scenario::ErrorSpike | Scenario::BadDeployment => "error_rate",
        Scenario::CpuSaturation | Scenario::NoisyNeighbour => "cpu_percent",
        Scenario::NetworkPartition | Scenario::TrafficDrop | Scenario::Retirement => "request_rate",
        Scenario::DiskFilling => "disk_percent",
        Scenario::CertificateExpiry => "certificate_expiry_seconds",
        Scenario::MemoryLeak => "memory_percent",
        Scenario::DbConnections => "db_connections",
        Scenario::ConsumerLag => "consumer_lag",
    }
}
