//! One seed of the oracle of the gateway; `make oracle-gateway` runs many.

use std::time::Duration;

use anyhow::{Result, ensure};
use stack::run::layout;
use tests::gateway_oracle::{self, plan::Plan};

#[tokio::test]
async fn no_acknowledged_point_is_lost_whatever_ends() -> Result<()> {
    let _alone = tests::alone().await?;
    let binaries = layout::root().join("target/oracle/debug");
    ensure!(binaries.join("gateway").exists(), "binaries with failpoints are missing: run `make failpoints`");
    let kept = layout::root().join("target/oracle-gateway");
    let plan = Plan::draw(1);
    let outcome =
        tokio::time::timeout(Duration::from_mins(5), gateway_oracle::run(&plan, &binaries, &kept)).await??;
    ensure!(outcome.violations.is_empty(), "the logs are in {}: {outcome:#?}", kept.display());
    ensure!(!outcome.repeats.is_empty() && outcome.points > 0, "nothing was disturbed: {outcome:#?}");
    Ok(())
}
