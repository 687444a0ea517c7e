//! What a deviation of one series means, given what else the service reports: requests, instances, room that is left.

use std::ops::Add;

use shared::events::anomaly::{Band, FailingRequests, Point};
use shared::events::{Kind, Severity};

use super::Service;
use crate::metric_profile::{BadDirection, Role, key};
use crate::series::Series;
use crate::series::rules::slo::Requests;
use crate::series::weight::{Hold, Weight};

/// Failures from which on something fires, and from which on it may be worse than SEV3.
const CONFIRM_FAILURES: f64 = 9.5;
const SEVERE_FAILURES: f64 = 20.0;
/// Log-likelihood ratio that they have to reach against the share that failed before, nats.
const CONFIRM_NATS: f64 = 10.0;
/// Samples over which failures are added up.
const WINDOW_SAMPLES: usize = 30;
/// Weight of what is expected before anything was seen: half a failure in so many requests.
const PRIOR_FAILURES: f64 = 0.5;
const PRIOR_REQUESTS: f64 = 50.0;
/// Time over which failing requests are counted for the impact, milliseconds.
const IMPACT_MS: i64 = 60_000;
/// Share of the requests that has to fail for it to have a consequence.
const MIN_FAILING_SHARE: f64 = 0.001;
/// The same for a counter that is new: what it counts now may be as usual.
const MIN_LATE_SHARE: f64 = 0.05;
/// Part of the room that is left, or of the level where no ceiling is known, that has to be used up.
const MIN_USED_SHARE: f64 = 0.1;
/// How far the product of a figure for each instance and the number of instances may move.
const SAME_TOTAL: std::ops::RangeInclusive<f64> = 0.85..=1.15;

impl Service {
    /// Returns what a sample amounts to that its series is about to take.
    pub(super) fn weigh(&mut self, place: usize, ts_ms: i64, value: f64) -> Weight {
        let series = &self.series[place];
        if series.profile().silent {
            return Weight::held(Hold::Silenced);
        }
        let Some(value) = series.as_judged(ts_ms, value).filter(|&value| series.departs(value)) else {
            return Weight::default();
        };
        let is_hurt = self.is_hurt(Some(place)) == Some(true);
        let weight = match series.profile().kind {
            Kind::Errors => self.by_counts(place, Point { ts_ms, value }),
            _ if series.profile().role == Role::Share => self.by_counts(place, Point { ts_ms, value }),
            Kind::Traffic if !is_hurt && self.is_for_each_instance(series, value) => {
                Some(Weight::held(Hold::PerInstance))
            }
            Kind::Disk | Kind::Memory | Kind::Pool | Kind::Cpu if !is_hurt => by_room(series, value),
            _ => None,
        };
        Weight { is_hurt, ..weight.unwrap_or_default() }
    }

    /// Returns whether users notice something: whether errors, latency or traffic of the service are outside of their
    /// normal. Nothing where none of them is known. `but` is the place of a series that does not count.
    pub(super) fn is_hurt(&self, but: Option<usize>) -> Option<bool> {
        let mut symptoms = self
            .series
            .iter()
            .enumerate()
            .filter(|(place, series)| Some(*place) != but && series.is_symptom())
            .map(|(_, series)| series.is_harmful())
            .peekable();
        symptoms.peek()?;
        Some(symptoms.any(|is_abnormal| is_abnormal))
    }

    /// Weighs a share or a rate of failures by how many requests it rests on.
    fn by_counts(&mut self, place: usize, newest: Point) -> Option<Weight> {
        if self.series[place].profile().role == Role::None {
            return None;
        }
        let requests = self.requests_of(place).map(|place| &self.series[place]);
        let errors = &self.series[place];
        let counts = match requests {
            Some(requests) => {
                let shares: Vec<Point> = errors.points().chain([newest]).collect();
                let is_percent = errors.profile().is_percent(shares.iter().map(|point| point.value));
                counts(errors, requests, &shares, is_percent)
            }
            None if errors.profile().role == Role::Rate => rates(errors, newest),
            None => return None,
        };
        let least = if errors.is_late() { MIN_LATE_SHARE } else { MIN_FAILING_SHARE };
        if errors.is_late() && requests.is_none() {
            return Some(Weight::held(Hold::NoConsequence));
        }
        weight(&counts, least)
    }

