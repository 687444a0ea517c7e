//! The postmortem: the document itself.

use serde::Serialize;
use shared::events::Postmortem as Event;
use shared::figures;

use super::Fact;
use crate::{markdown, text};

/// Returns a document without its title: the mail has it already.
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
    /// The document, for the text part.
    pub markdown: String,
    /// The same as HTML that was made here; nothing in it comes through unescaped.
    pub html: String,
}

impl Postmortem {
    /// Puts a postmortem into a mail.
    pub fn new(event: &Event) -> Self {
        let times = &event.times;
        let mut facts = vec![Fact::new("Time to detect", figures::duration(times.to_detect_ms))];
        if let Some(ms) = times.to_cause_ms {
            facts.push(Fact::new("To the cause", figures::duration(ms)));
        }
        facts.push(Fact::new("To resolve", figures::duration(times.to_resolve_ms)));
        let markdown = text::document(&event.markdown, MOST_LINES);
        Self { facts, html: markdown::to_html(untitled(&markdown)), markdown }
    }

    /// Returns the summary in two sentences.
    pub fn lede(event: &Event) -> String {
        let items = match event.action_items.len() {
            0 => "It names no action items.".to_owned(),
            1 => "It names 1 action item.".to_owned(),
            many => format!("It names {many} action items."),
        };
        format!("The record of incident #{}, for review. {items}", event.number)
    }
}
