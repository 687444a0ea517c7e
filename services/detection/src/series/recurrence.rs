//! What a series does again and again: at its time, as a job each hour, a backup each night, a rise each morning; or at no time
//! of its own, as bursts.
//!
//! A deviation that is no larger than what was seen twice before at the same time, or again and again for as long, is expected,
//! however far it is from the last hours. Begun with the first deviation that is certain; most series never need it.

mod day;
pub(super) mod episodes;
mod hour;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::Direction;

use super::Series;
use super::baseline::Reading;
use super::episode::{CONFIRM_NOVELTY, Episode, Finding};
use crate::alert::certainty::{Certainty, nats};
use day::{DayEnvelope, MonthEnvelope};
use episodes::EpisodeEnvelope;
use hour::HourEnvelope;

/// How much farther than before a deviation may go.
const MARGIN_FACTOR: f64 = 1.25;
/// Spreads below which what does not come is not missed.
const JOB_SPREADS: f64 = 8.0;

/// Time after which an episode belongs to the day and not to the hour, milliseconds.
pub(super) const LONG_MS: i64 = 30 * 60_000;

/// What a series has shown at each time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Recurrence {
    day: DayEnvelope,
    month: Option<Box<MonthEnvelope>>,
    hour: HourEnvelope,
    /// In a section of its own.
    #[serde(skip)]
    pub(super) episodes: EpisodeEnvelope,
}

/// A sample as it is compared with other days.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    /// Local time, milliseconds.
    pub(super) local_ms: i64,
    pub(super) value: f64,
    /// Level of the series in the last hours, and one spread of it.
    pub(super) level: f64,
    pub(super) spread: f64,
}

impl Timed {
    /// Returns a sample as the local baseline has read it.
    pub(super) fn new(local_ms: i64, reading: &Reading) -> Self {
        let &Reading { value, level, spread, .. } = reading;
        Self { local_ms, value, level, spread }
    }
}

impl Recurrence {
    /// Returns whether the series has deviated as far as this, at this time, at least twice before, or often enough for as long
    /// as it does now.
    pub(super) fn explains(&self, sample: Timed, lasts_ms: i64) -> bool {
        let Timed { local_ms, value, level, spread } = sample;
        let deviation = value - level;
        let is_within = |farthest| is_within(deviation, spread, farthest);
        let is_up = deviation >= 0.0;
        is_within(self.day.farthest(local_ms, is_up, level))
            || is_within(self.hour.farthest(local_ms, is_up))
            || is_within(self.episodes.farthest(local_ms, lasts_ms, is_up))
            || self.month.as_ref().is_some_and(|month| is_within(month.farthest(local_ms, is_up, level)))
    }

    /// Learns a sample of an episode that has lasted so long, or of none. What an episode of more than half an hour shows
    /// belongs to the day and not to the hour. Returns whether what comes each hour, or on each such day, has not come.
    pub(super) fn learn(&mut self, sample: Timed, lasts_ms: i64) -> bool {
        let Timed { local_ms, value, level, spread } = sample;
        let (is_up, is_long) = (value >= level, lasts_ms > LONG_MS);
        // what comes each hour must not hide what comes at another minute of a half hour, nor bursts what lasts
        let is_within = |farthest| is_within(value - level, spread, farthest);
        let is_known = !is_within(0.0)
            && (self.hour.is_job_known() && is_within(self.hour.farthest(local_ms, is_up))
                || is_within(self.episodes.farthest(local_ms, lasts_ms, is_up)));
        let usual = if is_known { value.clamp(level - spread, level + spread) } else { value };
        let is_day_missed = self.day.learn(local_ms, usual, JOB_SPREADS * spread);
        if day::is_first_of_month(local_ms) {
            self.month.get_or_insert_default().learn(local_ms, usual);
        }
        self.hour.learn(local_ms, value - level, JOB_SPREADS * spread, is_long) || is_day_missed
    }
}

/// Returns whether a deviation goes no farther than the farthest that is known of its side, with some margin.
fn is_within(deviation: f64, spread: f64, farthest: f64) -> bool {
    let allowed = MARGIN_FACTOR * farthest;
    if deviation >= 0.0 {
        deviation <= allowed.max(0.0) + spread
    } else {
        deviation >= allowed.min(0.0) - spread
    }
}

impl Series {
    /// Learns what the series shows at this time of the day, once it has deviated for certain. Returns the finding, or
    /// that what usually comes is missing.
    pub(super) fn learn_day(&mut self, local_ms: i64, reading: &Reading, finding: Finding) -> Finding {
        if finding.certainty == Certainty::Certain {
            self.recurrence.get_or_insert_default();
        }
        let lasts_ms = self.episode.as_ref().map_or(0, |episode| self.lasts_ms(episode));
        let Some(recurrence) = &mut self.recurrence else { return finding };
        if !recurrence.learn(Timed::new(local_ms, reading), lasts_ms) {
            return finding;
        }
        Finding {
            certainty: Certainty::Certain,
            nats: finding.nats.max(nats(CONFIRM_NOVELTY)),
            direction: Direction::Down,
            may_fire: true,
            is_known: false,
        }
    }

    /// Learns how far the episode has gone by now, and how long it has lasted.
    pub(super) fn learn_episode(&mut self, episode: &Episode, level: f64) {
        let lasts_ms = self.lasts_ms(episode);
        if let Some(recurrence) = &mut self.recurrence {
            recurrence.episodes.learn(episode.alert.started_ms, lasts_ms, episode.worst - level);
        }
    }

    /// Returns how long an episode has lasted, milliseconds.
    pub(super) fn lasts_ms(&self, episode: &Episode) -> i64 {
        self.last_ms.saturating_sub(episode.alert.started_ms)
    }

    /// Returns whether it remembers what it does at its time.
    pub(crate) fn recurs(&self) -> bool {
        self.recurrence.is_some()
    }

    /// Forgets that.
    pub(crate) fn forget_recurrence(&mut self) {
        self.recurrence = None;
    }
}
