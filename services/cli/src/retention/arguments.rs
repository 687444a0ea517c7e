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
    /// The ages are the settings `[retention]`: give the command the configuration of your agents, and --yes once the ages that it
    /// prints are theirs. It may be interrupted at any time, and run beside agents: what is not removed yet is removed by the next
    /// turn.
    Run {
        /// Removes rows after the ages that the command prints; without it nothing is removed.
        #[arg(long)]
        yes: bool,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
}
