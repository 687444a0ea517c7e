//! A slow series: judged by its bars, in place of the local baseline and the ranks of its past.

use serde::{Deserialize, Serialize};

use super::bars::{BarScore, Bars};
use super::baseline::Reading;
use super::episode::{CONFIRM_NOVELTY, Episode, Finding, NOTICED_SHARE, Transition};
use super::history::{HistoryModel, HistoryScore};
use super::{Change, Series};
use crate::alert::certainty::{Certainty, nats};
use crate::config::Settings;
use crate::series::alarm_budget::FiringThreshold;

/// Usual interval from which on a series is slow, and below which it is no more, milliseconds: more than a quarter of an
/// hour, and no alternating where samples come each quarter of an hour.
const SLOW_MS: f64 = 16.0 * 60_000.0;
const FAST_MS: f64 = 12.0 * 60_000.0;
/// Intervals that have to be known.
const KNOWN_INTERVALS: u32 = 2;

/// What a series remembers of days and weeks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum LongMemory {
    /// How rare its scores are, and its records.
    Ranks(Box<HistoryModel>),
    /// What is usual at which time, where samples are few.
    Bars(Box<Bars>),
}

impl Default for LongMemory {
    fn default() -> Self {
        Self::Ranks(Box::default())
    }
}

impl Series {
    /// Begins the other kind of memory where the cadence asks for it, with the samples that are kept.
    pub(super) fn choose_memory(&mut self, settings: &Settings) {
        if self.intervals < KNOWN_INTERVALS {
            return;
        }
        match self.memory {
            LongMemory::Ranks(_) if self.interval_ms > SLOW_MS => {
                let mut bars = Box::<Bars>::default();
                for (local_ms, value) in self.known(settings) {
                    bars.observe(local_ms, value, self.interval_ms);
                }
                self.memory = LongMemory::Bars(bars);
            }
            LongMemory::Bars(_) if self.interval_ms < FAST_MS => {
                let mut ranks = Box::<HistoryModel>::default();
                for (local_ms, value) in self.known(settings) {
                    ranks.observe(local_ms, value, self.interval_ms);
                }
                self.memory = LongMemory::Ranks(ranks);
            }
            _ => {}
        }
    }

    /// Returns whether it is judged by its bars.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self.memory, LongMemory::Bars(_))
    }

    /// Returns the samples that are kept, by the clock of the zone.
    fn known(&self, settings: &Settings) -> impl Iterator<Item = (i64, f64)> {
        self.samples.points().map(|point| (settings.time_zone.local_ms(point.ts_ms), point.value))
    }

    /// Takes the next sample of a slow series, as it was scored.
    pub(super) fn observe_slow(
        &mut self,
        value: f64,
        score: &BarScore,
        threshold: &FiringThreshold,
        settings: &Settings,
    ) -> Option<Change> {
        // its spread is what a deployment is compared with
        if self.baseline.is_founded() {
            let reading = self.baseline.read(value, None, &self.metric.profile);
            self.baseline.learn(&reading, &self.metric.profile, f64::from(settings.memory));
        } else if self.samples.len() >= settings.warm_up as usize {
            self.found();
        }
        let (reading, finding) = self.find_slow(value, score, threshold);
        let finding = self.weighed(&reading, finding);
        let mut episode = self.episode.take().or_else(|| {
            let begins = finding.certainty > Certainty::Normal;
            begins.then(|| Box::new(Episode::begin(self.last_ms, 1, score.direction, value)))
        })?;
        let was_certain = episode.is_certain;
        let is_over = score.is_rested && finding.certainty == Certainty::Normal;
        let mut transition = episode.take(&reading, finding, is_over, self.bounded(), settings.refresh_every);
        let is_decision = score.is_alarm || episode.is_certain && !was_certain;
        if is_decision && transition.is_none() {
            transition = Some(episode.renew());
        }
        let change = transition.map(|transition| Change {
            transition,
            is_decision,
            is_known: false,
            history: HistoryScore {
                rarity: 0.0,
                effect: score.score,
                direction: score.direction,
                record: score.is_hot.then_some(score.score),
                is_seasonal: true,
                is_alarm: score.is_alarm,
            },
            episode: Episode::clone(&episode),
            observed: value,
            expected: score.expected,
            distance: score.distance,
        });
        if transition != Some(Transition::Recovered) {
            self.episode = Some(episode);
        }
        change
    }

    /// Returns a sample as it was read by the bars, and what it amounts to.
    fn find_slow(&self, value: f64, score: &BarScore, threshold: &FiringThreshold) -> (Reading, Finding) {
        let &BarScore { direction, is_hot, .. } = score;
        let harms = self.metric.profile.bad_direction.includes(direction);
        let certainty = if is_hot {
            Certainty::Certain
        } else if harms && score.is_old && score.score >= NOTICED_SHARE {
            Certainty::Noticed
        } else {
            Certainty::Normal
        };
        let novelty = CONFIRM_NOVELTY * score.score;
        let may_fire = is_hot && score.score >= threshold.record;
        let reading = Reading::scored(value, score.expected.center, direction, score.distance, novelty);
        (reading, Finding { certainty, nats: nats(novelty), direction, may_fire, is_known: false })
    }
}
