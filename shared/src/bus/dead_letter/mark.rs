//! What people decide about dead letters: send the record again, or let it be. Each decision is on record.

use jiff::Timestamp;
use strum::{Display, IntoStaticStr};

use super::header;
use crate::bus::reader::Line;
use crate::clock::from_ms;
use crate::events::envelope::{Headers, header as find};
use crate::text::sanitize::one_line;

/// Most characters of a name.
const NAME: usize = 100;
/// Most characters of a reason.
const BECAUSE: usize = 300;

/// What was decided about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Decision {
    /// The record was published again.
    Redriven,
    /// The record is let be.
    Discarded,
}

impl Decision {
    /// Returns its name, as it is written and shown.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A decision that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// What was decided.
    pub decision: Decision,
    /// Offset of the letter, on the mark's own partition.
    pub offset: i64,
    /// When.
    pub at: Option<Timestamp>,
    /// Who, as their system calls them; nobody has checked it.
    pub by: String,
    /// Why, in their words.
    pub because: Option<String>,
}

/// Returns whether a record of a dead-letter topic is a mark, and so no letter.
pub fn is_mark(headers: &[(String, String)]) -> bool {
    find(headers, header::MARK).is_some()
}

impl Disposition {
    /// Reads a mark; none if the record is a letter, or a mark that cannot be read.
    pub fn of(line: &Line) -> Option<Self> {
        let decision = find(&line.headers, header::MARK)?;
        Some(Self {
            decision: [Decision::Redriven, Decision::Discarded]
                .into_iter()
                .find(|known| known.name() == decision)?,
            offset: find(&line.headers, header::MARKED_OFFSET)?.parse().ok()?,
            at: line.timestamp_ms.map(from_ms),
            by: one_line(find(&line.headers, header::MARKED_BY).unwrap_or("somebody"), NAME),
            because: find(&line.headers, header::MARKED_BECAUSE).map(|because| one_line(because, BECAUSE)),
        })
    }
}

/// Who decides, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who, as their system calls them.
    pub by: String,
    /// Why, in their words.
    pub because: Option<String>,
}

impl Author {
    /// Returns the headers of a mark for the letter at `offset`.
    pub(super) fn headers(&self, decision: Decision, offset: i64) -> Headers {
        let because = self.because.as_deref().map(|because| one_line(because, BECAUSE));
        [
            (header::MARK, Some(decision.name().to_owned())),
            (header::MARKED_OFFSET, Some(offset.to_string())),
            (header::MARKED_BY, Some(one_line(&self.by, NAME))),
            (header::MARKED_BECAUSE, because),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}
