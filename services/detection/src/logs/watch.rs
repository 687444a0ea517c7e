//! What is watched in the lines of one service, and the life of its alerts.

use serde::{Deserialize, Serialize};
use shared::events::Severity;
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::raw::Level;

use super::rate::{Bar, Lesson, Rate, Score};
use crate::alert::{Alert, Verdict};
use crate::certainty::{Certainty, EVIDENCE_LIMIT};
use crate::kept::Kept;

/// Quiet windows after which an alert is over.
const QUIET: u32 = 3;
/// Nats above the noise that a surge is worth where it only just passes its bar.
const FIRST: f64 = 2.0;
/// Error lines without which an alert is one of warnings.
const ERRORS: u32 = 5;
/// Loud windows after which errors are certain, and those after which warnings are.
const LASTING: u32 = 2;
const LASTING_WARNINGS: u32 = 4;
/// Shortest time over which a rate is shown, seconds.
const SHORTEST_S: f64 = 10.0;

/// What is watched. A line belongs to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Warnings and errors of known templates.
    Errors,
    /// Warnings and errors of templates that are new to a service whose habits are known.
    New,
    /// All that is below a warning.
    Volume,
    /// What says that something is broken for certain.
    Critical,
}

impl Which {
    pub(super) const ALL: [Self; 4] = [Self::Errors, Self::New, Self::Volume, Self::Critical];

    /// Returns the name of the derived series.
    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::Errors => "logs:errors",
            Self::New => "logs:new_template",
            Self::Volume => "logs:volume",
            Self::Critical => "logs:critical",
        }
    }

    /// Returns what it takes to begin an alert. Twelve nats is what noise does once in 160,000 windows.
    pub(super) fn bar(self) -> Bar {
        match self {
            Self::Errors => Bar { nats: 12.0, lines: 5, clumps: 2.0 },
            Self::Volume => Bar { nats: 12.0, lines: 30, clumps: 2.0 },
            // that they are new speaks already
            Self::New | Self::Critical => Bar { nats: 5.0, lines: 3, clumps: 1.0 },
        }
    }
}

/// One moment of a service's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ms: i64,
    /// Length of the open window, and how much of it has passed, seconds.
    pub(super) seconds: f64,
    pub(super) passed: f64,
    /// Time after which what an alert is about counts as usual, milliseconds.
    pub(super) accept_after_ms: i64,
}

/// Why an alert ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The lines have stopped, or come as usual.
    Quiet,
    /// It has lasted so long that it is usual from now on.
    Accepted,
}

/// A revision that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    pub(super) alert: Alert,
    pub(super) verdict: Verdict,
    pub(super) is_decision: bool,
    pub(super) end: Option<End>,
    /// Lines since the alert began.
    pub(super) lines: u64,
}

/// What has come since an alert began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    /// Windows that were far from usual, and those in a row that were not.
    loud: u32,
    quiet: u32,
    /// Sum of the scores of the loud ones, nats.
    nats: f64,
    lines: u64,
    errors: u32,
}

/// One thing that is watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    pub(super) alert: Option<Box<Alert>>,
    pub(super) total: Rate,
    /// Lines a minute of the windows that are over; nothing before the first line.
    points: Option<Box<Kept>>,
    /// Time of the first line of the open window, milliseconds, and its errors.
    first_ms: i64,
    errors: u32,
    run: Run,
}

impl Watch {
    /// Counts a line.
    pub(super) fn count(&mut self, level: Level, now_ms: i64) {
        if self.total.now == 0 {
            self.first_ms = now_ms;
        }
        self.total.count();
        self.errors = self.errors.saturating_add(u32::from(level >= Level::Error));
    }

    /// Judges the open window after a line.
    pub(super) fn hear(&mut self, which: Which, score: Score, at: &Moment) -> Option<Told> {
        if self.alert.is_none() && !score.is_surge {
            return None;
        }
        let loud = self.run.loud.saturating_add(u32::from(is_loud(which, score)));
        let errors = self.run.errors.saturating_add(self.errors);
        let certainty = if lasts(which, loud, errors) { Certainty::Certain } else { Certainty::Noticed };
        let nats = self.run.nats + score.nats - which.bar().nats + FIRST;
        self.tell(which, certainty, nats, Severity::Sev3, self.per_minute(at.passed), at)
    }

    /// Takes a critical line; `is_certain` where its level says so as well.
    pub(super) fn cry(&mut self, severity: Severity, is_certain: bool, at: &Moment) -> Option<Told> {
        let certainty = if is_certain { Certainty::Certain } else { Certainty::Noticed };
        self.tell(Which::Critical, certainty, EVIDENCE_LIMIT, severity, self.per_minute(at.passed), at)
    }

