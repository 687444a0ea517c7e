//! Use of processor, memory, database pool and queue, as each replica measures it.

use opentelemetry_proto::tonic::metrics::v1::{Metric as Exported, NumberDataPoint};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::Report;
use super::fleet::{Fleet, Replica};
use super::wire::{Named, attribute, gauge, number, up_down};
use crate::service::{Metric, Service};

/// Memory that a container may use, bytes.
const MEMORY_LIMIT_BY: f64 = 2.0 * 1024.0 * 1024.0 * 1024.0;
/// Connections of the pools of all replicas.
const POOL: u32 = 100;
/// Partitions of a topic that one replica consumes.
const PARTITIONS_EACH: usize = 2;
/// Name of the pool.
const POOL_NAME: &str = "primary";

/// Measures each replica. Returns nothing for them where the service reports nothing.
pub(super) fn measure(fleet: &Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) -> Vec<Vec<Exported>> {
    let mut found: Vec<Vec<Exported>> = fleet.replicas.iter().map(|_| Vec::new()).collect();
    if report.value(Metric::RequestRate).is_none() {
        return found;
    }
    let mut add = |of_replicas: Vec<Vec<Exported>>| {
        for (metrics, more) in found.iter_mut().zip(of_replicas) {
            metrics.extend(more);
        }
    };
    add(shared_out(fleet, report, Metric::Cpu, ("process.cpu.utilization", "1"), 0.01, rng));
    let memory = ("container.memory.working_set", "By");
    add(shared_out(fleet, report, Metric::Memory, memory, MEMORY_LIMIT_BY / 100.0, rng));
    add(each(fleet, report, |_, at_ms| {
        vec![gauge(("k8s.container.memory_limit", "By"), vec![number(at_ms, MEMORY_LIMIT_BY, Vec::new())])]
    }));
    add(connections(fleet, report, rng));
    add(lag(fleet, report, rng));
    add(extra(fleet, report));
    found
}

fn each(
    fleet: &Fleet,
    report: Report<'_>,
    mut of: impl FnMut(&Replica, i64) -> Vec<Exported>,
) -> Vec<Vec<Exported>> {
    fleet.replicas.iter().map(|replica| of(replica, replica.exports_at(report.tick.ts_ms))).collect()
}

/// A share in percent that follows the load of each replica, whose mean is the value of the tick.
fn shared_out(
    fleet: &Fleet,
    report: Report<'_>,
    metric: Metric,
    named: Named,
    whole_percent: f64,
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<Exported>> {
    let percent = report.value(metric).unwrap_or_default();
    let mut shares = fleet.shares(rng).into_iter();
    each(fleet, report, |_, at_ms| {
        let share = shares.next().unwrap_or_default() * fleet.replicas.len() as f64;
        // memory does not follow each change of the load
        let share = if metric == Metric::Memory { 1.0 + (share - 1.0) / 4.0 } else { share };
        let value = (percent * share).clamp(0.0, 100.0) * whole_percent;
        vec![gauge(named, vec![number(at_ms, value, Vec::new())])]
    })
}

/// The pools of the replicas: they keep all connections open, and some of them are used.
fn connections(fleet: &Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) -> Vec<Vec<Exported>> {
    let most = POOL.div_ceil(fleet.replicas.len() as u32);
    let mut used = vec![0_u32; fleet.replicas.len()];
    for _ in 0..report.value(Metric::DbConnections).unwrap_or_default() as u32 {
        let with_room: Vec<usize> = (0..used.len()).filter(|place| used[*place] < most).collect();
        if let Some(place) = with_room.choose(rng) {
            used[*place] += 1;
        }
    }
    let mut used = used.into_iter();
    each(fleet, report, |replica, at_ms| {
        let used = used.next().unwrap_or_default();
        let of = |state: &str, connections: u32| -> NumberDataPoint {
            let attributes = vec![
                attribute("db.client.connection.pool.name", POOL_NAME),
                attribute("db.client.connection.state", state),
            ];
            number(at_ms, f64::from(connections), attributes)
        };
        let limit =
            number(at_ms, f64::from(most), vec![attribute("db.client.connection.pool.name", POOL_NAME)]);
        let counts = vec![of("used", used), of("idle", most - used)];
        vec![
            up_down(("db.client.connection.count", "{connection}"), replica.started_ms, counts),
            up_down(("db.client.connection.max", "{connection}"), replica.started_ms, vec![limit]),
        ]
    })
}

/// The backlog of each partition, of those services that consume.
fn lag(fleet: &Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) -> Vec<Vec<Exported>> {
    let topic = match report.service {
        Service::Order => "order-events",
        Service::Notification => "messages",
        _ => return Vec::new(),
    };
    let partitions = fleet.replicas.len() * PARTITIONS_EACH;
    let loads: Vec<f64> = (0..partitions).map(|_| rng.random_range(0.8..1.2)).collect();
    let all: f64 = loads.iter().sum();
    let records = report.value(Metric::ConsumerLag).unwrap_or_default();
    let mut loads = loads.into_iter().enumerate();
    each(fleet, report, |_, at_ms| {
        let point = |(partition, load): (usize, f64)| {
            let attributes = vec![attribute("topic", topic), attribute("partition", &partition.to_string())];
            number(at_ms, (records * load / all).round(), attributes)
        };
        let points = loads.by_ref().take(PARTITIONS_EACH).map(point).collect();
        vec![gauge(("kafka.consumer.records_lag", "{record}"), points)]
    })
}

/// What only some services report, in runs with a fault that moves it: alike for all replicas.
fn extra(fleet: &Fleet, report: Report<'_>) -> Vec<Vec<Exported>> {
    let of = |metric: Metric, value: f64| match metric {
        Metric::Disk => Some((
            ("system.filesystem.utilization", "1"),
            value / 100.0,
            vec![attribute("system.filesystem.mountpoint", "/data")],
        )),
        Metric::CpuSteal => {
            Some((("system.cpu.utilization", "1"), value / 100.0, vec![attribute("cpu.mode", "steal")]))
        }
        // there is no convention for it
        Metric::CertificateExpiry => Some((("tls.certificate.remaining", "s"), value, Vec::new())),
        _ => None,
    };
    each(fleet, report, |_, at_ms| {
        let found = Metric::EXTRA.into_iter().filter_map(|metric| of(metric, report.value(metric)?));
        found.map(|(named, value, labels)| gauge(named, vec![number(at_ms, value, labels)])).collect()
    })
}
