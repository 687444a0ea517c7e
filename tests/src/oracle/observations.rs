//! What a run leaves: every record of the bus, the rows that the invariants need, every mail, and lines of the logs.

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
use shared::store::{Incidents, Store};
use shared::testing;
use stack::Stack;
use stack::parts::mailbox::Mail;

use super::fault_injector::InjectedFault;
use super::operator::SentCommand;
use super::receivers::Record;
use crate::quiescence::{self, Lags};

/// Longest time to read one topic.
const READING: Duration = Duration::from_secs(30);
/// Longest wait for stages to read the last records of an idle pipeline.
const CATCHING_UP: Duration = Duration::from_secs(20);
/// Time between two readings of the lags.
const LAG_INTERVAL: Duration = Duration::from_millis(300);

/// Message of a log line about an event that the inbox suppressed. Log lines have no codes: this is the text of `shared::stage`.
/// The oracle fails if no line has it.
pub const REDELIVERED: &str = "redelivered event suppressed";
/// Part of the message of a log line about work of another process, as [`REDELIVERED`]: the text of `shared::store`.
pub const TAKEN_OVER: &str = "taken over";

/// Condition of a timer that is not done. An incident's questions to itself after a long time, the end of one that was opened again
/// and its escalation are due long after the run; they then do nothing.
pub const UNFINISHED_TIMERS: &str =
    "state <> 'done' and not (state = 'waiting' and due > now() + interval '4 minutes')";

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
    /// Action.
    pub action: String,
    /// Event time.
    pub at: Timestamp,
    /// What it says.
    pub summary: String,
    /// The command that it goes back to, if it does.
    pub command: Option<String>,
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

/// A notification and its state.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Incident.
    pub incident: String,
    /// Kind.
    pub kind: String,
    /// State.
    pub state: String,
    /// Channel.
    pub channel: String,
    /// Whether it waited for a summary, or still does.
    pub is_held: bool,
    /// `Message-ID` of its mail; of what is no mail, its id.
    pub message_id: String,
    /// What identifies its effect at a receiver that is reached by HTTP; none for one that needed no request.
    pub effect: Option<String>,
    /// When its transaction began, milliseconds since the Unix epoch; none if no timer sends it.
    pub created_ms: Option<i64>,
    /// For an opening: whether an incident that stood so is escalated, and how often it had been opened again.
    pub escalates: Option<u32>,
}

/// What a digest says of an incident.
#[derive(Debug, Clone)]
pub struct Digested {
    /// Incident, as people name it.
    pub number: i64,
    /// How many notifications it says.
    pub said: i64,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct DecidedCommand {
    /// Id.
    pub id: String,
    /// Incident.
    pub incident: Option<String>,
    /// Whether it was accepted.
    pub is_accepted: bool,
    /// Answer to its sender.
    pub answer: String,
}

/// A mail that the server accepted.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// When the server stored it.
    pub at: Timestamp,
    /// The mail.
    pub mail: Mail,
}

/// What a run leaves.
#[derive(Debug, Default)]
pub struct Observations {
    /// Records by topic.
    pub records: BTreeMap<Topic, Vec<Line>>,
    /// Records that a group has yet to read.
    pub behind: Lags,
    /// Faults of the simulated shops.
    pub faults: Vec<Fault>,
    /// Anomalies that detection finds in the same log when no fault is injected.
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
    /// Pieces of evidence of the last cause of each incident that are not on record: incident, piece.
    pub unrecorded: Vec<(String, String)>,
    /// Notifications.
    pub notifications: Vec<Notification>,
    /// What digests say, for each of their incidents.
    pub digested: Vec<Digested>,
    /// What receivers that are reached by HTTP recorded.
    pub received: Record,
    /// Commands that were sent.
    pub sent: Vec<SentCommand>,
    /// Commands that were decided on.
    pub decisions: Vec<DecidedCommand>,
    /// First steps of escalations: incident, and how often it had been opened again.
    pub escalations: Vec<(String, u32)>,
    /// Timers that wait or have failed: stage, name, state.
    pub timers: Vec<(String, String, String)>,
    /// Mails.
    pub mails: Vec<Accepted>,
    /// Lines of the agents' logs about redeliveries and takeovers.
    pub logs: Vec<String>,
    /// What was injected.
    pub injected: Vec<InjectedFault>,
}

