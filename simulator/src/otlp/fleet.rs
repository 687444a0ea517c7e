//! The replicas of a service, and how a rollout replaces them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::requests::{Counted, Served};
use super::wire::attribute;
use crate::service::Service;

/// Characters of the generated parts of the name of a pod, as Kubernetes draws them.
const POD_CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Nodes of the cluster.
const NODES: u32 = 4;
/// Spread of the shares of the load that replicas get.
const LOAD_SPREAD: f64 = 0.08;
/// Least share, of the usual one.
const LEAST_LOAD: f64 = 0.3;
/// Part of an interval within which replicas export, before its end: they do not export at one time.
const EXPORTS_WITHIN: f64 = 0.4;
/// Part of an interval after which the process of a replica that is replaced within it has started.
const STARTED_AFTER: f64 = 0.5;

/// One replica.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    service: Service,
    environment: String,
    version: String,
    pod: String,
    instance: String,
    node: String,
    /// Since when it counts, milliseconds.
    pub(super) started_ms: i64,
    /// How long before the end of an interval it exports, milliseconds.
    pub(super) phase_ms: i64,
    /// Requests since its start.
    pub(super) served: BTreeMap<Served, Counted>,
}

/// The replicas of a service.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) service: Service,
    pub(super) replicas: Vec<Replica>,
    /// Part of a request that is left over from the intervals before.
    pub(super) left_over: f64,
    environment: String,
    interval_ms: u64,
    /// Name of the set of replicas of the version that runs.
    replica_set: String,
    version: String,
    /// Replicas that still run the version before.
    outdated: usize,
    last_ms: Option<i64>,
}

impl Fleet {
    pub(super) fn new(
        service: Service,
        replicas: u32,
        interval_ms: u64,
        environment: &str,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let mut fleet = Self {
            service,
            replicas: Vec::new(),
            left_over: 0.0,
            environment: environment.to_owned(),
            interval_ms,
            replica_set: generated(10, rng),
            version: "1.0.0".to_owned(),
            outdated: 0,
            last_ms: None,
        };
        fleet.replicas = (0..replicas).map(|_| fleet.replica(0, rng)).collect();
        fleet
    }

    fn replica(&self, started_ms: i64, rng: &mut ChaCha8Rng) -> Replica {
        let pod = format!("{}-{}-{}", self.service.name(), self.replica_set, generated(5, rng));
        Replica {
            service: self.service,
            environment: self.environment.clone(),
            version: self.version.clone(),
            pod,
            instance: format!("{:032x}", rng.random::<u128>()),
            node: format!("node-{}", rng.random_range(1..=NODES)),
            started_ms,
            phase_ms: (self.interval_ms as f64 * rng.random_range(0.0..EXPORTS_WITHIN)) as i64,
            served: BTreeMap::new(),
        }
    }

    /// Begins the interval that ends at a time. A rollout replaces one replica in each.
    pub(super) fn advance(&mut self, ts_ms: i64, rng: &mut ChaCha8Rng) {
        let interval_ms = self.interval_ms as i64;
        let before_ms = self.last_ms.replace(ts_ms).unwrap_or_else(|| {
            for replica in &mut self.replicas {
                replica.started_ms = ts_ms - interval_ms;
            }
            ts_ms - interval_ms
        });
        if let Some(left) = self.outdated.checked_sub(1) {
            self.outdated = left;
            let started_ms = before_ms + ((ts_ms - before_ms) as f64 * STARTED_AFTER) as i64;
            self.replicas[left] = self.replica(started_ms, rng);
        }
    }

    /// Begins to replace the replicas by those of another version.
    pub(super) fn roll_out(&mut self, version: &str) {
        self.outdated = self.replicas.len();
        version.clone_into(&mut self.version);
        // a digest of the template in Kubernetes: the same version has the same
        let digest = shared::ids::derive(&["replica set", self.service.name(), version]);
        digest.simple().to_string()[..10].clone_into(&mut self.replica_set);
    }

    /// Draws the share of the load that each replica gets; they add up to 1.
    pub(super) fn shares(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut draw = || {
            let normal: f64 = rng.sample(StandardNormal);
            (1.0 + LOAD_SPREAD * normal).max(LEAST_LOAD)
        };
        let loads: Vec<f64> = self.replicas.iter().map(|_| draw()).collect();
        let sum: f64 = loads.iter().sum();
        loads.into_iter().map(|load| load / sum).collect()
    }
}

impl Replica {
    /// Returns when it exports in the interval that ends at a time, milliseconds.
    pub(super) fn exports_at(&self, ts_ms: i64) -> i64 {
        (ts_ms - self.phase_ms).max(self.started_ms + 1)
    }

    /// Returns who it is.
    pub(super) fn resource(&self) -> Resource {
        let attributes = vec![
            attribute("service.name", self.service.name()),
            attribute("service.namespace", "shop"),
            attribute("service.version", &self.version),
            attribute("service.instance.id", &self.instance),
            attribute("deployment.environment.name", &self.environment),
            attribute("k8s.namespace.name", "shop"),
            attribute("k8s.pod.name", &self.pod),
            attribute("k8s.node.name", &self.node),
            attribute("telemetry.sdk.language", "rust"),
        ];
        Resource { attributes, ..Resource::default() }
    }
}

fn generated(length: usize, rng: &mut ChaCha8Rng) -> String {
    let mut draw = || POD_CHARACTERS.choose(rng).map_or('x', |character| char::from(*character));
    (0..length).map(|_| draw()).collect()
}
