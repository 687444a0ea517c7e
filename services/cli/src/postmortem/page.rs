//! A postmortem as a terminal shows it.

use shared::store::action_items::Item;
use shared::store::postmortems::{Origin, Standing};
use shared::text::format::moment;
use shared::text::markdown::{CodeSpans, Layout, to_text};

use super::show::Shown;
use crate::actions::state_tone;
use crate::incidents::severity_tone;
use crate::terminal::page::Page;
use crate::terminal::{Screen, Tone, clean, clean_lines};

/// Longest name, characters.
const NAME: usize = 100;

/// Returns where a postmortem stands, in words.
fn standing(shown: &Shown) -> String {
    match &shown.standing {
        Standing::Draft => "draft, not approved yet".to_owned(),
        Standing::Approved { by, at } => format!("approved by {}, {}", clean(by, NAME), moment(*at)),
        Standing::Withdrawn { by, at } => format!("withdrawn by {}, {}", clean(by, NAME), moment(*at)),
    }
}

/// Returns which revision is shown and where it comes from.
pub fn revision(shown: &Shown) -> String {
    let (this, count) = (&shown.revision, shown.revisions.len());
    let origin = match &this.origin {
        Origin::Record => "written from the record".to_owned(),
        Origin::Person { by, note } if note.is_empty() => format!("by {}", clean(by, NAME)),
        Origin::Person { by, note } => format!("by {} ({})", clean(by, NAME), clean(note, 400)),
    };
    format!("{} of {count}, {origin}, {}", this.revision, moment(this.at))
}

/// Renders a postmortem. Its texts need not be clean.
pub fn render(shown: &Shown, screen: &Screen) -> String {
    let of = &shown.incident;
    let mut page = Page::new(screen);
    let tone = match shown.standing {
        Standing::Approved { .. } => Tone::Good,
        Standing::Draft | Standing::Withdrawn { .. } => Tone::Warning,
    };
    page.line(&format!(
        "{}  {}  {}",
        page.strong(&format!("Postmortem of incident #{}", of.number)),
        page.paint(severity_tone(of.severity), of.severity.label()),
        clean(&of.environment, NAME),
    ));
    page.field("State", &page.paint(tone, &standing(shown)));
    page.field("Revision", &revision(shown));
    if shown.is_outdated() {
        page.field("", "a later revision exists; without --revision it is shown");
    }
    page.gap();
    let layout = Layout { columns: screen.columns(), indent: 0, spans: CodeSpans::Marked };
    page.line(&clean_lines(&to_text(&shown.markdown, layout)));
    page.heading("Action items as they stand", "");
    for item in &shown.action_items {
        action_item(&mut page, item);
    }
    if shown.action_items.is_empty() {
        page.text("  ", "none are tracked");
    }
    page.finish()
}

fn action_item(page: &mut Page<'_>, item: &Item) {
    let standing = page.paint(state_tone(item), &format!("{:<10}", item.standing()));
    let label = format!("  {}  {standing}  {:<6}  ", page.strong(&item.name), item.priority);
    let (title, owner) = (clean(&item.title, 1_000), clean(&item.owner, NAME));
    page.hanging(&label, &format!("{title} ({owner}, due {})", item.due));
    if let Some(change) = &item.changed {
        let note =
            if change.note.is_empty() { String::new() } else { format!(": {}", clean(&change.note, 1_000)) };
        page.faint("      ", &format!("{}, {}{note}", clean(&change.by, NAME), moment(change.at)));
    }
}
