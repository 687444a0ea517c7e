//! `detection catalogue explain FILE`: what would be judged of a scrape or of a file of samples, as what, and what would not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use shared::events::raw::Instrument;

use super::label;
use crate::config::Settings;
use crate::fold::Plan;
use crate::metric_profile::{DetectionMode, MetricProfile, key};
use crate::sample::{Detail, Element, Reader};
use crate::tools::input;

/// Series that are printed at most.
const MAX_SERIES: usize = 20_000;

/// What was found in a file.
#[derive(Debug, Default)]
struct Found {
    /// Judged series with their rows.
    judged: BTreeMap<String, String>,
    /// Metrics that are not judged, and why.
    ignored: BTreeSet<(String, String)>,
    /// Series that there was no room for.
    more: usize,
    unreadable: usize,
}

/// Explains a file.
pub(super) fn explain(file: &Path, settings: &Settings, out: impl Write) -> anyhow::Result<()> {
    explain_lines(input::open(file)?, settings, out)
}

/// Explains lines: of JSON as on `raw.metrics`, or of an exposition of Prometheus.
fn explain_lines(lines: impl BufRead, settings: &Settings, mut out: impl Write) -> anyhow::Result<()> {
    let mut found = Found::default();
    let mut types: HashMap<String, String> = HashMap::new();
    input::each_line(lines, |_, line| {
        let text = line.trim_ascii();
        if text.starts_with(b"{") || text.starts_with(b"[") {
            let read = Reader::default().read(text, |element| {
                if let Element::Sample(sample) = element {
                    found.add(&sample.metric, sample.unit(), sample.detail(), settings);
                }
            });
            found.unreadable += usize::from(read.is_err());
        } else if let Some(comment) = text.strip_prefix(b"#") {
            let comment = String::from_utf8_lossy(comment);
            let mut words = comment.split_whitespace();
            if let (Some("TYPE"), Some(name), Some(kind)) = (words.next(), words.next(), words.next())
                && types.len() < MAX_SERIES
            {
                types.insert(name.to_owned(), kind.to_owned());
            }
        } else if let Some((metric, labels)) = exposed(&String::from_utf8_lossy(text)) {
            let detail = Detail { labels, instrument: instrument(&metric, &types), ..Detail::default() };
            found.add(&metric, "", Some(&detail), settings);
        } else {
            found.unreadable += 1;
        }
        Ok(())
    })?;
    if found.judged.is_empty() && found.ignored.is_empty() {
        bail!("no sample could be read: expected JSON as on raw.metrics, or the text format of Prometheus");
    }
    found.write(&mut out).context("writing")
}

impl Found {
    fn add(&mut self, metric: &str, unit: &str, detail: Option<&Detail<'_>>, settings: &Settings) {
        let Some(detail) = detail else {
            let mode = MetricProfile::of(metric, unit, &settings.metrics).mode;
            if mode == DetectionMode::Ignored {
                self.ignore(metric, "the catalogue or the configuration says so");
            } else {
                self.judge(metric, unit, "as it comes", settings);
            }
            return;
        };
        match Plan::of(metric, unit, detail, settings) {
            Plan::Ignored(why) => self.ignore(metric, why),
            Plan::Judged { series, how } => {
                for name in &series {
                    self.judge(name, unit, how, settings);
                }
            }
        }
    }

    fn ignore(&mut self, metric: &str, why: &str) {
        if self.ignored.len() < MAX_SERIES {
            self.ignored.insert((metric.to_owned(), why.to_owned()));
        }
    }

