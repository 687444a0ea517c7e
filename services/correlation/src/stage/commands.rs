//! Commands of people. Those that say something of one incident alone are decided many at a time; those that need the rest of its
//! environment one by one, guarded by its version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::events::anomaly::{Ended, Status};
use shared::events::command::Action;
use shared::events::incident::{Incident, Link, Relation, Signal, State};
use shared::events::{Command, Deployment, Topic};
use shared::ids::{CommandId, EventId, IncidentId};
use shared::lifecycle::{self, Change};
use shared::stage::command::{Asked, Done, Outcome};
use shared::stage::{Context, Effects, Error, Guard, IncidentChange, Timer};
use shared::store::feedback::{Feedback, Judgement};
use shared::store::{ArtifactKind, Neighbourhood, Write};
use shared::text::format::counted;
use shared::text::sanitize::{NAME, one_line};

use super::{Correlation, FUTURE, Occasion, announce, end_in, ends, kept, merge_lines};
use crate::assessment::assess;
use crate::environment::Environment;
use crate::grouping;
use crate::input::Input;
use crate::links;
use crate::split::Split;
use crate::statements::{is_statement, open, over, state};

/// Whether the environment is held after a decision, as it leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// It is.
    Held,
    /// It is read anew: members of an incident that was over come back.
    Dropped,
}

impl Correlation {
    /// Decides on the first commands of `events`; `first` is the first of them.
    pub(super) async fn commands(
        &self,
        first: &Command,
        ctx: &Context,
        events: &[(&Input, &Context)],
    ) -> Result<Vec<Effects>, Error> {
        if is_statement(&first.action) {
            let statement = |(input, _): &(&Input, &Context)| match input {
                Input::Command(command) if is_statement(&command.action) => Some(command.clone()),
                _ => None,
            };
            let commands: Vec<Command> = events.iter().map_while(statement).map(|command| *command).collect();
            return self.statements(&commands, ctx).await;
        }
        let is_own = first.action.owner() == Agent::Correlation;
        if !is_own || ctx.store.command(first.command_id).await?.is_some() {
            return Ok(vec![Effects::none()]);
        }
        let ahead = first.at.duration_since(ctx.wall_clock());
        let decided = match &first.action {
            _ if ahead > FUTURE => {
                Err("the command is more than an hour in the future: is your clock right?".to_owned())
            }
            Action::Retire { service, reason } => self.retire(first, service, reason, ctx).await?,
            _ => self.about_incident(first, ctx).await?,
        };
        Ok(vec![self.asked(first).recorded(decided)])
    }

    fn asked<'a>(&'a self, command: &'a Command) -> Asked<'a> {
        Asked { command, redactor: &self.options.redactor }
    }

    /// Decides on statements, each with those before it known.
    async fn statements(&self, commands: &[Command], ctx: &Context) -> Result<Vec<Effects>, Error> {
        let ids: Vec<CommandId> = commands.iter().map(|command| command.command_id).collect();
        let mut known: BTreeSet<CommandId> = ctx.store.decided(&ids).await?.into_iter().collect();
        let incidents: BTreeSet<IncidentId> =
            commands.iter().filter_map(|command| command.incident_id).collect();
        let incidents: Vec<IncidentId> = incidents.into_iter().collect();
        let stand = ctx.store.incidents_by_id(&incidents).await?.into_iter();
        let mut stand: BTreeMap<IncidentId, Incident> =
            stand.map(|incident| (incident.incident_id, incident)).collect();
        let mut all = Vec::with_capacity(commands.len());
        for command in commands {
            if !known.insert(command.command_id) {
                all.push(Effects::none());
                continue;
            }
            let incident = command.incident_id.and_then(|id| stand.get(&id));
            let asked = self.asked(command);
            let outcome = found(command, incident).and_then(|incident| state(&asked, incident));
            let effects = asked.recorded(outcome);
            for IncidentChange { incident_id, change, .. } in &effects.incidents {
                let before = stand.remove(incident_id);
                let after = lifecycle::apply(before, *incident_id, change.clone()).map_err(Error::reject)?;
                stand.insert(*incident_id, after);
            }
            all.push(effects);
        }
        Ok(all)
    }

