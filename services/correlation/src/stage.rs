//! The stage: a grouping becomes effects.

mod commands;
mod ends;
mod lines;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::clock::from_ms;
use shared::events::anomaly::Ended;
use shared::events::incident::{Challenger, Incident, Link, Relation, Signal, State};
use shared::events::{Anomaly, Deployment, Refusal, Span, Topic};
use shared::ids::{AnomalyId, IncidentId};
use shared::lifecycle::{Assessment, Change};
use shared::stage::{Audit, Context, Effects, Error, Guard, IncidentChange, Key, Stage, Timer, TimerPayload};
use shared::store::{Neighbourhood, Write};
use shared::text::format::counted;

use crate::assessment::assess;
use crate::edges::Edges;
use crate::environment::{Environment, Environments};
use crate::grouping::{self, Absorbed, Decision, Grouping};
use crate::input::Input;
use crate::links;
use crate::metrics;
use crate::options::Options;
use crate::split::Split;
use crate::standing;
use ends::{Overdue, Unseen, resolve};
use lines::{late_line, member_line, opened, reopened, split_lines, suspect_line};

/// A new group has settled.
#[derive(Debug, Serialize, Deserialize)]
struct Settle {
    incident_id: IncidentId,
    environment: String,
}

impl TimerPayload for Settle {
    const NAME: &'static str = "settle";
}

/// All members have been clear for long enough.
#[derive(Debug, Serialize, Deserialize)]
struct Resolve {
    incident_id: IncidentId,
    environment: String,
    /// When the last member cleared.
    cleared_at: Timestamp,
    /// How often the incident had been opened again; absent in rows of earlier releases.
    #[serde(default)]
    reopened: Option<u32>,
}

impl TimerPayload for Resolve {
    const NAME: &'static str = "resolve";
}

/// A challenger has led for long enough to become the first suspect.
#[derive(Debug, Serialize, Deserialize)]
struct Reconsider {
    incident_id: IncidentId,
    environment: String,
    /// Since when it leads.
    since: Timestamp,
}

impl TimerPayload for Reconsider {
    const NAME: &'static str = "reconsider";
}

/// A record from further in the future than this is refused.
const FUTURE: SignedDuration = SignedDuration::from_hours(1);

/// What an incident opens on.
#[derive(Debug, Clone, Copy)]
struct Occasion<'a> {
    environment: &'a str,
    /// Event time.
    at: Timestamp,
    /// Usual distance between samples, milliseconds.
    interval_ms: u64,
}

impl<'a> Occasion<'a> {
    fn of(anomaly: &'a Anomaly) -> Self {
        let Anomaly { environment, observed_at, interval_ms, .. } = anomaly;
        Self { environment, at: *observed_at, interval_ms: *interval_ms }
    }
}

/// Groups anomalies into incidents.
pub struct Correlation {
    options: Options,
    edges: Mutex<Edges>,
    environments: Environments,
}

impl Correlation {
    /// Starts with what the options say and no edges of its own.
    pub fn new(options: Options) -> Self {
        let options = Options { log_terms: options.log_terms.completed(), ..options };
        Self { options, edges: Mutex::default(), environments: Environments::default() }
    }

    /// Returns an environment as it stands: as the last decision left it, or else as it is read.
    async fn neighbourhood(
        &self,
        environment: &str,
        at: Timestamp,
        ctx: &Context,
    ) -> Result<Neighbourhood, Error> {
        let since = at - SignedDuration::from_mins(i64::from(self.options.deployment_window_min) + 60);
        let edges_since = at - SignedDuration::from_hours(i64::from(self.options.edge_age_hours));
        if let Some(mut held) = self.environments.take(environment)
            && ctx.store.refresh(&mut held, environment, since, edges_since).await?
        {
            return Ok(held);
        }
        Ok(ctx.store.neighbourhood(environment, since, edges_since).await?)
    }

