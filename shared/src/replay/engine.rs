//! The run itself: events and timers at the moments production had them, one after another.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use tracing::Span;
use uuid::Uuid;

use super::initial_state::InitialState;
use super::log::{place, refused_body, refused_id};
use super::scratch::Scratch;
use super::{Error, Progress, Rank, Watch};
use crate::clock::Clock;
use crate::error;
use crate::events::envelope::expect_type;
use crate::events::{Refusal, decode};
use crate::ids::{EventId, IncidentId};
use crate::stage::{Class, Context, Effects, Limits, Stage, Timer};
use crate::store::apply::{Applied, Cause, Decided};
use crate::store::timers::{FIRST_OF_ITS_KIND, attempt_id};
use crate::store::{self, Notification, Write, row};

/// Steps that are read at once.
const PAGE: i64 = 50;
/// Tries of one event. Nothing but the stage itself changes between two.
const TRIES: u32 = 3;

/// A clock that is set from outside, to the microsecond as PostgreSQL keeps it.
struct SteppedClock(AtomicI64);

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MIN)
    }
}

/// Something that happens at a moment.
struct Step {
    moment: Timestamp,
    rank: Rank,
    topic: String,
    partition: i32,
    /// Offset of a record, id of a row.
    position: i64,
    id: Option<Uuid>,
    kind: Option<String>,
    traceparent: Option<String>,
    payload: Vec<u8>,
}

/// Reads a row of `replay_steps`, see [`Run::page`].
fn step(found: &Row) -> Result<Step, Error> {
    fn column<'r, T: FromSql<'r>>(found: &'r Row, column: usize) -> Result<T, store::Error> {
        row::value(found, "replay_steps", column)
    }
    let rank: i16 = column(found, 1)?;
    let rank = Rank::ALL
        .into_iter()
        .find(|known| known.number() == rank)
        .ok_or_else(|| row::unreadable(found, "replay_steps", format!("unknown rank {rank}")))?;
    Ok(Step {
        moment: column(found, 0)?,
        rank,
        topic: column(found, 2)?,
        partition: column(found, 3)?,
        position: column(found, 4)?,
        id: column(found, 5)?,
        kind: column(found, 6)?,
        traceparent: column(found, 7)?,
        payload: column::<Option<Vec<u8>>>(found, 8)?.unwrap_or_default(),
    })
}

impl Step {
    /// Whether production applied it in one transaction with the step before: the inbox counts those by microseconds.
    fn continues(&self, before: &Self) -> bool {
        let next = before.moment.checked_add(SignedDuration::from_micros(1));
        matches!((before.rank, self.rank), (Rank::Input, Rank::Input))
            && next.is_ok_and(|at| at == self.moment)
    }
}

fn decided<'a>(cause: Cause<'a>, traceparent: Option<&'a str>, effects: &'a Effects) -> Decided<'a> {
    Decided { cause, traceparent, effects, span: Span::none() }
}

/// Returns the moment of the last record, if there is one.
pub(super) async fn last_moment(scratch: &Scratch) -> Result<Option<Timestamp>, Error> {
    let client = scratch.store.client().await?;
    Ok(row::first(&client.query_one("select max(moment) from replay_steps", &[]).await?)?)
}

/// A run of a stage through its steps.
pub(super) struct Run<'r, S> {
    stage: &'r S,
    scratch: &'r Scratch,
    world: &'r InitialState<'r>,
    watch: &'r Watch<'r>,
    clock: Arc<SteppedClock>,
    limits: Limits,
    /// How late each attempt of a timer was in production.
    lateness: HashMap<(EventId, u32), SignedDuration>,
    /// Whether timers may have changed since they were last looked at.
    timers_moved: bool,
    /// The next timer and when it rings.
    next_timer: Option<(Timestamp, EventId)>,
    events: u64,
    rings: u64,
}

impl<'r, S: Stage> Run<'r, S> {
    pub(super) fn new(
        stage: &'r S,
        scratch: &'r Scratch,
        world: &'r InitialState<'r>,
        watch: &'r Watch<'r>,
    ) -> Self {
        Self {
            stage,
            scratch,
            world,
            watch,
            clock: Arc::new(SteppedClock(AtomicI64::new(0))),
            limits: Limits::default(),
            lateness: HashMap::new(),
            timers_moved: true,
            next_timer: None,
            events: 0,
            rings: 0,
        }
    }

