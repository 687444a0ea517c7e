//! What is watched in the lines of one service, and the life of its alerts.

use serde::{Deserialize, Serialize};
use shared::events::Severity;
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::raw::Level;

use super::calm::{MOMENT_MS, Pauses};
use super::rate::{Bar, Lesson, Rate, Score};
use crate::alert::certainty::{Certainty, MAX_EVIDENCE_NATS};
use crate::alert::{Alert, Verdict};
use crate::series::buffer::Buffer;

/// Quiet windows after which lines come as usual, however little says so.
const CALM_WINDOWS: u32 = 3;
/// Evidence that lines come as usual again, nats.
const USUAL_NATS: f64 = 4.0;
/// Nats above the noise that a surge is worth where it only just passes its bar.
const FIRST_NATS: f64 = 2.0;
/// Error lines without which an alert is one of warnings.
const MIN_ERROR_LINES: u32 = 5;
/// Loud windows after which errors are certain, and those after which warnings are.
const CONFIRM_WINDOWS: u32 = 2;
const CONFIRM_WARNING_WINDOWS: u32 = 4;
/// Time over which lines of new templates are gathered, seconds: so much to three times as much, however short the windows
/// are that suit what is known.
const GATHERED_S: f64 = 30.0;
/// Shortest time over which a rate is shown, seconds.
const MIN_SHOWN_S: f64 = 10.0;

/// What is watched. A line belongs to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelKind {
    /// Warnings and errors of known templates.
    Errors,
    /// Warnings and errors of templates that are new to a service whose habits are known.
    New,
    /// All that is below a warning.
    Volume,
    /// What says that something is broken for certain.
    Critical,
}

impl ChannelKind {
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
            Self::Errors => Bar { nats: 12.0, lines: 5, overdispersion: 2.0 },
            Self::Volume => Bar { nats: 12.0, lines: 30, overdispersion: 2.0 },
            // that they are new is evidence already
            Self::New | Self::Critical => Bar { nats: 5.0, lines: 3, overdispersion: 1.0 },
        }
    }
}

/// One moment of a service's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
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
pub(super) struct LogRevision {
    pub(super) alert: Alert,
    pub(super) verdict: Verdict,
    pub(super) is_decision: bool,
    pub(super) end: Option<End>,
    /// Lines since the alert began.
    pub(super) lines: u64,
}

/// What is claimed for a revision.
#[derive(Debug, Clone, Copy)]
struct Claim {
    certainty: Certainty,
    nats: f64,
    severity: Severity,
    /// Lines a minute.
    observed: f64,
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
    /// Lines and time of the loud windows, seconds.
    loud_lines: u64,
    loud_seconds: f64,
    /// Log-likelihood ratio of the quiet windows in a row: as usual against as loud as before, nats.
    usual: f64,
}

impl Run {
    /// Adds a loud window of so many seconds, with the empty ones after it.
    fn add_loud(&mut self, nats: f64, lines: u32, empty: u32, seconds: f64) {
        self.loud = self.loud.saturating_add(1);
        self.nats += nats;
        self.quiet = empty;
        self.loud_lines = self.loud_lines.saturating_add(u64::from(lines));
        self.loud_seconds += seconds;
        self.usual = 0.0;
    }
}

/// Lines of the last windows before the open one that are judged together with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Part {
    lines: u32,
    errors: u32,
    seconds: f64,
    /// Time of the first of them, milliseconds; nothing without one.
    first_ms: Option<i64>,
}

impl Part {
    fn add(self, other: Self) -> Self {
        Self {
            lines: self.lines.saturating_add(other.lines),
            errors: self.errors.saturating_add(other.errors),
            seconds: self.seconds + other.seconds,
            first_ms: self.first_ms.or(other.first_ms),
        }
    }
}

/// Such lines in two parts: the newer one becomes the older one when it holds enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gathered {
    older: Part,
    newer: Part,
}

impl Gathered {
    fn all(&self) -> Part {
        self.older.add(self.newer)
    }

    fn take(&mut self, part: Part) {
        if part.seconds >= 2.0 * GATHERED_S {
            // it is judged by itself
            *self = Self::default();
            return;
        }
        self.newer = self.newer.add(part);
        if self.newer.seconds >= GATHERED_S {
            self.older = std::mem::take(&mut self.newer);
        }
    }
}

/// One thing that is watched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Channel {
    pub(super) alert: Option<Box<Alert>>,
    pub(super) total: Rate,
    /// Lines a minute of the windows that are over; nothing before the first line.
    points: Option<Box<Buffer>>,
    /// Time of the first line of the open window, milliseconds, and its errors.
    first_ms: i64,
    errors: u32,
    /// Moments of the open window in which more came than usual; begin and lines of the last moment.
    moments: u32,
    moment_ms: i64,
    moment_lines: u32,
    run: Run,
    pauses: Pauses,
    /// In a section of its own; used for new templates only.
    #[serde(skip)]
    pub(super) gathered: Gathered,
}

