//! What other programs of `make score-investigation` have measured, as they wrote it.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use crate::scoreboard::Share;

/// Where `causes`, `retrieval-scoreboard` and `latency` write their figures.
const FOLDER: &str = "target/score";

/// Goal for the time from the incident to the stored result, milliseconds.
const LATENCY_GOAL_MS: f64 = 300.0;

/// Returns the sections about the evaluation kit, retrieval and latency. What was not measured is said on the page and on standard
/// error.
pub fn all() -> String {
    let folder = Path::new(FOLDER);
    let mut text = String::new();
    for (title, about, file, render) in [
        ("Ranked cases of the evaluation kit", KIT, "causes.jsonl", kit as fn(&[Value]) -> Option<String>),
        ("Retrieval", RETRIEVAL, "retrieval.jsonl", retrieval),
        ("Latency", LATENCY, "latency.jsonl", latency),
    ] {
        let lines = read(&folder.join(file));
        let body = lines.as_deref().and_then(render).unwrap_or_else(|| {
            eprintln!("{file} is missing or unreadable: the section \"{title}\" is LEFT OUT");
            "**Left out**: it was not measured in this run (no FIREWATCH_BENCH_DIR, or no embedding model).\n"
                .to_owned()
        });
        let _ = write!(text, "\n## {title}\n\n{about}\n{body}");
    }
    text
}

fn read(path: &Path) -> Option<Vec<Value>> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().map(|line| serde_json::from_str(line).ok()).collect()
}

const KIT: &str = "\
Development parts of the evaluation kit, ranked as `firewatch backtest cause` does it, by [the research code](correlation.md) and not by \
the running stage. AC@1 and AC@3 are from the kit's scorer. *As read*: a case's folder as the command reads it; *causal*, *iso*: earlier spans \
and logs known, or those of normal minutes. Right: the first service is the faulty one. These are development figures.
";

fn kit(lines: &[Value]) -> Option<String> {
    let mut text = "| cases | mode | number | AC@1 | AC@3 | verdict `cause` right | verdicts: cause / likely / not visible |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for line in lines {
        let count = |verdict: &str, what: &str| line["verdicts"][verdict][what].as_u64().unwrap_or(0) as u32;
        let said = |verdict: &str| count(verdict, "said");
        let right = Share { hits: count("cause", "right"), all: said("cause") };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.3} | {:.3} | {right} | {} / {} / {} |",
            line["cases"].as_str()?,
            line["mode"].as_str()?.replace('_', " "),
            line["number"],
            line["ac_1"].as_f64()?,
            line["ac_3"].as_f64()?,
            said("cause"),
            said("likely"),
            said("not_visible"),
        );
    }
    (!lines.is_empty()).then_some(text)
}

const RETRIEVAL: &str = "\
`make score-retrieval`: runbooks of the evaluation kit, searched in a real PostgreSQL with the real embedding model. *Nothing similar*: with \
the wanted documents left out of what is found, how often nothing reaches the floor of similarity; *wanted kept*: how often a wanted document \
does reach it. Past incidents are named from a floor of 0.6.
";

fn retrieval(lines: &[Value]) -> Option<String> {
    let [whole] = lines else { return None };
    let mut text = format!(
        "{} queries, {} documents in {} chunks.\n\n| ranking | hit@1 | hit@3 | MRR@10 |\n|---|---|---|---|\n",
        whole["queries"], whole["documents"], whole["chunks"]
    );
    for one in whole["rankings"].as_array()? {
        let figure = |name: &str| one[name].as_f64();
        let (first, third, mrr) = (figure("hit_1")?, figure("hit_3")?, figure("mrr_10")?);
        let _ = writeln!(text, "| {} | {first:.3} | {third:.3} | {mrr:.3} |", one["name"].as_str()?);
    }
    text.push_str("\n| floor | wanted kept | nothing similar |\n|---|---|---|\n");
    for one in whole["floors"].as_array()? {
        let figure = |name: &str| one[name].as_f64();
        let (floor, kept, refused) = (figure("floor")?, figure("kept")?, figure("refused")?);
        let _ = writeln!(text, "| {floor:.2} | {kept:.3} | {refused:.3} |");
    }
    Some(text)
}

const LATENCY: &str = "\
Investigations over a real PostgreSQL and the real embedding model, from the incident as it is read to the written rows of the result: \
reading, search, claims, check and one transaction. Kafka is not part of it, and no other system is queried.
";

fn latency(lines: &[Value]) -> Option<String> {
    let [whole] = lines else { return None };
    let figure = |name: &str| whole[name].as_f64();
    let (p50, p95, p99, most) = (figure("p50_ms")?, figure("p95_ms")?, figure("p99_ms")?, figure("most_ms")?);
    let is_met = if p99 < LATENCY_GOAL_MS { "met" } else { "not met" };
    Some(format!(
        "{} investigations of {} members and {} records: p50 {p50:.0} ms, p95 {p95:.0} ms, p99 {p99:.0} ms, most {most:.0} ms; \
         goal p99 < {LATENCY_GOAL_MS:.0} ms: {is_met}.\n",
        whole["investigations"], whole["members"], whole["records"]
    ))
}
