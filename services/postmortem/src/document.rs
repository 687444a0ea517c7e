//! The document: a record in, a postmortem out. No clock, no model, no guess.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::ending;
use shared::events::anomaly::Ended;
use shared::events::incident::Signal;
use shared::events::postmortem::{ActionItem, Postmortem, Priority};
use shared::events::rca::{Candidate, Claim, Evidence, Method, RootCause, Source, Verdict};
use shared::events::remediation::{self, Step};
use shared::ids::{PostmortemId, derive};
use shared::store::timeline::{Entry, Kind};
use shared::text::format::{between, clock, counted, percent};
use shared::text::sanitize::{NAME, SENTENCE, one_line};

use crate::record::Record;
use crate::timeline::{Timeline, timeline};
use crate::{actions, impact, review};
use shared::text::markup::{items, listed, name, quote, row, text};

/// Longest title, characters.
const MAX_TITLE: usize = 160;
/// Most claims, pieces of evidence, sentences or steps of one list.
const MAX_LIST: usize = 12;
/// Most other candidates.
const MAX_OTHERS: usize = 4;
/// Most names in a sentence.
const MAX_NAMES: usize = 8;

/// Writes the postmortem of an incident that is over.
pub fn write(record: &Record<'_>) -> Postmortem {
    let incident = record.incident;
    let timeline = timeline(record);
    let action_items = actions::items(record);
    let review = review::review(record);
    let markdown = [
        head(record),
        impact::section(record),
        timeline_section(&timeline),
        cause_section(record),
        resolution(record),
        list("What went well", &review.well, "Nothing in the record stands out."),
        list("What did not go well", &review.badly, "Nothing in the record stands out."),
        action_section(&action_items, incident.number),
        list("Lessons", &review.lessons, "None follows from the record alone; the review may find some."),
        foot(record),
    ]
    .join("\n");
    Postmortem {
        postmortem_id: PostmortemId(derive(&["postmortem", &incident.incident_id.to_string()])),
        incident_id: incident.incident_id,
        number: incident.number,
        title: one_line(&incident.title, MAX_TITLE),
        severity: incident.severity,
        environment: incident.environment.clone(),
        markdown,
        timeline: timeline.moments,
        action_items,
        times: record.times(),
        generated_at: record.resolved_at(),
    }
}

fn head(record: &Record<'_>) -> String {
    let incident = record.incident;
    let (from, to) = (incident.started_at, record.resolved_at());
    let mut out =
        format!("# Postmortem of incident #{}: {}\n\n", incident.number, text(&incident.title, MAX_TITLE));
    let _ = writeln!(
        out,
        "{} · {} · {} · written from the record, for review\n",
        incident.severity.label(),
        text(&incident.environment, 80),
        day(to)
    );
    out.push_str("## Summary\n\n");
    let affected = incident.affected_services.iter().map(|service| name(service)).collect();
    let _ = write!(
        out,
        "**{}**, on {} from {} to {} UTC ({}): {} series of {} {} abnormal. ",
        text(&incident.title, MAX_TITLE),
        day(from),
        clock(from),
        until(from, to),
        between(from, to),
        incident.members.len(),
        listed(affected, MAX_NAMES),
        if incident.members.len() == 1 { "was" } else { "were" }
    );
    let _ = writeln!(out, "{} {}", verdict(record), conclusion(record));
    out
}

/// How it ended, in a sentence.
fn conclusion(record: &Record<'_>) -> String {
    let incident = record.incident;
    let reason = incident.reason();
    if reason.is_recovery() {
        let all = incident.signals.iter().all(|signal| signal.end() == Some(Ended::Recovered));
        let which = if all { "All series" } else { "The series that fired" };
        return format!("{which} are back to normal.");
    }
    let why = ending::headline(reason);
    match incident.signals.iter().find(|signal| signal.end() == Some(reason)) {
        Some(signal) => format!("{why}: {}.", text(&ending::sentence(signal), SENTENCE)),
        None => format!("{why}."),
    }
}

/// The cause in a sentence or two, no surer than the record.
fn verdict(record: &Record<'_>) -> String {
    let Some(cause) = record.known_cause() else {
        return match record.cause {
            Some(_) => "The cause is not known.".to_owned(),
            None => "No investigation is on record, so no cause is claimed.".to_owned(),
        };
    };
    let sure = if record.cause.is_some_and(|result| result.verdict == Verdict::Cause) {
        "The cause"
    } else {
        "The likeliest cause"
    };
    let sentence = text(cause.cause.trim_end_matches('.'), SENTENCE);
    format!("{sure} (confidence {}): {sentence}.", percent(cause.confidence))
}

