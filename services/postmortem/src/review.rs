//! What went well, what did not, and what can be learned: rules over what is on record. Each sentence names its figures;
//! none names a person.

use shared::audit::AuditAction;
use shared::events::rca::Verdict;
use shared::events::remediation::Step;
use shared::events::{Category, Plan};
use shared::store::NotificationState;
use shared::text::format::{between, counted, duration, percent};
use shared::text::sanitize::{NAME, SENTENCE};

use crate::record::Record;
use shared::text::markup::{listed, name, text};

/// Noticed within this many samples: quick.
pub const QUICK_SAMPLES: i64 = 5;
/// Noticed after more than this many samples: slow.
pub const SLOW_SAMPLES: i64 = 10;
/// Ranked within this time of the opening: quick, milliseconds.
const QUICK_CAUSE_MS: i64 = 60_000;
/// Ranked later than this: slow, milliseconds.
const SLOW_CAUSE_MS: i64 = 300_000;
/// Most names in a sentence.
const MAX_NAMES: usize = 6;
/// Most gaps in the telemetry that are listed.
const MAX_MISSING: usize = 5;

/// Sentences in Markdown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// What went well.
    pub well: Vec<String>,
    /// What did not.
    pub badly: Vec<String>,
    /// What can be learned.
    pub lessons: Vec<String>,
}

/// Reviews a record.
pub fn review(record: &Record<'_>) -> Review {
    let mut review = Review::default();
    detection(record, &mut review);
    cause(record, &mut review);
    suspects(record, &mut review);
    plan(record, &mut review);
    reach(record, &mut review);
    rollout(record, &mut review);
    notifications(record, &mut review);
    review.lessons = lessons(record);
    review
}

/// Returns how many samples of the first series it took to notice.
pub fn samples_to_detect(record: &Record<'_>) -> Option<i64> {
    let interval = i64::try_from(record.first_signal()?.interval_ms).ok().filter(|interval| *interval > 0)?;
    // samples are a little early or late
    Some((record.times().to_detect_ms + interval / 2) / interval)
}

/// Returns whether a plan came from no runbook.
pub fn is_by_hand(plan: &Plan) -> bool {
    !plan.steps.iter().any(Step::is_from_runbook)
}

fn detection(record: &Record<'_>, review: &mut Review) {
    let Some(samples) = samples_to_detect(record) else { return };
    let after = duration(record.times().to_detect_ms);
    let within = format!(
        "{after} ({}) after the first abnormal sample",
        counted(samples.unsigned_abs() as usize, "sample")
    );
    if samples <= QUICK_SAMPLES {
        review.well.push(format!("The incident was opened {within}."));
    } else if samples > SLOW_SAMPLES {
        review.badly.push(format!("The incident was opened only {within}."));
    }
}

fn cause(record: &Record<'_>, review: &mut Review) {
    let Some(result) = record.cause else {
        review.badly.push("No investigation was on record when this was written.".to_owned());
        return;
    };
    match (result.verdict, record.known_cause()) {
        (Verdict::Unknown, _) | (_, None) => {
            review.badly.push("The telemetry did not show the cause.".to_owned());
        }
        (Verdict::Likely, Some(cause)) => {
            let confidence = percent(cause.confidence);
            review.badly.push(format!("The cause is likely and not certain: confidence {confidence}."));
        }
        (Verdict::Cause, Some(_)) => {}
    }
    if let Some(ms) = record.times().to_cause_ms {
        if result.completed_at > record.resolved_at() {
            review.badly.push("The cause was ranked only when everything was back already.".to_owned());
        } else if ms <= QUICK_CAUSE_MS {
            let after = duration(ms);
            review.well.push(format!("The cause was ranked on what was known {after} after the opening."));
        } else if ms > SLOW_CAUSE_MS {
            review
                .badly
                .push(format!("The last ranking of the cause came {} after the opening.", duration(ms)));
        }
    }
    let (verified, total) = (result.claims_verified as usize, result.claims_total as usize);
    if total > 0 && verified >= total {
        review.well.push(format!(
            "Everything the investigation claimed ({}) was found again in its source.",
            counted(total, "claim")
        ));
    } else if total > 0 {
        let dropped = total - verified;
        review
            .badly
            .push(format!("Claims not found again in their source, and left out: {dropped} of {total}."));
    }
    for missing in result.missing.iter().take(MAX_MISSING) {
        review.badly.push(format!("Missing telemetry: {}.", text(missing, SENTENCE).trim_end_matches('.')));
    }
}

fn suspects(record: &Record<'_>, review: &mut Review) {
    let changes = record.times_of(AuditAction::SuspectChanged);
    if changes > 0 {
        let often = if changes == 1 { "once".to_owned() } else { format!("{changes} times") };
        review.badly.push(format!("The first suspect changed {often} while the incident was open."));
    } else if let (Some(cause), Some(suspect)) = (record.known_cause(), record.incident.suspects.first())
        && cause.service == suspect.service
    {
        let service = name(&cause.service);
        review.well.push(format!(
            "{service} was the first suspect from the opening on, and the investigation agreed."
        ));
    }
}