    /// Takes all steps, and all timers that ring up to `end`, at most `limit` of those. Returns how many events were
    /// handled and how many timers rang.
    pub(super) async fn to(mut self, end: Timestamp, limit: u64) -> Result<(u64, u64), Error> {
        let client = self.scratch.store.client().await?;
        client
            .batch_execute(
                "create index replay_order on replay_steps (moment, rank, topic, partition, position); \
                 analyze replay_steps",
            )
            .await?;
        let total: i64 = row::first(&client.query_one("select count(*) from replay_steps", &[]).await?)?;
        drop(client);
        let mut done = 0;
        // steps that production took in one transaction
        let mut together: Vec<Step> = Vec::new();
        loop {
            let page = self.page(together.last()).await?;
            let is_end = page.is_empty();
            for step in page {
                if !together.last().is_some_and(|last| step.continues(last) && together.len() < S::BATCH) {
                    done += self.take_all(&together, limit).await?;
                    together.clear();
                    self.watch.tell(Progress { doing: "replaying", done, of: Some(total.unsigned_abs()) })?;
                }
                together.push(step);
            }
            if is_end {
                break;
            }
        }
        self.take_all(&together, limit).await?;
        self.ring_until(end, limit).await?;
        Ok((self.events, self.rings))
    }

    async fn page(&self, after: Option<&Step>) -> Result<Vec<Step>, Error> {
        let columns = "select moment, rank, topic, partition, position, id, kind, traceparent, payload \
                       from replay_steps";
        let order = "order by moment, rank, topic, partition, position limit";
        let client = self.scratch.store.client().await?;
        let rows = match after {
            None => client.query(&format!("{columns} {order} $1"), &[&PAGE]).await?,
            Some(step) => {
                let after = "where (moment, rank, topic, partition, position) > ($2, $3, $4, $5, $6)";
                client
                    .query(
                        &format!("{columns} {after} {order} $1"),
                        &[
                            &PAGE,
                            &step.moment,
                            &step.rank.number(),
                            &step.topic,
                            &step.partition,
                            &step.position,
                        ],
                    )
                    .await?
            }
        };
        rows.iter().map(step).collect()
    }

    /// Takes steps that belong together, and returns how many those were.
    async fn take_all(&mut self, steps: &[Step], limit: u64) -> Result<u64, Error> {
        let Some(first) = steps.first() else { return Ok(0) };
        self.ring_until(first.moment, limit).await?;
        if steps.len() == 1 {
            self.take(first).await?;
        } else {
            self.several(steps).await?;
        }
        Ok(steps.len() as u64)
    }

    /// Decides on several events together, as production did, or else one by one.
    async fn several(&mut self, steps: &[Step]) -> Result<(), Error> {
        let mut left = steps;
        while let Some(first) = left.first() {
            self.set(first.moment);
            let together = match self.decide_together(left).await {
                Err(Error::Stage(error)) if matches!(error.class(), Class::Fatal | Class::Unavailable) => {
                    return Err(Error::Stage(error));
                }
                Err(Error::Stage(_)) => 0,
                outcome => outcome?,
            };
            if together == 0 {
                self.event(first).await?;
            }
            left = &left[together.max(1)..];
        }
        Ok(())
    }

    /// Returns on how many of the events, from the first one on, was decided; none where one cannot be read or was handled.
    async fn decide_together(&mut self, steps: &[Step]) -> Result<usize, Error> {
        let inputs: Vec<S::Input> = steps.iter().map_while(|step| Self::read(step)?.ok()).collect();
        let contexts: Vec<Context> = steps
            .iter()
            .map(|step| self.context(EventId(step.id.unwrap_or_default()), step.traceparent.as_deref()))
            .collect();
        let ids: Vec<EventId> = contexts.iter().map(|context| context.event_id).collect();
        if inputs.len() < steps.len() || !self.scratch.store.processed(S::NAME, &ids).await?.is_empty() {
            return Ok(0);
        }
        let events: Vec<(&S::Input, &Context)> = inputs.iter().zip(&contexts).collect();
        let all = self.limits.bounded(self.stage.handle_all(&events)).await.map_err(Error::Stage)?;
        let decided: Vec<Decided<'_>> = all
            .iter()
            .zip(&contexts)
            .filter(|(effects, _)| !effects.is_empty())
            .map(|(effects, context)| {
                decided(Cause::Event(context.event_id), context.traceparent.as_deref(), effects)
            })
            .collect();
        self.events += all.len() as u64;
        if !decided.is_empty() {
            self.apply(&decided).await.map_err(|error| Error::Stage(error.into()))?;
        }
        Ok(all.len())
    }

    /// Decodes an input; none if it is of a topic that the stage does not read.
    fn read(step: &Step) -> Option<Result<S::Input, Refusal>> {
        let topic = S::TOPICS.iter().copied().find(|topic| topic.name() == step.topic)?;
        let headers: Vec<_> = step.kind.iter().map(|kind| ("ce_type".to_owned(), kind.clone())).collect();
        Some(expect_type(topic, &headers).and_then(|()| S::decode(topic, &step.payload)))
    }

