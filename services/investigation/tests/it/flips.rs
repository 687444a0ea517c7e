//! Whatever is changed in a claim or in its evidence, one thing at a time, the checker notices.

use investigation::check::check;
use serde_json::{Value, json};
use shared::events::rca::{Claim, Evidence};

use crate::answers::asked;
use crate::scene::{incident, investigate_with, sources};

/// Returns each way to change one scalar of a document, with where.
fn flips(document: &Value, place: &str) -> Vec<(String, Value)> {
    let inside = |key: &str, part: &Value, put: &dyn Fn(Value) -> Value| -> Vec<(String, Value)> {
        flips(part, &format!("{place}/{key}")).into_iter().map(|(place, part)| (place, put(part))).collect()
    };
    let one = |values: Vec<Value>| values.into_iter().map(|value| (place.to_owned(), value)).collect();
    match document {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| {
                inside(name, field, &|part| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), part);
                    Value::Object(fields)
                })
            })
            .collect(),
        Value::Array(items) => {
            let mut all: Vec<(String, Value)> = (0..items.len())
                .flat_map(|index| {
                    inside(&index.to_string(), &items[index], &|part| {
                        let mut items = items.clone();
                        items[index] = part;
                        Value::Array(items)
                    })
                })
                .collect();
            // and each item left out
            all.extend((0..items.len()).map(|index| {
                let mut items = items.clone();
                items.remove(index);
                (format!("{place}/-{index}"), Value::Array(items))
            }));
            all
        }
        Value::Number(number) => {
            let value = number.as_f64().unwrap();
            match number.as_u64() {
                Some(whole) => one(vec![json!(whole + 1), json!(whole * 10 + 7)]),
                None => one(vec![json!(value + 0.1), json!(-value), json!(value * 1000.0)]),
            }
        }
        Value::Bool(flag) => one(vec![json!(!flag)]),
        Value::String(text) => one(changed_words(text)),
        Value::Null => Vec::new(),
    }
}

fn changed_words(text: &str) -> Vec<Value> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return [-1, 1, 3_600].map(|seconds| json!(at + jiff::SignedDuration::from_secs(seconds))).to_vec();
    }
    // words of enumerations, ids, units and names; else anything
    let others: &[&str] = match text {
        "up" => &["down"],
        "down" => &["up"],
        "error" => &["warn", "fatal"],
        "pool" => &["memory", "cpu"],
        "%" => &["ms", ""],
        "rose" => &["fell", "as_before"],
        "as_before" => &["rose", "fell"],
        "prometheus" => &["loki"],
        "pool_waiting" => &["restarts"],
        "duration" => &["failures"],
        "failing" => &["storage"],
        "payment" => &["order", "api-gateway"],
        "order" => &["payment", "user"],
        "vault" => &["audit"],
        id if id.starts_with('E') && id[1..].parse::<u8>().is_ok() => &["E1", "E2", "E3", "E99"],
        _ => &[],
    };
    let mut all: Vec<Value> =
        others.iter().filter(|other| **other != text).map(|other| json!(other)).collect();
    all.push(json!(format!("{text} x")));
    let digit = text.char_indices().find(|(_, c)| c.is_ascii_digit());
    all.extend(digit.map(|(place, c)| {
        let other = if c == '9' { '1' } else { '9' };
        json!(format!("{}{other}{}", &text[..place], &text[place + 1..]))
    }));
    all
}

/// A change that is not read as a claim at all is noticed by the reader.
fn read<T: serde::de::DeserializeOwned>(document: Value) -> Option<T> {
    serde_json::from_value(document).ok()
}

#[test]
fn every_flip_is_caught() {
    let mut sources = sources();
    let mut caught = 0;
    // once with changes and once without, so that every kind of relation occurs
    for has_changes in [true, false] {
        if !has_changes {
            sources.changes.clear();
        }
        let asked = asked();
        let found = investigate_with(&sources, &incident(&sources), &asked);
        sources.answers = asked.again();
        let (evidence, records) = (&found.evidence, &found.records);
        for claim in found.claims() {
            assert_eq!(check(claim, evidence, records, &sources), Ok(()));
            for (place, flipped) in flips(&serde_json::to_value(claim).unwrap(), "claim") {
                let Some(flipped) = read::<Claim>(flipped) else { continue };
                if flipped == *claim {
                    continue;
                }
                assert!(
                    check(&flipped, evidence, records, &sources).is_err(),
                    "{place} of {}: {flipped:#?}",
                    claim.text
                );
                caught += 1;
            }
            for id in &claim.evidence {
                let index = evidence.iter().position(|piece| piece.id == *id).unwrap();
                for (place, flipped) in flips(&serde_json::to_value(&evidence[index]).unwrap(), id) {
                    let Some(flipped) = read::<Evidence>(flipped) else { continue };
                    let mut with = evidence.clone();
                    with[index] = flipped;
                    if with != *evidence {
                        assert!(
                            check(claim, &with, records, &sources).is_err(),
                            "{place} of {}: {with:#?}",
                            claim.text
                        );
                        caught += 1;
                    }
                }
            }
        }
    }
    assert!(caught > 500, "{caught}");
}

/// Relations of all kinds are among those that are flipped.
#[test]
fn what_is_flipped_covers_every_relation() {
    let with = sources();
    let mut without = sources();
    without.changes.clear();
    let mut odd = sources();
    odd.signals[0].samples.clear();
    let mut kinds: Vec<String> = Vec::new();
    for sources in [with, without, odd] {
        let found = investigate_with(&sources, &incident(&sources), &asked());
        for relation in found.claims().flat_map(|claim| &claim.relations) {
            kinds.push(serde_json::to_value(relation).unwrap()["kind"].as_str().unwrap().to_owned());
        }
    }
    kinds.sort();
    kinds.dedup();
    let all = [
        "before",
        "began",
        "calls",
        "compared",
        "inside",
        "known_failure",
        "none_before",
        "outside",
        "repeated",
        "reported",
        "same_cause",
        "took",
    ];
    assert_eq!(kinds, all);
}
