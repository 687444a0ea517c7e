//! How lines of a log are understood, for the scoreboard and for tests.

use shared::events::raw::Level;

use crate::config::LogOptions;
use crate::service::logs;

/// Reads the lines of one service, one by one.
#[derive(Debug)]
pub struct LineReader(logs::LineReader);

/// How a line is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Level of the record or of the line in it, whichever is higher.
    pub level: Level,
    /// What the line states, without what is around it.
    pub statement: String,
    /// Id of its template.
    pub template: u64,
    /// The critical phrase, if the line states one.
    pub critical: Option<String>,
}

impl LineReader {
    /// Begins with no template.
    pub fn new(options: &LogOptions) -> Self {
        Self(logs::LineReader::new(options))
    }

    /// Reads a line.
    pub fn read(&mut self, level: Level, message: &str) -> Reading {
        let (level, statement, template, critical) = self.0.read(level, message);
        Reading { level, statement, template, critical }
    }
}
