//! The life cycle of an alert, from the first verdict that something is wrong to the one that it is over, and the report
//! of each revision.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Ended, FailingRequests, Point, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::Certainty;

/// Evidence by which an alert has to grow to be reported again, nats.
const NEWS_NATS: f64 = 1.0;

/// What a detector makes of the present moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// How sure it is that something is wrong. A rule returns `Normal` only once it is over for long enough.
    pub certainty: Certainty,
    /// Evidence, nats.
    pub nats: f64,
    /// How bad, if it is certain.
    pub severity: Severity,
    /// Which way what was observed lies from what was expected.
    pub direction: Direction,
    /// What was seen, in the unit of the subject.
    pub observed: f64,
    /// Where it was expected, in the same unit.
    pub expected: Band,
}

impl Verdict {
    /// Returns the verdict that nothing is wrong any more, with what was seen and where it was expected.
    pub fn over(direction: Direction, observed: f64, expected: Band) -> Self {
        Self {
            certainty: Certainty::Normal,
            nats: 0.0,
            severity: Severity::Sev4,
            direction,
            observed,
            expected,
        }
    }

    /// Returns the verdict that nothing can be said any more, with what was seen at last.
    pub fn not_known(observed: f64) -> Self {
        let expected = Band { lower: observed, center: observed, upper: observed };
        Self::over(Direction::Up, observed, expected)
    }
}

/// One alert.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Event time at which it began, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Where it stands; never back from firing to suspect.
    pub status: Status,
    /// How bad; never falls.
    pub severity: Severity,
    /// Strongest evidence so far, nats.
    pub evidence: f64,
    /// Revisions that were reported.
    pub revision: u32,
    reported: Reported,
}

/// An alert as it was reported last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Reported {
    status: Status,
    severity: Severity,
    evidence: f64,
}

/// A revision that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Revision {
    /// The alert as it stands.
    pub alert: Alert,
    /// Whether it was found for certain with this verdict.
    pub is_decision: bool,
}

impl Alert {
    /// Begins an alert of which nothing was reported yet.
    pub fn begin(started_ms: i64) -> Self {
        let reported = Reported { status: Status::Suspect, severity: Severity::Sev4, evidence: 0.0 };
        let Reported { status, severity, evidence } = reported;
        Self { started_ms, status, severity, evidence, revision: 0, reported }
    }

    /// Returns whether it has changed so much since it was reported last that a revision is due.
    pub fn has_news(&self) -> bool {
        self.revision == 0
            || self.status != self.reported.status
            || self.severity > self.reported.severity
            || self.evidence - self.reported.evidence >= NEWS_NATS
    }

    /// Counts a revision that is reported now.
    pub fn revise(&mut self) {
        self.revision += 1;
        self.reported = Reported { status: self.status, severity: self.severity, evidence: self.evidence };
    }

    /// Takes a verdict: begins an alert, goes on with it or ends it. Returns the revision that is due: where it begins,
    /// where it gets certain, severe or stronger by a nat, and where it ends. `began_ms` is when what is wrong began, if
    /// it begins now.
    pub fn follow(alert: &mut Option<Box<Self>>, verdict: &Verdict, began_ms: i64) -> Option<Revision> {
        if verdict.certainty == Certainty::Normal {
            let mut ended = *alert.take()?;
            ended.status = Status::Cleared;
            ended.revise();
            return Some(Revision { alert: ended, is_decision: false });
        }
        let begun = alert.get_or_insert_with(|| Box::new(Self::begin(began_ms)));
        let had_fired = begun.status == Status::Firing;
        begun.evidence = begun.evidence.max(verdict.nats);
        if verdict.certainty == Certainty::Certain {
            begun.status = Status::Firing;
            begun.severity = begun.severity.max(verdict.severity);
        }
        if !begun.has_news() {
            return None;
        }
        begun.revise();
        Some(Revision { alert: **begun, is_decision: begun.status == Status::Firing && !had_fired })
    }
}