    /// Returns the environment of several anomalies, none if there are none.
    async fn environment(&self, anomalies: &[(&Anomaly, &Context)]) -> Result<Option<Environment>, Error> {
        let Some((first, ctx)) = anomalies.first() else { return Ok(None) };
        let earliest = |at: fn(&Anomaly, &Options) -> Timestamp| {
            let times = anomalies.iter().map(|(anomaly, _)| at(anomaly, &self.options));
            times.min().unwrap_or(first.observed_at)
        };
        let observed = earliest(|anomaly, _| anomaly.observed_at);
        let mut neighbourhood = self.neighbourhood(&first.environment, observed, ctx).await?;
        let since = earliest(|anomaly, options| anomaly.observed_at - options.look_back(anomaly.interval_ms));
        neighbourhood.past = ctx.store.past(&first.environment, since).await?;
        let episodes: Vec<AnomalyId> = anomalies.iter().map(|(anomaly, _)| anomaly.anomaly_id).collect();
        let known = ctx.store.signals(&episodes).await?;
        // an incident that a person resolved matters as long as its own episodes go on
        let is_manual = |signal: &Signal| signal.ended == Some(Ended::Manual);
        let resolved = known.iter().filter(|(signal, _)| is_manual(signal)).filter_map(|(_, of)| *of);
        let missing: BTreeSet<IncidentId> =
            resolved.filter(|id| !neighbourhood.past.iter().any(|past| past.incident_id == *id)).collect();
        if !missing.is_empty() {
            let missing: Vec<IncidentId> = missing.into_iter().collect();
            let over = ctx.store.incidents_by_id(&missing).await?;
            neighbourhood.past.extend(over.into_iter().filter(|incident| !incident.state.is_open()));
        }
        Ok(Some(Environment::new(neighbourhood, known)))
    }

    /// Guards decisions on an environment, and holds it as they leave it.
    fn guard(&self, name: &str, environment: Environment) -> Guard {
        let guard = Guard::unique(name, environment.neighbourhood.version);
        self.environments.keep(name, environment.finish(guard.next));
        guard
    }

    fn anomaly(
        &self,
        anomaly: &Anomaly,
        environment: &mut Environment,
        ctx: &Context,
    ) -> Result<Effects, Error> {
        environment.look_at(anomaly.anomaly_id);
        let known = links::connect(&mut environment.neighbourhood, Some(anomaly), &self.options.log_terms);
        let neighbourhood = &environment.neighbourhood;
        let decision = grouping::decide(anomaly, neighbourhood, &self.options);
        let effects = self.effects(anomaly, decision, neighbourhood, ctx.wall_clock());
        // what log lines share holds for this decision
        if let Some(known) = known {
            environment.neighbourhood.graph = known;
        }
        effects
    }

    /// Takes a span; what follows is what is due to be written of the service graph.
    fn span(&self, span: &Span, now: Timestamp) -> Result<Effects, Error> {
        refuse_future(span.ts_ms, now)?;
        refuse_unstorable(span)?;
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = edges.observe(span);
        let mut writes = edges.take_services();
        writes.extend(calls);
        let forgotten = edges.take_forgotten();
        metrics::SPANS_FORGOTTEN.add([], forgotten.spans);
        metrics::EDGES_FORGOTTEN.add([], forgotten.edges);
        metrics::SPANS_REPEATED.add([], forgotten.repeated);
        metrics::INTERVALS_FORGOTTEN.add([], forgotten.intervals);
        Ok(Effects { writes, ..Effects::none() })
    }

