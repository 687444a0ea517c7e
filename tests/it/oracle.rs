//! One seed of the oracle; `make oracle` runs many.

use std::time::Duration;

use anyhow::{Result, ensure};
use stack::run::layout;
use tests::oracle::{self, plan::Plan};

#[tokio::test]
async fn each_step_has_exactly_one_effect_whatever_is_injected() -> Result<()> {
    let _alone = tests::alone().await?;
    let binaries = layout::root().join("target/oracle/debug");
    ensure!(
        binaries.join("detection").exists(),
        "the agents with failpoints are missing: run `make failpoints`"
    );
    let kept = layout::root().join("target/oracle");
    let plan = Plan::draw(2);
    let run = oracle::run(&plan, &binaries, &kept);
    let outcome = tokio::time::timeout(Duration::from_mins(9), run).await??;
    ensure!(outcome.violations.is_empty(), "the report is in {}: {outcome:#?}", kept.display());
    ensure!(
        outcome.redeliveries > 0 && outcome.incidents > 0,
        "nothing was redelivered or opened: {outcome:#?}"
    );
    Ok(())
}
