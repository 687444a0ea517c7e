//! Healthy deployments: decoys for whatever judges a change. The healthy shop goes through a partition with them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use detection::{At, Outcome, Partition, Settings};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shared::events::anomaly::{Anomaly, Status};
use shared::ids::AnomalyId;

use crate::shop::{METRICS, Noise, SERVICES, START_MS, Source, healthy};

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// Places in `METRICS`.
pub(crate) const TRAFFIC: usize = 0;
pub(crate) const LATENCY: usize = 2;
const CPU: usize = 3;
const MEMORY: usize = 4;

/// Part of the traffic that one or two samples after a deployment lack, and by which their latency is longer.
const BLIP: f64 = 0.1;

/// One value for each metric of each service.
pub(crate) type Values = [[f64; METRICS.len()]; SERVICES.len()];

/// The healthy shop with deployments that harm nobody, tick by tick.
pub(crate) struct HealthyShop {
    interval_ms: i64,
    ts_ms: i64,
    sources: Vec<[Source; METRICS.len()]>,
    releases: Vec<Releases>,
}

/// What the shop says at one time.
pub(crate) struct Tick {
    pub(crate) ts_ms: i64,
    /// When a service was deployed since the tick before.
    pub(crate) deployed: [Option<i64>; SERVICES.len()],
    pub(crate) values: Values,
}

/// The deployments of one service.
struct Releases {
    rng: ChaCha8Rng,
    next_ms: i64,
    /// Samples of the blip that are still to come.
    blip: u32,
    /// What the deployments so far have made of each metric, as parts of what it was.
    level: [f64; METRICS.len()],
}

impl HealthyShop {
    /// Opens the shop. The noise of a seed is that of `shop::quiet`: deployments are drawn from streams of their own.
    pub(crate) fn new(noise: Noise, interval_ms: i64, seed: u64) -> Self {
        let number = |service: usize| seed * 1000 + (service * METRICS.len()) as u64;
        let sources =
            |service| std::array::from_fn(|metric| Source::new(noise, number(service) + metric as u64));
        Self {
            interval_ms,
            ts_ms: START_MS,
            sources: (0..SERVICES.len()).map(sources).collect(),
            releases: (0..SERVICES.len()).map(|service| Releases::new(number(service))).collect(),
        }
    }

    /// Cancels all deployments: the same noise without decoys.
    pub(crate) fn without_deployments(mut self) -> Self {
        self.releases.iter_mut().for_each(|releases| releases.next_ms = i64::MAX);
        self
    }

    /// Lets one interval pass.
    pub(crate) fn tick(&mut self) -> Tick {
        let ts_ms = self.ts_ms;
        self.ts_ms += self.interval_ms;
        let mut tick = Tick { ts_ms, deployed: [None; SERVICES.len()], values: Values::default() };
        for (service, (_, bases)) in SERVICES.iter().enumerate() {
            let releases = &mut self.releases[service];
            tick.deployed[service] = releases.advance(ts_ms);
            let factors = releases.factors();
            for (metric, source) in self.sources[service].iter_mut().enumerate() {
                tick.values[service][metric] =
                    healthy(bases[metric] * factors[metric], metric, ts_ms, source);
            }
        }
        tick
    }
}

impl Releases {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1);
        let mut releases = Self { rng, next_ms: 0, blip: 0, level: [1.0; METRICS.len()] };
        releases.plan(START_MS);
        releases
    }

    /// Draws the next one: between 9 and 17 h (UTC) of one of the three days after, or of the Monday after these.
    fn plan(&mut self, after_ms: i64) {
        let mut day = after_ms.div_euclid(DAY_MS) + self.rng.random_range(1..=3);
        // the epoch was a Thursday
        while matches!(day.rem_euclid(7), 2 | 3) {
            day += 1;
        }
        self.next_ms = day * DAY_MS + 9 * HOUR_MS + self.rng.random_range(0..8 * HOUR_MS);
    }

    /// Lets time pass. Returns when the service was deployed, if it was.
    fn advance(&mut self, ts_ms: i64) -> Option<i64> {
        self.blip = self.blip.saturating_sub(1);
        let at_ms = self.next_ms;
        if at_ms >= ts_ms {
            return None;
        }
        self.plan(at_ms);
        self.blip = self.rng.random_range(1..=2);
        for metric in [LATENCY, CPU, MEMORY] {
            let change = self.rng.random_range(0.01..0.03);
            self.level[metric] *= if self.rng.random() { 1.0 + change } else { 1.0 - change };
        }
        Some(at_ms)
    }

    fn factors(&self) -> [f64; METRICS.len()] {
        let mut factors = self.level;
        if self.blip > 0 {
            factors[TRAFFIC] *= 1.0 - BLIP;
            factors[LATENCY] *= 1.0 + BLIP;
        }
        factors
    }
}

