//! What a seed stands for: the faults of the simulated shops, and the faults that are injected into the pipeline. Pure: a
//! seed always draws the same plan.

pub mod commands;
pub mod troubles;

use commands::PlannedCommand;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use shared::events::Topic;
use shared::events::fault::Scenario;
use shared::failpoint::Failpoint;
use stack::AGENTS;
use troubles::Trouble;

/// Copies of each agent.
pub const REPLICAS: u32 = 3;
/// When the first and the last injection may happen, milliseconds after the simulators have started.
const INJECTIONS_MS: std::ops::Range<u64> = 2_000..22_000;
/// Agents that do most of the work. They are drawn twice as often.
const BUSY: [&str; 3] = ["detection", "correlation", "communication"];

/// A simulated shop with one fault, in an environment of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shop {
    /// Environment.
    pub environment: String,
    /// Scenario of its fault.
    pub scenario: Scenario,
    /// Seed of its noise.
    pub seed: u64,
    /// Healthy ticks before the fault.
    pub healthy: u32,
}

/// A failpoint at which a copy of an agent is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailpointSetting {
    /// Agent.
    pub agent: &'static str,
    /// Copy.
    pub replica: u32,
    /// Which start of that copy, counted from 0.
    pub start: u32,
    /// The failpoint.
    pub failpoint: Failpoint,
    /// How often the copy passes the failpoint before.
    pub passes: u32,
    /// How long the copy waits at the failpoint before it is killed, milliseconds.
    pub delay_ms: u64,
}

impl FailpointSetting {
    /// Returns the value of the variable `FAILPOINTS`.
    pub fn variable(&self) -> String {
        format!("{}={}*off->return({})", self.failpoint.name(), self.passes, self.delay_ms)
    }
}

/// One fault that is injected into the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Injection {
    /// When, milliseconds after the simulators have started.
    pub at_ms: u64,
    /// What is injected.
    pub kind: Kind,
}

/// What can be injected into the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SIGKILL of a copy, which is started again later.
    Kill(Target),
    /// SIGTERM of a copy, which is started again later.
    Terminate(Target),
    /// SIGSTOP of a copy for longer than the session timeout.
    Hold(Target),
    /// A fourth copy joins the group, and is stopped in an orderly way later.
    Join(Target),
    /// Kafka is killed or stopped, and started again.
    RestartKafka {
        /// By SIGKILL.
        kill: bool,
    },
    /// PostgreSQL is killed or stopped, and started again.
    RestartPostgres {
        /// By SIGKILL.
        kill: bool,
    },
    /// The server ends all connections to PostgreSQL.
    ResetConnections,
    /// The mail server is down.
    RefuseMail {
        /// How long, milliseconds.
        for_ms: u64,
    },
    /// A record that no agent can parse is written.
    Poison {
        /// Topic.
        #[serde(serialize_with = "topic_name")]
        topic: Topic,
        /// Partition.
        partition: i32,
    },
}

/// A copy of an agent, and how long the injection lasts.
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
    /// Simulated shops.
    pub shops: Vec<Shop>,
    /// Failpoints at which copies are killed.
    pub failpoints: Vec<FailpointSetting>,
    /// Faults that are injected from outside, in order of time.
    pub injections: Vec<Injection>,
    /// Commands of people.
    pub commands: Vec<PlannedCommand>,
    /// What goes wrong at receivers that are reached by HTTP.
    pub troubles: Vec<Trouble>,
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shops = shops(&mut rng);
        let failpoints = failpoints(&mut rng);
        let mut injections: Vec<Injection> = kinds(&mut rng)
            .into_iter()
            .map(|kind| Injection { at_ms: rng.random_range(INJECTIONS_MS), kind })
            .collect();
        injections.sort_by_key(|injection| injection.at_ms);
        let commands = commands::draw(&shops, &mut rng);
        // drawn last: what a seed drew before stays as it was
        let troubles = troubles::draw(&mut rng);
        Self { seed, shops, failpoints, injections, commands, troubles }
    }

    /// Returns the failpoint that is set for a copy at one of its starts.
    pub fn failpoint(&self, agent: &str, replica: u32, start: u32) -> Option<&FailpointSetting> {
        let sets = |it: &&FailpointSetting| (it.agent, it.replica, it.start) == (agent, replica, start);
        self.failpoints.iter().find(sets)
    }
}

