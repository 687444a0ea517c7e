//! The document.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use simulator::Noise;

use super::{Outcome, Tally, sections};
use crate::scoreboard::Share;

/// Goals: share of faults with the right service, with the right kind of cause, and of verdicts `cause` that are right.
const GOALS: [(&str, f64); 3] = [
    ("service right at the last result", 0.99),
    ("category right at the last result", 0.97),
    ("verdict `cause` right at the last result", 0.98),
];

/// The scenarios that a row belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Faults that are visible.
    Visible,
    /// Runs without a fault.
    Quiet,
    /// Faults whose service reports nothing.
    Invisible,
}

/// Incidents about no fault, of scenarios with visible faults.
#[derive(Debug, Default)]
pub struct Unfounded {
    /// Figures.
    pub tally: Tally,
    /// Noise and seeds of the runs that have any. Scenarios of one seed have the same noise.
    pub seeds: BTreeSet<(String, u64)>,
}

impl Unfounded {
    /// Adds those of a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.tally.add_unfounded(outcome);
        if outcome.found.iter().any(|found| found.about.is_none()) {
            self.seeds.insert((format!("{:?}", outcome.noise), outcome.seed));
        }
    }
}

/// One line of a table.
#[derive(Debug)]
pub struct Row {
    /// Which table it belongs to.
    pub group: Group,
    /// Scenario.
    pub scenario: String,
    /// Noise.
    pub noise: Noise,
    /// Figures.
    pub tally: Tally,
}

const INTRODUCTION: &str = "\
Faults of the simulator go through detection, correlation and investigation in one process, timers in event time. Investigation \
decides as the stage does: records, claims, check and verdict are the same code, over rows in memory. No knowledge is searched and \
no other system is queried. Each result is checked against a second reading of the rows, which do not change meanwhile.

- A fault is judged by the *last result* of the first incident about it; a fault without an incident counts as wrong. An incident is \
about the fault whose service is its first suspect, or else about the fault that began last before it. A *category* counts only with \
the right service.
- *Cause right*: of all incidents whose last result has the verdict `cause`, those whose first candidate has the right service and \
category. Incidents about no fault count as wrong. *At first*: the same of first results.
- *Verdicts*: incidents by the verdict of the last result, `cause` / `likely` / `unknown`.
- *Order of events right*: of the faults whose first candidate has the claim \"Order of events\" (*claimed*), those where it begins at the \
faulty service, where each further step is at the same service or at a service that calls the one of the step before in the simulated \
shop, and where the fault reaches all services of the steps. A fault reaches its own service and those whose share of errors or p99 \
latency it raises at some time, by the tables of the simulator and without noise. There is no order of events where the last result knows \
no later symptom of the service or of a caller: it is not made again while first suspect, category and verdict stay.
- *Claims*: those of all results that passed the check / that were dropped.
- *Naive*: the service with the largest z-score since the fault began, by the mean and deviation of the samples before it.
- In parentheses: 95 % intervals (Wilson). Scenarios of one seed have the same noise, so those of sums over scenarios are too narrow.
";

const HEAD: &str = "| scenario | service | category | cause right | cause right at first | verdicts | order of events claimed | order of events right | claims | naive: service |\n\
    |---|---|---|---|---|---|---|---|---|---|\n";

const UNKNOWN: &str = "\
How often the last result of an incident does not have the verdict `cause`, where no cause can be seen:

- *no fault*: nothing is faulty during the run. Incidents of all scenarios above that are about no fault are counted in the last line.
- *service unwatched*: the faulty service reports nothing, neither before nor during the fault: its metrics, log lines, spans and \
deployments are removed from the input. Those of its callers are kept. Services that nobody calls are left out.
- *service unwatched, no logs and spans*: as before, and the log lines and spans of all other services are removed as well, so nobody's \
calls are known and only metrics and deployments are left.
- *only metrics of the entry*: nothing is left but the metrics of `api-gateway`, which the fault reaches weakened.

*A caller waits*: verdicts `cause` which say that a direct caller of the faulty service waits for something that is not watched. That is \
what happened, although it is not the faulty service. *Other*: all other verdicts `cause`; they are wrong.
";

const UNKNOWN_HEAD: &str = "| runs | number | with an incident | incidents | verdict not `cause` | a caller waits | other | verdicts |\n\
    |---|---|---|---|---|---|---|---|\n";

impl Row {
    fn name(&self) -> String {
        format!("{}, {}", self.scenario, format!("{:?}", self.noise).to_lowercase())
    }

    /// Returns the first part of the name of the scenario.
    fn variant(&self) -> &str {
        self.scenario.split(':').next().unwrap_or(&self.scenario)
    }

    /// Returns the line of the table that it belongs to.
    pub fn line(&self) -> String {
        match self.group {
            Group::Visible => visible(&self.name(), &self.tally),
            Group::Quiet | Group::Invisible => unknown(&self.name(), &self.tally),
        }
    }
}

fn verdicts(tally: &Tally) -> String {
    let [cause, likely, unknown] = tally.verdicts;
    format!("{cause} / {likely} / {unknown}")
}

