//! Commands of people, with what became of them.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use strum::{Display, EnumString, IntoStaticStr};
use tokio_postgres::Row;
#[cfg(feature = "stage")]
use tokio_postgres::types::Json;

use super::{Error, Reads, prepared, row};
use crate::events::Command;
use crate::ids::{CommandId, IncidentId};

/// Most commands of an incident that are read.
const MAX_COMMANDS: i64 = 500;

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// What was asked for is done.
    Accepted,
    /// Nothing has changed.
    Refused,
}

/// A command that was decided on.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Decision {
    /// The command.
    pub command: Command,
    /// What became of it.
    pub outcome: Outcome,
    /// What was done, or why nothing was, in one sentence for the sender.
    pub answer: String,
}

/// A decision with its time.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Decided {
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// When it was written, by the clock of the database.
    pub decided_at: Timestamp,
}

const COLUMNS: &str = "select command_id, body, outcome, answer, decided_at from commands";

impl Reads {
    /// Returns what became of a command; nothing as long as no stage has decided on it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn command(&self, id: CommandId) -> Result<Option<Decided>, Error> {
        let client = self.client().await?;
        let statement = format!("{COLUMNS} where command_id = $1");
        prepared::query_opt(&client, &statement, &[&id.0]).await?.map(|found| decided(&found)).transpose()
    }

    /// Returns those of the commands that were decided on.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn decided(&self, ids: &[CommandId]) -> Result<Vec<CommandId>, Error> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let statement = "select command_id from commands where command_id = any ($1)";
        let rows = prepared::query(&self.client().await?, statement, &[&ids]).await?;
        rows.iter().map(|found| Ok(CommandId(row::value(found, "commands", 0)?))).collect()
    }

    /// Returns the commands about an incident, oldest first: of very many the last 500.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn commands_of(&self, id: IncidentId) -> Result<Vec<Decided>, Error> {
        of_incident(&self.client().await?, id).await
    }
}

/// Reads the commands about an incident, oldest first.
pub(super) async fn of_incident<C: GenericClient>(client: &C, id: IncidentId) -> Result<Vec<Decided>, Error> {
    let statement = format!("{COLUMNS} where incident_id = $1 order by decided_at desc, command_id limit $2");
    let rows = prepared::query(client, &statement, &[&id.0, &MAX_COMMANDS]).await?;
    let mut commands = row::readable(&rows, decided);
    commands.reverse();
    Ok(commands)
}

fn decided(found: &Row) -> Result<Decided, Error> {
    let outcome: String = row::value(found, "commands", 2)?;
    let outcome = outcome.parse().map_err(|_| Error::Row {
        row: "commands".to_owned(),
        reason: format!("{outcome:?} is no outcome"),
    })?;
    let decision = Decision {
        command: row::document(found, "commands", 1)?,
        outcome,
        answer: row::value(found, "commands", 3)?,
    };
    Ok(Decided { decision, decided_at: row::value(found, "commands", 4)? })
}

/// Writes a decision. Where another one on the same command was written meanwhile, the decision is made again.
#[cfg(feature = "stage")]
pub(super) async fn write<C: GenericClient>(tx: &C, stage: &str, decision: &Decision) -> Result<(), Error> {
    let Decision { command, outcome, answer } = decision;
    let outcome: &'static str = outcome.into();
    let written = prepared::execute(
        tx,
        "insert into commands (command_id, environment, incident_id, verb, asked_by, origin, asked_at, outcome, \
         answer, body, stage) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing",
        &[
            &command.command_id.0,
            &command.environment,
            &command.incident_id.map(|incident| incident.0),
            &command.action.verb(),
            &command.by,
            &command.origin,
            &command.at,
            &outcome,
            answer,
            &Json(command),
            &stage,
        ],
    )
    .await?;
    let conflict = || Error::Conflict { scope: format!("command {}", command.command_id) };
    (written == 1).then_some(()).ok_or_else(conflict)
}
