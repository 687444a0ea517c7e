//! Objectives: values beyond which a series is bad whatever is usual for it, and from its first sample on.

use serde::{Deserialize, Serialize};
use shared::events::Severity;
use shared::events::anomaly::{Band, Direction, Point, Status};

use crate::alert::certainty::Certainty;
use crate::alert::format::{quantity, time};
use crate::alert::{Alert, Detector, Report, Revision, Subject, Verdict};
use crate::metric_profile::BadDirection;
use crate::series::Series;

/// Name and version of the rule.
const DETECTOR: &str = "objective/1";
/// Samples of which so many have to be beyond it, and in a row inside after which it is met again.
const OF_SAMPLES: u8 = 3;
const CONFIRM_SAMPLES: u32 = 2;
const CALM_SAMPLES: u8 = 3;

/// How one series keeps to its objective.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Objective {
    /// Which of the last samples were beyond it, the newest lowest.
    missed: u8,
    /// Samples in a row inside.
    met: u8,
    alert: Option<Box<Alert>>,
}

/// A series that has just taken a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Achieved<'a> {
    pub(crate) service: &'a str,
    pub(crate) series: &'a Series,
}

impl Detector for Objective {
    type Input<'a> = Achieved<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, Achieved { service, series }: Achieved<'_>) -> Option<Report> {
        let profile = series.profile();
        let bounded = series.bounded();
        let Point { ts_ms, value } = series.newest().filter(|newest| newest.ts_ms == series.last_ms())?;
        let Some(objective) = bounded.objective(series.limit().is_some()) else {
            let explanation = format!("the size of {} of {service} is not known any more", series.name());
            return Some(self.give_up(series)?.explained(explanation));
        };
        let (direction, is_missed, expected) = if profile.bad_direction == BadDirection::Down {
            let upper = bounded.ceiling.unwrap_or(objective).max(objective);
            // of what is left, nothing is too little
            let is_missed = value < objective || profile.is_disk_room && value <= 0.0;
            (Direction::Down, is_missed, Band { lower: objective, center: upper, upper })
        } else {
            (Direction::Up, value > objective, Band { lower: 0.0, center: 0.0, upper: objective })
        };
        self.missed = (self.missed << 1 | u8::from(is_missed)) & ((1 << OF_SAMPLES) - 1);
        self.met = if is_missed { 0 } else { self.met.saturating_add(1) };
        let certainty = match (is_missed, self.missed.count_ones() >= CONFIRM_SAMPLES) {
            _ if self.met >= CALM_SAMPLES => Certainty::Normal,
            (true, true) => Certainty::Certain,
            (true, false) => Certainty::Noticed,
            (false, _) => return None,
        };
        let verdict = Verdict {
            certainty,
            nats: certainty.stated_nats(),
            severity: Severity::Sev2,
            direction,
            observed: value,
            expected,
        };
        let revision = Alert::follow(&mut self.alert, &verdict, ts_ms)?;
        let explanation = sentence(service, series, (value, objective), direction, &revision);
        Some(report(series, &revision, verdict, ts_ms).explained(explanation))
    }
}

impl Objective {
    /// Returns whether there is something to remember.
    pub(crate) fn is_open(&self) -> bool {
        self.alert.is_some() || self.missed > 0
    }

    /// Ends its alert where it cannot be judged any more. Returns the report of that, without an explanation.
    pub(crate) fn give_up(&mut self, series: &Series) -> Option<Report> {
        self.missed = 0;
        let Point { ts_ms, value } = series.newest()?;
        let verdict = Verdict::not_known(value);
        let revision = Alert::follow(&mut self.alert, &verdict, ts_ms)?;
        Some(report(series, &revision, verdict, ts_ms))
    }
}

fn report(series: &Series, revision: &Revision, verdict: Verdict, ts_ms: i64) -> Report {
    let profile = series.profile();
    let subject = Subject {
        metric: format!("{}:objective", series.name()).into(),
        kind: profile.kind,
        unit: profile.unit.clone(),
        detector: DETECTOR,
    };
    Report::new(subject, revision, verdict, ts_ms)
        .every(series.interval_ms())
        .points(series.points().collect())
}

/// Says in one sentence how a value stands to its objective.
fn sentence(
    service: &str,
    series: &Series,
    (value, objective): (f64, f64),
    direction: Direction,
    revision: &Revision,
) -> String {
    let (name, profile) = (series.name(), series.profile());
    let (observed, bar) = (quantity(value, &profile.unit), quantity(objective, &profile.unit));
    let since = time(revision.alert.started_ms, series.last_ms());
    let side = if direction == Direction::Up { "above" } else { "below" };
    if profile.is_function && series.limit().is_some() {
        let timeout =
            series.bounded().ceiling.map_or_else(|| bar.clone(), |most| quantity(most, &profile.unit));
        return match revision.alert.status {
            Status::Cleared => format!(
                "{name} of {service} is {observed} again; it reached its timeout of {timeout} since {since}"
            ),
            Status::Suspect => {
                format!("{name} of {service} is {observed}, its timeout is {timeout}; not yet certain")
            }
            Status::Firing => {
                format!(
                    "{name} of {service} reaches its timeout of {timeout} since {since}: calls are cut off"
                )
            }
        };
    }
    let missed = match (profile.is_disk_room, objective > 0.0) {
        (true, true) => format!("{side} {bar}, where it counts as full"),
        (true, false) => "nothing is left".to_owned(),
        (false, _) => format!("{side} its objective of {bar}"),
    };
    match revision.alert.status {
        Status::Cleared if profile.is_disk_room => {
            format!("{name} of {service} is {observed} again; it was full since {since}")
        }
        Status::Cleared => {
            format!("{name} of {service} is {observed} again; it was {missed} since {since}")
        }
        Status::Suspect => format!("{name} of {service} is {observed}, {missed}; not yet certain"),
        Status::Firing => format!("{name} of {service} is {observed}, {missed}, since {since}"),
    }
}
