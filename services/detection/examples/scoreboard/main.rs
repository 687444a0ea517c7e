//! The scoreboard: `make score`. Runs detection over the evaluation kit's public NAB files (found by
//! `FIREWATCH_BENCH_DIR`), over 200 seeds of each of the simulator's scenarios and over healthy weeks under six kinds
//! of noise, and writes `docs/scoreboard.md` and `target/score/summary.json`. `quick` as an argument runs a tenth of it.

#![allow(clippy::unwrap_used, reason = "shares the shop with the tests, which may fail")]

#[allow(dead_code, unreachable_pub, reason = "the tests use more of it")]
#[path = "../../tests/it/fire.rs"]
mod fire;
mod kit;
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
const NOISES: [(&str, Noise); 6] = [
    ("uniform", Noise::Uniform),
    ("Gaussian", Noise::Gaussian),
    ("skewed", Noise::Skewed(0.4)),
    ("bursty", Noise::Bursty),
    ("autocorrelated, 0.5", Noise::Sluggish(0.5)),
    ("autocorrelated, 0.9", Noise::Sluggish(0.9)),
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
    let healthy = healthy(days, &mut page);
    std::fs::create_dir_all("target/score")?;
    let summary = json!({ "nab_dev": nab, "scenarios": scenarios, "healthy_false_episodes_a_day": healthy });
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

/// Runs the healthy shop under each noise.
fn healthy(days: i64, page: &mut String) -> Value {
    let _ = write!(
        page,
        "\n## Healthy weeks\n\nSix services with seven series each that follow the day, {days} days. Episodes a day that \
         began to fire (`firing`), over all 42 series; in brackets those that were only suspected.\n\n\
         | noise | 10 s a sample | 1 min | 5 min |\n|---|---|---|---|\n"
    );
    let mut all = serde_json::Map::new();
    for (name, noise) in NOISES {
        let mut row = serde_json::Map::new();
        let _ = write!(page, "| {name} |");
        for interval_s in [10, 60, 300] {
            eprintln!("{name}, {interval_s} s");
            let alarms = shop::quiet(noise, interval_s * 1000, days * DAY_MS / (interval_s * 1000), 3);
            let a_day = |count: u32| f64::from(count) / days as f64;
            let (firing, suspects) = (a_day(alarms.firing), a_day(alarms.suspects));
            let _ = write!(page, " {firing:.2} ({suspects:.1}) |");
            row.insert(format!("{interval_s}s"), json!((firing * 1000.0).round() / 1000.0));
        }
        page.push('\n');
        all.insert(name.to_owned(), Value::Object(row));
    }
    Value::Object(all)
}
