//! The burst, and a writer that is as fast as the broker. Nothing is random: two runs that start at the same time write the
//! same bytes.
//!
//! | part | shape |
//! |---|---|
//! | samples | 200 services of 10 healthy series each, one sample a second; a record is an array of 100: ten series, ten seconds |
//! | anomalies | 5 environments, 5 metrics of each service, 4 revisions of each episode: one `suspect`, three `firing` |
//! | calls | each service calls the next; one environment is a single chain, the others are chains of ten |
//!
//! Anomalies of one chain are grouped, whichever service is first, so that all episodes of [`WORST`] are one incident.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use shared::bus::{Options, Pending, Producer};
use shared::events::anomaly::{Anomaly, Band, Context, Direction, LogTemplate, Point, Sibling, Status};
use shared::events::raw::{Level, SpanStatus};
use shared::events::{Kind, MetricSample, Outgoing, Severity, Span, Topic, encode};
use shared::ids::{AnomalyId, EventId};

/// The environment in which everything is one incident.
pub const WORST: &str = "load-1";
/// Revisions of each episode.
pub const REVISIONS: u32 = 4;

const ENVIRONMENTS: u32 = 5;
/// Services of one chain, except in [`WORST`].
const CHAIN: u32 = 10;
const HEALTHY_SERVICES: u32 = 200;
const HEALTHY_SERIES: u32 = 10;
/// Seconds of one record of samples.
const SECONDS: u32 = 10;
const INTERVAL_MS: u64 = 10_000;
/// The metrics of a service: name, kind and unit.
pub const METRICS: [(&str, Kind, &str); 5] = [
    ("latency_p99_ms", Kind::Latency, "ms"),
    ("error_rate", Kind::Errors, "%"),
    ("latency_p50_ms", Kind::Latency, "ms"),
    ("timeout_rate", Kind::Errors, "%"),
    ("request_rate", Kind::Traffic, "1/s"),
];

/// How large the burst is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Metric samples.
    pub samples: u32,
    /// Revisions of anomalies.
    pub anomalies: u32,
}

impl Size {
    /// Samples come in multiples of this: one record of each service.
    pub const SAMPLES: u32 = HEALTHY_SERVICES * HEALTHY_SERIES * SECONDS;
    /// Anomalies come in multiples of this: one chain in each environment.
    pub const ANOMALIES: u32 = ENVIRONMENTS * CHAIN * METRICS.len() as u32 * REVISIONS;

    /// Refuses numbers that are not such multiples.
    pub fn new(samples: u32, anomalies: u32) -> Result<Self> {
        for (what, count, unit) in
            [("samples", samples, Self::SAMPLES), ("anomalies", anomalies, Self::ANOMALIES)]
        {
            ensure!(count > 0 && count.is_multiple_of(unit), "{count} {what}: not a multiple of {unit}");
        }
        Ok(Self { samples, anomalies })
    }

    /// Services of one environment.
    fn services(self) -> u32 {
        self.anomalies / Self::ANOMALIES * CHAIN
    }

    /// Returns the number of different episodes.
    pub fn episodes(self) -> u32 {
        self.anomalies / REVISIONS
    }

    /// Returns the number of calls between services, over all environments.
    pub fn calls(self) -> usize {
        (1..=ENVIRONMENTS).map(|environment| self.edges(environment).count()).sum()
    }

    /// Returns the number of incidents: one for each chain.
    pub fn incidents(self) -> u32 {
        1 + (ENVIRONMENTS - 1) * self.services() / CHAIN
    }

    /// Caller and callee.
    fn edges(self, environment: u32) -> impl Iterator<Item = (u32, u32)> {
        let joined =
            move |caller: &u32| self::environment(environment) == WORST || !caller.is_multiple_of(CHAIN);
        (1..self.services()).filter(joined).map(|caller| (caller, caller + 1))
    }
}

/// The burst, with anomalies from `now` on.
#[derive(Debug, Clone, Copy)]
pub struct Burst {
    /// How large it is.
    pub size: Size,
    /// Event time of the first symptoms, and end of the healthy samples.
    pub now: Timestamp,
}

impl Burst {
    /// Writes the calls between services, as spans.
    pub async fn calls(self, options: &Options) -> Result<()> {
        let producer = Producer::connect(options)?;
        let mut pending = Vec::new();
        for number in 1..=ENVIRONMENTS {
            for (caller, callee) in self.size.edges(number) {
                let trace_id = format!("{}-{caller}", environment(number));
                for (span_id, parent, service) in [("1", None, caller), ("2", Some("1"), callee)] {
                    let span = Span {
                        trace_id: trace_id.clone(),
                        span_id: span_id.to_owned(),
                        parent_span_id: parent.map(str::to_owned),
                        service: self::service(service),
                        operation: "call".to_owned(),
                        ts_ms: self.now.as_millisecond(),
                        duration_ms: 1.0,
                        status: SpanStatus::Ok,
                        environment: environment(number),
                        peer: None,
                    };
                    let payload = encode(&span)?;
                    pending.push(
                        producer.enqueue(Topic::RawSpans, Some(&trace_id), &Vec::new(), &payload).await?,
                    );
                }
            }
        }
        acknowledged(pending).await
    }

