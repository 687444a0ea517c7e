//! How far each minute of the hour usually goes beyond the level: what comes each hour, or several times in one.

use serde::{Deserialize, Serialize};

use crate::series::history::array;
use crate::stats::half::Half;

const MINUTES: usize = 60;
const MINUTE_MS: i64 = 60_000;
/// By how many minutes the same may come earlier or later.
const JITTER_MINUTES: i64 = 2;
/// Part of the way to what an hour has shown: outwards, so that some hours in a row are enough and two are not; and
/// back.
const OUTWARD_RATE: f64 = 0.25;
const INWARD_RATE: f64 = 0.05;

/// Minutes by which a job may come earlier or later before it is missed, and hours in a row in which it has to have come
/// before.
const LATE_MINUTES: i64 = 5;
const SURE_HOURS: u8 = 24;
/// Hours in a row after which it is known.
const KNOWN_HOURS: u8 = 4;
/// Part of its usual deviation that is enough to have come.
const CAME_SHARE: f64 = 0.5;

/// What goes farthest in each hour: whether it comes each hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Job {
    /// The minute since the epoch about which it comes next, and how far it goes.
    due: i64,
    expected: f64,
    /// Whether it has come, and how many hours in a row it did before.
    came: bool,
    hours: u8,
}

/// Largest deviation of each minute to each side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct HourEnvelope {
    #[serde(with = "array")]
    above: [Half; MINUTES],
    #[serde(with = "array")]
    below: [Half; MINUTES],
    /// The minute since the epoch that is being visited, with its largest and smallest deviation.
    minute: i64,
    largest: f64,
    smallest: f64,
    /// Whether it counts.
    counts: bool,
    job: Job,
}

impl Default for HourEnvelope {
    fn default() -> Self {
        Self {
            above: [Half::ZERO; MINUTES],
            below: [Half::ZERO; MINUTES],
            minute: 0,
            largest: 0.0,
            smallest: 0.0,
            counts: false,
            job: Job::default(),
        }
    }
}

impl HourEnvelope {
    /// Returns how far beyond the level the series usually goes about this minute.
    pub(super) fn farthest(&self, local_ms: i64, is_up: bool) -> f64 {
        let minute = local_ms.div_euclid(MINUTE_MS);
        let side = if is_up { &self.above } else { &self.below };
        let near =
            (minute - JITTER_MINUTES..=minute + JITTER_MINUTES).map(|minute| side[bin(minute)].value());
        if is_up { near.fold(0.0, f64::max) } else { near.fold(0.0, f64::min) }
    }

    /// Learns a deviation; what belongs to a long episode (`is_long`) is passed over. Returns whether what comes each hour
    /// and goes at least as far as `least` has not come.
    pub(super) fn learn(&mut self, local_ms: i64, deviation: f64, least: f64, is_long: bool) -> bool {
        let minute = local_ms.div_euclid(MINUTE_MS);
        let mut is_missed = false;
        if minute != self.minute {
            if self.counts {
                let bin = bin(self.minute);
                let above = self.above[bin].value();
                let rate = if self.largest > above { OUTWARD_RATE } else { INWARD_RATE };
                self.above[bin] = Half::of(above + rate * (self.largest.max(0.0) - above));
                let below = self.below[bin].value();
                let rate = if self.smallest < below { OUTWARD_RATE } else { INWARD_RATE };
                self.below[bin] = Half::of(below + rate * (self.smallest.min(0.0) - below));
            }
            (self.minute, self.largest, self.smallest) = (minute, deviation, deviation);
            self.counts = true;
            is_missed = self.miss(minute, least);
        }
        let job = &mut self.job;
        let is_about = (minute - job.due).abs() <= LATE_MINUTES;
        job.came |= is_long || is_about && deviation >= CAME_SHARE * job.expected;
        self.largest = self.largest.max(deviation);
        self.smallest = self.smallest.min(deviation);
        self.counts &= !is_long;
        is_missed
    }

    /// Returns whether something has come each hour for long enough to be taken for a job.
    pub(super) fn is_job_known(&self) -> bool {
        self.job.hours >= KNOWN_HOURS
    }

    /// Returns whether the job of each hour is missed with this minute, and looks for the next one.
    fn miss(&mut self, minute: i64, least: f64) -> bool {
        let Job { due, expected, came, hours } = self.job;
        if minute <= due + LATE_MINUTES {
            return false;
        }
        let is_job = expected >= least;
        // after a pause it cannot be told
        let is_watched = minute <= due + MINUTES as i64;
        let largest = (0..MINUTES).max_by(|&a, &b| self.above[a].value().total_cmp(&self.above[b].value()));
        let bin = largest.unwrap_or(0) as i64;
        self.job = Job {
            due: minute + (bin - minute).rem_euclid(MINUTES as i64),
            expected: self.above[bin as usize].value(),
            came: false,
            hours: if is_job && is_watched && came { hours.saturating_add(1) } else { 0 },
        };
        is_job && is_watched && !came && hours >= SURE_HOURS
    }
}

fn bin(minute: i64) -> usize {
    minute.rem_euclid(MINUTES as i64) as usize
}
