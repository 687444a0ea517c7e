//! One record of evidence as a page.

use shared::clock::from_ms;
use shared::events::Deployment;
use shared::events::anomaly::{Band, LogTemplate};
use shared::events::evidence::{Answer, Call, Content, EdgeFigures, EdgeTimes, Reported};
use shared::text::format::{band_in_words, clock};

use super::{Shown, source_words};
use crate::figures::{counted, moment, quantity};
use crate::incidents::show::signals::{INDENT, draw};
use crate::terminal::page::Page;
use crate::terminal::sparkline::Sparkline;
use crate::terminal::{Screen, Tone};

/// Most samples that are drawn and listed; the last ones.
const SAMPLES: usize = 60;

/// Renders a record, whose texts are clean.
pub fn render(shown: &Shown, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    let record = &shown.record;
    page.line(&page.strong(&source_words(&record.source)));
    page.gap();
    page.field("Incident", &format!("#{}", shown.incident));
    let cited = if shown.pieces.is_empty() { "not cited".to_owned() } else { shown.pieces.join(", ") };
    page.field("Cited as", &cited);
    page.field("Record", &record.id.to_string());
    page.field("Excerpt", &format!("\"{}\"", record.excerpt));
    content(&mut page, &record.content);
    if !shown.claims.is_empty() {
        page.heading("Claims", "that cite it");
        for claim in &shown.claims {
            page.item("  ", &format!("{} [{}]", claim.text, claim.evidence.join(", ")));
        }
    }
    page.finish()
}

fn content(page: &mut Page<'_>, content: &Content) {
    match content {
        Content::Samples { unit, started_at, cleared_at, expected, samples, .. } => {
            let until = cleared_at.map_or_else(String::new, |at| format!(" to {}", moment(at)));
            page.field("Abnormal", &format!("from {}{until}", moment(*started_at)));
            page.field("Expected", &band(expected, unit));
            page.heading("Samples", &counted(samples.len(), "sample"));
            draw(page, &Sparkline::of(samples, *expected, SAMPLES.min(page.columns() - 2 * INDENT.len())));
            for point in &samples[samples.len().saturating_sub(SAMPLES)..] {
                let is_outside = point.value < expected.lower || point.value > expected.upper;
                let value = quantity(point.value, unit);
                let value = if is_outside { page.paint(Tone::Alarm, &value) } else { value };
                page.line(&format!("  {}  {value}", clock(from_ms(point.ts_ms))));
            }
        }
        Content::Value { unit, observed, expected, at } => {
            page.field("Observed", &format!("{} at {}", quantity(*observed, unit), moment(*at)));
            page.field("Expected", &band(expected, unit));
        }
        Content::Logs { templates } => logs(page, templates),
        Content::Deployment(change) => deployment(page, change),
        Content::Deployments { changes } => {
            page.heading("Changes", &counted(changes.len(), "change"));
            for change in changes {
                let at = moment(from_ms(change.ts_ms));
                page.line(&format!("  {at}  {} {}", change.change_type, change.version));
            }
        }
        Content::Edge(figures) => {
            edge(page, figures, "in the 15 minutes before", "no spans; the catalogue names the call");
        }
        Content::EdgeTimes(EdgeTimes { before, since }) => {
            for (title, figures) in [("Before", before), ("Since", since)] {
                page.heading(title, "the first symptom");
                edge(page, figures, "", "none");
            }
        }
        Content::Section { title, text, .. } => {
            page.field("Title", title);
            page.heading("Section", "");
            page.instructions("  ", text);
        }
        Content::Answer(found) => answer(page, found),
    }
}

fn answer(page: &mut Page<'_>, answer: &Answer) {
    match answer {
        Answer::Series { unit, points } => {
            page.heading("Values", &counted(points.len(), "value"));
            for point in &points[points.len().saturating_sub(SAMPLES)..] {
                page.line(&format!("  {}  {}", clock(from_ms(point.ts_ms)), quantity(point.value, unit)));
            }
        }
        Answer::Lines { minutes, example } => {
            let lines: f64 = minutes.iter().map(|minute| minute.value).sum();
            page.heading("Log lines", &counted(lines as usize, "line"));
            for minute in minutes.iter().filter(|minute| minute.value > 0.0) {
                page.line(&format!("  {}  {}", clock(from_ms(minute.ts_ms)), minute.value));
            }
            if let Some(line) = example {
                page.hanging("      example   ", line);
            }
        }
        Answer::Calls { calls } => {
            page.heading("Calls", &counted(calls.len(), "call"));
            for Call { at, name, ms, failed } in calls {
                let failed = if *failed { "  failed" } else { "" };
                page.line(&format!("  {}  {}  {name}{failed}", clock(*at), quantity(*ms, "ms")));
            }
        }
        Answer::Events { events } => {
            page.heading("Events", &counted(events.len(), "event"));
            for Reported { at, reason, object, message, count } in events {
                let times = counted(*count as usize, "time");
                page.line(&format!("  {}  {reason} of {object}, {times}", clock(*at)));
                page.hanging("      message   ", message);
            }
        }
    }
}

fn band(expected: &Band, unit: &str) -> String {
    band_in_words(expected, unit).replace('\u{a0}', " ")
}

fn logs(page: &mut Page<'_>, templates: &[LogTemplate]) {
    page.heading("Log lines", &counted(templates.len(), "template"));
    for log in templates {
        let times = counted(usize::try_from(log.count).unwrap_or(usize::MAX), "line");
        page.line(&format!("  {}  {times}, the last at {}", log.level, clock(log.last_seen)));
        page.hanging("      template  ", &log.template);
        page.hanging("      example   ", &log.example);
    }
}

fn deployment(page: &mut Page<'_>, change: &Deployment) {
    page.field("Rolled out", &moment(from_ms(change.ts_ms)));
    page.field("Change", &change.change_type);
    let optional = [
        ("Commit", change.git_sha.as_ref()),
        ("By", change.deployed_by.as_ref()),
        ("Description", change.description.as_ref()),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            page.field(name, text);
        }
    }
    if !change.known_risks.is_empty() {
        page.field("Known risks", &change.known_risks.join("; "));
    }
}

fn edge(page: &mut Page<'_>, figures: &EdgeFigures, when: &str, none: &str) {
    let Some(calls) = figures.calls else {
        page.field("Calls", none);
        return;
    };
    let calls = counted(usize::try_from(calls).unwrap_or_default(), "call");
    page.field("Calls", format!("{calls} {when}").trim_end());
    let optional = [
        ("Last call", figures.last_seen.map(moment)),
        ("Failed", figures.failed_share.map(|share| quantity(share * 100.0, "%"))),
        ("Latency", figures.latency_mean_ms.map(|mean| format!("{} on average", quantity(mean, "ms")))),
        ("p95", figures.latency_p95_ms.map(|p95| quantity(p95, "ms"))),
        ("Self time", figures.self_mean_ms.map(|mean| format!("{} on average", quantity(mean, "ms")))),
    ];
    for (name, text) in optional {
        if let Some(text) = text {
            page.field(name, &text);
        }
    }
}
