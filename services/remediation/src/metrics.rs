//! Metrics of the stage, besides those every stage has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily};

/// Plans proposed, by basis: runbook, triage.
pub static PLANS: Counter<1> = LazyLock::new(|| {
    let help = "Plans proposed, by basis: runbook, triage.";
    CounterFamily::new("firewatch_remediation_plans_total", help, ["basis"])
});

/// Causes that left the plan as it is.
pub static UNCHANGED: Counter<0> = LazyLock::new(|| {
    let help = "Causes that left the plan as it is.";
    CounterFamily::new("firewatch_remediation_unchanged_total", help, [])
});

/// Runbooks left out because a section cannot be read.
pub static RUNBOOKS_REFUSED: Counter<0> = LazyLock::new(|| {
    let help = "Runbooks left out because a section cannot be read.";
    CounterFamily::new("firewatch_remediation_runbooks_refused_total", help, [])
});

/// Plans made while the index did not answer.
pub static INDEX_FAILURES: Counter<0> = LazyLock::new(|| {
    let help = "Plans made while the index did not answer.";
    CounterFamily::new("firewatch_remediation_index_failures_total", help, [])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    LazyLock::force(&PLANS);
    LazyLock::force(&UNCHANGED);
    LazyLock::force(&RUNBOOKS_REFUSED);
    LazyLock::force(&INDEX_FAILURES);
}
