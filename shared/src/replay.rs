//! Runs a window of the past through a stage once more, as it is built and configured now, and tells what would
//! differ. See `docs/adr/0007-replay-reenacts-production.md` for why it is done like this.
//!
//! Everything happens in a schema of its own that is gone afterwards. Production's schema and topics are read only;
//! nothing is published, so the scratch schema's outbox is what would have been.
//!
//! The order is that of production: an event is handled at the moment its inbox says it was (its record's timestamp
//! where the inbox does not know it), and a timer rings as late after it is due as it did then. So what differs does so
//! for the stage's sake and not because two events swapped places.

mod difference;
mod engine;
mod initial_state;
mod log;
pub mod report;
mod scratch;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::service::Common;
use crate::stage::Stage;
use crate::{bus, error, store};

pub use report::{Difference, Field, Report, Tally, Verdict};
pub use scratch::PREFIX;

/// How long after the window production may have published what it decided in it.
const AFTERMATH: SignedDuration = SignedDuration::from_mins(10);

/// What is replayed.
#[derive(Debug, Clone)]
pub struct Request {
    /// What production did from here on is compared.
    pub from: Timestamp,
    /// Records after this are not read.
    pub to: Timestamp,
    /// How long before `from` the stage begins, so that it has in hand what it had in hand.
    pub warm_up: SignedDuration,
    /// Most records that are read.
    pub limit: u64,
    /// Whether the scratch schema stays.
    pub keep: bool,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it does.
    pub doing: &'static str,
    /// How much of it is done.
    pub done: u64,
    /// How much there is, where that is known.
    pub of: Option<u64>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The bus did not answer.
    #[error(transparent)]
    Bus(#[from] bus::Error),
    /// There is nothing to replay into.
    #[error("the database has no tables of Firewatch yet; they come with the first agent")]
    NothingThere,
    /// Production's tables are not those this build knows.
    #[error(
        "the database is at version {} and this build at {}: use the firewatch of the same version",
        .theirs.unwrap_or_default(), .ours.unwrap_or_default()
    )]
    OtherVersion {
        /// Production's last migration.
        theirs: Option<i32>,
        /// Ours.
        ours: Option<i32>,
    },
    /// The window holds more than was allowed for.
    #[error("more than {limit} records, warm-up included; take a shorter window or a higher limit")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// The stage could not go on.
    #[error("the stage cannot go on: {0}")]
    Stage(error::Error),
    /// A timer rings and rings.
    #[error("timer {0} exceeded the limit of firings")]
    Endless(String),
    /// Somebody has asked for the end.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What comes first of several things at one moment, smallest first: what others did was there before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Audit,
    Artifact,
    Notification,
    Attempt,
    Incident,
    Input,
}

impl Rank {
    const ALL: [Self; 6] =
        [Self::Audit, Self::Artifact, Self::Notification, Self::Attempt, Self::Incident, Self::Input];

    fn number(self) -> i16 {
        self as i16
    }
}

/// Tells how far it is, and hears when to stop.
struct Watch<'w> {
    progress: &'w (dyn Fn(Progress) + Sync),
    shutdown: &'w CancellationToken,
    told: Mutex<Instant>,
}

impl Watch<'_> {
    /// Notes progress, at most a few times a second. Fails once the end is asked for.
    fn tell(&self, progress: Progress) -> Result<(), Error> {
        if self.shutdown.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.elapsed() >= Duration::from_millis(200) {
            *told = Instant::now();
            (self.progress)(progress);
        }
        Ok(())
    }
}

/// Replays a window through `stage` and returns what differs from production.
pub async fn run<S: Stage>(
    stage: &S,
    common: &Common,
    request: &Request,
    progress: &(dyn Fn(Progress) + Sync),
    shutdown: &CancellationToken,
) -> Result<Report, Error> {
    let watch = Watch { progress, shutdown, told: Mutex::new(Instant::now()) };
    let scratch = scratch::Scratch::create(&common.postgres).await?;
    let outcome = within(stage, &scratch, common, request, &watch).await;
    match outcome {
        Ok(mut report) if request.keep => {
            report.schema = Some(scratch.keep().await?);
            Ok(report)
        }
        outcome => {
            let removed = scratch.remove().await;
            let report = outcome?;
            removed?;
            Ok(report)
        }
    }
}

async fn within<S: Stage>(
    stage: &S,
    scratch: &scratch::Scratch,
    common: &Common,
    request: &Request,
    watch: &Watch<'_>,
) -> Result<Report, Error> {
    let start = request.from.saturating_sub(request.warm_up).unwrap_or(Timestamp::MIN);
    let log = log::Log { scratch, kafka: &common.kafka, stage: S::AGENT, watch };
    let records = log.inputs(S::TOPICS, start, request.to, request.limit).await?;
    let end = engine::last_moment(scratch).await?.map_or(request.to, |last| last.max(request.to));

    let world = initial_state::InitialState::new(scratch, S::AGENT, start);
    let mut missing = 0;
    if let Some(since) = world.copy().await? {
        log.announced(since, start, async |incident, at| world.remember(&incident, at).await).await?;
        missing = world.settle().await?;
    }
    world.schedule(end).await?;
    let (events, timers) = engine::Run::new(stage, scratch, &world, watch).to(end, request.limit).await?;

    let late = end.saturating_add(AFTERMATH).unwrap_or(end);
    log.outputs(start, late).await?;
    let compared = difference::compare(scratch, request.from, end, watch).await?;
    Ok(Report {
        stage: S::NAME,
        from: request.from,
        to: request.to,
        warmed_up_from: start,
        records,
        events,
        timers,
        missing,
        ignored: difference::IGNORED.to_vec(),
        outputs: compared.tallies,
        differences: compared.differences,
        unlisted: compared.unlisted,
        schema: None,
    })
}
