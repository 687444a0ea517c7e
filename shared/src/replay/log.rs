//! Topics become rows, so that any number of records can be put in order and compared within bounded memory.

use std::fmt::Display;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::scratch::Scratch;
use super::{Error, Progress, Rank, Watch};
use crate::agent::Agent;
use crate::bus::reader::{Line, Reader};
use crate::bus::{self, dead_letter, window};
use crate::clock::from_ms;
use crate::events::envelope::{header, id_of};
use crate::events::{Incident, Topic, decode};
use crate::store::{Notification, row};

/// Longest wait for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest silence of the broker while there are records to read.
const SILENCE: Duration = Duration::from_secs(30);
/// Records that are read ahead of what is stored.
const READ_AHEAD: usize = 64;
/// Most records, and about most bytes, that one statement stores.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Returns the topics in which incidents are announced.
fn announced() -> &'static [Topic] {
    Agent::Correlation.outputs()
}

/// Returns the topics that stages may publish to. Detection is no stage: it is not replayed here.
fn published() -> impl Iterator<Item = Topic> {
    Agent::ALL.iter().filter(|agent| **agent != Agent::Detection).flat_map(|agent| agent.outputs()).copied()
}

/// Where an output that no topic carries is listed.
pub(super) mod place {
    /// Messages to people.
    pub(crate) const NOTIFICATIONS: &str = "notifications";
    /// Timers that were given up.
    pub(crate) const TIMERS: &str = "failed timers";
}

/// Reads topics of production into a scratch schema.
pub(super) struct Log<'s> {
    pub(super) scratch: &'s Scratch,
    pub(super) kafka: &'s bus::Options,
    pub(super) stage: Agent,
    pub(super) watch: &'s Watch<'s>,
}

