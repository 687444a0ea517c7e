//! `detection replay`: the same code over a file, for backtesting and benchmarks.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use shared::clock::from_ms;
use shared::events::Anomaly;
use shared::events::anomaly::Status;
use shared::ids::AnomalyId;

use super::input::{self, Progress};
use crate::config::Settings;

use crate::partition::{At, Partition};

/// Refusals that are spelled out; the rest is only counted.
const MAX_SPELLED_OUT: u64 = 5;

/// How decisions are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line, with a `score` of 1 where a series is abnormal for certain and 0 elsewhere.
    #[default]
    Jsonl,
    /// One line for people.
    Table,
}

/// Arguments of `detection replay`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// File with one sample (or array of samples) as JSON a line, in the order in which they came; `-` is standard
    /// input.
    pub file: PathBuf,
    /// How decisions are printed.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Adds to each decision the sentence that says why.
    #[arg(long)]
    pub explain: bool,
}

/// What a replay came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Samples that were used.
    pub used: u64,
    /// Samples that were dropped.
    pub dropped: u64,
    /// Lines that were refused.
    pub refused: u64,
    /// Decisions that a series is abnormal for certain.
    pub decisions: u64,
    /// Series.
    pub series: usize,
}

/// One decision: an episode has begun, has changed its status, or is certain.
#[derive(Debug, Serialize)]
struct Decision<'a> {
    ts_ms: i64,
    service: &'a str,
    metric: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dimensions: &'a BTreeMap<String, String>,
    score: u8,
    status: Status,
    evidence: f64,
    severity: shared::events::Severity,
    started_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a str>,
}

/// Replays a file to standard output, with progress on standard error if that is a terminal.
pub fn run(args: &Args, settings: Settings) -> anyhow::Result<()> {
    let out = BufWriter::new(io::stdout().lock());
    let started = Instant::now();
    let summary = replay(input::open(&args.file)?, out, args, settings)?;
    let seconds = started.elapsed().as_secs_f64().max(1e-9);
    eprintln!(
        "{} samples of {} series in {seconds:.1} s ({:.0} a second): {} decisions, {} samples dropped, {} lines \
         refused",
        summary.used,
        summary.series,
        summary.used as f64 / seconds,
        summary.decisions,
        summary.dropped,
        summary.refused,
    );
    Ok(())
}

/// Replays lines and writes the decisions.
pub fn replay(
    lines: impl BufRead,
    mut out: impl Write,
    args: &Args,
    settings: Settings,
) -> anyhow::Result<Summary> {
    // a file is all there is, however many partitions its topic had
    let mut partition = Partition::new(0, Arc::new(Settings { partitions: 1, ..settings }));
    let mut summary = Summary::default();
    let mut statuses = HashMap::new();
    let mut progress = Progress::new();
    input::each_line(lines, |offset, line| {
        // a file has no wall clock: its own times are taken as they are
        let outcome = partition.metrics(line, At { offset, timestamp_ms: None });
        summary.used += u64::from(outcome.used);
        summary.dropped += outcome.dropped.total();
        if let Some(refusal) = outcome.refused {
            summary.refused += 1;
            if summary.refused <= MAX_SPELLED_OUT {
                eprintln!("line {}: {refusal}", offset + 1);
            }
        }
        for anomaly in &outcome.anomalies {
            let Some(decision) = Decision::of(anomaly, &outcome.decided, &mut statuses, args.explain) else {
                continue;
            };
            summary.decisions += u64::from(decision.score);
            decision.write(&mut out, args.format).context("writing")?;
        }
        progress.show(|| {
            let Summary { used, decisions, .. } = summary;
            format!("{used} samples, {} series, {decisions} decisions", partition.series())
        });
        Ok(())
    })?;
    out.flush().context("writing")?;
    progress.end();
    summary.series = partition.series();
    Ok(summary)
}

impl<'a> Decision<'a> {
    /// Returns the decision that a revision stands for; none if it only repeats one. `statuses` are those of the
    /// episodes that are open.
    fn of(
        anomaly: &'a Anomaly,
        decided: &[AnomalyId],
        statuses: &mut HashMap<AnomalyId, Status>,
        explain: bool,
    ) -> Option<Self> {
        let is_decided = decided.contains(&anomaly.anomaly_id);
        let score = u8::from(is_decided && anomaly.status != Status::Cleared);
        let before = match anomaly.status {
            Status::Cleared => statuses.remove(&anomaly.anomaly_id),
            status => statuses.insert(anomaly.anomaly_id, status),
        };
        let is_news = is_decided || before != Some(anomaly.status);
        is_news.then(|| Self {
            ts_ms: anomaly.observed_at.as_millisecond(),
            service: &anomaly.service,
            metric: &anomaly.metric,
            dimensions: &anomaly.dimensions,
            score,
            status: anomaly.status,
            evidence: anomaly.evidence,
            severity: anomaly.severity,
            started_ms: anomaly.started_at.as_millisecond(),
            explanation: explain.then_some(anomaly.explanation.as_str()),
        })
    }

    fn write(&self, mut out: impl Write, format: Format) -> io::Result<()> {
        match format {
            Format::Jsonl => {
                serde_json::to_writer(&mut out, self)?;
                writeln!(out)
            }
            Format::Table => {
                let at = from_ms(self.ts_ms).strftime("%F %T");
                let status = self.status.to_string();
                let (severity, nats) = (self.severity.label(), self.evidence);
                write!(
                    out,
                    "{at}  {status:<8} {severity} {nats:>4.1}  {:<16} {:<24}",
                    self.service, self.metric
                )?;
                for (label, value) in self.dimensions {
                    write!(out, " {label}={value}")?;
                }
                writeln!(out, " {}", self.explanation.unwrap_or_default())
            }
        }
    }
}