impl Channel {
    /// Judges the open window of so many seconds, as if it were over, together with what was gathered before it.
    pub(super) fn score(&self, kind: ChannelKind, seconds: f64) -> Score {
        let Part { lines, seconds: before, .. } = self.gathered.all();
        self.total.score_of(self.total.now.saturating_add(lines), seconds + before, kind.bar())
    }

    /// Counts a line.
    pub(super) fn count(&mut self, level: Level, now_ms: i64) {
        if self.total.now == 0 {
            self.first_ms = now_ms;
        }
        self.total.count();
        self.errors = self.errors.saturating_add(u32::from(level >= Level::Error));
        if now_ms.saturating_sub(self.moment_ms) >= MOMENT_MS {
            (self.moment_ms, self.moment_lines) = (now_ms, 0);
        }
        self.moment_lines = self.moment_lines.saturating_add(1);
        let many = self.total.many(MOMENT_MS as f64 / 1000.0);
        self.moments = self.moments.saturating_add(u32::from(self.moment_lines == many));
    }

    /// Judges the open window after a line.
    pub(super) fn observe(&mut self, kind: ChannelKind, score: Score, at: &Window) -> Option<LogRevision> {
        if self.alert.is_none() && !score.is_surge {
            return None;
        }
        let loud = self.run.loud.saturating_add(u32::from(is_loud(kind, score)));
        let errors = self.run.errors.saturating_add(self.errors).saturating_add(self.gathered.all().errors);
        let certainty = if lasts(kind, loud, errors) { Certainty::Certain } else { Certainty::Noticed };
        let nats = self.run.nats + score.nats - kind.bar().nats + FIRST_NATS;
        let observed = self.per_minute(at.passed);
        self.revise(kind, Claim { certainty, nats, severity: Severity::Sev3, observed }, at)
    }

    /// Takes a critical line, as sure as its level makes it.
    pub(super) fn raise_critical(
        &mut self,
        severity: Severity,
        certainty: Certainty,
        at: &Window,
    ) -> Option<LogRevision> {
        self.pauses.note(at.now_ms);
        let observed = self.per_minute(at.passed);
        let claim = Claim { certainty, nats: MAX_EVIDENCE_NATS, severity, observed };
        self.revise(ChannelKind::Critical, claim, at)
    }

    /// Ends the open window and as many windows after it in which nothing came. Returns the revision that is due, and
    /// what the rates may learn.
    pub(super) fn close(
        &mut self,
        kind: ChannelKind,
        score: Score,
        empty: u32,
        at: &Window,
    ) -> (Option<LogRevision>, Lesson) {
        let observed = self.per_minute(at.seconds);
        let end_ms = at.now_ms.saturating_sub(((at.passed - at.seconds) * 1000.0) as i64);
        if self.total.now > 0 || self.points.is_some() {
            self.points.get_or_insert_with(|| Box::new(Buffer::new())).push(end_ms, observed);
        }
        let (errors, moments) = (std::mem::take(&mut self.errors), std::mem::take(&mut self.moments));
        let Some(alert) = self.alert.as_ref() else {
            if kind == ChannelKind::New {
                let first_ms = (self.total.now > 0).then_some(self.first_ms);
                let seconds = at.seconds * (1.0 + f64::from(empty));
                self.gathered.take(Part { lines: self.total.now, errors, seconds, first_ms });
            }
            return (None, Lesson::Learn);
        };
        let gathered = std::mem::take(&mut self.gathered).all();
        let (has_fired, began_ms) = (alert.status == Status::Firing, alert.started_ms);
        let is_loud = if kind == ChannelKind::Critical { self.total.now > 0 } else { is_loud(kind, score) };
        let lines = self.total.now.saturating_add(gathered.lines);
        self.run.lines = self.run.lines.saturating_add(u64::from(lines));
        self.run.errors = self.run.errors.saturating_add(errors).saturating_add(gathered.errors);
        if is_loud {
            self.run.add_loud(score.nats, lines, empty, at.seconds + gathered.seconds);
            if kind != ChannelKind::Critical {
                let start_ms = end_ms.saturating_sub((at.seconds * 1000.0) as i64);
                self.pauses.note_window(start_ms, end_ms, moments);
            }
        } else {
            self.run.quiet = self.run.quiet.saturating_add(1).saturating_add(empty);
        }
        let is_usual = self.is_usual(kind, is_loud, empty, at.seconds);
        let end = if self.run.quiet > 0 && is_usual && self.pauses.is_over(at.now_ms) {
            End::Quiet
        } else if at.now_ms.saturating_sub(began_ms) >= at.accept_after_ms {
            End::Accepted
        } else {
            let lasts = lasts(kind, self.run.loud, self.run.errors);
            let nats = self.run.nats - kind.bar().nats + FIRST_NATS;
            let certainty = if lasts { Certainty::Certain } else { Certainty::Noticed };
            let claim = Claim { certainty, nats, severity: Severity::Sev3, observed };
            let revision = (kind != ChannelKind::Critical && is_loud).then(|| self.revise(kind, claim, at));
            return (revision.flatten(), Lesson::Wait);
        };
        let observed = if empty > 0 { 0.0 } else { observed };
        let over = Claim { certainty: Certainty::Normal, nats: 0.0, severity: Severity::Sev4, observed };
        let revision = self.revise(kind, over, at);
        self.run = Run::default();
        self.pauses.end();
        let lesson = match end {
            End::Accepted => Lesson::Adopt,
            End::Quiet if has_fired => Lesson::Forget,
            End::Quiet => Lesson::Learn,
        };
        (revision.map(|revision| LogRevision { end: Some(end), ..revision }), lesson)
    }

