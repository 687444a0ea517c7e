//! Lines read one by one, without time: how a line is understood, for the scoreboard and for tests.

use shared::events::raw::Level;

use super::critical::Phrases;
use super::line::{self, Statement};
use super::rate::Rate;
use super::template::{self, Line, Template};
use crate::config::LogOptions;

/// Reads the lines of one service, one by one.
#[derive(Debug)]
pub struct LineReader {
    templates: Vec<Template>,
    phrases: Phrases,
    count: i64,
}

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
        Self { templates: Vec::new(), phrases: Phrases::new(options), count: 0 }
    }

    /// Reads a line.
    pub fn read(&mut self, level: Level, message: &str) -> Reading {
        let Statement { level, text: statement } = line::read(level, message);
        let shape = line::mask(&statement);
        self.count += 1;
        let line = Line { level, text: &statement, shape: &shape, ts_ms: self.count };
        let place = template::enter(&mut self.templates, line, self.count, true, &Rate::default());
        let critical = self.phrases.find(level, &statement).map(|hit| hit.what.to_owned());
        Reading { level, statement, template: self.templates[place].id, critical }
    }
}