    async fn take(&mut self, step: &Step) -> Result<(), Error> {
        match step.rank {
            Rank::Audit => self.world.audit(step.position).await,
            Rank::Notification => self.world.notification(step.id.unwrap_or_default()).await,
            Rank::Attempt => self.world.attempt(step.position).await,
            Rank::Artifact => {
                let id = IncidentId(step.id.unwrap_or_default());
                self.world.artifact(id, &step.topic, step.partition).await
            }
            // what cannot be read, the stages could not read either
            Rank::Incident => match decode(&step.payload) {
                Ok(incident) => self.world.announce(&incident).await,
                Err(_) => Ok(()),
            },
            Rank::Input => self.event(step).await,
        }
    }

    async fn event(&mut self, step: &Step) -> Result<(), Error> {
        self.set(step.moment);
        let input = match Self::read(step) {
            None => return Ok(()),
            Some(Ok(input)) => input,
            Some(Err(refusal)) => return self.refused(step, &refusal).await,
        };
        let context = self.context(EventId(step.id.unwrap_or_default()), step.traceparent.as_deref());
        if self.scratch.store.is_processed(S::NAME, context.event_id).await? {
            return Ok(());
        }
        self.events += 1;
        let mut tries = 0;
        loop {
            let error = match self.once(&input, &context).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            tries += 1;
            match error.class() {
                Class::Retry if tries < TRIES => {}
                Class::Retry | Class::Reject => return self.refused(step, &error).await,
                Class::Unavailable | Class::Fatal => return Err(Error::Stage(error)),
            }
        }
    }

    async fn once(&mut self, input: &S::Input, context: &Context) -> Result<(), error::Error> {
        let effects = self.limits.bounded(self.stage.handle(input, context)).await?;
        if effects.is_empty() {
            return Ok(());
        }
        let cause = Cause::Event(context.event_id);
        self.apply(&[decided(cause, context.traceparent.as_deref(), &effects)]).await?;
        Ok(())
    }

    /// Applies effects as production does, and notes what would have been published and told.
    async fn apply(&mut self, decided: &[Decided<'_>]) -> Result<(), store::Error> {
        let store = &self.scratch.store;
        if store.apply_all(S::NAME, decided).await? == Applied::Duplicate {
            return Ok(());
        }
        self.timers_moved = true;
        let client = store.client().await?;
        let now = self.clock.now();
        let publishes = |one: &Decided<'_>| {
            !one.effects.publish.is_empty()
                || one.effects.incidents.iter().any(|change| change.publish.is_some())
        };
        if decided.iter().any(publishes) {
            client
                .execute(
                    "with fresh as (update outbox set published_at = $1 where stage = $2 and published_at is null \
                        returning id, topic, key, headers, payload) \
                     insert into replay_outputs (side, topic, id, subject, at, body) \
                     select 'now', topic, (select h->>1 from jsonb_array_elements(headers) h where h->>0 = 'ce_id'), \
                        key, $1, payload from fresh order by id on conflict do nothing",
                    &[&now, &S::NAME],
                )
                .await?;
        }
        for write in decided.iter().flat_map(|one| &one.effects.writes) {
            if let Write::Notification(notification) = write {
                let mut written = serde_json::to_value(notification)?;
                // a replay writes at another time
                if let Some(event) = written["event"].as_object_mut() {
                    event.remove(Notification::WRITTEN_AT);
                }
                let body = serde_json::to_vec(&written)?;
                let (id, subject) = (notification.id.to_string(), notification.incident_id.to_string());
                self.output(place::NOTIFICATIONS, &id, &subject, &body).await?;
            }
        }
        Ok(())
    }

    async fn refused(&self, step: &Step, why: &dyn std::fmt::Display) -> Result<(), Error> {
        let id = refused_id(&step.topic, &step.partition, &step.position);
        let topic = S::AGENT.dead_letters();
        Ok(self.output(topic.name(), &id, &id, &refused_body(&why.to_string())).await?)
    }

    async fn output(&self, topic: &str, id: &str, subject: &str, body: &[u8]) -> Result<(), store::Error> {
        self.scratch.output("now", topic, id, subject, self.clock.now(), body).await
    }

