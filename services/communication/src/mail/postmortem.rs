//! The postmortem: the document itself.

use serde::Serialize;
use shared::events::Postmortem as Event;
use shared::text::format;
use shared::text::markdown::{CodeSpans, Layout, to_text};

use super::Fact;
use crate::markdown::to_html;
use crate::text::{self, COLUMNS};

/// Returns a document without its title, which the mail has already.
fn untitled(markdown: &str) -> &str {
    match markdown.split_once('\n') {
        Some((first, rest)) if first.starts_with("# ") => rest,
        _ => markdown,
    }
}

/// Most lines of a document in a mail.
const MOST_LINES: usize = 600;

/// A postmortem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Postmortem {
    /// Times to detect, to the cause and to resolve.
    pub facts: Vec<Fact>,
    /// The document as plain text.
    pub text: String,
    /// The document as HTML. Every text in it is escaped.
    pub html: String,
}

impl Postmortem {
    /// Puts a postmortem into a mail.
    pub fn new(event: &Event) -> Self {
        let times = &event.times;
        let mut facts = vec![Fact::new("Detected after", format::duration(times.to_detect_ms))];
        if let Some(ms) = times.to_cause_ms {
            facts.push(Fact::new("Cause after", format::duration(ms)));
        }
        facts.push(Fact::new("Resolved after", format::duration(times.to_resolve_ms)));
        let document = text::document(&event.markdown, MOST_LINES);
        let document = untitled(&document);
        // code spans hold names and quotes of telemetry
        let layout = Layout { columns: COLUMNS, indent: 0, spans: CodeSpans::Wrapped };
        Self { facts, text: to_text(document, layout), html: to_html(document) }
    }

    /// Returns the summary in two sentences.
    pub fn lede(event: &Event) -> String {
        let items = match event.action_items.len() {
            0 => "It has no action items.".to_owned(),
            1 => "It has 1 action item.".to_owned(),
            many => format!("It has {many} action items."),
        };
        format!("The postmortem of incident #{} is ready for review. {items}", event.number)
    }
}
