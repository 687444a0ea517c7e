//! Two faults of a small shop and what the five exact stages made of them, over real parts.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use catalogue::Content;
use jiff::{SignedDuration, Timestamp};
use shared::bus::lag;
use shared::clock::{Clock as _, SystemClock};
use shared::events::anomaly::{Anomaly, Band, Context, Direction, Point, Status};
use shared::events::incident::State;
use shared::events::raw::Deployment;
use shared::events::{Incident, Kind, Severity, Topic};
use shared::ids::{AnomalyId, EventId};
use shared::knowledge::Index as _;
use shared::knowledge::postgres::PostgresIndex;
use shared::service::config::NoOptions;
use shared::service::{Common, Config, Deps, Readiness};
use shared::store::Incidents;
use stack::testing::bench::{Bench, until};
use stack::testing::{mail, model};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Stages that are replayed.
pub(crate) const STAGES: [&str; 5] =
    ["correlation", "investigation", "remediation", "communication", "postmortem"];
/// Length of the model's vectors.
const DIMENSIONS: usize = 384;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A story that has happened: the parts it was played on, and when.
pub(crate) struct Story {
    pub(crate) bench: Bench,
    pub(crate) from: Timestamp,
    /// Everything was on fire, planned for and told, and nothing was under way.
    pub(crate) middle: Timestamp,
    pub(crate) to: Timestamp,
    /// The incidents it led to: first that of weak signals, then that of strong ones.
    pub(crate) incidents: Vec<Incident>,
    pub(crate) recipient: String,
    environment: String,
}

/// Plays the story: weak signals of one service that open an incident together, a pool that runs out with its callers
/// failing, one record that nobody can read; then all is well again, and the agents go home.
pub(crate) async fn play() -> Result<Story> {
    static PLAYED: AtomicU32 = AtomicU32::new(0);
    let number = PLAYED.fetch_add(1, Ordering::Relaxed);
    let bench = Bench::open(&Topic::all()).await?;
    let mut common = bench.common.clone();
    common.knowledge.model_dir = model().await?;
    shelve(&bench).await?;
    let environment = format!("replay-{}-{number}", std::process::id());
    let recipient = format!("{environment}@example.com");
    let (smtp, _) = mail().await?;

    let shutdown = CancellationToken::new();
    let mut agents = start(&common, &smtp, &recipient, &shutdown);
    caught_up(&common).await?;
    let from = SystemClock.now();
    let mut story =
        Story { bench, from, middle: from, to: from, incidents: Vec::new(), recipient, environment };
    story.happen().await?;
    shutdown.cancel();
    while let Some(ended) = agents.join_next().await {
        ended??;
    }
    story.to = SystemClock.now();
    Ok(story)
}

/// Puts catalogue and runbooks on record. What the vectors are plays no part, as long as they stay the same.
async fn shelve(bench: &Bench) -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge");
    let content = Content::load(&directory).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    shared::knowledge::catalogue::replace(&bench.store, &content.catalogue).await?;
    let index = PostgresIndex::new(bench.store.clone());
    index.prepare(DIMENSIONS).await?;
    let mut vector = vec![0.0; DIMENSIONS];
    vector[0] = 1.0;
    let chunks: Vec<_> = content.chunks().into_iter().map(|chunk| (chunk, vector.clone())).collect();
    Ok(index.upsert(&chunks).await?)
}

fn start(common: &Common, smtp: &str, recipient: &str, shutdown: &CancellationToken) -> JoinSet<Result<()>> {
    let deps = |name: &str| Deps { process: format!("{name}-story"), readiness: Readiness::default() };
    let mails = communication::Options {
        smtp_url: smtp.to_owned(),
        fallback: recipient.to_owned(),
        commanders: vec![recipient.to_owned()],
        ..communication::Options::default()
    };
    let mut agents = JoinSet::new();
    let config = Config::of("correlation", common.clone(), correlation::Options::default());
    agents.spawn(correlation::run(config, deps("correlation"), shutdown.clone()));
    let config = Config::of("investigation", common.clone(), investigation::Options::default());
    agents.spawn(investigation::run(config, deps("investigation"), shutdown.clone()));
    let config = Config::of("remediation", common.clone(), NoOptions {});
    agents.spawn(remediation::run(config, deps("remediation"), shutdown.clone()));
    let config = Config::of("communication", common.clone(), mails);
    agents.spawn(communication::run(config, deps("communication"), shutdown.clone()));
    let config = Config::of("postmortem", common.clone(), postmortem::Options::default());
    agents.spawn(postmortem::run(config, deps("postmortem"), shutdown.clone()));
    agents
}

