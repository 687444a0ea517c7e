//! One series: its last samples, its cadence, its baseline and the episode it may be in.

pub mod alarm_budget;
pub mod bars;
pub mod baseline;
pub(crate) mod buffer;
pub(crate) mod counter;
pub mod episode;
pub(crate) mod explain;
pub mod history;
mod limit;
mod pause;
mod ramp;
mod recurrence;
mod rest;
pub(crate) mod rules;
mod slow;
pub(crate) mod state;
pub(crate) mod weight;
mod zeros;

use std::sync::Arc;

use shared::events::Severity;
use shared::events::anomaly::{Band, Direction, Point, Status};

use crate::alert::certainty::{Certainty, NOISE_SPREADS};
use crate::alert::{Detector as _, Report};
use crate::config::{BUFFER_SAMPLES, Settings};
use crate::metric_profile::{Metric, MetricProfile};
use crate::series::alarm_budget::FiringThreshold;
use crate::series::baseline::{Baseline, Reading};
use crate::series::buffer::Buffer;
use crate::series::episode::{CONFIRM_NOVELTY, Episode, Finding, Recent, Transition};
use crate::series::history::HistoryScore;
use crate::series::rules::objective::{Achieved, Objective};
use crate::series::rules::slo::{Kept, Requests, Slo, Stated};
use crate::series::rules::{Observation, Rule, RuleOutcome};
use crate::stats::robust::median;
use crate::stats::sparse::Sparse;
use counter::Habit;
use limit::Limit;
use recurrence::{Recurrence, Timed};
use slow::LongMemory;
use weight::Weight;

/// Distance from which a sample may turn out to have been an episode's first, in spreads.
const RUN_SPREADS: f64 = 2.0;
/// Most samples by which the start of an episode is moved back.
const MAX_RUN_SAMPLES: i32 = 16;
/// Samples within which a deviation is sudden.
const SUDDEN_SAMPLES: i32 = 3;
/// A gap of this many intervals makes what was just before it irrelevant.
const GAP_INTERVALS: f64 = 10.0;
/// Intervals for which the last sample stands for the series.
const FRESH_INTERVALS: f64 = 1.5;
/// Longest memory of the baseline, milliseconds, with which its level still follows the day.
const LOCAL_MEMORY_MS: f64 = 6.0 * 3_600_000.0;
/// Memory of the cadence, in samples.
const CADENCE_MEMORY_SAMPLES: f64 = 100.0;
/// Samples, with those that clear it, up to which an episode that did not go far was a burst of noise: how far that
/// reached is learned, and the same fault soon after must not be.
const BURST_SAMPLES: u32 = 12;
/// How many times longer a severe episode has to last before it counts as the new normal.
const PATIENCE_FACTOR: u32 = 12;

/// Why a sample was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unused {
    /// Same time as the sample before it.
    Duplicate,
    /// Older than the sample before it.
    OutOfOrder,
    /// Much older than the sample before it.
    Late,
}

/// A revision of an episode that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Why.
    pub transition: Transition,
    /// Whether the series was found abnormal for certain with this sample: for the first time in the episode, or anew.
    pub is_decision: bool,
    /// Whether the series has done the same at this time before.
    pub is_known: bool,
    /// What the series' own past says of the last samples.
    pub history: HistoryScore,
    /// The episode as it stands.
    pub episode: Episode,
    /// The sample that caused it, as it is judged (a counter's increase per second).
    pub observed: f64,
    /// Where it was expected.
    pub expected: Band,
    /// Distance from the level, in spreads.
    pub distance: f64,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Series {
    metric: Arc<Metric>,
    last_ms: i64,
    /// Usual distance between samples, milliseconds; 0 before the second.
    interval_ms: f64,
    intervals: u32,
    /// Value of the last sample of a counter, or of what may be one.
    counted: Option<f64>,
    /// Whether its values are those of a counter.
    habit: Habit,
    samples: Buffer,
    baseline: Baseline,
    memory: LongMemory,
    sparse: Sparse,
    /// Nothing before the first deviation that is certain.
    recurrence: Option<Box<Recurrence>>,
    /// Whether the last sample is one that the series has shown at its time before.
    is_known: bool,
    recent: Recent,
    /// Samples in a row that lie to one side, positive above.
    run: i32,
    episode: Option<Box<Episode>>,
    rule: Option<Box<Rule>>,
    limit: Option<Box<Limit>>,
    /// Nothing where it has none.
    objective: Option<Box<Objective>>,
    /// Nothing where the service catalogue states nothing about it.
    slo: Option<Box<Slo>>,
    /// What the sample that it is about to take amounts to. Follows from the service.
    pub(crate) weight: Weight,
    /// Place of the series that counts the requests of which it is a share, and among how many it was looked for.
    pub(crate) requests: Option<(u32, Option<u32>)>,
}