    /// Lets every timer ring that does so up to `moment`.
    async fn ring_until(&mut self, moment: Timestamp, limit: u64) -> Result<(), Error> {
        loop {
            if self.timers_moved {
                self.next_timer = self.look_at_timers().await?;
                self.timers_moved = false;
            }
            let Some((at, id)) = self.next_timer.filter(|(at, _)| *at <= moment) else { return Ok(()) };
            self.set(at);
            let timer = self.claim(id).await?;
            self.rings += 1;
            if self.rings > limit {
                return Err(Error::Endless(format!("{} of {}", timer.name, timer.key)));
            }
            self.watch.tell(Progress { doing: "letting timers ring", done: self.rings, of: None })?;
            self.timers_moved = true;
            self.ring(&timer).await?;
        }
    }

    async fn ring(&mut self, timer: &Timer) -> Result<(), Error> {
        let context = self.context(timer.id, timer.traceparent.as_deref());
        let error = match self.limits.bounded(self.stage.on_timer(timer, &context)).await {
            Ok(effects) => {
                let rung = decided(Cause::Timer(timer), timer.traceparent.as_deref(), &effects);
                match self.apply(&[rung]).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error::Error::from(error),
                }
            }
            Err(error) => error,
        };
        if matches!(error.class(), Class::Fatal | Class::Unavailable) {
            return Err(Error::Stage(error));
        }
        // what fails here fails again, for nothing changes meanwhile
        self.scratch.store.return_timer(S::NAME, timer, None, true, &error.to_string()).await?;
        let body = serde_json::json!({ "name": timer.name }).to_string();
        Ok(self.output(place::TIMERS, &timer.id.to_string(), &timer.key, body.as_bytes()).await?)
    }

    /// Returns the timer that rings first, and when: of each key and name the oldest, as late as it was in production.
    async fn look_at_timers(&mut self) -> Result<Option<(Timestamp, EventId)>, Error> {
        let client = self.scratch.store.client().await?;
        let heads = client
            .query(
                &format!(
                    "select t.id, t.due, t.attempts from timers t \
                     where t.stage = $1 and t.state = 'waiting' and {FIRST_OF_ITS_KIND}"
                ),
                &[&S::NAME],
            )
            .await?;
        let mut first: Option<(Timestamp, EventId)> = None;
        for head in heads {
            let (id, due) = (EventId(row::first(&head)?), row::value::<Timestamp>(&head, "timers", 1)?);
            let late = self.late(id, row::value::<i32>(&head, "timers", 2)?.unsigned_abs()).await?;
            // never before what has happened already
            let at = due.saturating_add(late).unwrap_or(due).max(self.clock.now());
            if first.is_none_or(|known| (at, id) < known) {
                first = Some((at, id));
            }
        }
        Ok(first)
    }

    /// Returns how long after it was due an attempt of a timer was written in production; nothing where it was not, or
    /// left no line.
    async fn late(&mut self, id: EventId, attempts: u32) -> Result<SignedDuration, Error> {
        if let Some(known) = self.lateness.get(&(id, attempts)) {
            return Ok(*known);
        }
        let attempt = attempt_id(id, attempts).0;
        let statement = format!(
            "select (select due from {p}.timers where stage = $1 and id = $2 and state = 'done' and attempts = $3), \
             (select min(recorded_at) from {p}.audit where actor = $1 and event_id = $4)",
            p = self.scratch.production
        );
        let client = self.scratch.store.client().await?;
        let found =
            client.query_one(&statement, &[&S::NAME, &id.0, &((attempts + 1) as i32), &attempt]).await?;
        let times: (Option<Timestamp>, Option<Timestamp>) =
            (row::first(&found)?, row::value(&found, "result", 1)?);
        let late = match times {
            (Some(due), Some(rang)) => rang.duration_since(due).max(SignedDuration::ZERO),
            _ => SignedDuration::ZERO,
        };
        self.lateness.insert((id, attempts), late);
        Ok(late)
    }

    async fn claim(&self, id: EventId) -> Result<Timer, Error> {
        let store = &self.scratch.store;
        let row = store
            .client()
            .await?
            .query_one(
                &format!(
                    "update timers set owner = $3 where stage = $1 and id = $2 returning {}",
                    Timer::COLUMNS
                ),
                &[&S::NAME, &id.0, &store.process()],
            )
            .await?;
        Ok(Timer::of_row(&row)?)
    }

    fn set(&self, moment: Timestamp) {
        self.clock.0.store(moment.as_microsecond(), Ordering::SeqCst);
    }

    fn context(&self, event_id: EventId, traceparent: Option<&str>) -> Context {
        Context {
            event_id,
            traceparent: traceparent.map(str::to_owned),
            store: self.scratch.store.reads().clone(),
            journal: self.scratch.store.clone(),
            stage: S::AGENT,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
        }
    }
}
