//! What a seed stands for: which faults break out, and what is done to the house meanwhile. Pure: a seed always draws
//! the same plan.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use shared::events::Topic;
use shared::events::fault::Scenario;
use shared::failpoint::Failpoint;
use stack::AGENTS;

/// Copies of each agent.
pub const REPLICAS: u32 = 3;
/// When the first and the last blow may fall, milliseconds after the shops have opened.
const BLOWS: std::ops::Range<u64> = 2_000..22_000;
/// Agents that do most of the work, twice: they are hit more often.
const BUSY: [&str; 3] = ["detection", "correlation", "communication"];

/// A shop with one fault, in an environment of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shop {
    /// Environment.
    pub environment: String,
    /// What breaks out.
    pub scenario: Scenario,
    /// Seed of its noise.
    pub seed: u64,
    /// Healthy ticks before.
    pub healthy: u32,
}

/// Kills a copy of an agent when it reaches a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arm {
    /// Agent.
    pub agent: &'static str,
    /// Copy.
    pub replica: u32,
    /// Which start of that copy, counted from 0.
    pub start: u32,
    /// Where it dies.
    pub gap: Failpoint,
    /// How often it passes there before.
    pub passes: u32,
    /// How long it lingers in the gap, milliseconds.
    pub linger_ms: u64,
}

impl Arm {
    /// Returns the value of `FAILPOINTS`.
    pub fn failpoints(&self) -> String {
        format!("{}={}*off->return({})", self.gap.name(), self.passes, self.linger_ms)
    }
}

/// One thing that is done to the house.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blow {
    /// When, milliseconds after the shops have opened.
    pub at_ms: u64,
    /// What.
    pub kind: Kind,
}

/// What can be done to the house.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// kill -9 of a copy, which is started again after a while.
    Kill(Target),
    /// SIGTERM of a copy, which is started again after a while.
    Terminate(Target),
    /// SIGSTOP of a copy for longer than the session timeout.
    Hold(Target),
    /// A fourth copy joins for a while and leaves in order.
    Join(Target),
    /// Kafka is killed or stopped, and started again.
    RestartKafka {
        /// By kill -9.
        kill: bool,
    },
    /// PostgreSQL is killed or stopped, and started again.
    RestartPostgres {
        /// By kill -9.
        kill: bool,
    },
    /// The server ends all connections to PostgreSQL.
    ResetConnections,
    /// The mail server is gone for a while.
    RefuseMail {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// A record that no agent can read is written.
    Poison {
        /// Where.
        #[serde(serialize_with = "topic_name")]
        topic: Topic,
        /// Partition.
        partition: i32,
    },
}

/// A copy of an agent, and for how long it is hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Agent.
    pub agent: &'static str,
    /// Copy.
    pub replica: u32,
    /// How long, milliseconds.
    pub for_ms: u64,
}

/// What a seed stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Shops.
    pub shops: Vec<Shop>,
    /// Deaths in gaps.
    pub arms: Vec<Arm>,
    /// Harm from outside, in order of time.
    pub blows: Vec<Blow>,
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shops = shops(&mut rng);
        let arms = arms(&mut rng);
        let mut blows: Vec<Blow> =
            kinds(&mut rng).into_iter().map(|kind| Blow { at_ms: rng.random_range(BLOWS), kind }).collect();
        blows.sort_by_key(|blow| blow.at_ms);
        Self { seed, shops, arms, blows }
    }

    /// Returns what a copy is armed with at one of its starts.
    pub fn arm(&self, agent: &str, replica: u32, start: u32) -> Option<&Arm> {
        self.arms.iter().find(|arm| (arm.agent, arm.replica, arm.start) == (agent, replica, start))
    }
}

fn shops(rng: &mut ChaCha8Rng) -> Vec<Shop> {
    let mut scenarios = Scenario::ALL;
    scenarios.shuffle(rng);
    ["production", "staging", "canary"]
        .into_iter()
        .zip(scenarios)
        .map(|(environment, scenario)| Shop {
            environment: environment.to_owned(),
            scenario,
            seed: rng.random_range(1..1_000_000),
            healthy: rng.random_range(40..60),
        })
        .collect()
}