    /// Takes a service out of operation: passed on as the change that it is.
    async fn retire(
        &self,
        command: &Command,
        service: &str,
        reason: &str,
        ctx: &Context,
    ) -> Result<Outcome, Error> {
        let asked = self.asked(command);
        let environment = &command.environment;
        let known = ctx.store.catalogue().await?.get(service).is_some()
            || ctx.store.has_signals(environment, service).await?;
        let unknown = if known { "" } else { "; neither the catalogue nor a signal names it" };
        let record = Deployment {
            service: service.to_owned(),
            version: format!("retired-{}", command.at.as_millisecond()),
            ts_ms: command.at.as_millisecond(),
            environment: environment.clone(),
            change_type: Deployment::RETIRE.to_owned(),
            git_sha: None,
            deployed_by: Some(asked.by()),
            description: Some(asked.text(reason)),
            known_risks: Vec::new(),
        };
        let id = EventId::of("retire", &command.command_id.to_string(), 1);
        let outgoing = ctx.outgoing(Topic::RawDeployments, &record, id, command.at)?;
        Ok(Ok(Done {
            answer: format!("service {} is retired in {environment}{unknown}", one_line(service, NAME)),
            effects: Effects { publish: vec![outgoing], ..Effects::none() },
        }))
    }

    async fn about_incident(&self, command: &Command, ctx: &Context) -> Result<Outcome, Error> {
        let id = command.incident_id;
        let incident = match id {
            Some(id) => ctx.store.incident(id).await?,
            None => None,
        };
        let incident = match found(command, incident.as_ref()) {
            Ok(incident) => incident.clone(),
            Err(refused) => return Ok(Err(refused)),
        };
        match &command.action {
            Action::Feedback { .. } => self.feedback(command, &incident, ctx).await,
            Action::Resolve { reason } => {
                self.among_others(&incident, ctx, Keep::Held, |incident, neighbourhood| {
                    Ok(self.resolve_by(command, reason, incident, neighbourhood))
                })
                .await
            }
            Action::Reopen { reason } => {
                let now = ctx.wall_clock();
                self.among_others(&incident, ctx, Keep::Dropped, |incident, neighbourhood| {
                    let asked = self.asked(command);
                    reopen_by(&asked, reason, incident, neighbourhood, self, now)
                })
                .await
            }
            Action::Merge { into, reason } => {
                let now = ctx.wall_clock();
                self.among_others(&incident, ctx, Keep::Held, |incident, neighbourhood| {
                    self.merge_by(command, *into, reason, incident, neighbourhood, now)
                })
                .await
            }
            Action::Split { services, reason } => {
                let now = ctx.wall_clock();
                self.among_others(&incident, ctx, Keep::Held, |incident, neighbourhood| {
                    self.split_by(command, services, reason, incident, neighbourhood, now)
                })
                .await
            }
            other => Ok(Err(format!("{} cannot be asked of an incident", other.verb()))),
        }
    }

    async fn feedback(
        &self,
        command: &Command,
        incident: &Incident,
        ctx: &Context,
    ) -> Result<Outcome, Error> {
        let Action::Feedback { is_right, service, category, comment } = &command.action else {
            return Ok(Err("no feedback".to_owned()));
        };
        let id = incident.incident_id;
        if ctx.store.artifact::<Value>(id, ArtifactKind::RootCause).await?.is_none() {
            return Ok(Err(format!("incident {} was not investigated yet", incident.number)));
        }
        if *is_right && (service.is_some() || category.is_some()) {
            return Ok(Err("a cause that is right needs no other service or category".to_owned()));
        }
        let asked = self.asked(command);
        let cause = if *is_right { Judgement::Right } else { Judgement::Wrong };
        let feedback = Feedback {
            cause,
            service: service.as_deref().map(|name| one_line(name, NAME)),
            category: *category,
            comment: comment.as_deref().map(|text| asked.text(text)),
            given_by: asked.by(),
            given_at: command.at,
        };
        let summary = format!("The cause was {cause}, says {}.", feedback.given_by);
        let line = asked.line(incident, AuditAction::FeedbackGiven, summary);
        Ok(Ok(Done {
            answer: format!("the cause of incident {} is recorded as {cause}", incident.number),
            effects: Effects {
                audit: vec![line],
                writes: vec![Write::Feedback { incident_id: id, feedback }],
                ..Effects::none()
            },
        }))
    }