impl Log<'_> {
    /// Stores the records of the stage's topics, and the incidents as they were announced to it, as steps of the
    /// replay. Returns how many records there are.
    pub(super) async fn inputs(
        &self,
        topics: &[Topic],
        start: Timestamp,
        to: Timestamp,
        limit: u64,
    ) -> Result<u64, Error> {
        let announced: &[Topic] = if self.stage == Agent::Correlation { &[] } else { announced() };
        let mut count = 0;
        for (topic, rank) in topics
            .iter()
            .map(|topic| (topic, Rank::Input))
            .chain(announced.iter().map(|t| (t, Rank::Incident)))
        {
            let mut lines = self.lines(*topic, start, to);
            let mut batch = Batch::default();
            while let Some(line) = lines.recv().await {
                let line = line?;
                if rank == Rank::Input {
                    count += 1;
                    if count > limit {
                        return Err(Error::TooMany { limit });
                    }
                    self.watch.tell(Progress { doing: "reading", done: count, of: None })?;
                }
                if batch.add(line) {
                    self.steps(*topic, rank, &std::mem::take(&mut batch).lines).await?;
                }
            }
            self.steps(*topic, rank, &batch.lines).await?;
        }
        let client = self.scratch.store.client().await?;
        // each event when production handled it, where its inbox still knows
        client
            .execute(
                &format!(
                    "update replay_steps s set moment = greatest(s.at, p.processed_at) from {}.processed_events p \
                     where s.rank = $2 and p.consumer = $1 and p.event_id = s.id",
                    self.scratch.production
                ),
                &[&self.stage.name(), &Rank::Input.number()],
            )
            .await?;
        // what was handled before the start and is only delivered again
        client
            .execute(
                &format!(
                    "insert into processed_events select * from {}.processed_events where consumer = $1 \
                     and processed_at < $2 and event_id in (select id from replay_steps where rank = $3)",
                    self.scratch.production
                ),
                &[&self.stage.name(), &start, &Rank::Input.number()],
            )
            .await?;
        Ok(count)
    }

    /// Hands on the incidents that correlation announced between two times, in the order of each partition.
    pub(super) async fn announced(
        &self,
        since: Timestamp,
        start: Timestamp,
        mut take: impl AsyncFnMut(Incident, i64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for &topic in announced() {
            let mut lines = self.lines(topic, since, start);
            while let Some(line) = lines.recv().await {
                let line = line?;
                let timestamp_ms = line.timestamp_ms.unwrap_or_default();
                self.watch.tell(Progress { doing: "reading what was before", done: 0, of: None })?;
                if timestamp_ms < start.as_millisecond()
                    && let Ok(incident) = decode(line.payload.as_deref().unwrap_or_default())
                {
                    take(incident, timestamp_ms).await?;
                }
            }
        }
        Ok(())
    }

    /// Stores what production has published, refused and told between two times.
    pub(super) async fn outputs(&self, start: Timestamp, end: Timestamp) -> Result<(), Error> {
        let source = format!("firewatch/{}", self.stage);
        let mut done = 0;
        for topic in published() {
            let mut lines = self.lines(topic, start, end);
            while let Some(line) = lines.recv().await {
                let line = line?;
                if header(&line.headers, "ce_source") != Some(&*source) {
                    continue;
                }
                let id = header(&line.headers, "ce_id").unwrap_or_default();
                self.output(topic.name(), id, line.key.as_deref().unwrap_or_default(), &line).await?;
                done += 1;
                self.watch.tell(Progress { doing: "reading what production published", done, of: None })?;
            }
        }
        let topic = self.stage.dead_letters();
        let mut lines = self.lines(topic, start, end);
        while let Some(line) = lines.recv().await {
            let mut line = line?;
            let named = |name: &str| header(&line.headers, name);
            let (Some(reason), Some(origin), Some(partition), Some(offset)) = (
                named(dead_letter::header::REASON),
                named(dead_letter::header::TOPIC),
                named(dead_letter::header::PARTITION),
                named(dead_letter::header::OFFSET),
            ) else {
                continue;
            };
            // the letters of records outside the window say nothing about the replay
            let (Ok(place), Ok(position)) = (partition.parse::<i32>(), offset.parse::<i64>()) else {
                continue;
            };
            if !self.has_read(origin, place, position).await? {
                continue;
            }
            let id = refused_id(origin, partition, offset);
            line.payload = Some(refused_body(reason));
            self.output(topic.name(), &id, &id, &line).await?;
        }
        self.rows(start, end).await
    }

    /// Returns whether a record is one of the replay's inputs.
    async fn has_read(&self, topic: &str, partition: i32, offset: i64) -> Result<bool, Error> {
        let statement = "select exists (select from replay_steps where rank = $1 and topic = $2 and partition = $3 \
                         and position = $4)";
        let client = self.scratch.store.client().await?;
        let row = client.query_one(statement, &[&Rank::Input.number(), &topic, &partition, &offset]).await?;
        Ok(row::first(&row)?)
    }

    /// Stores what production has on record that no topic carries.
    async fn rows(&self, start: Timestamp, end: Timestamp) -> Result<(), Error> {
        let client = self.scratch.store.client().await?;
        let production = &self.scratch.production;
        if self.stage == Agent::Communication {
            let statement = format!(
                "insert into replay_outputs (side, topic, id, subject, at, body) \
                 select 'then', $3, n.id::text, incident_id::text, written, convert_to(((body - $4::text) #- array['event', $5::text])::text, 'UTF8') \
                 from {production}.notifications n join replay_notifications w on w.id = n.id \
                 where n.state <> 'silenced' and written >= $1 and written <= $2 order by written, n.id"
            );
            // a replay sends nothing, so no channel answers, and writes at another time
            client
                .execute(
                    &statement,
                    &[&start, &end, &place::NOTIFICATIONS, &Notification::RECEIPT, &Notification::WRITTEN_AT],
                )
                .await?;
        }
        let statement = format!(
            "insert into replay_outputs (side, topic, id, subject, at, body) \
             select 'then', $3, id::text, key, due, convert_to(json_build_object('name', name)::text, 'UTF8') \
             from {production}.timers where stage = $4 and state = 'failed' and due >= $1 and due <= $2"
        );
        client.execute(&statement, &[&start, &end, &place::TIMERS, &self.stage.name()]).await?;
        Ok(())
    }

    async fn output(&self, topic: &str, id: &str, subject: &str, line: &Line) -> Result<(), Error> {
        let at = from_ms(line.timestamp_ms.unwrap_or_default());
        let body = line.payload.as_deref().unwrap_or_default();
        Ok(self.scratch.output("then", topic, id, subject, at, body).await?)
    }

    /// Stores records as steps, at first each at its own time.
    async fn steps(&self, topic: Topic, rank: Rank, lines: &[Line]) -> Result<(), Error> {
        let column = |value: fn(&Line) -> Option<&str>| lines.iter().map(value).collect::<Vec<_>>();
        let at: Vec<Timestamp> =
            lines.iter().map(|line| from_ms(line.timestamp_ms.unwrap_or_default())).collect();
        let partitions: Vec<i32> = lines.iter().map(|line| line.partition).collect();
        let offsets: Vec<i64> = lines.iter().map(|line| line.offset).collect();
        let ids: Vec<Uuid> =
            lines.iter().map(|line| id_of(&line.headers, topic, line.partition, line.offset).0).collect();
        let kinds = column(|line| header(&line.headers, "ce_type"));
        let parents = column(|line| header(&line.headers, "traceparent"));
        let payloads: Vec<Option<&[u8]>> = lines.iter().map(|line| line.payload.as_deref()).collect();
        self.scratch
            .store
            .client()
            .await?
            .execute(
                "insert into replay_steps \
                 (moment, rank, topic, partition, position, at, id, kind, traceparent, payload) \
                 select r.at, $1, $2, r.partition, r.position, r.at, r.id, r.kind, r.parent, r.payload from unnest( \
                    $3::timestamptz[], $4::int[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::bytea[]) \
                    r (at, partition, position, id, kind, parent, payload)",
                &[&rank.number(), &topic.name(), &at, &partitions, &offsets, &ids, &kinds, &parents, &payloads],
            )
            .await?;
        Ok(())
    }

    /// Reads the records of a topic with a timestamp from `from` to `until`, on a thread of its own.
    fn lines(
        &self,
        topic: Topic,
        from: Timestamp,
        until: Timestamp,
    ) -> mpsc::Receiver<Result<Line, bus::Error>> {
        let (sender, lines) = mpsc::channel(READ_AHEAD);
        let kafka = self.kafka.clone();
        let (from, until) = (from.as_millisecond(), until.as_millisecond());
        tokio::task::spawn_blocking(move || {
            let opened = window::between(&kafka, topic, from, until, ANSWER)
                .and_then(|extents| Reader::over(&kafka, topic, &extents));
            match opened {
                Ok(reader) => {
                    for line in reader.lines(SILENCE) {
                        let outside = matches!(&line, Ok(line)
                            if line.timestamp_ms.is_none_or(|at| at < from || at > until));
                        if !outside && sender.blocking_send(line).is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    let _ = sender.blocking_send(Err(error));
                }
            }
        });
        lines
    }
}

/// Records on their way to the database.
#[derive(Default)]
struct Batch {
    lines: Vec<Line>,
    bytes: usize,
}

impl Batch {
    /// Adds a record; tells whether that is enough for one statement.
    fn add(&mut self, line: Line) -> bool {
        self.bytes += line.payload.as_ref().map_or(0, Vec::len);
        self.lines.push(line);
        self.lines.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

/// Returns what identifies a refused record.
pub(super) fn refused_id<N: Display + ?Sized, M: Display + ?Sized>(
    topic: &str,
    partition: &N,
    offset: &M,
) -> String {
    format!("{topic}/{partition}/{offset}")
}

/// Returns what is compared of a refused record.
pub(super) fn refused_body(reason: &str) -> Vec<u8> {
    serde_json::json!({ "reason": dead_letter::shortened(reason) }).to_string().into_bytes()
}
