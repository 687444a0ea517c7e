//! Certificates: how long they are still valid, by event time. Works from the first sample on; a certificate's steady
//! fall and its jump at a renewal are as they should be, so the series' own normal is not used.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::Certainty;
use crate::alert::format;
use crate::alert::{Alert, Detector, Report, Revision, Subject, Verdict};
use crate::config::Settings;
use crate::metric_profile::{DetectionMode, MetricProfile};
use crate::series::rules::Observation;

/// Name and version of the rule.
const DETECTOR: &str = "expiry/1";
/// The unit in which all of this is reported.
const UNIT: &str = "d";

const DAY_MS: f64 = 86_400_000.0;
/// Samples of which the soonest end counts: several certificates may be reported under one name by turns.
const SOONEST_OF_SAMPLES: usize = 3;
/// Parts of a certificate's whole life at which it is noticed, certain and urgent where these come later than the days
/// of the settings: a certificate that is made for a day is not urgent when it is new. With 90 days they are 30, 15, 3.
const LIFE_PARTS: [f64; 3] = [1.0 / 3.0, 1.0 / 6.0, 1.0 / 30.0];
/// An end that moves later by this part of the time that is then left, and by more than a day and a half (the jitter of
/// whole days), or by more than a minute where the time is reported exactly, is a renewal.
const RENEWED_SHARE: f64 = 0.1;
const DAYS_JITTER_MS: i64 = 129_600_000;
const EXACT_JITTER_MS: i64 = 60_000;
/// A number of seconds beyond this, of the year 2001, is a Unix time and not a remaining life of 31 years.
const MIN_UNIX_S: f64 = 1e9;
/// The farthest end that is accepted, days; keeps times in range.
const MAX_DAYS: f64 = 100_000.0;
/// Evidence of what is noticed, certain, urgent and expired, nats: there is no noise in a date.
const NATS: [f64; 4] = [2.0, 4.0, 5.0, 6.0];

/// What is known of the certificate that one series reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// Ends that the last samples reported, milliseconds.
    ends: VecDeque<i64>,
    /// Soonest of them at the last sample.
    end_ms: Option<i64>,
    /// Time that was left right after the last renewal that was seen, milliseconds.
    life_ms: Option<i64>,
    alert: Option<Box<Alert>>,
}

/// A revision that is due.
#[derive(Debug, Clone, PartialEq)]
struct Due {
    revision: Revision,
    verdict: Verdict,
    end_ms: i64,
    /// Days before the end at which a certificate is certain.
    certain_days: f64,
}

impl Detector for Certificate {
    type Input<'a> = (&'a Observation<'a>, &'a Settings);
    type Reports = Option<Report>;

    fn observe(&mut self, (observation, settings): (&Observation<'_>, &Settings)) -> Option<Report> {
        let &Observation { service, metric, bounded, ts_ms, value, .. } = observation;
        let MetricProfile { unit, mode, .. } = bounded.profile;
        let due = self.judge(ts_ms, value, unit, *mode, settings)?;
        let sentence = due.sentence(service, metric, ts_ms);
        Some(report(observation, &due.revision, due.verdict).explained(sentence))
    }
}

fn report(observation: &Observation<'_>, revision: &Revision, verdict: Verdict) -> Report {
    let &Observation { metric, bounded, ts_ms, .. } = observation;
    let MetricProfile { unit, mode, .. } = bounded.profile;
    let subject =
        Subject { metric: metric.into(), kind: Kind::Certificate, unit: UNIT.into(), detector: DETECTOR };
    Report::new(subject, revision, verdict, ts_ms)
        .every(observation.interval_ms.round() as u64)
        .points(days_left(observation.samples.points(), unit, *mode))
}

