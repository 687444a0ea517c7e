//! Sources that fall silent: services that reported regularly and do not any more.
//!
//! What passes between two reports is measured on the partition's own clock
//! ([`PartitionClock`](crate::service::clock::PartitionClock)), so neither how far a source lags nor how it batches matters:
//! its usual and its longest pause say what it may be forgiven. Formulae and constants are in the README.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Ended};
use shared::events::{Kind, Severity};

use crate::alert::certainty::Certainty;
use crate::alert::format::{duration, time};
use crate::alert::{Alert, Detector, Report, Revision, Subject, Verdict};
use crate::config::Settings;
use crate::service::clock::Moment;
use crate::service::inquiry::Sign;

/// Name of what is watched.
const METRIC: &str = "silence";
/// Name and version of the rule.
const DETECTOR: &str = "silence/1";

/// Pauses that must have been seen before a service is judged.
const WARM_UP_PAUSES: u32 = 20;
/// Memory of the usual pause, in pauses.
const MEMORY_PAUSES: f64 = 100.0;
/// What is left of the longest pause after each further one: half of it after 500.
const LONGEST_PAUSE_DECAY: f64 = 0.998_615;
/// What is forgiven: so many usual pauses, and so many times the longest.
const USUAL_PAUSE_FACTOR: f64 = 6.0;
const LONGEST_PAUSE_FACTOR: f64 = 2.0;
/// How much longer than a pause that has come three times the next one may be.
const HABIT_FACTOR: f64 = 1.5;
/// Silence of so many times what is forgiven fires.
const CONFIRM_FACTOR: f64 = 2.0;
/// Reports without a long pause after which the silence is over.
const CALM_REPORTS: u8 = 3;
/// Share of its pauses in which others reported, from which on the samples of others move its clock.
const COMPANY_SHARE: f64 = 0.5;

/// How one service reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportingCadence {
    /// Event time of its newest sample, milliseconds.
    last_ms: i64,
    /// Where the partition's clock stood at its last report.
    last: Moment,
    /// Pauses so far, between reports at different times.
    pauses: u32,
    usual_ms: f64,
    longest_ms: f64,
    /// Share of the pauses in which other services reported.
    company: f64,
    /// Its last three silences that fired and ended.
    silences: [i64; 3],
    /// Reports since it reports again.
    regular: u8,
    /// Event time at which it was retired, milliseconds; nothing while it is in operation.
    retired_ms: Option<i64>,
    alert: Option<Box<Alert>>,
}

impl Default for ReportingCadence {
    fn default() -> Self {
        Self {
            last_ms: i64::MIN,
            last: Moment::default(),
            pauses: 0,
            usual_ms: 0.0,
            longest_ms: 0.0,
            company: 0.0,
            silences: [0; 3],
            regular: 0,
            retired_ms: None,
            alert: None,
        }
    }
}

/// Until when nothing can change as long as a service does not report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// On the clock that all samples move.
    pub passed_ms: i64,
    /// On the clock that only ticks move.
    pub ticked_ms: i64,
}

impl Due {
    /// At no time.
    pub const NEVER: Self = Self { passed_ms: i64::MAX, ticked_ms: i64::MAX };
    /// At once.
    pub const NOW: Self = Self { passed_ms: i64::MIN, ticked_ms: i64::MIN };

    /// Returns the earlier one.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            passed_ms: self.passed_ms.min(other.passed_ms),
            ticked_ms: self.ticked_ms.min(other.ticked_ms),
        }
    }

    /// Returns the later one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            passed_ms: self.passed_ms.max(other.passed_ms),
            ticked_ms: self.ticked_ms.max(other.ticked_ms),
        }
    }

    /// Returns whether it is past.
    pub fn is_past(self, now: Moment) -> bool {
        now.passed_ms > self.passed_ms || now.ticked_ms > self.ticked_ms
    }

    /// Returns how much more time has to pass for it, milliseconds; nothing if it never comes.
    pub fn remaining_ms(self, now: Moment) -> Option<i64> {
        let remaining =
            self.passed_ms.saturating_sub(now.passed_ms).min(self.ticked_ms.saturating_sub(now.ticked_ms));
        (self != Self::NEVER).then_some(remaining)
    }
}