/// What an alert is about, and which detector it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Name of what is watched: the series' own, or one that the detector derives, such as
    /// `disk_used_percent:time_to_full`.
    pub metric: Box<str>,
    /// What it measures.
    pub kind: Kind,
    /// Unit of what was observed.
    pub unit: Box<str>,
    /// Name and version of the detector.
    pub detector: &'static str,
}

/// A revision of an alert that is due, with all that its detector knows; the service adds its name and the context.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What it is about.
    pub subject: Subject,
    /// The alert as it stands.
    pub alert: Alert,
    /// The verdict that caused the revision.
    pub verdict: Verdict,
    /// Event time of that verdict, milliseconds.
    pub at_ms: i64,
    /// What led to it, oldest first, in the unit of what was observed.
    pub points: Vec<Point>,
    /// Usual distance between observations, milliseconds.
    pub interval_ms: u64,
    /// One sentence: what was expected, what was seen, since when, why it counts.
    pub explanation: String,
    /// Whether it was found for certain with this verdict.
    pub is_decision: bool,
    /// Why the alert ended, where it has.
    pub ended: Option<Ended>,
    /// How many times as fast as its objective allows the budget of failures is used up, where that is reported.
    pub burn_rate: Option<f64>,
    /// Requests of the service that fail, where their number is known.
    pub impact: Option<FailingRequests>,
}

impl Report {
    /// Returns the report of a revision, caused by a verdict at an event time (milliseconds), without points or
    /// explanation. An alert that is over has recovered, unless [`Self::ended_by`] says otherwise.
    pub fn new(subject: Subject, revision: &Revision, verdict: Verdict, at_ms: i64) -> Self {
        Self {
            subject,
            alert: revision.alert,
            verdict,
            at_ms,
            points: Vec::new(),
            interval_ms: 0,
            explanation: String::new(),
            is_decision: revision.is_decision,
            ended: (revision.alert.status == Status::Cleared).then_some(Ended::Recovered),
            burn_rate: None,
            impact: None,
        }
    }

    /// States why the alert ended. Nothing changes where it has not.
    #[must_use]
    pub fn ended_by(self, ended: Ended) -> Self {
        Self { ended: self.ended.map(|_| ended), ..self }
    }

    /// Adds the usual distance between observations, milliseconds.
    #[must_use]
    pub fn every(self, interval_ms: u64) -> Self {
        Self { interval_ms, ..self }
    }

    /// Adds what led to it, oldest first.
    #[must_use]
    pub fn points(self, points: Vec<Point>) -> Self {
        Self { points, ..self }
    }

    /// Adds the sentence that explains it.
    #[must_use]
    pub fn explained(self, explanation: String) -> Self {
        Self { explanation, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(certainty: Certainty, nats: f64, severity: Severity) -> Verdict {
        let expected = Band { lower: 0.0, center: 1.0, upper: 2.0 };
        Verdict { certainty, nats, severity, direction: Direction::Up, observed: 9.0, expected }
    }

    #[test]
    fn an_alert_is_reported_when_it_changes_and_only_then() {
        let mut alert = None;
        let mut take = |certainty, nats, severity| {
            let revision = Alert::follow(&mut alert, &verdict(certainty, nats, severity), 1000);
            revision.map(|revision| (revision.alert.revision, revision.alert.status, revision.is_decision))
        };
        let (normal, noticed, certain) = (Certainty::Normal, Certainty::Noticed, Certainty::Certain);
        assert_eq!(take(normal, 0.0, Severity::Sev4), None);
        assert_eq!(take(noticed, 1.0, Severity::Sev4), Some((1, Status::Suspect, false)));
        assert_eq!(take(noticed, 1.5, Severity::Sev4), None);
        assert_eq!(take(certain, 1.5, Severity::Sev3), Some((2, Status::Firing, true)));
        assert_eq!(take(noticed, 1.5, Severity::Sev4), None);
        assert_eq!(take(certain, 3.0, Severity::Sev3), Some((3, Status::Firing, false)));
        assert_eq!(take(certain, 3.0, Severity::Sev2), Some((4, Status::Firing, false)));
        assert_eq!(take(normal, 0.0, Severity::Sev4), Some((5, Status::Cleared, false)));
        assert_eq!(take(normal, 0.0, Severity::Sev4), None);
    }
}
