//! What the service catalogue states of a service, for those of its series that it is about.

use super::Service;
use crate::alert::Report;
use crate::metric_profile::Role;
use crate::series::rules::slo::{self, Requests, Stated};

impl Service {
    /// Notes what the catalogue states, from the next sample on.
    pub(crate) fn state(&mut self, stated: Option<Stated>) {
        self.stated = stated;
        for series in &mut self.series {
            series.state(stated);
        }
    }

    /// Judges the sample that a series has just taken by what the catalogue states.
    pub(super) fn judge_by_slo(&mut self, place: usize) -> Option<Report> {
        if !self.series[place].has_slo() {
            return None;
        }
        let requests = self.requests_at(place);
        self.series[place].judge_by_slo(&self.name, requests)
    }

    /// Returns how many requests the newest sample of a series rests on, and how many of them have failed where it says so.
    fn requests_at(&mut self, place: usize) -> Option<Requests> {
        let of_place = self.requests_of(place)?;
        let (series, requests) = (&self.series[place], &self.series[of_place]);
        let ((at_ms, value), (rate_ms, rate)) = (series.last_sample()?, requests.last_sample()?);
        let (own_ms, theirs_ms) = (series.interval_ms(), requests.interval_ms());
        let reach_ms = own_ms.max(theirs_ms) * 3 / 2;
        if own_ms == 0 || theirs_ms == 0 || at_ms.abs_diff(rate_ms) > reach_ms {
            return None;
        }
        let seconds = own_ms as f64 / 1000.0;
        let of = requests.profile().each_second(rate, theirs_ms as f64 / 1000.0) * seconds;
        let failed = match series.profile().role {
            Role::Rate => value * seconds,
            Role::Share => of * slo::failing(series.profile(), value),
            _ => 0.0,
        };
        (of >= 0.0).then(|| Requests { failed: failed.clamp(0.0, of), of })
    }
}
