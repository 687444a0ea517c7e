//! What `firewatch retention` is asked.

use clap::Subcommand;

/// What can be done with rows that are old.
#[derive(Debug, Clone, Subcommand)]
pub enum Retention {
    /// Counts what would be removed now; changes nothing.
    ///
    /// The ages are the settings `[retention]`: give the command the configuration of your agents.
    Preview {
        /// Prints one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Removes what is old now, as agents do by themselves once an hour.
    ///
    /// It may be interrupted at any time, and run beside agents: what is not removed yet is removed by the next turn.
    Run {
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}
