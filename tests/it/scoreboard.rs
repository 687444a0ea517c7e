//! The scoreboard of investigation on a few seeds, without parts outside the process.

use anyhow::{Context as _, Result, ensure};
use simulator::Noise;
use tests::scoreboard::investigation::page::{Group, Row, Unfounded, render};
use tests::scoreboard::investigation::{Tally, outcome};
use tests::scoreboard::plan;

const SEEDS: u64 = 2;

fn play(group: Group, name: &str) -> Result<Row> {
    let plans = match group {
        Group::Visible => plan::all(),
        Group::Quiet => vec![plan::quiet()],
        Group::Invisible => plan::invisible(),
    };
    let plan = plans.into_iter().find(|plan| plan.name == name).context("no such scenario")?;
    let mut tally = Tally::default();
    for seed in 1..=SEEDS {
        tally.add(&outcome(&plan, Noise::Gaussian, seed)?);
    }
    Ok(Row { group, scenario: plan.name, noise: Noise::Gaussian, tally })
}

#[test]
fn the_cause_of_a_visible_fault_is_found_with_checked_claims() -> Result<()> {
    let row = play(Group::Visible, "single: error-spike")?;
    let tally = &row.tally;
    ensure!(tally.service.all == SEEDS as u32 && tally.service.hits == tally.service.all, "{tally:#?}");
    ensure!(tally.category.hits == tally.category.all, "{tally:#?}");
    ensure!(tally.verified > 0 && tally.dropped == 0, "{tally:#?}");
    ensure!(tally.chain.all > 0 && tally.chain.hits == tally.chain.all, "{tally:#?}");
    ensure!(tally.results >= tally.incidents && tally.incidents > 0, "{tally:#?}");
    let page = render(&[row], &Unfounded::default(), SEEDS);
    ensure!(page.contains("| single: error-spike, gaussian | 1.000"), "{page}");
    Ok(())
}

#[test]
fn the_service_of_an_unwatched_fault_is_not_named() -> Result<()> {
    let Row { tally, .. } = play(Group::Invisible, "service unwatched: error-spike")?;
    ensure!(tally.with_incident > 0, "its callers show the fault: {tally:#?}");
    ensure!(tally.service.hits == 0, "a service that reports nothing is named: {tally:#?}");
    Ok(())
}

#[test]
fn a_run_without_a_fault_has_no_fault_to_be_judged() -> Result<()> {
    let Row { tally, .. } = play(Group::Quiet, "no fault")?;
    ensure!(tally.service.all == 0 && tally.seeds == SEEDS as u32, "{tally:#?}");
    ensure!(tally.unfounded == tally.incidents, "{tally:#?}");
    Ok(())
}
