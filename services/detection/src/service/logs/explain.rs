//! One sentence per log alert: what came, what was expected, since when, why it counts.

use std::fmt::Write as _;

use super::critical::Phrases;
use super::template::{Template, shortened};
use super::watch::{End, Moment, Told, Which};
use super::{Book, SHORTEST_MS};
use crate::alert::format::{after_deployment, duration, quantity, range, time};
use crate::alert::{Report, Subject, Turn, Verdict};
use shared::events::Kind;
use shared::events::anomaly::Status;
use shared::events::raw::Level;
use shared::figures::side;

/// Name and version of the detector, as anomalies carry it.
const DETECTOR: &str = "logs/1";
/// Unit of all that is watched.
const UNIT: &str = "{line}/min";
/// Templates that a sentence names, and bytes that are quoted of each.
const NAMED: usize = 3;
const QUOTED: usize = 120;

/// What a book has to know of its surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// Service.
    pub(crate) service: &'a str,
    /// Version and time of its last deployment.
    pub(crate) deployed: Option<(&'a str, i64)>,
    /// Time after which what an alert is about counts as usual, milliseconds.
    pub(crate) accept_after_ms: i64,
    /// What is critical.
    pub(crate) phrases: &'a Phrases,
}

/// A critical line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) what: &'a str,
    pub(super) line: &'a str,
}

impl Book {
    /// Writes a revision down. `said` is the critical line that caused it, if one did.
    pub(super) fn report(
        &self,
        which: Which,
        told: &Told,
        said: Option<Said<'_>>,
        at: &Moment,
        scene: &Scene<'_>,
    ) -> Report {
        let explanation = match told.end {
            Some(end) => ended(which, told, end, at, scene),
            None => self.goes(which, told, said, at, scene),
        };
        let subject = Subject {
            metric: which.metric().into(),
            kind: Kind::Logs,
            unit: UNIT.into(),
            detector: DETECTOR,
        };
        let turn = Turn { alert: told.alert, is_decision: told.is_decision };
        Report::new(subject, &turn, told.verdict, at.now_ms)
            // of the windows to come: while an alert is open they are shorter than the one that began it may have been
            .every(SHORTEST_MS.unsigned_abs())
            .points(self.watches[which as usize].points(told, at.now_ms))
            .explained(explanation)
    }

    fn goes(
        &self,
        which: Which,
        told: &Told,
        said: Option<Said<'_>>,
        at: &Moment,
        scene: &Scene<'_>,
    ) -> String {
        let service = scene.service;
        let since = time(told.alert.started_ms, at.now_ms);
        let count = quantity(told.lines as f64, "{line}");
        let mut text = match (which, said) {
            (_, Some(Said { what, line })) => {
                format!("{service} logs {what:?}: {}", quoted(line))
            }
            (Which::New, _) => {
                format!("{service} writes what it has not written before, {count} since {since}")
            }
            _ => {
                let Verdict { observed, expected, .. } = told.verdict;
                let (rate, what) = (quantity(observed, UNIT), what(which));
                let expectation = match side(observed, &expected, UNIT) {
                    Some(_) => format!("expected {}", range(&expected, UNIT)),
                    None => format!("in all no more than the usual {}", range(&expected, UNIT)),
                };
                format!("{service} writes {what}: {rate}, {expectation}, since {since} ({count} in all)")
            }
        };
        if said.is_none() {
            self.name(which, at, &mut text);
        }
        text.push_str(match (told.alert.status, which) {
            (Status::Suspect, Which::Volume) => "; by itself it has no user impact",
            (Status::Suspect, Which::Critical) => "; its level is below a warning",
            (Status::Suspect, _) => "; not yet certain",
            _ => "",
        });
        text.push_str(&after_deployment(scene.deployed, told.alert.started_ms));
        text
    }

    /// Names the templates that are furthest from usual.
    fn name(&self, which: Which, at: &Moment, text: &mut String) {
        let mut grown: Vec<(f64, u32, &Template)> = self
            .templates
            .iter()
            .filter(|template| template.which() == which && template.rate.lately() > 0)
            .map(|template| {
                (template.rate.score(at.seconds, which.bar()).nats, template.rate.lately(), template)
            })
            .collect();
        grown.sort_by(|(a, a_lines, x), (b, b_lines, y)| {
            b.total_cmp(a).then(b_lines.cmp(a_lines)).then(x.id.cmp(&y.id))
        });
        // one that is as usual is named only where none is not
        let unusual = match which {
            Which::New => NAMED,
            _ => grown.iter().filter(|(nats, ..)| *nats > 0.0).count(),
        };
        let left = grown.len().saturating_sub(NAMED);
        for (place, (_, _, template)) in grown.iter().take(unusual.clamp(1, NAMED)).enumerate() {
            let usual = 60.0 * template.rate.lines() / template.rate.seconds().max(60.0);
            let _ = write!(
                text,
                "{} {} {} ({} in the last minutes",
                if place == 0 { ":" } else { "," },
                label(template.level),
                quoted(&template.text),
                template.shown(at.now_ms),
            );
            match which {
                Which::New => text.push(')'),
                _ => _ = write!(text, ", usually {})", quantity(usual, UNIT)),
            }
        }
        if which == Which::New && left > 0 {
            let _ = write!(text, ", and {left} more");
        }
    }
}

fn ended(which: Which, told: &Told, end: End, at: &Moment, scene: &Scene<'_>) -> String {
    let service = scene.service;
    let since = time(told.alert.started_ms, at.now_ms);
    let lasted = duration(at.now_ms.saturating_sub(told.alert.started_ms));
    let (what, count) = (what(which), quantity(told.lines as f64, "{line}"));
    let rate = quantity(told.verdict.observed, UNIT);
    match (end, which) {
        (End::Quiet, Which::Critical) => format!(
            "{service} writes no critical lines any more; they began at {since}, {lasted} ago, and came to {count}"
        ),
        (End::Quiet, _) => format!(
            "{service} writes no more {what} than usual; it began at {since}, {lasted} ago, and came to {count}"
        ),
        (End::Accepted, _) => format!(
            "{service} has written {what} since {since} ({lasted}), now {rate}, which is taken as its normal from now on"
        ),
    }
}

fn label(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warning",
        Level::Error => "error",
        Level::Fatal => "fatal",
    }
}

fn what(which: Which) -> &'static str {
    match which {
        Which::Errors => "warnings and errors",
        Which::New => "new warnings and errors",
        Which::Volume => "lines below a warning",
        Which::Critical => "critical lines",
    }
}

fn quoted(text: &str) -> String {
    let begin = shortened(text, QUOTED);
    let more = if begin.len() < text.len() { "..." } else { "" };
    format!("\"{begin}{more}\"")
}