impl Series {
    /// Begins a series; it has seen nothing yet.
    pub fn new(metric: Arc<Metric>) -> Self {
        Self {
            rule: Rule::of(&metric.profile).filter(|_| !metric.profile.silent),
            slo: None,
            objective: metric.profile.may_have_objective().then(Box::default),
            metric,
            last_ms: i64::MIN,
            interval_ms: 0.0,
            intervals: 0,
            counted: None,
            habit: Habit::default(),
            samples: Buffer::new(),
            baseline: Baseline::default(),
            memory: LongMemory::default(),
            sparse: Sparse::default(),
            recurrence: None,
            is_known: false,
            recent: Recent::default(),
            run: 0,
            episode: None,
            limit: None,
            weight: Weight::default(),
            requests: None,
        }
    }

    /// Returns the name of the metric.
    pub fn name(&self) -> &str {
        &self.metric.name
    }

    /// Returns the unit with which it was sent at first.
    pub(crate) fn unit_as_sent(&self) -> &str {
        &self.metric.unit
    }

    /// Returns the unit of its samples, as far as it is known.
    pub(crate) fn sample_unit(&self) -> &str {
        self.metric.sample_unit()
    }

    /// Takes the next sample. Returns the revision that is due, if one is, or why the sample was not used.
    /// `threshold` is what it takes to fire beyond being certain.
    pub fn observe(
        &mut self,
        ts_ms: i64,
        value: f64,
        threshold: &FiringThreshold,
        settings: &Settings,
    ) -> Result<Option<Change>, Unused> {
        let gap_ms = self.advance(ts_ms, settings)?;
        if !self.metric.profile.mode.is_by_normal() {
            self.samples.push(ts_ms, value);
            return Ok(None);
        }
        let Some(value) = self.increase(value, gap_ms, settings) else { return Ok(None) };
        self.choose_memory(settings);
        self.samples.push(ts_ms, value);
        let local_ms = settings.time_zone.local_ms(ts_ms);
        let sparse = self.sparse_distance(value);
        let history = match &mut self.memory {
            LongMemory::Ranks(history) => {
                let limit = sparse.unwrap_or(f64::INFINITY);
                history.observe_within(local_ms, value, self.interval_ms, limit)
            }
            LongMemory::Bars(bars) => {
                let score = bars.observe(local_ms, value, self.interval_ms);
                return Ok(self.observe_slow(value, &score, threshold, settings));
            }
        };
        if !self.baseline.is_founded() {
            if self.samples.len() >= settings.warm_up as usize {
                self.found();
            }
            return Ok(None);
        }
        let reading = self.baseline.read(value, sparse, &self.metric.profile);
        let finding = self.judge(local_ms, &reading, &history, threshold, settings);
        let finding = self.learn_day(local_ms, &reading, finding);
        self.is_known = finding.is_known;
        let Some(episode) = self.episode.take().or_else(|| self.begin(finding, value)) else {
            self.baseline.learn(&reading, &self.metric.profile, f64::from(settings.memory));
            return Ok(None);
        };
        Ok(self.go_on(episode, &reading, finding, history, settings))
    }

    /// Judges a reading by the last ones before it and by the series' own past.
    fn judge(
        &mut self,
        local_ms: i64,
        reading: &Reading,
        history: &HistoryScore,
        threshold: &FiringThreshold,
        settings: &Settings,
    ) -> Finding {
        self.recent.push(reading);
        self.count_run(reading);
        let local = self.recent.find(reading, &self.metric.profile, threshold);
        // of a young series that the level cannot follow, only what comes at once: the first day climbs slowly
        let is_sudden = self.run.abs() <= SUDDEN_SAMPLES && reading.novelty >= CONFIRM_NOVELTY;
        let is_proof = self.is_local(settings)
            || is_sudden && !self.is_past_complete()
            || self.recent.is_outage(&self.metric.profile);
        let local = if is_proof { local } else { local.noticed() };
        let was_certain = self.episode.as_ref().is_some_and(|episode| episode.is_certain);
        let is_known = self.recurrence.as_ref().is_some_and(|recurrence| {
            let lasts_ms = self.episode.as_ref().map_or(0, |episode| self.lasts_ms(episode));
            !history.is_seasonal && recurrence.explains(Timed::new(local_ms, reading), lasts_ms)
        });
        if !is_known {
            return local.or_alarm(history, was_certain, threshold);
        }
        // what comes at its time is at most a suspicion
        let finding = local.noticed();
        let finding =
            if self.is_local(settings) { finding } else { finding.or_alarm(history, was_certain, threshold) };
        Finding { may_fire: false, is_known: true, ..finding }
    }

