//! A service as one partition sees it: its series, and what is known beside them.

pub mod clock;
mod consequence;
pub mod inquiry;
pub mod intake;
pub mod joint;
pub(crate) mod logs;
pub(crate) mod name_index;
pub mod outcome;
pub mod regression;
mod room;
mod rule_alerts;
pub mod silence;
mod slo;
pub mod state;
mod stopped;

use shared::clock::from_ms;
use shared::events::Kind;
use shared::events::anomaly::{Anomaly, Context, Ended, LogTemplate, Sibling};
use shared::ids::AnomalyId;

use crate::alert::certainty::Certainty;
use crate::alert::format::duration;
use crate::alert::{Detector as _, Report, Revision, Subject, Verdict};
use crate::config::Settings;
use crate::fold::Fold;
use crate::metric_profile::{DetectionMode, key, units};
use crate::series::alarm_budget::FiringThreshold;
use crate::series::episode::Transition;
use crate::series::explain;
use crate::series::rules::restarts::{Reported, Restarted, Restarts};
use crate::series::rules::slo::Stated;
use crate::series::rules::{self, RuleOutcome};
use crate::series::{Change, Series, Unused};
use clock::Moment;
use inquiry::Inquiry;
use intake::{Arrival, Cause, Intake};
use joint::Joint;
use logs::LogModel;
use name_index::NameIndex;
use outcome::Outcome;
use regression::{Deployed, Rollout};
use rule_alerts::RuleAlerts;
use silence::{Due, ReportingCadence};
use state::Offsets;

/// Name and version of the detector, as anomalies carry it.
const DETECTOR: &str = "baseline/2";

/// Series of one service that remember what they do at their time: its state has to fit into one record.
const MAX_RECURRENCES: usize = 32;

/// Siblings that an anomaly carries.
const MAX_SIBLINGS: usize = 20;

/// A sample on its way to its series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routed {
    /// Place of its series in the service.
    pub(crate) place: usize,
    /// Event time, milliseconds.
    pub(crate) ts_ms: i64,
    /// Value as it came.
    pub(crate) value: f64,
}

