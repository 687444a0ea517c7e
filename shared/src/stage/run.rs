//! The runtime: reads, decides, applies, relays, and only then lets the offset go.

mod batch;
mod gauges;
mod retention;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::{Class, Context, Effects, Error, Limits, Stage, Timer};
use crate::bus::progress::PROGRESS;
use crate::bus::{Consumer, PING, Producer, Record, dead_letter};
use crate::clock::Clock;
use crate::events::Refusal;
use crate::events::envelope::expect_type;
use crate::failpoint::Failpoint;
use crate::ids::EventId;
use crate::metrics::runtime;
use crate::service::{Common, Deps, Readiness, wait_for};
use crate::store::apply::{Applied, Cause};
use crate::store::{self, Store, timers};
use crate::trace;

/// Events of different keys that are worked on side by side.
const LANES: usize = 8;
/// Records that may wait in one lane, unless more are decided together.
const LANE_QUEUE: usize = 32;
/// Payloads of all records in the lanes, bytes.
const READ_AHEAD_BYTES: usize = 16 * 1024 * 1024;
/// Decisions that may lose against another replica in a row.
const MAX_CONFLICTS: u32 = 100;
/// Pauses between tries of one event, of a dead letter and of the relay; without an end.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();
/// Longest pause between looks at outbox and timers.
const IDLE: Duration = Duration::from_millis(200);

/// Database and bus, connected.
#[derive(Clone)]
pub struct StageDeps {
    /// Database, migrated.
    pub store: Store,
    /// Bus.
    pub producer: Producer,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is borne before an event or a timer is given up.
    pub limits: Limits,
    common: Common,
    readiness: Readiness,
    shutdown: CancellationToken,
}

impl StageDeps {
    /// Connects, waiting for whatever is not there yet; none if the process is told to stop meanwhile.
    pub async fn connect(
        common: &Common,
        deps: &Deps,
        clock: Arc<dyn Clock>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let store = Store::new(&common.postgres, &deps.process)?;
        let ready = wait_for("postgres", &deps.readiness, shutdown, || async {
            store.ping().await?;
            store.migrate().await
        });
        if ready.await.is_none() {
            return Ok(None);
        }
        let producer = Producer::connect(&common.kafka)?;
        if wait_for("kafka", &deps.readiness, shutdown, || producer.answers(PING)).await.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            store,
            producer,
            clock,
            limits: Limits::default(),
            common: common.clone(),
            readiness: deps.readiness.clone(),
            shutdown: shutdown.clone(),
        }))
    }
}

/// Runs a stage until the base's shutdown; ends with an error where the process cannot go on.
pub async fn run<S: Stage>(stage: S, base: StageDeps) -> anyhow::Result<()> {
    runtime::begin(S::NAME, S::TOPICS.iter().map(|topic| topic.name()));
    let mut consumer = Consumer::join(&base.common.kafka, S::NAME, S::TOPICS)?;
    let watch = consumer.handle();
    let runtime = Arc::new(Runtime {
        stage,
        base: base.clone(),
        room: Arc::new(Semaphore::new(READ_AHEAD_BYTES)),
        wake_relay: Notify::new(),
        wake_timers: Notify::new(),
    });
    // what must go on while the last events are finished has a token of its own
    let background = CancellationToken::new();
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    tasks.spawn(Arc::clone(&runtime).relay(background.clone()));
    tasks.spawn(Arc::clone(&runtime).timers(background.clone()));
    tasks.spawn(Arc::clone(&runtime).housekeeping(background.clone(), watch.clone()));
    tasks.spawn(Arc::clone(&runtime).retention(background.clone()));
    let mut lanes = Vec::with_capacity(LANES);
    for _ in 0..LANES {
        let (sender, records) = mpsc::channel(LANE_QUEUE.max(S::BATCH));
        lanes.push(sender);
        tasks.spawn(Arc::clone(&runtime).lane(records));
    }

    let failure = loop {
        tokio::select! {
            () = base.shutdown.cancelled() => break None,
            Some(ended) = tasks.join_next() => match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Some(error),
                Err(panic) => break Some(Error::fatal(anyhow::anyhow!("a task panicked: {panic}"))),
            },
            record = consumer.next() => match record {
                None => break Some(Error::fatal(anyhow::anyhow!("the consumer has ended"))),
                Some(record) => runtime.dispatch(record, &lanes).await,
            },
        }
    };
    drop(lanes);
    consumer.leave().await;
    background.cancel();
    let end = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(3), end).await.is_err() {
        tracing::warn!("work in flight aborted; it will be redelivered");
    }
    // what the last events have left in the outbox; another replica would find it, but why wait
    if let Err(error) = runtime.base.store.relay(S::NAME, &runtime.base.producer).await {
        tracing::info!(%error, "outbox not relayed at shutdown; another replica relays it");
    }
    match failure {
        None => Ok(()),
        Some(error) => Err(anyhow::Error::new(error).context(format!("stage {}", S::NAME))),
    }
}

