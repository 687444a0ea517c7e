//! What can be asked of dead letters.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use shared::agent::Agent;
use shared::bus::dead_letter::Address;
use shared::events::Topic;

use super::moment::Moment;

const EFFECT: &str = "\
The record goes back to the topic and partition it came from, unchanged, and keeps its identity: a stage
that has handled it already does nothing. (Detection keeps no list of what it has handled. It drops a
sample that is not newer than its series, and counts a log line as often as it comes.)
Only once Kafka has acknowledged the record is the letter marked. If something breaks in between, the
letter still shows as waiting, and redriving it again does no harm.
Redrive once the cause is fixed: what is refused again becomes a new letter.";

const NO_EFFECT: &str = "\
Nothing is deleted: the decision is written behind the letter, with who took it, when and why. The letter
goes when the topic forgets it, after 14 days.";

/// What can be done with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub enum Dlq {
    /// Lists dead letters, oldest first, and counts them by stage and reason.
    List {
        /// Which dead letters.
        #[command(flatten)]
        filter: Filter,
        /// Only those about which nothing was decided yet.
        #[arg(long)]
        waiting: bool,
        /// Most letters to list, the newest; all are counted.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Prints one JSON object: `letters`, `counts` and what was passed over.
        #[arg(long)]
        json: bool,
    },
    /// Shows one dead letter: why, where from, headers, payload, and what was decided.
    Show {
        /// Its address, e.g. correlation/0/42.
        address: Address,
        /// Prints it as one JSON object, payload and headers in full.
        #[arg(long)]
        json: bool,
    },
    /// Sends the records of dead letters again, to where they came from.
    #[command(after_help = EFFECT)]
    Redrive {
        /// Which dead letters.
        #[command(flatten)]
        choice: Choice,
        /// Also those that were redriven or discarded before.
        #[arg(long)]
        again: bool,
    },
    /// Notes that dead letters are let be.
    #[command(after_help = NO_EFFECT)]
    Discard {
        /// Which dead letters.
        #[command(flatten)]
        choice: Choice,
    },
}

/// Which dead letters, and how.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// Addresses, e.g. correlation/0/42; `firewatch dlq list` shows them.
    #[arg(
        value_name = "ADDRESS",
        required_unless_present = "all",
        conflicts_with_all = ["stage", "topic", "reason", "key", "since", "until"],
    )]
    pub addresses: Vec<Address>,
    /// All letters that the filters let through.
    #[arg(long, conflicts_with = "addresses")]
    pub all: bool,
    /// Which of all.
    #[command(flatten)]
    pub filter: Filter,
    /// With --all: at most this many, the oldest.
    #[arg(long, value_name = "N", requires = "all", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub because: Option<String>,
    /// Tells what would be done, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Asks no questions. Without it, more than one letter needs a terminal to ask on.
    #[arg(long, short)]
    pub yes: bool,
}

/// Conditions that all must hold.
#[derive(Debug, Clone, Default, Args)]
pub struct Filter {
    /// Only dead letters of this stage.
    #[arg(long, value_name = "STAGE", value_parser = stage())]
    pub stage: Option<Agent>,
    /// Only records that came from this topic.
    #[arg(long, value_name = "TOPIC", value_parser = super::topic(), hide_possible_values = true)]
    pub topic: Option<Topic>,
    /// Only those whose reason holds this text, in any case.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only those with this key.
    #[arg(long, value_name = "K")]
    pub key: Option<String>,
    /// Only those written at or after this time: 2026-03-01 10:00 (UTC), an RFC 3339 time, or 2h for 2 hours ago.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Only those written before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Moment>,
}

fn stage() -> impl TypedValueParser<Value = Agent> {
    PossibleValuesParser::new(Agent::names()).try_map(|name| Agent::from_name(&name).ok_or("no such stage"))
}
