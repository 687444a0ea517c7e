//! Rankings and incidents for people.

use std::fmt::Write as _;
use std::time::Duration;

use correlation::backtest::cause::{Method, Ranking, Verdict};
use correlation::backtest::incidents::{Incident, Summary};
use shared::clock::from_ms;

use crate::figures::{self, counted, percent};
use crate::terminal::{self, Screen, Tone, cell};

/// Suspects that are shown of a case.
const MAX_SUSPECTS: usize = 5;

/// Returns the ranking of a case: the verdict, and the first suspects in a table.
pub fn ranking(ranking: &Ranking, screen: &Screen) -> String {
    let first = ranking.ranking.first();
    let (tone, verdict) = match (ranking.verdict, first) {
        (Verdict::Cause, Some(first)) => {
            (Tone::Alarm, format!("cause: {}, {}", first.service, first.category.words()))
        }
        (Verdict::Likely, Some(first)) => {
            (Tone::Warning, format!("likely: {}, {}", first.service, first.category.words()))
        }
        _ => (Tone::Faint, "the cause is not visible in this telemetry".to_owned()),
    };
    let unit = match ranking.method {
        Method::Hypotheses => "NATS",
        Method::BlameFlow => "BLAME",
    };
    let mut table = screen.table(&["SERVICE", "PROBABILITY", "CATEGORY", "GIVEN THE SERVICE", unit]);
    for suspect in ranking.ranking.iter().take(MAX_SUSPECTS) {
        table.add_row([
            cell(Tone::Plain, &suspect.service),
            cell(Tone::Plain, percent(suspect.probability)),
            cell(Tone::Plain, suspect.category.words()),
            cell(Tone::Plain, percent(suspect.category_probability)),
            cell(Tone::Plain, format!("{:.2}", suspect.score)),
        ]);
    }
    format!(
        "{}  {}\n{}\n",
        screen.paint(Tone::Strong, &ranking.case_id),
        screen.paint(tone, &verdict),
        terminal::finished(&table)
    )
}

/// Returns incidents, one a line.
pub fn incidents(incidents: &[Incident], screen: &Screen) -> String {
    if incidents.is_empty() {
        return "no incident\n".to_owned();
    }
    let mut table =
        screen.table(&["OPENED", "SUSPECT", "PROBABILITY", "CATEGORY", "GIVEN THE SERVICE", "SERVICES"]);
    for incident in incidents {
        let Some(first) = incident.ranking.first() else { continue };
        table.add_row([
            cell(Tone::Plain, figures::moment(from_ms(incident.ts_ms))),
            cell(Tone::Plain, &first.service),
            cell(Tone::Plain, percent(first.probability)),
            cell(Tone::Plain, first.category.words()),
            cell(Tone::Plain, percent(first.category_probability)),
            cell(Tone::Plain, incident.services.join(", ")),
        ]);
    }
    terminal::finished(&table)
}

/// Returns what a stream came to, on one line.
pub fn summary(summary: &Summary, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-9);
    let mut text = format!(
        "{} of {} series in {}, {seconds:.1} s ({:.0} samples a second): {}",
        counted(summary.used as usize, "sample"),
        summary.series,
        counted(summary.rows as usize, "row"),
        summary.used as f64 / seconds,
        counted(summary.incidents as usize, "incident"),
    );
    for (number, what) in [
        (summary.absorbed, "ended as the new normal"),
        (summary.unusable, "samples without a usable value"),
        (summary.late, "samples of an earlier row"),
        (summary.refused, "lines that are not a sample"),
        (summary.beyond, "samples of series beyond the limit"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}