    /// Decides about an incident among the others of its environment, guarded by the version of that.
    async fn among_others(
        &self,
        incident: &Incident,
        ctx: &Context,
        keep: Keep,
        decide: impl FnOnce(&Incident, &Neighbourhood) -> Result<Outcome, Error> + Send,
    ) -> Result<Outcome, Error> {
        let environment = &incident.environment;
        let mut neighbourhood = self.neighbourhood(environment, incident.opened_at, ctx).await?;
        // the graph is read anew with the next decision
        links::connect(&mut neighbourhood, None, &self.options.log_terms);
        let id = incident.incident_id;
        let stands = match neighbourhood.incidents.iter().find(|one| one.incident_id == id) {
            Some(open) => open.clone(),
            // it may have ended since it was read
            None => match ctx.store.incidents_by_id(&[id]).await?.pop() {
                Some(over) if !over.state.is_open() => over,
                _ => return Err(Error::retry(anyhow::anyhow!("incident {id} changes state just now"))),
            },
        };
        if !stands.state.is_open() {
            neighbourhood.past.push(stands.clone());
        }
        let version = neighbourhood.version;
        let outcome = match decide(&stands, &neighbourhood)? {
            Ok(done) => done,
            Err(refused) => {
                neighbourhood.past.clear();
                self.environments.keep(environment, neighbourhood);
                return Ok(Err(refused));
            }
        };
        let Done { answer, mut effects } = outcome;
        let mut after = Environment::new(neighbourhood, Vec::new());
        after.advance(&effects).map_err(Error::retry)?;
        effects.guard = Some(match keep {
            Keep::Held => self.guard(environment, after),
            Keep::Dropped => Guard::unique(environment.as_str(), version),
        });
        Ok(Ok(Done { answer, effects }))
    }

    fn resolve_by(
        &self,
        command: &Command,
        reason: &str,
        incident: &Incident,
        neighbourhood: &Neighbourhood,
    ) -> Outcome {
        open(incident)?;
        let asked = self.asked(command);
        let statement = asked.statement(reason);
        if statement.reason.is_empty() {
            return Err("a reason is needed to resolve an incident".to_owned());
        }
        let at = command.at.max(incident.started_at);
        let members = grouping::members(incident.incident_id, neighbourhood);
        // a command that comes late is held for as long as one that comes at once
        let ended_at = members.iter().map(|member| member.observed_at).fold(at, jiff::Timestamp::max);
        let going_on: Vec<&Arc<Signal>> =
            members.iter().filter(|member| member.status != Status::Cleared).collect();
        let mut effects = Effects::none();
        if incident.state == State::Detecting {
            // people get both in order
            announce(incident, &mut effects);
        }
        effects.writes.extend(going_on.iter().map(|member| {
            let over = Signal {
                status: Status::Cleared,
                ended: Some(Ended::Manual),
                cleared_at: Some(ended_at),
                ..Signal::clone(member)
            };
            kept(&incident.environment, Arc::new(over), Some(incident.incident_id))
        }));
        let abnormal = match going_on.len() {
            0 => String::new(),
            count => format!(
                " {} still abnormal: if that lasts for {} more or becomes worse, it opens the incident again.",
                counted_are(count),
                counted(self.options.manual_hold_min as usize, "minute")
            ),
        };
        let answer = format!("incident {} is resolved by {}", incident.number, statement.by);
        let answer = if abnormal.is_empty() { answer } else { format!("{answer};{abnormal}") };
        let summary = format!("Resolved by {}: {}.{abnormal}", statement.by, statement.reason);
        effects.audit.push(asked.line(incident, AuditAction::Resolved, summary));
        effects.incidents.push(IncidentChange {
            incident_id: incident.incident_id,
            change: Change::Resolved { at, reason: Ended::Manual, by: Some(statement) },
            publish: Some(Topic::IncidentsResolved),
        });
        Ok(Done { answer: answer.trim_end_matches('.').to_owned(), effects })
    }