/// What happens to a service, with what else has to be known of that moment.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// What happens.
    pub event: Event<'a>,
    /// Settings.
    pub settings: &'a Settings,
}

/// What can happen to a service.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// It reports a sample.
    Sample {
        /// Event time, milliseconds.
        ts_ms: i64,
        /// Where the clock of the partition stands.
        now: Moment,
    },
    /// Time has passed without a sample of it.
    Time {
        /// Where the clock of the partition stands.
        now: Moment,
    },
    /// It reports in another partition.
    Elsewhere {
        /// Event time of its newest sample there, milliseconds.
        ts_ms: i64,
        /// Number of that partition.
        partition: i32,
    },
    /// It was taken out of operation.
    Retired {
        /// Version that was retired; empty where it is not known.
        version: &'a str,
        /// Event time, milliseconds.
        ts_ms: i64,
    },
}

impl Detector for ReportingCadence {
    type Input<'a> = Observation<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, Observation { service, event, settings }: Observation<'_>) -> Option<Report> {
        match event {
            Event::Sample { ts_ms, now } => self.report_again(service, ts_ms, now, settings),
            Event::Time { now } => self.judge(service, now, settings),
            Event::Elsewhere { ts_ms, partition } => self.leave(service, ts_ms, partition, settings),
            Event::Retired { version, ts_ms } => self.retire(service, version, ts_ms, settings),
        }
    }
}

impl ReportingCadence {
    /// Takes a sample. Returns the report that the silence is over, where it is.
    fn report_again(
        &mut self,
        service: &str,
        ts_ms: i64,
        now: Moment,
        settings: &Settings,
    ) -> Option<Report> {
        if let Some(retired_ms) = self.retired_ms {
            if ts_ms <= retired_ms {
                return None;
            }
            // in operation again: its rhythm is learned anew
            *self = Self::default();
        }
        let is_first = self.last_ms == i64::MIN;
        let before_ms = self.last_ms;
        self.last_ms = self.last_ms.max(ts_ms);
        let pause = now.passed_ms - self.last.passed_ms;
        let others = now.samples > self.last.samples + 1;
        self.last.samples = now.samples;
        // several samples of one moment are one report
        if is_first || pause == 0 {
            if is_first {
                self.last = now;
            }
            return None;
        }
        let forgiven = self.forgiven_ms(settings);
        let ticked = now.ticked_ms - self.last.ticked_ms;
        self.last = now;
        let is_long = pause as f64 > forgiven;
        let has_fired = self.has_fired();
        self.regular = if is_long { 0 } else { self.regular.saturating_add(1) };
        if is_long && has_fired {
            // a silence is no pause; only what has come three times is a habit
            self.silences = [self.silences[1], self.silences[2], pause];
        } else {
            self.learn(pause as f64, others);
        }
        if self.regular < CALM_REPORTS {
            return None;
        }
        let expected = self.expected(forgiven);
        let verdict = Verdict::over(Direction::Up, pause.max(ticked) as f64 / 1000.0, expected);
        let revision = Alert::follow(&mut self.alert, &verdict, before_ms)?;
        let started_ms = revision.alert.started_ms;
        let explanation = format!(
            "{service} reports again, every {}; it stopped reporting at {}, {} ago",
            duration(self.usual_ms as i64),
            time(started_ms, self.last_ms),
            duration(self.last_ms.saturating_sub(started_ms)),
        );
        Some(self.report(revision, verdict, self.last_ms, explanation))
    }

    /// Notes that the service was taken out of operation at `ts_ms`: its silence is planned, until it reports again.
    /// Returns the report that ends an open alert. A service that has reported since is in operation.
    fn retire(&mut self, service: &str, version: &str, ts_ms: i64, settings: &Settings) -> Option<Report> {
        if self.last_ms > ts_ms || self.retired_ms.is_some_and(|retired_ms| retired_ms >= ts_ms) {
            return None;
        }
        let verdict = Verdict::over(Direction::Up, 0.0, self.expected(self.forgiven_ms(settings)));
        let revision = Alert::follow(&mut self.alert, &verdict, self.last_ms);
        let report = revision.map(|revision| {
            let space = if version.is_empty() { "" } else { " " };
            let explanation = format!(
                "{service}{space}{version} was retired at {}; no further reports are expected",
                time(ts_ms, ts_ms)
            );
            self.report(revision, verdict, ts_ms, explanation).ended_by(Ended::Retired)
        });
        *self = Self { retired_ms: Some(ts_ms), ..Self::default() };
        report
    }

