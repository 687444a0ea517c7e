//! Room for new series: those that are dead make it, the one that was updated longest ago first.

use shared::events::anomaly::{Direction, Ended};

use super::outcome::Outcome;
use super::{DETECTOR, Service};
use crate::alert::format::{duration, quantity, range, time};
use crate::alert::{Report, Revision, Subject, Verdict};
use crate::series::Series;
use crate::series::rules::MAX_FORECASTS;

/// Time without a sample after which a series is dead, milliseconds and in intervals.
const DEAD_MS: i64 = 600_000;
const DEAD_INTERVALS: i64 = 30;
/// The same while half of the room or more is left over.
const LONG_DEAD_MS: i64 = 21_600_000;

/// Returns the time without a sample after which a series with that usual distance between samples is dead, milliseconds.
pub(super) fn dead_after_ms(interval_ms: u64) -> i64 {
    DEAD_INTERVALS.saturating_mul(interval_ms as i64).max(DEAD_MS)
}

impl Service {
    /// Returns the place of the series that makes room for a new one at a time (milliseconds), if one does. While there is
    /// room for half as many again, only one does that has not reported for long.
    pub(crate) fn dead(&self, now_ms: i64, has_room: bool) -> Option<usize> {
        // after a pause of the service all series have been silent: with room left, the last one that reported counts
        let newest_ms = self.series.iter().map(Series::last_ms).max()?;
        let now_ms = if has_room { newest_ms } else { now_ms };
        let is_dead = |series: &Series| {
            let silent_ms = now_ms.saturating_sub(series.last_ms());
            let least_ms = if has_room { LONG_DEAD_MS } else { DEAD_MS };
            silent_ms > dead_after_ms(series.interval_ms()).max(least_ms)
        };
        (0..self.series.len())
            .filter(|&place| is_dead(&self.series[place]))
            .min_by_key(|&place| self.series[place].last_ms())
    }

    /// Returns when the last sample of any of its series was, if all of them are dead.
    pub(crate) fn dead_since_ms(&self, now_ms: i64) -> Option<i64> {
        let newest_ms = self.series.iter().map(Series::last_ms).max()?;
        let slowest_ms = self.series.iter().map(Series::interval_ms).max()?;
        (now_ms.saturating_sub(newest_ms) > dead_after_ms(slowest_ms)).then_some(newest_ms)
    }

    /// Puts a new series into the place of a dead one, whose episode ends as `ended`.
    pub(crate) fn replace(
        &mut self,
        place: usize,
        series: Series,
        (ended, now_ms): (Ended, i64),
        outcome: &mut Outcome,
    ) {
        let reports = self.give_up(place, ended, now_ms);
        self.publish(reports, outcome);
        let before = std::mem::replace(&mut self.series[place], series);
        self.series[place].state(self.stated);
        let known = &self.series;
        self.by_metric.rename(place, ("", before.name()), |place| ("", known[place].name()));
        if let Some(rollout) = &mut self.rollout {
            rollout.forget(place);
        }
        if let Some(restarts) = &mut self.restarts {
            restarts.forget(place);
        }
        for series in &mut self.series {
            series.is_limited_no_more_by(place);
            series.requests = None;
        }
        // it counts itself
        let forecasts = self.series.iter().filter(|series| series.is_forecast()).count();
        if self.series[place].is_forecast() && forecasts > MAX_FORECASTS {
            self.series[place].drop_rule();
        }
        self.pair(place);
        // one of two limits may be gone, so that the other one counts
        let resource = before.profile().resource.as_ref();
        let alike = self.series.iter().position(|series| series.profile().resource.as_ref() == resource);
        if let Some(place) = alike.filter(|_| resource.is_some()) {
            self.pair(place);
        }
    }

    /// Ends what is reported of all series.
    pub(crate) fn end_all(&mut self, ended: Ended, now_ms: i64, outcome: &mut Outcome) {
        for place in 0..self.series.len() {
            let reports = self.give_up(place, ended, now_ms);
            self.publish(reports, outcome);
        }
    }

    /// Gives up all series, which are dead, because others need their room. Returns how many there were.
    pub(crate) fn give_up_all(&mut self, now_ms: i64, outcome: &mut Outcome) -> usize {
        self.end_all(Ended::Forced, now_ms, outcome);
        (self.joint, self.rollout, self.restarts) = (None, None, None);
        self.by_metric = super::NameIndex::default();
        std::mem::take(&mut self.series).len()
    }

    /// Ends what is reported of a series that does not report any more.
    pub(super) fn give_up(&mut self, place: usize, ended: Ended, now_ms: i64) -> Vec<Report> {
        let by_rules = self.series[place].give_up_rules(&self.name);
        let explained = |report: Report| {
            let explanation = self.ending(place, &report.subject.metric, ended, now_ms);
            Report { at_ms: now_ms, ..report.ended_by(ended).explained(explanation) }
        };
        let by_rules: Vec<Report> = by_rules.into_iter().map(explained).collect();
        self.give_up_episode(place, ended, now_ms).into_iter().chain(by_rules).collect()
    }

    /// Ends the episode of such a series, if it is in one.
    fn give_up_episode(&mut self, place: usize, ended: Ended, now_ms: i64) -> Option<Report> {
        let episode = self.series[place].give_up()?;
        let series = &self.series[place];
        let (value, expected) = series.last_expected()?;
        let profile = series.profile();
        let subject = Subject {
            metric: series.name().into(),
            kind: profile.kind,
            unit: profile.unit.clone(),
            detector: DETECTOR,
        };
        let verdict =
            Verdict { direction: episode.direction, ..Verdict::over(Direction::Up, value, expected) };
        let explanation = match ended {
            Ended::Retired => format!(
                "{}; it was {} at last, {} was expected",
                self.ending(place, series.name(), ended, now_ms),
                quantity(value, &profile.unit),
                range(&expected, &profile.unit),
            ),
            _ => self.ending(place, series.name(), ended, now_ms),
        };
        let revision = Revision { alert: episode.alert, is_decision: false };
        let report = Report::new(subject, &revision, verdict, now_ms)
            .ended_by(ended)
            .every(series.interval_ms())
            .points(series.points().collect())
            .explained(explanation);
        Some(report)
    }

    /// Says why something that is reported of a series ends that does not report any more.
    fn ending(&self, place: usize, metric: &str, ended: Ended, now_ms: i64) -> String {
        let last_ms = self.series[place].last_ms();
        let (service, since) = (&self.name, time(last_ms, now_ms));
        let silent = duration(now_ms.saturating_sub(last_ms));
        match ended {
            Ended::Retired => format!(
                "{metric} of {service} ended because {service} was retired at {}",
                time(now_ms, now_ms)
            ),
            Ended::Forced => format!(
                "{metric} of {service} has not reported for {silent}, since {since}; it makes room for other series, \
                 because the limit of series is reached"
            ),
            Ended::SourceGone | Ended::NewLevel | Ended::Recovered | Ended::Manual => format!(
                "{metric} of {service} has not reported for {silent}, since {since}; it is not watched any more"
            ),
        }
    }
}