    /// Returns how many of the requests that the service answers fail: over the last minute, or the last sample where that
    /// is longer, but not over what was before `since_ms`. Nothing where a series is not about them, or their number is not
    /// known.
    pub(super) fn failing_requests(&mut self, place: usize, since_ms: i64) -> Option<FailingRequests> {
        let profile = self.series[place].profile();
        let counts_failures = matches!(profile.role, Role::Share | Role::Rate);
        if profile.kind != Kind::Errors || !profile.of_requests || !counts_failures {
            return None;
        }
        let of_place = self.requests_of(place)?;
        let (errors, requests) = (&self.series[place], &self.series[of_place]);
        let profile = errors.profile();
        let is_percent = profile.is_percent(errors.points().map(|point| point.value));
        // a share without a unit may be of one or of a hundred
        if profile.role == Role::Share && !is_percent && &*profile.unit != "1" {
            return None;
        }
        let last_ms = errors.last_ms();
        let from_ms = since_ms.max(last_ms - IMPACT_MS + 1).min(last_ms);
        let last: Vec<Point> = errors.points().filter(|point| point.ts_ms >= from_ms).collect();
        let counts = counts(errors, requests, &last, is_percent);
        let sum = counts.iter().copied().fold(Requests::default(), Add::add);
        let seconds = counts.len() as f64 * errors.interval_ms() as f64 / 1000.0;
        (sum.of > 0.0).then(|| FailingRequests {
            failing_per_s: sum.failed / seconds,
            requests_per_s: sum.of / seconds,
        })
    }

    /// Returns the place of the series that counts the requests of which some fail at a place. It is looked for once for
    /// each series that is new.
    pub(super) fn requests_of(&mut self, place: usize) -> Option<usize> {
        let count = self.series.len() as u32;
        if let Some((_, known)) = self.series[place].requests.filter(|&(of, _)| of == count) {
            return known.map(|place| place as usize);
        }
        let found = self.most_alike(self.series[place].name());
        self.series[place].requests = Some((count, found.map(|place| place as u32)));
        found
    }

    /// Returns the place of the requests whose name has most words of another one.
    fn most_alike(&self, name: &str) -> Option<usize> {
        let words = |name: &str| -> Vec<String> {
            name.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase).collect()
        };
        let own = words(name);
        let alike =
            |place: usize| words(self.series[place].name()).iter().filter(|&word| own.contains(word)).count();
        (0..self.series.len())
            .filter(|&place| self.series[place].profile().role == Role::Requests)
            .max_by_key(|&place| {
                // those of another route or queue are others, however much the rest of the name is alike
                let is_same = key::has_same_dimensions(name, self.series[place].name());
                (is_same, alike(place), std::cmp::Reverse(place))
            })
    }

    /// Returns whether a figure is one for each instance, or moves as one because the number of instances has changed.
    fn is_for_each_instance(&self, series: &Series, value: f64) -> bool {
        if series.profile().role == Role::PerInstance {
            return true;
        }
        let Some((_, Band { center, .. })) = series.latest(series.last_ms()) else { return false };
        let instances = self.series.iter().find(|series| series.profile().role == Role::Instances);
        instances.and_then(|instances| instances.latest(instances.last_ms())).is_some_and(
            |(count, before)| {
                let total = value / center * count / before.center;
                (count - before.center).abs() >= 0.5 && SAME_TOTAL.contains(&total)
            },
        )
    }
}

/// Weighs how much of the room that is left a sample uses up.
fn by_room(series: &Series, value: f64) -> Option<Weight> {
    let bounded = series.bounded();
    let (_, Band { center, .. }) = series.latest(series.last_ms())?;
    if bounded.is_nearly_full(value) {
        return None;
    }
    let room = match (bounded.profile.bad_direction, bounded.ceiling) {
        (BadDirection::Up, Some(ceiling)) if ceiling > center => ceiling - center,
        _ => center.abs(),
    };
    ((value - center).abs() < MIN_USED_SHARE * room).then(|| Weight::held(Hold::NoConsequence))
}

/// Returns the failures and requests of these samples of failures, newest first; none where the two do not belong together.
fn counts(errors: &Series, requests: &Series, shares: &[Point], is_percent: bool) -> Vec<Requests> {
    let interval_ms = errors.interval_ms() as i64;
    let seconds = interval_ms as f64 / 1000.0;
    let of_requests: Vec<Point> = requests.points().collect();
    let reach_ms = (requests.interval_ms() as i64).max(interval_ms) * 3 / 2;
    let mut at = of_requests.len();
    let mut counts = Vec::with_capacity(shares.len());
    for share in shares.iter().rev() {
        while at > 0 && of_requests[at - 1].ts_ms > share.ts_ms + interval_ms / 2 {
            at -= 1;
        }
        let Some(rate) = at.checked_sub(1).map(|at| of_requests[at]) else { break };
        if share.ts_ms - rate.ts_ms > reach_ms {
            continue;
        }
        let of = requests.profile().each_second(rate.value, seconds) * seconds;
        let failed = match errors.profile().role {
            Role::Rate => share.value * seconds,
            _ => of * errors.profile().failing(share.value, is_percent),
        };
        counts.push(Requests { failed: failed.clamp(0.0, of), of });
    }
    // where a share of so few requests is less than one request, it is a share of others
    let failing = counts.iter().filter(|count| count.failed > 0.0);
    let (parts, all) = failing.fold((0, 0), |(parts, all), count| {
        (parts + usize::from(count.failed < 0.5 && errors.profile().role == Role::Share), all + 1)
    });
    if 2 * parts > all { Vec::new() } else { counts }
}

