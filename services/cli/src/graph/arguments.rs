//! What `firewatch graph` is asked.

use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use shared::store::edges::MAX_WINDOW_MIN;

/// Prints the service graph: who calls whom, how often, how slowly and with how many failures.
#[derive(Debug, Clone, Args)]
pub struct Graph {
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Time that the figures are of, up to the last call: 1m to 2h.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = window)]
    pub since: SignedDuration,
}

/// Forms of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line an edge.
    Table,
    /// One JSON object.
    Json,
    /// A graph for Graphviz.
    Dot,
    /// A flowchart for Mermaid.
    Mermaid,
}

fn window(text: &str) -> Result<SignedDuration, &'static str> {
    let allowed = SignedDuration::from_mins(1)..=SignedDuration::from_mins(MAX_WINDOW_MIN);
    text.parse().ok().filter(|window| allowed.contains(window)).ok_or("not a duration between 1m and 2h")
}
