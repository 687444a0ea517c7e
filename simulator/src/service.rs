//! The six services: what is measured of each, how it behaves when healthy, and whom it calls.

use std::ops::{AddAssign, Index, IndexMut};

/// Usual remaining life of a certificate, seconds: 60 days.
const CERTIFICATE_S: f64 = 60.0 * 86_400.0;

/// A service of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The way in.
    ApiGateway,
    /// Charges customers.
    Payment,
    /// Places orders.
    Order,
    /// Knows customers.
    User,
    /// Knows the stock.
    Inventory,
    /// Sends messages; fed by a queue, called by nobody.
    Notification,
}

impl Service {
    /// All of them, in the order in which a tick reports them.
    pub const ALL: [Self; 6] =
        [Self::ApiGateway, Self::Payment, Self::Order, Self::User, Self::Inventory, Self::Notification];

    /// Returns the name as it stands in telemetry.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiGateway => "api-gateway",
            Self::Payment => "payment",
            Self::Order => "order",
            Self::User => "user",
            Self::Inventory => "inventory",
            Self::Notification => "notification",
        }
    }

    /// Returns what is measured of the healthy service, averaged over a day.
    pub fn baseline(self) -> Vitals {
        // request rate, errors, p99, cpu, memory, database connections, lag, then what not all report: disk, certificate, steal
        Vitals(match self {
            Self::ApiGateway => [150.0, 0.5, 120.0, 30.0, 45.0, 20.0, 0.0, 0.0, 0.0, 0.0],
            Self::Payment => [80.0, 0.5, 380.0, 22.0, 45.0, 30.0, 0.0, 0.0, CERTIFICATE_S, 0.0],
            Self::Order => [60.0, 0.5, 280.0, 20.0, 45.0, 15.0, 100.0, 52.0, CERTIFICATE_S, 0.0],
            Self::User => [200.0, 0.5, 150.0, 18.0, 45.0, 20.0, 0.0, 0.0, CERTIFICATE_S, 0.0],
            Self::Inventory => [30.0, 0.5, 220.0, 15.0, 45.0, 10.0, 0.0, 0.0, CERTIFICATE_S, 1.0],
            Self::Notification => [40.0, 0.5, 500.0, 25.0, 55.0, 20.0, 200.0, 38.0, 0.0, 1.0],
        })
    }

    /// Returns who calls it.
    pub fn callers(self) -> impl Iterator<Item = Self> {
        CALLS.into_iter().filter(move |call| call.callee == self).map(|call| call.caller)
    }
}

/// What is measured of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Requests per second.
    RequestRate,
    /// Failed requests, percent of all.
    ErrorRate,
    /// 99th percentile of the time a request takes, milliseconds.
    LatencyP99,
    /// Processor use, percent.
    Cpu,
    /// Memory use, percent.
    Memory,
    /// Open database connections; the pool ends at 100.
    DbConnections,
    /// Messages not yet consumed.
    ConsumerLag,
    /// Disk use, percent.
    Disk,
    /// Time until the certificate expires, seconds.
    CertificateExpiry,
    /// Time that the host gave to others while the service wanted the processor, percent.
    CpuSteal,
}

impl Metric {
    /// Those that every service reports, in the order in which a tick does.
    pub const ALL: [Self; 7] = [
        Self::RequestRate,
        Self::ErrorRate,
        Self::LatencyP99,
        Self::Cpu,
        Self::Memory,
        Self::DbConnections,
        Self::ConsumerLag,
    ];

    /// Those that some services report, after [`Metric::ALL`], in runs with a fault that moves them.
    pub const EXTRA: [Self; 3] = [Self::Disk, Self::CertificateExpiry, Self::CpuSteal];