/// Waits until every stage has read everything, for a bounded time, and returns the lags. An idle pipeline still writes
/// ticks of time into its log, so that a single reading may see one that is not read yet.
fn caught_up(broker: &bus::Options) -> Result<Lags> {
    let begun = Instant::now();
    loop {
        let left = quiescence::lags(broker)?;
        let mut unread = left.iter().filter(|((_, topic), _)| *topic != Topic::DetectionState);
        if unread.all(|(_, records)| *records == 0) || begun.elapsed() >= CATCHING_UP {
            return Ok(left);
        }
        std::thread::sleep(LAG_INTERVAL);
    }
}

impl Observations {
    /// Collects everything.
    pub async fn collect(stack: &Stack, injected: Vec<InjectedFault>) -> Result<Self> {
        let mut observed = Self { injected, logs: logs(&stack.layout().logs())?, ..Self::default() };
        observed.read_bus(stack).await?;
        observed.read_rows(stack).await?;
        observed.mails = mails(stack).await?;
        Ok(observed)
    }

    /// Returns the payloads of a topic that parse.
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
        let catalogue = &self.records[&Topic::CatalogueServices];
        let mut anomalies = undisturbed(&self.records[&Topic::RawMetrics], catalogue, Partition::metrics);
        anomalies.extend(undisturbed(&self.records[&Topic::RawLogs], catalogue, Partition::log));
        self.undisturbed = anomalies;
        Ok(())
    }

    async fn read_outbox(&mut self, store: &Store) -> Result<()> {
        let client = testing::client(store).await?;
        let outbox = "select stage, topic, header ->> 1, payload, \
                      floor(extract(epoch from created_at) * 1000)::bigint, published_at is not null \
                      from outbox, jsonb_array_elements(headers) header where header ->> 0 = 'ce_id' order by id";
        self.outbox = client
            .query(outbox, &[])
            .await?
            .iter()
            .map(|row| {
                anyhow::Ok(Outgoing {
                    stage: row.try_get(0)?,
                    topic: row.try_get(1)?,
                    id: row.try_get(2)?,
                    payload: row.try_get(3)?,
                    created_ms: row.try_get(4)?,
                    published: row.try_get(5)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(())
    }

    async fn read_audit(&mut self, store: &Store) -> Result<()> {
        let client = testing::client(store).await?;
        let audit = "select a.incident_id::text, a.actor, a.action, a.at, a.event_id::text, a.xmin::text, p.xmin::text, \
                     a.summary, a.detail ->> 'command_id' \
                     from audit a left join processed_events p on p.consumer = a.actor and p.event_id = a.event_id \
                     order by a.id";
        self.audit = client
            .query(audit, &[])
            .await?
            .iter()
            .map(|row| {
                anyhow::Ok(Entry {
                    incident: row.try_get(0)?,
                    actor: row.try_get(1)?,
                    action: row.try_get(2)?,
                    at: row.try_get(3)?,
                    event: row.try_get(4)?,
                    transaction: row.try_get(5)?,
                    inbox: row.try_get(6)?,
                    summary: row.try_get(7)?,
                    command: row.try_get(8)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(())
    }

    async fn read_notifications(&mut self, store: &Store) -> Result<()> {
        let client = testing::client(store).await?;
        // the timer that sends is written in the transaction of the notification
        let notifications = "select n.incident_id::text, n.kind, n.state, coalesce(n.body ->> 'message_id', n.id::text), \
            floor(extract(epoch from t.created_at) * 1000)::bigint, \
            case when body #>> '{event,news,opened,severity}' in ('sev1', 'sev2') \
                and body #>> '{event,news,opened,state}' not in ('resolved', 'closed') \
                and body #> '{event,news,opened,acknowledged}' is null \
                then coalesce((body #>> '{event,news,opened,reopened}')::int, 0) end, \
            n.channel, n.held_until is not null, n.id::text, \
            (select a.outcome from notification_attempts a where a.notification_id = n.id and a.state = 'sent' limit 1) \
            from notifications n left join timers t on t.stage = 'communication' and t.name = 'send' \
                and t.payload ->> 'notification_id' = n.id::text";
        self.notifications = client
            .query(notifications, &[])
            .await?
            .iter()
            .map(|row| {
                anyhow::Ok(Notification {
                    incident: row.try_get(0)?,
                    kind: row.try_get(1)?,
                    state: row.try_get(2)?,
                    message_id: row.try_get(3)?,
                    created_ms: row.try_get(4)?,
                    escalates: row.try_get::<_, Option<i32>>(5)?.map(i32::cast_unsigned),
                    effect: effect(row.try_get(6)?, row.try_get(0)?, row.try_get(8)?, row.try_get(9)?),
                    channel: row.try_get(6)?,
                    is_held: row.try_get(7)?,
                })
            })
            .collect::<Result<_>>()?;
        let digested = "select (one ->> 'number')::bigint, \
            jsonb_array_length(one -> 'lines') + (one ->> 'more')::bigint \
            from notifications, jsonb_array_elements(body #> '{event,news,update,news,incidents}') one \
            where kind = 'digest'";
        self.digested = client
            .query(digested, &[])
            .await?
            .iter()
            .map(|row| anyhow::Ok(Digested { number: row.try_get(0)?, said: row.try_get(1)? }))
            .collect::<Result<_>>()?;
        let escalations = "select payload ->> 'incident_id', (payload ->> 'reopened')::int from timers \
            where stage = 'communication' and name = 'escalate' and payload ->> 'step' = '0'";
        self.escalations = client
            .query(escalations, &[])
            .await?
            .iter()
            .map(|row| anyhow::Ok((row.try_get(0)?, row.try_get::<_, i32>(1)?.cast_unsigned())))
            .collect::<Result<_>>()?;
        Ok(())
    }

    async fn read_commands(&mut self, store: &Store) -> Result<()> {
        let client = testing::client(store).await?;
        let commands = "select command_id::text, incident_id::text, outcome = 'accepted', answer from commands \
            order by decided_at, command_id";
        self.decisions = client
            .query(commands, &[])
            .await?
            .iter()
            .map(|row| {
                anyhow::Ok(DecidedCommand {
                    id: row.try_get(0)?,
                    incident: row.try_get(1)?,
                    is_accepted: row.try_get(2)?,
                    answer: row.try_get(3)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(())
    }

    async fn read_rows(&mut self, stack: &Stack) -> Result<()> {
        let store = stack.store()?;
        self.read_notifications(&store).await?;
        self.read_commands(&store).await?;
        self.read_outbox(&store).await?;
        self.read_audit(&store).await?;
        let client = testing::client(&store).await?;
        self.incidents = store.reads().incidents(Incidents::All, None, 1_000).await?.incidents;
        let members = "select anomaly_id::text, incident_id::text, environment from signals";
        self.members = client
            .query(members, &[])
            .await?
            .iter()
            .map(|row| {
                anyhow::Ok(Member {
                    anomaly: row.try_get(0)?,
                    incident: row.try_get(1)?,
                    environment: row.try_get(2)?,
                })
            })
            .collect::<Result<_>>()?;
        let artifacts = "select incident_id::text, kind, revision from artifacts order by 1, 2, 3";
        self.artifacts = client
            .query(artifacts, &[])
            .await?
            .iter()
            .map(|row| anyhow::Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect::<Result<_>>()?;
        let unrecorded = "select incident_id::text, piece ->> 'id' from \
            (select distinct on (incident_id) incident_id, body from artifacts where kind = 'root_cause' \
                order by incident_id, revision desc) last, jsonb_array_elements(body -> 'evidence') piece \
            where not exists (select from evidence e where e.incident_id = last.incident_id \
                and e.id::text = piece ->> 'record')";
        self.unrecorded = client
            .query(unrecorded, &[])
            .await?
            .iter()
            .map(|row| anyhow::Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_>>()?;
        let timers = format!("select stage, name, state from timers where {UNFINISHED_TIMERS}");
        self.timers = client
            .query(&timers, &[])
            .await?
            .iter()
            .map(|row| anyhow::Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect::<Result<_>>()?;
        Ok(())
    }
}

/// Returns what identifies the effect of a notification at its receiver, by the answer that is on record.
fn effect(channel: &str, incident: &str, id: &str, answer: Option<&str>) -> Option<String> {
    match channel {
        // of these, events about one incident change one alert
        "pagerduty" | "opsgenie" => {
            let action = answer?.split(' ').next().filter(|action| *action != "no")?;
            Some(format!("{incident}/{action}"))
        }
        _ => Some(id.to_owned()),
    }
}

/// Runs detection over a topic once more, partition by partition, in one process. Anomalies of samples depend on samples
/// and on the catalogue, which was there before them, those of log lines on log lines.
fn undisturbed(
    records: &[Line],
    catalogue: &[Line],
    take: fn(&mut Partition, &[u8], At) -> Outcome,
) -> Vec<Anomaly> {
    // the setting of a throw-away stack: a shop that has ended raises no silence
    let settings = Arc::new(Settings { silence_after_s: 3600, ..Settings::default() });
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut anomalies = Vec::new();
    let at = |line: &Line| At { offset: line.offset, timestamp_ms: line.timestamp_ms };
    for line in records {
        let partition = partitions.entry(line.partition).or_insert_with(|| {
            let mut partition = Partition::new(line.partition, Arc::clone(&settings));
            for stated in catalogue.iter().filter(|stated| stated.partition == line.partition) {
                partition.catalogue(stated.payload.as_deref().unwrap_or_default(), at(stated));
            }
            partition
        });
        let at = at(line);
        anomalies.extend(take(partition, line.payload.as_deref().unwrap_or_default(), at).anomalies);
    }
    anomalies
}

/// Returns the mails with the time at which the server stored each. A server that was restarted has them in another order.
async fn mails(stack: &Stack) -> Result<Vec<Accepted>> {
    let mut times: BTreeMap<String, Vec<SystemTime>> = BTreeMap::new();
    for entry in std::fs::read_dir(stack.layout().data().join("mail"))? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "eml") {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).into_owned();
            let id = message_id(&text).with_context(|| format!("{} has no id", entry.path().display()))?;
            times.entry(id.to_owned()).or_default().push(entry.metadata()?.modified()?);
        }
    }
    for times in times.values_mut() {
        times.sort_unstable_by(|one, other| other.cmp(one));
    }
    let mut accepted = Vec::new();
    for mail in stack.mail().mailbox().mails().await? {
        let time = times.get_mut(&mail.id).and_then(Vec::pop);
        let time = time.with_context(|| format!("no file has the mail {}", mail.id))?;
        accepted.push(Accepted { at: time.try_into()?, mail });
    }
    let left: usize = times.values().map(Vec::len).sum();
    anyhow::ensure!(left == 0, "{left} files hold mails that the server does not show");
    accepted.sort_by_key(|one| one.at);
    Ok(accepted)
}

/// Returns the `Message-ID` of a mail, without the angle brackets.
fn message_id(mail: &str) -> Option<&str> {
    let head = mail.split("\r\n\r\n").next()?;
    let is_named = |line: &&str| line.to_ascii_lowercase().starts_with("message-id:");
    let at = head.split("\r\n").take_while(|line| !is_named(line)).map(|line| line.len() + 2).sum();
    let (id, _) = head.get(at..)?.split_once('<')?.1.split_once('>')?;
    Some(id.trim())
}

fn logs(folder: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_relevant = |line: &&str| {
            [REDELIVERED, TAKEN_OVER, "state restored", "partitions revoked"]
                .iter()
                .any(|what| line.contains(what))
        };
        let text = std::fs::read(&path)?;
        let text = String::from_utf8_lossy(&text);
        lines.extend(text.lines().filter(is_relevant).map(|line| format!("{name} {line}")));
    }
    Ok(lines)
}
