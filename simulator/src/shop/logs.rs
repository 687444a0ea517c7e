//! What the services write.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use shared::events::fault::Scenario;
use shared::events::raw::{Level, SpanStatus};
use shared::events::{LogRecord, Span};

use super::{Fire, Moment, State};
use crate::fault::{culprit, way_in};
use crate::service::{CALLS, Metric, Service};

/// A healthy service writes a warning in this part of all ticks, and an error in that part.
const WARNS: f64 = 0.04;
const FAILS: f64 = 0.005;
/// A caller complains of a callee that fails this much more than usual, percent, or is this much slower, milliseconds.
const FAILING: f64 = 2.0;
const SLOW: f64 = 200.0;

/// What a healthy service writes: mostly this, now and then a warning, rarely an error.
///
/// `{n}`, `{ms}`, `{slow}`, `{lag}` and `{id}` stand for a small count, the time of a usual request, that of a slow one,
/// the backlog, and a name; they change from line to line.
struct Voice {
    daily: [&'static str; 3],
    warning: &'static str,
    error: &'static str,
}

fn voice(service: Service) -> Voice {
    match service {
        Service::ApiGateway => Voice {
            daily: [
                "GET /profile answered 200 in {ms} ms",
                "POST /checkout answered 201 in {ms} ms",
                "route table refreshed, {n} routes, 0 errors",
            ],
            warning: "client {id} exceeded its rate limit, answered 429",
            error: "request {id} failed: client closed the connection after {ms} ms",
        },
        Service::Payment => Voice {
            daily: [
                "charge {id} settled in {ms} ms",
                "charge {id} authorised in {ms} ms",
                "reconciled {n} charges with the card processor, failed=0",
            ],
            warning: "card processor answered slowly for charge {id}: {slow} ms",
            error: "charge {id} failed: card processor refused the currency",
        },
        Service::Order => Voice {
            daily: [
                "order {id} placed in {ms} ms",
                "consumed {n} records of order-events",
                "order {id} handed to fulfilment",
            ],
            warning: "order {id} had no delivery slot, kept for retry",
            error: "order {id} failed: unknown voucher",
        },
        Service::User => Voice {
            daily: [
                "session {id} renewed",
                "profile {id} read in {ms} ms",
                "evicted {n} idle sessions from the cache",
            ],
            warning: "login of {id} refused: third wrong password",
            error: "profile {id} could not be written: version conflict",
        },
        Service::Inventory => Voice {
            daily: [
                "reserved {n} items for order {id}",
                "stock level of {id} updated",
                "nightly count compared, {n} items differ by none",
            ],
            warning: "stock of {id} is below its reorder level",
            error: "reservation {id} failed: item is discontinued",
        },
        Service::Notification => Voice {
            daily: [
                "mail {id} accepted by the relay in {ms} ms",
                "drained {n} messages from the outbox",
                "template cache warm, {n} templates",
            ],
            warning: "relay deferred mail {id}, retry in {n} s",
            error: "mail {id} failed: recipient address refused",
        },
    }
}

/// What is written about a fault: first while it builds up, then when it hurts. The burning service writes it, or its callers
/// where their calls do not arrive.
fn cries(scenario: Scenario) -> &'static [(Level, &'static str)] {
    match scenario {
        Scenario::LatencySpike => &[
            (Level::Warn, "slow query: SELECT ... FROM charges WHERE customer = {id} took {slow} ms"),
            (Level::Error, "charge {id} waited {slow} ms for the ledger, its budget is 2000 ms"),
            (Level::Error, "statement on charges took {slow} ms: sequential scan, no usable index"),
        ],
        Scenario::ErrorSpike => &[
            (Level::Error, "order {id} failed: NullPointerException in PriceCalculator.total"),
            (Level::Error, "order {id} rolled back: price is missing for {n} items"),
            (Level::Error, "unhandled exception in PlaceOrder, answered 500"),
        ],
        Scenario::CpuSaturation => &[
            (Level::Warn, "event loop was blocked for {slow} ms"),
            (Level::Warn, "all worker threads are busy, {n} requests are queued"),
            (Level::Error, "request {id} waited {slow} ms for a worker thread, run queue is full"),
        ],
        Scenario::MemoryLeak => &[
            (Level::Warn, "full collection paused all threads for {slow} ms and freed {n} MB"),
            (Level::Warn, "heap is still above 80 % after a full collection"),
            (Level::Error, "allocation stalled for {slow} ms, close to running out of memory"),
        ],
        Scenario::DbConnections => &[
            (Level::Warn, "connection pool is nearly used up, {n} threads are waiting"),
            (Level::Error, "no database connection became free within 1000 ms, {n} threads are waiting"),
            (Level::Error, "charge {id} failed: connection pool exhausted (active=100, idle=0)"),
        ],
        Scenario::ConsumerLag => &[
            (Level::Warn, "consumer of order-events is {lag} records behind"),
            (Level::Warn, "consumed {n} records of order-events in a second, far more arrive"),
            (Level::Error, "consumer left group order-workers: too long between two polls, rebalancing"),
        ],
        Scenario::BadDeployment => &[
            (Level::Error, "profile {id} could not be read: column profile_store_id does not exist"),
            (Level::Error, "unhandled exception in GetProfile since start of this version, answered 500"),
            (Level::Warn, "profile store is slow: {slow} ms, falling back to the old path"),
        ],
        Scenario::DependencyOutage => &[
            (Level::Error, "card network did not answer for charge {id} within {slow} ms, call timed out"),
            (Level::Error, "charge {id} failed: card network answered service unavailable"),
            (Level::Error, "circuit breaker of card network is open, {n} charges were refused"),
        ],
        Scenario::NetworkPartition => &[
            (Level::Error, "call to payment failed: connect to 10.0.3.17:8443: no route to host"),
            (Level::Error, "call to payment failed after {n} bytes: connection reset by peer"),
            (Level::Error, "call to payment failed: no answer within 2000 ms, {n} segments were sent again"),
        ],
        Scenario::DiskFilling => &[
            (Level::Warn, "disk of the order journal fills up, {n} old segments could not be removed"),
            (Level::Error, "order {id} failed: write /var/lib/order/journal: no space left on device"),
            (Level::Error, "journal is read-only since its disk is full, {n} orders were refused"),
        ],
        Scenario::CertificateExpiry => &[
            (Level::Error, "call to inventory failed: TLS handshake: certificate has expired"),
            (Level::Error, "call to inventory failed: x509: certificate has expired or is not yet valid"),
        ],
        Scenario::NoisyNeighbour => &[
            (Level::Warn, "campaign batch runs on all cores, {n} jobs are queued"),
            (Level::Warn, "run queue of the host is {n} long while the campaign batch runs"),
            (Level::Error, "mail {id} waited {slow} ms for a worker thread, run queue is full"),
        ],
        // who gets fewer requests, or none any more, does not complain
        Scenario::TrafficDrop | Scenario::Retirement => &[],
    }
}