fn plan(record: &Record<'_>, review: &mut Review) {
    let Some(plan) = record.plan else {
        review.badly.push("No plan was on record when this was written.".to_owned());
        return;
    };
    let steps = counted(plan.steps.len(), "step");
    if plan.created_at > record.resolved_at() {
        review.badly.push(format!("The plan ({steps}) came when everything was back already."));
    } else if is_by_hand(plan) {
        review.badly.push(format!("No runbook stood behind the plan: its {steps} had to be done by hand."));
    } else {
        let before = between(plan.created_at, record.resolved_at());
        review
            .well
            .push(format!("A plan of {steps} from a runbook was there {before} before everything was back."));
    }
}

fn reach(record: &Record<'_>, review: &mut Review) {
    let service = name(record.service());
    let hurt = record.hurt_callers();
    if !hurt.is_empty() {
        let hurt = listed(hurt.into_iter().map(name).collect(), MAX_NAMES);
        review
            .badly
            .push(format!("The fault did not stay where it began: it reached what calls {service}: {hurt}."));
    } else if !record.incident.blast_radius.callers.is_empty() {
        review.well.push(format!("No service that calls {service} showed the fault."));
    }
}

/// A change that was the cause, as far as it was announced. Whose change it was is nobody's business here.
fn rollout(record: &Record<'_>, review: &mut Review) {
    let Some(change) = &record.incident.deployment else { return };
    if record.known_cause().is_none_or(|cause| cause.category != Category::Deployment) {
        return;
    }
    let (version, service) = (name(&change.version), name(&change.service));
    let before = between(change.at, record.incident.started_at);
    let known = if change.known_risks.is_empty() {
        "it named no risks".to_owned()
    } else {
        let risks = change.known_risks.iter().map(|risk| text(risk, NAME)).collect();
        format!("it named the risks {}", listed(risks, 3))
    };
    review.badly.push(format!(
        "Version {version} of {service} went out {before} before the first symptom, and {known}."
    ));
}

fn notifications(record: &Record<'_>, review: &mut Review) {
    let of = |state: NotificationState| record.told().filter(move |(_, is)| *is == state);
    let (total, failed) = (record.told().count(), of(NotificationState::Failed).count());
    if failed > 0 {
        let kinds =
            of(NotificationState::Failed).map(|(notification, _)| name(notification.kind.name())).collect();
        review.badly.push(format!(
            "{failed} of {} did not reach its readers: {}.",
            counted(total, "notification"),
            listed(kinds, MAX_NAMES)
        ));
    } else if of(NotificationState::Sent).next().is_some() {
        let sent = of(NotificationState::Sent).count();
        review.well.push(format!(
            "{sent} of {} had been delivered when this was written; none was given up.",
            counted(total, "notification")
        ));
    }
    let delayed = record.times_of(AuditAction::MailDelayed);
    if delayed > 0 {
        review.badly.push(format!("{} went out late: the first attempt failed.", counted(delayed, "mail")));
    }
}

fn lessons(record: &Record<'_>) -> Vec<String> {
    let service = record.service();
    let mut lessons = Vec::new();
    let own = record.signals_of(service);
    if let Some(first) = own.first()
        && let Some(next) = own.iter().find(|signal| signal.started_at > first.started_at)
    {
        lessons.push(format!(
            "{} of {} was abnormal {} before {}: it is the earlier sign.",
            name(&first.metric),
            name(service),
            between(first.started_at, next.started_at),
            name(&next.metric)
        ));
    }
    let callers = record.hurt_callers();
    let caller = record
        .incident
        .signals
        .iter()
        .filter(|signal| callers.contains(&signal.service.as_str()))
        .min_by(|a, b| (a.started_at, &a.service).cmp(&(b.started_at, &b.service)));
    if let (Some(first), Some(caller)) = (own.first(), caller)
        && caller.started_at > first.started_at
    {
        let after = between(first.started_at, caller.started_at);
        lessons.push(format!(
            "What happens to {} shows at {} within {after}.",
            name(service),
            name(&caller.service)
        ));
    }
    if let Some(past) = record.known_cause().and_then(|cause| cause.similar_incidents.first()) {
        lessons.push(format!(
            "The nearest past incident is {} ({}): what was decided then may hold again.",
            name(&past.doc_id),
            text(past.title.trim_end_matches('.'), 160)
        ));
    }
    if record.cause.is_some() && record.known_cause().is_none() {
        lessons.push(
            "What was recorded does not tell this cause from others: the gap is in what is watched."
                .to_owned(),
        );
    }
    lessons
}
