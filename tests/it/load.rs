//! A tenth of the burst of `make load`, and of the steady rates of anomalies and commands after it.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::load::burst::Size;
use tests::load::commands::Commands;
use tests::load::{self, pace::Pace};

#[tokio::test]
async fn a_burst_keeps_memory_bounded_loses_nothing_and_shows_in_metrics() -> Result<()> {
    let _alone = tests::alone().await?;
    let people = Commands { incidents: 24, per_second: 20, seconds: 5 };
    let run = load::run(Size::new(100_000, 1_000)?, Pace { per_second: 50, seconds: 10 }, people, None);
    let outcome = tokio::time::timeout(Duration::from_mins(8), run).await??;
    ensure!(outcome.violations.is_empty(), "{outcome:#?}");
    Ok(())
}
