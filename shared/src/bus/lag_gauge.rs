//! What a member of a group has yet to handle, for the gauge `firewatch_consumer_lag`.
//!
//! The polling thread asks the broker for the ends of its partitions, all in one request. The ends that come with what is
//! fetched would cost nothing, and stand still while fetching is paused: just then the lag is of interest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

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
        }
    }

    /// Brings the gauge up to date, if it is time. Partitions that were taken away count no more.
    pub(super) fn show<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, tracker: &Tracker) {
        if Instant::now() < self.due {
            return;
        }
        let standing = tracker.standing();
        if standing.assignment != self.assignment {
            self.assignment = standing.assignment;
            self.begins.clear();
            self.ends.clear();
        }
        let answer = self.ask(consumer, &standing);
        self.due = Instant::now() + if answer.is_ok() { EVERY } else { UNANSWERED };
        if let Err(error) = answer {
            tracing::debug!(%error, "end offsets could not be read");
        }
        self.set(&standing.safe);
    }

    /// Sets the gauge to zero: none of the partitions are ours any more.
    pub(super) fn forget(&mut self) {
        self.ends.clear();
        self.set(&Offsets::new());
    }

    fn ask<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        standing: &Standing,
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
        let unread: Vec<Place> = assigned
            .iter()
            .copied()
            .filter(|place| !standing.safe.contains_key(place) && !self.begins.contains_key(place))
            .collect();
        if !unread.is_empty() {
            let mut begins = at(consumer, &unread, Offset::Beginning)?;
            let committed =
                known(&consumer.committed_offsets(listed(&unread, Offset::Invalid)?, PATIENCE)?, &unread);
            for (place, committed) in committed {
                // retention may have removed what came after the commit
                begins.entry(place).and_modify(|begin| *begin = committed.max(*begin));
            }
            self.begins.extend(begins);
        }
        if !assigned.is_empty() {
            self.ends.extend(at(consumer, &assigned, Offset::End)?);
        }
        self.ends.retain(|place, _| assigned.contains(place));
        Ok(())
    }

    fn set(&self, safe: &Offsets) {
        for (topic, records) in behind(&self.topics, &self.begins, safe, &self.ends) {
            runtime::CONSUMER_LAG.set([&self.group, topic.name()], records as f64);
        }
    }
}

/// Returns, for each topic, the records between what may be committed and the ends.
fn behind(topics: &[Topic], begins: &Offsets, safe: &Offsets, ends: &Offsets) -> BTreeMap<Topic, i64> {
    let mut behind: BTreeMap<Topic, i64> = topics.iter().map(|topic| (*topic, 0)).collect();
    for (place, end) in ends {
        if let Some(stands) = safe.get(place).or_else(|| begins.get(place)) {
            *behind.entry(place.0).or_default() += (end - stands).max(0);
        }
    }
    behind
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
    use super::*;

    const TOPICS: [Topic; 2] = [Topic::Anomalies, Topic::RawSpans];
    const FIRST: Place = (Topic::Anomalies, 0);
    const SECOND: Place = (Topic::Anomalies, 1);

    #[test]
    fn a_partition_that_was_not_read_yet_counts_from_where_the_group_stood() {
        let (begins, ends) =
            (Offsets::from([(FIRST, 10), (SECOND, 90)]), Offsets::from([(FIRST, 50), (SECOND, 100)]));
        let safe = Offsets::from([(FIRST, 45)]);
        assert_eq!(
            behind(&TOPICS, &begins, &safe, &ends),
            BTreeMap::from([(Topic::Anomalies, 5 + 10), (Topic::RawSpans, 0)])
        );
    }

    #[test]
    fn what_was_taken_away_is_reported_as_zero_and_not_left_standing() {
        let mut gauge = LagGauge::new("correlation", &TOPICS);
        gauge.begins = Offsets::from([(FIRST, 10)]);
        gauge.ends = Offsets::from([(FIRST, 50)]);
        gauge.forget();
        assert_eq!(
            behind(&gauge.topics, &gauge.begins, &Offsets::new(), &gauge.ends),
            BTreeMap::from([(Topic::Anomalies, 0), (Topic::RawSpans, 0)])
        );
    }

    #[test]
    fn an_end_that_is_older_than_our_progress_is_no_negative_lag() {
        let (safe, ends) = (Offsets::from([(FIRST, 60)]), Offsets::from([(FIRST, 50)]));
        assert_eq!(behind(&TOPICS, &Offsets::new(), &safe, &ends)[&Topic::Anomalies], 0);
    }
}
