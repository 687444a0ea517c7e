//! What is a little worse since a deployment is found and named; what is not, is left alone.

use std::sync::Arc;

use detection::{At, Partition, Settings};
use shared::events::anomaly::{Anomaly, Status};
use simulator::noise::Noise as Shape;
use simulator::schedule::Faults;

use crate::fire::watch;
use crate::shop::{Noise, START_MS, Source};

/// A service with some series, seen by a partition.
struct Service {
    partition: Partition,
    source: Source,
    offset: i64,
    tick: i64,
    /// What the comparison says, and what the series say by themselves.
    compared: Vec<Anomaly>,
    others: Vec<Anomaly>,
}

impl Service {
    fn new(noise: Noise, seed: u64) -> Self {
        Self {
            partition: Partition::new(0, Arc::new(Settings::default())),
            source: Source::new(noise, seed),
            offset: 0,
            tick: 0,
            compared: Vec::new(),
            others: Vec::new(),
        }
    }

    fn now_ms(&self) -> i64 {
        START_MS + self.tick * 10_000
    }

    /// Takes ticks of these mean values with a noise of 5 %.
    fn take(&mut self, ticks: i64, values: &[(&str, f64)]) {
        for _ in 0..ticks {
            self.tick += 1;
            self.offset += 1;
            let ts_ms = self.now_ms();
            let samples: Vec<String> = values
                .iter()
                .map(|(metric, mean)| {
                    let value = mean * (1.0 + 0.05 * self.source.draw());
                    format!(r#"{{"service":"user","metric":"{metric}","value":{value},"ts_ms":{ts_ms}}}"#)
                })
                .collect();
            let record = format!("[{}]", samples.join(","));
            let at = At { offset: self.offset, timestamp_ms: Some(ts_ms) };
            let anomalies = self.partition.metrics(record.as_bytes(), at).anomalies;
            crate::words::check(&anomalies);
            for anomaly in anomalies {
                let ours = anomaly.metric.ends_with(":regression");
                if ours { &mut self.compared } else { &mut self.others }.push(anomaly);
            }
        }
    }

    fn deploy(&mut self, version: &str) {
        let ts_ms = self.now_ms();
        let record = format!(r#"{{"service":"user","version":"{version}","ts_ms":{ts_ms}}}"#);
        self.offset += 1;
        let outcome = self
            .partition
            .deployment(record.as_bytes(), At { offset: self.offset, timestamp_ms: Some(ts_ms) });
        assert_eq!(outcome.used, 1);
    }

    fn fires(&self) -> bool {
        self.compared.iter().any(|one| one.status == Status::Firing)
    }
}

#[test]
fn a_tenth_more_latency_since_a_deployment_is_found_and_named_and_ends_with_the_rollback() {
    let (mut found, mut alone, mut either) = (0, 0, 0);
    for seed in 0..50 {
        let mut user = Service::new(Noise::Gaussian, seed);
        user.take(300, &[("latency_p99_ms", 150.0), ("request_rate", 200.0)]);
        user.deploy("1.4");
        user.take(60, &[("latency_p99_ms", 165.0), ("request_rate", 200.0)]);
        let by_itself = user.others.iter().any(|one| one.status == Status::Firing);
        alone += u32::from(by_itself);
        either += u32::from(by_itself || user.fires());
        if user.fires() {
            found += 1;
        }
        if user.fires() && found == 1 {
            let firing = user.compared.iter().find(|one| one.status == Status::Firing).unwrap();
            assert_eq!((&*firing.metric, &*firing.unit), ("latency_p99_ms:regression", "ms"));
            insta::assert_snapshot!(firing.explanation);
            user.deploy("1.3");
            user.take(60, &[("latency_p99_ms", 150.0), ("request_rate", 200.0)]);
            let last = user.compared.last().unwrap();
            assert_eq!(last.status, Status::Cleared, "{}", last.explanation);
            insta::assert_snapshot!(last.explanation);
        }
    }
    println!("{found} of 50 found, {alone} by the series alone, {either} by either");
    assert!(either >= 45 && found >= 30, "{found}, {either} by either");
}

#[test]
fn a_healthy_deployment_raises_nothing_in_any_noise() {
    for noise in
        [Noise::Gaussian, Noise::Skewed(0.4), Noise::Bursty, Noise::Sluggish(0.5), Noise::Sluggish(0.9)]
    {
        let healthy = [("latency_p99_ms", 150.0), ("error_rate", 0.5), ("cpu_percent", 20.0)];
        for seed in 0..20 {
            let mut user = Service::new(noise, seed);
            user.take(300, &healthy);
            for version in 0..5 {
                user.deploy(&format!("1.{version}"));
                user.take(90, &healthy);
            }
            assert!(!user.fires(), "{noise:?} seed {seed}: {:?}", user.compared[0].explanation);
        }
    }
}

#[test]
fn the_simulators_healthy_deployments_raise_nothing() {
    for seed in 0..4 {
        let run = watch(Faults::Quiet, Shape::Gaussian, seed, 1, 1, 2000);
        let compared = run.anomalies.iter().find(|one| one.metric.ends_with(":regression"));
        assert!(compared.is_none(), "seed {seed}: {compared:?}");
    }
}

#[test]
fn blips_and_more_load_are_no_regression() {
    let mut user = Service::new(Noise::Gaussian, 1);
    let healthy = [("latency_p99_ms", 150.0), ("cpu_percent", 20.0), ("request_rate", 200.0)];
    user.take(300, &healthy);
    user.deploy("1.4");
    user.take(5, &healthy);
    user.take(2, &[("latency_p99_ms", 1500.0), ("cpu_percent", 20.0), ("request_rate", 200.0)]);
    // a seventh more requests cost a seventh more processor time
    user.take(80, &[("latency_p99_ms", 150.0), ("cpu_percent", 23.0), ("request_rate", 230.0)]);
    assert!(user.compared.is_empty(), "{:?}", user.compared);
}

#[test]
fn what_fires_by_itself_is_told_once() {
    let mut user = Service::new(Noise::Gaussian, 1);
    user.take(300, &[("error_rate", 0.5)]);
    user.deploy("1.4");
    user.take(60, &[("error_rate", 20.0)]);
    assert!(user.others.iter().any(|one| one.status == Status::Firing));
    assert!(user.compared.is_empty(), "{:?}", user.compared);
}

#[test]
fn a_new_level_is_taken_as_normal_in_time() {
    let mut user = Service::new(Noise::Gaussian, 2);
    user.take(300, &[("latency_p99_ms", 150.0)]);
    user.deploy("1.4");
    user.take(700, &[("latency_p99_ms", 166.0)]);
    let last = user.compared.last().unwrap();
    assert_eq!(last.status, Status::Cleared);
    insta::assert_snapshot!(last.explanation);
}