    fn effects(
        &self,
        anomaly: &Anomaly,
        decision: Decision,
        neighbourhood: &Neighbourhood,
        now: Timestamp,
    ) -> Result<Effects, Error> {
        let Decision { signal, over, grouping } = decision;
        let mut effects = Effects::none();
        if let Some((id, at)) = over
            && let Some(incident) = neighbourhood.incidents.iter().find(|incident| incident.incident_id == id)
        {
            resolve(incident, &grouping::members(id, neighbourhood), at, &mut effects);
        }
        match grouping {
            Grouping::Stale => {}
            Grouping::Unassigned => effects.writes.push(kept(&anomaly.environment, signal, None)),
            Grouping::LateJoin { incident } => {
                let known = neighbourhood.signals.iter().any(|(known, of)| {
                    known.anomaly_id == signal.anomaly_id && *of == Some(incident.incident_id)
                });
                effects.audit.extend((!known).then(|| late_line(&incident, anomaly)));
                effects.writes.push(kept(&anomaly.environment, signal, Some(incident.incident_id)));
            }
            Grouping::Open { incident, assessment, adopted, follows } => {
                effects.audit.push(opened(incident, anomaly, &assessment));
                self.open(incident, Occasion::of(anomaly), assessment, now, &mut effects)?;
                effects.incidents.extend(follows.map(|link| linked(incident, link)));
                let members = std::iter::once(signal).chain(adopted);
                effects
                    .writes
                    .extend(members.map(|signal| kept(&anomaly.environment, signal, Some(incident))));
            }
            Grouping::Reopen { incident, assessment, adopted } => {
                self.reopen(&incident, anomaly, assessment, now, &mut effects)?;
                let members = std::iter::once(signal).chain(adopted);
                let id = Some(incident.incident_id);
                effects.writes.extend(members.map(|signal| kept(&anomaly.environment, signal, id)));
            }
            Grouping::Join { incident, assessment, is_new, all_clear, absorbed, split } => {
                effects.audit.extend(member_line(&incident, anomaly, is_new));
                if let Some(cleared_at) = all_clear {
                    // seeded by what set it: another member may clear at the very same time
                    let seed: [&str; 2] = [&anomaly.anomaly_id.to_string(), &anomaly.revision.to_string()];
                    let members = &assessment.signals;
                    let timer =
                        ends::resolve_timer(&incident, members, cleared_at, &seed, now, &self.options)?;
                    effects.timers.push(timer);
                }
                let left = split.as_deref();
                self.join(&incident, anomaly, assessment, left, now, &mut effects)?;
                let part = left.filter(|split| split.has(&signal));
                let home = part.map_or(incident.incident_id, |split| split.incident);
                if let Some(split) = split {
                    let lines =
                        split_lines(&incident, split.incident, &split.assessment, anomaly.observed_at);
                    effects.audit.extend(lines);
                    let link = Link::new(incident.incident_id, incident.number, Relation::SplitFrom);
                    let has = |member: &Arc<Signal>| member.anomaly_id != anomaly.anomaly_id;
                    // the anomaly's own signal is written by the decision on it
                    let split = Split {
                        members: split.members.iter().filter(|one| has(one)).cloned().collect(),
                        ..*split
                    };
                    self.split(split, link, Occasion::of(anomaly), now, &mut effects)?;
                }
                effects.writes.push(kept(&anomaly.environment, signal, Some(home)));
                for other in absorbed {
                    merge(&incident, other, anomaly.observed_at, &mut effects);
                }
            }
        }
        Ok(effects)
    }

    fn open(
        &self,
        incident: IncidentId,
        occasion: Occasion<'_>,
        assessment: Assessment,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        let Occasion { environment, at, interval_ms } = occasion;
        let members = &assessment.signals;
        effects.timers.extend(ends::timers(incident, environment, members, 0, now, &self.options)?);
        let wait = (interval_ms as f64 * self.options.group_wait_intervals) as u64;
        let wait = wait.clamp(self.options.group_wait_min_ms, self.options.group_wait_max_ms);
        effects.incidents.push(IncidentChange {
            incident_id: incident,
            change: Change::Opened {
                environment: environment.to_owned(),
                at,
                assessment: Box::new(assessment),
            },
            publish: None,
        });
        // published by `on_timer`, see ADR 5
        effects.timers.push(Timer::new(
            incident.to_string(),
            &[],
            now + SignedDuration::from_millis(wait as i64),
            &Settle { incident_id: incident, environment: environment.to_owned() },
        )?);
        Ok(())
    }

    fn reopen(
        &self,
        incident: &Incident,
        anomaly: &Anomaly,
        assessment: Assessment,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        let (id, times) = (incident.incident_id, incident.reopened + 1);
        let members = &assessment.signals;
        effects.audit.push(reopened(incident, anomaly));
        effects.timers.extend(ends::timers(id, &anomaly.environment, members, times, now, &self.options)?);
        effects.incidents.push(IncidentChange {
            incident_id: id,
            change: Change::reopened(assessment),
            publish: Some(Topic::IncidentsOpened),
        });
        Ok(())
    }

    fn join(
        &self,
        incident: &Incident,
        anomaly: &Anomaly,
        assessment: Assessment,
        split: Option<&Split>,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        let announced = incident.state != State::Detecting;
        let news = split.is_some() || grouping::is_news(incident, &assessment, anomaly.anomaly_id);
        effects.audit.extend(suspect_line(incident, &assessment, anomaly.observed_at));
        effects.timers.extend(self.reconsider(incident, &assessment, now)?);
        let assessment = Box::new(assessment);
        effects.incidents.push(IncidentChange {
            incident_id: incident.incident_id,
            change: if split.is_some() { Change::Split(assessment) } else { Change::Reassessed(assessment) },
            publish: (announced && news).then_some(Topic::IncidentsUpdated),
        });
        Ok(())
    }

