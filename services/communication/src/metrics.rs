//! Metrics of the stage, besides those every stage has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily, Histogram, HistogramFamily};

use crate::content::Kind;
use crate::holding::Why;

/// Upper bounds for rendering and sending: 10 ms to a local server, 40 s is the longest time an attempt may be given.
const DELIVERY_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 40.0];

/// Attempts at delivery.
pub static ATTEMPTS: Counter<2> = LazyLock::new(|| {
    let help = "Attempts at delivery, by outcome: sent, again, failed.";
    CounterFamily::new("firewatch_communication_attempts_total", help, ["kind", "outcome"])
});
/// Recipients that the channel refused.
pub static RECIPIENTS_REFUSED: Counter<1> = LazyLock::new(|| {
    let help = "Recipients that the channel refused.";
    CounterFamily::new("firewatch_communication_recipients_refused_total", help, ["kind"])
});
/// Entries of the service catalogue or the settings that are no address.
pub static ADDRESSES_UNUSABLE: Counter<0> = LazyLock::new(|| {
    let help = "Entries of the service catalogue or the settings that are no address.";
    CounterFamily::new("firewatch_communication_addresses_unusable_total", help, [])
});
/// Later revisions of what had been announced.
pub static NOT_REPEATED: Counter<1> = LazyLock::new(|| {
    let help = "Later revisions of what had been announced. They are not announced.";
    CounterFamily::new("firewatch_communication_not_repeated_total", help, ["kind"])
});
/// Events of which nothing was sent, because a person muted the incident.
pub static MUTED: Counter<1> = LazyLock::new(|| {
    let help = "Events of which nothing was sent, because a person muted the incident.";
    CounterFamily::new("firewatch_communication_muted_total", help, ["kind"])
});
/// Events of which nothing was sent, because a silence hid them.
pub static SILENCED: Counter<1> = LazyLock::new(|| {
    let help = "Events of which nothing was sent, because a silence hid them.";
    CounterFamily::new("firewatch_communication_silenced_total", help, ["kind"])
});
/// Notifications that wait for a summary.
pub static HELD: Counter<1> = LazyLock::new(|| {
    let help = "Notifications that wait for a summary, by reason: digest, quiet_hours, limit, storm.";
    CounterFamily::new("firewatch_communication_held_total", help, ["reason"])
});
/// Notifications that waited and could not be sent.
pub static DROPPED: Counter<0> = LazyLock::new(|| {
    let help = "Notifications that waited for a summary whose receiver is not set up any more.";
    CounterFamily::new("firewatch_communication_held_dropped_total", help, [])
});
/// Time of one attempt.
pub static DELIVERY_SECONDS: Histogram<1> = LazyLock::new(|| {
    let help = "Time to render and send one message, seconds.";
    HistogramFamily::new("firewatch_communication_delivery_seconds", help, ["channel"], &DELIVERY_BUCKETS)
});

/// Turns of the heartbeat.
pub static HEARTBEATS: Counter<1> = LazyLock::new(|| {
    let help = "Heartbeats, by outcome: sent, withheld because the pipeline cannot work, failed.";
    CounterFamily::new("firewatch_communication_heartbeats_total", help, ["outcome"])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    // the first increase of a counter that was not there before is not seen by alerts
    for kind in Kind::LIFECYCLE.into_iter().chain(Kind::UPDATES) {
        for outcome in ["sent", "again", "failed"] {
            ATTEMPTS.add([kind.name(), outcome], 0);
        }
    }
    for why in Why::ALL {
        HELD.add([why.name()], 0);
    }
    LazyLock::force(&DROPPED);
    LazyLock::force(&RECIPIENTS_REFUSED);
    LazyLock::force(&ADDRESSES_UNUSABLE);
    LazyLock::force(&NOT_REPEATED);
    LazyLock::force(&MUTED);
    LazyLock::force(&SILENCED);
    LazyLock::force(&DELIVERY_SECONDS);
    LazyLock::force(&HEARTBEATS);
}
