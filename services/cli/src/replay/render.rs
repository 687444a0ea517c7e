//! A report as text.

use std::fmt::Write as _;

use serde_json::Value;
use shared::replay::{Difference, Field, Report, Tally, Verdict};
use shared::text::format::count;

use crate::figures::{counted, moment};
use crate::terminal::{Screen, Tone, cell, clean, finished};

/// Most of a value that is shown, characters.
const VALUE: usize = 160;

/// Renders a report.
pub fn render(report: &Report, screen: &Screen) -> String {
    let mut text = format!(
        "{} from {} to {}, warmed up from {}: {} read, {} handled, {} rang\n",
        screen.paint(Tone::Strong, report.stage),
        moment(report.from),
        moment(report.to),
        moment(report.warmed_up_from),
        counted(report.records as usize, "record"),
        counted(report.events as usize, "event"),
        counted(report.timers as usize, "timer"),
    );
    if report.missing > 0 {
        let _ = writeln!(
            text,
            "{} open at the start without having been announced; nothing tells how they stood, so they are missing",
            match report.missing {
                1 => "1 incident was".to_owned(),
                more => format!("{more} incidents were"),
            }
        );
    }
    if report.outputs.is_empty() {
        text.push_str("\nNothing was published in the window, then or now.\n");
        return text;
    }
    let _ = write!(text, "\n{}", table(&report.outputs, screen));
    if report.differing() == 0 {
        let _ = writeln!(text, "\n{}", screen.paint(Tone::Good, "No difference."));
    } else {
        let heading = screen.paint(Tone::Strong, "DIFFERENCES");
        let _ = writeln!(text, "\n{heading}  production → replay");
        for difference in &report.differences {
            describe(difference, screen, &mut text);
        }
        if report.unlisted > 0 {
            let _ = writeln!(text, "... and {} more", count(report.unlisted as i64));
        }
    }
    for ignored in &report.ignored {
        let note = format!("Not compared: {} of {}* ({}).", ignored.field, ignored.topics, ignored.reason);
        let _ = writeln!(text, "{}", screen.paint(Tone::Faint, &note));
    }
    text
}

fn table(tallies: &[Tally], screen: &Screen) -> String {
    let mut table = screen.table(&["TOPIC", "SAME", "DIFFERENT", "ONLY PRODUCTION", "ONLY REPLAY"]);
    for tally in tallies {
        let number = |number: u64, bad: bool| {
            let tone = if bad && number > 0 { Tone::Alarm } else { Tone::Plain };
            cell(tone, count(number as i64))
        };
        table.add_row([
            cell(Tone::Strong, &tally.topic),
            number(tally.same, false),
            number(tally.different, true),
            number(tally.only_then, true),
            number(tally.only_now, true),
        ]);
    }
    for numbers in 1..=4 {
        if let Some(column) = table.column_mut(numbers) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    finished(&table)
}

fn describe(difference: &Difference, screen: &Screen, text: &mut String) {
    let Difference { verdict, then, now, .. } = difference;
    let (what, tone) = match verdict {
        Verdict::OnlyThen => ("only production", Tone::Alarm),
        Verdict::OnlyNow => ("only replay", Tone::Alarm),
        Verdict::Different => ("different", Tone::Warning),
    };
    let at = then.or(*now).map(moment).unwrap_or_default();
    let _ = writeln!(
        text,
        "{at}  {}  {}  {}",
        screen.paint(Tone::Strong, &difference.topic),
        clean(&difference.subject, VALUE),
        screen.paint(tone, what)
    );
    if let (Some(then), Some(now)) = (&difference.then_id, &difference.now_id)
        && then != now
    {
        let _ = writeln!(text, "    event id: {} → {}", clean(then, VALUE), clean(now, VALUE));
    }
    for Field { path, then, now } in &difference.fields {
        let _ =
            writeln!(text, "    {}: {} → {}", clean(path, VALUE), value(then.as_ref()), value(now.as_ref()));
    }
    if difference.more_fields > 0 {
        let _ = writeln!(text, "    ... and {}", counted(difference.more_fields, "more field"));
    }
}

fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| clean(&value.to_string(), VALUE))
}