/// Returns the failures of the last samples of a rate, newest first, where nothing counts the requests.
fn rates(errors: &Series, newest: Point) -> Vec<Requests> {
    let seconds = errors.interval_ms() as f64 / 1000.0;
    let mut rates: Vec<Point> = errors.points().collect();
    rates.push(newest);
    rates.iter().rev().map(|point| Requests { failed: (point.value * seconds).max(0.0), of: 0.0 }).collect()
}

/// Weighs counts, newest first: over the window in which they say most, against what was before it.
fn weight(counts: &[Requests], least_share: f64) -> Option<Weight> {
    let all = counts.iter().copied().fold(Requests::default(), Add::add);
    let (mut window, mut most, mut strongest) = (Requests::default(), Requests::default(), f64::NEG_INFINITY);
    for count in counts.iter().take(WINDOW_SAMPLES) {
        window = window + *count;
        let before = Requests { failed: all.failed - window.failed, of: all.of - window.of };
        let nats = if all.of > 0.0 { likelihood(window, before) } else { CONFIRM_NATS };
        let is_confirmed = window.failed >= CONFIRM_FAILURES && nats >= CONFIRM_NATS;
        if is_confirmed && window.of > 0.0 && window.failed < least_share * window.of {
            return Some(Weight::held(Hold::NoConsequence));
        }
        if is_confirmed {
            let most = if window.failed < SEVERE_FAILURES { Severity::Sev3 } else { Severity::Sev1 };
            return Some(Weight { most, ..Weight::default() });
        }
        if nats > strongest {
            (strongest, most) = (nats, window);
        }
    }
    let Requests { failed, of } = most;
    (!counts.is_empty()).then(|| Weight::held(Hold::FewRequests { failed, of }))
}

/// Returns the binomial log-likelihood ratio of a share of failures against the one before, nats; nothing below 0.
fn likelihood(now: Requests, before: Requests) -> f64 {
    if now.of <= 0.0 {
        return 0.0;
    }
    let usual = (before.failed.max(0.0) + PRIOR_FAILURES) / (before.of.max(0.0) + PRIOR_REQUESTS);
    let share = (now.failed / now.of).min(1.0);
    if share <= usual {
        return 0.0;
    }
    let passed = now.of - now.failed;
    let of_passed = if passed > 0.0 { passed * ((1.0 - share) / (1.0 - usual)).ln() } else { 0.0 };
    now.failed * (share / usual).ln() + of_passed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns counts of minutes in which so many failed of so many, newest first, after an hour without failures.
    fn after_calm(minutes: &[(f64, f64)], usual: f64) -> Vec<Requests> {
        let newest = minutes.iter().map(|&(failed, of)| Requests { failed, of });
        newest.chain([Requests { failed: 0.0, of: usual }; 40]).collect()
    }

    #[test]
    fn a_handful_proves_nothing_and_hundreds_prove_it_at_once() {
        let weight = |counts: &[Requests]| weight(counts, MIN_FAILING_SHARE);
        let held = |counts: &[Requests]| weight(counts).unwrap().hold.is_some();
        assert!(held(&after_calm(&[(1.0, 2.0), (1.0, 2.0)], 2.0)));
        assert!(held(&after_calm(&[(2.0, 2.0)], 2.0)));
        assert!(held(&after_calm(&[(1.0, 1.0), (0.0, 1.0), (1.0, 3.0)], 0.4)));
        assert!(!held(&after_calm(&[(600.0, 2000.0)], 2000.0)));
        let few = weight(&after_calm(&[(5.0, 10.0), (5.0, 10.0)], 10.0)).unwrap();
        assert_eq!((few.hold, few.most), (None, Severity::Sev3));
        assert!(held(&after_calm(&[(12.0, 60_000.0), (0.0, 60_000.0)], 60_000.0)), "one in ten thousand");
        assert_eq!(weight(&[]), None);
    }
}
