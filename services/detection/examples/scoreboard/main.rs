//! The scoreboard: `make score`. Runs detection over the evaluation kit's public NAB files (found by
//! `FIREWATCH_BENCH_DIR`), over 200 seeds of each of the simulator's scenarios and over healthy weeks under seven kinds
//! of noise, and writes `docs/scoreboard.md` and `target/score/summary.json`. `quick` as an argument runs a tenth of it.

#![allow(clippy::unwrap_used, reason = "shares the shop with the tests, which may fail")]

#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/fire.rs"]
mod fire;
mod kit;
mod naive;
mod rows;
#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/shop.rs"]
mod shop;

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use shared::events::fault::Scenario;
use simulator::schedule::Faults;

use shop::Noise;

const SCENARIOS: [Scenario; 7] = [
    Scenario::LatencySpike,
    Scenario::ErrorSpike,
    Scenario::DbConnections,
    Scenario::ConsumerLag,
    Scenario::BadDeployment,
    Scenario::CpuSaturation,
    Scenario::MemoryLeak,
];
const NOISES: [(&str, Noise); 7] = [
    ("uniform", Noise::Uniform),
    ("Gaussian", Noise::Gaussian),
    ("skewed", Noise::Skewed(0.4)),
    ("bursty", Noise::Bursty),
    ("autocorrelated, 0.5", Noise::Sluggish(0.5)),
    ("autocorrelated, 0.9", Noise::Sluggish(0.9)),
    ("seasonal: steep days, weekends at half load", Noise::Weekly),
];
const DAY_MS: i64 = 86_400_000;

fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "quick");
    let (seeds, days) = if quick { (20, 3) } else { (200, 7) };
    let mut page = "# Detection scoreboard\n\nWritten by `make score`; what was tried to get here is in `detection.md`.\n".to_owned();
    let nab = if let Some(folder) = std::env::var_os("FIREWATCH_BENCH_DIR") {
        kit::score(folder.as_ref(), &mut page)?
    } else {
        eprintln!("FIREWATCH_BENCH_DIR is not set: the evaluation kit is NOT scored");
        page.push_str("\nThe evaluation kit was not found, and not scored.\n");
        Value::Null
    };
    let scenarios = scenarios(seeds, &mut page);
    let cases = rows::score(&mut page);
    let healthy = healthy(days, &mut page);
    let budgets = budgets(days, &mut page);
    std::fs::create_dir_all("target/score")?;
    let summary = json!({ "nab_dev": nab, "scenarios": scenarios, "healthy_false_episodes_a_day": healthy.0,
        "healthy_decisions_a_day": healthy.1, "naive_false_runs_a_day": healthy.2, "single_cases": cases,
        "false_episodes_a_day_by_budget": budgets });
    std::fs::write("target/score/summary.json", serde_json::to_vec_pretty(&summary)?)?;
    std::fs::write("docs/scoreboard.md", &page).context("writing docs/scoreboard.md")?;
    print!("{page}");
    Ok(())
}

/// Runs each scenario twice in a row, a minute apart, with `seeds` seeds.
fn scenarios(seeds: u64, page: &mut String) -> Value {
    let _ = write!(
        page,
        "\n## Scenarios of the simulator\n\n{seeds} seeds each, Gaussian noise, 10 s a sample, 60 samples before the \
         fault. Delay in samples from the first one with the fault in it to the culprit's first `firing`.\n\n\
         | scenario | found | p50 | p95 | found again 60 s after recovery | fired before the fault |\n|---|---|---|---|---|---|\n"
    );
    let mut all = serde_json::Map::new();
    for scenario in SCENARIOS {
        eprintln!("{scenario:?}");
        let lasts = simulator::fault::duration(scenario) as i64;
        let own = (simulator::fault::culprit(scenario).name(), fire::metric(scenario));
        let (mut delays, mut again, mut early) = (Vec::new(), 0, 0);
        for seed in 0..seeds {
            let noise = simulator::noise::Noise::Gaussian;
            let run = fire::watch(Faults::Repeat(Some(scenario)), noise, seed, 60, 6, 60 + 2 * lasts + 12);
            let (first, second) = (run.burns[0], run.burns[1]);
            early += usize::from(run.fired(0).values().any(|at| *at < first.0));
            if let Some(at) = run.fired(first.0).get(&own).filter(|at| **at < second.0) {
                delays.push((at - first.0) / fire::INTERVAL_MS);
            }
            again += usize::from(run.fired(second.0).contains_key(&own));
        }
        delays.sort_unstable();
        let at = |part: f64| delays.get((delays.len() as f64 * part) as usize).copied();
        let show = |delay: Option<i64>| delay.map_or("-".to_owned(), |delay| delay.to_string());
        let (found, p50, p95) = (delays.len(), at(0.5), at(0.95));
        let _ = writeln!(
            page,
            "| {scenario:?} | {found} of {seeds} | {} | {} | {again} of {seeds} | {early} |",
            show(p50),
            show(p95)
        );
        all.insert(
            format!("{scenario:?}"),
            json!({ "seeds": seeds, "found": found, "delay_p50": p50, "delay_p95": p95, "found_again": again }),
        );
    }
    Value::Object(all)
}