fn shops(rng: &mut ChaCha8Rng) -> Vec<Shop> {
    let mut scenarios = Scenario::ROTATION;
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

/// Draws the failpoints at which copies are killed: most at their first start, some at the second and third.
fn failpoints(rng: &mut ChaCha8Rng) -> Vec<FailpointSetting> {
    let mut settings = Vec::new();
    for agent in AGENTS {
        for replica in 1..=REPLICAS {
            for (start, chance) in [(0, 0.7), (1, 0.5), (2, 0.3)] {
                if !rng.random_bool(chance) {
                    break;
                }
                let failpoint = *reachable(agent).choose(rng).unwrap_or(&Failpoint::Committed);
                let passes = match (agent, failpoint) {
                    (_, Failpoint::Drained | Failpoint::Restored | Failpoint::DeadLettered) => 0,
                    ("correlation", Failpoint::Claimed) => rng.random_range(0..2),
                    ("correlation", _) => rng.random_range(0..15),
                    ("detection", _) => rng.random_range(0..6),
                    _ => rng.random_range(0..3),
                };
                let delay_ms = if rng.random_bool(0.5) { rng.random_range(200..1_500) } else { 0 };
                settings.push(FailpointSetting { agent, replica, start, failpoint, passes, delay_ms });
            }
        }
    }
    settings
}

/// Returns the failpoints that an agent can reach.
fn reachable(agent: &str) -> Vec<Failpoint> {
    use Failpoint::{
        Acknowledged, Claimed, Committed, DeadLettered, Decided, Drained, Emitted, Enqueued, HalfSaved,
        HalfWritten, Journalled, Marked, Read, Restored, Saved, Stepped, Written,
    };
    match agent {
        "detection" => vec![Emitted, HalfSaved, Saved, Restored, Drained],
        "correlation" => {
            vec![
                Read,
                Decided,
                HalfWritten,
                Written,
                Committed,
                Enqueued,
                Acknowledged,
                Marked,
                Drained,
                Claimed,
                DeadLettered,
            ]
        }
        // publishes nothing: its effect is the mail
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
    for topic in [Topic::Anomalies, Topic::RawMetrics, Topic::RcaCompleted, Topic::OperatorCommands] {
        kinds.push(Kind::Poison { topic, partition: rng.random_range(0..topic.partitions()) });
    }
    kinds
}

fn target(rng: &mut ChaCha8Rng, for_ms: std::ops::Range<u64>) -> Target {
    let agents: Vec<&'static str> = AGENTS.into_iter().chain(BUSY).collect();
    let agent = agents.choose(rng).copied().unwrap_or(AGENTS[0]);
    Target { agent, replica: rng.random_range(1..=REPLICAS), for_ms: rng.random_range(for_ms) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
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
        assert_ne!(Plan::draw(7).injections, Plan::draw(8).injections);
    }

    #[test]
    fn twenty_seeds_reach_every_failpoint_and_inject_every_kind() {
        let plans: Vec<_> = (1..=20).map(Plan::draw).collect();
        let reached: BTreeSet<_> =
            plans.iter().flat_map(|plan| &plan.failpoints).map(|setting| setting.failpoint).collect();
        let of_agents = Failpoint::ALL.iter().filter(|gap| !Failpoint::GATEWAY.contains(gap));
        assert_eq!(reached, of_agents.copied().collect());
        let kinds: BTreeSet<_> = plans
            .iter()
            .flat_map(|plan| &plan.injections)
            .map(|injection| std::mem::discriminant(&injection.kind))
            .map(|kind| format!("{kind:?}"))
            .collect();
        assert_eq!(kinds.len(), 9);
    }

    #[test]
    fn twenty_seeds_ask_for_everything_at_every_moment_and_repeat_it_in_both_ways() {
        let commands: Vec<_> = (1..=20).flat_map(|seed| Plan::draw(seed).commands).collect();
        let verbs: BTreeSet<_> =
            commands.iter().map(|one| format!("{:?}", std::mem::discriminant(&one.verb))).collect();
        assert_eq!(verbs.len(), 12);
        let moments: BTreeSet<_> = commands.iter().map(|one| format!("{:?}", one.moment)).collect();
        assert_eq!(moments.len(), 3);
        let repeats: BTreeSet<_> =
            commands.iter().flat_map(|one| &one.repeats).map(|repeat| repeat.same_event).collect();
        assert_eq!(repeats.len(), 2);
        assert!(commands.iter().any(|one| one.held_ms > 0));
    }

    #[test]
    fn twenty_seeds_disturb_each_receiver_in_each_way() {
        let troubles: Vec<_> = (1..=20).flat_map(|seed| Plan::draw(seed).troubles).collect();
        let kinds: BTreeSet<_> = troubles.iter().map(|one| one.kind.name()).collect();
        assert_eq!(kinds.len(), 4);
        let receivers: BTreeSet<_> = troubles.iter().map(|one| one.receiver).collect();
        assert_eq!(receivers.len(), 4);
        assert!(troubles.iter().any(|one| one.before == 0) && troubles.iter().any(|one| one.before > 0));
    }

    #[test]
    fn nobody_changes_which_incidents_the_first_shop_has() {
        use commands::Verb::{Merge, Reopen, Resolve, Split};
        for plan in (1..=20).map(Plan::draw) {
            let first = &plan.shops[0].environment;
            let mut own = plan.commands.iter().filter(|one| one.environment == *first);
            assert!(own.all(|one| !matches!(one.verb, Resolve | Reopen | Merge | Split)));
        }
    }
}
