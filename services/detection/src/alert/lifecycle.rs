//! The life of what a rule finds (a disk that will be full, a certificate that ends, a source that is silent), as
//! opposed to what a series' own normal says: there is no band to leave, only a verdict on each look.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::Certainty;

/// What a rule makes of the present moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// How sure it is that something is wrong. A rule says `Normal` only once it is over for long enough.
    pub certainty: Certainty,
    /// Evidence, nats.
    pub nats: f64,
    /// How bad, if it is certain.
    pub severity: Severity,
    /// Which way what was observed lies from what was expected.
    pub direction: Direction,
    /// What was seen.
    pub observed: f64,
    /// Where it was expected.
    pub expected: Band,
}

/// One alert, from the first verdict that something is wrong to the one that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Event time at which it began, milliseconds.
    pub started_ms: i64,
    /// Where it stands; never back from firing to suspect.
    pub status: Status,
    /// How bad; never falls.
    pub severity: Severity,
    /// Strongest evidence so far, nats.
    pub evidence: f64,
    /// Revisions that were sent.
    pub revision: u32,
    /// Evidence as it was last told.
    pub(crate) told: f64,
}

/// A revision of an alert that is due, with all that its rule knows; the partition adds service and context.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Name of what is watched: the series' own, or one that the rule derives, such as `disk_used_percent:time_to_full`.
    pub metric: Box<str>,
    /// What it measures.
    pub kind: Kind,
    /// Unit of what was observed.
    pub unit: Box<str>,
    /// The alert as it stands.
    pub alert: Alert,
    /// The verdict that caused the revision.
    pub verdict: Verdict,
    /// Event time of that verdict, milliseconds.
    pub at_ms: i64,
    /// What led to it, oldest first, in the unit of what was observed.
    pub points: Vec<Point>,
    /// Usual distance between looks, milliseconds.
    pub interval_ms: u64,
    /// Name and version of the rule.
    pub detector: &'static str,
    /// One sentence: what was expected, what was seen, since when, why it counts.
    pub explanation: String,
    /// Whether it was found for certain with this look.
    pub is_decision: bool,
}

/// A revision that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    /// The alert as it stands.
    pub alert: Alert,
    /// Whether it was found for certain with this look.
    pub is_decision: bool,
}

impl Alert {
    /// Takes a verdict: begins an alert, goes on with it or ends it. Returns the revision that is due: where it begins,
    /// where it gets certain, severe or stronger by a nat, and where it ends. `began_ms` is when what is wrong began, if
    /// it begins now.
    pub fn follow(alert: &mut Option<Box<Self>>, verdict: &Verdict, began_ms: i64) -> Option<Turn> {
        if verdict.certainty == Certainty::Normal {
            let mut ended = *alert.take()?;
            ended.status = Status::Cleared;
            ended.revision += 1;
            return Some(Turn { alert: ended, is_decision: false });
        }
        let begun = alert.get_or_insert_with(|| {
            Box::new(Self {
                started_ms: began_ms,
                status: Status::Suspect,
                severity: Severity::Sev4,
                evidence: 0.0,
                revision: 0,
                told: 0.0,
            })
        });
        let before = **begun;
        begun.evidence = begun.evidence.max(verdict.nats);
        if verdict.certainty == Certainty::Certain {
            begun.status = Status::Firing;
            begun.severity = begun.severity.max(verdict.severity);
        }
        let is_due = before.revision == 0
            || begun.status != before.status
            || begun.severity > before.severity
            || begun.evidence - begun.told >= 1.0;
        if !is_due {
            return None;
        }
        begun.revision += 1;
        begun.told = begun.evidence;
        let is_decision = begun.status == Status::Firing && before.status != Status::Firing;
        Some(Turn { alert: **begun, is_decision })
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
    fn an_alert_is_told_when_it_changes_and_only_then() {
        let mut alert = None;
        let mut take = |certainty, nats, severity| {
            let turn = Alert::follow(&mut alert, &verdict(certainty, nats, severity), 1000);
            turn.map(|turn| (turn.alert.revision, turn.alert.status, turn.is_decision))
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
