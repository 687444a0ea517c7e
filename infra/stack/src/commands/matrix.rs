//! `stack demo-matrix`: the demo with default settings, once for each scenario and seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use shared::clock::{Clock, SystemClock};
use shared::events::fault::Scenario;
use shared::text::format::counted;
use stack::run::layout;
use stack::run::progress::say;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Longest time for one run, its start included.
const RUN: Duration = Duration::from_mins(10);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seeds for each scenario on an otherwise idle machine
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Seeds for each scenario with a busy loop on every core
    #[arg(long, default_value_t = 2)]
    busy_seeds: u64,
    /// Runs at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    parallel: u32,
    /// Scenario; otherwise all of the rotation
    #[arg(long = "scenario", value_parser = super::fault)]
    scenarios: Vec<Scenario>,
    /// First seed; otherwise taken from the time
    #[arg(long)]
    first_seed: Option<u64>,
    /// Folder for the summary and the logs of runs that failed
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

/// Load of the machine beside the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    Quiet,
    Busy,
}

/// One run of the demo.
#[derive(Debug, Clone, Serialize)]
struct Run {
    scenario: Scenario,
    seed: u64,
    load: Load,
    /// Whether the demo ended with success.
    succeeded: bool,
    /// How it ended, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The facts that the demo wrote; null if it wrote none.
    facts: Value,
}

impl Run {
    fn number(&self, fact: &str) -> Option<f64> {
        self.facts[fact].as_f64()
    }

    fn is_wrong(&self) -> bool {
        self.facts["wrong_cause_at_end"].as_bool().unwrap_or(true)
    }
}

/// Median and 95th percentile of a time over all runs that have it, seconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        // nearest rank
        let at = |share: f64| {
            let rank = (share * values.len() as f64).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied()
        };
        Some(Self { p50: at(0.5)?, p95: at(0.95)? })
    }
}

#[derive(Debug, Serialize)]
struct Summary {
    first_seed: u64,
    runs: usize,
    failed: usize,
    wrong_cause_at_end: usize,
    /// Runs by the number of times that the published cause changed.
    cause_changes: BTreeMap<u64, usize>,
    opened_s: Option<Quantiles>,
    first_mail_s: Option<Quantiles>,
    resolved_s: Option<Quantiles>,
    /// The outcome of each run.
    each: Vec<Run>,
}

impl Summary {
    fn of(first_seed: u64, each: Vec<Run>) -> Self {
        let quantiles = |fact| Quantiles::of(each.iter().filter_map(|run| run.number(fact)).collect());
        let mut cause_changes = BTreeMap::new();
        for changes in each.iter().filter_map(|run| run.facts["cause_changes"].as_u64()) {
            *cause_changes.entry(changes).or_default() += 1;
        }
        Self {
            first_seed,
            runs: each.len(),
            failed: each.iter().filter(|run| !run.succeeded).count(),
            wrong_cause_at_end: each.iter().filter(|run| run.is_wrong()).count(),
            cause_changes,
            opened_s: quantiles("opened_s"),
            first_mail_s: quantiles("first_mail_s"),
            resolved_s: quantiles("resolved_s"),
            each,
        }
    }
}

