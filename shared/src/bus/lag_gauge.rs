//! What a member of a group has yet to handle, for the gauge `firewatch_consumer_lag`.
//!
//! The polling thread asks the broker for the ends of its partitions, all in one request. The ends that come with what is
//! fetched would cost nothing, and stand still while fetching is paused: just then the lag is of interest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::partitions_in;
use super::progress::{Progress, Waits, missing, waiting};
use super::tracker::{Place, Standing, Tracker};
use crate::events::Topic;
use crate::metrics::runtime;

/// Time between two questions to the broker.
const EVERY: Duration = Duration::from_secs(2);
/// Time to the next question where one was not answered.
const UNANSWERED: Duration = Duration::from_secs(10);
/// Longest wait for an answer; polling stands still meanwhile.
const PATIENCE: Duration = Duration::from_millis(250);

/// Offsets by partition.
type Offsets = BTreeMap<Place, i64>;

/// Records that are not handled yet, up to the last answer of the broker.
pub(super) struct LagGauge {
    group: String,
    topics: Vec<Topic>,
    due: Instant,
    assignment: u64,
    /// Where the group stood when a partition came to us; until its first record is read, nothing else tells.
    begins: Offsets,
    ends: Offsets,
    /// Up to where what retention removed unread was counted.
    counted: Offsets,
    waits: Waits,
    /// Topics that were not there when that was last asked for.
    missing: Vec<Topic>,
    asked: Option<Instant>,
}

impl LagGauge {
    pub(super) fn new(group: &str, topics: &[Topic]) -> Self {
        Self {
            group: group.to_owned(),
            topics: topics.to_vec(),
            due: Instant::now(),
            assignment: 0,
            begins: Offsets::new(),
            ends: Offsets::new(),
            counted: Offsets::new(),
            waits: Waits::default(),
            missing: Vec::new(),
            asked: None,
        }
    }

    /// Brings the gauge up to date, if it is time, and notes what makes no progress. Partitions that were taken away
    /// count no more.
    pub(super) fn show<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        tracker: &Tracker,
        progress: &Progress,
    ) {
        if Instant::now() < self.due {
            return;
        }
        let standing = tracker.standing();
        if standing.assignment != self.assignment {
            self.assignment = standing.assignment;
            self.begins.clear();
            self.ends.clear();
            self.counted.clear();
        }
        let answer = self.ask(consumer, &standing, progress);
        self.due = Instant::now() + if answer.is_ok() { EVERY } else { UNANSWERED };
        if let Err(error) = answer {
            tracing::debug!(%error, "end offsets could not be read");
        }
        let behind = self.behind(&standing, progress);
        self.set(&behind);
        let late = self.late(&behind, &standing, progress.patience());
        let missing = self.missing.iter().map(|topic| missing(*topic));
        progress.note(missing.chain(late).collect());
    }

    /// Notes that the log of a partition has begun anew.
    pub(super) fn began_anew(&mut self, (topic, partition): Place, offset: i64, expected: i64) {
        runtime::LOGS_BEGUN_ANEW.add_one([&self.group, topic.name()]);
        self.counted.remove(&(topic, partition));
        self.begins.remove(&(topic, partition));
        tracing::warn!(
            topic = topic.name(),
            partition,
            offset,
            expected,
            "the log of a partition begins anew; the topic was made again or has lost its end"
        );
    }

    /// Sets the gauge to zero: none of the partitions are ours any more.
    pub(super) fn forget(&mut self) {
        self.ends.clear();
        self.set(&Offsets::new());
        self.stalled(&BTreeMap::new());
    }

    fn ask<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        standing: &Standing,
        progress: &Progress,
    ) -> KafkaResult<()> {
        let assigned: Vec<Place> = consumer
            .assignment()?
            .elements()
            .iter()
            .filter_map(|place| {
                let topic = self.topics.iter().find(|topic| topic.name() == place.topic())?;
                Some((*topic, place.partition()))
            })
            .collect();
        self.ends.retain(|place, _| assigned.contains(place));
        self.waits.retain(|place| assigned.contains(place));
        self.look_for_topics(consumer, &assigned)?;
        if assigned.is_empty() {
            return Ok(());
        }
        let begins = at(consumer, &assigned, Offset::Beginning)?;
        let unread: Vec<Place> = assigned
            .iter()
            .copied()
            .filter(|place| !standing.places.contains_key(place) && !self.begins.contains_key(place))
            .collect();
        if !unread.is_empty() {
            let committed =
                known(&consumer.committed_offsets(listed(&unread, Offset::Invalid)?, PATIENCE)?, &unread);
            for place in unread {
                let begin = begins.get(&place).copied().unwrap_or_default();
                self.begins.insert(place, committed.get(&place).copied().unwrap_or(begin));
            }
        }
        for (place, begin) in begins {
            if let Some(committed) = progress.take_committed(place) {
                self.count_lost(place, committed, begin);
            }
            let stands = standing.places.get(&place).map(|standing| standing.next);
            let stands = stands.or_else(|| self.begins.get(&place).copied()).unwrap_or(begin);
            self.count_lost(place, stands.max(progress.reached(place).unwrap_or(stands)), begin);
            // retention may have removed what came after the commit
            self.begins.entry(place).and_modify(|known| *known = begin.max(*known));
        }
        self.ends.extend(at(consumer, &assigned, Offset::End)?);
        Ok(())
    }

    /// Looks whether the topics are there of which nothing is ours.
    fn look_for_topics<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        assigned: &[Place],
    ) -> KafkaResult<()> {
        if self.asked.is_some_and(|asked| asked.elapsed() < UNANSWERED) {
            return Ok(());
        }
        self.missing.clear();
        for topic in &self.topics {
            if assigned.iter().any(|(of, _)| of == topic) {
                continue;
            }
            let metadata = consumer.fetch_metadata(Some(topic.name()), PATIENCE)?;
            if partitions_in(&metadata) == 0 {
                self.missing.push(*topic);
            }
        }
        self.asked = Some(Instant::now());
        Ok(())
    }

    /// Counts what was removed before it was read: at most so many records, for offsets have holes.
    fn count_lost(&mut self, place: Place, stands: i64, begin: i64) {
        let from = self.counted.get(&place).map_or(stands, |counted| stands.max(*counted));
        if begin <= from {
            return;
        }
        self.counted.insert(place, begin);
        let ((topic, partition), records) = (place, begin - from);
        runtime::RECORDS_LOST.add([&self.group, topic.name()], records.unsigned_abs());
        tracing::warn!(
            topic = topic.name(),
            partition,
            records,
            from,
            "records were removed from a topic before they were read; raise its retention"
        );
    }

    /// Returns the records of each partition between what may be committed and its end. Where all that was handed out is
    /// done with, what the client has passed over counts as read.
    fn behind(&self, standing: &Standing, progress: &Progress) -> Offsets {
        let of = |(place, end): (&Place, &i64)| {
            let known = standing.places.get(place);
            let stands = known.map(|known| known.safe).or_else(|| self.begins.get(place).copied())?;
            let is_done = known.is_none_or(|known| known.safe == known.next);
            let passed = progress.reached(*place).filter(|_| is_done).unwrap_or(stands);
            Some((*place, (end - stands.max(passed)).max(0)))
        };
        self.ends.iter().filter_map(of).collect()
    }

    /// Returns a sentence for each partition whose records wait for longer than `patience`.
    fn late(&mut self, behind: &Offsets, standing: &Standing, patience: Duration) -> Vec<String> {
        let (mut late, mut longest) = (Vec::new(), BTreeMap::new());
        for (place, records) in behind {
            let (end, known) = (self.ends[place], standing.places.get(place));
            let waited = self.waits.observe(*place, *records, end, known, Instant::now());
            let Some(waited) = waited.filter(|waited| *waited > patience) else { continue };
            let of_topic: &mut Duration = longest.entry(place.0).or_default();
            *of_topic = waited.max(*of_topic);
            late.push(waiting(*place, *records, waited));
        }
        self.stalled(&longest);
        late
    }

    fn stalled(&self, longest: &BTreeMap<Topic, Duration>) {
        for topic in &self.topics {
            let seconds = longest.get(topic).map_or(0.0, Duration::as_secs_f64);
            runtime::STALLED_SECONDS.set([&self.group, topic.name()], seconds);
        }
    }

    fn set(&self, behind: &Offsets) {
        for topic in &self.topics {
            let of_topic = behind.iter().filter(|((of, _), _)| of == topic);
            let records: i64 = of_topic.map(|(_, records)| records).sum();
            runtime::CONSUMER_LAG.set([&self.group, topic.name()], records as f64);
        }
    }
}

