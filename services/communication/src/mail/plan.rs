//! A remediation plan: steps by urgency, each with risk, owner, rollback and expected outcome.

use serde::Serialize;
use shared::events::Plan as Event;
use shared::events::incident::Signal;
use shared::events::remediation::{Action, Priority, Risk, Step as Typed};
use shared::text::markdown::{CodeSpans, Layout, Line};
use shared::text::{format, markdown, sanitize};

use super::{name, sentence};
use crate::markdown::{paragraph, to_html, without_list_markers};
use crate::text::{self, COLUMNS};

const MOST_STEPS: usize = 12;
/// Longest text of a step, bytes.
const MAX_DETAIL: usize = 4_000;
/// Longest text of a step in one sentence, characters.
const MAX_SENTENCE: usize = 1_200;
/// Blanks before the text of a step.
const INDENT: usize = 4;

/// A plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Steps by urgency; no group is empty.
    pub groups: Vec<Group>,
    /// Steps that are not shown.
    pub more_steps: usize,
    /// Whom to escalate to.
    pub escalation: Escalation,
    /// The series that must return to its band; empty if there is none.
    pub watch: String,
}

/// Steps of one urgency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// E.g. `Immediately`.
    pub title: &'static str,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Counts through the plan from 1.
    pub order: u32,
    /// What.
    pub title: String,
    /// How, in one sentence.
    pub detail: String,
    /// How, as plain text; code begins in the first column.
    pub detail_text: String,
    /// How, as HTML. Every text in it is escaped.
    pub detail_html: String,
    /// Typed action, e.g. `clear_connections`; empty where a person does it.
    pub action: &'static str,
    /// `low`, `medium` or `high`.
    pub risk: &'static str,
    /// Colour of the risk.
    pub risk_colour: &'static str,
    /// Who does it.
    pub owner: String,
    /// How to undo it.
    pub rollback: String,
    /// Expected outcome.
    pub expected: String,
    /// Runbook section behind it.
    pub source: String,
}

/// Whom to escalate to when the plan does not help.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Escalation {
    /// When, e.g. `after 15 min`.
    pub after: String,
    /// Team.
    pub team: String,
    /// How to reach it.
    pub contact: String,
    /// One sentence.
    pub note: String,
}

impl Plan {
    /// Builds the mail of a plan; `signal` is the series to watch.
    pub fn new(event: &Event, signal: Option<&Signal>) -> Self {
        let shown = &event.steps[..event.steps.len().min(MOST_STEPS)];
        let groups = [Priority::Immediate, Priority::Within15Min, Priority::Within1Hour]
            .map(|priority| Group {
                title: priority.words(),
                steps: shown.iter().filter(|step| step.priority == priority).map(Step::new).collect(),
            })
            .into_iter()
            .filter(|group| !group.steps.is_empty())
            .collect();
        Self {
            groups,
            more_steps: event.steps.len() - shown.len(),
            escalation: Escalation {
                after: format!(
                    "after {}",
                    format::duration(i64::from(event.escalation.after_minutes) * 60_000)
                ),
                team: name(&event.escalation.team),
                contact: name(&event.escalation.contact),
                note: sentence(&event.escalation.note),
            },
            watch: signal.map(watch).unwrap_or_default(),
        }
    }

    /// Returns the summary in one sentence.
    pub fn lede(event: &Event) -> String {
        sentence(&event.summary)
    }
}

impl Step {
    fn new(step: &Typed) -> Self {
        let (risk, risk_colour) = match step.risk {
            Risk::Low => ("low", "#1b7f4b"),
            Risk::Medium => ("medium", "#856404"),
            Risk::High => ("high", "#b3261e"),
        };
        let (detail, detail_text, detail_html) = detail(step);
        Self {
            order: step.order,
            title: sanitize::one_line(&step.title, 160),
            detail,
            detail_text,
            detail_html,
            action: if step.action == Action::Manual { "" } else { step.action.name() },
            risk,
            risk_colour,
            owner: sanitize::one_line(&step.owner, 120),
            rollback: sentence(&step.rollback),
            expected: sentence(&step.expected_outcome),
            source: sanitize::one_line(&step.source, 160),
        }
    }
}

/// Returns how a step is done: as a sentence, as plain text and as HTML.
fn detail(step: &Typed) -> (String, String, String) {
    if step.is_from_runbook()
        && let Ok(detail) = markdown::cut(&sanitize::lines(&step.detail), MAX_DETAIL)
    {
        let sentence = sanitize::one_line(&markdown::sentence(&detail), MAX_SENTENCE);
        let layout = Layout { columns: COLUMNS, indent: INDENT, spans: CodeSpans::Bare };
        let mut text = markdown::to_text(&detail, layout);
        if matches!(markdown::to_lines(&detail, layout).last(), Some(Line::Code(_))) {
            // the facts of the step stand apart from code
            text.push('\n');
        }
        return (sentence, text, to_html(&detail));
    }
    let sentence = sanitize::one_line(&without_list_markers(&step.detail), MAX_SENTENCE);
    let kept = markdown::sentence_kept(&sentence, CodeSpans::Bare);
    let text = text::wrap(&" ".repeat(INDENT), &kept);
    let html = paragraph(&sentence);
    (sentence, text, html)
}

fn watch(signal: &Signal) -> String {
    format!(
        "{} {}: expected {}, was {} at {}",
        name(&signal.service),
        name(&signal.metric),
        format::band(&signal.expected, &signal.unit),
        format::figure(signal.observed, &signal.unit),
        format::clock(signal.observed_at)
    )
}