    /// Opens the incident that members of another one become.
    fn split(
        &self,
        split: Split,
        whole: Link,
        occasion: Occasion<'_>,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        let Split { incident, assessment, members } = split;
        self.open(incident, occasion, assessment, now, effects)?;
        effects.incidents.push(linked(incident, whole));
        effects
            .writes
            .extend(members.into_iter().map(|member| kept(occasion.environment, member, Some(incident))));
        Ok(())
    }

    /// Decides about an incident as it stands, guarded by the version of its environment.
    async fn looked_at(
        &self,
        incident_id: IncidentId,
        environment: String,
        ctx: &Context,
        decide: impl FnOnce(&Incident, &Neighbourhood, &mut Effects) + Send,
    ) -> Result<Effects, Error> {
        let Some(incident) = ctx.store.incident(incident_id).await? else {
            return Err(Error::reject(anyhow::anyhow!("a timer names the unknown incident {incident_id}")));
        };
        let mut neighbourhood = self.neighbourhood(&environment, incident.opened_at, ctx).await?;
        // the graph is read anew with the next decision
        links::connect(&mut neighbourhood, None, &self.options.log_terms);
        let mut effects = Effects::none();
        // as it stood when its surroundings were read: it may have moved on since the first look
        let now = neighbourhood.incidents.iter().chain(&neighbourhood.past);
        let incident = now.into_iter().find(|one| one.incident_id == incident_id).unwrap_or(&incident);
        decide(incident, &neighbourhood, &mut effects);
        let mut after = Environment::new(neighbourhood, Vec::new());
        // of an incident that is not among them, the first look may be too old
        after.advance(&effects).map_err(Error::retry)?;
        effects.guard = Some(self.guard(&environment, after));
        Ok(effects)
    }

    /// Returns the timer at which a challenger that has just taken the lead is looked at again.
    fn reconsider(
        &self,
        before: &Incident,
        after: &Assessment,
        now: Timestamp,
    ) -> Result<Option<Timer>, Error> {
        let is_new = |one: &&Challenger| before.challenger.as_ref() != Some(*one);
        let Some(challenger) = after.challenger.as_ref().filter(is_new) else { return Ok(None) };
        let id = before.incident_id;
        let timer = Timer::new(
            id.to_string(),
            &[&challenger.service, &challenger.category.to_string(), &challenger.since.to_string()],
            now + standing::hold(&after.signals, &self.options),
            &Reconsider { incident_id: id, environment: before.environment.clone(), since: challenger.since },
        )?;
        Ok(Some(timer))
    }

    /// Looks again at the members of an incident whose challenger has led since `since`.
    fn reconsidered(
        &self,
        incident: &Incident,
        since: Timestamp,
        neighbourhood: &Neighbourhood,
        effects: &mut Effects,
    ) {
        let leads = incident.challenger.as_ref().is_some_and(|challenger| challenger.since == since);
        if !leads || !incident.state.is_open() {
            return;
        }
        let members = grouping::members(incident.incident_id, neighbourhood);
        let at = since + standing::hold(&members, &self.options);
        let assessment = assess(members, neighbourhood, Some(incident), at, &self.options);
        effects.audit.extend(suspect_line(incident, &assessment, at));
        effects.incidents.push(IncidentChange {
            incident_id: incident.incident_id,
            change: Change::Reassessed(Box::new(assessment)),
            publish: (incident.state != State::Detecting).then_some(Topic::IncidentsUpdated),
        });
    }

    fn deployment(&self, deployment: &Deployment, now: Timestamp) -> Result<Effects, Error> {
        refuse_future(deployment.ts_ms, now)?;
        let mut deployment = deployment.clone();
        let texts = deployment.description.iter_mut().chain(&mut deployment.known_risks);
        texts.for_each(|text| self.options.redactor.apply(text));
        Ok(Effects { writes: vec![Write::Deployment(deployment)], ..Effects::none() })
    }
}

#[async_trait]
impl Stage for Correlation {
    const AGENT: Agent = Agent::Correlation;
    const BATCH: usize = 100;
    type Input = Input;

