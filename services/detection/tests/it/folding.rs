//! Labelled samples of several replicas: found where the fault is and nowhere else, quiet while replicas come and go.

use std::collections::{BTreeMap, BTreeSet};

use shared::events::MetricSample;
use shared::events::anomaly::Status;
use shared::events::raw::{Histogram, Instrument};

use crate::feed::Feed;
use crate::shop::Source;

const EVERY_MS: i64 = 10_000;
const METRIC: &str = "http.server.request.duration";
const ROUTES: [&str; 5] = ["/", "/cart", "/pay", "/search", "/user/{id}"];
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0];
/// Requests that a service answers in one round on one route.
const REQUESTS: i64 = 240;

/// What a process has counted since it started.
#[derive(Default)]
struct Pod {
    name: String,
    started_ms: i64,
    /// Buckets by route and status.
    counts: BTreeMap<(&'static str, u16), Vec<f64>>,
}

impl Pod {
    fn new(name: String, started_ms: i64) -> Self {
        Self { name, started_ms, ..Self::default() }
    }

    fn answer(&mut self, route: &'static str, status: u16, seconds: f64) {
        let counts = self.counts.entry((route, status)).or_insert_with(|| vec![0.0; BOUNDS.len() + 1]);
        counts[BOUNDS.partition_point(|&bound| bound < seconds)] += 1.0;
    }

    fn sample(&self, metric: &str, value: f64, ts_ms: i64) -> MetricSample {
        let labels = [("k8s.pod.name", self.name.as_str()), ("service.instance.id", &self.name)];
        MetricSample {
            labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
            ..MetricSample::of("cart", metric, value, ts_ms)
        }
    }

    /// Returns all that it reports at a time: a histogram of each route and status, a level, and what is additive.
    fn report(&self, ts_ms: i64, noise: &mut Source) -> Vec<MetricSample> {
        let histograms = self.counts.iter().map(|(&(route, status), counts)| {
            let mut sample = self.sample(METRIC, counts.iter().sum(), ts_ms);
            sample.unit = Some("s".to_owned());
            sample.instrument = Some(Instrument::Counter);
            sample.start_ms = Some(self.started_ms);
            sample.labels.insert("http.route".to_owned(), route.to_owned());
            sample.labels.insert("http.response.status_code".to_owned(), status.to_string());
            let (bounds, counts) = (BOUNDS.to_vec(), counts.clone());
            sample.histogram = Some(Histogram { bounds, counts, ..Histogram::default() });
            sample
        });
        let cpu = self.sample("process.cpu.utilization", 0.3 + 0.01 * noise.draw(), ts_ms);
        let heap = self.sample("jvm.memory.used", 5e8 + 1e6 * noise.draw(), ts_ms);
        histograms.chain([cpu, heap]).collect()
    }
}

/// A service of several processes.
struct Fleet {
    feed: Feed,
    pods: Vec<Pod>,
    round: i64,
    began: usize,
}

/// What is wrong in a round: how slow a route is, and which share of its requests fails.
type Fault = fn(round: i64, route: &str) -> (f64, f64);

fn healthy(_: i64, _: &str) -> (f64, f64) {
    (1.0, 0.0)
}

impl Fleet {
    fn new(pods: usize) -> Self {
        let mut fleet = Self { feed: Feed::new(EVERY_MS), pods: Vec::new(), round: 0, began: 0 };
        (0..pods).for_each(|_| fleet.start());
        fleet
    }

    /// Starts one more process.
    fn start(&mut self) {
        let name = format!("cart-7d9f-{}", self.began);
        self.pods.push(Pod::new(name, self.feed.now_ms - EVERY_MS / 2));
        self.began += 1;
    }

    fn rounds(&mut self, rounds: i64, fault: Fault) {
        for _ in 0..rounds {
            self.round += 1;
            let now_ms = self.feed.now_ms;
            for route in ROUTES {
                let (slower, failing) = fault(self.round, route);
                let requests = (REQUESTS as f64 * (1.0 + 0.04 * self.feed.noise.draw())) as i64;
                for request in 0..requests {
                    let pod = (request as usize) % self.pods.len();
                    let seconds = 0.06 * (0.45 * self.feed.noise.draw()).exp();
                    let is_slow = request % 12 == 0;
                    let fails = (request as f64) < failing * requests as f64;
                    let seconds = if is_slow { seconds * slower } else { seconds };
                    self.pods[pod].answer(route, if fails { 503 } else { 200 }, seconds);
                }
            }
            for (phase, pod) in (0_i64..).zip(&self.pods) {
                // each process reports at its own time
                let ts_ms = now_ms + 700 * phase;
                let samples = pod.report(ts_ms, &mut self.feed.noise);
                let payload = serde_json::to_string(&samples).unwrap();
                self.feed.record(&payload, Some(ts_ms));
            }
            self.feed.now_ms += EVERY_MS;
        }
    }

