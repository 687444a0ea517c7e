//! Causes are ranked as by the research code they were written after, case by case.
//!
//! `tests/reference/make.py` writes small generated cases and streams, and what that code says about them, to
//! `expected.json`.

use std::collections::BTreeMap;

use correlation::cause::family::Family;
use correlation::cause::incidents::{Change, Opened, Stream, Topology};
use correlation::cause::{Alert, Case, Evidence, Minutes, Series, blame, ranking};
use serde::Deserialize;
use shared::events::Category;

/// Larger than the sums of rounding.
const TOLERANCE: f64 = 1e-9;
/// The research code rounds what it reports of confidences and incidents.
const ROUNDED: f64 = 6e-3;

#[derive(Deserialize)]
struct Expected {
    hypotheses: Vec<Given<Vec<ExpectedSuspect>>>,
    blame: Vec<Given<ExpectedBlame>>,
    streams: Vec<GivenStream>,
}

#[derive(Deserialize)]
struct Given<T> {
    name: String,
    services: Vec<String>,
    edges: Vec<(String, String)>,
    alert: GivenAlert,
    alert_row: usize,
    series: Vec<GivenSeries>,
    evidence: Vec<Evidence>,
    history: Vec<Evidence>,
    expected: T,
}

#[derive(Deserialize)]
struct GivenAlert {
    ts_ms: i64,
    service: String,
    metric: Option<String>,
}

#[derive(Deserialize)]
struct GivenSeries {
    service: String,
    metric: String,
    base: Vec<Option<f64>>,
    window: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct ExpectedSuspect {
    service: String,
    score: f64,
    delay_ms: f64,
    hypotheses: BTreeMap<Category, f64>,
}

#[derive(Deserialize)]
struct ExpectedBlame {
    metric: String,
    confidence: f64,
    services: Vec<ExpectedBlamed>,
}

#[derive(Deserialize)]
struct ExpectedBlamed {
    service: String,
    score: f64,
    blame: f64,
    deviations: f64,
    extra: f64,
}

#[derive(Deserialize)]
struct GivenStream {
    name: String,
    services: Vec<String>,
    edges: Vec<(String, String)>,
    begin_ms: i64,
    warm_up: usize,
    series: Vec<(String, String)>,
    rows: Vec<Vec<Option<f64>>>,
    expected: Vec<ExpectedIncident>,
}

#[derive(Deserialize)]
struct ExpectedIncident {
    ts_ms: i64,
    score: f64,
    services: Vec<String>,
    ranking: Vec<(String, String)>,
}

fn values(row: &[Option<f64>]) -> Vec<f64> {
    row.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
}

impl<T> Given<T> {
    fn case(&self) -> Case {
        let series = self.series.iter().map(|series| Series {
            service: series.service.clone(),
            metric: series.metric.clone(),
            family: Family::of(&series.metric),
            base: values(&series.base),
            window: values(&series.window),
        });
        let GivenAlert { ts_ms, service, metric } = &self.alert;
        Case {
            services: self.services.clone(),
            edges: self.edges.clone(),
            alert: Alert { ts_ms: *ts_ms, service: service.clone(), metric: metric.clone() },
            series: series.collect(),
            alert_row: self.alert_row,
            evidence: self.evidence.clone(),
            deployments: Vec::new(),
        }
    }
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("../reference/expected.json")).unwrap()
}

#[track_caller]
fn assert_close(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1.0), "{what}: {ours} instead of {theirs}");
}

#[test]
fn hypotheses_are_worth_what_the_research_code_says() {
    for given in expected().hypotheses {
        let history: Minutes = given.history.iter().collect();
        let suspects = ranking::rank(&given.case(), &history);
        let order = |services: Vec<&str>| services.join(" ");
        assert_eq!(
            order(suspects.iter().map(|suspect| suspect.service.as_str()).collect()),
            order(given.expected.iter().map(|suspect| suspect.service.as_str()).collect()),
            "{}",
            given.name
        );
        for (ours, theirs) in suspects.iter().zip(&given.expected) {
            let what = format!("{}: {}", given.name, theirs.service);
            assert_close(&what, ours.score, theirs.score);
            assert_close(&format!("{what}: delay"), ours.delay_ms, theirs.delay_ms);
            assert_eq!(ours.hypotheses.len(), theirs.hypotheses.len(), "{what}: {:?}", ours.hypotheses);
            for hypothesis in &ours.hypotheses {
                let nats = theirs.hypotheses.get(&hypothesis.category);
                assert_close(&format!("{what}: {}", hypothesis.category), hypothesis.nats, *nats.unwrap());
            }
        }
    }
}

#[test]
fn blame_is_handed_down_as_in_the_research_code() {
    for given in expected().blame {
        let case = given.case();
        assert!(blame::applies(&case), "{}", given.name);
        let ours = blame::rank(&case).unwrap();
        assert_eq!(ours.metric, given.expected.metric, "{}", given.name);
        assert!((ours.confidence - given.expected.confidence).abs() < ROUNDED, "{}: {ours:?}", given.name);
        assert_eq!(ours.services.len(), given.expected.services.len());
        for (ours, theirs) in ours.services.iter().zip(&given.expected.services) {
            let what = format!("{}: {}", given.name, theirs.service);
            assert_eq!(ours.service, theirs.service, "{what}");
            assert_close(&what, ours.score, theirs.score);
            assert_close(&what, ours.blame, theirs.blame);
            assert_close(&what, ours.deviations, theirs.deviations);
            assert_close(&what, ours.extra, theirs.extra);
        }
    }
}

#[test]
fn incidents_open_in_the_row_in_which_the_research_code_opens_them() {
    for given in expected().streams {
        let opened = incidents(&given);
        let times =
            |all: Vec<i64>| all.iter().map(|ts_ms| (ts_ms - given.begin_ms) / 60_000).collect::<Vec<_>>();
        assert_eq!(
            times(opened.iter().map(|incident| incident.ts_ms).collect()),
            times(given.expected.iter().map(|incident| incident.ts_ms).collect()),
            "{}: rows",
            given.name
        );
        for (ours, theirs) in opened.iter().zip(&given.expected) {
            assert!((ours.nats - theirs.score).abs() < ROUNDED, "{}: {ours:?}", given.name);
            assert_eq!(ours.members, theirs.services, "{}", given.name);
            for (ours, (service, category)) in ours.suspects.iter().zip(&theirs.ranking) {
                assert_eq!(&ours.service, service, "{}", given.name);
                let category = if category == "none" { "unknown" } else { category };
                assert_eq!(ours.category.to_string(), category, "{}: {service}", given.name);
            }
        }
    }
}

fn incidents(given: &GivenStream) -> Vec<Opened> {
    let topology = Topology { services: given.services.clone(), edges: given.edges.clone() };
    let mut stream = Stream::new(topology, given.warm_up);
    for (service, metric) in &given.series {
        stream.add_series(service, metric);
    }
    let rows = given.rows.iter().enumerate();
    let changes =
        rows.filter_map(|(i, row)| stream.observe(given.begin_ms + i as i64 * 60_000, values(row).into()));
    changes
        .filter_map(|change| match change {
            Change::Opened(opened) => Some(opened),
            Change::Closed(_) => None,
        })
        .collect()
}
