//! A tenth of what `make load` runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::load::{self, burst::Size};

#[tokio::test]
async fn a_burst_is_borne_within_memory_without_loss_and_in_plain_sight() -> Result<()> {
    let _alone = tests::alone().await?;
    let run = load::run(Size::new(100_000, 1_000)?, None);
    let outcome = tokio::time::timeout(Duration::from_mins(8), run).await??;
    ensure!(outcome.violations.is_empty(), "{outcome:#?}");
    Ok(())
}