    /// Returns the services that report it.
    pub fn sources(self) -> &'static [Service] {
        match self {
            Self::Disk => &[Service::Order, Service::Notification],
            Self::CertificateExpiry => &[Service::Payment, Service::Order, Service::User, Service::Inventory],
            Self::CpuSteal => &[Service::Inventory, Service::Notification],
            _ => &Service::ALL,
        }
    }

    /// Returns the name as it stands in telemetry.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestRate => "request_rate",
            Self::ErrorRate => "error_rate",
            Self::LatencyP99 => "latency_p99_ms",
            Self::Cpu => "cpu_percent",
            Self::Memory => "memory_percent",
            Self::DbConnections => "db_connections",
            Self::ConsumerLag => "consumer_lag",
            Self::Disk => "disk_percent",
            Self::CertificateExpiry => "certificate_expiry_seconds",
            Self::CpuSteal => "cpu_steal_percent",
        }
    }

    /// Returns the unit as it stands in telemetry.
    pub fn unit(self) -> &'static str {
        match self {
            Self::RequestRate => "1/s",
            Self::ErrorRate | Self::Cpu | Self::Memory | Self::Disk | Self::CpuSteal => "%",
            Self::CertificateExpiry => "s",
            Self::LatencyP99 => "ms",
            Self::DbConnections => "connections",
            Self::ConsumerLag => "messages",
        }
    }

    /// Returns what is measured, for the HELP line of `/metrics`.
    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::RequestRate => "Requests per second.",
            Self::ErrorRate => "Failed requests, percent of all.",
            Self::LatencyP99 => "99th percentile of the time a request takes, milliseconds.",
            Self::Cpu => "Processor use, percent.",
            Self::Memory => "Memory use, percent.",
            Self::DbConnections => "Open database connections of a pool of 100.",
            Self::ConsumerLag => "Messages not yet consumed.",
            Self::Disk => "Disk use, percent.",
            Self::CertificateExpiry => "Time until the certificate expires, seconds.",
            Self::CpuSteal => "CPU time that the host gave to others, percent.",
        }
    }

    /// Returns the value as it can be measured: not negative, at most what the scale or the pool allows, whole where
    /// it counts things, and short where it does not.
    pub(crate) fn measured(self, value: f64) -> f64 {
        match self {
            Self::ErrorRate | Self::Cpu | Self::Memory | Self::Disk | Self::CpuSteal => {
                thousandths(value.clamp(0.0, 100.0))
            }
            Self::DbConnections => value.round().clamp(0.0, 100.0),
            // some exporters report a negative time after the end of a certificate; these do not
            Self::ConsumerLag | Self::CertificateExpiry => value.round().max(0.0),
            Self::RequestRate | Self::LatencyP99 => thousandths(value.max(0.0)),
        }
    }
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// One value for each [`Metric`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vitals([f64; Metric::ALL.len() + Metric::EXTRA.len()]);

impl AddAssign for Vitals {
    fn add_assign(&mut self, other: Self) {
        for (value, more) in self.0.iter_mut().zip(other.0) {
            *value += more;
        }
    }
}

impl Index<Metric> for Vitals {
    type Output = f64;

    fn index(&self, metric: Metric) -> &f64 {
        &self.0[metric as usize]
    }
}

impl IndexMut<Metric> for Vitals {
    fn index_mut(&mut self, metric: Metric) -> &mut f64 {
        &mut self.0[metric as usize]
    }
}

/// One edge of the call graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Call {
    /// Who calls.
    pub caller: Service,
    /// Who is called.
    pub callee: Service,
    /// Share of the caller's requests that need this call.
    pub share: f64,
}

/// Who calls whom. Whoever is called comes before whoever calls it, so that one pass from the first to the last
/// carries a fault all the way up.
pub const CALLS: [Call; 5] = [
    Call { caller: Service::Order, callee: Service::Payment, share: 0.6 },
    Call { caller: Service::Order, callee: Service::Inventory, share: 0.5 },
    Call { caller: Service::ApiGateway, callee: Service::Payment, share: 0.3 },
    Call { caller: Service::ApiGateway, callee: Service::Order, share: 0.4 },
    Call { caller: Service::ApiGateway, callee: Service::User, share: 0.6 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callee_is_settled_before_its_callers_are_looked_at() {
        for (index, call) in CALLS.iter().enumerate() {
            assert!(
                CALLS[index..].iter().all(|later| later.caller != call.callee),
                "{call:?} comes too early"
            );
        }
    }
}
