//! The graph as a table.

use comfy_table::{CellAlignment, ColumnConstraint};

use super::document::{Document, Edge, Source};
use crate::figures::{ago, counted, duration, quantity};
use crate::terminal::{Screen, Tone, cell, finished};

/// Share of failed calls from which on it is shown as bad.
const BAD_SHARE: f64 = 0.05;

/// Renders a graph, whose texts are clean, as a line about it and a table of its edges.
pub fn render(document: &Document, screen: &Screen) -> String {
    let far_ends = counted(document.far_ends.len(), "uninstrumented far end");
    let window = quantity(document.window_s as f64, "s");
    let parts = [
        Some(screen.paint(Tone::Strong, &document.environment)),
        Some(format!("version {}", document.version)),
        Some(counted(document.services.len(), "service")),
        Some(counted(document.edges.len(), "edge")),
        (!document.far_ends.is_empty()).then_some(far_ends),
        Some(format!("figures of the {window} until {} ago", age(document, screen))),
    ];
    let head = parts.into_iter().flatten().collect::<Vec<_>>().join("  ") + "\n";
    if document.edges.is_empty() {
        return head;
    }
    let header =
        ["CALLER", "CALLEE", "CALLS/S", "FAILED", "LATENCY", "P95", "SELF TIME", "LAST SEEN", "SOURCE"];
    let mut table = screen.table(&header);
    for edge in &document.edges {
        let callee = if edge.far_end { format!("{} (far end)", edge.callee) } else { edge.callee.clone() };
        let tone = if edge.source == Source::Catalogue { Tone::Faint } else { Tone::Plain };
        let figure = |value: Option<f64>, unit| value.map_or("-".to_owned(), |value| quantity(value, unit));
        table.add_row([
            cell(Tone::Strong, &edge.caller),
            cell(tone, callee),
            cell(tone, figure(edge.calls_per_s, "")),
            cell(failing(edge), figure(edge.failed_share.map(|share| share * 100.0), "%")),
            cell(tone, figure(edge.latency_mean_ms, "ms")),
            cell(tone, figure(edge.latency_p95_ms, "ms")),
            cell(tone, figure(edge.self_mean_ms, "ms")),
            cell(tone, edge.last_seen.map_or("-".to_owned(), |at| ago(screen.now, at))),
            cell(tone, edge.source.name()),
        ]);
    }
    for figures in 2..8 {
        if let Some(column) = table.column_mut(figures) {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    head + &finished(&table)
}

fn failing(edge: &Edge) -> Tone {
    match edge.failed_share {
        Some(BAD_SHARE..) => Tone::Alarm,
        Some(share) if share > 0.0 => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// Returns how long ago the window ended.
fn age(document: &Document, screen: &Screen) -> String {
    duration(screen.now.duration_since(document.until))
}
