//! Texts of issues and comments in Jira's wiki markup.

use shared::ids::EventId;

use crate::message::{Message, cut};

/// Most characters of a summary.
pub const MAX_SUMMARY: usize = 255;
/// Most characters of a description or a comment.
pub const MAX_TEXT: usize = 32_767;

/// Returns the label by which the issue of an incident is found.
pub fn label(message: &Message) -> String {
    format!("firewatch-{}", message.about.incident_id)
}

/// Returns the line by which the comment of a notification is found.
pub fn mark(id: EventId) -> String {
    format!("Firewatch notification {id}")
}

/// Returns the summary of an issue.
pub fn summary(message: &Message) -> String {
    cut(&message.about.subject, MAX_SUMMARY)
}

/// Returns the description of an issue.
pub fn description(message: &Message) -> String {
    cut(&escaped(message, MAX_TEXT / 2), MAX_TEXT)
}

/// Returns the comment of a notification.
pub fn comment(message: &Message, id: EventId) -> String {
    let mark = mark(id);
    let text = format!("*{}*\n\n{}", message.headline, escaped(message, MAX_TEXT / 2));
    format!("{}\n\n{mark}", cut(&text, MAX_TEXT - mark.len() - 2))
}

fn escaped(message: &Message, max: usize) -> String {
    escape(&message.text(max))
}

/// Escapes what wiki markup reads as a macro, a link, a picture, a mention or a cell.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '{' | '}' | '[' | ']' | '!' | '|' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telemetry_is_no_markup() {
        assert_eq!(escape("{code} [~admin] !x.png! a|b"), "\\{code\\} \\[~admin\\] \\!x.png\\! a\\|b");
    }
}
