//! A shop of six services in one line each: the noise that detection has to bear.

use std::f64::consts::TAU;

use detection::Settings;
use detection::metric_profile::Metric;
use detection::series::alarm_budget::FiringThreshold;
use detection::series::{Change, Series};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shared::events::anomaly::Status;

pub(crate) const START_MS: i64 = 1_750_000_000_000;

const WEEK_MS: f64 = 7.0 * 86_400_000.0;

pub(crate) const METRICS: [(&str, &str); 7] = [
    ("request_rate", "1/s"),
    ("error_rate", "%"),
    ("latency_p99_ms", "ms"),
    ("cpu_percent", "%"),
    ("memory_percent", "%"),
    ("db_connections", "connections"),
    ("consumer_lag", "messages"),
];

pub(crate) const SERVICES: [(&str, [f64; 7]); 6] = [
    ("api-gateway", [150.0, 0.5, 120.0, 30.0, 45.0, 20.0, 0.0]),
    ("payment", [80.0, 0.5, 380.0, 22.0, 45.0, 30.0, 0.0]),
    ("order", [60.0, 0.5, 280.0, 20.0, 45.0, 15.0, 100.0]),
    ("user", [200.0, 0.5, 150.0, 18.0, 45.0, 20.0, 0.0]),
    ("notification", [40.0, 0.5, 500.0, 25.0, 55.0, 20.0, 200.0]),
    ("inventory", [30.0, 0.5, 220.0, 15.0, 45.0, 10.0, 0.0]),
];

/// Standard deviation and daily amplitude of each metric, as parts of its level.
pub(crate) const SPREAD: [f64; 7] = [0.05, 0.2, 0.05, 0.05, 0.025, 0.05, 0.1];
const DAILY: [f64; 7] = [0.4, 0.0, 0.15, 0.3, 0.05, 0.3, 0.0];

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Noise {
    Uniform,
    Gaussian,
    /// Lognormal with this spread of the logarithm, scaled to the standard deviation of the metric.
    Skewed(f64),
    /// Gaussian, three times as wide in bursts of about six samples.
    Bursty,
    /// First-order autoregressive.
    Sluggish(f64),
    /// Gaussian, around a day with steep flanks and weekends at half of the load.
    Weekly,
}

pub(crate) struct Source {
    noise: Noise,
    bursting: bool,
    last: f64,
    rng: ChaCha8Rng,
}

