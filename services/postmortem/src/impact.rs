//! Who was hurt, for how long and how badly.

use std::fmt::Write as _;

use shared::ending;
use shared::events::anomaly::{Direction, Ended, Status};
use shared::events::incident::Signal;
use shared::impact::{self, Tense};
use shared::text::format::{band, between, figure, percent};

use crate::record::Record;
use shared::text::markup::{listed, name, row, text};

/// Most series in the table.
const MAX_SERIES: usize = 20;
/// Longest sentence on what users lost, characters.
const MAX_IMPACT: usize = 400;
/// Most names in a sentence.
const MAX_NAMES: usize = 8;

/// Writes the section.
pub fn section(record: &Record<'_>) -> String {
    let incident = record.incident;
    let service = record.service();
    let mut out = String::from("## Impact\n\n");
    let affected = incident.affected_services.iter().map(|affected| described(record, affected)).collect();
    let _ = writeln!(out, "- **Affected:** {}.", listed(affected, MAX_NAMES));
    let callers = &incident.blast_radius.callers;
    if callers.is_empty() {
        let _ = writeln!(out, "- **Callers:** none are known for {}.", name(service));
    } else {
        let hurt = record.hurt_callers();
        let shown = match hurt.len() {
            0 => "none of them showed it".to_owned(),
            _ => format!("{} showed it as well", listed(hurt.into_iter().map(name).collect(), MAX_NAMES)),
        };
        let callers = listed(callers.iter().map(|caller| name(caller)).collect(), MAX_NAMES);
        let _ = writeln!(out, "- **Callers:** {callers} call {}, directly or not; {shown}.", name(service));
    }
    let share = percent(incident.blast_radius.share);
    let _ = writeln!(
        out,
        "- **Share of the fleet:** {share} of the known services are affected or call the suspect."
    );
    let lasted = between(incident.started_at, record.resolved_at());
    let noticed = between(incident.started_at, incident.opened_at);
    let until = match incident.reason() {
        Ended::Recovered => "",
        Ended::NewLevel => " until the new level was accepted",
        Ended::SourceGone => " until the source was given up",
        Ended::Retired => " until the service was retired",
        Ended::Manual => " until a person resolved it",
        Ended::Forced => " until it was ended by a limit",
    };
    let _ = writeln!(out, "- **Duration:** {lasted}{until}, noticed after {noticed}.");
    let users = incident.impact.as_ref().map_or_else(
        || "how many noticed, and what it cost, is not on record".to_owned(),
        |impact| format!("at worst, {}", text(&impact::in_words(impact, Tense::Past), MAX_IMPACT)),
    );
    let _ = writeln!(out, "- **Users:** {users}.\n");
    if !incident.signals.is_empty() {
        out.push_str(&table(&incident.signals));
    }
    out
}

fn described(record: &Record<'_>, service: &str) -> String {
    match record.catalogue.get(service) {
        Some(entry) => format!("{} (tier {}, team {})", name(service), entry.tier, text(&entry.team, 80)),
        None => name(service),
    }
}

/// The series, strongest first as the incident has them.
fn table(signals: &[Signal]) -> String {
    let mut out = row(["Service", "Series", "Expected", "Worst on record", "Abnormal for"]);
    out.push_str("|---|---|---:|---:|---:|\n");
    for signal in signals.iter().take(MAX_SERIES) {
        let worst =
            worst(signal).map_or_else(|| "not on record".to_owned(), |value| figure(value, &signal.unit));
        let outside =
            signal.cleared_at.map_or_else(|| "still".to_owned(), |at| between(signal.started_at, at));
        let outside = match signal.end() {
            Some(Ended::Recovered) | None => outside,
            Some(ended) => format!("{outside}, {}", ending::label(ended)),
        };
        let expected = band(&signal.expected, &signal.unit);
        let (expected, worst) = (text(&expected, 60), text(&worst, 60));
        out.push_str(&row([&name(&signal.service), &name(&signal.metric), &expected, &worst, &outside]));
    }
    if let Some(more) = signals.len().checked_sub(MAX_SERIES).filter(|more| *more > 0) {
        let _ = writeln!(out, "\n{more} weaker series are left out.");
    }
    out
}

/// Returns the value that was farthest out while the episode lasted, as far as its samples are kept.
pub fn worst(signal: &Signal) -> Option<f64> {
    let from = signal.started_at.as_millisecond();
    let until = signal.cleared_at.unwrap_or(signal.observed_at).as_millisecond();
    let kept =
        signal.samples.iter().filter(|point| (from..=until).contains(&point.ts_ms)).map(|point| point.value);
    let last = (signal.status != Status::Cleared).then_some(signal.observed);
    let values = kept.chain(last).filter(|value| value.is_finite());
    match signal.direction {
        Direction::Up => values.max_by(f64::total_cmp),
        Direction::Down => values.min_by(f64::total_cmp),
    }
}