impl Certificate {
    /// Returns whether it has an alert that is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.alert.is_some()
    }

    /// Ends its alert where the series stopped reporting. Returns the report of that, without an explanation.
    pub(crate) fn give_up(&mut self, last: &Observation<'_>) -> Option<Report> {
        let left_ms = self.end_ms?.saturating_sub(last.ts_ms);
        let verdict = Verdict::not_known(left_ms as f64 / DAY_MS);
        let revision = Alert::follow(&mut self.alert, &verdict, last.ts_ms)?;
        Some(report(last, &revision, verdict))
    }

    /// Takes a sample of a series in `unit`. Values that are no time (0 where a certificate is yet to be issued) are
    /// passed over.
    fn judge(
        &mut self,
        ts_ms: i64,
        value: f64,
        unit: &str,
        mode: DetectionMode,
        settings: &Settings,
    ) -> Option<Due> {
        let end_ms = end(ts_ms, value, unit, mode)?;
        if self.ends.len() == SOONEST_OF_SAMPLES {
            self.ends.pop_front();
        }
        self.ends.push_back(end_ms);
        let end_ms = self.ends.iter().copied().min()?;
        let left_ms = end_ms.saturating_sub(ts_ms);
        let jitter = if unit == "d" { DAYS_JITTER_MS } else { EXACT_JITTER_MS };
        if let Some(before) = self.end_ms.replace(end_ms) {
            let later = end_ms.saturating_sub(before);
            if later > jitter && later as f64 > RENEWED_SHARE * left_ms as f64 {
                self.life_ms = Some(left_ms);
            }
        }
        let bars = self.bars(settings);
        let left = left_ms as f64 / DAY_MS;
        let grade = bars.iter().filter(|bar| left < **bar).count();
        let (certainty, severity) = match grade {
            _ if left <= 0.0 => (Certainty::Certain, Severity::Sev1),
            0 => (Certainty::Normal, Severity::Sev4),
            1 => (Certainty::Noticed, Severity::Sev4),
            2 => (Certainty::Certain, Severity::Sev3),
            _ => (Certainty::Certain, Severity::Sev2),
        };
        let nats = if left <= 0.0 { NATS[3] } else { grade.checked_sub(1).map_or(0.0, |grade| NATS[grade]) };
        let upper = self.life_ms.map_or(0.0, |life| life as f64 / DAY_MS).max(bars[0]).max(left);
        let verdict = Verdict {
            certainty,
            nats,
            severity,
            direction: Direction::Down,
            observed: left,
            // more is expected to be left than at the first notice, at most the whole life
            expected: Band { lower: bars[0], center: f64::midpoint(bars[0], upper), upper },
        };
        let revision = Alert::follow(&mut self.alert, &verdict, ts_ms)?;
        Some(Due { revision, verdict, end_ms, certain_days: bars[1] })
    }

    /// Returns the days before the end at which a certificate is noticed, certain and urgent.
    fn bars(&self, settings: &Settings) -> [f64; 3] {
        let days =
            [settings.certificate_notice_days, settings.certificate_days, settings.certificate_urgent_days];
        let life = self.life_ms.map_or(f64::INFINITY, |life| life as f64 / DAY_MS);
        std::array::from_fn(|bar| f64::from(days[bar]).min(LIFE_PARTS[bar] * life))
    }
}

impl Due {
    /// Says in one sentence what it came to.
    fn sentence(&self, service: &str, metric: &str, ts_ms: i64) -> String {
        let end = from_ms(self.end_ms).strftime("%F %H:%M UTC");
        let away = format::duration((self.end_ms - ts_ms).abs());
        let bar = self.certain_days;
        if self.revision.alert.status == Status::Cleared {
            return format!("the certificate of {service} ({metric}) was renewed and is valid until {end}");
        }
        if self.verdict.observed <= 0.0 {
            return format!("the certificate of {service} ({metric}) expired {away} ago, at {end}");
        }
        let why = match self.revision.alert.status {
            Status::Suspect => "renewal is due".to_owned(),
            _ => format!("renewal is overdue, it was due {} days before the end", round(bar)),
        };
        format!("the certificate of {service} ({metric}) expires in {away}, at {end}: {why}")
    }
}

/// Returns kept samples as days left.
fn days_left(points: impl Iterator<Item = Point>, unit: &str, mode: DetectionMode) -> Vec<Point> {
    points
        .filter_map(|Point { ts_ms, value }| {
            let left = end(ts_ms, value, unit, mode)?.saturating_sub(ts_ms);
            Some(Point { ts_ms, value: left as f64 / DAY_MS })
        })
        .collect()
}

/// Returns the time at which a certificate ends, milliseconds; nothing for a value that is no time.
fn end(ts_ms: i64, value: f64, unit: &str, mode: DetectionMode) -> Option<i64> {
    let unit_days = match unit {
        "d" => 1.0,
        "h" => 1.0 / 24.0,
        "min" => 1.0 / 1440.0,
        "ms" => 1.0 / DAY_MS,
        _ => 1000.0 / DAY_MS,
    };
    let is_unix = value * unit_days * DAY_MS / 1000.0 >= MIN_UNIX_S;
    if mode == DetectionMode::ExpiresAt && !is_unix {
        return None;
    }
    let days = (value * unit_days).clamp(-MAX_DAYS, MAX_DAYS);
    let ms = (days * DAY_MS) as i64;
    Some(if is_unix { ms } else { ts_ms.saturating_add(ms) })
}

