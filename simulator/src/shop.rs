//! The shop as a pure function of its options and the ticks it is given.

mod changes;
mod logs;
mod traces;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::clock::from_ms;
use shared::events::fault::{Phase, Scenario};
use shared::events::{Deployment, Fault, LogRecord, MetricSample, Span};

pub use changes::Decoys;

use crate::fault::{WayIn, culprit, effect, extra_metric, neighbour, travel, way_in};
use crate::noise::{self, Noise};
use crate::schedule::{Faults, Planned, Schedule};
use crate::service::{Metric, Service, Vitals};

/// What a run is made of. The same options yield the same ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Seed of all randomness.
    pub seed: u64,
    /// Event time between two ticks, milliseconds. Faults count ticks, so they last as long as it says.
    pub interval_ms: u64,
    /// Shape of the noise.
    pub noise: Noise,
    /// Height of the daily curve of traffic, as a part of its mean.
    pub daily_amplitude: f64,
    /// Which faults break out.
    pub faults: Faults,
    /// Ticks before the first fault; at least 1.
    pub first_fault_after: u64,
    /// Least number of ticks between two faults; there are at most twice as many.
    pub min_gap: u64,
    /// Which services healthy deployments may touch.
    pub decoys: Decoys,
    /// Environment that all records name.
    pub environment: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            interval_ms: 10_000,
            noise: Noise::Gaussian,
            daily_amplitude: 0.25,
            faults: Faults::Repeat(None),
            first_fault_after: 60,
            min_gap: 60,
            decoys: Decoys::Innocent,
            environment: "production".to_owned(),
        }
    }
}

/// What the shop says about one interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tick {
    /// Event time at which the interval ended, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// One sample of each metric of each service, service by service.
    pub metrics: Vec<MetricSample>,
    /// Lines written within the interval, in the order of their times.
    pub logs: Vec<LogRecord>,
    /// Versions rolled out at the end of the interval.
    pub deployments: Vec<Deployment>,
    /// Spans that ended within the interval, parents before children.
    pub spans: Vec<Span>,
    /// Ground truth: faults of which this is the first tick with, or the first without.
    pub faults: Vec<Fault>,
}

/// A fault as it stands at one tick.
#[derive(Debug, Clone, Copy)]
struct Fire {
    scenario: Scenario,
    /// Part of its time that has passed, in 0..=1.
    progress: f64,
}

/// The state of all services at one tick, by [`Service::ALL`].
struct State {
    /// What each service suffers by itself.
    own: [Vitals; Service::ALL.len()],
    /// The same with what it feels of those it calls.
    felt: [Vitals; Service::ALL.len()],
    /// What happens to the calls of each service on their way.
    ways: [WayIn; Service::ALL.len()],
}

impl State {
    fn of(fires: &[Fire]) -> Self {
        let mut own = [Vitals::default(); Service::ALL.len()];
        let mut ways = [WayIn::default(); Service::ALL.len()];
        for &Fire { scenario, progress } in fires {
            let culprit = culprit(scenario) as usize;
            own[culprit] += effect(scenario, progress);
            ways[culprit] += way_in(scenario, progress);
            if let Some((other, extra)) = neighbour(scenario, progress) {
                own[other as usize] += extra;
            }
        }
        Self { felt: travel(own, &ways), own, ways }
    }
}

/// A series of [`Metric::EXTRA`].
#[derive(Debug, Clone)]
struct ExtraSeries {
    service: Service,
    metric: Metric,
    source: noise::Source,
}

/// Six services, and what goes wrong with them.
#[derive(Debug, Clone)]
pub struct Shop {
    options: Options,
    /// Ticks so far.
    ticks: u64,
    schedule: Schedule,
    sources: [[noise::Source; Metric::ALL.len()]; Service::ALL.len()],
    noise_rng: ChaCha8Rng,
    /// What some services report besides, for the faults of this run.
    extra: Vec<ExtraSeries>,
    extra_rng: ChaCha8Rng,
    changes: changes::Changes,
    logs_rng: ChaCha8Rng,
    traces_rng: ChaCha8Rng,
    /// Event time of the last tick, milliseconds; nothing before the first.
    last_ms: Option<i64>,
}

