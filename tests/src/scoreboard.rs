//! Scoreboards: faults of the simulator go through the pipeline in one process, and what was published is compared with the truth.

pub mod chain;
pub mod investigation;
pub mod naive;
pub mod plan;
mod share;
pub mod simulation;

pub use plan::{Plan, Withheld};
pub use share::Share;
pub use simulation::{Announced, Run, Truth, play};

use clap::ValueEnum as _;
use simulator::Noise;

/// What a scoreboard plays.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// Seeds of each scenario and noise.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// Only scenarios with this in their name.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
    /// Only this noise.
    #[arg(long, value_enum)]
    pub noise: Option<Noise>,
}

impl Selection {
    /// Whether it leaves nothing out.
    pub fn is_complete(&self) -> bool {
        self.only.is_none() && self.noise.is_none() && self.first_seed == 1
    }

    /// Returns the seeds.
    pub fn seeds(&self) -> std::ops::Range<u64> {
        self.first_seed..self.first_seed + self.seeds
    }

    /// Returns the kinds of noise.
    pub fn noises(&self) -> impl Iterator<Item = Noise> {
        let all = Noise::value_variants().iter().copied().filter(|noise| *noise != Noise::Off);
        all.filter(|noise| self.noise.is_none_or(|only| only == *noise))
    }

    /// Returns those of some scenarios that are played.
    pub fn of(&self, plans: Vec<Plan>) -> Vec<Plan> {
        let is_wanted = |plan: &Plan| self.only.as_ref().is_none_or(|text| plan.name.contains(text.as_str()));
        plans.into_iter().filter(is_wanted).collect()
    }
}