/// Runs the healthy shop under each noise. Returns episodes that fired, decisions, and runs of the naive way, a day.
fn healthy(days: i64, page: &mut String) -> (Value, Value, Value) {
    let _ = write!(
        page,
        "\n## Healthy weeks\n\nSix services with seven series each that follow the day, {days} days. A day and over all 42 series: \
         episodes that began to fire / decisions that a series is abnormal for certain (`score` 1 of `detection replay`) / \
         runs of alarms of the naive way (three deviations of the last 240 samples).\n\n\
         | noise | 10 s a sample | 1 min | 5 min |\n|---|---|---|---|\n"
    );
    let mut all = <[serde_json::Map<String, Value>; 3]>::default();
    for (name, noise) in NOISES {
        let mut row = <[serde_json::Map<String, Value>; 3]>::default();
        let _ = write!(page, "| {name} |");
        for interval_s in [10, 60, 300] {
            eprintln!("{name}, {interval_s} s");
            let samples = days * DAY_MS / (interval_s * 1000);
            let ours = shop::quiet(noise, interval_s * 1000, samples, 3);
            let naive = naive::quiet(noise, interval_s * 1000, samples, 3);
            let counts = [ours.firing, ours.decisions, naive].map(|count| f64::from(count) / days as f64);
            let _ = write!(page, " {:.2} / {:.2} / {:.0} |", counts[0], counts[1], counts[2]);
            for (row, count) in row.iter_mut().zip(counts) {
                row.insert(format!("{interval_s}s"), thousandths(count));
            }
        }
        page.push('\n');
        for (all, row) in all.iter_mut().zip(row) {
            all.insert(name.to_owned(), Value::Object(row));
        }
    }
    let [firing, decisions, naive] = all.map(Value::Object);
    (firing, decisions, naive)
}

/// Runs the healthy shop with other budgets of false alarms.
fn budgets(days: i64, page: &mut String) -> Value {
    page.push_str(
        "\n## Budgets\n\nThe same weeks with `false_alarms_a_week` as in the head of the column: episodes a day that fired at 10 s / 1 \
         min / 5 min.\n\n| noise | 0.1 | 1 | 10 | 100 |\n|---|---|---|---|---|\n",
    );
    let mut all = serde_json::Map::new();
    for (name, noise) in NOISES {
        let mut row = serde_json::Map::new();
        let _ = write!(page, "| {name} |");
        for budget in [0.1, 1.0, 10.0, 100.0] {
            eprintln!("{name}, budget {budget}");
            let fired = [10_000, 60_000, 300_000].map(|interval_ms| {
                let alarms = shop::quiet_within(budget, noise, interval_ms, days * DAY_MS / interval_ms, 3);
                f64::from(alarms.firing) / days as f64
            });
            let _ = write!(page, " {:.2} / {:.2} / {:.2} |", fired[0], fired[1], fired[2]);
            row.insert(budget.to_string(), json!(fired.map(thousandths)));
        }
        page.push('\n');
        all.insert(name.to_owned(), Value::Object(row));
    }
    Value::Object(all)
}

fn thousandths(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}
