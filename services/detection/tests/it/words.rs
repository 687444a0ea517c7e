//! Sentences about numbers are true of their own numbers, at the precision at which they are printed.
//!
//! All helpers of these tests that collect anomalies let [`check`] read them, so that each scenario, log and rule is held
//! against this.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use detection::{At, Partition, Settings};
use proptest::prelude::*;
use shared::events::Kind;
use shared::events::anomaly::{Anomaly, Band, Direction, Status};
use shared::events::fault::Scenario;
use shared::finding::Finding;
use simulator::noise::Noise;
use simulator::schedule::Faults;

use crate::fire::watch;

/// Returns whether a claim holds of a value and the edges of its band.
type Holds = fn(f64, f64, f64) -> bool;

/// What sentences say of a band before they name it, and where the value has to lie then.
const CLAIMS: [(&str, Holds); 7] = [
    ("above its band of ", |value, _, upper| value > upper),
    ("above the expected ", |value, _, upper| value > upper),
    ("below its band of ", |value, lower, _| value < lower),
    ("below the expected ", |value, lower, _| value < lower),
    ("inside its band of ", |value, lower, upper| (lower..=upper).contains(&value)),
    (", inside ", |value, lower, upper| (lower..=upper).contains(&value)),
    ("expected ", |value, lower, upper| !(lower..=upper).contains(&value)),
];

/// Reads each anomaly as people do: its explanation, and what every printer says of it.
///
/// # Panics
///
/// Panics where a sentence contradicts itself or has a unit that nobody speaks.
pub(crate) fn check(anomalies: &[Anomaly]) {
    for anomaly in anomalies {
        let finding = Finding::from(anomaly);
        let texts = [said_of(&finding), vec![anomaly.explanation.clone()]].concat();
        for text in texts {
            let text = text.replace('\u{a0}', " ");
            if let Err(why) = claims(&text) {
                panic!("{why}: {text:?} of {} revision {}", anomaly.metric, anomaly.revision);
            }
            assert!(!text.contains("{line}") && !text.contains("nats"), "{text}");
        }
    }
}

/// Returns what every printer says of a finding.
fn said_of(finding: &Finding<'_>) -> Vec<String> {
    let with_predicate =
        format!("it is {}, {}", finding.observed(), finding.predicate().trim_start_matches("is "));
    let with_expectation = format!("it is {}, {}", finding.observed(), finding.expectation());
    vec![finding.sentence(), with_predicate, with_expectation]
}

/// Returns how many claims about a band a text makes, or which of them is not true of its own numbers.
fn claims(text: &str) -> Result<usize, String> {
    let mut found = 0;
    for (claim, holds) in CLAIMS {
        let Some(at) = text.find(claim) else { continue };
        // these are claims of their own
        if claim == "expected " && text[..at].ends_with("the ")
            || claim == ", inside " && text[at..].starts_with(", inside its band of ")
        {
            continue;
        }
        let after = &text[at + claim.len()..];
        let Some((first, rest)) = figure(after) else { continue };
        let (lower, upper) = match rest.strip_prefix(" to ").and_then(figure) {
            Some((upper, rest)) => {
                let size = size(rest);
                (exact(first * size), exact(upper * size))
            }
            None => (exact(first * size(rest)), exact(first * size(rest))),
        };
        let before = &text[..at];
        let begin = [" is ", " is back at ", ": "]
            .iter()
            .filter_map(|sign| Some(before.rfind(sign)? + sign.len()))
            .max();
        let (value, rest) =
            begin.and_then(|begin| figure(&before[begin..])).ok_or("no value before its band")?;
        let value = exact(value * size(rest));
        if !holds(value, lower, upper) {
            return Err(format!("{value} is not {claim}{lower} to {upper}"));
        }
        found += 1;
    }
    Ok(found)
}

/// Reads a figure. Returns it with what follows.
fn figure(text: &str) -> Option<(f64, &str)> {
    let (sign, digits) =
        text.strip_prefix('−').or(text.strip_prefix('-')).map_or((1.0, text), |rest| (-1.0, rest));
    let mut end = 0;
    let bytes = digits.as_bytes();
    while end < bytes.len() {
        let next_is_digit = bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        let goes_on = match bytes[end] {
            b'0'..=b'9' => true,
            b',' | b'.' | b'-' => end > 0 && next_is_digit,
            b'e' => end > 0 && (next_is_digit || bytes.get(end + 1) == Some(&b'-')),
            _ => false,
        };
        if !goes_on {
            break;
        }
        end += 1;
    }
    let value: f64 = digits[..end].replace(',', "").parse().ok()?;
    Some((sign * value, &digits[end..]))
}

/// Takes from a product of a printed figure and a unit what floating point has added.
fn exact(product: f64) -> f64 {
    format!("{product:.9e}").parse().unwrap()
}

/// Returns how large the unit is with which a text begins, among those of its kind.
fn size(text: &str) -> f64 {
    let word: String = text.trim_start().chars().take_while(|letter| letter.is_alphabetic()).collect();
    match word.as_str() {
        "ns" => 1e-9,
        "µs" => 1e-6,
        "ms" => 1e-3,
        "min" => 60.0,
        "h" => 3600.0,
        "day" | "days" => 86_400.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    }
}