    fn judge(&mut self, name: &str, unit: &str, how: &str, settings: &Settings) {
        let series = key::labelled(name);
        if self.judged.contains_key(&*series) {
            return;
        }
        if self.judged.len() >= MAX_SERIES {
            self.more += 1;
            return;
        }
        let profile = MetricProfile::of(name, unit, &settings.metrics);
        let unit = if profile.unit.is_empty() { "-" } else { &*profile.unit };
        let (kind, bad, mode) = (label(profile.kind), label(profile.bad_direction), label(profile.mode));
        let row = format!("{kind:<12} {unit:<8} {bad:<13} {mode:<10} {how:<20}");
        self.judged.insert(series.into_owned(), row);
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let [kind, unit, bad, mode] = ["kind", "unit", "bad_direction", "mode"];
        writeln!(out, "{kind:<12} {unit:<8} {bad:<13} {mode:<10} {:<20} series", "folded")?;
        for (series, row) in &self.judged {
            writeln!(out, "{row} {series}")?;
        }
        if self.more > 0 {
            writeln!(out, "and {} more", self.more)?;
        }
        if !self.ignored.is_empty() {
            writeln!(out, "\nnot judged:")?;
        }
        for (metric, why) in &self.ignored {
            writeln!(out, "{metric:<44} {why}")?;
        }
        if self.unreadable > 0 {
            writeln!(out, "\nlines that could not be read: {}", self.unreadable)?;
        }
        Ok(())
    }
}

/// Returns what a metric is by the types that the exposition states.
fn instrument(metric: &str, types: &HashMap<String, String>) -> Option<Instrument> {
    let of = |name: &str| types.get(name).map(String::as_str);
    match of(metric) {
        Some("counter") => return Some(Instrument::Counter),
        Some("gauge" | "summary") => return Some(Instrument::Gauge),
        Some(_) => return None,
        None => {}
    }
    let parts = ["_bucket", "_count", "_sum"];
    let base = parts.iter().find_map(|part| metric.strip_suffix(part));
    base.and_then(of).filter(|kind| matches!(*kind, "histogram" | "summary")).map(|_| Instrument::Counter)
}

/// Labels of a sample, sorted.
type Labels = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// Reads a line of the text format of Prometheus. Returns metric and labels.
fn exposed(line: &str) -> Option<(String, Labels)> {
    let end = line.find(|letter: char| letter == '{' || letter.is_whitespace())?;
    let (metric, rest) = line.split_at(end);
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '.');
    if metric.is_empty() || !metric.chars().all(is_name) {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?;
    value.parse::<f64>().ok().map(|_| (metric.to_owned(), labels))
}

/// Reads labels up to the brace that ends them. Returns what follows.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start_matches([' ', ',', '\t']);
        if let Some(rest) = rest.strip_prefix('}') {
            labels.sort_unstable();
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once('=')?;
        let text = quoted.trim_start().strip_prefix('"')?;
        let mut letters = text.char_indices();
        let mut value = String::new();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    letter => letter,
                }),
                (_, letter) => value.push(letter),
            }
        };
        labels.push((name.trim().to_owned().into(), value.into()));
        rest = &text[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"# HELP http_request_duration_seconds How long requests take.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{route="/pay",code="200",pod="a",le="0.1"} 5
http_request_duration_seconds_bucket{route="/pay",code="200",pod="a",le="+Inf"} 7
http_request_duration_seconds_sum{route="/pay",code="200",pod="a"} 0.9
http_request_duration_seconds_count{route="/pay",code="200",pod="a"} 7
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes{pod="a"} 5e7
# TYPE build_info gauge
build_info{version="1 \"x\" {}"} 1
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e9
queue_depth{queue="mail"} NaN 1750000000000
this is no sample
"#;

    #[test]
    fn a_scrape_is_explained_series_by_series() {
        let mut out = Vec::new();
        explain_lines(SCRAPE.as_bytes(), &Settings::default(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn samples_in_json_are_explained_alike_and_other_files_are_refused() {
        let lines = r#"{"service":"s","metric":"latency_p99_ms","value":5,"ts_ms":1750000000000}
[{"service":"s","metric":"request_rate","value":5,"ts_ms":1750000000000,"labels":{"route":"/pay","pod":"a"}}]"#;
        let mut out = Vec::new();
        explain_lines(lines.as_bytes(), &Settings::default(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("as it comes          latency_p99_ms"), "{out}");
        assert!(out.contains("sum of replicas      request_rate{route=\"/pay\"}"), "{out}");
        assert!(explain_lines(&b"hello\n"[..], &Settings::default(), Vec::new()).is_err());
    }
}
