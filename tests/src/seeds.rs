//! Seeds of the oracles: which ones are run with which binaries, and how long one may take.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

/// Longest time of one seed, with the start and the stop of what it needs.
const LONGEST: Duration = Duration::from_mins(9);

/// Which seeds are run.
#[derive(Debug, Args)]
pub struct Seeds {
    /// How many seeds to run
    #[arg(long = "seeds", value_name = "SEEDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    count: u64,
    /// First seed
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// Folder with the binaries of the workspace, built with failpoints
    #[arg(long, default_value = "target/oracle/debug")]
    pub binaries: PathBuf,
}

impl Seeds {
    /// Returns their numbers.
    pub fn numbers(&self) -> Range<u64> {
        self.first_seed..self.first_seed.saturating_add(self.count)
    }
}

/// Runs one seed. Fails where it takes too long.
pub async fn limited<T>(seed: u64, run: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LONGEST, run)
        .await
        .with_context(|| format!("seed {seed} did not end within {} min", LONGEST.as_secs() / 60))?
        .with_context(|| format!("seed {seed}"))
}
