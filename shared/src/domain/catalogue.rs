//! The service catalogue: who owns a service, how much it matters and whom it calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::graph::Graph;

/// Something that has failed before or is known to fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureMode {
    /// Kind of cause.
    pub category: crate::events::Category,
    /// What it looks like.
    pub symptom: String,
}

/// What a service earns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revenue {
    /// Revenue that goes through its requests in a usual minute.
    pub per_minute: f64,
    /// Currency, ISO 4217: `EUR`.
    pub currency: String,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Name as it stands in telemetry.
    pub name: String,
    /// What it does, in one or two sentences.
    pub description: String,
    /// Team that owns it.
    pub team: String,
    /// 1 (users stop buying) to 4 (nobody notices for a day).
    pub tier: u8,
    /// Availability objective, percent.
    pub slo: f64,
    /// Latency objective (p99), milliseconds.
    pub latency_slo_ms: f64,
    /// Share of all users whose requests reach it, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users_share: Option<f64>,
    /// What it earns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revenue: Option<Revenue>,
    /// Implementation language.
    pub language: String,
    /// Services it calls.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Mail address of whoever is on call.
    pub oncall: String,
    /// Mail address of the team.
    pub contact: String,
    /// Runbooks that apply (document ids).
    #[serde(default)]
    pub runbooks: Vec<String>,
    /// What has failed before.
    #[serde(default)]
    pub failure_modes: Vec<FailureMode>,
}

impl Service {
    /// Returns who is on call in words: an address, or the rotation that says who it is.
    pub fn on_call(&self) -> String {
        match self.oncall.trim().strip_prefix("rotation:") {
            Some(rotation) => format!("on-call of {}", rotation.trim()),
            None => self.oncall.clone(),
        }
    }
}

/// All services that are described.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Catalogue {
    services: BTreeMap<String, Service>,
}

impl Catalogue {
    /// Collects services; of two with one name the last stays.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        Self { services: services.into_iter().map(|service| (service.name.clone(), service)).collect() }
    }

    /// Returns a service, if it is described.
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.services.get(name)
    }

    /// Returns all services, sorted by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// Returns the tier of a service; an undescribed one counts as 3.
    pub fn tier(&self, name: &str) -> u8 {
        self.get(name).map_or(3, |service| service.tier)
    }

    /// Returns the graph of what the catalogue says about dependencies.
    pub fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for service in self.services.values() {
            graph.add_service(&service.name);
            for callee in &service.depends_on {
                graph.add_edge(service.name.clone(), callee.clone());
            }
        }
        graph
    }
}
