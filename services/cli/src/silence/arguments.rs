//! What `firewatch silence` and `firewatch maintenance` are asked.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use shared::events::command::{Recurrence, SilenceSpec};
use shared::ids::CommandId;
use shared::matchers::Matchers;
use shared::window;

use crate::arguments::moment::{Moment, Until};
use crate::command::arguments::Sender;

/// What can be done with silences.
#[derive(Debug, Clone, Subcommand)]
pub enum Silences {
    /// Begins one: notifications of incidents that match are not sent while it is active.
    ///
    /// What is open and has been hidden when it ends is announced then.
    Add(Box<Add>),
    /// Lists those that are active or begin later, the last one first.
    List(List),
    /// Shows one, with the notifications that it hid.
    Show(Show),
    /// Ends one before its time. Incidents that it hid and that are still open are announced.
    End(End),
    /// Prints what matchers would have hidden lately. Nothing is changed.
    Preview(Preview),
}

/// Begins a silence.
#[derive(Debug, Clone, Args)]
pub struct Add {
    /// What it hides, e.g. `service="payment", severity<="SEV2"`; all matchers must hold.
    #[arg(long, value_name = "MATCHERS", value_parser = matchers)]
    pub matchers: String,
    /// For how long, from its begin on, e.g. 2h.
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = duration,
        required_unless_present = "until",
        conflicts_with = "until"
    )]
    pub lasts: Option<SignedDuration>,
    /// Until when, e.g. `2026-03-01 22:30`.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Until>,
    /// From when on, e.g. `2026-03-01 22:00` or 30m; now unless given.
    #[arg(long, value_name = "TIME|DURATION")]
    pub starts: Option<Until>,
    /// When it recurs between begin and end: five fields of cron, e.g. `0 2 * * SAT`.
    #[arg(long, value_name = "CRON", requires_all = ["zone", "duration"])]
    pub cron: Option<String>,
    /// Time zone of the fields of cron, e.g. Europe/Berlin.
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub zone: Option<String>,
    /// Length of each window of one that recurs, e.g. 2h; whole minutes.
    #[arg(long, value_name = "DURATION", value_parser = minutes, requires = "cron")]
    pub duration: Option<u32>,
    /// Why nothing is to be sent.
    #[arg(long, value_name = "TEXT")]
    pub comment: String,
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Who asks.
    #[command(flatten)]
    pub sender: Sender,
}

impl Add {
    /// Returns what is asked for.
    pub fn spec(&self, is_maintenance: bool, now: Timestamp) -> SilenceSpec {
        let starts_at = self.starts.map_or(now, |starts| starts.seen_from(now));
        let ends_at = match (self.until, self.lasts) {
            (Some(until), _) => until.seen_from(now),
            (None, lasts) => starts_at.saturating_add(lasts.unwrap_or_default()).unwrap_or(Timestamp::MAX),
        };
        let recurrence = self.cron.clone().map(|cron| Recurrence {
            cron,
            zone: self.zone.clone().unwrap_or_default(),
            duration_min: self.duration.unwrap_or_default(),
        });
        let (matchers, comment) = (self.matchers.clone(), self.comment.clone());
        SilenceSpec { is_maintenance, matchers, starts_at, ends_at, recurrence, comment }
    }
}

/// Lists silences.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Also those that are over or were ended.
    #[arg(long)]
    pub all: bool,
    /// Only those that began before that one, e.g. the last one of the page before.
    #[arg(long, value_name = "ID")]
    pub before: Option<CommandId>,
    /// Most silences to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub limit: i64,
    /// Prints one JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Shows a silence.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// Its id: that of the command that began it.
    #[arg(value_name = "ID")]
    pub id: CommandId,
    /// Most notifications to list.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1_000))]
    pub limit: i64,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Ends a silence.
#[derive(Debug, Clone, Args)]
pub struct End {
    /// Its id: that of the command that began it.
    #[arg(value_name = "ID")]
    pub id: CommandId,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who asks.
    #[command(flatten)]
    pub sender: Sender,
}

/// Says what matchers would have hidden.
#[derive(Debug, Clone, Args)]
pub struct Preview {
    /// What would be hidden, e.g. `service="payment"`; all matchers must hold.
    #[arg(long, value_name = "MATCHERS", value_parser = matchers)]
    pub matchers: String,
    /// Since when incidents are looked at, e.g. 7d.
    #[arg(long, value_name = "DURATION|TIME", default_value = "7d")]
    pub since: Moment,
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Prints one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn matchers(text: &str) -> Result<String, String> {
    let read: Matchers = text.parse().map_err(|error: shared::matchers::Error| error.to_string())?;
    read.selective().map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration = window::duration(text).map_err(|error| error.to_string())?;
    if duration.is_positive() { Ok(duration) } else { Err("a duration above zero is needed".to_owned()) }
}

fn minutes(text: &str) -> Result<u32, String> {
    let duration = duration(text)?;
    let minutes = u32::try_from(duration.as_mins()).map_err(|_| "the duration is too long".to_owned())?;
    let is_whole = SignedDuration::from_mins(i64::from(minutes)) == duration;
    if is_whole { Ok(minutes) } else { Err("a duration of whole minutes is needed".to_owned()) }
}
