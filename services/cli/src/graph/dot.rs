//! The graph for Graphviz (the DOT language).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::Document;
use crate::terminal::clean;

/// Longest label, characters.
const LONGEST: usize = 300;

/// Renders a graph. Nodes are numbered: a name stands in labels only, where it is cleaned and escaped.
pub fn render(document: &Document) -> String {
    let mut text = format!("digraph firewatch {{\n  label={};\n  rankdir=LR;\n", title(document));
    let mut nodes = BTreeMap::new();
    for (number, name) in document.services.iter().enumerate() {
        nodes.insert(name, number);
        let _ = writeln!(text, "  n{number} [shape=box, label={}];", quoted(name));
    }
    for (number, name) in document.far_ends.iter().enumerate() {
        let number = document.services.len() + number;
        nodes.insert(name, number);
        let _ = writeln!(text, "  n{number} [shape=ellipse, style=dashed, label={}];", quoted(name));
    }
    for edge in &document.edges {
        let (Some(caller), Some(callee)) = (nodes.get(&edge.caller), nodes.get(&edge.callee)) else {
            continue;
        };
        let style = match (edge.label(), edge.far_end) {
            (Some(label), false) => format!(" [label={}]", quoted(&label)),
            (Some(label), true) => format!(" [label={}, style=dashed]", quoted(&label)),
            (None, false) => " [style=dotted]".to_owned(),
            (None, true) => " [style=dashed]".to_owned(),
        };
        let _ = writeln!(text, "  n{caller} -> n{callee}{style};");
    }
    text + "}\n"
}

fn title(document: &Document) -> String {
    quoted(&format!("{}, version {}", document.environment, document.version))
}

/// Returns a quoted string. In labels a backslash begins an escape and an ampersand an entity.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in clean(text, LONGEST).chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '&' => quoted.push_str("&amp;"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
