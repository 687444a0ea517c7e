//! Metrics of the stage, besides those every stage has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily};

/// Postmortems written, by verdict of the investigation: cause, likely, unknown, none.
pub static DOCUMENTS: Counter<1> = LazyLock::new(|| {
    let help = "Postmortems written, by verdict of the investigation: cause, likely, unknown, none.";
    CounterFamily::new("firewatch_postmortem_documents_total", help, ["verdict"])
});

/// Incidents that were over before cause and plan were on record, by whether those came in time: arrived, missed.
pub static WAITS: Counter<1> = LazyLock::new(|| {
    let help = "Incidents that were over before cause and plan were on record, by whether those came in time: arrived, missed.";
    CounterFamily::new("firewatch_postmortem_waits_total", help, ["outcome"])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    LazyLock::force(&DOCUMENTS);
    LazyLock::force(&WAITS);
}
