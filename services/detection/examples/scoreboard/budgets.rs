//! Healthy weeks with other budgets of false alarms.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::decoys::DAY_MS;
use crate::noises::{NOISES, SEED, thousandths};
use crate::shop::quiet_within;

const BUDGETS: [f64; 4] = [0.1, 1.0, 10.0, 100.0];

/// Runs the series of the healthy shop one by one, each budget anew. Returns the episodes a day that fired.
pub(crate) fn score(days: i64, page: &mut String) -> Value {
    page.push_str(
        "\n## Budgets\n\nThe noise of the same weeks with `false_alarms_a_week` as in the head of the column: episodes a day that fired \
         at 10 s / 1 min / 5 min. Here each series is judged by itself, without deployments, rules and partition, and with the week's \
         number of samples known from the first one on, which a partition has to count; so the column 1 is close to the tables above, \
         not the same.\n\n\
         | noise | 0.1 | 1 | 10 | 100 |\n|---|---|---|---|---|\n",
    );
    let mut all = Map::new();
    for (name, noise) in NOISES {
        let mut row = Map::new();
        let _ = write!(page, "| {name} |");
        for budget in BUDGETS {
            eprintln!("{name}, budget {budget}");
            let fired = [10_000, 60_000, 300_000].map(|interval_ms| {
                let alarms = quiet_within(budget, noise, interval_ms, days * DAY_MS / interval_ms, SEED);
                f64::from(alarms.firing) / days as f64
            });
            let _ = write!(page, " {:.2} / {:.2} / {:.2} |", fired[0], fired[1], fired[2]);
            row.insert(budget.to_string(), json!(fired.map(thousandths)));
        }
        page.push('\n');
        all.insert(name.to_owned(), Value::Object(row));
    }
    Value::Object(all)
}