#[test]
fn a_sentence_that_contradicts_its_numbers_is_noticed() {
    for (text, expected) in [
        ("logs:critical of user is 6 lines a minute, above its band of 0 to 9.9 lines a minute", None),
        ("memory_percent of user is 100 %, above its band of 71.5 to 100 %", None),
        ("memory_percent of user is 100 %, expected 71.5 to 100 %, since 10:00:00 UTC", None),
        ("latency of user is 1.2 s, above its band of 20 to 1,300 ms", None),
        ("latency of user is 1.2 s, above its band of 20 to 30 ms", Some(1)),
        ("latency of user is 1.2 s, inside its band of 20 to 30 ms", None),
        ("latency of user is −350 ms, inside its band of −0.35 to 1 s", Some(1)),
        ("cert of user is 12 days, below the expected 30 days", Some(1)),
        ("cert of user is −3 days, below the expected 12 h", Some(1)),
        ("user writes warnings and errors: 60 lines a minute, expected 0 to 9.9 lines a minute", Some(1)),
        ("user writes critical lines: 6 lines a minute", Some(0)),
        ("before, 3 was expected", Some(0)),
    ] {
        assert_eq!(claims(text).ok(), expected, "{text}");
    }
}

/// Draws figures of all sizes, and many that lie close to the edges of a band at the precision of print.
fn figures() -> impl Strategy<Value = (f64, f64, f64)> {
    let size = prop_oneof![-6_i32..13, Just(0)];
    (size, -100_i32..1000, 0_i32..1000, -3_i32..1004, prop_oneof![Just(1.0), 0.9..1.1_f64]).prop_map(
        |(size, lower, width, at, factor)| {
            let scale = 10_f64.powi(size) / 100.0;
            let (lower, width) = (f64::from(lower) * scale, f64::from(width) * scale);
            (lower, lower + width, (lower + width * f64::from(at) / 1000.0) * factor)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_figures_what_is_said_of_them_is_true(
        (lower, upper, observed) in figures(),
        unit in prop::sample::select(&["", "ms", "s", "%", "By", "1", "d", "1/s", "{line}/min"][..]),
        is_log in any::<bool>(),
        is_up in any::<bool>(),
        status in prop::sample::select(&[Status::Suspect, Status::Firing, Status::Cleared][..]),
    ) {
        let dimensions = BTreeMap::new();
        let finding = Finding {
            service: "user",
            metric: if is_log { "logs:errors" } else { "m" },
            dimensions: &dimensions,
            unit,
            kind: if is_log { Kind::Logs } else { Kind::Other },
            status,
            direction: if is_up { Direction::Up } else { Direction::Down },
            observed,
            expected: Band { lower, center: f64::midpoint(lower, upper), upper },
        };
        for text in said_of(&finding) {
            let text = text.replace('\u{a0}', " ");
            prop_assert!(claims(&text).is_ok(), "{:?}: {}", claims(&text), text);
        }
    }
}

#[test]
fn anomalies_of_every_scenario_say_what_is_true() {
    let mut by_metric: BTreeMap<String, usize> = BTreeMap::new();
    for scenario in Scenario::ROTATION {
        let lasts = simulator::fault::duration(scenario) as i64;
        for (seed, noise) in [(11, Noise::Gaussian), (12, Noise::Skewed)] {
            let run = watch(Faults::Once(Some(scenario)), noise, seed, 60, 6, 60 + lasts + 30);
            check(&run.anomalies);
            for anomaly in &run.anomalies {
                let said = claims(&Finding::from(anomaly).sentence().replace('\u{a0}', " ")).unwrap();
                *by_metric.entry(anomaly.metric.clone()).or_default() += said;
            }
        }
    }
    // the check is worth something only where sentences do make claims
    for metric in ["latency_p99_ms", "error_rate", "cpu_percent", "memory_percent", "logs:new_template"] {
        assert!(by_metric.get(metric).is_some_and(|said| *said > 0), "{metric}: {by_metric:?}");
    }
}

#[test]
fn anomalies_of_the_evaluation_kit_say_what_is_true() {
    let Some(kit) = std::env::var_os("FIREWATCH_BENCH_DIR") else {
        eprintln!("FIREWATCH_BENCH_DIR is not set: the sentences of the evaluation kit are NOT checked");
        return;
    };
    for set in ["nab", "cloud"] {
        let (anomalies, said) = replayed(&Path::new(&kit).join("data").join(set).join("dev/points.jsonl.gz"));
        eprintln!("{set}: {anomalies} anomalies, {said} claims about a band");
        assert!(anomalies > 100 && said > 100, "{set}: {anomalies} anomalies, {said} claims");
    }
}

/// Returns how many anomalies a file yields, and how many claims about a band their explanations make.
fn replayed(file: &Path) -> (usize, usize) {
    let mut unpacked =
        Command::new("gzip").arg("-dc").arg(file).stdout(Stdio::piped()).spawn().expect("gzip runs");
    let lines = BufReader::new(unpacked.stdout.take().expect("it has an output"));
    let mut partition = Partition::new(0, Arc::new(Settings { partitions: 1, ..Settings::default() }));
    let (mut anomalies, mut said) = (0, 0);
    for (offset, line) in lines.split(b'\n').enumerate() {
        let line = line.expect("the file can be read");
        let outcome = partition.metrics(&line, At { offset: offset as i64, timestamp_ms: None });
        check(&outcome.anomalies);
        anomalies += outcome.anomalies.len();
        said += outcome
            .anomalies
            .iter()
            .map(|one| claims(&one.explanation).expect("it was checked"))
            .sum::<usize>();
    }
    assert!(unpacked.wait().expect("gzip ends").success(), "{} cannot be unpacked", file.display());
    (anomalies, said)
}