/// What a detector told.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Count {
    /// Episodes that were begun, with those that fired at once.
    pub(crate) suspected: u32,
    /// Episodes that began to fire, and those of them that did so within an hour after a deployment of their service.
    pub(crate) fired: u32,
    pub(crate) fired_after_deployment: u32,
    /// Decisions that something is abnormal for certain, harmful or not.
    pub(crate) decided: u32,
    pub(crate) decided_after_deployment: u32,
}

/// What a partition told, by detector.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Tally {
    pub(crate) deployments: u32,
    pub(crate) by_detector: BTreeMap<String, Count>,
    /// Why whatever fired did so.
    pub(crate) fired: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.deployments += other.deployments;
        for (detector, count) in &other.by_detector {
            let sum = self.by_detector.entry(detector.clone()).or_default();
            sum.suspected += count.suspected;
            sum.fired += count.fired;
            sum.fired_after_deployment += count.fired_after_deployment;
            sum.decided += count.decided;
            sum.decided_after_deployment += count.decided_after_deployment;
        }
        self.fired.extend_from_slice(&other.fired);
    }

    /// Sums up over all detectors.
    pub(crate) fn all(&self, count: impl Fn(&Count) -> u32) -> u32 {
        self.by_detector.values().map(count).sum()
    }
}

/// A partition that is told of the whole shop: samples, one record for each service, and deployments.
pub(crate) struct Ward {
    partition: Partition,
    offset: i64,
    record: String,
    deployed_ms: [Option<i64>; SERVICES.len()],
    firing: HashSet<AnomalyId>,
    /// What was told so far; may be taken away.
    pub(crate) tally: Tally,
}

impl Ward {
    pub(crate) fn new() -> Self {
        Self {
            partition: Partition::new(0, Arc::new(Settings { partitions: 1, ..Settings::default() })),
            offset: 0,
            record: String::new(),
            deployed_ms: [None; SERVICES.len()],
            firing: HashSet::new(),
            tally: Tally::default(),
        }
    }

    /// Tells the partition of one tick.
    pub(crate) fn take(&mut self, tick: &Tick) {
        for (service, (name, _)) in SERVICES.iter().enumerate() {
            if let Some(ts_ms) = tick.deployed[service] {
                self.tally.deployments += 1;
                self.deployed_ms[service] = Some(ts_ms);
                let record = format!(r#"{{"service":"{name}","version":"{ts_ms}","ts_ms":{ts_ms}}}"#);
                let at = self.at(ts_ms);
                let outcome = self.partition.deployment(record.as_bytes(), at);
                self.judge(&outcome);
            }
            let mut record = std::mem::take(&mut self.record);
            record.clear();
            for ((metric, unit), value) in METRICS.iter().zip(tick.values[service]) {
                record.push(if record.is_empty() { '[' } else { ',' });
                let _ = write!(
                    record,
                    r#"{{"service":"{name}","metric":"{metric}","unit":"{unit}","value":{value},"ts_ms":{}}}"#,
                    tick.ts_ms
                );
            }
            record.push(']');
            let at = self.at(tick.ts_ms);
            let outcome = self.partition.metrics(record.as_bytes(), at);
            self.judge(&outcome);
            self.record = record;
        }
    }

    fn at(&mut self, timestamp_ms: i64) -> At {
        self.offset += 1;
        At { offset: self.offset, timestamp_ms: Some(timestamp_ms) }
    }

    fn judge(&mut self, outcome: &Outcome) {
        assert!(outcome.refused.is_none() && outcome.dropped.total() == 0, "{outcome:?}");
        for anomaly in &outcome.anomalies {
            let begins_to_fire = anomaly.status == Status::Firing && self.firing.insert(anomaly.anomaly_id);
            let is_decided =
                anomaly.status != Status::Cleared && outcome.decided.contains(&anomaly.anomaly_id);
            if anomaly.revision > 1 && !begins_to_fire && !is_decided {
                continue;
            }
            let service = SERVICES.iter().position(|(name, _)| *name == anomaly.service);
            let deployed_ms = service.and_then(|service| self.deployed_ms[service]);
            let after_deployment = deployed_ms
                .is_some_and(|deployed_ms| anomaly.observed_at.as_millisecond() - deployed_ms <= HOUR_MS);
            let count = self.tally.by_detector.entry(anomaly.detector.clone()).or_default();
            count.suspected += u32::from(anomaly.revision == 1);
            count.fired += u32::from(begins_to_fire);
            count.fired_after_deployment += u32::from(begins_to_fire && after_deployment);
            count.decided += u32::from(is_decided);
            count.decided_after_deployment += u32::from(is_decided && after_deployment);
            if begins_to_fire {
                self.tally.fired.push(why(anomaly));
            }
        }
    }
}

fn why(anomaly: &Anomaly) -> String {
    format!("{} {} {}: {}", anomaly.observed_at, anomaly.detector, anomaly.metric, anomaly.explanation)
}

/// Tells a fresh partition of so many ticks of a shop.
pub(crate) fn tally(mut shop: HealthyShop, samples: i64) -> Tally {
    let mut ward = Ward::new();
    for _ in 0..samples {
        ward.take(&shop.tick());
    }
    ward.tally
}
