//! How a stage takes a command of a person: its texts fit to be kept, what it comes to, and the record of that.

use serde_json::json;

use crate::audit::AuditAction;
use crate::effects::{Audit, Effects};
use crate::events::Command;
use crate::events::incident::{Incident, Statement};
use crate::store::Write;
use crate::store::commands::{Decision, Outcome as Recorded};
use crate::text::sanitize::{NAME, one_line};
use crate::text::secrets::Redactor;

/// Longest remark or reason that is kept, characters.
const REMARK: usize = 1_000;

/// What a command comes to: the answer for the sender with what follows, or why nothing does.
pub type Outcome = Result<Done, String>;

/// A command that is carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// What was done, in one sentence for the sender.
    pub answer: String,
    /// What follows.
    pub effects: Effects,
}

/// A command with its texts fit to be kept and shown.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The command.
    pub command: &'a Command,
    /// What is replaced in texts.
    pub redactor: &'a Redactor,
}

impl Asked<'_> {
    /// Returns who asks.
    pub fn by(&self) -> String {
        one_line(&self.command.by, NAME)
    }

    /// Returns a remark or reason.
    pub fn text(&self, text: &str) -> String {
        let mut text = one_line(text, REMARK);
        self.redactor.apply(&mut text);
        text
    }

    /// Returns what a person states, with a reason where there is one.
    pub fn statement(&self, reason: &str) -> Statement {
        Statement { by: self.by(), at: self.command.at, reason: self.text(reason) }
    }

    /// Returns a line of the audit trail of an incident.
    pub fn line(&self, incident: &Incident, action: AuditAction, summary: String) -> Audit {
        let (incident_id, at) = (incident.incident_id, self.command.at);
        self.signed(Audit { incident_id, at, action, summary, detail: json!({}) })
    }

    /// Returns a line that names the command it goes back to.
    pub fn signed(&self, mut line: Audit) -> Audit {
        let Command { command_id, origin, .. } = self.command;
        line.detail["command_id"] = json!(command_id);
        line.detail["by"] = json!(self.by());
        line.detail["origin"] = json!(one_line(origin, NAME));
        line
    }

    /// Returns what follows from the command, with its record.
    pub fn recorded(&self, outcome: Outcome) -> Effects {
        let (outcome, answer, mut effects) = match outcome {
            Ok(Done { answer, effects }) => (Recorded::Accepted, answer, effects),
            Err(refused) => (Recorded::Refused, refused, Effects::none()),
        };
        let decision = Decision { command: self.command.clone(), outcome, answer };
        effects.writes.push(Write::Command(Box::new(decision)));
        effects
    }
}
