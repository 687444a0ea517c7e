//! `detection tune`: what other budgets of false alarms would have made of a file.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use shared::events::anomaly::{Anomaly, Status};
use shared::ids::AnomalyId;

use super::input::{self, Progress};
use crate::config::{BUDGETS_A_WEEK, Settings};

use crate::partition::{At, Partition};

/// Most budgets that are tried at once: each keeps all series of the file.
const MAX_BUDGETS: usize = 16;
/// Kinds and series that are named for each budget.
const MAX_NAMED: usize = 3;
const WEEK_MS: f64 = 7.0 * 86_400_000.0;

/// Arguments of `detection tune`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// File as `detection replay` takes it, all series in the order in which their samples came; `-` is standard input.
    pub file: PathBuf,
    /// Budgets to compare, false alarms a week over all series; the configured one is added.
    #[arg(long, value_delimiter = ',', default_values_t = [0.1, 1.0, 10.0, 100.0])]
    pub budgets: Vec<f64>,
}

/// One budget, and what it has come to.
struct Trial {
    budget: f64,
    partition: Partition,
    /// Episodes that fire now.
    firing: HashSet<AnomalyId>,
    fired: u64,
    begun: u64,
    by_kind: BTreeMap<String, u64>,
    by_series: BTreeMap<String, u64>,
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    used: u64,
    dropped: u64,
    refused: u64,
}

/// Compares budgets over a file, and prints a table to standard output.
pub fn run(args: &Args, settings: &Settings) -> anyhow::Result<()> {
    tune(input::open(&args.file)?, std::io::stdout().lock(), &args.budgets, settings)
}

/// Compares budgets over lines of samples, in one pass.
pub fn tune(
    lines: impl BufRead,
    mut out: impl Write,
    budgets: &[f64],
    settings: &Settings,
) -> anyhow::Result<()> {
    let mut trials = trials(budgets, settings)?;
    let mut read = Read::default();
    let mut span: Option<(i64, i64)> = None;
    let mut progress = Progress::new();
    input::each_line(lines, |offset, line| {
        for (index, trial) in trials.iter_mut().enumerate() {
            let outcome = trial.partition.metrics(line, At { offset, timestamp_ms: None });
            outcome.anomalies.iter().for_each(|anomaly| trial.take(anomaly));
            if index == 0 {
                read.used += u64::from(outcome.used);
                read.dropped += outcome.dropped.total();
                read.refused += u64::from(outcome.refused.is_some());
                if let Some(newest) = trial.partition.newest_ms() {
                    span = Some((span.map_or(newest, |(oldest, _)| oldest), newest));
                }
            }
        }
        progress.show(|| format!("{} samples", read.used));
        Ok(())
    })?;
    progress.end();
    let span_ms = span.map_or(0, |(oldest, newest)| newest.saturating_sub(oldest)) as f64;
    write(&mut out, &trials, &read, span_ms, settings.false_alarms_a_week).context("writing")
}

fn trials(budgets: &[f64], settings: &Settings) -> anyhow::Result<Vec<Trial>> {
    let mut budgets = [budgets, &[settings.false_alarms_a_week]].concat();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    ensure!(budgets.len() <= MAX_BUDGETS, "at most {MAX_BUDGETS} budgets can be compared at once");
    ensure!(
        budgets.iter().all(|budget| BUDGETS_A_WEEK.contains(budget)),
        "a budget must be between 0.001 and 1000000"
    );
    let trial = |budget| {
        let settings = Settings { false_alarms_a_week: budget, partitions: 1, ..settings.clone() };
        Trial {
            budget,
            partition: Partition::new(0, Arc::new(settings)),
            firing: HashSet::new(),
            fired: 0,
            begun: 0,
            by_kind: BTreeMap::new(),
            by_series: BTreeMap::new(),
        }
    };
    Ok(budgets.into_iter().map(trial).collect())
}

impl Trial {
    fn take(&mut self, anomaly: &Anomaly) {
        self.begun += u64::from(anomaly.revision == 1);
        match anomaly.status {
            Status::Suspect => {}
            Status::Cleared => _ = self.firing.remove(&anomaly.anomaly_id),
            Status::Firing => {
                if self.firing.insert(anomaly.anomaly_id) {
                    self.fired += 1;
                    let series = format!("{} {}", anomaly.service, anomaly.metric);
                    *self.by_kind.entry(format!("{:?}", anomaly.kind).to_lowercase()).or_default() += 1;
                    *self.by_series.entry(series).or_default() += 1;
                }
            }
        }
    }
}

fn write(
    out: &mut impl Write,
    trials: &[Trial],
    read: &Read,
    span_ms: f64,
    configured: f64,
) -> std::io::Result<()> {
    let series = trials.first().map_or(0, |trial| trial.partition.series());
    writeln!(
        out,
        "{} samples of {series} series in {:.1} days; {} samples dropped, {} lines refused\n",
        read.used,
        7.0 * span_ms / WEEK_MS,
        read.dropped,
        read.refused
    )?;
    writeln!(out, "  budget a week  expected false  fired  suspected  fired most, by kind and by series")?;
    for trial in trials {
        let mark = if trial.budget.total_cmp(&configured).is_eq() { '*' } else { ' ' };
        let expected = trial.budget * span_ms / WEEK_MS;
        let suspected = trial.begun.saturating_sub(trial.fired);
        let most = [most(&trial.by_kind), most(&trial.by_series)];
        let most = if trial.fired == 0 { "-".to_owned() } else { most.join("; ") };
        writeln!(
            out,
            "{mark} {:>13}  {expected:>14.2}  {:>5}  {suspected:>9}  {most}",
            trial.budget, trial.fired
        )?;
    }
    writeln!(
        out,
        "\n* as configured. What fires beyond the expected number has a cause, or noise of a worse kind."
    )
}

/// Names the most frequent ones; of those that are equally frequent, in the order of their names.
fn most(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let named: Vec<String> =
        counts.iter().take(MAX_NAMED).map(|(name, count)| format!("{name} {count}")).collect();
    let more = counts.len().saturating_sub(MAX_NAMED);
    if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
}
