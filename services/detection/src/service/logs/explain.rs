//! One sentence per log alert: what came, what was expected, since when, why it counts.

use std::fmt::Write as _;

use super::channel::{ChannelKind, End, LogRevision, Window};
use super::critical::Phrases;
use super::line::shortened;
use super::template::Template;
use super::{LogModel, MIN_WINDOW_MS};
use crate::alert::format::{after_deployment, duration, quantity, range, time};
use crate::alert::{Report, Revision, Subject, Verdict};
use shared::events::Kind;
use shared::events::anomaly::{Ended, Status};
use shared::events::raw::Level;
use shared::text::format::side;

/// Name and version of the detector, as anomalies carry it.
const DETECTOR: &str = "logs/1";
/// Unit of all that is watched.
const UNIT: &str = "{line}/min";
/// Templates that a sentence names, and bytes that are quoted of each.
const MAX_NAMED: usize = 3;
const QUOTED_BYTES: usize = 120;

/// What a book has to know of its surroundings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogContext<'a> {
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
pub(super) struct CriticalMatch<'a> {
    pub(super) what: &'a str,
    pub(super) line: &'a str,
}

impl LogModel {
    /// Writes a revision down. `said` is the critical line that caused it, if one did.
    pub(super) fn report(
        &self,
        kind: ChannelKind,
        revision: &LogRevision,
        critical: Option<CriticalMatch<'_>>,
        at: &Window,
        context: &LogContext<'_>,
    ) -> Report {
        let explanation = match revision.end {
            Some(end) => ended(kind, revision, end, at, context),
            None => self.goes(kind, revision, critical, at, context),
        };
        let subject =
            Subject { metric: kind.metric().into(), kind: Kind::Logs, unit: UNIT.into(), detector: DETECTOR };
        let due = Revision { alert: revision.alert, is_decision: revision.is_decision };
        let reason = match revision.end {
            Some(End::Accepted) => Ended::NewLevel,
            Some(End::Quiet) | None => Ended::Recovered,
        };
        Report::new(subject, &due, revision.verdict, at.now_ms)
            .ended_by(reason)
            // of the windows to come: while an alert is open they are shorter than the one that began it may have been
            .every(MIN_WINDOW_MS.unsigned_abs())
            .points(self.channels[kind as usize].points(revision, at.now_ms))
            .explained(explanation)
    }

    fn goes(
        &self,
        kind: ChannelKind,
        revision: &LogRevision,
        critical: Option<CriticalMatch<'_>>,
        at: &Window,
        context: &LogContext<'_>,
    ) -> String {
        let service = context.service;
        let since = time(revision.alert.started_ms, at.now_ms);
        let count = quantity(revision.lines as f64, "{line}");
        let mut text = match (kind, critical) {
            (_, Some(CriticalMatch { what, line })) => {
                format!("{service} logs {what:?}: {}", quoted(line))
            }
            (ChannelKind::New, _) => {
                format!("{service} logs new templates, {count} since {since}")
            }
            _ => {
                let Verdict { observed, expected, .. } = revision.verdict;
                let (rate, what) = (quantity(observed, UNIT), what(kind));
                let expectation = match side(observed, &expected, UNIT) {
                    Some(_) => format!("expected {}", range(&expected, UNIT)),
                    None => format!("in total within the usual {}", range(&expected, UNIT)),
                };
                format!("{service} logs {what}: {rate}, {expectation}, since {since} ({count} in total)")
            }
        };
        if critical.is_none() {
            self.name(kind, at, &mut text);
        }
        text.push_str(match (revision.alert.status, kind) {
            (Status::Suspect, ChannelKind::Volume) => "; informational",
            (Status::Suspect, ChannelKind::Critical) => "; logged below WARN, suspect only",
            (Status::Suspect, _) => "; not yet certain",
            _ => "",
        });
        text.push_str(&after_deployment(context.deployed, revision.alert.started_ms));
        text
    }

    /// Names the templates that are furthest from usual.
    fn name(&self, kind: ChannelKind, at: &Window, text: &mut String) {
        let mut grown: Vec<(f64, u32, &Template)> = self
            .templates
            .iter()
            .filter(|template| template.channel() == kind && template.rate.lately() > 0)
            .map(|template| {
                (template.rate.score(at.seconds, kind.bar()).nats, template.rate.lately(), template)
            })
            .collect();
        grown.sort_by(|(a, a_lines, x), (b, b_lines, y)| {
            b.total_cmp(a).then(b_lines.cmp(a_lines)).then(x.id.cmp(&y.id))
        });
        // one that is as usual is named only where none is not
        let unusual = match kind {
            ChannelKind::New => MAX_NAMED,
            _ => grown.iter().filter(|(nats, ..)| *nats > 0.0).count(),
        };
        let left = grown.len().saturating_sub(MAX_NAMED);
        for (place, (_, _, template)) in grown.iter().take(unusual.clamp(1, MAX_NAMED)).enumerate() {
            let usual = 60.0 * template.rate.lines() / template.rate.seconds().max(60.0);
            let _ = write!(
                text,
                "{} {} {} ({} in the last minutes",
                if place == 0 { ":" } else { "," },
                label(template.level),
                quoted(&template.text),
                template.shown(at.now_ms),
            );
            match kind {
                ChannelKind::New => text.push(')'),
                _ => _ = write!(text, ", usually {})", quantity(usual, UNIT)),
            }
        }
        if kind == ChannelKind::New && left > 0 {
            let _ = write!(text, ", and {left} more");
        }
    }
}

fn ended(
    kind: ChannelKind,
    revision: &LogRevision,
    end: End,
    at: &Window,
    context: &LogContext<'_>,
) -> String {
    let service = context.service;
    let since = time(revision.alert.started_ms, at.now_ms);
    let lasted = duration(at.now_ms.saturating_sub(revision.alert.started_ms));
    let (what, count) = (what(kind), quantity(revision.lines as f64, "{line}"));
    let rate = quantity(revision.verdict.observed, UNIT);
    match (end, kind) {
        (End::Quiet, ChannelKind::Critical) => format!(
            "{service} stopped logging critical lines; they began at {since}, {lasted} ago, {count} in total"
        ),
        (End::Quiet, _) => format!(
            "{service} logs {what} at the usual rate again; they began at {since}, {lasted} ago, {count} in total"
        ),
        (End::Accepted, ChannelKind::Critical) => format!(
            "{service} has logged {what} since {since} ({lasted}), {count} in total, which is accepted as its new normal"
        ),
        (End::Accepted, _) => format!(
            "{service} has logged {what} since {since} ({lasted}), now {rate}, which is accepted as its new normal"
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

fn what(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Errors => "warnings and errors",
        ChannelKind::New => "new warnings and errors",
        ChannelKind::Volume => "lines below WARN",
        ChannelKind::Critical => "critical lines",
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text, QUOTED_BYTES))
}
