//! The scenarios: which faults break out when, and what else happens.

use shared::events::fault::Scenario;
use simulator::Outbreak;
use simulator::fault::duration;

/// Ticks before the first fault.
pub(crate) const HEALTHY: u64 = 75;
/// Ticks after the last fault.
pub(crate) const AFTER: u64 = 60;

/// One scenario of the scoreboard.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Name, and group before the colon.
    pub(crate) name: String,
    /// Milliseconds between ticks.
    pub(crate) interval_ms: u64,
    /// Faults.
    pub(crate) outbreaks: Vec<Outbreak>,
    /// Whether the outbreaks are one fault that comes and goes.
    pub(crate) flaps: bool,
    /// Services that get a healthy version, and how many ticks before the first fault.
    pub(crate) decoys: Vec<(&'static str, u64)>,
}

impl Plan {
    fn new(name: impl Into<String>, outbreaks: Vec<Outbreak>) -> Self {
        Self { name: name.into(), interval_ms: 10_000, outbreaks, flaps: false, decoys: Vec::new() }
    }

    /// Returns the number of ticks.
    pub(crate) fn ticks(&self) -> u64 {
        let ends = self.outbreaks.iter().map(|one| one.starts + one.lasts.unwrap_or(duration(one.scenario)));
        ends.max().unwrap_or(HEALTHY) + AFTER
    }
}

fn at(scenario: Scenario, after: u64) -> Outbreak {
    Outbreak { scenario, starts: HEALTHY + after, lasts: None }
}

/// Returns all scenarios.
pub(crate) fn all() -> Vec<Plan> {
    let mut plans: Vec<Plan> = Scenario::ALL
        .into_iter()
        .map(|scenario| Plan::new(format!("single: {scenario}"), vec![at(scenario, 0)]))
        .collect();
    plans.extend(Scenario::ROTATION.into_iter().map(|scenario| Plan {
        decoys: decoys(scenario),
        ..Plan::new(format!("decoy deployments: {scenario}"), vec![at(scenario, 0)])
    }));
    for (name, first, second, after) in [
        ("latency-spike and error-spike", Scenario::LatencySpike, Scenario::ErrorSpike, 0),
        ("cpu-saturation, then db-connections", Scenario::CpuSaturation, Scenario::DbConnections, 6),
        (
            "consumer-lag and bad-deployment below one gateway",
            Scenario::ConsumerLag,
            Scenario::BadDeployment,
            3,
        ),
    ] {
        plans.push(Plan::new(format!("two on one path: {name}"), vec![at(first, 0), at(second, after)]));
    }
    for (name, first, second, after) in [
        ("memory-leak and latency-spike", Scenario::MemoryLeak, Scenario::LatencySpike, 0),
        ("error-spike, then memory-leak", Scenario::ErrorSpike, Scenario::MemoryLeak, 6),
    ] {
        plans.push(Plan::new(format!("two apart: {name}"), vec![at(first, 0), at(second, after)]));
    }
    plans.push(Plan::new(
        "one retired: latency-spike, then retirement",
        vec![at(Scenario::LatencySpike, 0), at(Scenario::Retirement, 8)],
    ));
    plans.push(flapping());
    plans
}

/// Errors of order for 15 s and none for 25 s, eight times, a sample each second.
fn flapping() -> Plan {
    let outbreaks = (0..8).map(|number| Outbreak {
        scenario: Scenario::ErrorSpike,
        starts: HEALTHY + number * 40,
        lasts: Some(15),
    });
    Plan { flaps: true, interval_ms: 1_000, ..Plan::new("flapping: error-spike", outbreaks.collect()) }
}

/// Returns healthy versions of services that show the fault or have nothing to do with it.
fn decoys(scenario: Scenario) -> Vec<(&'static str, u64)> {
    let culprit = simulator::fault::culprit(scenario).name();
    let decoys = [("api-gateway", 4), ("order", 9), ("inventory", 2), ("notification", 6)];
    decoys.into_iter().filter(|(service, _)| *service != culprit).collect()
}
