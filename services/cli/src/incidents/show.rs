//! The page of one incident, in the order in which a person on call asks: what and since when, who is to blame, what
//! is seen, what the cause is, what to do, who was told, what happened when.

pub(crate) mod cause;
mod plan;
pub(crate) mod signals;

use std::fmt::Write as _;

use jiff::Timestamp;
use shared::audit::AuditAction;
use shared::ending;
use shared::events::Postmortem;
use shared::events::incident::{Change, Incident, Statement, Suspect};
use shared::impact::{self, Tense};
use shared::store::{NotificationState, TimelineEntry};
use shared::text::format::{clock, number};

use super::{Case, Delivery, lasted, severity_tone, state_tone};
use crate::figures::{ago, counted, duration, moment, percent};
use crate::terminal::page::Page;
use crate::terminal::{Screen, Tone, clean};

/// Entries of a long timeline that are shown at its beginning and at its end.
const TIMELINE_ENDS: usize = 25;

/// Renders the page. Expects a cleaned case.
pub fn render(case: &Case, screen: &Screen) -> String {
    let mut page = Page::new(screen);
    header(&mut page, &case.incident, &case.timeline, screen);
    suspects(&mut page, &case.incident.suspects);
    signals::render(&mut page, &case.signals);
    cause::render(&mut page, case.root_cause.as_ref());
    plan::render(&mut page, case.plan.as_ref());
    postmortem(&mut page, case.postmortem.as_ref());
    notifications(&mut page, &case.notifications);
    timeline(&mut page, &case.timeline);
    page.finish()
}

fn header(page: &mut Page<'_>, incident: &Incident, timeline: &[TimelineEntry], screen: &Screen) {
    page.line(&format!(
        "{}  {}  {}  {}",
        screen.paint(Tone::Strong, &format!("Incident #{}", incident.number)),
        screen.paint(severity_tone(incident.severity), incident.severity.label()),
        screen.paint(state_tone(incident.state), &incident.state.to_string()),
        incident.environment,
    ));
    page.text("", &screen.paint(Tone::Strong, &incident.title));
    page.gap();
    page.field(
        "Started",
        &format!("{}, {}", moment(incident.started_at), ago(screen.now, incident.started_at)),
    );
    let detected = duration(incident.opened_at.duration_since(incident.started_at));
    page.field(
        "Opened",
        &format!("{}, {detected} after the first abnormal sample", moment(incident.opened_at)),
    );
    match incident.resolved_at {
        Some(at) => {
            let how = ending::label(incident.reason());
            page.field("Resolved", &format!("{}, {how}, lasted {}", moment(at), lasted(incident, screen)));
        }
        None => page.field("Resolved", &format!("not yet, {}", lasted(incident, screen))),
    }
    people(page, incident);
    silenced(page, timeline);
    page.field("Affected", &incident.affected_services.join(", "));
    page.field("Blast radius", &blast_radius(incident));
    if let Some(impact) = &incident.impact {
        let tense = if incident.state.is_open() { Tense::Present } else { Tense::Past };
        page.field("Impact", &impact::in_words(impact, tense));
    }
    page.field(
        "Deployment",
        &incident.deployment.as_ref().map_or_else(|| "none nearby".to_owned(), deployment),
    );
    page.field("Id", &format!("{}, revision {}", incident.incident_id, incident.revision));
}

/// Shows what people have said of an incident.
fn people(page: &mut Page<'_>, incident: &Incident) {
    let by = |statement: &Statement| {
        let reason = match statement.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        format!("by {}, {}{reason}", statement.by, moment(statement.at))
    };
    if let Some(statement) = &incident.acknowledged {
        page.field("Acknowledged", &by(statement));
    }
    if let Some(name) = &incident.assignee {
        page.field("Assigned to", name);
    }
    if let Some(set) = &incident.severity_override {
        let computed = set.computed.label();
        page.field("Severity set", &format!("{}; computed: {computed}", by(&set.statement)));
    }
    if let Some(mute) = &incident.mute {
        let until = mute.until.map_or_else(|| "it is over".to_owned(), moment);
        page.field("Muted", &format!("until {until}, {}", by(&mute.statement)));
    }
    if let Some(statement) = &incident.kept_open {
        page.field("Opened again", &by(statement));
    }
    if let Some(statement) = &incident.resolved_by {
        page.field("Resolved by", &by(statement));
    }
}

