//! One dead letter: what it says, and the record it was.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::mark::{Decision, Disposition};
use super::{OURS, header, is_mark};
use crate::agent::Agent;
use crate::bus::reader::Line;
use crate::clock::from_ms;
use crate::events::envelope::{Headers, header as find, own_id};
use crate::events::topic::Topic;
use crate::ids::EventId;

/// Header by which the inbox of each stage knows an event.
const CE_ID: &str = "ce_id";

/// Where a letter lies. People write it as `correlation/0/42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Whose dead letter it is.
    pub stage: Agent,
    /// Partition of the stage's dead-letter topic.
    pub partition: i32,
    /// Offset there.
    pub offset: i64,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.stage, self.partition, self.offset)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let [stage, partition, offset] = parts[..] else {
            return Err("not of the form STAGE/PARTITION/OFFSET, e.g. correlation/0/42".to_owned());
        };
        let stage = Agent::from_name(stage).ok_or_else(|| {
            format!("no stage is called {stage:?}; there are {}", Agent::names().join(", "))
        })?;
        let number = |what, text: &str| {
            text.parse::<i64>()
                .ok()
                .filter(|number| *number >= 0)
                .ok_or_else(|| format!("the {what} {text:?} is not a number from 0"))
        };
        let partition = i32::try_from(number("partition", partition)?)
            .map_err(|_| format!("the partition {partition:?} is too large"))?;
        Ok(Self { stage, partition, offset: number("offset", offset)? })
    }
}

/// Where the record was read that became a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Name of the topic, as the letter has it.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// A dead letter, and what was decided about it.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Where it lies.
    pub address: Address,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// Key of the input.
    pub key: Option<String>,
    /// All headers: the input's, and ours.
    pub headers: Headers,
    /// Payload of the input, or its beginning, see [`DeadLetter::cut_from`].
    pub payload: Vec<u8>,
    /// Decisions about it, oldest first.
    pub marks: Vec<Disposition>,
}

/// The record that a letter was, as it is written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Topic it was read from.
    pub topic: Topic,
    /// Partition it was read from: whoever wrote it may have chosen partitions in another way than we do.
    pub partition: i32,
    /// Its key.
    pub key: Option<String>,
    /// Its headers, with `ce_id`.
    pub headers: Headers,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// Why a letter cannot be written again as the record it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRedrivable {
    /// The payload was too large to keep.
    #[error("its payload of {of} bytes was cut to {kept}; send the record again from where it came")]
    Cut {
        /// Bytes that were kept.
        kept: usize,
        /// Bytes that there were.
        of: String,
    },
    /// Key or headers could not be kept as they were.
    #[error("not all of its record could be kept as it was ({0}); send the record again from where it came")]
    Changed(String),
    /// It does not say where it came from.
    #[error("it does not say from which topic, partition and offset it came")]
    NoOrigin,
    /// What it names as its origin is no topic that a stage reads events from.
    #[error("it came from {0:?}, which is no topic that a stage reads")]
    ForeignOrigin(String),
}

impl DeadLetter {
    /// Reads a record of the dead-letter topic of `stage`; none if it is a mark. Nothing is known of decisions yet.
    pub fn of(stage: Agent, line: Line) -> Option<Self> {
        (!is_mark(&line.headers)).then(|| Self {
            address: Address { stage, partition: line.partition, offset: line.offset },
            at: line.timestamp_ms.map(from_ms),
            key: line.key,
            headers: line.headers,
            payload: line.payload.unwrap_or_default(),
            marks: Vec::new(),
        })
    }

    /// Returns why the record was refused.
    pub fn reason(&self) -> &str {
        find(&self.headers, header::REASON).unwrap_or("no reason given")
    }

    /// Returns how often the record was tried.
    pub fn attempts(&self) -> Option<u32> {
        find(&self.headers, header::ATTEMPTS)?.parse().ok()
    }

    /// Returns where the record was read.
    pub fn origin(&self) -> Option<Origin> {
        let number = |name| find(&self.headers, name)?.parse::<i64>().ok();
        Some(Origin {
            topic: find(&self.headers, header::TOPIC)?.to_owned(),
            partition: number(header::PARTITION)?.try_into().ok()?,
            offset: number(header::OFFSET)?,
        })
    }

    /// Returns how large the payload was, in bytes, if it was cut.
    pub fn cut_from(&self) -> Option<&str> {
        find(&self.headers, header::CUT_FROM)
    }

    /// Returns the last decision; none while the letter waits for one.
    pub fn decision(&self) -> Option<Decision> {
        self.marks.last().map(|mark| mark.decision)
    }

    /// Returns the id by which stages know the record: its own, else that of its place in the log, exactly as the
    /// runtime of a stage finds it.
    pub fn event_id(&self) -> Option<EventId> {
        own_id(&self.headers).or_else(|| {
            let origin = self.origin()?;
            Some(EventId::of_record(&origin.topic, origin.partition, origin.offset))
        })
    }

