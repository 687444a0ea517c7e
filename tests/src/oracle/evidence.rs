//! What is left behind when all is quiet again: every record of the bus, every row that matters, every mail, every log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use detection::{At, Outcome, Partition, Settings};
use jiff::Timestamp;
use shared::bus::reader::{From, Line, Reader};
use shared::bus::{self};
use shared::events::{Anomaly, Fault, Incident, Topic, decode};
use stack::Stack;
use stack::mailbox::Mail;

use super::harm::Harm;
use crate::rest::{self, Lags};

/// Longest time to read one topic.
const READING: Duration = Duration::from_secs(30);
/// Longest wait for stages to have read what is written while nothing happens, and time between two looks.
const CATCHING_UP: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(300);

/// A row of the outbox.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Stage that wrote it.
    pub stage: String,
    /// Topic.
    pub topic: String,
    /// `ce_id`.
    pub id: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// When its transaction began, milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Whether it is marked as published.
    pub published: bool,
}

/// A line of the audit trail, in the order they were written.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Incident.
    pub incident: String,
    /// Stage.
    pub actor: String,
    /// What kind of thing happened.
    pub action: String,
    /// Event time.
    pub at: Timestamp,
    /// What caused it.
    pub event: String,
    /// The transaction that wrote it.
    pub transaction: String,
    /// The transaction that wrote the inbox row of the event, unless a timer caused it.
    pub inbox: Option<String>,
}

/// A row of the signals.
#[derive(Debug, Clone)]
pub struct Member {
    /// Anomaly.
    pub anomaly: String,
    /// Incident it belongs to.
    pub incident: Option<String>,
    /// Its environment.
    pub environment: String,
}

/// A notification and how it stands.
#[derive(Debug, Clone)]
pub struct Told {
    /// Incident.
    pub incident: String,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
}

/// A mail that the server accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// When.
    pub at: Timestamp,
    /// The mail.
    pub mail: Mail,
}

/// What is left behind.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Records by topic.
    pub records: BTreeMap<Topic, Vec<Line>>,
    /// Records that a group has yet to read.
    pub behind: Lags,
    /// What broke out.
    pub faults: Vec<Fault>,
    /// What detection says of the same log without any harm.
    pub undisturbed: Vec<Anomaly>,
    /// Outbox, in the order it was written.
    pub outbox: Vec<Outgoing>,
    /// Audit trail.
    pub audit: Vec<Entry>,
    /// Incidents.
    pub incidents: Vec<Incident>,
    /// Signals.
    pub members: Vec<Member>,
    /// Artifacts: incident, kind, revision.
    pub artifacts: Vec<(String, String, i32)>,
    /// Notifications.
    pub told: Vec<Told>,
    /// Timers that wait or have failed: stage, name, state.
    pub timers: Vec<(String, String, String)>,
    /// Mails.
    pub mails: Vec<Accepted>,
    /// Lines of the agents' logs that tell of a redelivery or a takeover.
    pub logs: Vec<String>,
    /// What was done.
    pub harm: Vec<Harm>,
}

/// Returns what is left to read once nothing is, or when no more can be waited for it: time is written into the log, and
/// whoever writes a tick has read it a snapshot later.
fn caught_up(broker: &bus::Options) -> Result<Lags> {
    let begun = Instant::now();
    loop {
        let left = rest::lags(broker)?;
        let mut unread = left.iter().filter(|((_, topic), _)| *topic != Topic::DetectionState);
        if unread.all(|(_, records)| *records == 0) || begun.elapsed() >= CATCHING_UP {
            return Ok(left);
        }
        std::thread::sleep(LOOK);
    }
}

impl Evidence {
    /// Gathers everything.
    pub async fn gather(stack: &Stack, harm: Vec<Harm>) -> Result<Self> {
        let mut evidence = Self { harm, logs: logs(&stack.layout().logs())?, ..Self::default() };
        evidence.read_bus(stack).await?;
        evidence.read_rows(stack).await?;
        evidence.mails = mails(stack).await?;
        Ok(evidence)
    }

    /// Returns the payloads of a topic that can be read.
    pub fn events<E: shared::events::Event>(&self, topic: Topic) -> impl Iterator<Item = E> {
        let lines = self.records.get(&topic).map(Vec::as_slice).unwrap_or_default();
        lines.iter().filter_map(|line| decode(line.payload.as_deref()?).ok())
    }

