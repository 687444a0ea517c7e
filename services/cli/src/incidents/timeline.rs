//! The timeline of an incident as a terminal shows it.

use shared::store::Reads;
use shared::store::timeline::{Entry, LONGEST, Outcome, Subject, Timeline, offset, who, words};
use shared::text::format::{clock, moment};

use super::{failed, find, severity_tone, state_tone};
use crate::arguments::IncidentRef;
use crate::failure::CliError;
use crate::settings::Settings;
use crate::terminal::page::Page;
use crate::terminal::{Screen, Tone, clean};

/// Longest name, characters.
const NAME: usize = 100;

/// Reads the timeline of an incident.
pub(crate) async fn read(
    reads: &Reads,
    which: IncidentRef,
    settings: &Settings,
) -> Result<Timeline, CliError> {
    let incident = find(reads, which, settings).await?;
    let history = reads.history(incident.incident_id).await.map_err(|error| failed(settings, &error))?;
    Ok(Timeline::of(&incident, history.entries(incident.opened_at), history.left_out))
}

/// Returns a timeline with every text in it fit for a terminal.
pub fn cleaned(timeline: &Timeline) -> Timeline {
    let entry = |entry: &Entry| Entry {
        actor: clean(&entry.actor, NAME),
        origin: entry.origin.as_ref().map(|origin| clean(origin, NAME)),
        action: clean(&entry.action, NAME),
        what: clean(&entry.what, LONGEST),
        ..entry.clone()
    };
    let of = &timeline.incident;
    let incident =
        Subject { title: clean(&of.title, 1_000), environment: clean(&of.environment, NAME), ..of.clone() };
    Timeline { incident, entries: timeline.entries.iter().map(entry).collect(), ..timeline.clone() }
}

/// Renders a timeline, whose texts are clean.
pub fn render(timeline: &Timeline, screen: &Screen) -> String {
    let of = &timeline.incident;
    let mut page = Page::new(screen);
    page.line(&format!(
        "{}  {}  {}  {}",
        page.strong(&format!("Timeline of incident #{}", of.number)),
        page.paint(severity_tone(of.severity), of.severity.label()),
        page.paint(state_tone(of.state), &of.state.to_string()),
        of.environment,
    ));
    page.text("", &of.title);
    page.faint("", &format!("opened {}; offsets are from then", moment(of.opened_at)));
    if let Some(went) = timeline.went_to() {
        page.text("", &went);
    }
    let mut day = None;
    for entry in &timeline.entries {
        let date = entry.at.strftime("%Y-%m-%d").to_string();
        if day.as_ref() != Some(&date) {
            page.gap();
            page.faint("", &date);
            day = Some(date);
        }
        let tone = if entry.is_of_person() { Tone::Strong } else { Tone::Faint };
        let label = format!("  {}  {}  ", clock(entry.at), page.paint(Tone::Faint, &offset(entry.offset_ms)));
        let text = format!("{}: {}{}", page.paint(tone, &who(entry)), entry.what, result(&page, entry));
        page.hanging(&label, &text);
    }
    if timeline.entries.is_empty() {
        page.text("  ", "nothing is on record");
    }
    if let Some(left_out) = timeline.left_out() {
        page.faint("  ", &left_out);
    }
    page.finish()
}

/// What became of an entry, where its sentence may not say it.
fn result(page: &Page<'_>, entry: &Entry) -> String {
    let (tone, outcome) = match entry.outcome {
        None | Some(Outcome::Accepted | Outcome::Sent) => return String::new(),
        Some(outcome @ (Outcome::Refused | Outcome::Failed)) => (Tone::Alarm, outcome),
        Some(outcome) => (Tone::Warning, outcome),
    };
    format!("  [{}]", page.paint(tone, words(outcome)))
}
