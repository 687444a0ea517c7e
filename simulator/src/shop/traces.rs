//! A sample of traces: what a request did on its way through the services.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use shared::events::Span;
use shared::events::raw::SpanStatus;

use super::{Moment, State};
use crate::fault::failure_spreads;
use crate::service::{Metric, Service};

/// Traces of each entry path in a tick.
const PER_PATH: usize = 3;
/// Spread of the logarithm of a span's own time.
const SPREAD: f64 = 0.6;
/// Deviations from the median to the 99th percentile.
const P99: f64 = 2.326;
/// Part of its own time that a service works before its first call.
const BEFORE_CALLS: f64 = 0.5;
/// Time after which a caller gives up a call that got lost, milliseconds.
const GIVEN_UP_MS: f64 = 2000.0;

/// A service at work, and whom it calls meanwhile, one after the other.
struct Work {
    service: Service,
    operation: &'static str,
    calls: &'static [Work],
}

/// The ways through the shop.
const PATHS: [Work; 4] = [
    Work {
        service: Service::ApiGateway,
        operation: "POST /checkout",
        calls: &[Work {
            service: Service::Order,
            operation: "PlaceOrder",
            calls: &[
                Work { service: Service::Inventory, operation: "ReserveItems", calls: &[] },
                Work { service: Service::Payment, operation: "Charge", calls: &[] },
            ],
        }],
    },
    Work {
        service: Service::ApiGateway,
        operation: "POST /payments",
        calls: &[Work { service: Service::Payment, operation: "Charge", calls: &[] }],
    },
    Work {
        service: Service::ApiGateway,
        operation: "GET /profile",
        calls: &[Work { service: Service::User, operation: "GetProfile", calls: &[] }],
    },
    Work { service: Service::Notification, operation: "SendMessage", calls: &[] },
];

/// Draws the traces of one tick from what each service suffers by itself; how it is felt above follows from the calls.
pub(super) fn spans(rng: &mut ChaCha8Rng, state: &State, moment: &Moment<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    for path in &PATHS {
        for _ in 0..PER_PATH {
            let mut trace = Trace {
                id: format!("{:032x}", rng.random::<u128>()),
                state,
                environment: moment.environment,
                spans: Vec::new(),
            };
            let root = trace.run(rng, path, None, 0.0);
            // the request ended within the interval
            let ended = moment.ts_ms as f64 - rng.random_range(0.0..moment.interval_ms.max(1) as f64);
            let started = (ended - root.duration_ms).floor() as i64;
            spans.extend(trace.spans.into_iter().map(|mut span| {
                span.ts_ms += started;
                span
            }));
        }
    }
    spans
}

struct Trace<'a> {
    id: String,
    state: &'a State,
    environment: &'a str,
    spans: Vec<Span>,
}

/// Draws a time from its 99th percentile.
fn drawn(rng: &mut ChaCha8Rng, p99_ms: f64) -> f64 {
    let normal: f64 = rng.sample(StandardNormal);
    p99_ms * (SPREAD * (normal - P99)).exp()
}

/// How a span ended.
struct Outcome {
    duration_ms: f64,
    failed: bool,
}

impl Trace<'_> {
    /// Runs `work`, which starts `offset_ms` after the trace, and all it calls.
    fn run(&mut self, rng: &mut ChaCha8Rng, work: &Work, parent: Option<&str>, offset_ms: f64) -> Outcome {
        let own = &self.state.own[work.service as usize];
        let level = |metric| work.service.baseline()[metric] + own[metric];
        let own_ms = drawn(rng, level(Metric::LatencyP99));
        let mut failed = rng.random_bool((level(Metric::ErrorRate) / 100.0).clamp(0.0, 1.0));

        let id = format!("{:016x}", rng.random::<u64>());
        let index = self.spans.len();
        self.spans.push(Span {
            trace_id: self.id.clone(),
            span_id: id.clone(),
            parent_span_id: parent.map(str::to_owned),
            service: work.service.name().to_owned(),
            operation: work.operation.to_owned(),
            ts_ms: offset_ms.round() as i64,
            duration_ms: 0.0,
            status: SpanStatus::Unset,
            environment: self.environment.to_owned(),
            peer: None,
        });
        let mut elapsed = own_ms * BEFORE_CALLS;
        for call in work.calls {
            let way = self.state.ways[call.service as usize];
            if !way.is_clear() {
                if rng.random_bool(way.lost / 100.0) {
                    elapsed += GIVEN_UP_MS;
                    failed |= rng.random_bool(failure_spreads());
                    continue;
                }
                elapsed += drawn(rng, way.delay_ms);
            }
            let outcome = self.run(rng, call, Some(&id), offset_ms + elapsed);
            elapsed += outcome.duration_ms;
            failed |= rng.random_bool(failure_spreads()) && outcome.failed;
        }
        let duration_ms = elapsed + own_ms * (1.0 - BEFORE_CALLS);
        self.spans[index].duration_ms = (duration_ms * 1000.0).round() / 1000.0;
        self.spans[index].status = if failed { SpanStatus::Error } else { SpanStatus::Ok };
        Outcome { duration_ms, failed }
    }
}