fn timeline_section(timeline: &Timeline) -> String {
    let mut out = String::from("## Timeline\n\n");
    let day_of = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let days: BTreeSet<_> = timeline.moments.iter().map(|moment| day_of(moment.at)).collect();
    out.push_str(&row(["Time (UTC)", "Who or what", "What"]));
    out.push_str("|---|---|---|\n");
    for moment in &timeline.moments {
        // the day is said only where it is not the same for all
        let time = match days.len() {
            1 => clock(moment.at),
            _ => format!("{} {}", day_of(moment.at), clock(moment.at)),
        };
        out.push_str(&row([&time, &text(&moment.actor, 80), &text(&moment.what, SENTENCE)]));
    }
    if timeline.left_out > 0 {
        let lines = counted(timeline.left_out, "line");
        let _ = writeln!(out, "\n{lines} of lesser weight left out; the audit trail has them.");
    }
    out
}

fn cause_section(record: &Record<'_>) -> String {
    let mut out = String::from("## Root cause\n\n");
    let _ = writeln!(out, "{}\n", verdict(record));
    let Some(result) = record.cause else {
        let suspects: Vec<String> = record
            .incident
            .suspects
            .iter()
            .map(|suspect| {
                format!(
                    "{} ({}, {})",
                    name(&suspect.service),
                    suspect.category.words(),
                    percent(suspect.posterior)
                )
            })
            .collect();
        if !suspects.is_empty() {
            let _ = writeln!(out, "Suspects when it was over: {}.", listed(suspects, MAX_NAMES));
        }
        return out;
    };
    let others: &[Candidate] = if let Some(cause) = record.known_cause() {
        let _ = writeln!(
            out,
            "Kind of cause: {}, at {}. It rests on:\n",
            cause.category.words(),
            name(&cause.service)
        );
        out.push_str(&claims(cause));
        out.push_str(&evidence(cause, result));
        result.candidates.get(1..).unwrap_or_default()
    } else {
        &result.candidates
    };
    if !others.is_empty() {
        let what = if record.known_cause().is_some() {
            "Other candidates"
        } else {
            "Leads, none of which may be claimed"
        };
        let line = |other: &Candidate| {
            format!("- {} ({})", text(other.cause.trim_end_matches('.'), SENTENCE), percent(other.confidence))
        };
        let _ = write!(out, "{what}:\n\n{}", items(&others.iter().map(line).collect::<Vec<_>>(), MAX_OTHERS));
    }
    out.push_str(&sentences("Ruled out", &result.ruled_out));
    out.push_str(&sentences("Not visible", &result.missing));
    let _ = writeln!(
        out,
        "Ranked {}; {} of {} found again in {} source.",
        match result.method {
            Method::Deterministic => "by rules over graph, time, change and knowledge",
            Method::Model => "by rules, and explained by a model",
        },
        result.claims_verified,
        counted(result.claims_total as usize, "claim"),
        if result.claims_total == 1 { "its" } else { "their" }
    );
    out
}

fn claims(cause: &Candidate) -> String {
    let line = |claim: &Claim| {
        let ids = claim.evidence.iter().map(|id| text(id, 12)).collect();
        format!("- {} ({})", text(claim.text.trim_end_matches('.'), SENTENCE), listed(ids, MAX_NAMES))
    };
    items(&cause.claims.iter().map(line).collect::<Vec<_>>(), MAX_LIST)
}

/// The evidence that the printed claims cite.
fn evidence(cause: &Candidate, result: &RootCause) -> String {
    let cited: BTreeSet<&String> =
        cause.claims.iter().take(MAX_LIST).flat_map(|claim| &claim.evidence).collect();
    let line = |piece: &Evidence| {
        let place = match &piece.source {
            Source::Samples { service, metric, .. } => {
                format!("samples of {} of {}", name(metric), name(service))
            }
            Source::Log { service, .. } => format!("log of {}", name(service)),
            Source::Deployment { service, version } => {
                format!("deployment {} of {}", name(version), name(service))
            }
            Source::Deployments { service, .. } => format!("deployments of {}", name(service)),
            Source::Edge { caller, callee } | Source::EdgeTimes { caller, callee, .. } => {
                format!("call from {} to {}", name(caller), name(callee))
            }
            Source::Document { doc_id, section } => format!("{}, section {}", name(doc_id), name(section)),
            Source::Query { source, question } => {
                format!("answer of {} about {}", name(source), name(&question.service))
            }
        };
        format!("- **{}** {place}: {}", text(&piece.id, 12), quote(&piece.quote))
    };
    let lines: Vec<String> =
        result.evidence.iter().filter(|piece| cited.contains(&piece.id)).map(line).collect();
    if lines.is_empty() { String::new() } else { format!("Evidence:\n\n{}", items(&lines, 2 * MAX_LIST)) }
}