/// Draws the gaps that copies die in: most at their first start, some at the second and third.
fn arms(rng: &mut ChaCha8Rng) -> Vec<Arm> {
    let mut arms = Vec::new();
    for agent in AGENTS {
        for replica in 1..=REPLICAS {
            for (start, chance) in [(0, 0.7), (1, 0.5), (2, 0.3)] {
                if !rng.random_bool(chance) {
                    break;
                }
                let gap = *gaps(agent).choose(rng).unwrap_or(&Failpoint::Committed);
                let passes = match (agent, gap) {
                    (_, Failpoint::Drained | Failpoint::Restored | Failpoint::Buried) => 0,
                    ("correlation", Failpoint::Claimed) => rng.random_range(0..2),
                    ("correlation", _) => rng.random_range(0..15),
                    ("detection", _) => rng.random_range(0..6),
                    _ => rng.random_range(0..3),
                };
                let linger_ms = if rng.random_bool(0.5) { rng.random_range(200..1_500) } else { 0 };
                arms.push(Arm { agent, replica, start, gap, passes, linger_ms });
            }
        }
    }
    arms
}

/// Returns the gaps that an agent can reach.
fn gaps(agent: &str) -> Vec<Failpoint> {
    use Failpoint::{
        Acknowledged, Buried, Claimed, Committed, Decided, Drained, Emitted, Enqueued, HalfSaved, Journalled,
        Marked, Read, Restored, Saved, Stepped, Written,
    };
    match agent {
        "detection" => vec![Emitted, HalfSaved, Saved, Restored, Drained],
        "correlation" => {
            vec![Read, Decided, Written, Committed, Enqueued, Acknowledged, Marked, Drained, Claimed, Buried]
        }
        // publishes nothing; its effect is the mail
        "communication" => {
            vec![Read, Decided, Written, Committed, Drained, Claimed, Stepped, Stepped, Journalled]
        }
        _ => vec![Read, Decided, Written, Committed, Enqueued, Acknowledged, Marked, Drained],
    }
}

fn kinds(rng: &mut ChaCha8Rng) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for _ in 0..rng.random_range(2..=4) {
        kinds.push(Kind::Kill(target(rng, 200..3_000)));
    }
    for _ in 0..rng.random_range(1..=2) {
        kinds.push(Kind::Terminate(target(rng, 200..2_000)));
    }
    kinds.push(Kind::Hold(target(rng, 4_500..7_000)));
    for _ in 0..rng.random_range(1..=2) {
        kinds.push(Kind::Join(Target {
            replica: REPLICAS + 1 + kinds.len() as u32,
            ..target(rng, 3_000..8_000)
        }));
    }
    for _ in 0..rng.random_range(1..=2) {
        kinds.push(Kind::ResetConnections);
    }
    if rng.random_bool(0.3) {
        kinds.push(Kind::RestartKafka { kill: rng.random() });
    }
    if rng.random_bool(0.4) {
        kinds.push(Kind::RestartPostgres { kill: rng.random() });
    }
    if rng.random_bool(0.5) {
        kinds.push(Kind::RefuseMail { for_ms: rng.random_range(1_000..6_000) });
    }
    for topic in [Topic::Anomalies, Topic::RawMetrics, Topic::RcaCompleted] {
        kinds.push(Kind::Poison { topic, partition: rng.random_range(0..topic.partitions()) });
    }
    kinds
}

fn target(rng: &mut ChaCha8Rng, for_ms: std::ops::Range<u64>) -> Target {
    let agents: Vec<&'static str> = AGENTS.into_iter().chain(BUSY).collect();
    let agent = agents.choose(rng).copied().unwrap_or(AGENTS[0]);
    Target { agent, replica: rng.random_range(1..=REPLICAS), for_ms: rng.random_range(for_ms) }
}

fn topic_name<S: serde::Serializer>(topic: &Topic, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(topic.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_always_draws_the_same_plan_and_another_seed_another() {
        assert_eq!(Plan::draw(7), Plan::draw(7));
        assert_ne!(Plan::draw(7).blows, Plan::draw(8).blows);
    }

    #[test]
    fn twenty_seeds_reach_every_gap_with_every_kind_of_harm() {
        let plans: Vec<_> = (1..=20).map(Plan::draw).collect();
        let gaps: BTreeSet<_> = plans.iter().flat_map(|plan| &plan.arms).map(|arm| arm.gap).collect();
        assert_eq!(gaps, Failpoint::ALL.into_iter().collect());
        let kinds: BTreeSet<_> = plans
            .iter()
            .flat_map(|plan| &plan.blows)
            .map(|blow| std::mem::discriminant(&blow.kind))
            .map(|kind| format!("{kind:?}"))
            .collect();
        assert_eq!(kinds.len(), 9);
    }
}
