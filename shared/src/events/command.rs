//! What people ask of Firewatch. A command is an event like any other: the stage that owns what is changed decides on it once
//! and records the outcome with its reason.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Category, Event, Refusal, Severity, default_environment, named};
use crate::agent::Agent;
use crate::ids::{ActionItemId, CommandId, IncidentId};

/// Longest text of a command: a comment or a reason, bytes.
pub const MAX_TEXT: usize = 4_000;
/// Most services that one command names.
pub const MAX_SERVICES: usize = 50;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Chosen by the sender. The same id again is the same command and changes nothing.
    pub command_id: CommandId,
    /// Environment.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Incident that it is about; absent for what concerns an environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident_id: Option<IncidentId>,
    /// Who asks.
    pub by: String,
    /// From where: `cli`, `api`, `slack`, ...
    pub origin: String,
    /// When, by the clock of the sender.
    pub at: Timestamp,
    /// What for.
    pub action: Action,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(tag = "verb", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// Somebody works on the incident: its escalation ends.
    Acknowledge,
    /// The incident has an owner.
    Assign {
        /// Who works on it.
        to: String,
    },
    /// A remark for the timeline.
    Comment {
        /// The remark.
        text: String,
    },
    /// The severity is what a person says, and is not computed any more.
    OverrideSeverity {
        /// The severity; absent: it is computed again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        severity: Option<Severity>,
        /// Why.
        reason: String,
    },
    /// The incident is over, whatever its series show.
    Resolve {
        /// Why.
        reason: String,
    },
    /// An incident that is over is open again.
    Reopen {
        /// Why.
        reason: String,
    },
    /// The incident is of the same fault as another one and ends in it.
    Merge {
        /// The incident that stays.
        into: IncidentId,
        /// Why.
        reason: String,
    },
    /// Members of the incident are of another fault and become an incident of their own.
    Split {
        /// Services whose members leave (at most 50).
        services: Vec<String>,
        /// Why.
        reason: String,
    },
    /// Nothing is sent about the incident until then, but its end.
    Mute {
        /// Until when; absent: until it is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Updates are sent again.
    Unmute,
    /// Says whether the cause was right.
    Feedback {
        /// Whether it was.
        is_right: bool,
        /// The service that was at fault, where another one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// The kind of cause, where it was another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<Category>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// Notifications that match are not sent while it is active.
    Silence {
        /// What it is.
        silence: SilenceSpec,
    },
    /// A silence ends before its time.
    EndSilence {
        /// The command that began it.
        silence_id: CommandId,
        /// Why.
        reason: String,
    },
    /// An action item of the postmortem is done.
    CompleteActionItem {
        /// Item.
        item_id: ActionItemId,
        /// What was done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// An action item that was done or dropped is open again.
    ReopenActionItem {
        /// Item.
        item_id: ActionItemId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// An action item will not be done.
    DropActionItem {
        /// Item.
        item_id: ActionItemId,
        /// Why.
        reason: String,
    },
    /// A service is taken out of operation as planned.
    Retire {
        /// Service.
        service: String,
        /// Why.
        reason: String,
    },
}

impl Action {
    /// Returns the verb, as it is on record.
    pub fn verb(&self) -> &'static str {
        self.into()
    }

    /// Returns the agent that decides on it: the one that owns what is changed.
    pub fn owner(&self) -> Agent {
        match self {
            Self::Silence { .. } | Self::EndSilence { .. } => Agent::Communication,
            Self::CompleteActionItem { .. } | Self::ReopenActionItem { .. } | Self::DropActionItem { .. } => {
                Agent::Postmortem
            }
            _ => Agent::Correlation,
        }
    }

    /// Returns whether it is about one incident.
    pub fn concerns_incident(&self) -> bool {
        !matches!(self, Self::Silence { .. } | Self::EndSilence { .. } | Self::Retire { .. })
    }

    fn texts(&self) -> [&str; 2] {
        match self {
            Self::Acknowledge | Self::Mute { .. } | Self::Unmute => ["", ""],
            Self::Assign { to } => [to, ""],
            Self::Comment { text } => [text, ""],
            Self::OverrideSeverity { reason, .. }
            | Self::Resolve { reason }
            | Self::Reopen { reason }
            | Self::Merge { reason, .. }
            | Self::Split { reason, .. }
            | Self::DropActionItem { reason, .. }
            | Self::EndSilence { reason, .. } => [reason, ""],
            Self::CompleteActionItem { note, .. } | Self::ReopenActionItem { note, .. } => {
                [note.as_deref().unwrap_or_default(), ""]
            }
            Self::Feedback { service, comment, .. } => {
                [service.as_deref().unwrap_or_default(), comment.as_deref().unwrap_or_default()]
            }
            Self::Silence { silence } => [&silence.matchers, &silence.comment],
            Self::Retire { service, reason } => [service, reason],
        }
    }
}

/// What a silence hides, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilenceSpec {
    /// Whether work on the system is planned: the messages say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_maintenance: bool,
    /// Matchers as Alertmanager writes them, all of which must hold: `service="payment", severity!="SEV1"`.
    pub matchers: String,
    /// Begin, or earliest begin of a recurring one.
    pub starts_at: Timestamp,
    /// End, or latest end of a recurring one.
    pub ends_at: Timestamp,
    /// When it recurs; absent: it is active from begin to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrence: Option<Recurrence>,
    /// Why.
    pub comment: String,
}

/// Windows that recur.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recurrence {
    /// Begin of each window, five fields as cron has them: `0 2 * * SAT`.
    pub cron: String,
    /// Time zone of these fields, e.g. `Europe/Berlin`.
    pub zone: String,
    /// Length of each window, minutes.
    pub duration_min: u32,
}

impl Event for Command {
    const TYPE: &'static str = "firewatch.command.v1";

    fn subject(&self) -> String {
        self.incident_id.map_or_else(|| self.environment.clone(), |incident| incident.to_string())
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("environment", &self.environment)?;
        named("by", &self.by)?;
        named("origin", &self.origin)?;
        if self.action.concerns_incident() != self.incident_id.is_some() {
            let what = if self.incident_id.is_some() { "names an incident" } else { "names no incident" };
            return Err(Refusal::Invalid(format!("{} {what}", self.action.verb())));
        }
        let names = [self.environment.as_str(), &self.by, &self.origin];
        if names.into_iter().chain(self.action.texts()).any(|text| text.contains('\0')) {
            return Err(Refusal::Invalid("a text holds the character U+0000".to_owned()));
        }
        if let Some(long) = self.action.texts().iter().find(|text| text.len() > MAX_TEXT) {
            return Err(Refusal::Invalid(format!(
                "a text of {} bytes is longer than {MAX_TEXT}",
                long.len()
            )));
        }
        match &self.action {
            Action::Assign { to } => named("to", to),
            Action::Retire { service, .. } => named("service", service),
            Action::Split { services, .. } if services.len() > MAX_SERVICES => {
                Err(Refusal::Invalid(format!("{} services are more than {MAX_SERVICES}", services.len())))
            }
            Action::Split { services, .. } => services.iter().try_for_each(|one| named("services", one)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;
    use crate::events::{decode, encode};
    use crate::ids::derive;

    fn command(incident: Option<IncidentId>, action: Action) -> Command {
        Command {
            command_id: CommandId(derive(&["command"])),
            environment: "production".into(),
            incident_id: incident,
            by: "jane".into(),
            origin: "cli".into(),
            at: from_ms(1_000),
            action,
        }
    }

    #[test]
    fn a_command_is_about_an_incident_or_an_environment_as_its_verb_says() {
        let incident = Some(IncidentId(derive(&["incident"])));
        let resolve = || Action::Resolve { reason: "fixed".into() };
        assert!(command(incident, resolve()).validate().is_ok());
        assert!(command(None, resolve()).validate().is_err());
        let retire = || Action::Retire { service: "payment".into(), reason: "replaced".into() };
        assert!(command(None, retire()).validate().is_ok());
        assert!(command(incident, retire()).validate().is_err());
    }

    #[test]
    fn texts_are_bounded_and_a_verb_that_is_not_known_is_refused() {
        let incident = Some(IncidentId(derive(&["incident"])));
        let long = Action::Comment { text: "x".repeat(MAX_TEXT + 1) };
        assert!(command(incident, long).validate().is_err());
        let known = encode(&command(incident, Action::Acknowledge)).unwrap();
        assert_eq!(decode::<Command>(&known).unwrap().action, Action::Acknowledge);
        let unknown = String::from_utf8(known).unwrap().replace("acknowledge", "explode");
        assert!(decode::<Command>(unknown.as_bytes()).is_err());
    }
}