/// Runs the matrix. Succeeds if every run does.
pub(crate) async fn matrix(arguments: &Arguments) -> Result<ExitCode> {
    let first_seed = arguments.first_seed.unwrap_or_else(|| SystemClock.now().as_second().unsigned_abs());
    let out = layout::root().join(&arguments.out);
    let runs = out.join("runs");
    if runs.exists() {
        std::fs::remove_dir_all(&runs).with_context(|| format!("emptying {}", runs.display()))?;
    }
    std::fs::create_dir_all(&runs).with_context(|| format!("creating {}", runs.display()))?;
    let parts = [(Load::Quiet, arguments.seeds), (Load::Busy, arguments.busy_seeds)];
    let scenarios: &[Scenario] =
        if arguments.scenarios.is_empty() { &Scenario::ROTATION } else { &arguments.scenarios };
    let all = scenarios.len() as u64 * (arguments.seeds + arguments.busy_seeds);
    say(&format!("{all} runs, {} at a time, first seed {first_seed}", arguments.parallel));
    let mut each = Vec::new();
    let mut seed = first_seed;
    for (load, seeds) in parts {
        let _burners = if load == Load::Busy && seeds > 0 { burn()? } else { Vec::new() };
        let mut cases = Vec::new();
        for _ in 0..seeds {
            for scenario in scenarios {
                cases.push((*scenario, seed));
                seed += 1;
            }
        }
        let finished = tokio::select! {
            finished = play(cases, load, arguments.parallel, &runs) => finished?,
            interrupted = super::interrupted() => return interrupted.map(|()| ExitCode::FAILURE),
        };
        each.extend(finished);
    }
    each.sort_by_key(|run| run.seed);
    let summary = Summary::of(first_seed, each);
    let file = out.join("summary.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&summary)?)?;
    print(&summary);
    say(&format!("the figures and the facts of each run are in {}", file.display()));
    Ok(ExitCode::from(u8::from(summary.failed > 0)))
}

/// Runs all cases, `parallel` at a time.
async fn play(cases: Vec<(Scenario, u64)>, load: Load, parallel: u32, dir: &Path) -> Result<Vec<Run>> {
    let turns = Arc::new(Semaphore::new(parallel as usize));
    let mut playing = JoinSet::new();
    for (scenario, seed) in cases {
        let (turns, dir) = (turns.clone(), dir.join(format!("{scenario}-{seed}")));
        playing.spawn(async move {
            let _turn = turns.acquire().await?;
            let begun = Instant::now();
            // a run that cannot be started counts as failed; the others continue
            let run = one(scenario, seed, load, &dir).await.unwrap_or_else(|error| Run {
                scenario,
                seed,
                load,
                succeeded: false,
                problem: Some(format!("{error:#}")),
                facts: Value::Null,
            });
            say(&line(&run, begun.elapsed()));
            anyhow::Ok(run)
        });
    }
    let mut runs = Vec::new();
    while let Some(run) = playing.join_next().await {
        runs.push(run??);
    }
    Ok(runs)
}

/// Runs the demo once, as `DEMO_ONCE=1 make demo` does. Keeps the files of a failed run only.
async fn one(scenario: Scenario, seed: u64, load: Load, dir: &Path) -> Result<Run> {
    std::fs::create_dir_all(dir)?;
    let log = dir.join("demo.log");
    let output = std::fs::File::create(&log)?;
    let mut demo = Command::new(std::env::current_exe()?)
        .args(["demo", "--once", "--scenario", &scenario.to_string(), "--seed", &seed.to_string(), "--dir"])
        .arg(dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true)
        .spawn()
        .context("starting the demo")?;
    let problem = if let Ok(status) = tokio::time::timeout(RUN, demo.wait()).await {
        let status = status?;
        (!status.success()).then(|| problem(dir).unwrap_or_else(|| stack::parts::process::describe(status)))
    } else {
        terminate(&mut demo).await?;
        Some(format!("did not end within {} min", RUN.as_secs() / 60))
    };
    let succeeded = problem.is_none();
    let facts = facts(dir).unwrap_or(Value::Null);
    if succeeded {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(Run { scenario, seed, load, succeeded, problem, facts })
}

fn facts(dir: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(dir.join("summary.json")).ok()?).ok()
}

/// Returns what the demo reported as missing.
fn problem(dir: &Path) -> Option<String> {
    let facts = facts(dir)?;
    let missing: Vec<&str> = facts["missing"].as_array()?.iter().filter_map(Value::as_str).collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

/// Terminates the demo, which stops what it started.
async fn terminate(demo: &mut Child) -> Result<()> {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    if let Some(pid) = demo.id() {
        kill(Pid::from_raw(pid as i32), Signal::SIGTERM)?;
    }
    if tokio::time::timeout(Duration::from_secs(30), demo.wait()).await.is_err() {
        bail!("a demo did not end within 30 s of SIGTERM");
    }
    Ok(())
}

/// Keeps every core busy until the result is dropped.
fn burn() -> Result<Vec<Child>> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (0..cores)
        .map(|_| {
            let burner = Command::new("sh").args(["-c", "while :; do :; done"]).kill_on_drop(true).spawn();
            burner.context("starting a busy loop")
        })
        .collect()
}

fn line(run: &Run, took: Duration) -> String {
    let seconds = |fact| run.number(fact).map_or_else(|| "-".to_owned(), |value| format!("{value:.1} s"));
    let outcome = match &run.problem {
        None => "ok".to_owned(),
        Some(problem) => format!("FAILED: {problem}"),
    };
    format!(
        "{:<16} seed {} {}: opened {}, first mail {}, resolved {}, {}, {} s in total, {outcome}",
        run.scenario.to_string(),
        run.seed,
        if run.load == Load::Busy { "busy" } else { "quiet" },
        seconds("opened_s"),
        seconds("first_mail_s"),
        seconds("resolved_s"),
        counted(run.facts["cause_changes"].as_u64().unwrap_or_default() as usize, "change") + " of cause",
        took.as_secs(),
    )
}

fn print(summary: &Summary) {
    let quantiles = |name: &str, quantiles: Option<Quantiles>| {
        if let Some(Quantiles { p50, p95 }) = quantiles {
            println!("  {name:<20} p50 {p50:.1} s, p95 {p95:.1} s");
        }
    };
    println!("  {:<20} {}", "runs", summary.runs);
    println!("  {:<20} {}", "failed", summary.failed);
    println!("  {:<20} {}", "wrong cause at end", summary.wrong_cause_at_end);
    let changes: Vec<String> = summary
        .cause_changes
        .iter()
        .map(|(changes, runs)| format!("{changes} in {}", counted(*runs, "run")))
        .collect();
    println!("  {:<20} {}", "changes of cause", changes.join(", "));
    quantiles("opened", summary.opened_s);
    quantiles("first mail", summary.first_mail_s);
    quantiles("resolved", summary.resolved_s);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_runs_without_facts_as_wrong_and_leaves_them_out_of_times() {
        let run = |succeeded, facts| Run {
            scenario: Scenario::MemoryLeak,
            seed: 1,
            load: Load::Quiet,
            succeeded,
            problem: None,
            facts,
        };
        let good = |opened: f64, changes: u64| {
            let facts = serde_json::json!({
                "opened_s": opened, "wrong_cause_at_end": false, "cause_changes": changes,
            });
            run(true, facts)
        };
        let summary = Summary::of(1, vec![good(1.0, 0), good(3.0, 1), good(2.0, 0), run(false, Value::Null)]);
        assert_eq!((summary.runs, summary.failed, summary.wrong_cause_at_end), (4, 1, 1));
        assert_eq!(summary.cause_changes, BTreeMap::from([(0, 2), (1, 1)]));
        let opened = summary.opened_s.unwrap();
        assert_eq!((opened.p50, opened.p95), (2.0, 3.0));
        assert!(summary.resolved_s.is_none());
    }
}
