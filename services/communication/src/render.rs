//! From the content of a notification to a mail: HTML, text and picture.

use jiff::Timestamp;
use minijinja::Value;
use minijinja::value::Serde;

use crate::chart::{self, Picture};
use crate::content::{Kind, LifecycleEvent, NotificationContent};
use crate::mail::opened::Opened;
use crate::mail::plan::Plan;
use crate::mail::postmortem::Postmortem;
use crate::mail::resolved::Resolved;
use crate::mail::root_cause::RootCause;
use crate::mail::update::Update;
use crate::mail::{self, Frame};
use crate::templates::Templates;

/// A mail as people see it, before it becomes MIME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// HTML part.
    pub html: String,
    /// Text part: the same facts, at most 72 columns where words allow.
    pub text: String,
    /// Inline picture.
    pub picture: Option<Picture>,
}

/// Renders a mail. `link_base` is where incidents can be seen, or empty; `written_at` is when it is written, by the wall clock.
pub fn render(
    templates: &Templates,
    content: &NotificationContent,
    link_base: &str,
    written_at: Option<Timestamp>,
) -> anyhow::Result<RenderedMail> {
    let picture = match (&content.incident.signal, content.event.kind()) {
        // a plan names the series to watch in words
        (None, _) | (_, Kind::Plan | Kind::PlanReplaced | Kind::Acknowledged) => None,
        (Some(signal), _) => chart::draw(signal)?,
    };
    render_with(templates, content, link_base, written_at, picture)
}

/// Renders a mail as [`render`] does, but without its picture.
pub fn render_without_picture(
    templates: &Templates,
    content: &NotificationContent,
    link_base: &str,
    written_at: Option<Timestamp>,
) -> anyhow::Result<RenderedMail> {
    render_with(templates, content, link_base, written_at, None)
}

fn render_with(
    templates: &Templates,
    content: &NotificationContent,
    link_base: &str,
    written_at: Option<Timestamp>,
    picture: Option<Picture>,
) -> anyhow::Result<RenderedMail> {
    let kind = content.event.kind();
    let (lede, mail) = match &content.event {
        LifecycleEvent::Opened(incident) => {
            (Opened::lede(incident), Value::from(Serde(Opened::new(incident))))
        }
        LifecycleEvent::RootCause(event) => {
            (RootCause::lede(event), Value::from(Serde(RootCause::new(event))))
        }
        LifecycleEvent::Plan(event) => {
            (Plan::lede(event), Value::from(Serde(Plan::new(event, content.incident.signal.as_ref()))))
        }
        LifecycleEvent::Resolved(incident) => {
            (Resolved::lede(incident), Value::from(Serde(Resolved::new(incident))))
        }
        LifecycleEvent::Postmortem(event) => {
            (Postmortem::lede(event), Value::from(Serde(Postmortem::new(event))))
        }
        LifecycleEvent::Update(update) => {
            (Update::lede(update), Value::from(Serde(Update::new(update, &content.incident))))
        }
    };
    let lede = match mail::age(content.event.at(), written_at) {
        Some(age) => format!("{age} {lede}"),
        None => lede,
    };
    let frame = Frame::new(content, lede, link_base, picture.as_ref());
    let html = templates.html(kind, &frame, &mail)?;
    let text = tidy(&templates.text(kind, &frame, &mail)?);
    Ok(RenderedMail { html, text, picture })
}

/// Figures are kept together in HTML, but a text part is read in places that show such blanks as odd characters; and
/// sections that are left out leave no gap.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines() {
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank < 2 {
            tidied.push_str(&line.replace('\u{a0}', " "));
            tidied.push('\n');
        }
    }
    tidied
}
