//! What is wrong with a section of a runbook.

use super::{MAX_SECTION, MAX_STEPS};
use crate::text::markdown;

/// What is wrong with a section, and on which of its lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Error {
    /// Line of the section's text, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The section holds no steps by its name.
    #[error("section {0:?} is not one of \"Immediate actions\", \"Within 15 minutes\", \"Within 1 hour\"")]
    NotAnActionSection(String),
    /// Longer than anyone reads in an incident.
    #[error("section is longer than {MAX_SECTION} bytes")]
    TooLong,
    /// Too many steps to follow.
    #[error("section has more than {MAX_STEPS} steps")]
    TooManySteps,
    /// No step at all.
    #[error("section has no step (a level-3 heading)")]
    NoSteps,
    /// Text that belongs to no step.
    #[error("text before the first step: {0:?}")]
    Stray(String),
    /// A step without a title.
    #[error("a step has no title")]
    Untitled,
    /// A title or a section inside a section.
    #[error("a heading of level {0} inside a section; a step has level 3, text has level 4 and below")]
    Level(u8),
    /// A line that was meant as a heading, and is text.
    #[error("{0:?} is text, not a heading: begin the line with ### and a blank")]
    NoHeading(String),
    /// A field is not there or empty.
    #[error("{place}: field {field} is missing")]
    Missing {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A field is there twice.
    #[error("{place}: field {field} appears twice")]
    Twice {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A line of the field list is not one of the fields.
    #[error("{place}: {line:?} is not a known field")]
    UnknownField {
        /// Title of the step, or the section.
        place: String,
        /// The line.
        line: String,
    },
    /// A field holds more than a text.
    #[error("{place}: field {field} holds more than one paragraph")]
    NotOneText {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
    },
    /// A field has a value that means nothing.
    #[error("{place}: {field} cannot be {value:?}")]
    Invalid {
        /// Title of the step, or the section.
        place: String,
        /// Name of the field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// Nothing says how.
    #[error("{0}: no text says how to do it")]
    NoText(String),
    /// The heading of a step was not read as one, and its fields are text of the step above.
    #[error("{0}: its text holds the fields of another step, which has no level-3 heading")]
    StepInText(String),
    /// It would be misread.
    #[error(transparent)]
    Markdown(markdown::Fault),
}

impl From<markdown::Error> for Error {
    fn from(markdown::Error { line, fault }: markdown::Error) -> Self {
        Self { line, fault: Fault::Markdown(fault) }
    }
}