    /// Returns the topic and the partition that the record came from, if it can go there again.
    pub fn destination(&self) -> Result<(Topic, i32), NotRedrivable> {
        if let Some(of) = self.cut_from() {
            return Err(NotRedrivable::Cut { kept: self.payload.len(), of: of.to_owned() });
        }
        if let Some(changed) = find(&self.headers, header::CHANGED) {
            return Err(NotRedrivable::Changed(changed.to_owned()));
        }
        let origin = self.origin().ok_or(NotRedrivable::NoOrigin)?;
        let read = |topic: &Topic| {
            !matches!(topic, Topic::DeadLetters(_) | Topic::DetectionState | Topic::SimFaults)
        };
        match Topic::from_name(&origin.topic).filter(read) {
            Some(topic) => Ok((topic, origin.partition)),
            None => Err(NotRedrivable::ForeignOrigin(origin.topic)),
        }
    }

    /// Returns the record that the letter was. A record without an id of its own is given the one it was known by:
    /// at its new place it would be taken for another event.
    pub fn original(&self) -> Result<Original, NotRedrivable> {
        let (topic, partition) = self.destination()?;
        let mut headers: Headers =
            self.headers.iter().filter(|(name, _)| !name.starts_with(OURS)).cloned().collect();
        if own_id(&self.headers).is_none() {
            let id = self.event_id().ok_or(NotRedrivable::NoOrigin)?;
            headers.retain(|(name, _)| name != CE_ID);
            // first, because a consumer reads only so many headers
            headers.insert(0, (CE_ID.to_owned(), id.to_string()));
        }
        Ok(Original { topic, partition, key: self.key.clone(), headers, payload: self.payload.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&str, &str)]) -> DeadLetter {
        let origin = [
            (header::TOPIC, "raw.deployments"),
            (header::PARTITION, "3"),
            (header::OFFSET, "77"),
            (header::REASON, "malformed"),
        ];
        let headers = origin.iter().chain(headers).map(|(name, value)| ((*name).into(), (*value).into()));
        let line = Line {
            partition: 0,
            offset: 42,
            timestamp_ms: None,
            key: Some("payment".into()),
            headers: headers.collect(),
            payload: Some(b"\xff".to_vec()),
        };
        DeadLetter::of(Agent::Correlation, line).unwrap()
    }

    #[test]
    fn an_address_is_read_as_it_is_written_and_nothing_else_is() {
        let address = letter(&[]).address;
        assert_eq!(address.to_string(), "correlation/0/42");
        assert_eq!(address.to_string().parse(), Ok(address));
        for wrong in [
            "",
            "correlation",
            "correlation/0",
            "correlation/0/-1",
            "correlation/99999999999/1",
            "x/0/1",
            "correlation/0/1/2",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_without_a_usable_id_is_given_that_of_its_place() {
        let of_place = EventId::of_record("raw.deployments", 3, 77);
        for headers in [&[][..], &[("ce_id", "17"), ("ce_id", "18"), ("traceparent", "00-a")]] {
            let original = letter(headers).original().unwrap();
            let ids: Vec<_> = original.headers.iter().filter(|(name, _)| name == "ce_id").collect();
            assert_eq!(ids, [&("ce_id".to_owned(), of_place.to_string())]);
            assert_eq!((original.topic, original.partition), (Topic::RawDeployments, 3));
            assert_eq!((original.key.as_deref(), &original.payload[..]), (Some("payment"), &b"\xff"[..]));
            assert!(!original.headers.iter().any(|(name, _)| name.starts_with("dlq_")), "{original:?}");
            assert_eq!(find(&original.headers, "traceparent").is_some(), !headers.is_empty());
        }
    }

    #[test]
    fn a_record_with_an_id_keeps_it_and_all_its_headers() {
        let id = EventId::of("test", "payment", 1).to_string();
        let theirs = [("b", "2"), ("ce_id", id.as_str()), ("a", "1"), ("a", "1")];
        let original = letter(&theirs).original().unwrap();
        let headers: Vec<_> =
            original.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, theirs);
    }

    #[test]
    fn what_is_not_the_whole_record_or_has_no_place_to_go_is_unfit() {
        for (header, unfit) in [
            ((header::CUT_FROM, "1000000"), NotRedrivable::Cut { kept: 1, of: "1000000".into() }),
            ((header::CHANGED, "key"), NotRedrivable::Changed("key".into())),
        ] {
            assert_eq!(letter(&[header]).original(), Err(unfit));
        }
        for (topic, unfit) in [
            ("dlq.correlation", NotRedrivable::ForeignOrigin("dlq.correlation".into())),
            ("detection.state", NotRedrivable::ForeignOrigin("detection.state".into())),
            ("payments", NotRedrivable::ForeignOrigin("payments".into())),
        ] {
            let mut letter = letter(&[]);
            letter.headers[0].1 = topic.to_owned();
            assert_eq!(letter.original(), Err(unfit));
        }
        let mut nowhere = letter(&[]);
        nowhere.headers[1].1 = "three".to_owned();
        assert_eq!(nowhere.original(), Err(NotRedrivable::NoOrigin));
    }
}