/// Returns who writes about a fault.
fn writers(scenario: Scenario, progress: f64) -> Vec<Service> {
    let culprit = culprit(scenario);
    match scenario {
        Scenario::NetworkPartition | Scenario::CertificateExpiry if way_in(scenario, progress).is_clear() => {
            Vec::new()
        }
        Scenario::NetworkPartition | Scenario::CertificateExpiry => culprit.callers().collect(),
        _ => vec![culprit],
    }
}

/// Writes the lines of one tick, in the order of their times.
pub(super) fn lines(
    rng: &mut ChaCha8Rng,
    fires: &[Fire],
    state: &State,
    spans: &[Span],
    moment: &Moment<'_>,
) -> Vec<LogRecord> {
    let mut log = Log { rng, state, spans, moment, lines: Vec::new() };
    for service in Service::ALL {
        log.background(service);
    }
    for &Fire { scenario, progress } in fires {
        log.cry(scenario, progress);
    }
    if !fires.is_empty() {
        for call in CALLS {
            log.complain(call.caller, call.callee);
        }
    }
    let mut lines = log.lines;
    lines.sort_by_key(|line| line.ts_ms);
    lines
}

struct Log<'a> {
    rng: &'a mut ChaCha8Rng,
    state: &'a State,
    spans: &'a [Span],
    moment: &'a Moment<'a>,
    lines: Vec<LogRecord>,
}

impl Log<'_> {
    fn background(&mut self, service: Service) {
        let voice = voice(service);
        for _ in 0..self.rng.random_range(1..=2) {
            let template = voice.daily.choose(self.rng).expect("there are some");
            self.write(service, Level::Info, template);
        }
        if self.rng.random_bool(WARNS) {
            self.write(service, Level::Warn, voice.warning);
        }
        if self.rng.random_bool(FAILS) {
            self.write(service, Level::Error, voice.error);
        }
    }

    /// The worse it gets, the more lines, and the more of them from the end of the list.
    fn cry(&mut self, scenario: Scenario, progress: f64) {
        let cries = cries(scenario);
        if cries.is_empty() {
            return;
        }
        let known = match progress {
            ..0.4 => 1,
            ..0.6 => 2,
            _ => cries.len(),
        };
        for service in writers(scenario, progress) {
            for _ in 0..=(3.0 * progress) as usize {
                let (level, template) = cries[self.rng.random_range(0..known)];
                self.write(service, level, template);
            }
        }
    }

    fn complain(&mut self, caller: Service, callee: Service) {
        let extra = &self.state.felt[callee as usize];
        let (errors, latency_ms, name) = (extra[Metric::ErrorRate], extra[Metric::LatencyP99], callee.name());
        if errors > FAILING {
            let template = format!("call to {name} failed with status 503 after 2 attempts");
            self.write_about(callee, caller, Level::Error, &template);
        }
        if latency_ms > SLOW {
            let template = format!("call to {name} exceeded its budget, took {{slow}} ms");
            self.write_about(callee, caller, Level::Warn, &template);
        }
    }

    fn write(&mut self, service: Service, level: Level, template: &str) {
        self.write_about(service, service, level, template);
    }

    /// Writes a line of `service` with the figures of `subject`.
    fn write_about(&mut self, subject: Service, service: Service, level: Level, template: &str) {
        let now = |metric| subject.baseline()[metric] + self.state.felt[subject as usize][metric];
        let (p99_ms, lag) = (now(Metric::LatencyP99), now(Metric::ConsumerLag));
        let message = template
            .replace("{n}", &self.rng.random_range(2..90).to_string())
            .replace("{ms}", &format!("{:.0}", p99_ms * self.rng.random_range(0.1..0.6)))
            .replace("{slow}", &format!("{:.0}", p99_ms * self.rng.random_range(0.8..1.2)))
            .replace("{lag}", &format!("{lag:.0}"))
            .replace("{id}", &format!("{:08x}", self.rng.random::<u32>()));
        let failed = |span: &&Span| span.service == service.name() && span.status == SpanStatus::Error;
        let trace_id = match level {
            Level::Error => self.spans.iter().find(failed).map(|span| span.trace_id.clone()),
            _ => None,
        };
        let age = self.rng.random_range(0..self.moment.interval_ms.max(1)) as i64;
        self.lines.push(LogRecord {
            service: service.name().to_owned(),
            level,
            message,
            ts_ms: self.moment.ts_ms - age,
            environment: self.moment.environment.to_owned(),
            trace_id,
            labels: BTreeMap::new(),
        });
    }
}