impl Shop {
    /// Opens the shop.
    pub fn new(options: Options) -> Self {
        // each concern has a stream of its own: a fault changes no noise, and a log line no schedule
        let stream = |number: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
            rng.set_stream(number);
            rng
        };
        Self {
            schedule: Schedule::new(stream(0), &options),
            sources: Default::default(),
            noise_rng: stream(1),
            changes: changes::Changes::new(stream(2), options.decoys),
            logs_rng: stream(3),
            traces_rng: stream(4),
            extra: extra_series(&options.faults),
            extra_rng: stream(5),
            ticks: 0,
            last_ms: None,
            options,
        }
    }

    /// Lets one interval pass, which ends at `ts_ms`.
    pub fn tick(&mut self, ts_ms: i64) -> Tick {
        let tick = self.ticks;
        self.ticks += 1;
        self.last_ms = Some(ts_ms);
        self.schedule.advance(tick);

        let fires = self.fires(tick);
        let state = State::of(&fires);

        let metrics = self.metrics(&state, ts_ms);
        let moment =
            Moment { ts_ms, interval_ms: self.options.interval_ms, environment: &self.options.environment };
        let spans = traces::spans(&mut self.traces_rng, &state, &moment);
        let logs = logs::lines(&mut self.logs_rng, &fires, &state, &spans, &moment);
        let deployments = self.changes.at(tick, &self.schedule, &moment);
        let faults = self.ground_truth(tick, ts_ms);
        let mut tick_of_all = Tick { ts_ms, metrics, logs, deployments, spans, faults };
        for service in Service::ALL.into_iter().filter(|service| self.schedule.is_retired(*service, tick)) {
            tick_of_all.without(service);
        }
        tick_of_all
    }

    /// Closes the shop: returns what retires each service that is left as of the last tick; nothing if there was none.
    pub fn close(&self) -> Vec<Deployment> {
        let Some(ts_ms) = self.last_ms else { return Vec::new() };
        let moment =
            Moment { ts_ms, interval_ms: self.options.interval_ms, environment: &self.options.environment };
        let is_left = |service: &Service| !self.schedule.is_retired(*service, self.ticks);
        let left = Service::ALL.into_iter().filter(is_left);
        left.map(|service| self.changes.retirement(service, "The simulation ends", &moment)).collect()
    }

    /// Returns for how many ticks all faults of a run with an end ([`Faults::Once`], [`Faults::Planned`]) have been over;
    /// nothing before.
    pub fn recovered_for(&self) -> Option<u64> {
        self.schedule.over_at().and_then(|over| self.ticks.checked_sub(over))
    }

    fn fires(&self, tick: u64) -> Vec<Fire> {
        let burning = |fault: &Planned| {
            fault.progress(tick).map(|progress| Fire { scenario: fault.scenario, progress })
        };
        self.schedule.planned().filter_map(burning).collect()
    }

    fn metrics(&mut self, state: &State, ts_ms: i64) -> Vec<MetricSample> {
        let Self { options, sources, noise_rng, extra, extra_rng, .. } = self;
        let mut samples = Vec::with_capacity(Service::ALL.len() * Metric::ALL.len() + extra.len());
        for service in Service::ALL {
            let felt = &state.felt[service as usize];
            for metric in Metric::ALL {
                let source = &mut sources[service as usize][metric as usize];
                let deviation = source.next(options.noise, metric, noise_rng);
                samples.push(sample(service, metric, felt, deviation, options, ts_ms));
            }
            for series in extra.iter_mut().filter(|series| series.service == service) {
                let deviation = series.source.next(options.noise, series.metric, extra_rng);
                samples.push(sample(service, series.metric, felt, deviation, options, ts_ms));
            }
        }
        samples
    }

    fn ground_truth(&self, tick: u64, ts_ms: i64) -> Vec<Fault> {
        let mut edges = Vec::new();
        for fault in self.schedule.planned().filter(|fault| fault.scenario.category().is_some()) {
            let phase = match tick {
                _ if tick == fault.starts => Phase::Started,
                _ if tick == fault.ends => Phase::Ended,
                _ => continue,
            };
            edges.push(Fault {
                fault: fault.number,
                scenario: fault.scenario,
                service: culprit(fault.scenario).name().to_owned(),
                phase,
                at: from_ms(ts_ms),
                environment: self.options.environment.clone(),
            });
        }
        edges
    }
}

impl Tick {
    /// Removes what a service says of itself.
    fn without(&mut self, service: Service) {
        let name = service.name();
        self.metrics.retain(|sample| sample.service != name);
        self.logs.retain(|line| line.service != name);
        self.spans.retain(|span| span.service != name);
    }
}

/// Returns the series besides those of every service that the faults of a run move.
fn extra_series(faults: &Faults) -> Vec<ExtraSeries> {
    let moved = Scenario::ALL.into_iter().filter(|scenario| faults.name(*scenario)).filter_map(extra_metric);
    moved
        .flat_map(|metric| metric.sources().iter().map(move |service| (*service, metric)))
        .map(|(service, metric)| ExtraSeries { service, metric, source: noise::Source::default() })
        .collect()
}

/// Measures one metric of a service that feels `felt`.
fn sample(
    service: Service,
    metric: Metric,
    felt: &Vitals,
    deviation: f64,
    options: &Options,
    ts_ms: i64,
) -> MetricSample {
    let daily = noise::daily(metric, ts_ms, options.daily_amplitude);
    let base = match metric {
        // a fault puts another certificate in the place of the usual one
        Metric::CertificateExpiry if felt[metric] >= 0.0 => certificate_life_s(ts_ms),
        _ => service.baseline()[metric] * daily,
    };
    let extra = match metric {
        // a part of the traffic, whatever the time of day
        Metric::RequestRate => felt[metric] * daily,
        _ => felt[metric],
    };
    let value = base + extra + deviation * noise::spread(metric, base, extra);
    MetricSample {
        environment: options.environment.clone(),
        unit: Some(metric.unit().to_owned()),
        ..MetricSample::of(service.name(), metric.name(), metric.measured(value), ts_ms)
    }
}

/// Returns how long a certificate of 90 days is still valid that is renewed every 60 days, seconds.
fn certificate_life_s(ts_ms: i64) -> f64 {
    const DAY_MS: i64 = 86_400_000;
    (90 * DAY_MS - ts_ms.rem_euclid(60 * DAY_MS)) as f64 / 1000.0
}

/// What all records of a tick share.
struct Moment<'a> {
    /// End of the interval.
    ts_ms: i64,
    interval_ms: u64,
    environment: &'a str,
}
