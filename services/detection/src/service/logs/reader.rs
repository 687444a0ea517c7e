//! Lines read one by one, without time: what a line states, its template, and whether it is critical.

use shared::events::raw::Level;

use super::critical::Phrases;
use super::line;
use super::rate::Rate;
use super::template::{self, Line, Template};
use crate::config::LogOptions;

/// Reads the lines of one service.
#[derive(Debug)]
pub(crate) struct LineReader {
    templates: Vec<Template>,
    phrases: Phrases,
    count: i64,
}

impl LineReader {
    pub(crate) fn new(options: &LogOptions) -> Self {
        Self { templates: Vec::new(), phrases: Phrases::new(options), count: 0 }
    }

    /// Returns level, statement, the id of the template and the critical phrase of a line.
    pub(crate) fn read(&mut self, level: Level, message: &str) -> (Level, String, u64, Option<String>) {
        let line::Statement { level, text } = line::read(level, message);
        let shape = line::mask(&text);
        self.count += 1;
        let line = Line { level, text: &text, shape: &shape, ts_ms: self.count };
        let place = template::enter(&mut self.templates, line, self.count, true, &Rate::default());
        let critical = self.phrases.find(level, &text).map(|hit| hit.what.to_owned());
        (level, text, self.templates[place].id, critical)
    }
}
