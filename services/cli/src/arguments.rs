//! The command line.

pub mod dlq;
pub mod moment;

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Parser, Subcommand};
use shared::events::{Category, Topic};
use shared::ids::IncidentId;

const SETTINGS: &str = "\
Settings, as for the agents; later ones win:
  defaults            Kafka on 127.0.0.1:9092, PostgreSQL on 127.0.0.1:5432
  --config FILE       TOML, e.g. kafka.brokers and postgres.url
  environment         FIREWATCH_KAFKA__BROKERS, FIREWATCH_POSTGRES__URL

Without --config and with neither variable set, the nearest .run/env in this folder or one above is
read: the file a running demo leaves there, so that the commands just work beside it.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 not found, 4 a replay differs,
5 a command was refused, 6 a command has no outcome yet.
Colours only on a terminal, and never where NO_COLOR is set. Times are UTC.";

/// Looks at incidents and at what travels between the agents, and sends again what was refused.
#[derive(Debug, Clone, Parser)]
#[command(name = "firewatch", version, after_help = SETTINGS)]
pub struct Arguments {
    /// TOML file with settings.
    #[arg(long, env = "FIREWATCH_CONFIG", hide_env_values = true, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the command line can do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Incidents, as PostgreSQL has them.
    Incidents {
        /// What to do with them.
        #[command(subcommand)]
        command: Incidents,
    },
    /// Looks for the cause of what a service shows now or showed at a time, without an incident.
    ///
    /// The same ranking and the same checked claims as for an incident, over what is stored: abnormal series of the service, of
    /// those it calls and of those that call it, changes, the service graph and the knowledge base. Nothing is written.
    Diagnose(crate::diagnose::arguments::Diagnose),
    /// Action items of postmortems: what is to be done so that an incident does not happen again.
    Actions {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::actions::arguments::Actions,
    },
    /// What changes an incident or takes a service out of operation.
    #[command(flatten)]
    Request(crate::command::arguments::Request),
    /// Evidence: what was read for an investigation, as it was then.
    Evidence {
        /// What to do with it.
        #[command(subcommand)]
        command: crate::evidence::arguments::Evidence,
    },
    /// Postmortems: shows, revises and exports them, and approves what is to be learned.
    Postmortem {
        /// What to do with it.
        #[command(subcommand)]
        command: crate::postmortem::arguments::Postmortem,
    },
    /// Says whether the cause that was found for an incident was right.
    Feedback(crate::feedback::arguments::FeedbackArguments),
    /// Counts how often causes were right, of those that people have judged.
    Accuracy(crate::feedback::arguments::AccuracyArguments),
    /// Prints the service graph: who calls whom, how often, how slowly and with how many failures.
    Graph(crate::graph::arguments::Graph),
    /// The knowledge base: searches it, explains a result, checks its content.
    Kb {
        /// What to do with it.
        #[command(subcommand)]
        command: crate::kb::arguments::Kb,
    },
    /// Prints who is on call, until when, why, and who is next.
    Oncall(crate::oncall::arguments::OnCall),
    /// Routes: who would be notified of an incident, and whether the file is valid.
    Routes {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::routes::arguments::Routes,
    },
    /// Silences: notifications of incidents that match are not sent for a time.
    Silence {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::silence::arguments::Silences,
    },
    /// Maintenance windows: silences for planned work, once or again and again.
    Maintenance {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::silence::arguments::Silences,
    },
    /// Privacy: what is stored of a person is erased on request.
    Privacy {
        /// What to do.
        #[command(subcommand)]
        command: crate::privacy::arguments::Privacy,
    },
    /// Retention: rows that are removed after their ages.
    Retention {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::retention::arguments::Retention,
    },
    /// Tokens: who may send telemetry to the gateway, and read and change incidents.
    Token {
        /// What to do with them.
        #[command(subcommand)]
        command: crate::token::arguments::Tokens,
    },
    /// Topics, as Kafka has them.
    Topics {
        /// What to do with them.
        #[command(subcommand)]
        command: Topics,
    },
    /// Dead letters: records that a stage refused, with the reason.
    Dlq {
        /// What to do with them.
        #[command(subcommand)]
        command: dlq::Dlq,
    },
    /// Runs a window of the past through a stage once more and tells what would differ.
    Replay(crate::replay::arguments::Replay),
    /// Prints the completions of a shell, e.g. for `source <(firewatch completions bash)`.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Prints the manual page, for `man -l -`; of one command where that is named.
    Man {
        /// Command, e.g. `resolve` or `topics tail`.
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Tries Firewatch on files of the past; needs neither Kafka nor PostgreSQL.
    Backtest {
        /// What to try.
        #[command(subcommand)]
        command: crate::backtest::arguments::Backtest,
    },
}

/// What can be done with incidents.
#[derive(Debug, Clone, Subcommand)]
pub enum Incidents {
    /// Lists incidents, newest first.
    List {
        /// Leaves out those that are resolved or closed.
        #[arg(long)]
        open: bool,
        /// Only those with a smaller number, e.g. the last one of the page before.
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// Most incidents to list.
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// Prints the stored documents as one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Shows one incident: suspects, signals, cause, plan, notifications, timeline.
    Show {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// Prints everything stored about it as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Exports everything on record of one incident, as it is stored, with a manifest of counts and checksums.
    ///
    /// Values that were replaced by placeholders stay sealed. The bundle holds names and addresses of people: it can be read by
    /// its owner only.
    Export {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// Where to: a new folder, or a new file that ends with .tar.gz or .json.
        #[arg(long, value_name = "PATH")]
        out: PathBuf,
        /// Prints the manifest.
        #[arg(long)]
        json: bool,
    },
    /// Prints the timeline of one incident: comments, commands, notifications and what the agents did, in one order.
    Timeline {
        /// Its number, e.g. 12, or its id.
        #[arg(value_name = "NUMBER|ID")]
        which: IncidentRef,
        /// Prints Markdown.
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
        /// File to write instead of the standard output; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// What can be done with topics.
#[derive(Debug, Clone, Subcommand)]
pub enum Topics {
    /// Lists Firewatch's topics: what they carry, what they hold and who is behind.
    List {
        /// Prints one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Prints the last records of a topic, one readable line each.
    Tail {
        /// Topic, e.g. incidents.updated; `firewatch topics list` names them all.
        #[arg(value_name = "TOPIC", value_parser = topic(), hide_possible_values = true)]
        topic: Topic,
        /// How many records to begin with, over all partitions.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1_000))]
        last: u16,
        /// Goes on with each record that comes, until interrupted.
        #[arg(long, short)]
        follow: bool,
        /// Only records with this key, among the last 100,000 of each partition.
        #[arg(long, value_name = "K")]
        key: Option<String>,
        /// Prints one JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// How an incident is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentRef {
    /// By the number people use.
    Number(i64),
    /// By its id.
    Id(IncidentId),
}

impl FromStr for IncidentRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.strip_prefix('#').unwrap_or(text);
        number
            .parse()
            .map(Self::Number)
            .or_else(|_| text.parse().map(Self::Id))
            .map_err(|_| "neither a number nor an id")
    }
}

impl std::fmt::Display for IncidentRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "#{number}"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

fn topic() -> impl clap::builder::TypedValueParser<Value = Topic> {
    PossibleValuesParser::new(Topic::all().into_iter().map(Topic::name))
        .try_map(|name| Topic::from_name(&name).ok_or("no such topic"))
}

/// Reads a kind of cause.
pub(crate) fn category(name: &str) -> Result<Category, String> {
    let known = Category::CAUSES.into_iter().find(|category| category.to_string() == name);
    known.ok_or_else(|| {
        let names = Category::CAUSES.map(|category| category.to_string()).join(", ");
        format!("not one of {names}")
    })
}