impl Source {
    pub(crate) fn new(noise: Noise, seed: u64) -> Self {
        Self { noise, bursting: false, last: 0.0, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(crate) fn normal(&mut self) -> f64 {
        // Box and Muller, Ann. Math. Stat. 29 (1958)
        let (u, v): (f64, f64) = (1.0 - self.rng.random::<f64>(), self.rng.random());
        (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
    }

    /// Draws with mean 0 and deviation 1.
    pub(crate) fn draw(&mut self) -> f64 {
        let normal = self.normal();
        match self.noise {
            Noise::Uniform => 12.0_f64.sqrt() * (self.rng.random::<f64>() - 0.5),
            Noise::Gaussian | Noise::Weekly => normal,
            Noise::Skewed(sigma) => {
                let mean = (sigma * sigma / 2.0).exp();
                ((sigma * normal).exp() - mean) / (mean * ((sigma * sigma).exp() - 1.0).sqrt())
            }
            Noise::Bursty => {
                let turn = if self.bursting { 1.0 / 6.0 } else { 1.0 / 300.0 };
                self.bursting ^= self.rng.random::<f64>() < turn;
                if self.bursting { 3.0 * normal } else { normal }
            }
            Noise::Sluggish(phi) => {
                self.last = phi * self.last + (1.0 - phi * phi).sqrt() * normal;
                self.last
            }
        }
    }
}

/// Returns how much of a weekend it is: 0 on working days, 1 on Saturday and Sunday (UTC), with six hours between.
fn weekend(ts_ms: i64) -> f64 {
    // the epoch was a Thursday; hours since Sunday 0:00
    let hour = (ts_ms as f64 / 3_600_000.0 + 96.0).rem_euclid(168.0);
    let outside = if hour < 84.0 { hour - 24.0 } else { 144.0 - hour };
    let part = (0.5 - outside / 6.0).clamp(0.0, 1.0);
    part * part * (3.0 - 2.0 * part)
}

/// Draws the healthy value of a metric at a time.
pub(crate) fn healthy(base: f64, metric: usize, ts_ms: i64, source: &mut Source) -> f64 {
    let day = (TAU * ts_ms as f64 / 86_400_000.0).sin();
    let load = match source.noise {
        Noise::Weekly => {
            (1.0 + DAILY[metric] * (2.0 * day).tanh()) * (1.0 - 1.25 * DAILY[metric] * weekend(ts_ms))
        }
        _ => 1.0 + DAILY[metric] * day,
    };
    let value = base * load * (1.0 + SPREAD[metric] * source.draw());
    let limit = if [1, 3, 4, 5].contains(&metric) { 100.0 } else { f64::MAX };
    value.clamp(0.0, limit)
}

/// Counts of the episodes that were begun (with those that fired at once), of those that fired, and of the decisions
/// that a series is abnormal for certain.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Alarms {
    pub(crate) suspects: u32,
    pub(crate) firing: u32,
    pub(crate) decisions: u32,
}

/// Runs the whole healthy shop with the budget as it is by default.
pub(crate) fn quiet(noise: Noise, interval_ms: i64, samples: i64, seed: u64) -> Alarms {
    quiet_within(Settings::default().false_alarms_a_week, noise, interval_ms, samples, seed)
}

/// Runs the whole healthy shop with a budget of false alarms a week.
pub(crate) fn quiet_within(budget: f64, noise: Noise, interval_ms: i64, samples: i64, seed: u64) -> Alarms {
    let settings = Settings::default();
    let series = (SERVICES.len() * METRICS.len()) as f64;
    let threshold = FiringThreshold::of(series * WEEK_MS / interval_ms as f64, budget);
    let mut alarms = Alarms::default();
    for (service, (_, bases)) in SERVICES.iter().enumerate() {
        for (metric, (name, unit)) in METRICS.iter().enumerate() {
            let mut source = Source::new(noise, seed * 1000 + (service * 7 + metric) as u64);
            let mut fires = false;
            let mut series = Series::new(Metric::new(name, unit, &settings.metrics));
            for i in 0..samples {
                let ts_ms = START_MS + i * interval_ms;
                let value = healthy(bases[metric], metric, ts_ms, &mut source);
                let change = series.observe(ts_ms, value, &threshold, &settings).unwrap();
                if let Some(change) = change {
                    alarms.count(&change, &mut fires);
                }
            }
        }
    }
    alarms
}

/// One series under watch.
pub(crate) struct Watched {
    series: Series,
    settings: Settings,
    pub(crate) threshold: FiringThreshold,
    source: Source,
    at_ms: i64,
    fires: bool,
    pub(crate) alarms: Alarms,
    /// The last revision.
    pub(crate) last: Option<Change>,
}

impl Watched {
    pub(crate) fn new(metric: &str, unit: &str, noise: Noise) -> Self {
        let settings = Settings::default();
        Self {
            series: Series::new(Metric::new(metric, unit, &settings.metrics)),
            settings,
            threshold: FiringThreshold::default(),
            source: Source::new(noise, 7),
            at_ms: START_MS,
            fires: false,
            alarms: Alarms::default(),
            last: None,
        }
    }

    /// Draws around `base` with a deviation of 5 % (20 % below 1).
    pub(crate) fn draw(&mut self, base: f64) -> f64 {
        let spread = if base < 1.0 { 0.2 } else { 0.05 };
        base * (1.0 + spread * self.source.draw())
    }

    /// Takes healthy samples.
    pub(crate) fn healthy(&mut self, base: f64, samples: usize) {
        for _ in 0..samples {
            let value = self.draw(base);
            self.take(value);
        }
    }

    /// Takes the next sample, ten seconds after the one before.
    pub(crate) fn take(&mut self, value: f64) {
        self.at_ms += 10_000;
        let Some(change) = self.series.observe(self.at_ms, value, &self.threshold, &self.settings).unwrap()
        else {
            return;
        };
        self.alarms.count(&change, &mut self.fires);
        self.last = Some(change);
    }
}

impl Alarms {
    fn count(&mut self, change: &Change, fires: &mut bool) {
        let firing = change.episode.alert.status == Status::Firing;
        self.suspects += u32::from(change.episode.alert.revision == 1);
        self.firing += u32::from(firing && !*fires);
        self.decisions += u32::from(change.is_decision);
        *fires = firing;
    }
}