    /// Ends the open window and as many windows after it in which nothing came. Returns the revision that is due, and
    /// what the rates may learn.
    pub(super) fn close(
        &mut self,
        which: Which,
        score: Score,
        empty: u32,
        at: &Moment,
    ) -> (Option<Told>, Lesson) {
        let observed = self.per_minute(at.seconds);
        if self.total.now > 0 || self.points.is_some() {
            let end_ms = at.now_ms.saturating_sub(((at.passed - at.seconds) * 1000.0) as i64);
            self.points.get_or_insert_with(|| Box::new(Kept::new())).push(end_ms, observed);
        }
        let errors = std::mem::take(&mut self.errors);
        let Some(alert) = self.alert.as_ref() else { return (None, Lesson::Learn) };
        let (has_fired, began_ms) = (alert.status == Status::Firing, alert.started_ms);
        let run = &mut self.run;
        run.lines = run.lines.saturating_add(u64::from(self.total.now));
        run.errors = run.errors.saturating_add(errors);
        let is_loud = if which == Which::Critical { self.total.now > 0 } else { is_loud(which, score) };
        if is_loud {
            run.loud = run.loud.saturating_add(1);
            run.nats += score.nats;
            run.quiet = empty;
        } else {
            run.quiet = run.quiet.saturating_add(1).saturating_add(empty);
        }
        let end = if run.quiet >= QUIET {
            End::Quiet
        } else if at.now_ms.saturating_sub(began_ms) >= at.accept_after_ms {
            End::Accepted
        } else {
            let lasts = lasts(which, run.loud, run.errors);
            let nats = run.nats - which.bar().nats + FIRST;
            let certainty = if lasts { Certainty::Certain } else { Certainty::Noticed };
            let told = (which != Which::Critical && is_loud)
                .then(|| self.tell(which, certainty, nats, Severity::Sev3, observed, at));
            return (told.flatten(), Lesson::Wait);
        };
        let observed = if empty > 0 { 0.0 } else { observed };
        let told = self.tell(which, Certainty::Normal, 0.0, Severity::Sev4, observed, at);
        self.run = Run::default();
        let lesson = match end {
            End::Accepted => Lesson::Adopt,
            End::Quiet if has_fired => Lesson::Forget,
            End::Quiet => Lesson::Learn,
        };
        (told.map(|told| Told { end: Some(end), ..told }), lesson)
    }

    /// Returns what led to the present moment, oldest first, in lines a minute.
    pub(super) fn points(&self, told: &Told, now_ms: i64) -> Vec<Point> {
        let mut points: Vec<Point> = self.points.iter().flat_map(|kept| kept.points()).collect();
        if points.last().is_none_or(|last| last.ts_ms < now_ms) {
            points.push(Point { ts_ms: now_ms, value: told.verdict.observed });
        }
        points
    }

    fn tell(
        &mut self,
        which: Which,
        certainty: Certainty,
        nats: f64,
        severity: Severity,
        observed: f64,
        at: &Moment,
    ) -> Option<Told> {
        let [lower, center, upper] =
            self.total.band(at.seconds, which.bar()).map(|count| count * 60.0 / at.seconds);
        let verdict = Verdict {
            certainty,
            nats: nats.clamp(0.0, certainty.limit()),
            severity,
            direction: Direction::Up,
            observed,
            expected: Band { lower, center, upper },
        };
        let turn = Alert::follow(&mut self.alert, &verdict, self.first_ms)?;
        let open = if certainty == Certainty::Normal { 0 } else { u64::from(self.total.now) };
        let lines = self.run.lines.saturating_add(open);
        Some(Told { alert: turn.alert, verdict, is_decision: turn.is_decision, end: None, lines })
    }

    fn per_minute(&self, seconds: f64) -> f64 {
        f64::from(self.total.now) * 60.0 / seconds.max(SHORTEST_S)
    }
}

/// Tells whether a window is far enough from usual to go on with an alert.
fn is_loud(which: Which, score: Score) -> bool {
    score.nats >= which.bar().nats / 2.0
}

/// Tells whether so many loud windows with so many errors in them make an alert certain.
fn lasts(which: Which, loud: u32, errors: u32) -> bool {
    match which {
        Which::Errors if errors < ERRORS => loud >= LASTING_WARNINGS,
        Which::Errors => loud >= LASTING,
        Which::New => loud >= LASTING && errors >= ERRORS,
        Which::Volume | Which::Critical => false,
    }
}
