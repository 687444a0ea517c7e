//! The scenarios: which faults break out when, and what else happens.

use shared::events::fault::Scenario;
use simulator::fault::{culprit, duration};
use simulator::service::Service;
use simulator::{Outbreak, Tick};

/// Ticks before the first fault.
pub const HEALTHY: u64 = 75;
/// Ticks after the last fault.
pub const AFTER: u64 = 60;

/// What is kept from the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// Nothing.
    Nothing,
    /// All that a service reports of itself: metrics, log lines, spans and deployments.
    Service(&'static str),
    /// The same, and the log lines and spans of all others: only their metrics and deployments are left.
    ServiceAndTraces(&'static str),
    /// All but the metrics of one service.
    AllButMetricsOf(&'static str),
}

impl Withheld {
    /// Removes it from a tick.
    pub fn from(self, tick: &mut Tick) {
        let is_kept = |service: &str| match self {
            Self::Nothing => true,
            Self::Service(name) | Self::ServiceAndTraces(name) => service != name,
            Self::AllButMetricsOf(name) => service == name,
        };
        tick.metrics.retain(|sample| is_kept(&sample.service));
        tick.logs.retain(|line| is_kept(&line.service));
        tick.spans.retain(|span| is_kept(&span.service));
        tick.deployments.retain(|change| is_kept(&change.service));
        if matches!(self, Self::ServiceAndTraces(_) | Self::AllButMetricsOf(_)) {
            tick.logs.clear();
            tick.spans.clear();
        }
        if matches!(self, Self::AllButMetricsOf(_)) {
            tick.deployments.clear();
        }
    }
}

/// One scenario of a scoreboard.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name, and group before the colon.
    pub name: String,
    /// Milliseconds between ticks.
    pub interval_ms: u64,
    /// Faults.
    pub outbreaks: Vec<Outbreak>,
    /// Whether the outbreaks are one fault that comes and goes.
    pub flaps: bool,
    /// Services that get a healthy version, and how many ticks before the first fault.
    pub decoys: Vec<(&'static str, u64)>,
    /// What the pipeline does not receive.
    pub withheld: Withheld,
}

impl Plan {
    fn new(name: impl Into<String>, outbreaks: Vec<Outbreak>) -> Self {
        Self {
            name: name.into(),
            interval_ms: 10_000,
            outbreaks,
            flaps: false,
            decoys: Vec::new(),
            withheld: Withheld::Nothing,
        }
    }

    /// Returns the number of ticks.
    pub fn ticks(&self) -> u64 {
        let ends = self.outbreaks.iter().map(|one| one.starts + one.lasts.unwrap_or(duration(one.scenario)));
        ends.max().unwrap_or(HEALTHY) + AFTER
    }
}

fn at(scenario: Scenario, after: u64) -> Outbreak {
    Outbreak { scenario, starts: HEALTHY + after, lasts: None }
}

/// Returns all scenarios with faults that are visible in the telemetry, and one without a fault.
pub fn all() -> Vec<Plan> {
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

/// Returns runs without a fault.
pub fn quiet() -> Plan {
    Plan::new("no fault", Vec::new())
}

/// Returns faults that are not visible themselves: the faulty service reports nothing, and those that call it do. Faults of services
/// that nobody calls are left out.
pub fn invisible() -> Vec<Plan> {
    let mut plans = Vec::new();
    for scenario in Scenario::ALL.into_iter().filter(|scenario| scenario.category().is_some()) {
        let service = culprit(scenario);
        if service.callers().next().is_none() {
            continue;
        }
        let name = service.name();
        for (group, withheld) in [
            ("service unwatched", Withheld::Service(name)),
            ("service unwatched, no logs and spans", Withheld::ServiceAndTraces(name)),
            ("only metrics of the entry", Withheld::AllButMetricsOf(Service::ApiGateway.name())),
        ] {
            plans.push(Plan { withheld, ..Plan::new(format!("{group}: {scenario}"), vec![at(scenario, 0)]) });
        }
    }
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
    let faulty = culprit(scenario).name();
    let decoys = [("api-gateway", 4), ("order", 9), ("inventory", 2), ("notification", 6)];
    decoys.into_iter().filter(|(service, _)| *service != faulty).collect()
}
