//! Series that stop while their service goes on: an instance that is gone, a check that was taken away. What is reported of
//! them would otherwise never end.

use shared::events::anomaly::Ended;

use super::Service;
use super::outcome::Outcome;
use super::room::dead_after_ms;

/// How often series are looked at, by event time, milliseconds.
const LOOK_MS: i64 = 60_000;
/// A pause of the whole service: so many of its usual pauses, and so long, milliseconds. Before it, all series reported.
const PAUSE_INTERVALS: i64 = 10;
const PAUSE_MS: i64 = 60_000;

impl Service {
    /// Notes that a sample of the service comes, before it is taken. Once a minute, what is reported of series that do not
    /// report any more ends.
    pub(crate) fn pass_time(&mut self, ts_ms: i64, outcome: &mut Outcome) {
        let Some(before_ms) = self.reporting.newest_ms() else { return };
        let passed_ms = ts_ms.saturating_sub(before_ms);
        let usual_ms = self.reporting.usual_ms().unwrap_or(PAUSE_MS);
        if passed_ms > PAUSE_MS.max(PAUSE_INTERVALS.saturating_mul(usual_ms)) {
            self.resumed_ms = Some(ts_ms);
        } else if passed_ms > 0 && before_ms.div_euclid(LOOK_MS) != ts_ms.div_euclid(LOOK_MS) {
            self.end_stopped(ts_ms, outcome);
        }
    }

    fn end_stopped(&mut self, now_ms: i64, outcome: &mut Outcome) {
        for place in 0..self.series.len() {
            let series = &self.series[place];
            let since_ms =
                self.resumed_ms.map_or(series.last_ms(), |resumed_ms| resumed_ms.max(series.last_ms()));
            if series.is_open() && now_ms.saturating_sub(since_ms) > dead_after_ms(series.interval_ms()) {
                let reports = self.give_up(place, Ended::SourceGone, now_ms);
                self.publish(reports, outcome);
            }
        }
    }
}
