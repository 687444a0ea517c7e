//! What the binary can be asked to do other than to run as a service.

use anyhow::Result;

use crate::config::Settings;
use crate::meaning::show;
use crate::{replay, tune};

/// A command.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Runs detection over a file of samples and prints each decision.
    Replay(replay::Args),
    /// Compares what other budgets of false alarms would have made of a file.
    Tune(tune::Args),
    /// Prints how names of metrics are understood.
    Catalogue(show::Args),
}

impl Command {
    /// Does it, and prints what it comes to on standard output.
    pub fn run(self, settings: Settings) -> Result<()> {
        match self {
            Self::Replay(args) => replay::run(&args, settings),
            Self::Tune(args) => tune::run(&args, &settings),
            Self::Catalogue(names) => Ok(show::run(&names, &settings.metrics, std::io::stdout())?),
        }
    }
}
