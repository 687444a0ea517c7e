//! Whether the pipeline can work: decided from what was seen, without asking anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::agent::Agent;
use shared::bus::{self, lag};
use shared::events::Topic;
use shared::store::Backlog;

use super::Options;

/// Reasons that are named.
const NAMED: usize = 5;

/// What was seen in one turn.
#[derive(Debug, Clone)]
pub struct Observation {
    /// What `/readyz` of this process calls down.
    pub not_ready: Vec<String>,
    /// What waits in the database for all stages, or why that is not known.
    pub backlog: Result<Backlog, String>,
    /// How far agents have read, or why that is not known.
    pub groups: Result<Vec<Group>, String>,
}

/// How far an agent has read a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Which agent.
    pub agent: Agent,
    /// Which topic.
    pub topic: Topic,
    /// Records that it has yet to read.
    pub behind: i64,
    /// Offsets that it has read, over all partitions: grows while it works.
    pub done: i64,
    /// Offsets at the end that may hold no record: others may write to the topic in transactions, which leave a marker in
    /// each partition.
    pub markers: i64,
}

/// Returns the lines of a report of `/readyz` that say what is down.
pub(super) fn unready(report: &str) -> Vec<String> {
    let down: Vec<String> =
        report.lines().filter(|line| line.contains(": down: ")).map(str::to_owned).collect();
    if down.is_empty() { vec!["the process is starting".to_owned()] } else { down }
}

/// Asks how far all agents have read. An agent that has never read a topic is absent. Blocking.
pub(super) fn groups(kafka: &bus::Options, deadline: Duration) -> Result<Vec<Group>, bus::Error> {
    let mut topics: Vec<Topic> = Agent::ALL.iter().flat_map(|agent| agent.inputs()).copied().collect();
    topics.sort_unstable();
    topics.dedup();
    let extents = lag::extents(kafka, &topics, deadline)?;
    let mut groups = Vec::new();
    for agent in Agent::ALL {
        let inputs: lag::Extents = extents
            .iter()
            .filter(|(topic, _)| agent.inputs().contains(topic))
            .map(|(topic, held)| (*topic, held.clone()))
            .collect();
        for (topic, behind) in lag::behind(kafka, agent.name(), &inputs, deadline)? {
            let held = &inputs[&topic];
            let end: i64 = held.iter().map(|range| range.end).sum();
            let is_ours = Agent::ALL.iter().any(|agent| agent.outputs().contains(&topic));
            let markers = if is_ours { 0 } else { held.len() as i64 };
            groups.push(Group { agent: *agent, topic, behind, done: end - behind, markers });
        }
    }
    Ok(groups)
}

/// Judges turn after turn, and remembers since when an agent has not moved.
#[derive(Debug)]
pub struct Health {
    outbox_age: Duration,
    timer_late: Duration,
    stall: Duration,
    moved: BTreeMap<(Agent, Topic), (i64, Instant)>,
}

impl Health {
    /// Judges by these bounds.
    pub fn new(options: &Options) -> Self {
        let seconds = |count| Duration::from_secs(u64::from(count));
        Self {
            outbox_age: seconds(options.max_outbox_age_s),
            timer_late: seconds(options.max_timer_late_s),
            stall: seconds(options.max_stall_s),
            moved: BTreeMap::new(),
        }
    }

    /// Returns why the pipeline cannot work; nothing where it can.
    pub fn judge(&mut self, seen: &Observation, now: Instant) -> Vec<String> {
        let mut reasons = seen.not_ready.clone();
        match &seen.backlog {
            Err(error) => reasons.push(error.clone()),
            Ok(backlog) => {
                if backlog.outbox_age > self.outbox_age {
                    reasons.push(format!(
                        "an event has waited in the outbox for {} s",
                        backlog.outbox_age.as_secs()
                    ));
                }
                if backlog.timer_late > self.timer_late {
                    reasons.push(format!("a timer is late by {} s", backlog.timer_late.as_secs()));
                }
            }
        }
        match &seen.groups {
            Err(error) => reasons.push(error.clone()),
            Ok(groups) => reasons.extend(groups.iter().filter_map(|group| self.stalled(group, now))),
        }
        reasons.truncate(NAMED);
        reasons
    }