struct Runtime<S> {
    stage: S,
    base: StageDeps,
    /// Bytes of payload that the lanes have room for.
    room: Arc<Semaphore>,
    wake_relay: Notify,
    wake_timers: Notify,
}

/// A record on its way through a lane.
struct Job<I> {
    record: Record,
    input: Result<I, Refusal>,
    /// Its place in the lanes, held until it is done.
    _room: OwnedSemaphorePermit,
}

impl<S: Stage> Runtime<S> {
    /// Decodes a record and puts it in the lane of its key, or of the record's where it cannot be decoded.
    async fn dispatch(&self, record: Record, lanes: &[mpsc::Sender<Job<S::Input>>]) {
        let input = expect_type(record.topic, &record.headers)
            .and_then(|()| S::decode(record.topic, &record.payload));
        let mut hasher = DefaultHasher::new();
        match &input {
            Ok(input) => S::key(input).hash(&mut hasher),
            Err(_) => record.key.hash(&mut hasher),
        }
        let lane = hasher.finish() as usize % lanes.len();
        let bytes = record.payload.len().clamp(1, READ_AHEAD_BYTES) as u32;
        let enqueue = async {
            // never closed
            let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await else { return };
            _ = lanes[lane].send(Job { record, input, _room: room }).await;
        };
        // a full lane must not hold up a shutdown; what is dropped here or at a closed lane will be read again
        tokio::select! {
            () = self.base.shutdown.cancelled() => {}
            () = enqueue => {}
        }
    }

    async fn lane(self: Arc<Self>, mut jobs: mpsc::Receiver<Job<S::Input>>) -> Result<(), Error> {
        let mut waiting = Vec::new();
        while jobs.recv_many(&mut waiting, S::BATCH).await > 0 {
            for together in batch::by_key::<S>(waiting.drain(..)) {
                self.several(together).await?;
            }
        }
        Ok(())
    }

    /// Handles one record until it is done, dead or no longer ours.
    async fn single(&self, Job { record, input, _room }: Job<S::Input>) -> Result<(), Error> {
        match input {
            Ok(input) => self.work(record, &input).await,
            Err(refusal) => {
                runtime::EVENTS.add_one([S::NAME, refusal.reason()]);
                self.dead_letter(record, &refusal.to_string(), 1).await;
                Ok(())
            }
        }
    }

    /// Handles one event until it is done, dead or no longer ours.
    async fn work(&self, record: Record, input: &S::Input) -> Result<(), Error> {
        let (context, span) = self.placed(&record);
        Failpoint::Read.hit();
        self.tries(record, input, &context).instrument(span).await
    }

    /// Decides until the event is done, dead or no longer ours.
    async fn tries(&self, record: Record, input: &S::Input, context: &Context) -> Result<(), Error> {
        let event_id = context.event_id;
        let limits = self.base.limits;
        let (mut attempts, mut overdue) = (0, 0);
        for (tries, delay) in (1_u64..).zip(BACKOFF.build()) {
            let begun = Instant::now();
            let error = match self.once(input, context).await {
                Ok(outcome) => {
                    let outcome = match outcome {
                        Applied::Committed => "handled",
                        Applied::Duplicate => {
                            tracing::debug!(event = %event_id, "redelivered event suppressed");
                            "duplicate"
                        }
                    };
                    runtime::EVENTS.add_one([S::NAME, outcome]);
                    runtime::HANDLE_SECONDS_OF_EVENT.observe([S::NAME], begun.elapsed().as_secs_f64());
                    self.count_age(&record);
                    record.ticket.finish();
                    return Ok(());
                }
                Err(error) => error,
            };
            attempts += 1;
            overdue += u32::from(begun.elapsed() >= limits.decision);
            runtime::FAILURES.add_one([S::NAME, error.class().name()]);
            let again = match error.class() {
                Class::Fatal => return Err(error),
                Class::Unavailable => true,
                Class::Retry => attempts < limits.attempts && overdue < limits.overdue,
                Class::Reject => false,
            };
            if !again {
                trace::failed(&Span::current());
                self.dead_letter(record, &error.to_string(), attempts).await;
                return Ok(());
            }
            tracing::warn!(event = %event_id, tries, class = error.class().name(), %error, "decision failed; retrying");
            if error.class() == Class::Unavailable || !self.dependencies_answer().await {
                // the event is not the cause: it waits, however long that takes
                (attempts, overdue) = (0, 0);
            }
            if !self.pause(delay).await || !record.ticket.is_current() {
                break;
            }
        }
        Ok(())
    }

