//! The commands of the binary other than to run as a service.

use anyhow::Result;

use super::{catalogue, replay, tune};
use crate::config::Settings;

/// A command.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Runs detection over a file of samples and prints each decision.
    Replay(replay::Args),
    /// Compares what other budgets of false alarms would have made of a file.
    Tune(tune::Args),
    /// Prints how names of metrics are understood.
    Catalogue(catalogue::Args),
}

impl Command {
    /// Does it, and prints what it comes to on standard output.
    pub fn run(self, settings: Settings) -> Result<()> {
        match self {
            Self::Replay(args) => replay::run(&args, settings),
            Self::Tune(args) => tune::run(&args, &settings),
            Self::Catalogue(args) => catalogue::command(&args, &settings, std::io::stdout()),
        }
    }
}