    /// Returns whether lines come as usual again, after a window of so many seconds and as many empty ones. Critical
    /// lines are over when no other comes; what has a usual rate, when it is back at that rate.
    fn is_usual(&mut self, kind: ChannelKind, is_loud: bool, empty: u32, seconds: f64) -> bool {
        if kind == ChannelKind::Critical {
            return true;
        }
        let (run, total) = (&mut self.run, &self.total);
        let loud = run.loud_lines as f64 / run.loud_seconds.max(1.0);
        let ratio = |lines| total.usual_again(lines, seconds, loud, kind.bar());
        if !is_loud {
            run.usual = (run.usual + ratio(total.now)).max(0.0);
        }
        run.usual += f64::from(empty) * ratio(0);
        // windows that hold what the loud ones held are quiet only because they are short
        let may_be = run.usual > 0.0 || loud * seconds <= total.expected(seconds);
        run.usual >= USUAL_NATS || run.quiet >= CALM_WINDOWS && may_be
    }

    /// Returns what led to the present moment, oldest first, in lines a minute.
    pub(super) fn points(&self, revision: &LogRevision, now_ms: i64) -> Vec<Point> {
        let mut points: Vec<Point> = self.points.iter().flat_map(|kept| kept.points()).collect();
        if points.last().is_none_or(|last| last.ts_ms < now_ms) {
            points.push(Point { ts_ms: now_ms, value: revision.verdict.observed });
        }
        points
    }

    fn revise(&mut self, kind: ChannelKind, claim: Claim, at: &Window) -> Option<LogRevision> {
        let Claim { certainty, nats, severity, observed } = claim;
        let [lower, center, upper] = match kind {
            // what is a habit raises no alert, so none is expected
            ChannelKind::Critical => [0.0; 3],
            _ => self.total.band(at.seconds, kind.bar()).map(|count| count * 60.0 / at.seconds),
        };
        let verdict = Verdict {
            certainty,
            nats: nats.clamp(0.0, certainty.limit()),
            severity,
            direction: Direction::Up,
            observed,
            expected: Band { lower, center, upper },
        };
        let gathered = self.gathered.all();
        let began_ms = gathered.first_ms.unwrap_or(self.first_ms);
        let revision = Alert::follow(&mut self.alert, &verdict, began_ms)?;
        let lines = u64::from(self.total.now) + u64::from(gathered.lines);
        let open = if certainty == Certainty::Normal { 0 } else { lines };
        let lines = self.run.lines.saturating_add(open);
        Some(LogRevision {
            alert: revision.alert,
            verdict,
            is_decision: revision.is_decision,
            end: None,
            lines,
        })
    }

    fn per_minute(&self, seconds: f64) -> f64 {
        let gathered = self.gathered.all();
        let lines = f64::from(self.total.now) + f64::from(gathered.lines);
        lines * 60.0 / (seconds + gathered.seconds).max(MIN_SHOWN_S)
    }
}

/// Returns whether a window is far enough from usual to go on with an alert.
fn is_loud(kind: ChannelKind, score: Score) -> bool {
    score.nats >= kind.bar().nats / 2.0
}

/// Returns whether so many loud windows with so many errors in them make an alert certain.
fn lasts(kind: ChannelKind, loud: u32, errors: u32) -> bool {
    match kind {
        ChannelKind::Errors if errors < MIN_ERROR_LINES => loud >= CONFIRM_WARNING_WINDOWS,
        ChannelKind::Errors => loud >= CONFIRM_WINDOWS,
        ChannelKind::New => loud >= CONFIRM_WINDOWS && errors >= MIN_ERROR_LINES,
        ChannelKind::Volume | ChannelKind::Critical => false,
    }
}
