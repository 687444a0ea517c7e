//! The stage: reads what is on record, decides, and sends when a timer fires.

mod held;
mod silenced;

use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use shared::agent::Agent;
use shared::catalogue::Catalogue;
use shared::events::{Command, Incident, Refusal, Topic, decode};
use shared::ids::IncidentId;
use shared::oncall::Roster;
use shared::routes::Routes;
use shared::stage::{Context, Effects, Error, Key, Stage, Timer, TimerPayload as _};
use shared::store::{Notification, NotificationState};
use shared::text::secrets::Redactor;

use crate::channel::{Channels, Delivery, Failure, Receipt};
use crate::content::{IncidentSummary, Kind, LifecycleEvent, NotificationContent};
use crate::escalation::{self, Due, Escalate};
use crate::holding::{self, Hold, Summarize, Waiting, Why};
use crate::metrics;
use crate::notifications::{self, MuteOver, Send, Thread};
use crate::options::Options;
use crate::recipients::{Directory, Recipients};
use crate::reports::{self, Report};
use crate::silences::{self, OnRecord, SilenceOver};
use crate::table;
use crate::updates::Announced;

/// Notifies people: the messages of one incident are one thread on each channel.
pub struct Communication {
    options: Options,
    channels: Channels,
    redactor: Redactor,
}

impl Communication {
    /// Builds the stage over its channels.
    pub fn new(options: Options, channels: Channels) -> Self {
        Self { options, channels, redactor: Redactor::default() }
    }

