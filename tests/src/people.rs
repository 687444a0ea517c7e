//! What people do with incidents: faults of their own choosing, and commands with their outcomes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use shared::bus::{Options, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::anomaly::Status;
use shared::events::command::Action;
use shared::events::{Command, Incident, Outgoing, Topic};
use shared::ids::{CommandId, EventId, IncidentId, derive};
use shared::store::commands::Outcome;
use shared::store::{Incidents, Store};
use stack::Stack;
use stack::parts::probe;

use crate::load::burst::{Burst, METRICS, Size};
use crate::load::pace::{Series, write};

/// Environment of the faults.
pub const ENVIRONMENT: &str = "people";
/// Longest time until an incident is open, and until a command is decided on.
const LONGEST: Duration = Duration::from_mins(1);

/// Somebody at the command line, who can also break services.
pub struct Person {
    store: Store,
    producer: Producer,
    burst: Burst,
}

impl Person {
    /// Connects to a pipeline.
    pub fn new(stack: &Stack) -> Result<Self> {
        let options = Options { brokers: stack.brokers().to_owned(), ..Options::default() };
        let burst =
            Burst { size: Size::new(100_000, 1_000)?, now: SystemClock.now() - SignedDuration::from_mins(1) };
        Ok(Self { store: stack.store()?, producer: Producer::connect(&options)?, burst })
    }

    /// Returns what is on record.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Lets two series of a service be abnormal, and waits for the incident.
    pub async fn fault(&self, service: &str) -> Result<Incident> {
        for metric in &METRICS[..2] {
            let series = Series { environment: ENVIRONMENT, service, metric: *metric };
            write(&self.producer, self.burst, series, 1, Status::Firing).await?.1.acknowledged().await?;
        }
        let mut found = None;
        probe::until("the incident", LONGEST, async || {
            let open = self.store.reads().incidents(Incidents::Open, None, 100).await?.incidents;
            let of_service = |one: &Incident| {
                one.environment == ENVIRONMENT
                    && one.suspect().is_some_and(|suspect| suspect.service == service)
            };
            found = open.into_iter().find(of_service);
            ensure!(found.is_some(), "none of {service}");
            Ok(())
        })
        .await?;
        found.context("no incident")
    }

    /// Sends a command and returns its answer, once it is accepted.
    pub async fn ask(&self, incident: Option<IncidentId>, action: Action) -> Result<String> {
        let at = SystemClock.now();
        let command_id = CommandId(derive(&["people", &at.to_string(), action.verb()]));
        let command = Command {
            command_id,
            environment: ENVIRONMENT.to_owned(),
            incident_id: incident,
            by: "jane".to_owned(),
            origin: "test".to_owned(),
            at,
            action,
        };
        let outgoing =
            Outgoing::new(Topic::OperatorCommands, &command, EventId(command_id.0), "test", at, None)?;
        crate::enqueue(&self.producer, &outgoing).await?.acknowledged().await?;
        let mut decided = None;
        probe::until("the outcome of the command", LONGEST, async || {
            decided = self.store.reads().command(command_id).await?;
            ensure!(decided.is_some(), "none");
            Ok(())
        })
        .await?;
        let decision = decided.context("no outcome")?.decision;
        ensure!(decision.outcome == Outcome::Accepted, "refused: {}", decision.answer);
        Ok(decision.answer)
    }
}