    async fn read_bus(&mut self, stack: &Stack) -> Result<()> {
        let options = bus::Options { brokers: stack.brokers().to_owned(), ..bus::Options::default() };
        let read = move || -> Result<_> {
            let left = caught_up(&options)?;
            let mut records = BTreeMap::new();
            for topic in Topic::all().into_iter().filter(|topic| *topic != Topic::DetectionState) {
                let reader = Reader::open(&options, topic, None, From::Beginning, READING)?;
                records.insert(topic, reader.to_end(READING).with_context(|| topic.name())?);
            }
            Ok((records, left))
        };
        (self.records, self.behind) = tokio::task::spawn_blocking(read).await??;
        self.faults = self.events(Topic::SimFaults).collect();
        self.undisturbed = undisturbed(&self.records[&Topic::RawMetrics], Partition::metrics);
        self.undisturbed.extend(undisturbed(&self.records[&Topic::RawLogs], Partition::log));
        Ok(())
    }

    async fn read_rows(&mut self, stack: &Stack) -> Result<()> {
        let store = stack.store()?;
        let client = store.client().await?;
        let outbox = "select stage, topic, header ->> 1, payload, \
                      floor(extract(epoch from created_at) * 1000)::bigint, published_at is not null \
                      from outbox, jsonb_array_elements(headers) header where header ->> 0 = 'ce_id' order by id";
        self.outbox = client
            .query(outbox, &[])
            .await?
            .iter()
            .map(|row| Outgoing {
                stage: row.get(0),
                topic: row.get(1),
                id: row.get(2),
                payload: row.get(3),
                created_ms: row.get(4),
                published: row.get(5),
            })
            .collect();
        let audit = "select a.incident_id::text, a.actor, a.action, a.at, a.event_id::text, a.xmin::text, p.xmin::text \
                     from audit a left join processed_events p on p.consumer = a.actor and p.event_id = a.event_id \
                     order by a.id";
        self.audit = client
            .query(audit, &[])
            .await?
            .iter()
            .map(|row| Entry {
                incident: row.get(0),
                actor: row.get(1),
                action: row.get(2),
                at: row.get(3),
                event: row.get(4),
                transaction: row.get(5),
                inbox: row.get(6),
            })
            .collect();
        self.incidents = store.incidents(false, 1_000).await?;
        let members = "select anomaly_id::text, incident_id::text, environment from signals";
        self.members = client
            .query(members, &[])
            .await?
            .iter()
            .map(|row| Member { anomaly: row.get(0), incident: row.get(1), environment: row.get(2) })
            .collect();
        let artifacts = "select incident_id::text, kind, revision from artifacts order by 1, 2, 3";
        self.artifacts = client
            .query(artifacts, &[])
            .await?
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect();
        let told = "select incident_id::text, kind, state from notifications";
        self.told = client
            .query(told, &[])
            .await?
            .iter()
            .map(|row| Told { incident: row.get(0), kind: row.get(1), state: row.get(2) })
            .collect();
        let timers = "select stage, name, state from timers where state <> 'done'";
        self.timers =
            client.query(timers, &[]).await?.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        Ok(())
    }
}

/// Scores a topic once more, partition by partition, in one go and in one process. What samples say rests on samples
/// alone, and what lines say on lines.
fn undisturbed(records: &[Line], take: fn(&mut Partition, &[u8], At) -> Outcome) -> Vec<Anomaly> {
    // as the agents of a throw-away stack are set: a shop that has ended is not missed
    let settings = Arc::new(Settings { silence_after_s: 3600, ..Settings::default() });
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut anomalies = Vec::new();
    for line in records {
        let partition = partitions
            .entry(line.partition)
            .or_insert_with(|| Partition::new(line.partition, Arc::clone(&settings)));
        let at = At { offset: line.offset, timestamp_ms: line.timestamp_ms };
        anomalies.extend(take(partition, line.payload.as_deref().unwrap_or_default(), at).anomalies);
    }
    anomalies
}

/// Returns the mails with the time at which the server wrote each down.
async fn mails(stack: &Stack) -> Result<Vec<Accepted>> {
    let mut times: Vec<SystemTime> = Vec::new();
    for entry in std::fs::read_dir(stack.layout().data().join("mail"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "eml") {
            times.push(entry.metadata()?.modified()?);
        }
    }
    times.sort();
    let mails = stack.mail().mailbox().mails().await?;
    anyhow::ensure!(mails.len() == times.len(), "{} mails in {} files", mails.len(), times.len());
    let mails = times.into_iter().zip(mails).map(|(time, mail)| Ok(Accepted { at: time.try_into()?, mail }));
    mails.collect()
}

fn logs(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let telling = |line: &&str| {
            ["redelivered event suppressed", "taken over", "state restored", "partitions given back"]
                .iter()
                .any(|what| line.contains(what))
        };
        let text = std::fs::read(&path)?;
        let text = String::from_utf8_lossy(&text);
        lines.extend(text.lines().filter(telling).map(|line| format!("{name} {line}")));
    }
    Ok(lines)
}