/// Shows that notifications were hidden, by whom and until when: by the last silence that hid any.
fn silenced(page: &mut Page<'_>, timeline: &[TimelineEntry]) {
    let name = AuditAction::NotificationSilenced.name();
    let hidden: Vec<&TimelineEntry> = timeline.iter().filter(|entry| entry.action == name).collect();
    let Some(last) = hidden.last() else { return };
    let text = |field: &str| clean(last.detail[field].as_str().unwrap_or_default(), 1_000);
    let until = text("until").parse().map_or_else(|_| String::new(), |at| format!(" until {}", moment(at)));
    let count = counted(hidden.len(), "notification");
    page.field("Silenced", &format!("{count} not sent; by {}{until}: {}", text("by"), text("comment")));
}

fn blast_radius(incident: &Incident) -> String {
    let radius = &incident.blast_radius;
    let share = format!("{} of the known services", percent(radius.share));
    match (incident.suspect(), radius.callers.as_slice()) {
        (Some(suspect), []) => format!("{share}; nobody calls {}", suspect.service),
        (Some(suspect), callers) => format!("{share}; {} depend on {}", callers.join(", "), suspect.service),
        (None, _) => share,
    }
}

fn deployment(change: &Change) -> String {
    let mut text =
        format!("{} of {} {} at {}", change.change_type, change.service, change.version, moment(change.at));
    if let Some(person) = &change.deployed_by {
        let _ = write!(text, " by {person}");
    }
    if let Some(sha) = &change.git_sha {
        let _ = write!(text, " ({sha})");
    }
    if let Some(description) = &change.description {
        let _ = write!(text, ": {description}");
    }
    if !change.known_risks.is_empty() {
        let _ = write!(text, " (known risks: {})", change.known_risks.join("; "));
    }
    text
}

fn suspects(page: &mut Page<'_>, suspects: &[Suspect]) {
    page.heading("Suspects", "");
    if suspects.is_empty() {
        page.text("  ", "none stands out");
    }
    for (rank, suspect) in suspects.iter().enumerate() {
        page.line(&format!(
            "  {}. {}, {}  {}, score {}",
            rank + 1,
            page.strong(&suspect.service),
            suspect.category.words(),
            percent(suspect.posterior),
            number(suspect.score),
        ));
        for reason in &suspect.reasons {
            page.item("     ", reason);
        }
    }
}

fn postmortem(page: &mut Page<'_>, postmortem: Option<&Postmortem>) {
    let Some(postmortem) = postmortem else { return };
    page.heading("Postmortem", &counted(postmortem.action_items.len(), "action item"));
    page.text("  ", &postmortem.title);
    for item in &postmortem.action_items {
        page.item("    ", &format!("{} ({}, due {}): {}", item.title, item.owner, item.due, item.reason));
    }
}

fn notifications(page: &mut Page<'_>, notifications: &[Delivery]) {
    page.heading("Notifications", "");
    if notifications.is_empty() {
        page.text("  ", "none yet");
    }
    for Delivery { state, notification } in notifications {
        let tone = match state {
            NotificationState::Pending => Tone::Warning,
            NotificationState::Sent => Tone::Good,
            NotificationState::Failed => Tone::Alarm,
            NotificationState::Silenced | NotificationState::Held | NotificationState::Summarized => {
                Tone::Faint
            }
        };
        let to = notification.recipients.join(", ");
        let place = match state {
            NotificationState::Silenced => format!("not sent to {to}"),
            NotificationState::Held => format!("waits for a summary by {} to {to}", notification.channel),
            NotificationState::Summarized => format!("summarized by {} to {to}", notification.channel),
            _ => format!("{} to {to}", notification.channel),
        };
        page.line(&format!(
            "  {}  {}  {}, {place}",
            clock(notification.created_at),
            page.paint(tone, &format!("{:<7}", state.name())),
            notification.kind,
        ));
        page.faint("                     ", &notification.subject);
    }
}

fn timeline(page: &mut Page<'_>, entries: &[TimelineEntry]) {
    page.heading("Timeline", "");
    if entries.is_empty() {
        page.text("  ", "nothing yet");
    }
    let actors = entries.iter().map(|entry| entry.actor.chars().count()).max().unwrap_or_default().min(20);
    let left_out = entries.len().saturating_sub(2 * TIMELINE_ENDS);
    let mut day = None;
    for (index, entry) in entries.iter().enumerate() {
        if left_out > 0 && (TIMELINE_ENDS..TIMELINE_ENDS + left_out).contains(&index) {
            if index == TIMELINE_ENDS {
                page.faint("  ", &format!("... and {}; --json has them all", counted(left_out, "line")));
            }
            continue;
        }
        let date = date(entry.at);
        if day.as_ref() != Some(&date) {
            page.faint("  ", &date);
            day = Some(date);
        }
        let actor = format!("{:<actors$}", entry.actor);
        page.hanging(&format!("  {}  {}  ", clock(entry.at), actor), &entry.summary);
    }
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
