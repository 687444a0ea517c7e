//! What `firewatch replay` is asked.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jiff::{SignedDuration, Timestamp};
use shared::agent::Agent;
use shared::replay::Request;

use crate::arguments::moment::Moment;
use crate::failure::CliError;

/// Longest warm-up.
const LONGEST_WARM_UP: SignedDuration = SignedDuration::from_hours(24 * 14);

/// Runs a window of the past through a stage, as this build and these settings have it, and prints what differs.
#[derive(Debug, Clone, Args)]
pub struct Replay {
    /// Stage to run.
    #[arg(long, value_parser = stage())]
    pub stage: Agent,
    /// Begin of the window: a time such as 2026-03-01T10:00:00Z, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME")]
    pub from: Moment,
    /// End of the window, in the same forms; now, if not given.
    #[arg(long, value_name = "TIME")]
    pub to: Option<Moment>,
    /// How long before the window the stage begins, to have in hand what it had in hand.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub warm_up: SignedDuration,
    /// Most records to read, warm-up included.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub limit: u64,
    /// Prints the report as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Keeps the scratch schema.
    #[arg(long)]
    pub keep: bool,
}

/// Detection is accepted, so that its refusal can say what to do instead.
fn stage() -> impl TypedValueParser<Value = Agent> {
    let shown =
        Agent::ALL.iter().map(|agent| PossibleValue::new(agent.name()).hide(*agent == Agent::Detection));
    PossibleValuesParser::new(shown).try_map(|name| Agent::from_name(&name).ok_or("no such stage"))
}

fn duration(text: &str) -> Result<SignedDuration, &'static str> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if !duration.is_negative() => Ok(duration),
        _ => Err("not a duration such as 15m or 2h 30m"),
    }
}

impl Replay {
    /// Returns what is asked for.
    pub fn request(&self, now: Timestamp) -> Result<Request, CliError> {
        let (from, to) = (self.from.seen_from(now), self.to.map_or(now, |to| to.seen_from(now)));
        if from >= to {
            return Err(CliError::Usage(format!("the window ends at {to}, which is not after {from}")));
        }
        if self.warm_up > LONGEST_WARM_UP {
            return Err(CliError::Usage("the warm-up is longer than topics are kept, 14 days".to_owned()));
        }
        Ok(Request { from, to, warm_up: self.warm_up, limit: self.limit, keep: self.keep })
    }
}
