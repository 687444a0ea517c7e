//! How many partitions the topics of a partitioned stage have. Its own topic gets as many as its inputs need; the inputs
//! are left alone, whatever they look like.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use super::admin::{self, Admin};
use crate::events::Topic;

/// Time between two looks at the shape of what is read.
const LOOK: Duration = Duration::from_secs(5);

/// Numbers of partitions, by topic. The first input leads: whoever has a partition of it has those of the same number of
/// all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    inputs: Vec<Topic>,
    counts: BTreeMap<Topic, i32>,
}

/// Why a partitioned stage cannot read now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    /// Kafka does not answer.
    #[error(transparent)]
    Kafka(#[from] admin::Error),
    /// A topic is not there.
    #[error("{} not there; create what is missing with `stack topics`", are(.0))]
    Missing(Vec<Topic>),
    /// The state has fewer partitions than an input, and cannot get more.
    #[error(
        "{state} has {found} partitions and {input} has {wanted}; give {state} {wanted} partitions \
         (`kafka-topics.sh --alter --topic {state} --partitions {wanted}`): {why}"
    )]
    Narrow {
        /// The topic of the state.
        state: Topic,
        /// Its partitions.
        found: i32,
        /// The input with the most.
        input: Topic,
        /// Its partitions.
        wanted: i32,
        /// Why Firewatch could not do it.
        why: String,
    },
}

fn are(topics: &[Topic]) -> String {
    let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
    match names[..] {
        [one] => format!("topic {one} is"),
        _ => format!("topics {} are", names.join(", ")),
    }
}

impl Shape {
    /// Makes sure that every partition of the inputs has one of the state, and returns the shape.
    pub(super) async fn prepare(admin: &Admin, inputs: &[Topic], state: Topic) -> Result<Self, Obstacle> {
        let topics: Vec<Topic> = inputs.iter().copied().chain([state]).collect();
        let mut counts = admin.counts(&topics).await?;
        let missing: Vec<Topic> =
            topics.iter().copied().filter(|topic| !counts.contains_key(topic)).collect();
        if !missing.is_empty() {
            return Err(Obstacle::Missing(missing));
        }
        let found = counts[&state];
        let widest = inputs.iter().map(|topic| (counts[topic], *topic)).max();
        if let Some((wanted, input)) = widest.filter(|(wanted, _)| *wanted > found) {
            if let Err(error) = admin.widen(state, wanted).await {
                return Err(Obstacle::Narrow { state, found, input, wanted, why: error.to_string() });
            }
            tracing::warn!(
                topic = state.name(),
                before = found,
                partitions = wanted,
                input = input.name(),
                "partitions of the state were added because an input has more"
            );
            counts.insert(state, wanted);
        }
        Ok(Self { inputs: inputs.to_vec(), counts })
    }

    /// Returns what has become of the shape, once it is another one.
    pub(super) async fn changed(&self, admin: &Admin) -> String {
        let topics: Vec<Topic> = self.counts.keys().copied().collect();
        let mut before: Option<BTreeMap<Topic, i32>> = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let Ok(now) = admin.counts(&topics).await else { continue };
            // brokers learn of a change one after the other: two have to say the same
            if now != self.counts && before.as_ref() == Some(&now) {
                return Counts(&now).to_string();
            }
            before = Some(now);
        }
    }

    /// Returns the inputs with their partitions, where these differ.
    pub(super) fn uneven(&self) -> Option<String> {
        let counts: BTreeMap<Topic, i32> =
            self.inputs.iter().map(|topic| (*topic, self.partitions(*topic))).collect();
        let different: BTreeSet<i32> = counts.values().copied().collect();
        (different.len() > 1).then(|| Counts(&counts).to_string())
    }

    /// Returns the partitions of a topic.
    pub(super) fn partitions(&self, topic: Topic) -> i32 {
        self.counts.get(&topic).copied().unwrap_or_default()
    }

    /// Returns what a member reads that was assigned `partitions`: of the first input what was assigned, of each other
    /// input the same numbers, and by turns those beyond. The strategy `range` gives the same where all have equal
    /// numbers of partitions; where they have not, it would give partitions of one number to two members.
    pub(super) fn complete(&self, partitions: &TopicPartitionList) -> TopicPartitionList {
        let mut complete = TopicPartitionList::new();
        let Some(lead) = self.inputs.first() else { return complete };
        let elements = partitions.elements();
        let of_lead = elements.iter().filter(|one| one.topic() == lead.name());
        let own: BTreeSet<i32> = of_lead.map(TopicPartitionListElem::partition).collect();
        let turns = self.partitions(*lead).max(1);
        for topic in &self.inputs {
            let numbers = (0..self.partitions(*topic)).filter(|number| own.contains(&(number % turns)));
            for number in numbers {
                complete.add_partition(topic.name(), number);
            }
        }
        complete
    }
}

/// Numbers of partitions, for people.
struct Counts<'a>(&'a BTreeMap<Topic, i32>);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(topic, count)| format!("{topic}: {count}")).collect();
        f.write_str(&counts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: [Topic; 3] = [Topic::RawMetrics, Topic::RawLogs, Topic::RawDeployments];

    fn shape(counts: [i32; 3]) -> Shape {
        Shape { inputs: INPUTS.to_vec(), counts: INPUTS.into_iter().zip(counts).collect() }
    }

    /// Returns what a member reads to whom `range` gave these partitions of the first input.
    fn read(shape: &Shape, of_lead: &[i32]) -> Vec<(String, i32)> {
        let mut assigned = TopicPartitionList::new();
        for partition in of_lead {
            assigned.add_partition(Topic::RawMetrics.name(), *partition);
        }
        // what `range` gives of other topics counts nothing
        assigned.add_partition(Topic::RawLogs.name(), 99);
        let complete = shape.complete(&assigned);
        let elements = complete.elements();
        elements.iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
    }

    #[test]
    fn each_partition_is_read_once_and_equal_numbers_by_the_same_member() {
        for counts in [[6, 6, 6], [12, 6, 1], [6, 12, 6], [3, 20, 7], [1, 6, 6]] {
            let shape = shape(counts);
            let half = (counts[0] + 1) / 2;
            let (first, second): (Vec<i32>, Vec<i32>) = (0..counts[0]).partition(|number| *number < half);
            let (first, second) = (read(&shape, &first), read(&shape, &second));
            let all: BTreeSet<_> = first.iter().chain(&second).cloned().collect();
            assert_eq!(all.len() as i32, counts.iter().sum::<i32>(), "{counts:?}");
            assert_eq!(all.len(), first.len() + second.len(), "{counts:?}");
            let numbers =
                |of: &[(String, i32)]| of.iter().map(|(_, number)| *number).collect::<BTreeSet<_>>();
            assert!(numbers(&first).is_disjoint(&numbers(&second)), "{counts:?}: {first:?} {second:?}");
        }
    }

    #[test]
    fn inputs_with_different_numbers_are_named() {
        assert_eq!(shape([6, 6, 6]).uneven(), None);
        let named = shape([6, 3, 1]).uneven().unwrap();
        assert_eq!(named, "raw.metrics: 6, raw.logs: 3, raw.deployments: 1");
    }
}