    async fn once(&self, input: &S::Input, context: &Context) -> Result<Applied, Error> {
        if self.base.store.is_processed(S::NAME, context.event_id).await? {
            return Ok(Applied::Duplicate);
        }
        for lost in 0..MAX_CONFLICTS {
            let effects = self.base.limits.bounded(self.stage.handle(input, context)).await?;
            Failpoint::Decided.hit();
            if effects.is_empty() {
                return Ok(Applied::Committed);
            }
            let cause = Cause::Event(context.event_id);
            match self.base.store.apply(S::NAME, cause, context.traceparent.as_deref(), &effects).await {
                Err(store::Error::Conflict { .. }) => self.lost(lost).await,
                outcome => {
                    let outcome = outcome?;
                    self.wake(&effects);
                    return Ok(outcome);
                }
            }
        }
        Err(Error::retry(anyhow::anyhow!("lost against other replicas {MAX_CONFLICTS} times")))
    }

    async fn timer(self: Arc<Self>, timer: Timer) -> Result<(), Error> {
        Failpoint::Claimed.hit();
        let parent = timer.traceparent.as_deref();
        let context = self.context(timer.id, parent);
        let span = trace::handling(S::AGENT, trace::Work::Timer(&timer.name), timer.id, parent);
        self.fire(&timer, &context).instrument(span).await
    }

    async fn fire(&self, timer: &Timer, context: &Context) -> Result<(), Error> {
        let limits = self.base.limits;
        let mut lost = 0;
        let error = loop {
            let decision = limits.bounded(self.stage.on_timer(timer, context));
            let effects = match self.while_held(timer, decision).await {
                None => return Ok(()),
                Some(Ok(effects)) => effects,
                Some(Err(error)) => break error,
            };
            match self
                .base
                .store
                .apply(S::NAME, Cause::Timer(timer), timer.traceparent.as_deref(), &effects)
                .await
            {
                Err(store::Error::Conflict { .. }) if lost < MAX_CONFLICTS => {
                    self.lost(lost).await;
                    lost += 1;
                }
                Err(error) => break error.into(),
                Ok(_) => {
                    runtime::TIMERS.add_one([S::NAME, "handled"]);
                    self.wake(&effects);
                    self.wake_timers.notify_one();
                    return Ok(());
                }
            }
        };
        if error.class() == Class::Fatal {
            return Err(error);
        }
        trace::failed(&Span::current());
        // a dependency that does not answer is no failure of the timer's own
        let own = error.class() != Class::Unavailable && self.dependencies_answer().await;
        let again = match error.class() {
            Class::Unavailable => true,
            Class::Retry => !own || timer.failures + 1 < limits.timer_failures,
            Class::Reject | Class::Fatal => false,
        };
        let due = again.then(|| self.base.clock.now() + timer_backoff(timer.failures));
        let outcome = if again { "again" } else { "failed" };
        runtime::TIMERS.add_one([S::NAME, outcome]);
        tracing::warn!(timer = timer.name, key = timer.key, attempts = timer.attempts + 1, again, %error, "timer failed");
        // if this fails too, the lease ends and another replica takes over
        if let Err(error) = self.base.store.return_timer(S::NAME, timer, due, own, &error.to_string()).await {
            tracing::warn!(%error, "timer could not be returned; its lease will expire");
        }
        Ok(())
    }

    /// Does the work of a timer and renews its lease meanwhile; none if another replica has taken it over.
    async fn while_held<T>(&self, timer: &Timer, work: impl Future<Output = T>) -> Option<T> {
        let lost = async {
            loop {
                tokio::time::sleep(timers::RENEWAL).await;
                if matches!(self.base.store.renew_timer(S::NAME, timer).await, Ok(false)) {
                    return;
                }
            }
        };
        tokio::select! {
            done = work => Some(done),
            () = lost => {
                tracing::info!(timer = timer.name, key = timer.key, "timer taken over by another replica");
                None
            }
        }
    }

