//! Healthy weeks of other seeds: how much one week says.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::noises::{NOISES, SEED, thousandths};
use crate::weeks::Channel;

/// Runs further healthy weeks with and without deployments, where samples are few enough.
pub(crate) fn score(days: i64, weeks: u64, page: &mut String) -> Value {
    let _ = write!(
        page,
        "\n## Other healthy weeks\n\nThe tables above show one week of each noise. Here are {weeks} others, again of {days} days each: \
         episodes a day that fired, with deployments / the same noise without; decisions, likewise; and how many fired in the worst \
         week with deployments.\n\n\
         | noise | 1 min: fired | decided | worst week | 5 min: fired | decided | worst week |\n|---|---|---|---|---|---|---|\n"
    );
    let mut all = Map::new();
    for (name, noise) in NOISES {
        let mut row = Map::new();
        let _ = write!(page, "| {name} |");
        for interval_s in [60, 300] {
            eprintln!("{name}, {interval_s} s, {weeks} other weeks");
            let (mut fired, mut decided, mut worst) = ([0.0; 2], [0.0; 2], 0);
            for seed in SEED + 1..=SEED + weeks {
                let mut with = Channel::new(noise, interval_s, seed);
                let mut without = Channel::new(noise, interval_s, seed).without_deployments();
                for (place, watch) in [&mut with, &mut without].into_iter().enumerate() {
                    let week = watch.watch(days);
                    let [fires, decides, _] = week.a_day(days);
                    fired[place] += fires / weeks as f64;
                    decided[place] += decides / weeks as f64;
                    worst = worst.max(if place == 0 { week.tally.fired.len() } else { 0 });
                }
            }
            let _ = write!(
                page,
                " {:.2} / {:.2} | {:.2} / {:.2} | {worst} |",
                fired[0], fired[1], decided[0], decided[1]
            );
            row.insert(
                format!("{interval_s}s"),
                json!({ "fired_a_day": thousandths(fired[0]), "decided_a_day": thousandths(decided[0]),
                    "fired_a_day_without_deployments": thousandths(fired[1]),
                    "decided_a_day_without_deployments": thousandths(decided[1]), "fired_in_the_worst_week": worst }),
            );
        }
        page.push('\n');
        all.insert(name.to_owned(), Value::Object(row));
    }
    Value::Object(all)
}
