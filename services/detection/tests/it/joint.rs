//! Several small deviations of one service are found together, and what its series share every day is not.

use detection::Settings;
use detection::alert::Detector as _;
use detection::metric_profile::Metric;
use detection::series::Series;
use detection::series::alarm_budget::FiringThreshold;
use detection::service::joint::{Joint, Observation};
use shared::events::anomaly::Status;

use crate::shop::{METRICS, Noise, SERVICES, SPREAD, START_MS, Source, healthy};

/// Five of its seven series have moved a little, in spreads.
const MOVED: [f64; 7] = [0.0, 1.6, 1.7, 1.6, 0.0, 1.6, 1.7];

/// One service whose seven series are judged together.
struct Service {
    bases: [f64; 7],
    series: Vec<Series>,
    sources: Vec<Source>,
    joint: Joint,
    settings: Settings,
    interval_ms: i64,
    at_ms: i64,
    /// Revisions of the joint alert, and the last one's distance of samples.
    told: Vec<(Status, String)>,
    told_ms: u64,
    /// How often a series fired.
    fired: u32,
}

impl Service {
    fn new(service: usize, noise: Noise, interval_ms: i64, seed: u64) -> Self {
        let settings = Settings::default();
        Self {
            bases: SERVICES[service].1,
            series: METRICS
                .iter()
                .map(|(name, unit)| Series::new(Metric::new(name, unit, &settings.metrics)))
                .collect(),
            sources: (0..7)
                .map(|metric| Source::new(noise, seed * 1000 + service as u64 * 7 + metric))
                .collect(),
            joint: Joint::new(START_MS),
            settings,
            interval_ms,
            at_ms: START_MS,
            told: Vec::new(),
            told_ms: 0,
            fired: 0,
        }
    }

    /// Takes samples whose series are moved by so many of their spreads.
    fn take(&mut self, samples: i64, moved: [f64; 7]) {
        for _ in 0..samples {
            self.at_ms += self.interval_ms;
            for (metric, source) in self.sources.iter_mut().enumerate() {
                let base = self.bases[metric];
                let value = healthy(base, metric, self.at_ms, source) + moved[metric] * SPREAD[metric] * base;
                let before_ms = self.series[metric].last_ms();
                let report = self.joint.observe(Observation {
                    service: "shop",
                    series: &self.series,
                    before_ms,
                    ts_ms: self.at_ms,
                    settings: &self.settings,
                });
                if let Some(report) = report {
                    self.told_ms = report.interval_ms;
                    self.told.push((report.alert.status, report.explanation));
                }
                let change = self.series[metric]
                    .observe(self.at_ms, value, &FiringThreshold::default(), &self.settings)
                    .unwrap();
                let fires = change.is_some_and(|change| change.episode.alert.status == Status::Firing);
                self.fired += u32::from(fires);
            }
        }
    }

    fn fires(&self) -> usize {
        self.told.iter().filter(|(status, _)| *status == Status::Firing).count()
    }
}

/// Runs the healthy shop; returns how often it was suspected and how often it fired.
fn quiet(noise: Noise, interval_ms: i64, days: i64) -> (usize, usize) {
    let mut all = (0, 0);
    for service in 0..SERVICES.len() {
        let mut watched = Service::new(service, noise, interval_ms, 1);
        watched.take(days * 86_400_000 / interval_ms, [0.0; 7]);
        all.0 += watched.told.iter().filter(|(status, _)| *status == Status::Suspect).count();
        all.1 += watched.fires();
    }
    all
}

#[test]
fn a_healthy_shop_that_follows_the_day_fires_nothing_together() {
    let days = std::env::var("JOINT_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(1);
    for noise in [
        Noise::Uniform,
        Noise::Gaussian,
        Noise::Skewed(0.4),
        Noise::Bursty,
        Noise::Sluggish(0.5),
        Noise::Sluggish(0.9),
    ] {
        for (interval_ms, days) in [(10_000, days), (60_000, 3 * days), (300_000, 3 * days)] {
            let (suspects, firing) = quiet(noise, interval_ms, days);
            println!("{noise:?} {interval_ms} ms, {days} days: {suspects} suspected, {firing} fired");
            assert_eq!(firing, 0, "{noise:?} {interval_ms} ms");
            assert!(suspects <= 3 * days as usize, "{noise:?} {interval_ms} ms: {suspects} suspected");
        }
    }
}

#[test]
fn five_series_that_move_by_less_than_two_spreads_are_found_together() {
    let (mut together, mut by_one, mut either) = (0, 0, 0);
    for seed in 0..200 {
        let mut service = Service::new(2, Noise::Gaussian, 10_000, seed);
        service.take(400, [0.0; 7]);
        assert!(service.told.is_empty(), "seed {seed}: {:?}", service.told);
        service.take(40, MOVED);
        together += u32::from(service.fires() > 0);
        by_one += u32::from(service.fired > 0);
        either += u32::from(service.fires() > 0 || service.fired > 0);
    }
    println!("{together} of 200 found together, {by_one} by one series, {either} by either");
    assert!(either >= 160 && together >= 120, "{together} together, {either} by either");
}

#[test]
fn it_names_who_takes_part_and_is_over_when_they_are_back() {
    let found = (0..20).find_map(|seed| {
        let mut service = Service::new(2, Noise::Gaussian, 10_000, seed);
        service.take(400, [0.0; 7]);
        service.take(15, MOVED);
        (service.fires() > 0 && service.fired == 0).then_some(service)
    });
    let mut service = found.unwrap();
    let (status, sentence) = service.told.last().unwrap();
    assert_eq!(*status, Status::Firing, "{sentence}");
    assert!(sentence.contains("latency_p99_ms"), "{sentence}");
    // it is away for two hours again and again: whoever waits for some of its samples must not wait for some pauses
    for _ in 0..15 {
        service.at_ms += 7_200_000;
        service.take(1, [0.0; 7]);
    }
    assert_eq!(service.told.last().unwrap().0, Status::Cleared);
    assert!((5_000..20_000).contains(&service.told_ms), "{} ms", service.told_ms);
}

#[test]
fn more_load_alone_is_no_fault_and_one_series_that_fires_needs_no_help() {
    // traffic, processor and connections together
    let mut service = Service::new(0, Noise::Gaussian, 10_000, 5);
    service.take(400, [0.0; 7]);
    service.take(60, [2.2, 0.0, 0.0, 2.2, 0.0, 2.2, 0.0]);
    assert_eq!(service.fires(), 0);
    let mut service = Service::new(2, Noise::Gaussian, 10_000, 5);
    service.take(400, [0.0; 7]);
    service.take(60, [0.0, 2.0, 30.0, 2.0, 0.0, 2.0, 2.0]);
    assert!(service.fired > 0);
    assert_eq!(service.fires(), 0, "{:?}", service.told);
}
