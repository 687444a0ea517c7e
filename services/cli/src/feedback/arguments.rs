//! What `firewatch feedback` and `firewatch accuracy` are asked.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use shared::events::Category;
use shared::store::feedback::{Feedback, Judgement};
use shared::text::sanitize::{NAME, SENTENCE, one_line};

use crate::arguments::{IncidentRef, category};
use crate::failure::CliError;

/// Says whether the cause that was found for an incident was right. The last word counts.
#[derive(Debug, Clone, Args)]
pub struct FeedbackArguments {
    /// Its number, e.g. 12, or its id.
    #[arg(value_name = "NUMBER|ID")]
    pub incident: IncidentRef,
    /// Whether the first candidate was the cause.
    #[arg(long, value_parser = PossibleValuesParser::new(["right", "wrong"]).try_map(|text| text.parse::<Judgement>()))]
    pub cause: Judgement,
    /// The service that was at fault, if it was another one.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// The kind of cause, if it was another one.
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    pub category: Option<Category>,
    /// Why, in a sentence.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Who says so.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
    pub by: String,
}

/// Counts how often causes were right, of those that people have judged.
#[derive(Debug, Clone, Args)]
pub struct AccuracyArguments {
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl FeedbackArguments {
    /// Returns the judgement, given at `now`.
    pub fn feedback(self, now: Timestamp) -> Result<Feedback, CliError> {
        let is_corrected = self.service.is_some() || self.category.is_some();
        if self.cause == Judgement::Right && is_corrected {
            return Err(CliError::Usage(
                "a cause that is right needs neither --service nor --category".into(),
            ));
        }
        Ok(Feedback {
            cause: self.cause,
            service: self.service.map(|name| one_line(&name, NAME)),
            category: self.category,
            comment: self.comment.map(|text| one_line(&text, SENTENCE)),
            given_by: one_line(&self.by, NAME),
            given_at: now,
        })
    }
}