    /// Notes that the service reports in another partition: here it is not expected any more, and its rhythm is learned
    /// anew if it comes back. Returns the report that ends an open alert.
    fn leave(&mut self, service: &str, ts_ms: i64, partition: i32, settings: &Settings) -> Option<Report> {
        let verdict = Verdict::over(Direction::Up, 0.0, self.expected(self.forgiven_ms(settings)));
        let revision = Alert::follow(&mut self.alert, &verdict, self.last_ms);
        let report = revision.map(|revision| {
            let explanation = format!(
                "{service} reports in partition {partition} of raw.metrics, last at {}; \
                 it is not expected in its former partition any more",
                time(ts_ms, ts_ms)
            );
            self.report(revision, verdict, ts_ms, explanation)
        });
        *self = Self::default();
        report
    }

    /// Returns what speaks against a silence that another partition measures from `ts_ms` on: a newer sample, or that the
    /// service is not late here. The hosts of one service need not agree on the time.
    pub fn sign_after(&self, ts_ms: i64, now: Moment, settings: &Settings) -> Option<Sign> {
        if let Some(retired_ms) = self.retired_ms.filter(|retired_ms| *retired_ms >= ts_ms) {
            return Some(Sign::Retired(retired_ms));
        }
        let is_late = (now.passed_ms - self.last.passed_ms) as f64 > self.forgiven_ms(settings);
        let reports = self.last_ms > ts_ms || self.last_ms > i64::MIN && !is_late;
        reports.then_some(Sign::Reported(self.last_ms))
    }

    /// Returns the event time of its newest sample, milliseconds.
    pub fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// Returns whether it was taken out of operation at that time, milliseconds, and has not reported since.
    pub(crate) fn is_retired_as_of(&self, ts_ms: i64) -> bool {
        self.retired_ms == Some(ts_ms)
    }

    /// Returns whether an alert of it fires.
    pub(crate) fn has_fired(&self) -> bool {
        self.alert.as_ref().is_some_and(|alert| alert.severity > Severity::Sev4)
    }

    /// Returns whether it has been silent for so long that it is given up.
    pub(crate) fn is_given_up(&self, now: Moment, settings: &Settings) -> bool {
        self.alert.is_some() && self.silent_ms(now) > self.gone_ms(settings)
    }

    /// Judges a service that has not reported. Returns the report that is due, if one is. A service that has been silent
    /// for `gone_after_s` is not expected any more.
    fn judge(&mut self, service: &str, now: Moment, settings: &Settings) -> Option<Report> {
        let silent = self.silent_ms(now);
        let forgiven = self.forgiven_ms(settings);
        if self.pauses < WARM_UP_PAUSES || silent as f64 <= forgiven {
            return None;
        }
        let is_written_off = silent > self.gone_ms(settings);
        let is_lasting = silent as f64 > CONFIRM_FACTOR * forgiven;
        let certainty = match (is_written_off, is_lasting) {
            (true, _) => Certainty::Normal,
            (false, true) => Certainty::Certain,
            (false, false) => Certainty::Noticed,
        };
        let verdict = Verdict {
            certainty,
            nats: if is_written_off { 0.0 } else { certainty.limit() },
            severity: Severity::Sev2,
            direction: Direction::Up,
            observed: silent as f64 / 1000.0,
            expected: self.expected(forgiven),
        };
        let revision = Alert::follow(&mut self.alert, &verdict, self.last_ms);
        let at_ms = self.last_ms.saturating_add(silent);
        let report = revision.map(|revision| {
            let caveat = if certainty == Certainty::Noticed { "; not yet certain" } else { "" };
            let since = format!(
                "{service} stopped reporting at {} ({} ago)",
                time(self.last_ms, at_ms),
                duration(silent)
            );
            let explanation = if is_written_off {
                format!("{service} has not reported for {}", duration(silent))
                    + &format!(", since {}; it is not expected to report any more", time(self.last_ms, at_ms))
            } else {
                format!(
                    "{since}; it usually reports every {}, its longest recent pause was {}{caveat}",
                    duration(self.usual_ms as i64),
                    duration(self.longest_ms as i64),
                )
            };
            let report = self.report(revision, verdict, at_ms, explanation);
            if is_written_off { report.ended_by(Ended::SourceGone) } else { report }
        });
        if is_written_off {
            *self = Self::default();
        }
        report
    }