    fn decode(topic: Topic, payload: &[u8]) -> Result<Input, Refusal> {
        Input::decode(topic, payload)
    }

    fn key(input: &Input) -> Key {
        input.key()
    }

    async fn handle(&self, input: &Input, ctx: &Context) -> Result<Effects, Error> {
        let effects = self.handle_all(&[(input, ctx)]).await?;
        effects.into_iter().next().ok_or_else(|| Error::retry(anyhow::anyhow!("nothing was decided")))
    }

    async fn handle_all(&self, events: &[(&Input, &Context)]) -> Result<Vec<Effects>, Error> {
        if let [(Input::Command(command), ctx), ..] = events {
            return self.commands(command, ctx, events).await;
        }
        // commands that follow are decided by themselves
        let is_command = |(input, _): &(&Input, &Context)| matches!(input, Input::Command(_));
        let events = &events[..events.iter().position(is_command).unwrap_or(events.len())];
        let anomalies: Vec<(&Anomaly, &Context)> =
            events.iter().filter_map(|(input, ctx)| Some((input.anomaly()?, *ctx))).collect();
        let mut environment = self.environment(&anomalies).await?;
        let mut all = Vec::with_capacity(events.len());
        for (input, ctx) in events {
            let effects = match (input, &mut environment) {
                (Input::Anomaly(anomaly), Some(environment)) => self.anomaly(anomaly, environment, ctx)?,
                (Input::Anomaly(_), None) => Effects::none(),
                (Input::Deployment(deployment), _) => self.deployment(deployment, ctx.wall_clock())?,
                (Input::Span(span), _) => self.span(span, ctx.wall_clock())?,
                // decided before
                (Input::Command(_), _) => break,
            };
            if let Some(environment) = &mut environment {
                environment.advance(&effects).map_err(Error::reject)?;
            }
            let opens = effects.incidents.iter().any(|change| matches!(change.change, Change::Opened { .. }));
            all.push(effects);
            // it gets its number as it is written, and what follows may name it
            if opens {
                break;
            }
        }
        if let (Some(environment), Some((first, _))) = (environment, anomalies.first()) {
            let guard = self.guard(&first.environment, environment);
            for ((input, _), effects) in events.iter().zip(&mut all) {
                effects.guard = input.anomaly().map(|_| guard.clone());
            }
        }
        Ok(all)
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        match timer.name.as_str() {
            Settle::NAME => {
                let Settle { incident_id, environment } = timer.read()?;
                self.looked_at(incident_id, environment, ctx, |incident, _, effects| {
                    announce(incident, effects);
                })
                .await
            }
            Resolve::NAME => {
                let Resolve { incident_id, environment, cleared_at, reopened } = timer.read()?;
                self.looked_at(incident_id, environment, ctx, |incident, neighbourhood, effects| {
                    let members = grouping::members(incident_id, neighbourhood);
                    // a member that fired again meanwhile has set, or will set, a timer of its own
                    if grouping::all_clear(&members).is_some_and(|(at, _)| at == cleared_at)
                        && incident.state.is_open()
                        // a person may have opened it again, with members that are as clear as before
                        && reopened.is_none_or(|times| times == incident.reopened)
                    {
                        resolve(incident, &members, cleared_at, effects);
                    }
                })
                .await
            }
            Unseen::NAME => {
                let timer: Unseen = timer.read()?;
                let (now, mut done) = (ctx.wall_clock(), Ok(()));
                let environment = timer.environment.clone();
                let effects = self
                    .looked_at(timer.incident_id, environment, ctx, |incident, neighbourhood, effects| {
                        done = ends::on_unseen(incident, &timer, neighbourhood, now, &self.options, effects);
                    })
                    .await?;
                done.map(|()| effects)
            }
            Overdue::NAME => {
                let Overdue { incident_id, environment } = timer.read()?;
                self.looked_at(incident_id, environment, ctx, |incident, neighbourhood, effects| {
                    ends::on_overdue(incident, neighbourhood, &self.options, effects);
                })
                .await
            }
            Reconsider::NAME => {
                let Reconsider { incident_id, environment, since } = timer.read()?;
                self.looked_at(incident_id, environment, ctx, |incident, neighbourhood, effects| {
                    self.reconsidered(incident, since, neighbourhood, effects);
                })
                .await
            }
            _ => Err(timer.unknown()),
        }
    }
}

