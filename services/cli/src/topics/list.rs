//! The list of topics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use shared::agent::Agent;
use shared::bus::{self, lag};
use shared::events::schema::type_of;
use shared::events::topic::Topic;
use shared::text::format::count;

use super::key_of;
use crate::terminal::{Screen, Tone, cell, finished};

/// One topic as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Name.
    pub topic: &'static str,
    /// Whether it is on the broker.
    pub exists: bool,
    /// Number of partitions; 0 where it is not on the broker.
    pub partitions: usize,
    /// Records it holds: end less begin, summed over the partitions.
    pub records: i64,
    /// Event type it carries, if that is a single one.
    pub carries: Option<&'static str>,
    /// What its records are keyed by.
    pub key: &'static str,
    /// For each group that reads it, the records that the group has yet to read.
    pub behind: BTreeMap<&'static str, i64>,
}

/// Reads how all topics of Firewatch stand. `deadline` bounds each request.
pub fn read(options: &bus::Options, deadline: Duration) -> Result<Vec<Row>, bus::Error> {
    let topics = Topic::all();
    let extents = lag::extents(options, &topics, deadline)?;
    let mut behind: BTreeMap<Topic, BTreeMap<&'static str, i64>> = BTreeMap::new();
    for group in Agent::names() {
        for (topic, records) in lag::behind(options, group, &extents, deadline)? {
            behind.entry(topic).or_default().insert(group, records);
        }
    }
    Ok(topics
        .into_iter()
        .map(|topic| {
            let partitions = extents.get(&topic);
            Row {
                topic: topic.name(),
                exists: partitions.is_some(),
                partitions: partitions.map_or(0, Vec::len),
                records: partitions.into_iter().flatten().map(lag::OffsetRange::records).sum(),
                carries: type_of(topic),
                key: key_of(topic),
                behind: behind.remove(&topic).unwrap_or_default(),
            }
        })
        .collect())
}

/// Renders topics as a table.
pub fn render(rows: &[Row], screen: &Screen) -> String {
    let mut table = screen.table(&["TOPIC", "PARTITIONS", "RECORDS", "CARRIES", "KEY", "GROUPS (BEHIND)"]);
    for row in rows {
        let dead_letters = row.topic.starts_with("dlq.");
        let carries = match row.carries {
            Some(kind) => kind,
            None if dead_letters => "dead letters",
            None => "state of detection",
        };
        let (partitions, records) = if row.exists {
            (row.partitions.to_string(), count(row.records))
        } else {
            ("missing".to_owned(), "-".to_owned())
        };
        let groups: Vec<String> =
            row.behind.iter().map(|(group, records)| format!("{group} ({})", count(*records))).collect();
        table.add_row([
            cell(Tone::Strong, row.topic),
            cell(if row.exists { Tone::Plain } else { Tone::Alarm }, partitions),
            cell(if dead_letters && row.records > 0 { Tone::Alarm } else { Tone::Plain }, records),
            cell(Tone::Plain, carries),
            cell(Tone::Plain, row.key),
            cell(Tone::Plain, groups.join(", ")),
        ]);
    }
    for numbers in [1, 2] {
        if let Some(column) = table.column_mut(numbers) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    finished(&table)
}