    async fn timers(self: Arc<Self>, stop: CancellationToken) -> Result<(), Error> {
        let mut running: JoinSet<Result<(), Error>> = JoinSet::new();
        while !stop.is_cancelled() {
            while let Some(ended) = running.try_join_next() {
                ended.map_err(|panic| Error::fatal(anyhow::anyhow!("a timer panicked: {panic}")))??;
            }
            let room = LANES.saturating_sub(running.len());
            let now = self.base.clock.now();
            let claimed = if room == 0 {
                Vec::new()
            } else {
                self.base.store.claim_timers(S::NAME, now, room as i64).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "timers could not be claimed");
                    Vec::new()
                })
            };
            let idle = claimed.is_empty();
            for timer in claimed {
                running.spawn(Arc::clone(&self).timer(timer));
            }
            if idle {
                let due = self.base.store.next_timer(S::NAME).await.ok().flatten();
                let wait = due.map_or(IDLE, |due| {
                    Duration::try_from(due.duration_since(now))
                        .unwrap_or(Duration::ZERO)
                        .clamp(Duration::from_millis(10), IDLE)
                });
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.wake_timers.notified() => {}
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
        while running.join_next().await.is_some() {}
        Ok(())
    }

    async fn relay(self: Arc<Self>, stop: CancellationToken) -> Result<(), Error> {
        let mut delays = None;
        while !stop.is_cancelled() {
            let wait = match self.base.store.relay(S::NAME, &self.base.producer).await {
                Ok(turn) => {
                    delays = None;
                    runtime::OUTBOX_PUBLISHED.add([S::NAME], turn.published as u64);
                    runtime::OUTBOX_TAKEN_OVER.add([S::NAME], turn.taken_over as u64);
                    runtime::OUTBOX_REJECTED.add([S::NAME], turn.rejected as u64);
                    match turn {
                        store::outbox::Turn { more: true, published: 0, .. } => Duration::from_millis(10),
                        store::outbox::Turn { more: true, .. } => Duration::ZERO,
                        _ => IDLE,
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "outbox relay failed; retrying");
                    delays.get_or_insert_with(|| BACKOFF.build()).next().unwrap_or(IDLE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake_relay.notified(), if delays.is_none() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    /// Keeps `/readyz` and the gauges up to date.
    async fn housekeeping(
        self: Arc<Self>,
        stop: CancellationToken,
        watch: crate::bus::consumer::Handle,
    ) -> Result<(), Error> {
        while !stop.is_cancelled() {
            self.dependencies_answer().await;
            self.base.readiness.record(PROGRESS, &watch.progress());
            runtime::ASSIGNED_PARTITIONS.set([S::NAME], watch.assigned() as f64);
            runtime::IN_FLIGHT.set([S::NAME], watch.in_flight() as f64);
            self.show_backlog().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
        Ok(())
    }

    /// Asks database and bus, and notes it for `/readyz`.
    async fn dependencies_answer(&self) -> bool {
        let (store, bus) = tokio::join!(self.base.store.ping(), self.base.producer.answers(PING));
        self.base.readiness.record("postgres", &store);
        self.base.readiness.record("kafka", &bus);
        store.is_ok() && bus.is_ok()
    }

    /// Sends a record to the dead-letter topic, however long Kafka takes; gives up only if it is no longer ours.
    async fn dead_letter(&self, record: Record, reason: &str, attempts: u32) {
        for delay in BACKOFF.build() {
            if !record.ticket.is_current() {
                return;
            }
            match dead_letter::send(&self.base.producer, S::AGENT, &record, reason, attempts).await {
                Ok(()) => {
                    Failpoint::DeadLettered.hit();
                    record.ticket.finish();
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "dead letter could not be written; retrying");
                    if !self.pause(delay).await {
                        return;
                    }
                }
            }
        }
    }

    fn context(&self, event_id: EventId, traceparent: Option<&str>) -> Context {
        Context {
            event_id,
            traceparent: traceparent.map(str::to_owned),
            store: self.base.store.reads().clone(),
            journal: self.base.store.clone(),
            stage: S::AGENT,
            clock: Arc::clone(&self.base.clock),
        }
    }

    fn wake(&self, effects: &Effects) {
        self.wake_relay.notify_one();
        if !effects.timers.is_empty() {
            self.wake_timers.notify_one();
        }
    }

    /// Notes a decision that lost against another replica and lets that one go first.
    async fn lost(&self, times: u32) {
        runtime::CONFLICTS.add_one([S::NAME]);
        tokio::time::sleep(Duration::from_millis(u64::from(times.min(20)) + 1)).await;
    }

    /// Waits; `false` if the process is told to stop meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.base.shutdown.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// Returns the pause before a timer rings again: 1 s, doubled each time, at most a minute. The failures are counted in
/// the timer's row, so there is no iterator of delays to take the next one from.
fn timer_backoff(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.min(6)).min(Duration::from_mins(1))
}