fn sentences(title: &str, sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let line = |sentence: &String| format!("- {}", text(sentence.trim_end_matches('.'), SENTENCE));
    format!("{title}:\n\n{}", items(&sentences.iter().map(line).collect::<Vec<_>>(), MAX_LIST))
}

/// What is recorded of the end. That a person did something is said only where it is on record.
fn resolution(record: &Record<'_>) -> String {
    let mut out = String::from("## Resolution\n\n");
    let mut cleared: Vec<_> =
        record.incident.signals.iter().filter_map(|signal| Some((signal.cleared_at?, signal))).collect();
    cleared.sort_by(|a, b| (a.0, &a.1.service, &a.1.metric).cmp(&(b.0, &b.1.service, &b.1.metric)));
    let at = clock(record.resolved_at());
    let reason = record.incident.reason();
    let _ = if reason.is_recovery() {
        writeln!(out, "At {at} UTC every series that fired was back to normal, and stayed so.\n")
    } else {
        writeln!(out, "The incident was resolved at {at} UTC. {}.\n", ending::headline(reason))
    };
    let line = |(at, signal): &(Timestamp, &Signal)| match signal.end() {
        Some(Ended::Recovered) | None => {
            format!("- {}: {} of {}", clock(*at), name(&signal.metric), name(&signal.service))
        }
        Some(_) => format!("- {}: {}", clock(*at), text(&ending::sentence(signal), SENTENCE)),
    };
    out.push_str(&items(&cleared.iter().map(line).collect::<Vec<_>>(), MAX_LIST));
    if let Some(plan) = record.plan {
        let _ = writeln!(out, "Plan {} was proposed. {}\n", plan.revision, text(&plan.summary, 2 * SENTENCE));
        let line = |step: &Step| {
            format!("- {} ({}, {} risk)", text(&step.title, MAX_TITLE), due(step.priority), step.risk)
        };
        out.push_str(&items(&plan.steps.iter().map(line).collect::<Vec<_>>(), MAX_LIST));
    }
    let people = record.statements();
    if people.is_empty() {
        out.push_str("What was done, and whether it is what helped, is not on record.\n");
    } else {
        let line = |entry: &Entry| {
            let what = text(entry.what.trim_end_matches('.'), SENTENCE);
            // other sentences name who it was
            match entry.kind {
                Kind::Comment => format!("- {}: {}: {what}", clock(entry.at), text(&entry.actor, NAME)),
                _ => format!("- {}: {what}", clock(entry.at)),
            }
        };
        let _ = write!(
            out,
            "On record by people:\n\n{}",
            items(&people.iter().map(line).collect::<Vec<_>>(), MAX_LIST)
        );
    }
    out.trim_end().to_owned() + "\n"
}

fn due(priority: remediation::Priority) -> &'static str {
    match priority {
        remediation::Priority::Immediate => "at once",
        remediation::Priority::Within15Min => "within 15 minutes",
        remediation::Priority::Within1Hour => "within the hour",
    }
}

fn list(title: &str, sentences: &[String], nothing: &str) -> String {
    let mut out = format!("## {title}\n\n");
    if sentences.is_empty() {
        let _ = writeln!(out, "{nothing}");
    }
    for sentence in sentences {
        let _ = writeln!(out, "- {sentence}");
    }
    out
}

fn action_section(items: &[ActionItem], number: i64) -> String {
    let mut out = String::from("## Action items\n\n");
    out.push_str(&row(["Id", "Priority", "What", "Owner", "Due", "Why"]));
    out.push_str("|---|---|---|---|---|---|\n");
    for item in items {
        let id = item.item_id.map_or_else(String::new, |id| id.name(number));
        let priority = item.priority.map_or("", Priority::name);
        let (title, owner, reason) =
            (text(&item.title, SENTENCE), text(&item.owner, 80), text(&item.reason, SENTENCE));
        out.push_str(&row([&id, priority, &title, &owner, &item.due.to_string(), &reason]));
    }
    out
}

fn foot(record: &Record<'_>) -> String {
    format!(
        "---\n\nIncident {}. This document is blameless: it says what systems and processes did, and every figure in it is \
         on record. What is not on record is not in it.\n",
        record.incident.incident_id
    )
}

fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y").to_string()
}

/// The end of a span: the time alone where it ends on the day it began.
fn until(from: Timestamp, to: Timestamp) -> String {
    if day(from) == day(to) { clock(to) } else { format!("{} on {}", clock(to), day(to)) }
}
