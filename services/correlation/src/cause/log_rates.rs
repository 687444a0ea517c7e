//! New errors in log lines: templates of warnings and errors that come more often than in any minute before.

use std::collections::{BTreeMap, BTreeSet};

use super::minutes::{Line, Minutes};
use super::normal::{CAP_NATS, NOISE_DEVIATIONS};

/// Log lines come in bursts: a likelihood ratio counts a third.
const BURST: f64 = 3.0;
/// Levels that report trouble.
const BAD_LEVELS: [&str; 6] = ["ERROR", "FATAL", "CRITICAL", "SEVERE", "WARN", "WARNING"];
/// Words that report trouble at any level.
const BAD_WORDS: [&str; 3] = ["exception", "error", "fail"];

fn reports_trouble(line: &Line) -> bool {
    let level = line.level.to_uppercase();
    let text = line.template.to_lowercase();
    BAD_LEVELS.contains(&level.as_str()) || BAD_WORDS.iter().any(|word| text.contains(word))
}

/// Returns the strongest evidence of each service, nats: Dunning's log-likelihood ratio (1993) of a template's rate now
/// against its rate in the service's history.
pub(super) fn evidence<'a>(history: &Minutes, now: &'a Minutes) -> BTreeMap<&'a str, f64> {
    let mut minutes: BTreeMap<&str, f64> = BTreeMap::new();
    // lines in all, and in the busiest minute
    let mut past: BTreeMap<&Line, (f64, f64)> = BTreeMap::new();
    for lines in history.logs.values() {
        for (line, &count) in lines {
            let known = past.entry(line).or_default();
            *known = (known.0 + count, known.1.max(count));
        }
        let present: BTreeSet<&str> = lines.keys().map(|line| line.service.as_str()).collect();
        for service in present {
            *minutes.entry(service).or_default() += 1.0;
        }
    }
    let mut counts: BTreeMap<&Line, f64> = BTreeMap::new();
    for (line, count) in now.logs.values().flatten() {
        *counts.entry(line).or_default() += count;
    }
    let span = now.logs.len().max(1) as f64;
    let mut evidence: BTreeMap<&str, f64> = BTreeMap::new();
    for (line, count) in counts {
        let Some(&minutes) = minutes.get(line.service.as_str()) else { continue };
        let (before, busiest) = past.get(line).copied().unwrap_or_default();
        if !reports_trouble(line) || count / span <= (before / minutes).max(busiest) {
            continue;
        }
        let rate = (count + before) / (span + minutes);
        let usual = if before > 0.0 { before * (before / (rate * minutes)).ln() } else { 0.0 };
        let ratio = 2.0 * (count * (count / (rate * span)).ln() + usual);
        if ratio > NOISE_DEVIATIONS * NOISE_DEVIATIONS {
            let strongest = evidence.entry(line.service.as_str()).or_default();
            *strongest = strongest.max((0.5 * ratio / BURST).min(CAP_NATS));
        }
    }
    evidence
}