fn visible(name: &str, tally: &Tally) -> String {
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} of {} | {} | {} / {} | {} |",
        tally.service,
        tally.category,
        tally.cause_at_last,
        tally.cause_at_first,
        verdicts(tally),
        tally.chained.hits,
        tally.chained.all,
        tally.chain,
        tally.verified,
        tally.dropped,
        tally.naive_service,
    )
}

fn unknown(name: &str, tally: &Tally) -> String {
    let said = tally.verdicts[0];
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} |",
        tally.seeds,
        tally.with_incident,
        tally.incidents,
        tally.not_cause,
        tally.below,
        said - tally.below,
        verdicts(tally),
    )
}

fn sum<'r>(rows: impl Iterator<Item = &'r Row>) -> Tally {
    let mut sum = Tally::default();
    rows.for_each(|row| sum.merge(&row.tally));
    sum
}

/// Returns the sums over the visible scenarios, by noise and together, and what the goals were.
pub fn summary(rows: &[Row], unfounded: &Unfounded) -> String {
    let visible_rows = || rows.iter().filter(|row| row.group == Group::Visible);
    let mut text = HEAD.to_owned();
    let mut noises: Vec<Noise> = visible_rows().map(|row| row.noise).collect();
    noises.dedup();
    let mut below = Vec::new();
    for noise in noises {
        let (name, some) =
            (format!("{noise:?}").to_lowercase(), sum(visible_rows().filter(|row| row.noise == noise)));
        let _ = writeln!(text, "{}", visible(&format!("all, {name}"), &some));
        for (goal, share) in GOALS.into_iter().zip([some.service, some.category, some.cause_at_last]) {
            if misses(share, goal) {
                below.push(format!("{name}: {} {share}", goal.0));
            }
        }
    }
    let all = sum(visible_rows());
    let _ = writeln!(text, "{}\n", visible("all", &all));
    for ((what, goal), share) in GOALS.iter().zip([all.service, all.category, all.cause_at_last]) {
        let is_met = if share.value() >= *goal { "met" } else { "not met" };
        let _ =
            writeln!(text, "- {what}: {share}, {} of {}; goal {goal:.2}: {is_met}.", share.hits, share.all);
    }
    if !below.is_empty() {
        let _ = writeln!(text, "- below a goal, by noise: {}.", below.join("; "));
    }
    let is_missed = |tally: &Tally| misses(tally.service, GOALS[0]) || misses(tally.category, GOALS[1]);
    let shown = |row: &Row| {
        let (service, category) = (row.tally.service.value(), row.tally.category.value());
        format!("{} ({service:.3} / {category:.3})", row.name())
    };
    let missed: Vec<String> = visible_rows().filter(|row| is_missed(&row.tally)).map(shown).collect();
    if !missed.is_empty() {
        let _ = writeln!(
            text,
            "- scenarios below the goals of service or category (service / category): {}.",
            missed.join("; ")
        );
    }
    let _ = writeln!(
        text,
        "- incidents about no fault beside faults: {}, {} of them with the verdict `cause`; they come from the noise of {} seeds.",
        unfounded.tally.incidents,
        unfounded.tally.verdicts[0],
        unfounded.seeds.len()
    );
    text
}

fn misses(share: Share, (_, goal): (&str, f64)) -> bool {
    share.all > 0 && share.value() < goal
}

fn unknown_table(rows: &[Row], unfounded: &Unfounded) -> String {
    let mut text = UNKNOWN_HEAD.to_owned();
    for group in [Group::Quiet, Group::Invisible] {
        for row in rows.iter().filter(|row| row.group == group) {
            let _ = writeln!(text, "{}", row.line());
        }
    }
    let mut variants: Vec<&str> =
        rows.iter().filter(|row| row.group != Group::Visible).map(Row::variant).collect();
    variants.sort_unstable();
    variants.dedup();
    for variant in variants {
        let name = format!("all: {variant}");
        let some = rows.iter().filter(|row| row.group != Group::Visible && row.variant() == variant);
        let _ = writeln!(text, "{}", unknown(&name, &sum(some)));
    }
    let _ = writeln!(text, "{}", unknown("incidents about no fault beside faults", &unfounded.tally));
    text
}

/// Returns the document. `unfounded` are the incidents about no fault of the visible scenarios.
pub fn render(rows: &[Row], unfounded: &Unfounded, seeds: u64) -> String {
    let mut page = format!(
        "# Investigation scoreboard\n\n\
         Written by `make score-investigation`; {seeds} seeds of each scenario and noise, 10 s a sample (flapping: 1 s), each seed at \
         another time of the day. The scenarios are those of the [correlation scoreboard](scoreboard-correlation.md).\n\n\
         {INTRODUCTION}\n## Summary\n\n{}\n## Scenarios\n\n{HEAD}",
        summary(rows, unfounded)
    );
    for row in rows.iter().filter(|row| row.group == Group::Visible) {
        let _ = writeln!(page, "{}", row.line());
    }
    let _ = write!(page, "\n## Causes that cannot be seen\n\n{UNKNOWN}\n{}", unknown_table(rows, unfounded));
    page.push_str(&sections::all());
    page
}