    /// Goes on with an episode, and returns its revision if one is due.
    fn go_on(
        &mut self,
        mut episode: Box<Episode>,
        reading: &Reading,
        finding: Finding,
        history: HistoryScore,
        settings: &Settings,
    ) -> Option<Change> {
        let finding = self.weighed(reading, finding);
        let was_certain = episode.is_certain;
        let expected = self.baseline.band(self.bounded());
        let is_over = episode.calms(reading, &self.recent) && finding.certainty < Certainty::Certain;
        let mut transition = episode.take(reading, finding, is_over, self.bounded(), settings.refresh_every);
        if transition != Some(Transition::Recovered)
            && self.is_the_new_normal(&episode, finding.is_known, settings)
        {
            transition = Some(episode.end(Transition::Accepted));
        }
        if episode.has_fired() {
            self.baseline.unlearn();
        }
        let was_burst = episode.farthest < CONFIRM_NOVELTY && episode.samples <= BURST_SAMPLES;
        if transition == Some(Transition::Recovered) && (!episode.has_fired() || was_burst) {
            self.baseline.record_false_alarm(episode.direction, episode.farthest);
            if episode.has_fired() {
                self.baseline.record_false_ramp(episode.direction);
            }
        }
        self.learn_episode(&episode, reading.level);
        // a renewed alarm is a decision of its own, also where the episode goes on
        let is_decision = history.is_alarm || episode.is_certain && !was_certain;
        if is_decision && transition.is_none() {
            transition = Some(episode.renew());
        }
        let change = transition.map(|transition| Change {
            transition,
            is_decision,
            is_known: finding.is_known,
            history,
            episode: Episode::clone(&episode),
            observed: reading.value,
            expected,
            distance: reading.distance,
        });
        match transition {
            Some(Transition::Recovered) => {
                self.baseline.has_been(episode.worst);
                self.settle();
            }
            Some(Transition::Accepted) => {
                self.found();
                self.settle();
            }
            _ => self.episode = Some(episode),
        }
        change
    }

    /// Judges the sample that was just taken by the rule of the series, if it has one. `value` is the sample as it came.
    pub(crate) fn judge_by_rule(
        &mut self,
        service: &str,
        value: f64,
        settings: &Settings,
    ) -> Option<RuleOutcome> {
        let mut rule = self.rule.take()?;
        let outcome = rule.observe(&self.observation(service, value), settings);
        self.rule = Some(rule);
        outcome
    }

    fn observation<'a>(&'a self, service: &'a str, value: f64) -> Observation<'a> {
        Observation {
            service,
            metric: &self.metric.name,
            bounded: self.bounded(),
            ts_ms: self.last_ms,
            value,
            interval_ms: self.interval_ms,
            samples: &self.samples,
        }
    }

    /// Judges the sample that was just taken by the objective of the series, if it has one.
    pub(crate) fn judge_by_objective(&mut self, service: &str) -> Option<Report> {
        let mut objective = self.objective.take()?;
        let report = objective.observe(Achieved { service, series: self });
        self.objective = Some(objective);
        report
    }

    /// Notes what the service catalogue states of its service.
    pub(crate) fn state(&mut self, stated: Option<Stated>) {
        self.slo = Slo::restate(self.slo.take(), &self.metric.profile, stated);
    }

    /// Returns whether the service catalogue states something about it.
    pub(crate) fn has_slo(&self) -> bool {
        self.slo.is_some()
    }

    /// Returns how many times as fast as its availability objective allows its budget of failures is used up, where that
    /// is reported.
    pub(crate) fn burn_rate(&self) -> Option<f64> {
        self.slo.as_ref()?.burn_rate()
    }

    /// Judges the sample that was just taken by what the service catalogue states.
    pub(crate) fn judge_by_slo(&mut self, service: &str, requests: Option<Requests>) -> Option<Report> {
        let mut slo = self.slo.take()?;
        let report = slo.observe(Kept { service, series: self, requests });
        self.slo = Some(slo).filter(|slo| slo.is_needed());
        report
    }

    /// Returns whether it is forecast when the series will be full.
    pub fn is_forecast(&self) -> bool {
        matches!(self.rule.as_deref(), Some(Rule::Forecast(_)))
    }

