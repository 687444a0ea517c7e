//! Reading the end of a topic, and on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::bus::lag;
use shared::bus::reader::{From, Line, Reader};
use shared::events::Topic;

use super::{ANSWER, failed};
use crate::failure::CliError;
use crate::settings::Settings;
use crate::terminal;

/// Records of each partition among which those of one key are looked for.
const KEY_WINDOW: i64 = 100_000;
/// Longest silence of the broker while there are records to read.
const SILENCE: Duration = Duration::from_secs(10);

/// What to read.
#[derive(Debug, Clone)]
pub struct Request {
    /// Topic.
    pub topic: Topic,
    /// Records to begin with, over all partitions.
    pub last: usize,
    /// Whether to go on.
    pub follow: bool,
    /// Only records with this key.
    pub key: Option<String>,
}

impl Request {
    fn wants(&self, record: &Line) -> bool {
        self.key.is_none() || self.key == record.key
    }
}

/// Prints the last records in the order of their timestamps, then, if asked to, each that comes.
pub fn tail(
    request: &Request,
    settings: &Settings,
    render: impl Fn(&Line) -> Result<String, CliError>,
) -> Result<(), CliError> {
    let kafka = &settings.common.kafka;
    let unreachable = |error| failed(settings, &error);
    let topic = request.topic;
    let extents =
        lag::extents(kafka, &[topic], ANSWER).map_err(unreachable)?.remove(&topic).ok_or_else(|| {
            CliError::NotFound(format!("topic {topic} is not on the broker at {}", kafka.brokers))
        })?;

    let window = match request.key {
        Some(_) if request.last > 0 => KEY_WINDOW,
        _ => request.last as i64,
    };
    let mut reader = Reader::open(kafka, topic, None, From::Last(window), ANSWER).map_err(unreachable)?;
    let mut ends: BTreeMap<i32, i64> = extents
        .iter()
        .filter(|extent| window > 0 && extent.records() > 0)
        .map(|extent| (extent.partition, extent.end))
        .collect();
    // partitions are read side by side: of each come as many as are wanted of all, and the newest of them stay
    let mut newest = BTreeMap::new();
    let mut heard = Instant::now();
    while !ends.is_empty() {
        if heard.elapsed() > SILENCE {
            return Err(CliError::Failed(format!("{topic} was not read to its end: the broker fell silent")));
        }
        let Some(record) = reader.next(Duration::from_millis(100)).map_err(unreachable)? else { continue };
        heard = Instant::now();
        if ends.get(&record.partition).is_some_and(|end| record.offset + 1 >= *end) {
            ends.remove(&record.partition);
        }
        if request.wants(&record) {
            newest.insert((record.timestamp_ms, record.partition, record.offset), render(&record)?);
            if newest.len() > request.last {
                newest.pop_first();
            }
        }
    }
    terminal::print(&newest.into_values().collect::<String>())?;
    if !request.follow {
        return Ok(());
    }
    loop {
        if let Some(record) = reader.next(Duration::from_millis(500)).map_err(unreachable)?
            && request.wants(&record)
        {
            terminal::print(&render(&record)?)?;
        }
    }
}
