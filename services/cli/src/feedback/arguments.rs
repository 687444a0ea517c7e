//! What `firewatch feedback` and `firewatch accuracy` are asked.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use shared::events::Category;
use shared::events::command::Action;
use shared::store::feedback::Judgement;

use crate::arguments::category;
use crate::command::arguments::OfIncident;
use crate::failure::CliError;

/// Says whether the cause that was found for an incident was right. The last word counts.
#[derive(Debug, Clone, Args)]
pub struct FeedbackArguments {
    /// Which one, and who says so.
    #[command(flatten)]
    pub of: OfIncident,
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
    /// Returns what is asked for.
    pub fn action(&self) -> Result<Action, CliError> {
        let is_right = self.cause == Judgement::Right;
        if is_right && (self.service.is_some() || self.category.is_some()) {
            return Err(CliError::Usage(
                "a cause that is right needs neither --service nor --category".into(),
            ));
        }
        Ok(Action::Feedback {
            is_right,
            service: self.service.clone(),
            category: self.category,
            comment: self.comment.clone(),
        })
    }
}
