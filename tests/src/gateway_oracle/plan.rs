//! What happens to the gateway and to Kafka in a seed. Pure: a seed always draws the same plan.

use std::ops::Range;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use shared::failpoint::Failpoint;

/// Replicas of the gateway.
pub const REPLICAS: usize = 2;
/// Starts of each replica for which a failpoint is drawn.
const STARTS: usize = 6;

/// A failpoint at which a replica is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The failpoint.
    pub failpoint: Failpoint,
    /// How often the replica passes it before.
    pub passes: u32,
    /// How long the replica waits at it before it is killed, milliseconds.
    pub delay_ms: u64,
}

impl Gap {
    /// Returns the value of the variable `FAILPOINTS`.
    pub fn variable(self) -> String {
        format!("{}={}*off->return({})", self.failpoint.name(), self.passes, self.delay_ms)
    }
}

/// What is done to a replica of the gateway from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP for a time, milliseconds.
    Hold(u64),
}

/// What is done to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It is killed.
    Kill,
    /// It is stopped in an orderly way.
    Stop,
    /// Its files cannot grow any more.
    FullDisk,
}

/// Something that is done after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Step<T> {
    /// Time since the step before, milliseconds.
    pub after_ms: u64,
    /// How long it lasts, milliseconds: a replica or a broker that has ended is started again then.
    pub for_ms: u64,
    /// What is done.
    pub what: T,
}

/// What a seed stands for. The steps of each list follow one another; the lists run side by side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Failpoints, by replica and start.
    pub gaps: Vec<Vec<Option<Gap>>>,
    /// What is done to replicas, each with the number of the replica.
    pub harms: Vec<Step<(usize, Harm)>>,
    /// What is done to Kafka.
    pub outages: Vec<Step<Outage>>,
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let gaps = (0..REPLICAS).map(|_| (0..STARTS).map(|_| gap(&mut rng)).collect()).collect();
        let harms = (0..rng.random_range(4..=6))
            .map(|_| {
                let what = (rng.random_range(0..REPLICAS), harm(&mut rng));
                step(&mut rng, 300..4_000, 0..1_500, what)
            })
            .collect();
        let mut outages = [if rng.random() { Outage::Kill } else { Outage::Stop }, Outage::FullDisk];
        outages.shuffle(&mut rng);
        let outages = outages.map(|what| step(&mut rng, 1_500..5_000, 1_000..6_000, what)).to_vec();
        Self { seed, gaps, harms, outages }
    }

    /// Returns the failpoint of a replica at one of its starts.
    pub fn gap(&self, replica: usize, start: usize) -> Option<Gap> {
        *self.gaps.get(replica)?.get(start)?
    }
}

fn gap(rng: &mut ChaCha8Rng) -> Option<Gap> {
    let failpoint = Failpoint::GATEWAY[rng.random_range(0..Failpoint::GATEWAY.len())];
    let (passes, delay_ms) = (rng.random_range(0..400), rng.random_range(0..800));
    rng.random_bool(0.7).then_some(Gap {
        failpoint,
        passes,
        delay_ms: if delay_ms < 400 { 0 } else { delay_ms },
    })
}

fn harm(rng: &mut ChaCha8Rng) -> Harm {
    match rng.random_range(0..10) {
        0..6 => Harm::Kill,
        6..8 => Harm::Terminate,
        _ => Harm::Hold(rng.random_range(500..7_000)),
    }
}

fn step<T>(rng: &mut ChaCha8Rng, after_ms: Range<u64>, for_ms: Range<u64>, what: T) -> Step<T> {
    Step { after_ms: rng.random_range(after_ms), for_ms: rng.random_range(for_ms), what }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn twenty_seeds_reach_every_gap_and_draw_every_harm_and_outage() {
        let plans: Vec<_> = (1..=20).map(Plan::draw).collect();
        assert_eq!(plans[6], Plan::draw(7));
        let gaps: BTreeSet<_> = plans
            .iter()
            .flat_map(|plan| plan.gaps.iter().flatten().flatten())
            .map(|gap| gap.failpoint)
            .collect();
        assert_eq!(gaps, Failpoint::GATEWAY.into());
        let harms: BTreeSet<_> = plans
            .iter()
            .flat_map(|plan| &plan.harms)
            .map(|step| (step.what.0, format!("{:?}", std::mem::discriminant(&step.what.1))))
            .collect();
        assert_eq!(harms.len(), REPLICAS * 3);
        let outages: BTreeSet<_> =
            plans.iter().flat_map(|plan| &plan.outages).map(|step| format!("{:?}", step.what)).collect();
        assert_eq!(outages.len(), 3);
    }
}
