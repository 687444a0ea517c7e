//! The page and the summary: all tables, in their order.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{budgets, cases, families, kit, later, logs, scenarios, seeds, weeks};

/// Runs everything, or a tenth of it, and writes it down; the families alone are only printed.
pub(crate) fn write(quick: bool, families_only: bool) -> Result<()> {
    if families_only {
        let mut page = String::new();
        families::score(quick, &mut page);
        print!("{page}");
        return Ok(());
    }
    let (runs, days, others) = if quick { (20, 3, 1) } else { (200, 7, 10) };
    let mut page = "# Detection scoreboard\n\nWritten by `make score`; what was tried to get here is in `detection.md`.\n".to_owned();
    let nab = kit::score(&mut page)?;
    let families = families::score(quick, &mut page);
    let scenarios = scenarios::score(runs, &mut page);
    let cases = cases::score(&mut page);
    let weeks = weeks::score(days, &mut page);
    let others = seeds::score(days, others, &mut page);
    let later = later::score(quick, &mut page);
    let budgets = budgets::score(days, &mut page);
    let logs = logs::score(&mut page);
    let summary = json!({
        "nab_dev": nab,
        "families": families,
        "scenarios": scenarios,
        "single_cases": cases.samples,
        "silence_seconds": cases.seconds,
        "healthy_false_episodes_a_day": weeks.fired,
        "healthy_decisions_a_day": weeks.decided,
        "naive_false_runs_a_day": weeks.naive,
        "healthy_by_detector": weeks.by_detector,
        "healthy_by_detector_without_deployments": weeks.by_detector_undeployed,
        "healthy_other_weeks": others,
        "healthy_deployments": weeks.deployments,
        "healthy_week_by_week": later,
        "false_episodes_a_day_by_budget": budgets,
        "logs": logs,
    });
    std::fs::create_dir_all("target/score")?;
    std::fs::write("target/score/summary.json", serde_json::to_vec_pretty(&summary)?)?;
    std::fs::write("docs/scoreboard.md", &page).context("writing docs/scoreboard.md")?;
    print!("{page}");
    Ok(())
}