    /// Replaces in the texts of commands what a redactor finds.
    #[must_use]
    pub fn redacting(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    /// Returns the threads in which an event has to be announced: those that have no notification of it on record.
    fn pending(&self, event: &LifecycleEvent, chosen: &Recipients, record: &OnRecord) -> Vec<Thread> {
        let mut threads = chosen.threads(&self.channels);
        // who was notified learns how it stands and what was wrong, whoever its suspect is by then
        for earlier in record.told.iter().filter(|one| concerns(event.kind(), one.kind)) {
            let Some(earlier) = Thread::of(earlier, &self.channels) else { continue };
            match threads.iter_mut().find(|thread| thread.is(&earlier)) {
                Some(thread) => thread.reach(&earlier.recipients),
                None => threads.push(earlier),
            }
        }
        threads.retain(|thread| !record.told.iter().any(|one| one.id == thread.id(event)));
        for thread in &mut threads {
            let opening = thread.opening_id(event.incident_id());
            let begun = record.openings().find(|opened| opened.id == opening);
            thread.subject = begun.filter(|_| !event.is_first()).map(|opened| opened.subject.clone());
        }
        threads
    }

    /// Adds those who read of the opening in a digest: the next one says what who was notified has to learn.
    fn following(
        &self,
        event: &LifecycleEvent,
        mut chosen: Recipients,
        record: &OnRecord,
        now: Timestamp,
    ) -> Recipients {
        let hold = Hold { until: holding::next_digest(now, &self.options), why: Why::Digest };
        let openings = record.held.iter().filter(|one| one.kind == Kind::Opened);
        for opening in openings.filter(|one| concerns(event.kind(), one.kind)) {
            let address = opening.recipients.first();
            let to = address.and_then(|address| self.channels.stored(opening.channel.as_str(), address));
            let Some(to) = to else { continue };
            let is_known = chosen.destinations.contains(&to) || chosen.later.iter().any(|one| one.to == to);
            if !is_known {
                chosen.later.push(Waiting { to, hold });
            }
        }
        chosen
    }

    /// Announces the incident as it stands in those of `threads` that have not begun, and sets their subjects. Topics are read
    /// side by side, so an event may come before the opening: a reply needs a first message. An address that the table does not
    /// name for an opening gets none.
    fn begin(
        &self,
        threads: &mut [Thread],
        incident: Incident,
        directory: &Directory<'_>,
        now: Timestamp,
    ) -> Result<Effects, Error> {
        let incident = Incident { reopened: 0, ..incident };
        let summary = IncidentSummary::of(&incident);
        let chosen = directory.choose(&incident, Kind::Opened);
        let content = NotificationContent {
            incident: summary.clone(),
            event: LifecycleEvent::Opened(Box::new(incident)),
        };
        let new: Vec<Thread> = chosen
            .threads(&self.channels)
            .into_iter()
            .filter(|opened| threads.iter().any(|thread| thread.is(opened) && thread.subject.is_none()))
            .collect();
        for thread in threads {
            thread.subject.get_or_insert_with(|| summary.subject());
        }
        self.announce(&content, &new, chosen.unusable, now)
    }

    fn announce(
        &self,
        content: &NotificationContent,
        threads: &[Thread],
        unusable: Vec<String>,
        now: Timestamp,
    ) -> Result<Effects, Error> {
        let count = unusable.len() as u64;
        let effects = notifications::announce(&self.channels, content, threads, unusable, now)
            .map_err(Error::reject)?;
        if !effects.writes.is_empty() {
            metrics::ADDRESSES_UNUSABLE.add([], count);
        }
        Ok(effects)
    }

    /// Delivers a notification. `step` names the attempt in the journal.
    async fn deliver(
        &self,
        notification: &Notification,
        step: &str,
        ctx: &Context,
    ) -> Result<Result<Receipt, Failure>, Error> {
        let content: NotificationContent = match serde_json::from_value(notification.event.clone()) {
            Ok(content) => content,
            Err(error) => {
                return Ok(Err(Failure::Permanent(format!("stored content is unreadable: {error}"))));
            }
        };
        let Some(channel) = self.channels.get(notification.channel.as_str()) else {
            return Ok(Err(Failure::Permanent(format!(
                "channel {:?} does not exist",
                notification.channel.as_str()
            ))));
        };
        let opening = match Thread::of(notification, &self.channels) {
            Some(thread) if !content.event.is_of_many() => {
                let id = thread.opening_id(notification.incident_id);
                if id == notification.id { None } else { ctx.store.notification(id).await? }
            }
            _ => None,
        };
        let opening = opening.as_ref().map(|(opening, _)| opening);
        let delivery = Delivery { notification, content: &content, opening };
        let started = Instant::now();
        let mut failure = None;
        // remembered on success, so that only a crash in between sends the same mail again
        let outcome = ctx
            .step(step, || async {
                channel.deliver(delivery).await.map_err(|error| {
                    failure = Some(error.clone());
                    Error::retry(error)
                })
            })
            .await;
        metrics::DELIVERY_SECONDS.observe([channel.name()], started.elapsed().as_secs_f64());
        match (outcome, failure) {
            (Ok(receipt), _) => Ok(Ok(receipt)),
            (Err(_), Some(failure)) => Ok(Err(failure)),
            (Err(error), None) => Err(error),
        }
    }
}

/// What communication reads.
#[derive(Debug, Clone)]
pub enum Input {
    /// An event of every incident.
    Event(LifecycleEvent),
    /// An incident that has changed: it may be news.
    Updated(Box<Incident>),
    /// What a person asks for: silences are decided on here.
    Command(Box<Command>),
}

impl Communication {
    /// Announces an event of an incident, which is as `incident`; the threads that have not begun begin with it as it stands. `called`
    /// are those whom a level of an escalation calls, in place of those whom the table names.
    async fn tell(
        &self,
        event: LifecycleEvent,
        incident: Incident,
        record: &OnRecord,
        called: Option<&[String]>,
        ctx: &Context,
    ) -> Result<Effects, Error> {
        let sources = Sources::read(ctx).await?;
        let directory = self.directory(&sources, ctx.wall_clock());
        let chosen = match called {
            Some(called) => directory.called(called),
            None => directory.choose(&incident, event.kind()),
        };
        self.told(event, incident, record, &directory, chosen, ctx).await
    }

    /// Announces an event to those who are chosen.
    async fn told(
        &self,
        event: LifecycleEvent,
        incident: Incident,
        record: &OnRecord,
        directory: &Directory<'_>,
        chosen: Recipients,
        ctx: &Context,
    ) -> Result<Effects, Error> {
        let (now, summary) = (directory.at, IncidentSummary::of(&incident));
        let mut chosen = self.following(&event, chosen, record, now);
        let mut threads = self.pending(&event, &chosen, record);
        let is_sent = |channel| table::is_sent(&event, summary.severity, channel);
        threads.retain(|thread| is_sent(thread.channel));
        chosen.later.retain(|one| is_sent(one.to.channel));
        if threads.is_empty() && chosen.later.is_empty() {
            return Ok(count_not_repeated(&event));
        }
        if event.kind() != Kind::Resolved && incident.is_muted(now) {
            metrics::MUTED.add_one([event.kind().name()]);
            return notifications::muted(&event, &incident);
        }
        let content = NotificationContent { incident: summary.about(&event), event };
        let event = &content.event;
        if let Some(cover) = self.hiding(event, &incident, record, ctx).await? {
            return Ok(match silences::hide(&content, &threads, &cover, record)? {
                Some(effects) => {
                    metrics::SILENCED.add_one([event.kind().name()]);
                    effects
                }
                None => count_not_repeated(event),
            });
        }
        let held = self.hold_back(&content, &mut threads, &chosen.later, record, ctx).await?;
        let is_held = held.is_some();
        let mut effects = held.unwrap_or_default();
        if !is_held && threads.is_empty() {
            return Ok(count_not_repeated(event));
        }
        if !event.is_first() && threads.iter().any(|thread| thread.subject.is_none()) {
            effects.extend(self.begin(&mut threads, incident.clone(), directory, now)?);
        }
        // they begin with whatever is sent first of an incident that is severe
        effects.timers.extend(escalation::begin(&incident, now, directory.escalation(&incident))?);
        effects.timers.extend(reports::begin(&incident, &self.options, now)?);
        effects.extend(self.announce(&content, &threads, chosen.unusable, now)?);
        Ok(effects)
    }