    /// Returns the sentence for an agent that has handled nothing for too long although records wait.
    fn stalled(&mut self, group: &Group, now: Instant) -> Option<String> {
        let (done, since) = self.moved.entry((group.agent, group.topic)).or_insert((group.done, now));
        // also backwards: the topic was made again
        if *done != group.done || group.behind <= group.markers {
            (*done, *since) = (group.done, now);
            return None;
        }
        let waited = now.saturating_duration_since(*since);
        (waited > self.stall).then(|| {
            let Group { agent, topic, behind, .. } = group;
            format!(
                "{behind} records of {topic} wait for {agent}, which has handled none for {} s",
                waited.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Observation {
        Observation { not_ready: Vec::new(), backlog: Ok(Backlog::default()), groups: Ok(Vec::new()) }
    }

    fn judge(seen: &Observation) -> usize {
        Health::new(&Options::default()).judge(seen, Instant::now()).len()
    }

    #[test]
    fn a_pipeline_in_which_nothing_waits_is_healthy() {
        assert_eq!(judge(&healthy()), 0);
    }

    #[test]
    fn each_bound_that_is_passed_is_a_reason() {
        let of = |outbox_s, timer_s| {
            let (outbox_age, timer_late) = (Duration::from_secs(outbox_s), Duration::from_secs(timer_s));
            judge(&Observation {
                backlog: Ok(Backlog { outbox_rows: 1, outbox_age, timer_late, ..Backlog::default() }),
                ..healthy()
            })
        };
        assert_eq!([of(120, 300), of(121, 300), of(120, 301), of(121, 301)], [0, 1, 1, 2]);
    }

    #[test]
    fn what_is_not_known_or_not_ready_is_a_reason() {
        assert_eq!(judge(&Observation { backlog: Err("no connection".to_owned()), ..healthy() }), 1);
        assert_eq!(judge(&Observation { groups: Err("no broker".to_owned()), ..healthy() }), 1);
        let not_ready = unready("kafka: ok\npostgres: down: no connection\nprogress: ok\n");
        assert_eq!(not_ready, ["postgres: down: no connection"]);
        assert_eq!(judge(&Observation { not_ready, ..healthy() }), 1);
        assert_eq!(unready("starting\n").len(), 1);
    }

    #[test]
    fn an_agent_that_handles_nothing_while_records_wait_is_a_reason_after_a_while() {
        let begun = Instant::now();
        let mut health = Health::new(&Options::default());
        let mut look = |agent, topic, done, behind, markers, after_s| {
            let group = Group { agent, topic, behind, done, markers };
            let seen = Observation { groups: Ok(vec![group]), ..healthy() };
            health.judge(&seen, begun + Duration::from_secs(after_s)).len()
        };
        let (stage, topic) = (Agent::Correlation, Topic::Anomalies);
        assert_eq!(look(stage, topic, 10, 5, 0, 0), 0);
        assert_eq!(look(stage, topic, 10, 9, 0, 300), 0);
        assert_eq!(look(stage, topic, 10, 12, 0, 301), 1, "it has not moved");
        assert_eq!(look(stage, topic, 11, 900, 0, 302), 0, "it is slow, and works");
        assert_eq!(look(stage, topic, 11, 0, 0, 5_000), 0, "a quiet night");
        assert_eq!(look(stage, topic, 11, 1, 0, 5_060), 0, "the first record after it");
        let (stage, topic) = (Agent::Detection, Topic::RawLogs);
        assert_eq!(look(stage, topic, 10, 6, 6, 0), 0);
        assert_eq!(look(stage, topic, 10, 6, 6, 9_000), 0, "what is left may be markers of transactions");
        assert_eq!(look(stage, topic, 10, 7, 6, 9_000), 0);
        assert_eq!(look(stage, topic, 10, 7, 6, 9_301), 1);
    }
}
