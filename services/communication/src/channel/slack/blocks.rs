//! A message in Slack's blocks, within the limits of the Block Kit.

use serde_json::{Value, json};
use shared::ids::EventId;

use super::signature::{ACTION, Button, Verb};
use crate::message::{List, Message, Status, cut};

/// Most blocks of a message.
pub const MAX_BLOCKS: usize = 50;
/// Most characters of a text.
pub const MAX_TEXT: usize = 3_000;
/// Most characters of a header.
pub const MAX_HEADER: usize = 150;
/// Most characters of the text that notifications on a screen show.
const MAX_FALLBACK: usize = 1_000;

/// Returns the message that begins a thread. It has buttons while the incident is open, where `buttons` holds the id of the
/// notification.
///
/// A message about several incidents has neither buttons nor the facts of one.
pub fn opening(message: &Message, buttons: Option<EventId>) -> Vec<Value> {
    let mut blocks = vec![header(&message.about.subject)];
    if message.is_of_many {
        blocks.extend(body(message));
        return bounded(blocks);
    }
    blocks.push(section(&format!(
        "*{}* · {} · {}",
        escape(&message.headline),
        message.status.words(),
        message.severity.label()
    )));
    blocks.extend(body(message));
    blocks.push(context(message));
    blocks.extend(actions(message, buttons));
    bounded(blocks)
}

/// Returns later news in a thread.
pub fn reply(message: &Message) -> Vec<Value> {
    let mut blocks = vec![section(&format!("*{}*", escape(&message.headline)))];
    blocks.extend(body(message));
    bounded(blocks)
}

/// Returns the text where blocks are not shown: on a lock screen, for a screen reader.
pub fn fallback(message: &Message) -> String {
    escape_within(
        &format!("{} {}: {}", message.about.subject, message.headline, message.sentences()),
        MAX_FALLBACK,
    )
}

fn body(message: &Message) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(correction) = &message.correction {
        blocks.push(section(&format!("*Correction:* {}", escape(correction))));
    }
    if let [first, rest @ ..] = message.summary.as_slice() {
        let first = format!("*{}*", escape(first));
        let lines: Vec<String> = std::iter::once(first).chain(rest.iter().map(|text| escape(text))).collect();
        blocks.push(section(&lines.join("\n")));
    }
    if !message.facts.is_empty() {
        let facts = message.facts.iter().map(|fact| format!("*{}:* {}", fact.label, escape(&fact.value)));
        blocks.push(lines(facts.collect()));
    }
    blocks.extend(message.lists.iter().map(list));
    blocks
}

fn list(list: &List) -> Value {
    let items = list.items.iter().map(|item| format!("• {}", escape(item)));
    let rest = list.rest().map(|rest| format!("• {rest}"));
    lines(std::iter::once(format!("*{}*", list.title)).chain(items).chain(rest).collect())
}

/// Returns a section of as many lines as fit; the others are counted.
fn lines(lines: Vec<String>) -> Value {
    let mut kept = String::new();
    let total = lines.len();
    for (place, line) in lines.into_iter().enumerate() {
        // room for the last line
        if kept.chars().count() + line.chars().count() + 32 > MAX_TEXT {
            let rest = if kept.is_empty() { shortened(&line) } else { format!("• {} more", total - place) };
            kept.push_str(&rest);
            break;
        }
        kept.push_str(&line);
        kept.push('\n');
    }
    section(kept.trim_end())
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": cut(text, MAX_HEADER), "emoji": false } })
}

fn section(text: &str) -> Value {
    // `verbatim`: addresses and names in the text do not become links
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": shortened(text), "verbatim": true } })
}

fn context(message: &Message) -> Value {
    let about = &message.about;
    let mut texts = vec![format!("Incident #{}", about.number), about.environment.clone()];
    texts.extend((!about.service.is_empty()).then(|| about.service.clone()));
    texts.push(format!("since {}", shared::text::format::moment(about.started_at)));
    let text = cut(&texts.join(" · "), MAX_TEXT);
    json!({ "type": "context", "elements": [{ "type": "plain_text", "text": text, "emoji": false }] })
}

fn actions(message: &Message, buttons: Option<EventId>) -> Option<Value> {
    let mut elements = Vec::new();
    if let (Some(notification_id), true) = (buttons, message.status != Status::Resolved) {
        let verbs = [(Verb::Acknowledge, "Acknowledge", "primary"), (Verb::Resolve, "Resolve", "danger")];
        let open = verbs.iter().skip(usize::from(message.status == Status::Acknowledged));
        elements.extend(open.map(|(verb, text, style)| {
            let button = Button { incident_id: message.about.incident_id, verb: *verb, notification_id };
            json!({
                "type": "button",
                "action_id": format!("{ACTION}_{}", verb.name()),
                "text": { "type": "plain_text", "text": text },
                "style": style,
                "value": serde_json::to_string(&button).unwrap_or_default(),
            })
        }));
    }
    elements.extend(message.link.iter().map(|link| {
        json!({
            "type": "button",
            "action_id": format!("{ACTION}_open"),
            "text": { "type": "plain_text", "text": "Open incident" },
            "url": link,
        })
    }));
    (!elements.is_empty()).then(|| json!({ "type": "actions", "elements": elements }))
}

/// Keeps the first blocks and the last ones.
fn bounded(mut blocks: Vec<Value>) -> Vec<Value> {
    if blocks.len() > MAX_BLOCKS {
        let excess = blocks.len() - MAX_BLOCKS;
        blocks.drain(MAX_BLOCKS - 4..MAX_BLOCKS - 4 + excess);
    }
    blocks
}

/// Escapes what Slack reads as a link, a mention or a command, e.g. `<!channel>`.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn escape_within(text: &str, max: usize) -> String {
    escape(&cut(text, max))
}

/// Shortens a text that is escaped already, and leaves no half of an escaped character.
fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_TEXT - 1).collect();
    let whole = match kept.rfind('&') {
        Some(start) if !kept[start..].contains(';') => &kept[..start],
        _ => kept.as_str(),
    };
    format!("{whole}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_text_keeps_its_limit_and_no_half_character() {
        let text = shortened(&escape(&"<".repeat(MAX_TEXT)));
        assert!(text.chars().count() <= MAX_TEXT && text.ends_with("&lt;…"), "{}", &text[text.len() - 12..]);
    }

    #[test]
    fn nobody_is_mentioned_by_telemetry() {
        assert_eq!(
            escape("<!channel> & <https://evil|click>"),
            "&lt;!channel&gt; &amp; &lt;https://evil|click&gt;"
        );
    }

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let section = lines((0..100).map(|_| "x".repeat(99)).collect());
        let text = section["text"]["text"].as_str().unwrap();
        assert!(text.chars().count() <= MAX_TEXT, "{}", text.chars().count());
        assert!(text.ends_with("• 71 more"), "{}", &text[text.len() - 20..]);
    }
}