    /// Returns what has fired, with its route.
    fn fired(&self) -> BTreeSet<(String, String)> {
        let firing = self.feed.told.iter().filter(|one| one.status == Status::Firing);
        firing
            .map(|one| {
                let route = one.dimensions.get("http.route").cloned().unwrap_or_default();
                (one.metric.clone(), route)
            })
            .collect()
    }
}

impl Feed {
    fn record_all(&mut self, samples: &[MetricSample], at_ms: i64) {
        self.record(&serde_json::to_string(samples).unwrap(), Some(at_ms));
    }
}

#[test]
fn slow_requests_of_one_route_are_found_in_that_route_and_nowhere_else() {
    let mut fleet = Fleet::new(3);
    fleet.rounds(120, healthy);
    assert_eq!(fleet.feed.refused, [""; 0]);
    assert_eq!(fleet.fired(), BTreeSet::new(), "{}", fleet.feed.lines());
    fleet.rounds(20, |_, route| (if route == "/pay" { 12.0 } else { 1.0 }, 0.0));
    let pay = |metric: &str| (metric.to_owned(), "/pay".to_owned());
    assert_eq!(fleet.fired(), [pay(&format!("{METRIC}.p99"))].into(), "{}", fleet.feed.lines());
    let firing = fleet.feed.told.iter().find(|one| one.status == Status::Firing).unwrap();
    assert!(firing.observed_at.as_millisecond() <= firing.started_at.as_millisecond() + 4 * EVERY_MS);
    insta::assert_snapshot!("slow_route", firing.explanation);
    let siblings: Vec<&str> = firing.context.siblings.iter().map(|one| one.metric.as_str()).collect();
    assert!(siblings.contains(&"http.server.request.duration.p99{http.route=\"/cart\"}"), "{siblings:?}");
}

#[test]
fn failures_of_one_route_are_found_with_the_requests_they_are_a_share_of() {
    let mut fleet = Fleet::new(3);
    fleet.rounds(120, healthy);
    fleet.rounds(12, |_, route| (1.0, if route == "/cart" { 0.3 } else { 0.0 }));
    let fired = fleet.fired();
    let ratio = format!("{METRIC}.error_ratio");
    assert!(fired.contains(&(ratio.clone(), "/cart".to_owned())), "{}", fleet.feed.lines());
    assert!(fired.contains(&(ratio.clone(), String::new())), "that of the service: {}", fleet.feed.lines());
    assert_eq!(fired.len(), 2, "{}", fleet.feed.lines());
    let of_route = fleet.feed.told.iter().find(|one| {
        one.status == Status::Firing && one.metric == ratio && one.dimensions.contains_key("http.route")
    });
    let impact = of_route.and_then(|one| one.impact).unwrap();
    assert!((impact.requests_per_s / 24.0 - 1.0).abs() < 0.1, "{impact:?}");
    assert!((impact.share() / 0.3 - 1.0).abs() < 0.2, "{impact:?}");
}

#[test]
fn a_restart_a_rollout_and_more_replicas_are_no_fault() {
    let mut fleet = Fleet::new(3);
    fleet.rounds(120, healthy);
    // one process crashes and counts from zero
    let name = fleet.pods[1].name.clone();
    fleet.pods[1] = Pod::new(name, fleet.feed.now_ms - 2000);
    fleet.rounds(40, healthy);
    assert_eq!(fleet.fired(), BTreeSet::new(), "after a restart: {}", fleet.feed.lines());
    for _ in 0..3 {
        fleet.pods.remove(0);
        fleet.start();
        fleet.rounds(3, healthy);
    }
    fleet.rounds(40, healthy);
    assert_eq!(fleet.fired(), BTreeSet::new(), "after a rollout: {}", fleet.feed.lines());
    (0..3).for_each(|_| fleet.start());
    fleet.rounds(60, healthy);
    assert_eq!(fleet.fired(), BTreeSet::new(), "after scaling: {}", fleet.feed.lines());
    (0..3).for_each(|_| drop(fleet.pods.remove(0)));
    fleet.rounds(60, healthy);
    assert_eq!(fleet.fired(), BTreeSet::new(), "after scaling back: {}", fleet.feed.lines());
}

#[test]
fn one_of_two_requests_is_no_surge() {
    let mut feed = Feed::new(EVERY_MS);
    let mut totals = [0.0; 2];
    for round in 0..200_i64 {
        let now_ms = feed.now_ms;
        // two requests a minute, of which one fails now and then
        if round % 3 == 0 {
            totals[usize::from(round % 30 == 0)] += 1.0;
        }
        let samples = ["200", "500"].map(|code| {
            let mut sample =
                MetricSample::of("cart", "http_requests_total", totals[usize::from(code == "500")], now_ms);
            sample.labels = [("code", code), ("pod", "a")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
            sample
        });
        feed.record_all(&samples, now_ms);
        feed.now_ms += EVERY_MS;
    }
    assert_eq!(feed.fired(), [], "{}", feed.lines());
}

#[test]
fn a_restart_of_detection_anywhere_changes_nothing() {
    let run = |restart_every: Option<i64>| {
        let mut fleet = Fleet::new(3);
        let fault: Fault = |round, route| {
            let is_bad = route == "/pay" && (60..70).contains(&round);
            (if is_bad { 12.0 } else { 1.0 }, if is_bad { 0.2 } else { 0.0 })
        };
        for round in 0..90 {
            if restart_every.is_some_and(|every| round % every == every - 1) {
                fleet.feed.restart();
            }
            fleet.rounds(1, fault);
        }
        fleet.feed.told.iter().map(|one| serde_json::to_string(one).unwrap()).collect::<Vec<_>>()
    };
    let whole = run(None);
    assert!(whole.len() > 5, "{}", whole.len());
    for every in [7, 31] {
        assert_eq!(run(Some(every)), whole);
    }
}

#[test]
fn episodes_of_two_routes_have_ids_of_their_own() {
    let mut fleet = Fleet::new(2);
    fleet.rounds(120, healthy);
    fleet.rounds(12, |_, route| (if route == "/pay" || route == "/cart" { 12.0 } else { 1.0 }, 0.0));
    let p99 = format!("{METRIC}.p99");
    let of = fleet.feed.of(&p99);
    let ids: BTreeSet<_> = of.iter().map(|one| (&one.dimensions["http.route"], one.anomaly_id)).collect();
    let distinct: BTreeSet<_> = ids.iter().map(|(_, id)| *id).collect();
    assert!(ids.len() >= 2 && ids.len() == distinct.len(), "{ids:?}");
}

#[test]
fn a_hundred_routes_fit_into_the_record_of_a_service() {
    let mut feed = Feed::new(EVERY_MS);
    for round in 0..70_i64 {
        let now_ms = feed.now_ms;
        for pod in 0..10 {
            let samples: Vec<MetricSample> = (0..100)
                .map(|route| {
                    let mut sample = MetricSample::of("cart", METRIC, 100.0 * round as f64, now_ms);
                    let labels = [
                        ("http.route", format!("/api/v1/resources/{route}")),
                        ("pod", format!("cart-{pod}")),
                    ];
                    sample.labels = labels.map(|(label, value)| (label.to_owned(), value)).into();
                    let counts = (0..15).map(|bucket| (round * (100 + bucket) * 12_345) as f64).collect();
                    let bounds = BOUNDS.to_vec();
                    sample.histogram = Some(Histogram { bounds, counts, ..Histogram::default() });
                    sample
                })
                .collect();
            feed.record_all(&samples, now_ms);
        }
        feed.now_ms += EVERY_MS;
    }
    assert_eq!(feed.refused, [""; 0]);
    assert!(feed.partition.series() >= 300, "{}", feed.partition.series());
    let largest = feed.partition.snapshot().records.iter().map(|record| record.value.len()).max().unwrap();
    assert!(largest < 900_000, "{largest} bytes");
    feed.restart();
}