    fn merge_by(
        &self,
        command: &Command,
        into: IncidentId,
        reason: &str,
        incident: &Incident,
        neighbourhood: &Neighbourhood,
        now: jiff::Timestamp,
    ) -> Result<Outcome, Error> {
        if let Err(refused) = open(incident) {
            return Ok(Err(refused));
        }
        if into == incident.incident_id {
            return Ok(Err(format!("incident {} cannot be merged into itself", incident.number)));
        }
        let Some(other) = neighbourhood.incidents.iter().find(|one| one.incident_id == into) else {
            let environment = &incident.environment;
            return Ok(Err(format!("the incident to merge into is not open in {environment}")));
        };
        let asked = self.asked(command);
        let at = command.at.max(incident.started_at);
        let leaving = grouping::members(incident.incident_id, neighbourhood);
        let mut group = grouping::members(into, neighbourhood);
        group.extend(leaving.iter().cloned());
        let assessment = assess(group, neighbourhood, Some(other), at, &self.options);
        let why = because(&asked, reason);
        let mut effects = Effects::none();
        effects.timers.extend(self.end(other, &assessment.signals, command, now)?);
        effects.incidents.push(IncidentChange {
            incident_id: into,
            change: Change::Reassessed(Box::new(assessment)),
            publish: (other.state != State::Detecting).then_some(Topic::IncidentsUpdated),
        });
        effects.audit.extend(merge_lines(other, incident, &why, at).map(|line| asked.signed(line)));
        end_in(other, incident, leaving, Some(&asked.by()), at, &mut effects);
        let answer = format!("incident {} is merged into incident {}", incident.number, other.number);
        Ok(Ok(Done { answer, effects }))
    }

    fn split_by(
        &self,
        command: &Command,
        services: &[String],
        reason: &str,
        incident: &Incident,
        neighbourhood: &Neighbourhood,
        now: jiff::Timestamp,
    ) -> Result<Outcome, Error> {
        if let Err(refused) = open(incident) {
            return Ok(Err(refused));
        }
        let number = incident.number;
        if incident.state == State::Detecting {
            return Ok(Err(format!("incident {number} is not announced yet")));
        }
        let members = grouping::members(incident.incident_id, neighbourhood);
        let leaves = |member: &Arc<Signal>| services.iter().any(|service| *service == member.service);
        let (leaving, staying): (Vec<_>, Vec<_>) = members.into_iter().partition(leaves);
        if leaving.is_empty() {
            return Ok(Err(format!("incident {number} has no member of {}", services.join(", "))));
        }
        if staying.is_empty() {
            return Ok(Err(format!("all members of incident {number} are of {}", services.join(", "))));
        }
        let asked = self.asked(command);
        let at = command.at.max(incident.started_at);
        let part = IncidentId::split_by(incident.incident_id, command.command_id);
        let split = Split {
            incident: part,
            assessment: assess(leaving.clone(), neighbourhood, None, at, &self.options),
            members: leaving,
        };
        let assessment = assess(staying, neighbourhood, Some(incident), at, &self.options);
        let signals = counted(split.members.len(), "signal");
        let why = because(&asked, reason);
        let mut effects = Effects::none();
        let opens = Incident { incident_id: part, reopened: 0, kept_open: None, ..incident.clone() };
        effects.timers.extend(self.end(&opens, &split.members, command, now)?);
        effects.timers.extend(self.end(incident, &assessment.signals, command, now)?);
        effects.audit.push(asked.line(
            incident,
            AuditAction::Split,
            format!("{signals} left and became an incident of their own: {why}."),
        ));
        let mut opened = asked.line(
            incident,
            AuditAction::Opened,
            format!("Opened: split from incident #{number} with {signals}: {why}."),
        );
        opened.incident_id = part;
        effects.audit.push(opened);
        effects.incidents.push(IncidentChange {
            incident_id: incident.incident_id,
            change: Change::Split(Box::new(assessment)),
            publish: Some(Topic::IncidentsUpdated),
        });
        let interval_ms = split.members.iter().map(|member| member.interval_ms).max().unwrap_or(0);
        let by = Some(asked.by());
        let whole = Link { incident_id: incident.incident_id, number, relation: Relation::SplitFrom, by };
        let occasion = Occasion { environment: &incident.environment, at, interval_ms };
        self.split(split, whole, occasion, now, &mut effects)?;
        let answer = format!("{signals} left incident {number} and became an incident of their own");
        Ok(Ok(Done { answer, effects }))
    }
}

