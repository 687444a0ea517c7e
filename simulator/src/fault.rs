//! What each scenario does to its service, and how that is felt by callers.
//!
//! Everything here is exact and without noise: [`effect`] is the table of the README as code.

use std::ops::AddAssign;

use shared::events::fault::Scenario;

use crate::noise::CPU_FOLLOWS;
use crate::service::{CALLS, Metric, Service, Vitals};

/// Part of a callee's extra errors that a caller fails to hide by retrying or doing without.
const ERRORS_FELT: f64 = 0.6;
/// Part of a callee's extra p99 that shows in the p99 of the requests that call it.
const LATENCY_FELT: f64 = 0.3;
/// Cores of a gateway instance.
const CORES: i32 = 8;

/// Seconds from the start of `certificate-expiry` to the end of the certificate, at 10 s a tick.
const EXPIRES_AFTER_S: f64 = 150.0;

/// Returns the service that burns.
pub fn culprit(scenario: Scenario) -> Service {
    match scenario {
        Scenario::LatencySpike
        | Scenario::DbConnections
        | Scenario::DependencyOutage
        | Scenario::NetworkPartition => Service::Payment,
        Scenario::ErrorSpike | Scenario::ConsumerLag | Scenario::DiskFilling => Service::Order,
        Scenario::CpuSaturation | Scenario::TrafficDrop => Service::ApiGateway,
        Scenario::MemoryLeak | Scenario::NoisyNeighbour | Scenario::Retirement => Service::Notification,
        Scenario::BadDeployment => Service::User,
        Scenario::CertificateExpiry => Service::Inventory,
    }
}

/// Returns how long it burns, in ticks (of 10 s, unless the interval is another).
pub fn duration(scenario: Scenario) -> u64 {
    match scenario {
        Scenario::LatencySpike
        | Scenario::BadDeployment
        | Scenario::DependencyOutage
        | Scenario::NetworkPartition
        | Scenario::TrafficDrop => 24,
        Scenario::ErrorSpike => 18,
        Scenario::CpuSaturation
        | Scenario::ConsumerLag
        | Scenario::CertificateExpiry
        | Scenario::NoisyNeighbour
        | Scenario::Retirement => 30,
        Scenario::MemoryLeak | Scenario::DiskFilling => 36,
        Scenario::DbConnections => 20,
    }
}

/// Returns the metric besides those of every service that a scenario moves.
pub fn extra_metric(scenario: Scenario) -> Option<Metric> {
    match scenario {
        Scenario::DiskFilling => Some(Metric::Disk),
        Scenario::CertificateExpiry => Some(Metric::CertificateExpiry),
        Scenario::NoisyNeighbour => Some(Metric::CpuSteal),
        _ => None,
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
        Scenario::DependencyOutage => {
            // requests wait for the time limit first, and are given up once it is clear that no answer comes
            extra[Metric::LatencyP99] = 4600.0 * ramp(p, 0.0, 0.3);
            extra[Metric::ErrorRate] = 34.5 * ramp(p, 0.1, 0.5);
        }
        Scenario::TrafficDrop => {
            extra[Metric::RequestRate] =
                -0.7 * Service::ApiGateway.baseline()[Metric::RequestRate] * ramp(p, 0.0, 0.25);
        }
        Scenario::DiskFilling => {
            let used = 52.0 + 47.5 * p;
            extra[Metric::Disk] = used - 52.0;
            let full = ramp(used, 92.0, 98.0);
            extra[Metric::ErrorRate] = 39.5 * full;
            // what still fits waits for the file system
            extra[Metric::LatencyP99] = 400.0 * full;
        }
        Scenario::CertificateExpiry => {
            let left_s = EXPIRES_AFTER_S * (1.0 - 2.0 * p).max(0.0);
            extra[Metric::CertificateExpiry] =
                left_s - culprit(scenario).baseline()[Metric::CertificateExpiry];
        }
        Scenario::NoisyNeighbour => extra[Metric::Cpu] = 68.0 * ramp(p, 0.0, 0.5),
        Scenario::NetworkPartition | Scenario::Retirement => {}
    }
    extra
}

/// Returns what is added to the vitals of another service on the same host, which neither calls nor is called.
pub fn neighbour(scenario: Scenario, p: f64) -> Option<(Service, Vitals)> {
    (scenario == Scenario::NoisyNeighbour).then(|| {
        let taken = ramp(p, 0.0, 0.5);
        let mut extra = Vitals::default();
        extra[Metric::CpuSteal] = 45.0 * taken;
        extra[Metric::LatencyP99] = 900.0 * taken;
        (Service::Inventory, extra)
    })
}

/// What happens to the calls of a service before they reach it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WayIn {
    /// Calls that do not arrive, percent.
    pub lost: f64,
    /// 99th percentile of the delay of those that do, milliseconds.
    pub delay_ms: f64,
}

impl WayIn {
    /// Whether calls arrive as they should.
    pub fn is_clear(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for WayIn {
    fn add_assign(&mut self, other: Self) {
        self.lost = (self.lost + other.lost).min(100.0);
        self.delay_ms += other.delay_ms;
    }
}

/// Returns what happens to calls of the culprit on their way.
pub fn way_in(scenario: Scenario, p: f64) -> WayIn {
    match scenario {
        Scenario::NetworkPartition => {
            let cut = ramp(p, 0.0, 0.5);
            WayIn { lost: 60.0 * cut, delay_ms: 3000.0 * cut }
        }
        // connections that are open stay open for a while
        Scenario::CertificateExpiry => WayIn { lost: 100.0 * ramp(p, 0.5, 0.7), delay_ms: 0.0 },
        _ => WayIn::default(),
    }
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

/// Carries what services suffer by themselves to those who call them, and changes of traffic to those they call.
///
/// Takes and returns the extra over the baseline, in the order of [`Service::ALL`]. Errors and latency travel, weighted
/// by the share of requests that make the call and weakened at each hop; what fills up inside a service stays there.
/// What happens to calls on their way in shows at the callers, and as lost traffic at the callee.
pub fn travel(
    own: [Vitals; Service::ALL.len()],
    ways: &[WayIn; Service::ALL.len()],
) -> [Vitals; Service::ALL.len()] {
    let mut felt = own;
    for call in CALLS {
        let (callee, way) = (felt[call.callee as usize], ways[call.callee as usize]);
        let caller = &mut felt[call.caller as usize];
        caller[Metric::ErrorRate] += call.share * ERRORS_FELT * (callee[Metric::ErrorRate] + way.lost);
        caller[Metric::LatencyP99] += call.share * LATENCY_FELT * (callee[Metric::LatencyP99] + way.delay_ms);
    }
    for call in CALLS.iter().rev() {
        let arrives = 1.0 - ways[call.callee as usize].lost / 100.0;
        let usual = call.caller.baseline()[Metric::RequestRate];
        let more = felt[call.caller as usize][Metric::RequestRate];
        felt[call.callee as usize][Metric::RequestRate] += call.share * ((usual + more) * arrives - usual);
    }
    for service in Service::ALL {
        let (extra, base) = (&mut felt[service as usize], service.baseline());
        extra[Metric::Cpu] +=
            CPU_FOLLOWS * base[Metric::Cpu] * extra[Metric::RequestRate] / base[Metric::RequestRate];
    }
    felt
}

/// Returns the probability that a failed call fails the request that made it.
pub(crate) fn failure_spreads() -> f64 {
    ERRORS_FELT
}
