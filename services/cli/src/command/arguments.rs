//! What the commands that change something are asked.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use shared::events::Severity;
use shared::ids::CommandId;
use shared::window::duration;

use crate::arguments::IncidentRef;
use crate::arguments::moment::Until;

/// Who asks, and how long the outcome is waited for.
#[derive(Debug, Clone, Args)]
pub struct Sender {
    /// Who asks; on record with the command.
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
    pub by: String,
    /// How long to wait for the outcome, e.g. 10s or 1m.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = wait)]
    pub wait: SignedDuration,
    /// Id of the command: the same id again is the same command and changes nothing.
    #[arg(long, value_name = "UUID")]
    pub command_id: Option<CommandId>,
    /// Prints the command with its outcome as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// An incident, and who asks.
#[derive(Debug, Clone, Args)]
pub struct OfIncident {
    /// Its number, e.g. 12, or its id.
    #[arg(value_name = "NUMBER|ID")]
    pub incident: IncidentRef,
    /// Who asks.
    #[command(flatten)]
    pub sender: Sender,
}

/// An incident, a reason, and who asks.
#[derive(Debug, Clone, Args)]
pub struct WithReason {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// Why; shown in the timeline and in messages.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// Says who works on an incident.
#[derive(Debug, Clone, Args)]
pub struct Assign {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// Who works on it.
    #[arg(long, value_name = "NAME")]
    pub to: String,
}

/// Adds a remark to the timeline.
#[derive(Debug, Clone, Args)]
pub struct Comment {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// The remark.
    #[arg(value_name = "TEXT")]
    pub text: String,
}

/// Sets the severity.
#[derive(Debug, Clone, Args)]
pub struct SetSeverity {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// sev1 to sev4, or `computed` to let Firewatch compute it again.
    #[arg(value_name = "SEVERITY", value_parser = PossibleValuesParser::new(["sev1", "sev2", "sev3", "sev4", "computed"])
        .map(|name| severity(&name)))]
    pub severity: Stated,
    /// Why; shown in the timeline and in messages.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// A severity as a person states it; none: it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stated(pub Option<Severity>);

/// Ends an incident in another one.
#[derive(Debug, Clone, Args)]
pub struct Merge {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// The incident that stays.
    #[arg(long, value_name = "NUMBER|ID")]
    pub into: IncidentRef,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Makes an incident of members of another one.
#[derive(Debug, Clone, Args)]
pub struct Split {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// Services whose signals leave.
    #[arg(long = "service", value_name = "NAME", required = true)]
    pub services: Vec<String>,
    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Ends updates about an incident for a time.
#[derive(Debug, Clone, Args)]
pub struct MuteIncident {
    /// Which one.
    #[command(flatten)]
    pub of: OfIncident,
    /// For how long, e.g. 2h, or until when; otherwise until it is over.
    #[arg(long = "for", value_name = "DURATION|TIME")]
    pub until: Option<Until>,
}

/// Takes a service out of operation: its silence raises no alert.
#[derive(Debug, Clone, Args)]
pub struct Retire {
    /// Service.
    #[arg(value_name = "SERVICE")]
    pub service: String,
    /// Environment.
    #[arg(long, value_name = "NAME", default_value = "production")]
    pub environment: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who asks.
    #[command(flatten)]
    pub sender: Sender,
}

/// What can be asked for.
#[derive(Debug, Clone, Subcommand)]
pub enum Request {
    /// Acknowledges an incident: its escalation ends.
    Ack(OfIncident),
    /// Says who works on an incident.
    Assign(Assign),
    /// Adds a remark to the timeline of an incident.
    Comment(Comment),
    /// Sets the severity of an incident, or lets it be computed again.
    Severity(SetSeverity),
    /// Resolves an incident. Series that stay abnormal for half an hour more open it again.
    Resolve(WithReason),
    /// Opens an incident again that is over.
    Reopen(WithReason),
    /// Ends an incident in another one of the same fault.
    Merge(Merge),
    /// Makes members of an incident an incident of their own.
    Split(Split),
    /// Ends updates about an incident; its end is still reported.
    Mute(MuteIncident),
    /// Lets updates about an incident be sent again.
    Unmute(OfIncident),
    /// Takes a service out of operation as planned.
    Retire(Retire),
}

fn severity(name: &str) -> Stated {
    Stated(serde_json::from_value(name.into()).ok())
}

/// Longest wait for an outcome.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);

fn wait(text: &str) -> Result<SignedDuration, &'static str> {
    duration(text)
        .ok()
        .filter(|wait| !wait.is_negative() && *wait <= LONGEST_WAIT)
        .ok_or("not a duration of at most ten minutes, e.g. 10s or 1m")
}