    /// Gives up its rule: there are too many.
    pub fn drop_rule(&mut self) {
        self.rule = None;
    }

    /// Returns the last samples, oldest first.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        self.samples.points()
    }

    /// Returns the last value and the band in which it was expected, unless it is older than some intervals or
    /// nothing is expected yet.
    pub fn latest(&self, at_ms: i64) -> Option<(f64, Band)> {
        let Point { ts_ms, value } = self.samples.newest()?;
        let fresh = at_ms.saturating_sub(ts_ms) as f64 <= GAP_INTERVALS * self.interval_ms;
        let expected = match &self.memory {
            LongMemory::Bars(bars) => bars.expected(value),
            LongMemory::Ranks(_) => self.baseline.band(self.bounded()),
        };
        (self.baseline.is_founded() && fresh).then_some((value, expected))
    }

    /// Returns how far the last few samples lie from the level, in spreads of their mean; nothing if that is
    /// unknown: there is no recent sample, no baseline yet, or one that cannot follow the day. What comes at its time is
    /// no shift.
    pub fn shift(&self, at_ms: i64, settings: &Settings) -> Option<f64> {
        let age = at_ms.saturating_sub(self.last_ms) as f64;
        let is_told = self.baseline.is_founded()
            && age <= FRESH_INTERVALS * self.interval_ms
            && self.is_local(settings);
        let shift = self.baseline.shift();
        let is_known = self.is_known && shift.abs() > NOISE_SPREADS;
        is_told.then_some(if is_known { 0.0 } else { shift })
    }

    /// Returns the spread, and how much the likeness of neighbours adds to the variance of a mean; nothing before there
    /// is a baseline.
    pub fn scatter(&self) -> Option<(f64, f64)> {
        self.baseline.is_founded().then(|| self.baseline.scatter(&self.metric.profile))
    }

    /// Returns time (milliseconds) and value of the newest sample, as it is judged, with the digits that its storage adds.
    pub(crate) fn last_sample(&self) -> Option<(i64, f64)> {
        self.samples.last()
    }

    /// Returns the newest sample, as it is judged.
    pub fn newest(&self) -> Option<Point> {
        self.samples.newest()
    }

    /// Returns the event time of the newest sample, milliseconds; the earliest of all before the first.
    pub fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// Returns what the metric means.
    pub fn profile(&self) -> &MetricProfile {
        &self.metric.profile
    }

    /// Returns the usual distance between samples, milliseconds.
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms.round() as u64
    }

    /// Returns the last value and the band in which it was expected, however long ago that was.
    pub(crate) fn last_expected(&self) -> Option<(f64, Band)> {
        self.latest(self.last_ms)
    }

    /// Returns whether something is reported of it that is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.episode.is_some()
            || self.objective.as_ref().is_some_and(|objective| objective.is_open())
            || self.slo.as_ref().is_some_and(|slo| slo.is_open())
            || self.rule.as_ref().is_some_and(|rule| rule.is_open())
    }

    /// Ends the episode the series is in, for it does not report any more.
    pub(crate) fn give_up(&mut self) -> Option<Box<Episode>> {
        let mut episode = self.episode.take()?;
        episode.end(Transition::Ongoing);
        Some(episode)
    }

    /// Ends the alerts of its rule and its objectives, for it does not report any more. Returns the reports of that, without
    /// explanations.
    pub(crate) fn give_up_rules(&mut self, service: &str) -> Vec<Report> {
        let (mut rule, mut objective, mut slo) = (self.rule.take(), self.objective.take(), self.slo.take());
        let last = self.last_sample().map(|(_, value)| self.observation(service, value));
        let by_rule = rule.as_mut().zip(last).and_then(|(rule, last)| rule.give_up(&last));
        let by_objective = objective.as_mut().and_then(|objective| objective.give_up(self));
        let kept = Kept { service, series: self, requests: None };
        let by_slo = slo.as_mut().and_then(|slo| slo.give_up(kept));
        (self.rule, self.objective, self.slo) = (rule, objective, slo.filter(|slo| slo.is_needed()));
        [by_rule, by_objective, by_slo].into_iter().flatten().collect()
    }

    /// Returns the status of the episode the series is in, if it is in one.
    pub fn status(&self) -> Option<Status> {
        self.episode.as_ref().map(|episode| episode.alert.status)
    }

    /// Moves the clock of the series and returns by how many milliseconds, or why the sample is not used.
    fn advance(&mut self, ts_ms: i64, settings: &Settings) -> Result<f64, Unused> {
        if self.last_ms == i64::MIN {
            self.last_ms = ts_ms;
            return Ok(0.0);
        }
        let gap = ts_ms.saturating_sub(self.last_ms);
        match gap {
            0 => return Err(Unused::Duplicate),
            ..0 if gap.saturating_neg() > settings.late_after_ms() => return Err(Unused::Late),
            ..0 => return Err(Unused::OutOfOrder),
            1.. => self.last_ms = ts_ms,
        }
        let gap = gap as f64;
        if self.intervals > 1 && gap > GAP_INTERVALS * self.interval_ms {
            self.settle();
            self.doubt(ts_ms, gap, settings);
        }
        self.intervals = self.intervals.saturating_add(1);
        // one long pause must not be taken for the cadence
        let limited = if self.intervals > 5 { gap.min(4.0 * self.interval_ms) } else { gap };
        self.interval_ms +=
            (limited - self.interval_ms) / f64::from(self.intervals).min(CADENCE_MEMORY_SAMPLES);
        Ok(gap)
    }

    /// Returns whether the past of the series is to be relied on alone.
    fn is_past_complete(&self) -> bool {
        match &self.memory {
            LongMemory::Ranks(history) => history.is_complete(self.last_ms),
            LongMemory::Bars(_) => true,
        }
    }

    fn found(&mut self) {
        let values: Vec<f64> = self.samples.values().collect();
        self.baseline.found(&values);
    }

    /// Returns whether the memory of the baseline is short against the day. Where it is not, the level cannot follow the
    /// day, and what the baseline finds proves nothing once the series' own past knows better.
    fn is_local(&self, settings: &Settings) -> bool {
        f64::from(settings.memory) * self.interval_ms <= LOCAL_MEMORY_MS
    }

    /// Counts how many samples in a row lie to one side.
    fn count_run(&mut self, reading: &Reading) {
        let step = match reading.direction {
            _ if reading.distance < RUN_SPREADS => 0,
            Direction::Up => 1,
            Direction::Down => -1,
        };
        let goes_on = step * self.run > 0;
        self.run = if goes_on { (self.run + step).clamp(-MAX_RUN_SAMPLES, MAX_RUN_SAMPLES) } else { step };
    }

    /// Begins an episode if the finding is not normal: with the first of the samples in a row that lie to its side.
    fn begin(&self, finding: Finding, value: f64) -> Option<Box<Episode>> {
        if finding.certainty == Certainty::Normal {
            return None;
        }
        let run = match finding.direction {
            Direction::Up => self.run,
            Direction::Down => -self.run,
        };
        let abnormal = run.clamp(1, self.samples.len() as i32) as usize;
        let started_ms = self.samples.time_of_last(abnormal);
        Some(Box::new(Episode::begin(started_ms, abnormal as u32, finding.direction, value)))
    }

    /// Forgets what the episode has left in the short memories, so that the same fault soon after is found.
    fn settle(&mut self) {
        self.baseline.settle();
        self.recent = Recent::default();
        self.run = 0;
    }

    /// Returns whether the episode has lasted so long, at so steady a level, that this is how the series is now. What is
    /// severe is given [`PATIENCE_FACTOR`] times as long, and what is known of this time (`is_known`) less.
    fn is_the_new_normal(&self, episode: &Episode, is_known: bool, settings: &Settings) -> bool {
        if is_known
            && !episode.has_fired()
            && episode.samples.is_multiple_of(BUFFER_SAMPLES as u32)
            && self.lasts_ms(episode) > recurrence::LONG_MS
            && self.is_steady()
        {
            // it comes at its time, and what breaks while it lasts is to be found
            return true;
        }
        let patience = if episode.alert.severity >= Severity::Sev2 { PATIENCE_FACTOR } else { 1 };
        episode.samples.is_multiple_of(BUFFER_SAMPLES as u32)
            && episode.samples >= settings.accept_after.saturating_mul(patience)
            && self.lasts_ms(episode) >= settings.accept_after_ms() * i64::from(patience)
            && self.is_steady()
    }

    /// Returns whether the older and the newer half of the kept samples lie level, compared with how much one sample
    /// differs from the next.
    fn is_steady(&self) -> bool {
        let mut values: Vec<f64> = self.samples.values().collect();
        if values.len() <= BUFFER_SAMPLES / 2 {
            return false;
        }
        let steps: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
        let step = steps / (values.len().max(2) - 1) as f64;
        let (older, newer) = values.split_at_mut(BUFFER_SAMPLES / 2);
        let (older, newer) = (median(older), median(newer));
        (newer - older).abs() <= step.max(self.metric.profile.floor(newer))
    }
}
