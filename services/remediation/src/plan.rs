//! The plan: steps from a runbook, or from the evidence where no runbook covers the cause.

use serde_json::json;
use shared::audit::AuditAction;
use shared::events::rca::Verdict;
use shared::events::remediation::{Action, Escalation, Plan, Priority, Step};
use shared::events::{Category, Incident, RootCause};
use shared::ids::{PlanId, derive};
use shared::runbook::{PLACEHOLDER, is_fillable};
use shared::stage::Audit;
use shared::text::format::{between, counted, percent};
use shared::text::markdown;
use shared::text::sanitize::{NAME, SENTENCE, one_line};

use crate::context::PlanContext;
use crate::lookup::Found;
use crate::runbook::{Runbook, mark_manual};
use crate::target::Target;
use crate::triage;

/// Longest instructions of a step, bytes.
const MAX_DETAIL: usize = 2_000;

/// Writes the `revision`-th plan of an incident.
pub fn write(case: PlanContext<'_>, target: &Target<'_>, found: &Found, revision: u32) -> Plan {
    let PlanContext { cause, .. } = case;
    let mut steps = match found {
        Found::Runbook(runbook) => of_runbook(runbook, target, running_version(case, target)),
        Found::None | Found::Unreachable => triage::steps(case, target, found),
    };
    for (order, step) in (1..).zip(&mut steps) {
        step.order = order;
    }
    let id = cause.incident_id.to_string();
    Plan {
        plan_id: PlanId(derive(&["plan", &id, &revision.to_string()])),
        incident_id: cause.incident_id,
        number: cause.number,
        revision,
        environment: cause.environment.clone(),
        service: target.service.to_owned(),
        category: target.category,
        summary: summary(case, target, found, &steps),
        escalation: escalation(case, target, found),
        steps,
        created_at: cause.completed_at,
    }
}

/// Returns whether a plan still answers a later ranking: same service, same kind of cause.
pub fn still_stands(plan: &Plan, target: &Target<'_>) -> bool {
    plan.service == target.service && plan.category == target.category
}

/// Returns the line of the audit trail that says a plan was made.
pub fn proposed(plan: &Plan) -> Audit {
    Audit {
        incident_id: plan.incident_id,
        at: plan.created_at,
        action: AuditAction::PlanProposed,
        summary: format!("Plan {} proposed. {}", plan.revision, plan.summary),
        detail: json!({
            "plan_id": plan.plan_id,
            "revision": plan.revision,
            "service": plan.service,
            "category": plan.category,
            "steps": plan.steps.len(),
        }),
    }
}

/// Returns the line of the audit trail that says a plan was kept.
pub fn unchanged(plan: &Plan, cause: &RootCause) -> Audit {
    Audit {
        incident_id: cause.incident_id,
        at: cause.completed_at,
        action: AuditAction::PlanUnchanged,
        summary: format!(
            "Investigation {} names the same service and kind of cause: plan {} stands.",
            cause.revision, plan.revision
        ),
        detail: json!({ "plan_id": plan.plan_id, "revision": plan.revision, "investigation": cause.revision }),
    }
}

/// The steps of a runbook, most urgent first, within that in the order of the file. After a bad deployment going back
/// comes before all else, wherever the runbook has it.
fn of_runbook(runbook: &Runbook, target: &Target<'_>, running: Option<&str>) -> Vec<Step> {
    let mut steps: Vec<Step> = runbook
        .steps
        .iter()
        .map(|(section, step)| {
            let mut step = step.clone().into_step(0, format!("{}#{section}", runbook.doc_id));
            if goes_back(&step, target) {
                step.priority = Priority::Immediate;
                step.action = from_running_version(step.action, running);
            }
            if !is_fillable(target.service) {
                mark_manual(&mut step);
            }
            step.title = one_line(&step.title, SENTENCE);
            step.detail = markdown::cut(&step.detail, MAX_DETAIL).unwrap_or_default();
            step
        })
        .collect();
    // stable: equal steps keep the order of the file
    steps.sort_by_key(|step| (step.priority, !goes_back(step, target)));
    steps
}

