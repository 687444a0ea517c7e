//! A plan without a runbook: honest steps for a person, from the evidence. Nothing in it claims a cause.

use shared::events::incident::Signal;
use shared::events::rca::Candidate;
use shared::events::remediation::{Action, Priority, Risk, Step};
use shared::finding::Finding;
use shared::text::format::{between, clock, percent};
use shared::text::sanitize::{NAME, SENTENCE, one_line};

use crate::context::PlanContext;
use crate::lookup::Found;
use crate::target::Target;

/// Most facts of one step.
const MAX_FACTS: usize = 6;
/// Undoes what changes nothing.
const NOTHING: &str = "none needed: nothing is changed";

/// Writes the steps; there are always some.
pub(crate) fn steps(case: PlanContext<'_>, target: &Target<'_>, found: &Found) -> Vec<Step> {
    [
        Some(look(case, target)),
        change(case, target),
        leads(case),
        reference(target, found),
        missing(case, target),
        ruled_out(case),
        callers(case, target),
        Some(write_down(target)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A step that changes nothing. Its source names the kind of evidence behind it, as no runbook is.
fn manual(priority: Priority, owner: String, source: &str, [title, detail, expected]: [String; 3]) -> Step {
    Step {
        order: 0,
        priority,
        action: Action::Manual,
        title,
        detail,
        risk: Risk::Low,
        rollback: NOTHING.to_owned(),
        owner,
        expected_outcome: expected,
        source: format!("triage#{source}"),
    }
}

fn oncall(target: &Target<'_>) -> String {
    format!("on-call of {}", target.name())
}

/// Joins at most [`MAX_FACTS`] facts into one line.
fn listed(facts: impl ExactSizeIterator<Item = String>) -> String {
    let left_out = facts.len().saturating_sub(MAX_FACTS);
    let mut facts: Vec<String> = facts
        .take(MAX_FACTS)
        .map(|fact| one_line(&fact, SENTENCE).trim_end_matches('.').to_owned())
        .collect();
    if left_out > 0 {
        facts.push(format!("and {left_out} more"));
    }
    facts.join("; ") + "."
}

fn look(case: PlanContext<'_>, target: &Target<'_>) -> Step {
    let mut signals: Vec<&Signal> = case.incident.signals.iter().collect();
    // its own first, the strongest of each first
    signals.sort_by_key(|signal| signal.service != target.service);
    let seen = if signals.is_empty() {
        "No series is on record with the incident.".to_owned()
    } else {
        listed(signals.into_iter().map(seen))
    };
    manual(
        Priority::Immediate,
        oncall(target),
        "signals",
        [
            format!("Look at what is abnormal on {}", target.name()),
            seen,
            "it is clear whether users are affected and whether it grows".to_owned(),
        ],
    )
}

fn seen(signal: &Signal) -> String {
    format!("{}, since {} UTC", Finding::from(signal).sentence(), clock(signal.started_at))
}

fn change(case: PlanContext<'_>, target: &Target<'_>) -> Option<Step> {
    let change = case.incident.deployment.as_ref()?;
    let (service, version) = (one_line(&change.service, NAME), one_line(&change.version, NAME));
    Some(manual(
        Priority::Immediate,
        oncall(target),
        "deployment",
        [
            format!("Decide whether {service} goes back to the version before {version}"),
            format!(
                "{version} of {service} went out {} before the first symptom. Compare its instances with those of the \
                 version before; if only the new ones fail, go back.",
                between(change.at, case.incident.started_at)
            ),
            "the change is confirmed as the trigger, or ruled out".to_owned(),
        ],
    ))
}

fn leads(case: PlanContext<'_>) -> Option<Step> {
    let candidates = &case.cause.candidates;
    let first = candidates.first()?;
    let lead = |candidate: &Candidate| {
        format!("{} ({})", candidate.cause.trim_end_matches('.'), percent(candidate.confidence))
    };
    Some(manual(
        Priority::Within15Min,
        format!("on-call of {}", one_line(&first.service, NAME)),
        "candidates",
        [
            "Check the leads, the strongest first".to_owned(),
            listed(candidates.iter().map(lead)),
            "each lead is confirmed or ruled out by something that was measured".to_owned(),
        ],
    ))
}

fn reference(target: &Target<'_>, found: &Found) -> Option<Step> {
    let reference = target.candidate?.runbooks.first()?;
    let (doc_id, title) = (one_line(&reference.doc_id, NAME), one_line(&reference.title, NAME));
    let advice = if *found == Found::Unreachable {
        "The index of runbooks did not answer, so none of its steps stand here.".to_owned()
    } else {
        let category = target.category.words();
        format!(
            "It was not written for {category}; take from it what to look at, and none of its actions unchecked."
        )
    };
    Some(manual(
        Priority::Within15Min,
        oncall(target),
        "runbooks",
        [
            format!("Read \"{title}\" ({doc_id}), the runbook that is nearest"),
            advice,
            "it is decided whether any of it applies".to_owned(),
        ],
    ))
}

fn missing(case: PlanContext<'_>, target: &Target<'_>) -> Option<Step> {
    if case.cause.missing.is_empty() {
        return None;
    }
    Some(manual(
        Priority::Within15Min,
        oncall(target),
        "missing",
        [
            "Look by hand where no telemetry looks".to_owned(),
            listed(case.cause.missing.iter().cloned()),
            "what the telemetry does not show is known or excluded".to_owned(),
        ],
    ))
}

fn ruled_out(case: PlanContext<'_>) -> Option<Step> {
    if case.cause.ruled_out.is_empty() {
        return None;
    }
    Some(manual(
        Priority::Within15Min,
        "whoever leads the incident".to_owned(),
        "ruled-out",
        [
            "Spend no time on what is ruled out, unless it has changed since".to_owned(),
            listed(case.cause.ruled_out.iter().cloned()),
            "nobody looks at the same thing twice".to_owned(),
        ],
    ))
}

fn callers(case: PlanContext<'_>, target: &Target<'_>) -> Option<Step> {
    let callers = &case.incident.blast_radius.callers;
    if callers.is_empty() {
        return None;
    }
    Some(manual(
        Priority::Within15Min,
        "whoever leads the incident".to_owned(),
        "callers",
        [
            format!("Tell the owners of what calls {}", target.name()),
            listed(callers.iter().map(|caller| contact(case, caller))),
            "they know what their users see, and whether they can do without it for now".to_owned(),
        ],
    ))
}

fn contact(case: PlanContext<'_>, caller: &str) -> String {
    let name = one_line(caller, NAME);
    match case.catalogue.get(caller) {
        Some(service) => format!("{name} ({}, {})", service.team, service.on_call()),
        None => name,
    }
}

fn write_down(target: &Target<'_>) -> Step {
    manual(
        Priority::Within1Hour,
        format!("team of {}", target.name()),
        "follow-up",
        [
            "Write down what it was, and the runbook that was missing".to_owned(),
            "What was seen first, what proved the cause, what ended it. The next incident of this kind then has a \
             plan."
                .to_owned(),
            "a runbook covers this kind of cause".to_owned(),
        ],
    )
}
