//! Facts and lists of a message, made of what mails show.

use shared::events::Postmortem;
use shared::text::markdown::sentence_text;

use super::List;
use crate::mail::Fact;
use crate::mail::opened::Opened;
use crate::mail::plan::{Plan, Step};
use crate::mail::resolved::Resolved;
use crate::mail::root_cause::{Cause, Claim, RootCause};

/// Most items of a list that has no bound of its own.
const MOST: usize = 10;

pub(crate) fn list(title: &'static str, items: Vec<String>, more: usize) -> List {
    List { title, items, more }
}

/// Returns a sentence of a runbook with a full stop at its end, behind a label; empty where there is none.
fn ended(label: &str, text: &str) -> String {
    match sentence_text(text) {
        text if text.is_empty() => text,
        text if text.ends_with(['.', '!', '?', '…']) => format!(" {label}{text}"),
        text => format!(" {label}{text}."),
    }
}

fn labelled(texts: &[(&str, &str)]) -> String {
    let known = texts.iter().filter(|(_, text)| !text.is_empty());
    known.map(|(label, text)| format!("{label}{text}")).collect::<Vec<_>>().join("; ")
}

pub(crate) fn opened(mail: &Opened) -> Vec<List> {
    let suspects = mail.suspects.iter().map(|suspect| {
        let named = format!("{}: {} ({})", suspect.service, suspect.cause, suspect.confidence);
        match suspect.reasons.join("; ") {
            reasons if reasons.is_empty() => named,
            reasons => format!("{named}: {reasons}"),
        }
    });
    let signals = mail.signals.iter().map(|row| {
        format!(
            "{} {}: {}, {}; {}; since {}",
            row.service, row.metric, row.observed, row.side, row.expectation, row.since
        )
    });
    let logs = mail.logs.iter().map(|log| format!("{} {}: {}", log.level, log.times, log.example));
    let change = mail
        .deployment
        .iter()
        .map(|change| labelled(&[("", &change.what), ("", &change.when), ("", &change.detail)]));
    vec![
        list("Suspects", suspects.collect(), 0),
        list("Recent change", change.collect(), 0),
        list("Signals", signals.collect(), mail.more_signals),
        list("Log lines", logs.collect(), 0),
    ]
}

/// Returns what to do once the result of an investigation is known.
pub(crate) fn of_cause(mail: &RootCause) -> String {
    match mail.causes.first() {
        Some(cause) if !mail.unknown => format!("Look at {} first.", cause.service),
        _ if mail.missing.is_empty() => "The cause is unknown: look at the signals.".to_owned(),
        _ => "The cause is unknown: look at what the telemetry does not show.".to_owned(),
    }
}

pub(crate) fn cause_facts(mail: &RootCause) -> Vec<Fact> {
    vec![Fact::new("Checked", mail.checked.clone())]
}

pub(crate) fn root_cause(mail: &RootCause) -> Vec<List> {
    let causes = mail.causes.iter().map(|cause| {
        format!("{}: {} ({})", cause.service, cause.cause.trim_end_matches('.'), cause.confidence)
    });
    let best = mail.causes.first();
    let documents = |of: fn(&Cause) -> &[crate::mail::root_cause::Document]| -> Vec<String> {
        let found = best.map(of).unwrap_or_default();
        found.iter().map(|document| format!("{} ({})", document.title, document.id)).collect()
    };
    let evidence: Vec<String> = best.iter().flat_map(|cause| cause.claims.iter().map(claim)).collect();
    vec![
        list("Causes", causes.collect(), 0),
        list("Evidence", evidence, 0),
        list("Runbooks", documents(|cause| &cause.runbooks), 0),
        list("Past incidents", documents(|cause| &cause.similar), 0),
        list("Ruled out", mail.ruled_out.clone(), 0),
        list("Missing", mail.missing.clone(), 0),
    ]
}

fn claim(claim: &Claim) -> String {
    let ids: Vec<&str> = claim.quotes.iter().map(|quote| quote.id.as_str()).collect();
    if ids.is_empty() { claim.text.clone() } else { format!("{} [{}]", claim.text, ids.join(", ")) }
}

/// Returns the first step of a plan as a sentence; empty where it has none.
pub(crate) fn first_step(mail: &Plan) -> String {
    let first = mail.groups.first().and_then(|group| group.steps.first());
    first
        .map(|step| format!("Do first: {} ({}).", sentence_text(&step.title).trim_end_matches('.'), by(step)))
        .unwrap_or_default()
}

fn by(step: &Step) -> String {
    let risk = format!("{} risk", step.risk);
    if step.owner.is_empty() { risk } else { format!("{}, {risk}", sentence_text(&step.owner)) }
}

pub(crate) fn plan_facts(mail: &Plan) -> Vec<Fact> {
    let escalation = &mail.escalation;
    let whom = match (escalation.team.as_str(), escalation.contact.as_str()) {
        (team, "") => team.to_owned(),
        ("", contact) => contact.to_owned(),
        (team, contact) => format!("{team} ({contact})"),
    };
    let escalate = match whom.as_str() {
        "" => String::new(),
        whom => format!("{whom} {}.{}", escalation.after, ended("", &escalation.note)),
    };
    vec![Fact::new("Escalate", escalate), Fact::new("Watch", mail.watch.clone())]
}

pub(crate) fn plan(mail: &Plan) -> Vec<List> {
    let last = mail.groups.len();
    let groups = mail.groups.iter().zip(1..).map(|(group, place)| {
        let steps = group.steps.iter().map(|step| {
            let title = sentence_text(&step.title);
            format!(
                "{}. {} ({}).{}{}{}",
                step.order,
                title.trim_end_matches('.'),
                by(step),
                ended("", &step.detail),
                ended("Expected: ", &step.expected),
                ended("Rollback: ", &step.rollback)
            )
        });
        list(group.title, steps.collect(), if place == last { mail.more_steps } else { 0 })
    });
    groups.collect()
}

pub(crate) fn resolved(mail: &Resolved) -> Vec<List> {
    let signals = mail.signals.iter().map(|row| {
        let ended =
            if row.ended.is_empty() { format!("cleared at {}", row.cleared) } else { row.ended.clone() };
        format!(
            "{} {}: worst {}, now {}, expected {}; {ended}",
            row.service, row.metric, row.worst, row.now, row.expected
        )
    });
    vec![list(mail.signals_heading, signals.collect(), mail.more_signals)]
}

pub(crate) fn postmortem(event: &Postmortem) -> Vec<List> {
    let items = &event.action_items;
    let shown = items.iter().take(MOST).map(|item| {
        let [title, owner] =
            [&item.title, &item.owner].map(|text| shared::text::sanitize::one_line(text, 160));
        format!("{title} ({owner}, due {})", item.due)
    });
    vec![list("Action items", shown.collect(), items.len().saturating_sub(MOST))]
}
