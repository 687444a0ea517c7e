//! `detection catalogue explain FILE`: what would be judged of a scrape or of a file of samples, as what, and what would not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;
use shared::events::raw::Instrument;

use super::{label, otlp};
use crate::config::Settings;
use crate::fold::Plan;
use crate::metric_profile::{DetectionMode, MetricProfile, key};
use crate::sample::{Detail, Element, Reader};
use crate::tools::input;

/// Series that are printed at most.
const MAX_SERIES: usize = 20_000;

/// Longest JSON document that is written over several lines, bytes.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// A series that is judged.
#[derive(Debug)]
struct Judged {
    profile: MetricProfile,
    how: String,
}

/// What was found in a file.
#[derive(Debug, Default)]
struct Found {
    /// Judged series by their names.
    judged: BTreeMap<String, Judged>,
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

/// Explains lines: of JSON as on `raw.metrics` or of OTLP, or of an exposition of Prometheus.
fn explain_lines(lines: impl BufRead, settings: &Settings, mut out: impl Write) -> anyhow::Result<()> {
    let mut found = Found::default();
    let mut types: HashMap<String, String> = HashMap::new();
    // a document that goes over several lines, as far as it has come
    let mut document: Vec<u8> = Vec::new();
    input::each_line(lines, |_, line| {
        let text = line.trim_ascii();
        if !document.is_empty() || matches!(text.first(), Some(b'{' | b'[')) {
            found.json(line, &mut document, settings);
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
    if !document.is_empty() {
        found.document(&mut document, settings);
        found.unreadable += usize::from(!document.is_empty());
    }
    if found.judged.is_empty() && found.ignored.is_empty() {
        bail!(
            "no sample could be read: expected JSON as on raw.metrics or of OTLP, or the text format of Prometheus"
        );
    }
    found.write(&mut out).context("writing")
}

impl Found {
    /// Takes a line of a JSON document, and reads the document once it is complete.
    fn json(&mut self, line: &[u8], document: &mut Vec<u8>, settings: &Settings) {
        // one that was cut off ends where the next one begins
        if document.starts_with(b"{") && line.starts_with(b"{") {
            self.unreadable += 1;
            document.clear();
        }
        let is_first = document.is_empty();
        document.extend_from_slice(line);
        // whatever is laid out over several lines ends with a brace that is not indented
        if is_first || matches!(line.first(), Some(b'}' | b']')) || document.len() > MAX_DOCUMENT_BYTES {
            self.document(document, settings);
        }
    }

    fn document(&mut self, document: &mut Vec<u8>, settings: &Settings) {
        match serde_json::from_slice::<Value>(document) {
            Ok(export) if otlp::is_export(&export) => {
                otlp::each(&export, |one| self.add(&one.metric, one.unit, Some(&one.detail), settings));
            }
            Err(error) if error.is_eof() && document.len() <= MAX_DOCUMENT_BYTES => return,
            Ok(_) | Err(_) => {
                let read = Reader::default().read(document.trim_ascii(), |element| {
                    if let Element::Sample(sample) = element {
                        self.add(&sample.metric, sample.unit(), sample.detail(), settings);
                    }
                });
                self.unreadable += usize::from(read.is_err());
            }
        }
        document.clear();
    }

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
        self.judged.insert(series.into_owned(), Judged { profile, how: how.to_owned() });
    }

    /// Returns what a series cannot exceed: a figure, or the one other series that reports it.
    fn limit(&self, profile: &MetricProfile) -> Option<String> {
        if profile.may_be_limited() {
            let of_it = |one: &&(&String, &Judged)| {
                one.1.profile.mode == DetectionMode::Limit && one.1.profile.resource == profile.resource
            };
            let judged: Vec<_> = self.judged.iter().collect();
            let mut limits = judged.iter().filter(of_it);
            if let (Some((name, _)), None) = (limits.next(), limits.next()) {
                return Some((*name).clone());
            }
        }
        let unit = if &*profile.unit == "%" { " %" } else { "" };
        profile.ceiling.map(|ceiling| format!("{ceiling}{unit}"))
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let [kind, unit, bad, mode] = ["kind", "unit", "bad_direction", "mode"];
        writeln!(out, "{kind:<12} {unit:<8} {bad:<13} {mode:<10} {:<20} series", "folded")?;
        for (series, Judged { profile, how }) in &self.judged {
            let unit = if profile.unit.is_empty() { "-" } else { &*profile.unit };
            let (kind, bad, mode) = (label(profile.kind), label(profile.bad_direction), label(profile.mode));
            write!(out, "{kind:<12} {unit:<8} {bad:<13} {mode:<10} {how:<20} {series}")?;
            match self.limit(profile) {
                Some(limit) => writeln!(out, ", at most {limit}")?,
                None => writeln!(out)?,
            }
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
    fn an_export_of_otlp_is_explained_on_one_line_and_on_several() {
        let export = r#"{"resourceMetrics":[{"resource":{"attributes":[
            {"key":"service.name","value":{"stringValue":"pay"}},{"key":"k8s.pod.name","value":{"stringValue":"pay-1"}}]},
            "scopeMetrics":[{"metrics":[
            {"name":"http.server.request.duration","unit":"s","histogram":{"aggregationTemporality":2,"dataPoints":[
                {"attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}}],"count":"3"}]}},
            {"name":"http.server.active_requests","unit":"{request}","sum":{"dataPoints":[{"asInt":"3"}]}},
            {"name":"jvm.cpu.time","unit":"s","sum":{"isMonotonic":true,"dataPoints":[{"asDouble":3.5}]}},
            {"name":"gc.pause","unit":"s","summary":{"dataPoints":[{"count":"3","quantileValues":[{"quantile":0.5,"value":1}]}]}}
            ]}]}]}"#;
        let value: Value = serde_json::from_str(export).unwrap();
        let mut files =
            vec![export.to_owned(), value.to_string(), serde_json::to_string_pretty(&value).unwrap()];
        files.push(format!("{value}\n{value}\n"));
        let explained = files.iter().map(|file| {
            let mut out = Vec::new();
            explain_lines(file.as_bytes(), &Settings::default(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        });
        let explained: Vec<String> = explained.collect();
        assert!(explained.iter().all(|one| *one == explained[0]), "{explained:#?}");
        insta::assert_snapshot!(explained[0]);
    }

    #[test]
    fn a_document_that_was_cut_off_hides_nothing_that_follows() {
        let lines = r#"{"service":"s","metric":"request_rate","val
{"service":"s","metric":"latency_p99_ms","value":5,"ts_ms":1750000000000}
"#;
        let mut out = Vec::new();
        explain_lines(lines.as_bytes(), &Settings::default(), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("latency_p99_ms") && out.ends_with("could not be read: 1\n"), "{out}");
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
