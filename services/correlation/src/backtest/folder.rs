//! One case as a folder holds it: `metrics.jsonl`, `topology.json`, `alert.json` and, if there are any, `evidence.jsonl`
//! and `deployments.jsonl`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use shared::events::Deployment;

use super::table::Samples;
use super::{Sample, lines, topology};
use crate::cause::family::Family;
use crate::cause::normal::JUST_BEFORE_ROWS;
use crate::cause::{Alert, Case, Deployed, Evidence, Minutes, Series};

/// Most rows of spans and log counts of a file.
const MAX_EVIDENCE: usize = 1_000_000;
/// Spans and log counts are history if their minute begins at least this long before the alert.
const HISTORY_MS: i64 = 60_000;
/// Most changes of a file.
const MAX_DEPLOYMENTS: usize = 100_000;
/// Most that is read of a file that is one document, bytes.
const MAX_DOCUMENT: u64 = 16 << 20;

/// How a folder is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Rows before the alert that are not history: values since the alert must be worse than these as well.
    pub before_rows: usize,
}

impl Default for Reading {
    fn default() -> Self {
        Self { before_rows: JUST_BEFORE_ROWS }
    }
}

#[derive(Debug, Deserialize)]
struct AlertFile {
    ts_ms: i64,
    service: String,
    metric: Option<String>,
}

/// Reads a case.
pub fn read(folder: &Path, reading: Reading) -> anyhow::Result<Case> {
    let topology = document(&folder.join("topology.json"), topology)?;
    let alert: AlertFile = document(&folder.join("alert.json"), |text| Ok(serde_json::from_str(text)?))?;
    let path = folder.join("metrics.jsonl");
    let mut samples = Samples::default();
    lines::each(open(&path)?, |sample: Result<Sample, _>| samples.add(sample?))
        .with_context(|| shown(&path))?;
    let table = samples.table().with_context(|| shown(&path))?;
    let alert_at = table.stamps.partition_point(|&stamp| stamp <= alert.ts_ms).saturating_sub(1);
    let begin = alert_at.saturating_sub(reading.before_rows);
    let series = table.columns.into_iter().map(|(service, metric, mut values)| {
        let window = values.split_off(begin);
        Series { family: Family::of(&metric), service, metric, base: values, window }
    });
    let path = folder.join("deployments.jsonl");
    let mut deployments = if path.exists() { self::deployments(&path)? } else { Vec::new() };
    deployments.retain(|deployed| deployed.ts_ms <= alert.ts_ms);
    Ok(Case {
        deployments,
        services: topology.services,
        edges: topology.edges,
        alert: Alert { ts_ms: alert.ts_ms, service: alert.service, metric: alert.metric },
        series: series.collect(),
        alert_row: alert_at - begin,
        evidence: evidence(&folder.join("evidence.jsonl"))?.unwrap_or_default(),
    })
}

/// Reads what was known of spans and logs before the alert of `case`; later rows of the files are left out.
pub fn history(files: &[impl AsRef<Path>], case: &Case) -> anyhow::Result<Minutes> {
    let limit = case.alert.ts_ms.saturating_sub(HISTORY_MS);
    let mut minutes = Minutes::default();
    for file in files {
        let file = file.as_ref();
        let rows = evidence(file)?.with_context(|| format!("{}: no such file", file.display()))?;
        minutes.extend(rows.iter().filter(|row| row.ts_ms() < limit));
    }
    Ok(minutes)
}

/// Reads rows of spans and log counts; none if the file does not exist.
pub fn evidence(path: &Path) -> anyhow::Result<Option<Vec<Evidence>>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut rows = Vec::new();
    lines::each(open(path)?, |row: Result<Evidence, _>| {
        anyhow::ensure!(rows.len() < MAX_EVIDENCE, "more than {MAX_EVIDENCE} rows");
        rows.push(row?);
        Ok(())
    })
    .with_context(|| shown(path))?;
    Ok(Some(rows))
}

#[derive(Debug, Deserialize)]
struct DeploymentRow {
    ts_ms: i64,
    service: String,
    #[serde(default)]
    change_type: String,
}

/// Reads changes that were rolled out; services that were taken out of operation are left out.
pub fn deployments(path: &Path) -> anyhow::Result<Vec<Deployed>> {
    let mut deployments = Vec::new();
    lines::each(open(path)?, |row: Result<DeploymentRow, _>| {
        let DeploymentRow { ts_ms, service, change_type } = row?;
        anyhow::ensure!(deployments.len() < MAX_DEPLOYMENTS, "more than {MAX_DEPLOYMENTS} rows");
        if !change_type.eq_ignore_ascii_case(Deployment::RETIRE) {
            deployments.push(Deployed { ts_ms, service });
        }
        Ok(())
    })
    .with_context(|| shown(path))?;
    Ok(deployments)
}

fn document<T>(path: &Path, parse: impl FnOnce(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(open(path)?, MAX_DOCUMENT), &mut text);
    read.map_err(anyhow::Error::from).and_then(|_| parse(&text)).with_context(|| shown(path))
}

fn open(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| shown(path))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
