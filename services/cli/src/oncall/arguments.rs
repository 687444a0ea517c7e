//! What `firewatch oncall` is asked.

use std::path::PathBuf;

use clap::Args;

use crate::arguments::moment::Moment;

/// Prints who is on call, until when, why, and who is next.
#[derive(Debug, Clone, Args)]
pub struct OnCall {
    /// When, e.g. `2026-03-01 10:00` or `2h` (ago); now unless given.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// Only rotations of this team.
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
    /// Content directory with `oncall`.
    #[arg(
        long,
        env = "FIREWATCH_CONTENT",
        hide_env_values = true,
        value_name = "DIRECTORY",
        default_value = "knowledge"
    )]
    pub dir: PathBuf,
    /// Prints one JSON array.
    #[arg(long)]
    pub json: bool,
}