fn round(days: f64) -> String {
    shared::text::format::number((10.0 * days).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_750_000_000_000;
    const DAY: i64 = 86_400_000;

    fn watch(
        samples: impl IntoIterator<Item = (i64, f64)>,
        unit: &str,
        mode: DetectionMode,
    ) -> Vec<(i64, Revision)> {
        let (settings, mut certificate) = (Settings::default(), Certificate::default());
        let mut revisions = Vec::new();
        for (ts_ms, value) in samples {
            let due = certificate.judge(ts_ms, value, unit, mode, &settings);
            revisions.extend(due.map(|due| ((ts_ms - NOW_MS) / DAY, due.revision)));
        }
        revisions
    }

    #[test]
    fn a_certificate_is_reported_at_each_bar_and_cleared_when_renewed() {
        let end_s = (NOW_MS + 40 * DAY) as f64 / 1000.0;
        let days = (0..42).map(|day| (NOW_MS + day * DAY + 1, end_s));
        let renewed = (42..45).map(|day| (NOW_MS + day * DAY, end_s + 90.0 * 86_400.0));
        let revisions = watch(days.chain(renewed), "s", DetectionMode::ExpiresAt);
        let reported: Vec<_> = revisions
            .iter()
            .map(|(day, revision)| (*day, revision.alert.status, revision.alert.severity))
            .collect();
        assert_eq!(
            reported,
            [
                (10, Status::Suspect, Severity::Sev4),
                (26, Status::Firing, Severity::Sev3),
                (37, Status::Firing, Severity::Sev2),
                (40, Status::Firing, Severity::Sev1),
                (44, Status::Cleared, Severity::Sev1),
            ]
        );
    }

    #[test]
    fn seconds_days_and_times_say_the_same() {
        for (value, unit, mode) in [
            (10.0 * 86_400.0, "s", DetectionMode::Expiry),
            (10.0, "d", DetectionMode::Expiry),
            (240.0, "h", DetectionMode::Expiry),
            (NOW_MS as f64 / 1000.0 + 864_000.0, "s", DetectionMode::Expiry),
            (NOW_MS as f64 + 864e6, "ms", DetectionMode::ExpiresAt),
        ] {
            let revisions = watch([(NOW_MS, value)], unit, mode);
            assert_eq!(revisions[0].1.alert.severity, Severity::Sev3, "{value} {unit}");
        }
    }

    #[test]
    fn a_certificate_of_a_day_alarms_until_its_life_is_known_and_then_only_when_it_is_not_renewed() {
        let hour = DAY / 24;
        let left = |i: i64| if i < 60 { 24 - i % 12 } else { (24 - (i - 48)).max(-3) };
        let samples = (0..80).map(|i| (NOW_MS + i * hour, left(i) as f64 * 3600.0));
        let revisions = watch(samples, "s", DetectionMode::Expiry);
        let reported: Vec<_> = revisions
            .iter()
            .map(|(_, revision)| (revision.alert.status, revision.alert.started_ms))
            .collect();
        assert_eq!(reported[0], (Status::Firing, NOW_MS));
        assert_eq!(reported[1].0, Status::Cleared);
        assert_eq!(reported[2].0, Status::Suspect, "8 hours left of 24");
        assert!(reported[2].1 >= NOW_MS + 60 * hour);
        assert_eq!(revisions.last().unwrap().1.alert.severity, Severity::Sev1);
    }

    #[test]
    fn certificates_reported_by_turns_count_as_the_one_that_ends_first_and_what_is_not_issued_not_at_all() {
        let by_turns = (0..50).map(|i| (NOW_MS + i * 60_000, if i % 2 == 0 { 10.0 } else { 80.0 }));
        assert_eq!(watch(by_turns, "d", DetectionMode::Expiry).len(), 1);
        assert!(watch([(NOW_MS, 0.0), (NOW_MS + 1, -1.0)], "s", DetectionMode::ExpiresAt).is_empty());
        assert!(watch((0..50).map(|i| (NOW_MS + i * DAY, 1e100)), "s", DetectionMode::Expiry).is_empty());
    }
}