fn refuse_future(ts_ms: i64, now: Timestamp) -> Result<(), Error> {
    if from_ms(ts_ms).duration_since(now) > FUTURE {
        return Err(Error::reject(anyhow::anyhow!("ts_ms {ts_ms} is more than an hour in the future")));
    }
    Ok(())
}

/// Refuses names that PostgreSQL does not take: they are written with later spans, which are not to blame.
fn refuse_unstorable(span: &Span) -> Result<(), Error> {
    let peer = span.peer.as_deref().unwrap_or_default();
    if [&*span.service, &*span.environment, peer].iter().any(|name| name.contains('\0')) {
        return Err(Error::reject(anyhow::anyhow!("a name holds the character U+0000")));
    }
    Ok(())
}

fn announce(incident: &Incident, effects: &mut Effects) {
    if incident.state != State::Detecting {
        return;
    }
    let number = incident.number;
    // only now it has a number
    for whole in incident.links.iter().filter(|link| link.relation == Relation::SplitFrom) {
        let by = whole.by.clone();
        let link = Link { incident_id: incident.incident_id, number, relation: Relation::SplitInto, by };
        effects.incidents.push(linked(whole.incident_id, link));
    }
    effects.audit.push(Audit {
        incident_id: incident.incident_id,
        at: last_seen(incident),
        action: AuditAction::Announced,
        summary: format!(
            "Announced as {} with {} in {}.",
            incident.severity.label(),
            counted(incident.members.len(), "signal"),
            counted(incident.affected_services.len(), "service")
        ),
        detail: json!({ "severity": incident.severity, "suspects": incident.suspects }),
    });
    effects.incidents.push(IncidentChange {
        incident_id: incident.incident_id,
        change: Change::Announced,
        publish: Some(Topic::IncidentsOpened),
    });
}

/// A write of a signal of an environment.
fn kept(environment: &str, signal: Arc<Signal>, incident_id: Option<IncidentId>) -> Write {
    Write::Signal { environment: environment.to_owned(), signal, incident_id }
}

fn linked(incident_id: IncidentId, link: Link) -> IncidentChange {
    IncidentChange { incident_id, change: Change::Linked(link), publish: None }
}

/// Ends an incident in another one of the same fault, with a line in each.
fn merge(into: &Incident, absorbed: Absorbed, at: Timestamp, effects: &mut Effects) {
    let Absorbed { incident, members } = absorbed;
    let why = "both are of the same fault";
    effects.audit.extend(merge_lines(into, &incident, why, at));
    end_in(into, &incident, members, None, at, effects);
}

/// Returns a line for each of two incidents of which one ends in the other.
fn merge_lines(into: &Incident, incident: &Incident, why: &str, at: Timestamp) -> [Audit; 2] {
    let line = |incident: &Incident, other: &Incident, summary: String| Audit {
        incident_id: incident.incident_id,
        at,
        action: AuditAction::Merged,
        summary,
        detail: json!({ "incident_id": other.incident_id, "number": other.number }),
    };
    [
        line(incident, into, format!("Merged into incident #{}: {why}.", into.number)),
        line(into, incident, format!("Incident #{} was merged into this one: {why}.", incident.number)),
    ]
}

/// Ends an incident in another one, which its members join. `by` is who asked for it.
fn end_in(
    into: &Incident,
    incident: &Incident,
    members: Vec<Arc<Signal>>,
    by: Option<&str>,
    at: Timestamp,
    effects: &mut Effects,
) {
    let (incident_id, by) = (incident.incident_id, by.map(str::to_owned));
    let link = Link { incident_id, number: incident.number, relation: Relation::Absorbed, by: by.clone() };
    effects.incidents.push(linked(into.incident_id, link));
    effects.incidents.push(IncidentChange {
        incident_id,
        change: Change::Merged { into: into.incident_id, number: into.number, at, by },
        publish: (incident.state != State::Detecting).then_some(Topic::IncidentsResolved),
    });
    let joining = members.into_iter();
    effects.writes.extend(joining.map(|signal| kept(&incident.environment, signal, Some(into.incident_id))));
}

fn last_seen(incident: &Incident) -> Timestamp {
    incident.signals.iter().map(|signal| signal.observed_at).max().unwrap_or(incident.opened_at)
}