    /// Returns the event time of its newest sample, milliseconds, if there was one.
    pub(crate) fn newest_ms(&self) -> Option<i64> {
        (self.last_ms > i64::MIN).then_some(self.last_ms)
    }

    /// Returns the usual pause between its reports, milliseconds, once it is known.
    pub fn usual_ms(&self) -> Option<i64> {
        (self.pauses >= WARM_UP_PAUSES).then_some(self.usual_ms.round() as i64).filter(|&usual| usual > 0)
    }

    /// Returns until when `judge` has nothing to say.
    pub fn due(&self, settings: &Settings) -> Due {
        if self.pauses < WARM_UP_PAUSES {
            return Due::NEVER;
        }
        let forgiven = self.forgiven_ms(settings);
        let after = match &self.alert {
            None => forgiven as i64,
            Some(alert) if alert.severity == Severity::Sev4 => (CONFIRM_FACTOR * forgiven) as i64,
            Some(_) => self.gone_ms(settings),
        };
        self.due_after(self.last, after)
    }

    /// Returns when so much time has passed after a moment, milliseconds, on the clock that counts for the service.
    pub(crate) fn due_after(&self, moment: Moment, after_ms: i64) -> Due {
        if self.company >= COMPANY_SHARE {
            Due { passed_ms: moment.passed_ms.saturating_add(after_ms), ..Due::NEVER }
        } else {
            Due { ticked_ms: moment.ticked_ms.saturating_add(after_ms), ..Due::NEVER }
        }
    }

    /// Returns for how long it has been silent. The samples of others do not count for a service that never reports
    /// among them, such as one of several files that are read one after another.
    fn silent_ms(&self, now: Moment) -> i64 {
        if self.company >= COMPANY_SHARE {
            now.passed_ms - self.last.passed_ms
        } else {
            now.ticked_ms - self.last.ticked_ms
        }
    }

    /// Returns the pause that is forgiven, milliseconds.
    fn forgiven_ms(&self, settings: &Settings) -> f64 {
        let habit = self.silences.into_iter().min().unwrap_or_default() as f64;
        (USUAL_PAUSE_FACTOR * self.usual_ms)
            .max(LONGEST_PAUSE_FACTOR * self.longest_ms)
            .max(settings.silence_after_ms() as f64)
            .max(HABIT_FACTOR * habit)
    }

    /// Returns the silence after which it is gone: never before it could have fired.
    fn gone_ms(&self, settings: &Settings) -> i64 {
        settings.gone_after_ms().max((2.0 * CONFIRM_FACTOR * self.forgiven_ms(settings)) as i64)
    }

    fn learn(&mut self, pause: f64, others: bool) {
        self.pauses = self.pauses.saturating_add(1);
        let rate = 1.0 / f64::from(self.pauses).min(MEMORY_PAUSES);
        // one long pause must not be taken for the rhythm
        let limited = if self.pauses > 5 { pause.min(4.0 * self.usual_ms) } else { pause };
        self.usual_ms += rate * (limited - self.usual_ms);
        self.longest_ms = pause.max(LONGEST_PAUSE_DECAY * self.longest_ms);
        self.company += rate * (f64::from(u8::from(others)) - self.company);
    }

    fn expected(&self, forgiven_ms: f64) -> Band {
        Band { lower: 0.0, center: self.usual_ms / 1000.0, upper: forgiven_ms / 1000.0 }
    }

    fn report(&self, revision: Revision, verdict: Verdict, at_ms: i64, explanation: String) -> Report {
        let subject =
            Subject { metric: METRIC.into(), kind: Kind::Silence, unit: "s".into(), detector: DETECTOR };
        Report::new(subject, &revision, verdict, at_ms)
            .every(self.usual_ms.round() as u64)
            .explained(explanation)
    }
}
