//! Samples of a service that cannot be used: refused, far ahead, or of more series than fit.
//!
//! Such a service has not stopped reporting, and nothing watches what it reports. A few are a suspicion; it fires where
//! nothing else has come of the service for a while, or where new series find no room.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction};
use shared::events::raw::TimeUnit;
use shared::events::{Kind, Severity};
use shared::text::format::counted;

use crate::alert::certainty::Certainty;
use crate::alert::format::{duration, time};
use crate::alert::{Alert, Detector, Report, Subject, Verdict};

/// Name of what is watched.
const METRIC: &str = "unusable_samples";
/// Name and version of the rule.
const DETECTOR: &str = "intake/1";

/// Unusable samples that are noticed, and that may fire.
const NOTICED_SAMPLES: u32 = 3;
const CONFIRM_SAMPLES: u32 = 20;
/// Time over which they have to come to fire, and without any after which it is over, milliseconds.
const CONFIRM_MS: i64 = 60_000;
const CALM_MS: i64 = 600_000;

/// Why a sample cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// It is refused: no JSON, a field missing, a value that is no number.
    Unreadable,
    /// Its time is in another unit.
    Seconds,
    /// The same.
    Microseconds,
    /// The same.
    Nanoseconds,
    /// Its time is far ahead.
    Ahead,
    /// Its series is one more than there may be.
    SeriesLimit,
}

impl Cause {
    /// Returns the name for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Seconds => TimeUnit::Seconds.name(),
            Self::Microseconds => TimeUnit::Microseconds.name(),
            Self::Nanoseconds => TimeUnit::Nanoseconds.name(),
            Self::Ahead => "ahead",
            Self::SeriesLimit => "series_limit",
        }
    }

    /// Says what the service does.
    fn words(self) -> String {
        match self {
            Self::Unreadable => "sends records that cannot be read".to_owned(),
            Self::Seconds | Self::Microseconds | Self::Nanoseconds => {
                format!("sends event times in {} instead of milliseconds", self.as_str())
            }
            Self::Ahead => "sends event times that are far in the future".to_owned(),
            Self::SeriesLimit => "reports more series than there is room for".to_owned(),
        }
    }
}

impl From<Option<TimeUnit>> for Cause {
    fn from(unit: Option<TimeUnit>) -> Self {
        match unit {
            None => Self::Unreadable,
            Some(TimeUnit::Seconds) => Self::Seconds,
            Some(TimeUnit::Microseconds) => Self::Microseconds,
            Some(TimeUnit::Nanoseconds) => Self::Nanoseconds,
        }
    }
}

/// What of one service cannot be used, from the first such sample until none has come for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intake {
    cause: Cause,
    first_ms: i64,
    newest_ms: i64,
    unusable: u32,
    /// Those since the last sample that was used, and when they began.
    in_a_row: u32,
    row_ms: i64,
    alert: Option<Box<Alert>>,
}

/// A sample of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Service.
    pub(crate) service: &'a str,
    /// Time, milliseconds.
    pub(crate) ts_ms: i64,
    /// Why it cannot be used; nothing where it is.
    pub(crate) cause: Option<Cause>,
}

impl Detector for Intake {
    type Input<'a> = Arrival<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, Arrival { service, ts_ms, cause }: Arrival<'_>) -> Option<Report> {
        match cause {
            Some(cause) => self.add(cause, ts_ms),
            None => self.in_a_row = 0,
        }
        let verdict = self.verdict(ts_ms)?;
        let revision = Alert::follow(&mut self.alert, &verdict, self.first_ms)?;
        let subject =
            Subject { metric: METRIC.into(), kind: Kind::Other, unit: "".into(), detector: DETECTOR };
        let explanation = self.sentence(service, verdict.certainty, ts_ms);
        Some(Report::new(subject, &revision, verdict, ts_ms).explained(explanation))
    }
}

impl Intake {
    /// Begins with the first sample that cannot be used.
    pub(crate) fn new(cause: Cause, ts_ms: i64) -> Self {
        Self {
            cause,
            first_ms: ts_ms,
            newest_ms: ts_ms,
            unusable: 0,
            in_a_row: 0,
            row_ms: ts_ms,
            alert: None,
        }
    }

