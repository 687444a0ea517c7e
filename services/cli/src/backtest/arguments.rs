//! What `firewatch backtest` is asked.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What can be tried on files of the past.
#[derive(Debug, Clone, Subcommand)]
pub enum Backtest {
    /// Ranks the services that may have caused a case, with probabilities.
    Cause(Cause),
    /// Finds the incidents in a file of samples, each as it stood when it was opened.
    Incidents(Incidents),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// A table for people.
    Table,
}

/// Ranks the services that may have caused a case, with probabilities.
#[derive(Debug, Clone, Args)]
pub struct Cause {
    /// Folders with metrics.jsonl, topology.json, alert.json and, if there are any, evidence.jsonl (spans and log counts by
    /// the minute) and deployments.jsonl.
    #[arg(value_name = "CASE_DIR", required = true)]
    pub case_dirs: Vec<PathBuf>,
    /// File of spans and log counts from before, as evidence.jsonl; rows that began less than a minute before the alert are
    /// left out. May be given more than once.
    #[arg(long, value_name = "FILE")]
    pub history: Vec<PathBuf>,
    /// Rows just before the alert that are not history; values must be worse than these as well.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    pub before_rows: u16,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Finds the incidents in a file of samples, each as it stood when it was opened.
#[derive(Debug, Clone, Args)]
pub struct Incidents {
    /// File with one sample as JSON a line (ts_ms, service, metric, value), in the order of the times; `-` is the standard
    /// input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// JSON file with `services` and `edges` ([caller, callee]); without it each service stands alone.
    #[arg(long, value_name = "FILE")]
    pub topology: Option<PathBuf>,
    /// File with one change as JSON a line (ts_ms, service); a fresh one supports a fault of the service's code.
    #[arg(long, value_name = "FILE")]
    pub deployments: Option<PathBuf>,
    /// Rows to learn from before anything is judged.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(10..=10_000))]
    pub warm_up_rows: u16,
    /// Length of a row, seconds; of several samples of a series the mean counts.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub row_seconds: u32,
    /// How results are printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