/// Returns the version of the service that the incident's deployment rolled out.
fn running_version<'a>(case: PlanContext<'a>, target: &Target<'_>) -> Option<&'a str> {
    let change = case.incident.deployment.as_ref().filter(|change| change.service == target.service)?;
    Some(&change.version)
}

/// Names the version that a rollback leaves, where a deployment of the service is on record.
fn from_running_version(action: Action, running: Option<&str>) -> Action {
    match action {
        Action::RollbackDeployment { service, to_version, .. } => {
            Action::RollbackDeployment { service, from_version: running.map(str::to_owned), to_version }
        }
        other => other,
    }
}

fn goes_back(step: &Step, target: &Target<'_>) -> bool {
    target.category == Category::Deployment && matches!(step.action, Action::RollbackDeployment { .. })
}

fn summary(case: PlanContext<'_>, target: &Target<'_>, found: &Found, steps: &[Step]) -> String {
    let service = target.name();
    let count = counted(steps.len(), "step");
    let by_hand = format!("{count} by hand, from what was seen, what was ruled out and what is missing");
    let Some(candidate) = target.candidate else {
        return format!(
            "No cause is visible in this telemetry, so no runbook is followed: for {service}, {by_hand}."
        );
    };
    let sure = if case.cause.verdict == Verdict::Cause { "the cause" } else { "the likeliest cause" };
    let category = target.category.words();
    let because = format!("{sure} is {category} (confidence {})", percent(candidate.confidence));
    match found {
        Found::Runbook(runbook) => format!(
            "For {service}, {count} from \"{}\" ({}), because {because}{}.",
            one_line(&runbook.title, NAME),
            one_line(&runbook.doc_id, NAME),
            deployment(case.incident, target)
        ),
        Found::None => {
            format!("For {service}, {by_hand}: {because}, and no runbook that can be read covers it.")
        }
        Found::Unreachable => {
            format!("For {service}, {by_hand}: {because}, but the runbooks could not be read.")
        }
    }
}

fn deployment(incident: &Incident, target: &Target<'_>) -> String {
    let Some(change) = incident.deployment.as_ref().filter(|change| change.service == target.service) else {
        return String::new();
    };
    format!(
        "; version {} went out {} before the first symptom",
        one_line(&change.version, NAME),
        between(change.at, incident.started_at)
    )
}

fn escalation(case: PlanContext<'_>, target: &Target<'_>, found: &Found) -> Escalation {
    let runbook = if let Found::Runbook(runbook) = found { Some(runbook) } else { None };
    let written = runbook.and_then(|runbook| runbook.escalation.as_ref());
    let after_minutes = written.map_or(patience(case.catalogue.tier(target.service)), |w| w.after_minutes);
    let note = written.map_or_else(
        || "Escalate at once when users are affected and nobody knows why.".to_owned(),
        |written| {
            let note = markdown::sentence(&written.note);
            one_line(&format!("Next: {}. {note}", written.to.trim_end_matches('.')), 2 * SENTENCE)
        },
    );
    let note = note.replace(
        PLACEHOLDER,
        &if is_fillable(target.service) { target.name() } else { "the service".into() },
    );
    let keeper =
        || runbook.and_then(|runbook| runbook.owner.clone()).unwrap_or_else(|| "nobody yet".to_owned());
    let (team, contact) = case.catalogue.get(target.service).map_or_else(
        || (keeper(), "not in the service catalogue".to_owned()),
        |service| (service.team.clone(), service.on_call()),
    );
    Escalation { team, contact, after_minutes, note }
}

/// Minutes after which to escalate where no runbook says so, by tier of the service.
fn patience(tier: u8) -> u32 {
    match tier {
        0 | 1 => 10,
        2 => 15,
        3 => 30,
        _ => 60,
    }
}