    fn add(&mut self, cause: Cause, ts_ms: i64) {
        self.cause = cause;
        self.newest_ms = self.newest_ms.max(ts_ms);
        self.unusable = self.unusable.saturating_add(1);
        if self.in_a_row == 0 {
            self.row_ms = ts_ms;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
    }

    fn verdict(&self, ts_ms: i64) -> Option<Verdict> {
        // the other series of a service that has too many go on
        let (samples, since_ms) = match self.cause {
            Cause::SeriesLimit => (self.unusable, self.first_ms),
            _ => (self.in_a_row, self.row_ms),
        };
        let is_lasting = samples >= CONFIRM_SAMPLES && ts_ms.saturating_sub(since_ms) >= CONFIRM_MS;
        let certainty = if self.is_over(ts_ms) {
            Certainty::Normal
        } else if is_lasting {
            Certainty::Certain
        } else if self.unusable >= NOTICED_SAMPLES {
            Certainty::Noticed
        } else {
            return None;
        };
        Some(Verdict {
            certainty,
            nats: certainty.stated_nats(),
            severity: Severity::Sev3,
            direction: Direction::Up,
            observed: f64::from(self.unusable),
            expected: Band { lower: 0.0, center: 0.0, upper: 0.0 },
        })
    }

    /// Returns whether nothing unusable has come for a while.
    pub(crate) fn is_over(&self, ts_ms: i64) -> bool {
        self.in_a_row == 0 && ts_ms.saturating_sub(self.newest_ms) >= CALM_MS
    }

    fn sentence(&self, service: &str, certainty: Certainty, ts_ms: i64) -> String {
        let (what, since) = (self.cause.words(), time(self.first_ms, ts_ms));
        let samples = counted(self.unusable as usize, "sample");
        match (certainty, self.cause) {
            (Certainty::Normal, _) => {
                format!(
                    "no sample of {service} was left out for {}; {samples} were since {since}",
                    duration(CALM_MS)
                )
            }
            (_, Cause::SeriesLimit) => format!(
                "{service} {what}: {samples} of new series were dropped since {since}, and nothing watches these series"
            ),
            (Certainty::Certain, _) => format!(
                "{service} {what}: {samples} left out since {since}, and none could be used since {}",
                time(self.row_ms, ts_ms)
            ),
            (Certainty::Noticed, _) => format!("{service} {what}: {samples} left out since {since}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::events::anomaly::Status;

    use super::*;

    const EVERY_MS: i64 = 10_000;

    /// Returns what is reported of samples that come every 10 s, each unusable for a reason or used.
    fn reported(arrivals: impl IntoIterator<Item = Option<Cause>>) -> Vec<(Status, String)> {
        let mut intake: Option<Intake> = None;
        let mut reported = Vec::new();
        for (cause, ts_ms) in arrivals.into_iter().zip((0..).map(|i| 1_750_000_000_000 + i * EVERY_MS)) {
            if let Some(cause) = cause {
                intake.get_or_insert_with(|| Intake::new(cause, ts_ms));
            }
            let Some(one) = &mut intake else { continue };
            let report = one.observe(Arrival { service: "checkout", ts_ms, cause });
            reported.extend(report.map(|report| (report.alert.status, report.explanation)));
            if one.is_over(ts_ms) {
                intake = None;
            }
        }
        reported
    }

    #[test]
    fn a_service_of_which_nothing_can_be_used_fires_and_clears_when_it_can() {
        let arrivals = [Some(Cause::Unreadable); 60].into_iter().chain([None; 70]);
        let reported = reported(arrivals);
        let statuses: Vec<Status> = reported.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [Status::Suspect, Status::Firing, Status::Cleared]);
        insta::assert_debug_snapshot!(reported);
    }

    #[test]
    fn some_among_good_ones_are_a_suspicion_and_two_are_nothing() {
        let every_other = (0..200).map(|i| (i % 2 == 0).then_some(Cause::Microseconds));
        let reported_of = |arrivals: &mut dyn Iterator<Item = Option<Cause>>| {
            reported(arrivals).into_iter().map(|(status, _)| status).collect::<Vec<_>>()
        };
        assert_eq!(reported_of(&mut every_other.chain([None; 70])), [Status::Suspect, Status::Cleared]);
        assert_eq!(reported_of(&mut [Some(Cause::Ahead); 2].into_iter().chain([None; 70])), []);
        let full = (0..200).map(|i| (i % 2 == 0).then_some(Cause::SeriesLimit));
        assert_eq!(reported_of(&mut full.take(100))[..], [Status::Suspect, Status::Firing]);
    }
}