/// Asks for the first or for the next offset of partitions: both are names of a time to the broker.
fn at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    places: &[Place],
    time: Offset,
) -> KafkaResult<Offsets> {
    Ok(known(&consumer.offsets_for_times(listed(places, time)?, PATIENCE)?, places))
}

fn listed(places: &[Place], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition_offset(topic.name(), *partition, offset)?;
    }
    Ok(list)
}

fn known(list: &TopicPartitionList, places: &[Place]) -> Offsets {
    places
        .iter()
        .filter_map(|place| match list.find_partition(place.0.name(), place.1)?.offset() {
            Offset::Offset(offset) => Some((*place, offset)),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tracker::PlaceStanding;
    use super::*;

    const TOPICS: [Topic; 2] = [Topic::Anomalies, Topic::RawSpans];
    const FIRST: Place = (Topic::Anomalies, 0);
    const SECOND: Place = (Topic::Anomalies, 1);

    fn standing(place: Place, safe: i64, next: i64) -> Standing {
        let one = PlaceStanding { safe, next, waiting: 0, moved: Instant::now() };
        Standing { assignment: 0, places: BTreeMap::from([(place, one)]) }
    }

    #[test]
    fn a_partition_that_was_not_read_yet_counts_from_where_the_group_stood() {
        let mut gauge = LagGauge::new("correlation", &TOPICS);
        gauge.begins = Offsets::from([(FIRST, 10), (SECOND, 90)]);
        gauge.ends = Offsets::from([(FIRST, 50), (SECOND, 100)]);
        let behind = gauge.behind(&standing(FIRST, 45, 45), &Progress::new(Duration::ZERO));
        assert_eq!(behind, Offsets::from([(FIRST, 5), (SECOND, 10)]));
    }

    #[test]
    fn an_end_that_is_older_than_our_progress_is_no_negative_lag() {
        let mut gauge = LagGauge::new("correlation", &TOPICS);
        gauge.ends = Offsets::from([(FIRST, 50)]);
        let behind = gauge.behind(&standing(FIRST, 60, 60), &Progress::new(Duration::ZERO));
        assert_eq!(behind, Offsets::from([(FIRST, 0)]));
    }
}