/// Waits until what other tests have left on the shared broker is read: it is no part of the story.
async fn caught_up(common: &Common) -> Result<()> {
    until(PATIENCE, async || {
        let kafka = common.kafka.clone();
        let behind = tokio::task::spawn_blocking(move || {
            let wait = Duration::from_secs(5);
            let mut records = 0;
            for stage in STAGES {
                let topics: Vec<Topic> =
                    Topic::all().into_iter().filter(|topic| is_read(stage, *topic)).collect();
                let extents = lag::extents(&kafka, &topics, wait)?;
                // a group that has committed nothing has read nothing, but there may be nothing to read either
                records += lag::behind(&kafka, stage, &extents, wait)?.values().sum::<i64>();
            }
            anyhow::Ok(records)
        });
        match behind.await {
            Ok(Ok(0)) => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await
}

fn is_read(stage: &str, topic: Topic) -> bool {
    use shared::stage::Stage;
    let topics = match stage {
        "correlation" => correlation::Correlation::TOPICS,
        "investigation" => investigation::Investigation::TOPICS,
        "remediation" => remediation::Remediation::TOPICS,
        "communication" => communication::Communication::TOPICS,
        _ => postmortem::Postmortems::TOPICS,
    };
    topics.contains(&topic)
}

impl Story {
    async fn happen(&mut self) -> Result<()> {
        let change = Deployment {
            service: "payment".into(),
            version: "2.4.1".into(),
            ts_ms: self.at(-600).as_millisecond(),
            environment: self.environment.clone(),
            change_type: "deploy".into(),
            git_sha: None,
            deployed_by: None,
            description: Some("larger batches for settlement".into()),
            known_risks: Vec::new(),
        };
        let id = EventId(shared::ids::derive(&["story", &self.environment]));
        self.bench.send(Topic::RawDeployments, &change, id, self.from).await?;
        self.bench
            .producer
            .send(Topic::Anomalies, Some("payment"), &Vec::new(), b"{\"not\": \"ours\"}")
            .await?;

        let weak =
            [("cpu_percent", Kind::Cpu), ("latency_p99_ms", Kind::Latency), ("error_rate", Kind::Errors)];
        let strong = [
            ("payment", "db_connections", Kind::Pool, 0),
            ("payment", "error_rate", Kind::Errors, 1),
            ("order", "error_rate", Kind::Errors, 1),
        ];
        let weak = weak.map(|(metric, kind)| Anomaly {
            status: Status::Suspect,
            evidence: 3.0,
            ..self.anomaly("notification", metric, kind, 0)
        });
        let strong = strong.map(|(service, metric, kind, tick)| self.anomaly(service, metric, kind, tick));
        for anomaly in &weak {
            self.tell(anomaly).await?;
        }
        self.wait_for(1, |state| state >= State::Remediating).await?;
        for anomaly in &strong {
            self.tell(anomaly).await?;
        }
        // a stronger revision of the first, while the group still gathers or later: whichever comes first
        self.tell(&Anomaly { revision: 2, evidence: 8.0, ..strong[0].clone() }).await?;
        self.incidents = self.wait_for(2, |state| state >= State::Remediating).await?;
        self.wait_for_mails(3).await?;
        self.middle = SystemClock.now();
        for anomaly in weak.iter().chain(&strong) {
            let (observed_at, observed) = (self.at(30), 30.0);
            let cleared =
                Anomaly { revision: 3, status: Status::Cleared, observed_at, observed, ..anomaly.clone() };
            self.tell(&cleared).await?;
        }
        self.incidents = self.wait_for(2, |state| state == State::Closed).await?;
        self.wait_for_mails(5).await
    }

    /// Waits until so many mails were sent about each incident.
    async fn wait_for_mails(&self, count: usize) -> Result<()> {
        for incident in &self.incidents {
            until(PATIENCE, async || {
                let timeline = self.bench.store.reads().timeline(incident.incident_id).await.unwrap();
                let mails = timeline.iter().filter(|entry| entry.action == "mail_sent").count();
                if mails == count { Ok(()) } else { Err(timeline) }
            })
            .await
            .with_context(|| format!("{count} mails"))?;
        }
        Ok(())
    }

    fn at(&self, seconds: i64) -> Timestamp {
        self.from + SignedDuration::from_secs(seconds)
    }

    fn anomaly(&self, service: &str, metric: &str, kind: Kind, tick: i64) -> Anomaly {
        let started_at = self.at(tick);
        Anomaly {
            dimensions: std::collections::BTreeMap::new(),
            anomaly_id: AnomalyId::of_episode(
                &self.environment,
                service,
                metric,
                started_at.as_millisecond(),
            ),
            revision: 1,
            status: Status::Firing,
            kind,
            environment: self.environment.clone(),
            service: service.into(),
            metric: metric.into(),
            unit: String::new(),
            severity: Severity::Sev2,
            evidence: 6.0,
            direction: Direction::Up,
            observed: 90.0,
            expected: Band { lower: 20.0, center: 30.0, upper: 40.0 },
            started_at,
            observed_at: self.at(tick + 1),
            interval_ms: 500,
            detector: "test".into(),
            explanation: format!("{metric} of {service} is 90"),
            ended: None,
            burn_rate: None,
            impact: None,
            context: Context {
                samples: vec![Point { ts_ms: started_at.as_millisecond(), value: 90.0 }],
                ..Context::default()
            },
        }
    }

    async fn tell(&self, anomaly: &Anomaly) -> Result<()> {
        let id = EventId::of("anomaly", &anomaly.anomaly_id.to_string(), anomaly.revision);
        self.bench.send(Topic::Anomalies, anomaly, id, anomaly.observed_at).await
    }

    /// Waits until the story has led to `count` incidents that are all as they should be, and returns them.
    async fn wait_for(&self, count: usize, is_right: impl Fn(State) -> bool) -> Result<Vec<Incident>> {
        until(PATIENCE, async || {
            let mut found =
                self.bench.store.reads().incidents(Incidents::All, None, 1_000).await.unwrap().incidents;
            found.retain(|incident| incident.environment == self.environment);
            found.sort_by_key(|incident| incident.number);
            if found.len() == count && found.iter().all(|incident| is_right(incident.state)) {
                return Ok(found);
            }
            Err(found.iter().map(|incident| (incident.number, incident.state)).collect::<Vec<_>>())
        })
        .await
    }
}