/// One service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) environment: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) series: Vec<Series>,
    by_metric: NameIndex,
    /// Nothing before the first line.
    pub(crate) logs: Option<Box<LogModel>>,
    pub(crate) deployed: Option<Deployed>,
    pub(crate) reporting: ReportingCadence,
    /// Event time at which it reported again after a pause, milliseconds.
    resumed_ms: Option<i64>,
    /// What was last asked of the other partitions about it, since it stopped reporting here.
    pub(crate) inquiry: Option<Box<Inquiry>>,
    joint: Option<Box<Joint>>,
    pub(crate) rollout: Option<Box<Rollout>>,
    restarts: Option<Box<Restarts>>,
    /// Nothing while none of its samples has labels.
    pub(crate) fold: Option<Box<Fold>>,
    /// Nothing while all of its samples can be used.
    intake: Option<Box<Intake>>,
    /// Alerts of other rule engines that fire.
    pub(crate) rule_alerts: RuleAlerts,
    /// What the catalogue states of it.
    stated: Option<Stated>,
    /// By how much its clock is ahead, milliseconds; its times are corrected by it.
    pub(crate) ahead_ms: i64,
    /// What the snapshot it was restored from already reflects.
    pub(crate) restored: Offsets,
    /// Of which logs these offsets are: counts how often one began anew.
    pub(crate) log: u32,
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
            by_metric: NameIndex::default(),
            logs: None,
            deployed: None,
            reporting: ReportingCadence::default(),
            resumed_ms: None,
            inquiry: None,
            joint: None,
            rollout: None,
            restarts: None,
            fold: None,
            intake: None,
            rule_alerts: RuleAlerts::default(),
            stated: None,
            ahead_ms: 0,
            restored: Offsets::default(),
            log: 0,
            version,
        }
    }

    pub(crate) fn add(&mut self, mut series: Series) -> usize {
        if self.stated.is_some() {
            series.state(self.stated);
        }
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

    /// Finds out which series reports the limit of which, now that there is one more. Where several could be the limit of
    /// one thing, none is.
    fn pair(&mut self, added: usize) {
        let Some(resource) = self.series[added].profile().resource.clone() else { return };
        let of_it = |series: &Series| series.profile().resource.as_ref() == Some(&resource);
        let alike = (0..self.series.len()).filter(|&place| of_it(&self.series[place]));
        let (limits, uses): (Vec<usize>, Vec<usize>) =
            alike.partition(|&place| self.series[place].profile().mode == DetectionMode::Limit);
        if limits.is_empty() {
            return;
        }
        let reported_by = limits.first().copied().filter(|_| limits.len() == 1);
        for place in uses {
            let may_forecast = self.may_forecast();
            self.series[place].limit_by(reported_by);
            if may_forecast && !self.series[place].profile().is_function {
                self.series[place].forecast();
            }
        }
    }

    fn may_forecast(&self) -> bool {
        self.series.iter().filter(|series| series.is_forecast()).count() < rules::MAX_FORECASTS
    }

    /// Lets a series not begin to remember what it does at its time where too many of the service do.
    fn limit_recurrences(&mut self, place: usize) {
        if self.series.iter().filter(|series| series.recurs()).count() > MAX_RECURRENCES {
            self.series[place].forget_recurrence();
        }
    }

    pub(crate) fn is(&self, environment: &str, name: &str) -> bool {
        *self.name == *name && *self.environment == *environment
    }

    pub(crate) fn find(&mut self, metric: &str) -> Option<usize> {
        let series = &self.series;
        self.by_metric.find(("", metric), |place| series[place].name() == metric)
    }

    /// Takes a sample of one of its series. In this order, and each step once: what is observed, the verdicts on it, the
    /// alerts that these begin, go on with or end, and their anomalies.
    pub(crate) fn sample(
        &mut self,
        sample: Routed,
        threshold: &FiringThreshold,
        settings: &Settings,
        outcome: &mut Outcome,
    ) -> Result<(), Unused> {
        let Routed { place, ts_ms, value } = sample;
        // a round of all series ends where one of them reports again: that sample belongs to the next round, so the
        // round is judged, and reported with what was known then, before the sample is taken
        let joint = self.judge_round(place, ts_ms, settings);
        self.publish(joint, outcome);
        self.series[place].weight = self.weigh(place, ts_ms, value);
        let recurred = self.series[place].recurs();
        let threshold = threshold.for_sensitivity(self.series[place].profile().sensitivity);
        let change = self.series[place].observe(ts_ms, value, &threshold, settings)?;
        if !recurred && self.series[place].recurs() {
            self.limit_recurrences(place);
        }
        let mut reports = Vec::new();
        reports.extend(change.map(|change| self.report(place, &change, ts_ms)));
        reports.extend(self.compare(place, settings));
        reports.extend(self.series[place].judge_by_objective(&self.name));
        reports.extend(self.judge_by_slo(place));
        for report in &mut reports {
            report.burn_rate = self.series[place].burn_rate();
            report.impact = self.failing_requests(place, report.alert.started_ms);
        }
        self.publish(reports, outcome);
        // from here on by the ceiling that holds with this sample
        self.follow_limit(place, ts_ms, value, settings);
        let rules = self.judge_by_rules(sample, settings);
        self.publish(rules.into_iter().flatten(), outcome);
        Ok(())
    }

    /// Judges by what happens to the service whether it is silent. Where it is retired or given up, the episodes of its
    /// series end as well. Returns whether its silence is reported.
    pub(crate) fn observe_silence(
        &mut self,
        event: silence::Event<'_>,
        settings: &Settings,
        outcome: &mut Outcome,
    ) -> bool {
        let report = self.reporting.observe(silence::Observation { service: &self.name, event, settings });
        let is_reported = report.is_some();
        let end = match event {
            silence::Event::Retired { ts_ms, .. } if self.reporting.is_retired_as_of(ts_ms) => {
                Some((Ended::Retired, ts_ms))
            }
            _ => report.as_ref().and_then(|report| {
                let ended = report.ended.filter(|ended| *ended == Ended::SourceGone)?;
                Some((ended, report.at_ms))
            }),
        };
        self.publish(report, outcome);
        if let Some((ended, at_ms)) = end {
            self.end_all(ended, at_ms, outcome);
        }
        is_reported
    }

    /// Returns whether its silence may be judged without another question: it is not due, all partitions have answered, or
    /// the service is given up anyway.
    pub(crate) fn may_judge(&self, now: Moment, settings: &Settings) -> bool {
        let is_due = self.reporting.due(settings).is_past(now);
        !is_due && self.inquiry.is_none() || self.reporting.is_given_up(now, settings)
    }

    /// Returns whether the other partitions have to be asked about it now.
    pub(crate) fn must_ask(&self, now: Moment, settings: &Settings) -> bool {
        match &self.inquiry {
            None => true,
            Some(_) => self.silence_due(settings).is_past(now),
        }
    }

    /// Returns until when nothing can be said of its silence, nor asked.
    pub(crate) fn silence_due(&self, settings: &Settings) -> Due {
        let due = self.reporting.due(settings);
        let Some(inquiry) = self.inquiry.as_ref().filter(|_| due != Due::NEVER) else { return due };
        let after = |ms| self.reporting.due_after(inquiry.at, ms);
        match (inquiry.is_complete(), self.reporting.has_fired()) {
            (false, false) => after(inquiry::RETRY_MS),
            (true, false) => due.max(after(inquiry::LEAST_MS)),
            (false, true) => due.min(after(inquiry::RETRY_MS)),
            (true, true) => due.min(after(inquiry::REVIEW_MS)),
        }
    }

    /// Notes that a sample came at a time, milliseconds, and why it cannot be used, if it cannot.
    pub(crate) fn observe_intake(&mut self, ts_ms: i64, cause: Option<Cause>, outcome: &mut Outcome) {
        if let Some(cause) = cause {
            self.intake.get_or_insert_with(|| Box::new(Intake::new(cause, ts_ms)));
        }
        let Some(intake) = &mut self.intake else { return };
        let report = intake.observe(Arrival { service: &self.name, ts_ms, cause });
        if intake.is_over(ts_ms) {
            self.intake = None;
        }
        self.publish(report, outcome);
    }

    /// Adds the anomalies of reports, each with what is known beside it.
    pub(crate) fn publish(&self, reports: impl IntoIterator<Item = Report>, outcome: &mut Outcome) {
        for report in reports {
            let is_decision = report.is_decision;
            let anomaly = self.anomaly(report);
            if is_decision {
                outcome.decide(anomaly.anomaly_id);
            }
            outcome.add(anomaly);
        }
    }

    /// Judges all series together, if a round of them ends with the sample that one of them is about to take.
    fn judge_round(&mut self, place: usize, ts_ms: i64, settings: &Settings) -> Option<Report> {
        if self.series.len() < joint::MIN_SERIES {
            return None;
        }
        let joint = self.joint.get_or_insert_with(|| Box::new(Joint::new(ts_ms)));
        joint.observe(joint::Observation {
            service: &self.name,
            series: &self.series,
            before_ms: self.series[place].last_ms(),
            ts_ms,
            settings,
        })
    }

    /// Compares the sample that a series has just taken with what was before a deployment.
    fn compare(&mut self, place: usize, settings: &Settings) -> Option<Report> {
        let rollout = self.rollout.as_mut()?;
        let report = rollout.observe(regression::Observation {
            service: &self.name,
            place,
            series: &self.series[place],
            settings,
        });
        if rollout.is_over() {
            self.rollout = None;
        }
        report
    }

    /// Looks up the limit of a series that has just taken a sample, if another one reports it.
    fn follow_limit(&mut self, place: usize, ts_ms: i64, value: f64, settings: &Settings) {
        let Some(limit) = self.series[place].limit() else { return };
        let reported = limit.reported_by.and_then(|limit| {
            let (limit, unit) = (&self.series[limit], &*self.series[place].profile().unit);
            let own = &*limit.profile().unit;
            let factor = if own == unit { Some(1.0) } else { units::factor(own, unit) };
            Some(factor? * limit.standing(ts_ms, settings)?)
        });
        self.series[place].limit_to(reported, value);
    }

    /// Judges a sample that was just taken by the rule of its series, and the restarts of the service.
    fn judge_by_rules(&mut self, sample: Routed, settings: &Settings) -> [Option<Report>; 2] {
        let Routed { place, ts_ms, value } = sample;
        let (mut report, mut restarted) = (None, None);
        match self.series[place].judge_by_rule(&self.name, value, settings) {
            None => {}
            Some(RuleOutcome::Report(due)) => report = Some(*due),
            Some(RuleOutcome::Restarts(count)) => {
                let is_counted = self.series[place].profile().mode == DetectionMode::Restarts;
                let interval_ms = self.series[place].interval_ms();
                restarted = Some(Reported { place, restarts: count, interval_ms, is_counted });
                self.restarts.get_or_insert_default();
            }
        }
        if self.restarts.is_none() {
            return [report, None];
        }
        let is_hurt = self.is_hurt(None);
        let Some(restarts) = &mut self.restarts else { return [report, None] };
        let deployed = self.deployed.as_ref();
        let restart_loop = restarts.observe(Restarted {
            service: &self.name,
            ts_ms,
            by: restarted,
            is_hurt,
            deployed: deployed.map(|deployed| (&*deployed.version, deployed.ts_ms)),
        });
        if restarts.is_over() {
            self.restarts = None;
        }
        [report, restart_loop]
    }

    /// Returns the report of a change of one series.
    fn report(&self, place: usize, change: &Change, ts_ms: i64) -> Report {
        let series = &self.series[place];
        let profile = series.profile();
        let (episode, alert) = (&change.episode, change.episode.alert);
        let context = explain::SeriesContext {
            service: &self.name,
            metric: series.name(),
            bounded: series.bounded(),
            deployed: self.deployed.as_ref().map(|deployed| (&*deployed.version, deployed.ts_ms)),
            hold: series.weight.hold,
        };
        let subject = Subject {
            metric: series.name().into(),
            kind: profile.kind,
            unit: profile.unit.clone(),
            detector: DETECTOR,
        };
        let verdict = Verdict {
            certainty: if episode.is_certain { Certainty::Certain } else { Certainty::Noticed },
            nats: alert.evidence,
            severity: alert.severity,
            direction: episode.direction,
            observed: change.observed,
            expected: change.expected,
        };
        let ended = match change.transition {
            Transition::Accepted => Ended::NewLevel,
            Transition::Recovered | Transition::Ongoing => Ended::Recovered,
        };
        Report::new(subject, &Revision { alert, is_decision: change.is_decision }, verdict, ts_ms)
            .ended_by(ended)
            .every(series.interval_ms())
            .points(series.points().collect())
            .explained(explain::sentence(context, change, ts_ms))
    }

    /// Returns the anomaly that a report stands for, with all that is known beside it.
    fn anomaly(&self, report: Report) -> Anomaly {
        let Report { subject, alert, verdict, at_ms, .. } = report;
        let siblings = self.siblings(&subject.metric, at_ms);
        let metric = key::public(&subject.metric);
        let dimensions = key::dimensions(&subject.metric);
        let (environment, name) = (&*self.environment, &*self.name);
        let id = AnomalyId::of_dimensions(environment, name, &metric, &dimensions, alert.started_ms);
        // lines come from another topic, and their times are their own
        let clock = if self.ahead_ms > 0 && subject.kind != Kind::Logs {
            let ahead = duration(self.ahead_ms);
            format!("; the clock of {} is {ahead} ahead, and its times are corrected", self.name)
        } else {
            String::new()
        };
        Anomaly {
            anomaly_id: id,
            revision: alert.revision,
            status: alert.status,
            kind: subject.kind,
            environment: self.environment.to_string(),
            service: self.name.to_string(),
            metric: metric.into_owned(),
            dimensions,
            unit: subject.unit.into(),
            severity: alert.severity,
            evidence: alert.evidence,
            direction: verdict.direction,
            observed: verdict.observed,
            expected: verdict.expected,
            started_at: from_ms(alert.started_ms),
            observed_at: from_ms(at_ms),
            interval_ms: report.interval_ms,
            detector: subject.detector.to_owned(),
            explanation: key::worded(&report.explanation).into_owned() + &clock,
            ended: report.ended,
            burn_rate: report.burn_rate,
            impact: report.impact,
            context: Context {
                samples: report.points,
                siblings,
                logs: self.recent_logs(at_ms),
                requests: self.logs.as_ref().map(|model| model.requests().at(at_ms)).unwrap_or_default(),
                sealed: Vec::new(),
            },
        }
    }

    /// Returns the other series with what was expected of them.
    fn siblings(&self, metric: &str, ts_ms: i64) -> Vec<Sibling> {
        let others = self.series.iter().filter(|series| series.name() != metric);
        others
            .filter_map(|series| {
                let (observed, expected) = series.latest(ts_ms)?;
                let unit = Some(series.profile().unit.to_string()).filter(|unit| !unit.is_empty());
                Some(Sibling { metric: key::labelled(series.name()).into_owned(), unit, observed, expected })
            })
            .take(MAX_SIBLINGS)
            .collect()
    }

    /// Returns the warnings and errors that an anomaly carries.
    fn recent_logs(&self, at_ms: i64) -> Vec<LogTemplate> {
        self.logs.as_ref().map(|model| model.recent(at_ms)).unwrap_or_default()
    }
}