    /// Calls the next level of an incident that nobody has acknowledged.
    async fn escalate(&self, step: &Escalate, ctx: &Context) -> Result<Effects, Error> {
        let incident = incident(step.incident_id, ctx).await?;
        let now = ctx.wall_clock();
        let due = escalation::decide(step, &incident, now);
        let next = escalation::after(step, now)?;
        let mut effects = match due {
            Due::Over => return Ok(Effects::none()),
            Due::Quiet => Effects::none(),
            // as while it is muted: nobody is called, and the chain goes on
            Due::Call(_) if self.covering(&incident, ctx).await?.is_some() => Effects::none(),
            Due::Call(call) => {
                let update = escalation::news(step, &incident, &call);
                let record = on_record(step.incident_id, ctx).await?;
                let event = LifecycleEvent::from(update);
                let line = notifications::escalated(&event, &call);
                let mut effects = self.tell(event, incident, &record, Some(&call.called), ctx).await?;
                effects.audit.push(line);
                effects
            }
        };
        effects.timers.extend(next);
        Ok(effects)
    }
}

#[async_trait]
impl Stage for Communication {
    const AGENT: Agent = Agent::Communication;
    type Input = Input;

    fn decode(topic: Topic, payload: &[u8]) -> Result<Input, Refusal> {
        Ok(Input::Event(match topic {
            Topic::IncidentsOpened => LifecycleEvent::Opened(Box::new(decode(payload)?)),
            Topic::IncidentsResolved => LifecycleEvent::Resolved(Box::new(decode(payload)?)),
            Topic::RcaCompleted => LifecycleEvent::RootCause(Box::new(decode(payload)?)),
            Topic::Plans => LifecycleEvent::Plan(Box::new(decode(payload)?)),
            Topic::Postmortems => LifecycleEvent::Postmortem(Box::new(decode(payload)?)),
            Topic::OperatorCommands => return Ok(Input::Command(Box::new(decode(payload)?))),
            Topic::IncidentsUpdated => return Ok(Input::Updated(Box::new(decode(payload)?))),
            other => return Err(Refusal::Invalid(format!("communication does not consume {other}"))),
        }))
    }

    fn key(input: &Input) -> Key {
        match input {
            Input::Event(event) => event.incident_id().into(),
            Input::Updated(incident) => incident.incident_id.into(),
            Input::Command(command) => Key(command.environment.clone()),
        }
    }

