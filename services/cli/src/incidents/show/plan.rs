//! The plan: steps by urgency, each with its risk and the way back.

use shared::events::Plan;
use shared::events::remediation::{Risk, Step};

use crate::figures::counted;
use crate::terminal::Tone;
use crate::terminal::page::Page;

pub(super) fn render(page: &mut Page<'_>, plan: Option<&Plan>) {
    let Some(plan) = plan else {
        page.heading("Plan", "");
        page.text("  ", "none yet");
        return;
    };
    page.heading("Plan", &format!("{}, revision {}", counted(plan.steps.len(), "step"), plan.revision));
    page.text("  ", &plan.summary);
    for urgency in plan.steps.chunk_by(|a, b| a.priority == b.priority) {
        page.line(&format!("  {}", page.strong(urgency[0].priority.words())));
        for step in urgency {
            one(page, step);
        }
    }
    let escalation = &plan.escalation;
    page.hanging(
        "  Escalate  ",
        &format!(
            "after {} to {} ({}): {}",
            counted(escalation.after_minutes as usize, "minute"),
            escalation.team,
            escalation.contact,
            escalation.note,
        ),
    );
}

fn one(page: &mut Page<'_>, step: &Step) {
    let tone = match step.risk {
        Risk::Low => Tone::Good,
        Risk::Medium => Tone::Warning,
        Risk::High => Tone::Alarm,
    };
    page.hanging(&format!("  {:>3}. ", step.order), &page.strong(&step.title));
    page.line(&format!(
        "       {}, {}, {}",
        step.action.name(),
        page.paint(tone, &format!("{} risk", step.risk)),
        step.owner,
    ));
    if step.is_from_runbook() {
        page.instructions("       ", &step.detail);
    } else {
        page.faint("       ", &step.detail);
    }
    page.sentence("       expect  ", &step.expected_outcome);
    page.sentence("       undo    ", &step.rollback);
    page.hanging("       source  ", &step.source);
}
