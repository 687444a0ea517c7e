//! The limit of a series that another one of its service reports: `db_connections_max` of `db_connections_active`.

use super::Series;
use crate::config::Settings;
use crate::metric_profile::Bounded;
use crate::series::rules::Rule;
use crate::series::rules::forecast::Forecast;

/// Part by which a use may exceed its limit, for rounding; what is exceeded by more is no limit.
const SLACK_SHARE: f64 = 0.01;

/// The limit of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limit {
    /// Place in the service of the series that reports it; nothing where several do. Follows from the series.
    pub(crate) reported_by: Option<usize>,
    /// What it is since the last sample of the series.
    pub(crate) ceiling: Option<f64>,
}

impl Series {
    /// Notes that the series at a place of the service reports its limit, or that several do.
    pub(crate) fn limit_by(&mut self, reported_by: Option<usize>) {
        if let Some(limit) = &mut self.limit {
            limit.reported_by = reported_by;
        } else {
            // a guess of the catalogue counts no more
            self.limit = Some(Box::new(Limit { reported_by, ceiling: None }));
        }
    }

    /// Notes that there is no series any more at a place that may have reported its limit.
    pub(crate) fn is_limited_no_more_by(&mut self, place: usize) {
        if let Some(limit) = self.limit.as_mut().filter(|limit| limit.reported_by == Some(place)) {
            **limit = Limit { reported_by: None, ceiling: None };
        }
    }

    /// Forecasts when its limit is reached, unless it has another rule.
    pub(crate) fn forecast(&mut self) {
        self.rule.get_or_insert_with(|| Box::new(Rule::Forecast(Forecast::default())));
    }

    /// Returns its limit, if others report one.
    pub(crate) fn limit(&self) -> Option<&Limit> {
        self.limit.as_deref()
    }

    /// Takes what is reported as its limit at the moment, if it can be that of `value`.
    pub(crate) fn limit_to(&mut self, reported: Option<f64>, value: f64) {
        if let Some(limit) = &mut self.limit {
            limit.ceiling = reported.and_then(|reported| plausible(reported, value));
        }
    }

    /// Returns what its metric means, with the ceiling that holds at the moment.
    pub(crate) fn bounded(&self) -> Bounded<'_> {
        let profile = self.profile();
        let ceiling = self.limit.as_ref().map_or(profile.ceiling, |limit| limit.ceiling);
        Bounded { profile, ceiling, most: self.weight.most }
    }

    /// Returns the value at which it stands, unless it has changed within its last samples or has stopped reporting.
    pub(crate) fn standing(&self, at_ms: i64, settings: &Settings) -> Option<f64> {
        let is_gone = at_ms.saturating_sub(self.last_ms) > settings.gone_after_ms();
        self.samples.standing().filter(|_| !is_gone)
    }
}

/// Returns what was reported as a limit if it can be one of what is used, or left, now.
fn plausible(reported: f64, value: f64) -> Option<f64> {
    (reported > 0.0 && value <= (1.0 + SLACK_SHARE) * reported).then_some(reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_limit_is_none() {
        assert_eq!(plausible(100.0, 100.5), Some(100.0));
        for (reported, value) in [(0.0, 0.0), (-1.0, -5.0), (100.0, 102.0), (f64::NAN, 1.0)] {
            assert_eq!(plausible(reported, value), None, "{reported}");
        }
    }
}
