//! Log lines about what is refused: the first one of each kind, and then one a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines of one kind.
const PAUSE: Duration = Duration::from_mins(1);

/// Logs that something of a format was refused for a reason.
pub(crate) fn refused(format: &'static str, reason: &'static str, detail: &str) {
    static LAST: Mutex<BTreeMap<(&str, &str), Instant>> = Mutex::new(BTreeMap::new());

    let now = Instant::now();
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = last.get(&(format, reason)).is_none_or(|at| now.duration_since(*at) >= PAUSE);
    if is_due {
        last.insert((format, reason), now);
        drop(last);
        tracing::warn!(format, reason, detail, "telemetry was refused");
    }
}
