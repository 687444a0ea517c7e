//! What `firewatch diagnose` is asked.

use clap::Args;
use jiff::SignedDuration;

use crate::arguments::moment::Moment;

/// A service and a time.
#[derive(Debug, Clone, Args)]
pub struct Diagnose {
    /// Service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// When, e.g. `2026-03-01 10:00` (UTC) or `2h` for two hours ago; now if it is left out.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// How long before that an abnormal series may have ended: 1m to 24h.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = window)]
    pub since: SignedDuration,
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Prints one JSON object, with all records that were read.
    #[arg(long)]
    pub json: bool,
}

fn window(text: &str) -> Result<SignedDuration, &'static str> {
    let allowed = SignedDuration::from_mins(1)..=SignedDuration::from_hours(24);
    text.parse().ok().filter(|window| allowed.contains(window)).ok_or("not a duration between 1m and 24h")
}