    async fn handle(&self, input: &Input, ctx: &Context) -> Result<Effects, Error> {
        let event = match input {
            Input::Event(event) => event,
            Input::Updated(changed) => return self.updated(changed, ctx).await,
            Input::Command(command) => return self.command(command, ctx).await,
        };
        let id = event.incident_id();
        let record = on_record(id, ctx).await?;
        let incident = match event {
            LifecycleEvent::Opened(incident) | LifecycleEvent::Resolved(incident) => (**incident).clone(),
            _ => incident(id, ctx).await?,
        };
        let announced = Announced::of(record.said());
        let update = match event {
            LifecycleEvent::RootCause(cause) => announced.corrected(cause),
            LifecycleEvent::Plan(plan) => announced.replaced(plan),
            _ => None,
        };
        let event = update.map_or_else(|| event.clone(), LifecycleEvent::from);
        self.tell(event, incident, &record, None, ctx).await
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        if timer.name == Escalate::NAME {
            return self.escalate(&timer.read()?, ctx).await;
        }
        if timer.name == Summarize::NAME {
            return self.summarize(&timer.read()?, ctx).await;
        }
        if timer.name == Report::NAME {
            return self.report(&timer.read()?, ctx).await;
        }
        if timer.name == MuteOver::NAME {
            return self.mute_over(&timer.read()?, ctx).await;
        }
        if timer.name == SilenceOver::NAME {
            return self.silence_over(&timer.read()?, ctx).await;
        }
        let due: Send = timer.read()?;
        let Some((notification, state)) = ctx.store.notification(due.notification_id).await? else {
            return Err(Error::reject(anyhow::anyhow!(
                "notification {} does not exist",
                due.notification_id
            )));
        };
        if state != NotificationState::Pending {
            return Ok(Effects::none());
        }
        let step = notifications::step(timer.attempts);
        let outcome = self.deliver(&notification, &step, ctx).await?;
        let now = ctx.wall_clock();
        let kind = notification.kind.name();
        let (effects, name) = match &outcome {
            Ok(receipt) => {
                let turn = (due.part, timer.attempts);
                let effects = notifications::sent(&self.options, &notification, receipt, turn, now)?;
                let (incident, later) = (notification.incident_id, receipt.later.len());
                tracing::info!(
                    %incident, kind, channel = %notification.channel, answer = receipt.answer, later,
                    "notification sent"
                );
                let name = notifications::outcome(&effects);
                if name != "again" {
                    metrics::RECIPIENTS_REFUSED.add([kind], (receipt.refused.len() + later) as u64);
                }
                (effects, name)
            }
            Err(failure) => {
                let effects =
                    notifications::failed(&self.options, &notification, failure, timer.attempts, now);
                let (incident, channel, attempts) =
                    (notification.incident_id, &notification.channel, timer.attempts.saturating_add(1));
                let name = if effects.again.is_some() {
                    tracing::warn!(%incident, kind, %channel, attempts, %failure, "notification failed; retry scheduled");
                    "again"
                } else {
                    tracing::error!(%incident, kind, %channel, attempts, %failure, "notification failed; given up");
                    "failed"
                };
                (effects, name)
            }
        };
        metrics::ATTEMPTS.add_one([kind, name]);
        Ok(effects)
    }
}

/// Returns whether those who were notified of `earlier` are notified of `kind` as well.
fn concerns(kind: Kind, earlier: Kind) -> bool {
    match kind {
        Kind::Resolved | Kind::Acknowledged | Kind::SeverityChanged => earlier != Kind::Postmortem,
        Kind::CauseCorrected => matches!(earlier, Kind::RootCause | Kind::CauseCorrected),
        Kind::PlanReplaced => matches!(earlier, Kind::Plan | Kind::PlanReplaced),
        _ => false,
    }
}

/// Returns the notifications of an incident.
async fn on_record(id: IncidentId, ctx: &Context) -> Result<OnRecord, Error> {
    Ok(OnRecord::of(ctx.store.notifications(id).await?))
}

fn count_not_repeated(event: &LifecycleEvent) -> Effects {
    // news without a destination is none
    if event.news().is_some() {
        return Effects::none();
    }
    metrics::NOT_REPEATED.add_one([event.kind().name()]);
    notifications::not_repeated(event)
}

/// What decides who is notified.
struct Sources {
    catalogue: Catalogue,
    roster: Roster,
    routes: Option<Routes>,
}

impl Sources {
    async fn read(ctx: &Context) -> Result<Self, Error> {
        let (catalogue, roster) = (ctx.store.catalogue().await?, roster(ctx).await?);
        let routes = routes(&roster, ctx).await?;
        Ok(Self { catalogue, roster, routes })
    }
}

impl Communication {
    fn directory<'a>(&'a self, sources: &'a Sources, at: Timestamp) -> Directory<'a> {
        Directory {
            options: &self.options,
            catalogue: &sources.catalogue,
            channels: &self.channels,
            roster: &sources.roster,
            routes: sources.routes.as_ref(),
            at,
        }
    }
}

/// Returns who is on call. Rotations that do not fit together are those of two releases: nobody is on call by them.
async fn roster(ctx: &Context) -> Result<Roster, Error> {
    let rotations = ctx.store.rotations().await?;
    Ok(Roster::new(rotations).unwrap_or_else(|problems| {
        tracing::warn!(problems = problems.len(), "stored rotations are invalid and not used");
        Roster::default()
    }))
}

/// Returns the routes; none where there are none, or where they do not fit the people on call: then roles decide.
async fn routes(roster: &Roster, ctx: &Context) -> Result<Option<Routes>, Error> {
    let Some(document) = ctx.store.routes().await? else { return Ok(None) };
    Ok(Routes::new(document, roster)
        .inspect_err(|problems| {
            tracing::warn!(problems = problems.len(), "stored routes are invalid and not used");
        })
        .ok())
}

/// Returns an incident as it stands.
async fn incident(id: IncidentId, ctx: &Context) -> Result<Incident, Error> {
    let found = ctx.store.incident(id).await?;
    found.ok_or_else(|| Error::reject(anyhow::anyhow!("incident {id} does not exist")))
}
