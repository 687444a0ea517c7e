//! The evaluation kit: its cases as folders, and its own scorers.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use correlation::backtest::cause::Ranking;
use correlation::backtest::{folder, incidents};
use correlation::cause::Evidence;
use serde::Serialize;
use serde_json::Value;

/// The kit, expanded.
pub(crate) struct Kit {
    bench: PathBuf,
    out: PathBuf,
    pub(crate) streams: PathBuf,
}

/// A case and its answer.
pub(crate) struct Known {
    pub(crate) case_id: String,
    pub(crate) system: String,
    pub(crate) alert_ms: i64,
    pub(crate) folder: PathBuf,
    pub(crate) evidence: Vec<Evidence>,
    /// Spans and logs of the normal minutes.
    pub(crate) normal: Vec<Evidence>,
    pub(crate) culprit: String,
    pub(crate) kind: String,
}

impl Kit {
    /// Writes the cases as folders and the streams, with the kit's own script.
    pub(crate) fn expand(bench: &Path) -> Result<Self> {
        let out = PathBuf::from("target/score/causes");
        std::fs::create_dir_all(&out)?;
        let kit = Self { bench: bench.to_owned(), streams: out.join("streams"), out };
        for part in ["petshop", "nezha"] {
            kit.python(&["cases.py", "expand"], &[&kit.part(part), &kit.out.join(part)])?;
        }
        kit.python(&["cases.py", "stream"], &[&kit.part("nezha"), &kit.streams])?;
        Ok(kit)
    }

    fn part(&self, part: &str) -> PathBuf {
        self.bench.join("data/rca").join(part).join("dev")
    }

    fn python(&self, script: &[&str], paths: &[&Path]) -> Result<String> {
        let output = Command::new("python3")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(self.bench.join(script[0]))
            .args(&script[1..])
            .args(paths)
            .stderr(Stdio::inherit())
            .output()
            .context("running python3")?;
        ensure!(output.status.success(), "{script:?} failed");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Writes the cases of a part with invented changes, and returns where.
    pub(crate) fn with_changes(&self, part: &str, seed: &str) -> Result<PathBuf> {
        let folders = self.out.join("changes");
        let changes = [Path::new("--changes"), Path::new(seed)];
        self.python(&["cases.py", "expand"], &[&self.part(part), &folders, changes[0], changes[1]])?;
        Ok(folders)
    }

    /// Returns the cases of a part in the kit's order.
    pub(crate) fn known(&self, part: &str) -> Result<Vec<Known>> {
        let truths = json_lines(&self.part(part).join("truth.jsonl"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let cases = json_lines(&self.part(part).join("cases.jsonl"))?;
        let known = cases.iter().map(|case| {
            let case_id = text(&case["case_id"]);
            let truth =
                truths.iter().find(|truth| truth["case_id"] == case["case_id"]).context("no answer")?;
            let folder = self.out.join(part).join(&case_id);
            let baseline = text(&case["baseline"]);
            let name = Path::new(&baseline).file_name().context("no baseline")?.to_string_lossy();
            let normal = self.part(part).join("evidence").join(name.replace(".csv.gz", ".jsonl.gz"));
            Ok(Known {
                system: text(&case["system"]),
                alert_ms: case["alert"]["ts_ms"].as_i64().context("no time of the alert")?,
                evidence: folder::evidence(&folder.join("evidence.jsonl"))?.unwrap_or_default(),
                normal: packed(&normal)?,
                culprit: text(&truth["service"]),
                kind: text(&truth["kind"]),
                folder,
                case_id,
            })
        });
        known.collect()
    }

    /// Returns AC@1 and AC@3 of some cases, by the kit's scorer.
    pub(crate) fn judge(&self, part: &str, prefix: &str, rankings: &[&Ranking]) -> Result<(f64, f64)> {
        let truths: Vec<Value> = json_lines(&self.part(part).join("truth.jsonl"))?
            .into_iter()
            .filter(|truth| truth["case_id"].as_str().is_some_and(|id| id.starts_with(prefix)))
            .collect();
        let (truth, pred) = (self.out.join("truth.jsonl"), self.out.join("pred.jsonl"));
        write_lines(&truth, &truths)?;
        write_lines(&pred, rankings)?;
        let printed =
            self.python(&["score_rca.py"], &[Path::new("--truth"), &truth, Path::new("--pred"), &pred])?;
        let figures: Value =
            serde_json::from_str(printed.lines().next().context("the scorer printed nothing")?)?;
        let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no {name}"));
        Ok((figure("AC@1")?, figure("AC@3")?))
    }

    /// Returns what the kit's scorer prints of a stream.
    pub(crate) fn judge_stream(&self, name: &str, opened: &[incidents::Incident]) -> Result<String> {
        let pred = self.out.join("pred.jsonl");
        write_lines(&pred, opened)?;
        let sheet = self.streams.join(format!("{name}.json"));
        let printed = self
            .python(&["score_incidents.py"], &[Path::new("--sheet"), &sheet, Path::new("--pred"), &pred])?;
        Ok(printed.trim().to_owned())
    }

    /// Returns from how many rows the research code learned: all before the scored ones, less an hour where there are enough.
    pub(crate) fn lab_warm_up(&self, name: &str, sheet: &str) -> Result<usize> {
        let sheet: Value = serde_json::from_str(sheet)?;
        let from = sheet["scored_from_ms"].as_i64().context("no begin")?;
        let file = std::fs::read_to_string(self.streams.join(format!("{name}.jsonl")))?;
        let stamp = |line: &str| line.strip_prefix("{\"ts_ms\":")?.split(',').next()?.parse::<i64>().ok();
        let mut stamps: Vec<i64> = file.lines().filter_map(stamp).filter(|&stamp| stamp < from).collect();
        stamps.dedup();
        Ok(if stamps.len() > 120 { stamps.len() - 60 } else { stamps.len() })
    }
}

fn json_lines(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Writes documents, one a line.
pub(crate) fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

/// Reads rows of a packed file; none if it does not exist.
fn packed(path: &Path) -> Result<Vec<Evidence>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let output = Command::new("gzip").arg("-dc").arg(path).output().context("running gzip")?;
    ensure!(output.status.success(), "gzip failed");
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
