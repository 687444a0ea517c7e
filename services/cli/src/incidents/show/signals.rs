//! What is seen: each member with its band, its line of bars and its explanation.

use shared::ending;
use shared::events::anomaly::{Direction, Ended, Status};
use shared::events::incident::Signal;
use shared::text::format::{clock, number};

use super::super::severity_tone;
use crate::figures::{counted, evidence, expectation, quantity};
use crate::terminal::Tone;
use crate::terminal::page::Page;
use crate::terminal::sparkline::Sparkline;

/// Signals that are shown with their samples; a storm has hundreds.
const MOST: usize = 20;
/// Most samples that are drawn of each.
const SAMPLES: usize = 60;
/// Columns that are left for the scale behind them.
const SCALE: usize = 24;
pub(crate) const INDENT: &str = "      ";

pub(crate) fn render(page: &mut Page<'_>, signals: &[Signal]) {
    page.heading("Signals", "in order of their onset");
    if signals.is_empty() {
        page.text("  ", "none yet");
    }
    for signal in signals.iter().take(MOST) {
        one(page, signal);
    }
    if signals.len() > MOST {
        page.faint(
            "  ",
            &format!("... and {}; --json has them all", counted(signals.len() - MOST, "signal")),
        );
    }
}

fn one(page: &mut Page<'_>, signal: &Signal) {
    let arrow = match signal.direction {
        Direction::Up => '▲',
        Direction::Down => '▼',
    };
    let (tone, standing) = match signal.status {
        Status::Suspect => (Tone::Warning, "suspect".to_owned()),
        Status::Firing => (Tone::Alarm, "firing".to_owned()),
        Status::Cleared => (
            Tone::Good,
            format!(
                "{}{}",
                match signal.end() {
                    Some(Ended::Recovered) | None => "cleared",
                    Some(ended) => ending::label(ended),
                },
                signal.cleared_at.map_or_else(String::new, |at| format!(" at {}", clock(at)))
            ),
        ),
    };
    page.line(&format!(
        "  {} {}  {}  {}  {}",
        page.paint(tone, &arrow.to_string()),
        page.strong(&format!("{} {}", signal.service, signal.metric)),
        page.paint(severity_tone(signal.severity), signal.severity.label()),
        page.paint(tone, &standing),
        page.paint(Tone::Faint, &evidence(signal.evidence)),
    ));
    page.line(&format!(
        "{INDENT}observed {}, {}, first abnormal at {}",
        page.strong(&quantity(signal.observed, &signal.unit)),
        expectation(signal),
        clock(signal.started_at),
    ));
    let room = page.columns().saturating_sub(INDENT.len() + SCALE);
    draw(page, &Sparkline::of(&signal.samples, signal.expected, SAMPLES.min(room)));
    page.faint(INDENT, &signal.explanation);
}

/// Draws the bars, and below them a mark under each sample outside the band.
pub(crate) fn draw(page: &mut Page<'_>, sparkline: &Sparkline) {
    let bars = &sparkline.bars;
    if bars.is_empty() {
        return;
    }
    let mut line = INDENT.to_owned();
    for run in bars.chunk_by(|a, b| a.outside == b.outside) {
        let glyphs: String = run.iter().map(|bar| bar.glyph).collect();
        let tone = if run[0].outside { Tone::Alarm } else { Tone::Plain };
        line.push_str(&page.paint(tone, &glyphs));
    }
    let scale = format!("▁ {}  █ {}", number(sparkline.low), number(sparkline.high));
    page.line(&format!("{line}  {}", page.paint(Tone::Faint, &scale)));
    if bars.iter().any(|bar| bar.outside) {
        let marks: String = bars.iter().map(|bar| if bar.outside { '╵' } else { ' ' }).collect();
        let words = page.paint(Tone::Faint, "outside the band");
        page.line(&format!("{INDENT}{}  {words}", marks.trim_end()));
    }
}
