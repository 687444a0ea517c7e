//! What each scenario does to its service, and how that is felt by callers.
//!
//! Everything here is exact and without noise: [`effect`] is the table of the README as code.

use shared::events::fault::Scenario;

use crate::service::{CALLS, Metric, Service, Vitals};

/// Part of a callee's extra errors that a caller fails to hide by retrying or doing without.
const ERRORS_FELT: f64 = 0.6;
/// Part of a callee's extra p99 that shows in the p99 of the requests that call it.
const LATENCY_FELT: f64 = 0.3;
/// Cores of a gateway instance.
const CORES: i32 = 8;

/// Returns the service that burns.
pub fn culprit(scenario: Scenario) -> Service {
    match scenario {
        Scenario::LatencySpike | Scenario::DbConnections => Service::Payment,
        Scenario::ErrorSpike | Scenario::ConsumerLag => Service::Order,
        Scenario::CpuSaturation => Service::ApiGateway,
        Scenario::MemoryLeak => Service::Notification,
        Scenario::BadDeployment => Service::User,
    }
}

/// Returns how long it burns, in ticks (of 10 s, unless the interval is another).
pub fn duration(scenario: Scenario) -> u64 {
    match scenario {
        Scenario::LatencySpike | Scenario::BadDeployment => 24,
        Scenario::ErrorSpike => 18,
        Scenario::CpuSaturation | Scenario::ConsumerLag => 30,
        Scenario::MemoryLeak => 36,
        Scenario::DbConnections => 20,
    }
}

/// Returns what is added to the culprit's vitals when `p` of the fault's time, in 0..=1, has passed.
pub fn effect(scenario: Scenario, p: f64) -> Vitals {
    let mut extra = Vitals::default();
    match scenario {
        Scenario::LatencySpike => extra[Metric::LatencyP99] = 7000.0 * ramp(p, 0.0, 0.5),
        Scenario::ErrorSpike => extra[Metric::ErrorRate] = 44.5 * ramp(p, 0.0, 1.0 / 3.0),
        Scenario::CpuSaturation => {
            let idle = Service::ApiGateway.baseline();
            let busy = idle[Metric::Cpu] + 67.0 * p;
            extra[Metric::Cpu] = busy - idle[Metric::Cpu];
            extra[Metric::LatencyP99] =
                idle[Metric::LatencyP99] * (stretch(busy) / stretch(idle[Metric::Cpu]) - 1.0);
        }
        Scenario::MemoryLeak => {
            let used = (55.0 + 43.0 * p).min(98.0);
            extra[Metric::Memory] = used - 55.0;
            // the collector runs more and more often as the heap fills up
            extra[Metric::LatencyP99] = 900.0 * ramp(used, 80.0, 98.0).powi(2);
        }
        Scenario::DbConnections => {
            extra[Metric::DbConnections] = 70.0 * ramp(p, 0.0, 0.5);
            let starved = ramp(p, 0.4, 0.6);
            extra[Metric::ErrorRate] = 29.5 * starved;
            // those that get a connection have waited for it
            extra[Metric::LatencyP99] = 600.0 * starved;
        }
        Scenario::ConsumerLag => {
            extra[Metric::ConsumerLag] = 49_900.0 * p;
            extra[Metric::LatencyP99] = 60.0 * p;
        }
        Scenario::BadDeployment => {
            extra[Metric::ErrorRate] = 39.5 * ramp(p, 0.0, 0.25);
            extra[Metric::LatencyP99] = 2000.0 * p;
        }
    }
    extra
}

/// Grows from 0 at `from` to 1 at `to` and stays there.
fn ramp(x: f64, from: f64, to: f64) -> f64 {
    ((x - from) / (to - from)).clamp(0.0, 1.0)
}

/// Returns how much longer than alone a request takes at `percent` of processor use: R/S = 1 / (1 - rho^m) for m cores,
/// an approximation of M/M/m (N. Gunther, Analyzing Computer System Performance with Perl::PDQ, 2005).
fn stretch(percent: f64) -> f64 {
    1.0 / (1.0 - (percent / 100.0).powi(CORES))
}

/// Carries what services suffer by themselves to those who call them.
///
/// Takes and returns the extra over the baseline, in the order of [`Service::ALL`]. Errors and latency travel, weighted
/// by the share of requests that make the call and weakened at each hop; what fills up inside a service stays there.
pub fn travel(own: [Vitals; Service::ALL.len()]) -> [Vitals; Service::ALL.len()] {
    let mut felt = own;
    for call in CALLS {
        let callee = felt[call.callee as usize];
        let caller = &mut felt[call.caller as usize];
        caller[Metric::ErrorRate] += call.share * ERRORS_FELT * callee[Metric::ErrorRate];
        caller[Metric::LatencyP99] += call.share * LATENCY_FELT * callee[Metric::LatencyP99];
    }
    felt
}

/// Returns the probability that a failed call fails the request that made it.
pub(crate) fn failure_spreads() -> f64 {
    ERRORS_FELT
}