impl Correlation {
    /// Returns the timer that ends an incident whose members people have changed, if all of them are clear: the timers from before
    /// are of the members from before.
    fn end(
        &self,
        incident: &Incident,
        members: &[Arc<Signal>],
        command: &Command,
        now: jiff::Timestamp,
    ) -> Result<Option<Timer>, Error> {
        let clear = grouping::all_clear(members).filter(|_| incident.kept_open.is_none());
        let Some((cleared_at, _)) = clear else { return Ok(None) };
        let seed = ["command", &command.command_id.to_string()];
        ends::resolve_timer(incident, members, cleared_at, &seed, now, &self.options).map(Some)
    }
}

fn reopen_by(
    asked: &Asked<'_>,
    reason: &str,
    incident: &Incident,
    neighbourhood: &Neighbourhood,
    stage: &Correlation,
    now: jiff::Timestamp,
) -> Result<Outcome, Error> {
    if incident.state.is_open() {
        return Ok(Err(format!("incident {} is open", incident.number)));
    }
    if incident.merged_into().is_some() {
        return Ok(Err(over(incident)));
    }
    let statement = asked.statement(reason);
    if statement.reason.is_empty() {
        return Ok(Err("a reason is needed to open an incident again".to_owned()));
    }
    let (id, times) = (incident.incident_id, incident.reopened + 1);
    let members: Vec<Arc<Signal>> = incident.signals.iter().cloned().map(Arc::new).collect();
    let at = asked.command.at.max(incident.started_at);
    let assessment = assess(members, neighbourhood, Some(incident), at, &stage.options);
    let summary = format!("Opened again by {}: {}.", statement.by, statement.reason);
    let answer = format!("incident {} is open again", incident.number);
    let timers = ends::timers(id, &incident.environment, &assessment.signals, times, now, &stage.options)?;
    let effects = Effects {
        audit: vec![asked.line(incident, AuditAction::Reopened, summary)],
        timers: timers.into(),
        incidents: vec![IncidentChange {
            incident_id: id,
            change: Change::Reopened { assessment: Box::new(assessment), by: Some(statement) },
            publish: Some(Topic::IncidentsOpened),
        }],
        ..Effects::none()
    };
    Ok(Ok(Done { answer, effects }))
}

/// Returns the incident that a command is about, if it is there and of the environment that the command names.
fn found<'a>(command: &Command, incident: Option<&'a Incident>) -> Result<&'a Incident, String> {
    let Some(incident) = incident else {
        let id = command.incident_id.map(|id| id.to_string()).unwrap_or_default();
        return Err(format!("incident {id} does not exist"));
    };
    if incident.environment != command.environment {
        return Err(format!("incident {} is of environment {}", incident.number, incident.environment));
    }
    Ok(incident)
}

fn because(asked: &Asked<'_>, reason: &str) -> String {
    match asked.text(reason).as_str() {
        "" => format!("on request of {}", asked.by()),
        reason => format!("on request of {} ({reason})", asked.by()),
    }
}

fn counted_are(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", counted(count, "signal"))
}
