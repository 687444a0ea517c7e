//! The dead letters of one stage, each with what was decided about it. Blocking; run it off the async threads.

use std::collections::BTreeMap;
use std::time::Duration;

use super::letter::{Address, DeadLetter};
use super::mark::Disposition;
use crate::agent::Agent;
use crate::bus::lag::{self, OffsetRange};
use crate::bus::reader::Reader;
use crate::bus::{Error, Options};
use crate::events::Topic;

/// Dead letters of one stage as they stood when they were opened.
///
/// A mark lies behind its letter, so the log is read twice: for the marks, which are small and are held, and for the
/// letters, which are large and are handed out one by one.
pub struct DeadLetterReader {
    options: Options,
    stage: Agent,
    extents: Vec<OffsetRange>,
    passed_over: i64,
    marks: BTreeMap<(i32, i64), Vec<Disposition>>,
    silence: Duration,
}

impl DeadLetterReader {
    /// Opens the last `window` records of each partition; none where the topic is not on the broker. `patience` bounds
    /// each answer of the broker and each wait for a record.
    pub fn last(
        options: &Options,
        stage: Agent,
        window: i64,
        patience: Duration,
    ) -> Result<Option<Self>, Error> {
        Self::open(options, stage, patience, |extent| Some(extent.end - window))
    }

    /// Opens what is needed to read the letters at `addresses`, those of other stages aside; none where the topic is
    /// not on the broker.
    pub fn at(
        options: &Options,
        stage: Agent,
        addresses: &[Address],
        patience: Duration,
    ) -> Result<Option<Self>, Error> {
        Self::open(options, stage, patience, |extent| {
            addresses
                .iter()
                .filter(|address| address.stage == stage && address.partition == extent.partition)
                .map(|address| address.offset)
                .min()
        })
    }

    /// Opens each partition from where `begin` says; one for which it says nothing is not read.
    fn open(
        options: &Options,
        stage: Agent,
        patience: Duration,
        begin: impl Fn(&OffsetRange) -> Option<i64>,
    ) -> Result<Option<Self>, Error> {
        let topic = Topic::DeadLetters(stage);
        let Some(held) = lag::extents(options, &[topic], patience)?.remove(&topic) else { return Ok(None) };
        let mut passed_over = 0;
        let mut extents = Vec::new();
        for extent in held {
            if let Some(begin) = begin(&extent) {
                let begin = begin.clamp(extent.begin, extent.end);
                passed_over += begin - extent.begin;
                if begin < extent.end {
                    extents.push(OffsetRange { begin, ..extent });
                }
            }
        }
        let mut letters = Self {
            options: options.clone(),
            stage,
            extents,
            passed_over,
            marks: BTreeMap::new(),
            silence: patience,
        };
        for line in letters.lines()? {
            let line = line?;
            if let Some(mark) = Disposition::of(&line) {
                letters.marks.entry((line.partition, mark.offset)).or_default().push(mark);
            }
        }
        Ok(Some(letters))
    }

    /// Returns how many older records are on the topic and are not looked at.
    pub fn passed_over(&self) -> i64 {
        self.passed_over
    }

    /// Returns the letters, oldest first within each partition.
    pub fn read(&self) -> Result<impl Iterator<Item = Result<DeadLetter, Error>>, Error> {
        Ok(self.lines()?.filter_map(|line| match line {
            Err(error) => Some(Err(error)),
            Ok(line) => DeadLetter::of(self.stage, line).map(|mut letter| {
                let place = (letter.address.partition, letter.address.offset);
                letter.marks = self.marks.get(&place).cloned().unwrap_or_default();
                Ok(letter)
            }),
        }))
    }

    fn lines(&self) -> Result<impl Iterator<Item = Result<crate::bus::reader::Line, Error>> + use<>, Error> {
        let lines = if self.extents.is_empty() {
            None
        } else {
            Some(
                Reader::over(&self.options, Topic::DeadLetters(self.stage), &self.extents)?
                    .lines(self.silence),
            )
        };
        Ok(lines.into_iter().flatten())
    }
}
