//! The graph as a flowchart of Mermaid.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::Document;
use crate::terminal::clean;

/// Longest label, characters.
const LONGEST: usize = 300;

/// Renders a graph. Nodes are numbered: a name stands in labels only, where it is cleaned and escaped.
pub fn render(document: &Document) -> String {
    let title = format!("{}, version {}", document.environment, document.version);
    let mut text = format!("%% {}\nflowchart LR\n", escaped(&title));
    let mut nodes = BTreeMap::new();
    for (number, name) in document.services.iter().enumerate() {
        nodes.insert(name, number);
        let _ = writeln!(text, "  n{number}[\"{}\"]", escaped(name));
    }
    for (number, name) in document.far_ends.iter().enumerate() {
        let number = document.services.len() + number;
        nodes.insert(name, number);
        let _ = writeln!(text, "  n{number}([\"{}\"])", escaped(name));
    }
    for edge in &document.edges {
        let (Some(caller), Some(callee)) = (nodes.get(&edge.caller), nodes.get(&edge.callee)) else {
            continue;
        };
        let arrow = if edge.far_end || edge.label().is_none() { "-.->" } else { "-->" };
        let label = edge.label().map_or(String::new(), |label| format!("|\"{}\"|", escaped(&label)));
        let _ = writeln!(text, "  n{caller} {arrow}{label} n{callee}");
    }
    text
}

/// Returns a text in which everything but letters, digits and a few signs is an entity of Mermaid: it knows Markdown, HTML,
/// directives and entities of its own in labels.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in clean(text, LONGEST).chars() {
        if char.is_alphanumeric() || matches!(char, ' ' | '-' | '.' | ',' | ':' | '/') {
            escaped.push(char);
        } else {
            let _ = write!(escaped, "#{};", u32::from(char));
        }
    }
    escaped
}
