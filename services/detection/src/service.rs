//! A service as one partition sees it: its series, and what is known beside them.

pub mod clock;
pub mod joint;
pub mod logs;
pub(crate) mod name_index;
pub mod outcome;
pub mod regression;
pub mod silence;
pub mod state;

use shared::clock::from_ms;
use shared::events::anomaly::{Anomaly, Context, LogTemplate, Sibling};
use shared::ids::AnomalyId;

use crate::alert::certainty::Certainty;
use crate::alert::{Alert, Report, Verdict};
use crate::config::Settings;
use crate::metric_profile::Judged;
use crate::series::explain;
use crate::series::rules::restarts::Restarts;
use crate::series::rules::{self, Answer};
use crate::series::{Change, Series};
use crate::service::joint::{self, Joint};
use crate::service::logs::Book;
use crate::service::name_index::Index;
use crate::service::outcome::Outcome;
use crate::service::regression::{Deployed, Rollout};
use crate::service::silence::Rhythm;
use crate::service::state::Offsets;

/// Name and version of the detector, as anomalies carry it.
const DETECTOR: &str = "baseline/2";

/// Siblings that an anomaly carries.
const SIBLINGS: usize = 20;

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) environment: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) series: Vec<Series>,
    by_metric: Index,
    /// Nothing before the first line.
    pub(crate) logs: Option<Box<Book>>,
    pub(crate) deployed: Option<Deployed>,
    pub(crate) rhythm: Rhythm,
    joint: Option<Box<Joint>>,
    pub(crate) rollout: Option<Box<Rollout>>,
    restarts: Option<Box<Restarts>>,
    /// What the snapshot it was restored from already reflects.
    pub(crate) restored: Offsets,
    /// Version of the partition at its last change.
    pub(crate) version: u64,
}

impl Service {
    /// Begins a service that has seen nothing.
    pub(crate) fn new(environment: &str, name: &str, version: u64) -> Self {
        Self {
            environment: environment.into(),
            name: name.into(),
            series: Vec::new(),
            by_metric: Index::default(),
            logs: None,
            deployed: None,
            rhythm: Rhythm::default(),
            joint: None,
            rollout: None,
            restarts: None,
            restored: Offsets::default(),
            version,
        }
    }

    pub(crate) fn add(&mut self, mut series: Series) -> usize {
        if series.is_forecast() && !self.may_forecast() {
            series.drop_rule();
        }
        let place = self.series.len();
        let known = &self.series;
        self.by_metric.push(("", series.name()), |place| ("", known[place].name()));
        self.series.push(series);
        self.pair(place);
        place
    }

    /// Finds out which series tells the limit of which, now that there is one more. Where several could be the limit of
    /// one thing, none is.
    fn pair(&mut self, added: usize) {
        let Some(resource) = self.series[added].meaning().resource.clone() else { return };
        let of_it = |series: &Series| series.meaning().resource.as_ref() == Some(&resource);
        let alike = (0..self.series.len()).filter(|&place| of_it(&self.series[place]));
        let (limits, uses): (Vec<usize>, Vec<usize>) =
            alike.partition(|&place| self.series[place].meaning().judged == Judged::Limit);
        if limits.is_empty() {
            return;
        }
        let told_at = limits.first().copied().filter(|_| limits.len() == 1);
        for place in uses {
            let may_forecast = self.may_forecast();
            self.series[place].limit_by(told_at, may_forecast);
        }
    }

    fn may_forecast(&self) -> bool {
        self.series.iter().filter(|series| series.is_forecast()).count() < rules::FORECASTS
    }

    /// Looks up the limit of a series that has just taken a sample, if another one tells it.
    fn heed_limit(&mut self, place: usize, ts_ms: i64, value: f64, settings: &Settings) {
        let Some(limit) = self.series[place].limit() else { return };
        let told = limit.told_at.and_then(|limit| self.series[limit].standing(ts_ms, settings));
        self.series[place].limit_to(told, value);
    }

    pub(crate) fn is(&self, environment: &str, name: &str) -> bool {
        *self.name == *name && *self.environment == *environment
    }

    pub(crate) fn find(&mut self, metric: &str) -> Option<usize> {
        let series = &self.series;
        self.by_metric.find(("", metric), |place| series[place].name() == metric)
    }

    /// Judges all series together, if a round of them ends with the sample that one of them is about to take.
    pub(crate) fn listen_to_all(&mut self, place: usize, ts_ms: i64, settings: &Settings) -> Option<Report> {
        if self.series.len() < joint::FEWEST {
            return None;
        }
        let before_ms = self.series[place].last_ms();
        let joint = self.joint.get_or_insert_with(|| Box::new(Joint::new(ts_ms)));
        joint.note(&self.name, &self.series, before_ms, ts_ms, settings)
    }