    /// Writes samples and anomalies concurrently. Returns how long that took.
    pub async fn write(self, options: Options) -> Result<Duration> {
        let begun = Instant::now();
        tokio::try_join!(self.samples(&options), self.anomalies(&options))?;
        Ok(begun.elapsed())
    }

    async fn samples(self, options: &Options) -> Result<()> {
        let producer = Producer::connect(options)?;
        let records = self.size.samples / Size::SAMPLES;
        let first_ms = self.now.as_millisecond() - i64::from(records * SECONDS) * 1_000;
        let mut pending = Vec::new();
        for record in 0..records {
            for number in 0..HEALTHY_SERVICES {
                let service = format!("healthy-{number:03}");
                let samples: Vec<MetricSample> = (0..SECONDS * HEALTHY_SERIES)
                    .map(|place| {
                        let (second, series) =
                            (record * SECONDS + place / HEALTHY_SERIES, place % HEALTHY_SERIES);
                        let value = 50.0 + noise(number * HEALTHY_SERIES + series, second);
                        let ts_ms = first_ms + i64::from(second) * 1_000;
                        MetricSample {
                            environment: "load-healthy".to_owned(),
                            ..MetricSample::of(&*service, format!("gauge_{series}"), value, ts_ms)
                        }
                    })
                    .collect();
                let payload = serde_json::to_vec(&samples)?;
                pending
                    .push(producer.enqueue(Topic::RawMetrics, Some(&service), &Vec::new(), &payload).await?);
            }
        }
        acknowledged(pending).await
    }

    async fn anomalies(self, options: &Options) -> Result<()> {
        let producer = Producer::connect(options)?;
        let mut pending = Vec::new();
        for revision in 1..=REVISIONS {
            for number in 1..=self.size.services() {
                for environment in (1..=ENVIRONMENTS).map(environment) {
                    for metric in METRICS {
                        let anomaly = self.anomaly(&environment, &service(number), metric, revision);
                        let id = EventId::of("anomaly", &anomaly.anomaly_id.to_string(), revision);
                        let outgoing = Outgoing::new(
                            Topic::Anomalies,
                            &anomaly,
                            id,
                            "detection",
                            anomaly.observed_at,
                            None,
                        )?;
                        pending.push(crate::enqueue(&producer, &outgoing).await?);
                    }
                }
            }
        }
        acknowledged(pending).await
    }

    /// Returns a revision with as much context as that of a long-lived series.
    pub(super) fn anomaly(
        self,
        environment: &str,
        service: &str,
        (metric, kind, unit): (&str, Kind, &str),
        revision: u32,
    ) -> Anomaly {
        let expected = Band { lower: 20.0, center: 30.0, upper: 40.0 };
        let started_ms = self.now.as_millisecond();
        let observed_at = self.now + SignedDuration::from_millis(i64::from(revision) * INTERVAL_MS as i64);
        let samples = (0..120_u32).map(|place| Point {
            ts_ms: observed_at.as_millisecond() - i64::from(119 - place) * INTERVAL_MS as i64,
            value: if place < 120 - revision { 30.0 + noise(place, revision) } else { 95.0 },
        });
        let siblings = METRICS.iter().filter(|sibling| sibling.0 != metric).map(|sibling| Sibling {
            metric: sibling.0.to_owned(),
            unit: Some(sibling.2.to_owned()),
            observed: 30.5,
            expected,
        });
        let logs = LogTemplate {
            level: Level::Error,
            template: "request <*> to <*> failed after <*> ms".to_owned(),
            count: 40,
            example: "request 8d7f3c to ledger failed after 2000 ms".to_owned(),
            last_seen: observed_at,
        };
        Anomaly {
            dimensions: std::collections::BTreeMap::new(),
            anomaly_id: AnomalyId::of_episode(environment, service, metric, started_ms),
            revision,
            status: if revision == 1 { Status::Suspect } else { Status::Firing },
            kind,
            environment: environment.to_owned(),
            service: service.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            severity: Severity::Sev3,
            evidence: 1.0 + f64::from(revision),
            direction: Direction::Up,
            observed: 95.0,
            expected,
            started_at: self.now,
            observed_at,
            interval_ms: INTERVAL_MS,
            detector: "load/1".to_owned(),
            explanation: format!("{metric} of {service} is 95 {unit}, expected 20 to 40"),
            ended: None,
            burn_rate: None,
            impact: None,
            context: Context {
                samples: samples.collect(),
                siblings: siblings.collect(),
                logs: vec![logs],
                requests: Vec::new(),
                sealed: Vec::new(),
            },
        }
    }
}

fn environment(number: u32) -> String {
    format!("load-{number}")
}

fn service(number: u32) -> String {
    format!("service-{number:03}")
}

/// Returns a value between -2 and 2, near 0 more often than not.
fn noise(a: u32, b: u32) -> f64 {
    let mut state = u64::from(a) << 32 | u64::from(b);
    (0..4)
        .map(|_| {
            // splitmix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        })
        .sum()
}

pub(super) async fn acknowledged(pending: Vec<Pending>) -> Result<()> {
    for record in pending {
        record.acknowledged().await?;
    }
    Ok(())
}