    /// Compares the sample that a series has just taken with what was before a deployment.
    pub(crate) fn compare(&mut self, place: usize, settings: &Settings) -> Option<Report> {
        let rollout = self.rollout.as_mut()?;
        let report = rollout.observe(place, &self.series[place], &self.name, settings);
        if rollout.is_over() {
            self.rollout = None;
        }
        report
    }

    /// Reports a change of one series.
    pub(crate) fn report(&self, place: usize, change: &Change, ts_ms: i64) -> Report {
        let series = &self.series[place];
        let meaning = series.meaning();
        let episode = &change.episode;
        let subject = explain::Subject {
            service: &self.name,
            metric: series.name(),
            meaning,
            deployed: self.deployed.as_ref().map(|deployed| (&*deployed.version, deployed.ts_ms)),
        };
        Report {
            metric: series.name().into(),
            kind: meaning.kind,
            unit: meaning.unit.clone(),
            alert: Alert::from(episode),
            verdict: Verdict {
                certainty: if episode.is_certain { Certainty::Certain } else { Certainty::Noticed },
                nats: episode.evidence,
                severity: episode.severity,
                direction: episode.direction,
                observed: change.observed,
                expected: change.expected,
            },
            at_ms: ts_ms,
            points: series.points().collect(),
            interval_ms: series.interval_ms(),
            detector: DETECTOR,
            explanation: explain::sentence(subject, change, ts_ms),
            is_decision: change.is_decision,
        }
    }

    /// Asks the rules about a sample that was just taken.
    pub(crate) fn ask_rules(
        &mut self,
        place: usize,
        ts_ms: i64,
        value: f64,
        settings: &Settings,
        outcome: &mut Outcome,
    ) {
        self.heed_limit(place, ts_ms, value, settings);
        let series = &mut self.series[place];
        match series.ask(&self.name, value, settings) {
            None => {}
            Some(Answer::Report(report)) => self.tell(*report, outcome),
            Some(Answer::Restarts(count)) => {
                let restarts = self.restarts.get_or_insert_default();
                restarts.add(place, ts_ms, count, series.interval_ms());
            }
        }
        let Some(restarts) = &mut self.restarts else { return };
        let report = rules::ask_restarts(restarts, &self.name, ts_ms);
        if restarts.is_over() {
            self.restarts = None;
        }
        if let Some(report) = report {
            self.tell(report, outcome);
        }
    }

    pub(crate) fn tell(&self, report: Report, outcome: &mut Outcome) {
        let is_decision = report.is_decision;
        outcome.add(self.anomaly(report), is_decision);
    }

    /// Writes down what is reported, with all that is known beside it.
    fn anomaly(&self, report: Report) -> Anomaly {
        let Report { alert, verdict, at_ms, .. } = report;
        let siblings = self.siblings(&report.metric, at_ms);
        let id = AnomalyId::of_episode(&self.environment, &self.name, &report.metric, alert.started_ms);
        Anomaly {
            anomaly_id: id,
            revision: alert.revision,
            status: alert.status,
            kind: report.kind,
            environment: self.environment.to_string(),
            service: self.name.to_string(),
            metric: report.metric.into(),
            unit: report.unit.into(),
            severity: alert.severity,
            evidence: alert.evidence,
            direction: verdict.direction,
            observed: verdict.observed,
            expected: verdict.expected,
            started_at: from_ms(alert.started_ms),
            observed_at: from_ms(at_ms),
            interval_ms: report.interval_ms,
            detector: report.detector.to_owned(),
            explanation: report.explanation,
            context: Context { samples: report.points, siblings, logs: self.recent_logs(at_ms) },
        }
    }

    /// Returns the other series with what was expected of them.
    fn siblings(&self, metric: &str, ts_ms: i64) -> Vec<Sibling> {
        let others = self.series.iter().filter(|series| series.name() != metric);
        others
            .filter_map(|series| {
                let (observed, expected) = series.latest(ts_ms)?;
                Some(Sibling { metric: series.name().to_owned(), observed, expected })
            })
            .take(SIBLINGS)
            .collect()
    }

    /// Returns the warnings and errors that an anomaly carries.
    fn recent_logs(&self, at_ms: i64) -> Vec<LogTemplate> {
        self.logs.as_ref().map(|book| book.recent(at_ms)).unwrap_or_default()
    }
}
