//! Episodes: when a deviation begins to count, how it is graded, and when it is over.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Direction, Status};
use shared::events::{Kind, Severity};

use crate::alert::Alert;
use crate::alert::certainty::{Certainty, MAX_EVIDENCE_NATS, nats};
use crate::metric_profile::{BadDirection, Bounded, MetricProfile};
use crate::series::alarm_budget::FiringThreshold;
use crate::series::baseline::{BAND_SPREADS, NOTICED_SPREADS, Reading};
use crate::series::history::HistoryScore;

/// Novelty of two out of three samples that makes an episode fire.
pub(crate) const CONFIRM_NOVELTY: f64 = 8.0;
/// Part of what makes an episode certain that is noticed.
pub(crate) const NOTICED_SHARE: f64 = NOTICED_SPREADS / CONFIRM_NOVELTY;
/// Distance from which on a sample may be the newest of a ramp, in spreads.
const RAMP_SPREADS: f64 = 2.0;
/// Shift of the short mean that does so as well.
const SHIFT_SPREADS: f64 = 9.0;
/// Part of that which is noticed: what creeps must not teach the level to follow it.
const NOTICED_SHIFT: f64 = CONFIRM_NOVELTY * 7.0 / SHIFT_SPREADS;
/// Samples in a row with next to nothing left that are an outage, however restless the series is.
const OUTAGE_SAMPLES: u8 = 3;
/// Samples in a row inside the band after which an episode is over.
pub const CALM_SAMPLES: u8 = 3;
/// Farthest the mean of those samples may lie from the level, in spreads: three samples just inside the band are no
/// recovery.
const CALM_MEAN_SPREADS: f64 = 2.0;

/// What a sample amounts to, given those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// How sure it is.
    pub certainty: Certainty,
    /// Evidence, nats.
    pub nats: f64,
    /// To which side the series has gone.
    pub direction: Direction,
    /// Whether it may fire: it is certain, and within the fleet's budget of false alarms.
    pub may_fire: bool,
    /// Whether the series has done the same at this time before.
    pub is_known: bool,
}

impl Finding {
    /// Returns the same, but at most noticed.
    #[must_use]
    pub fn noticed(self) -> Self {
        Self { certainty: self.certainty.min(Certainty::Noticed), may_fire: false, ..self }
    }

    /// Returns the same, or what the series' own past says where that raises an alarm; or where it has raised one in
    /// this episode (`was_certain`) and only now meets what the fleet demands.
    #[must_use]
    pub fn or_alarm(self, score: &HistoryScore, was_certain: bool, threshold: &FiringThreshold) -> Self {
        let may_fire = threshold.is_met_by(score);
        if self.may_fire || !(score.is_alarm || was_certain && may_fire) {
            return self;
        }
        let nats = self.nats.max(score.nats());
        Self { certainty: Certainty::Certain, nats, direction: score.direction, may_fire, is_known: false }
    }
}

/// The signed deviations of the last samples, newest last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Recent {
    /// As in [`Reading::novelty`] and [`Reading::distance`], negative below the level; spreads.
    novelty: [f32; 3],
    distance: [f32; 3],
    /// Samples in a row with next to nothing left.
    gone: u8,
}

impl Recent {
    /// Takes the newest reading.
    pub fn push(&mut self, reading: &Reading) {
        let sign = sign(reading.direction);
        self.novelty = [self.novelty[1], self.novelty[2], (sign * reading.novelty) as f32];
        self.gone = if reading.is_gone { self.gone.saturating_add(1) } else { 0 };
        self.distance = [self.distance[1], self.distance[2], (sign * reading.distance) as f32];
    }

    /// Returns the novelty that two of the last three samples reach on that side, the newest being one of them.
    fn lasting(&self, direction: Direction) -> f64 {
        let sign = sign(direction);
        let [first, second, newest] = self.novelty.map(|novelty| sign * f64::from(novelty));
        newest.min(first.max(second)).max(0.0)
    }

    /// Returns whether the mean of the last samples is close to the level.
    fn is_centred(&self) -> bool {
        f64::from(self.distance.iter().sum::<f32>()).abs() < CALM_MEAN_SPREADS * self.distance.len() as f64
    }

    /// Returns whether what should be there, for its absence harms, has gone for good.
    pub fn is_outage(&self, profile: &MetricProfile) -> bool {
        self.gone >= OUTAGE_SAMPLES
            && profile.kind != Kind::Other
            && profile.bad_direction.includes(Direction::Down)
    }

    /// Judges the newest sample.
    pub fn find(&self, reading: &Reading, profile: &MetricProfile, threshold: &FiringThreshold) -> Finding {
        let direction = reading.direction;
        if self.is_outage(profile) {
            return Finding {
                certainty: Certainty::Certain,
                nats: MAX_EVIDENCE_NATS,
                direction,
                may_fire: true,
                is_known: false,
            };
        }
        // a ramp counts only while the sample itself is still out there, on the same side
        let agrees = reading.distance >= RAMP_SPREADS && reading.steepness * sign(direction) > 0.0;
        let steep = if agrees { CONFIRM_NOVELTY * reading.steepness.abs() } else { 0.0 };
        let agrees = reading.distance >= BAND_SPREADS && reading.shift * sign(direction) > 0.0;
        let shifted = if agrees { CONFIRM_NOVELTY * reading.shift.abs() / SHIFT_SPREADS } else { 0.0 };
        let lasting = self.lasting(direction);
        let harms = profile.bad_direction.includes(direction);
        let strongest = lasting.max(steep).max(shifted);
        let (certainty, nats) = if strongest >= CONFIRM_NOVELTY {
            (Certainty::Certain, nats(strongest))
        } else if harms && (reading.novelty >= NOTICED_SPREADS || shifted >= NOTICED_SHIFT) {
            (Certainty::Noticed, nats(reading.novelty.max(shifted)))
        } else {
            // a drop of what should be low is reported only where it lasts
            (Certainty::Normal, 0.0)
        };
        let may_fire = strongest >= CONFIRM_NOVELTY * threshold.strictness;
        Finding { certainty, nats, direction, may_fire, is_known: false }
    }
}

fn sign(direction: Direction) -> f64 {
    match direction {
        Direction::Up => 1.0,
        Direction::Down => -1.0,
    }
}

/// Why a revision is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The episode began, became firing, grew in evidence or severity, or its samples are to be refreshed.
    Ongoing,
    /// Back inside the band.
    Recovered,
    /// It has stayed where it is for so long that this is the new normal.
    Accepted,
}

/// One episode of one series, from its first abnormal sample until it has cleared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// When it began, where it stands, how bad it is, and what was reported of it.
    pub alert: Alert,
    /// Which side of the band.
    pub direction: Direction,
    /// Value farthest from the level so far, in the unit of the series.
    pub worst: f64,
    /// Farthest distance from the level so far, in spreads.
    pub farthest: f64,
    /// Samples since the first abnormal one, with it.
    pub samples: u32,
    /// Whether it was certain at any time, harmful or not.
    pub is_certain: bool,
    /// Samples in a row inside the band.
    calm: u8,
    /// Samples, and whether it was certain, when it was reported last.
    reported_samples: u32,
    reported_certain: bool,
}

impl Episode {
    /// Begins an episode with a finding that is not normal. Its first samples may lie before the one that was found.
    pub fn begin(started_ms: i64, samples: u32, direction: Direction, value: f64) -> Self {
        Self {
            alert: Alert::begin(started_ms),
            direction,
            worst: value,
            farthest: 0.0,
            samples: samples.saturating_sub(1),
            is_certain: false,
            calm: 0,
            reported_samples: 0,
            reported_certain: false,
        }
    }

    /// Counts whether the next sample is calm. Returns whether the episode is over with it.
    pub fn calms(&mut self, reading: &Reading, recent: &Recent) -> bool {
        self.calm = if reading.distance < BAND_SPREADS { self.calm.saturating_add(1) } else { 0 };
        self.calm >= CALM_SAMPLES && recent.is_centred()
    }

    /// Takes the next sample, with which the episode `is_over` or goes on. Returns why a revision is due, if one is.
    /// `refresh` is after how many samples a firing episode is reported again though nothing else has changed.
    pub fn take(
        &mut self,
        reading: &Reading,
        finding: Finding,
        is_over: bool,
        metric: Bounded<'_>,
        refresh: u32,
    ) -> Option<Transition> {
        self.samples = self.samples.saturating_add(1);
        self.farthest = self.farthest.max(reading.distance);
        let alert = &mut self.alert;
        match finding.certainty {
            Certainty::Normal => {}
            Certainty::Certain
                if finding.may_fire && metric.profile.bad_direction.includes(finding.direction) =>
            {
                alert.status = Status::Firing;
                self.direction = finding.direction;
                alert.evidence = alert.evidence.max(finding.nats);
            }
            // never loud, however far it goes
            _ => alert.evidence = alert.evidence.max(finding.nats.min(Certainty::Noticed.limit())),
        }
        self.is_certain |= finding.certainty == Certainty::Certain;
        let outward = |value: f64| (value - reading.level) * sign(self.direction);
        if outward(reading.value) > outward(self.worst) {
            self.worst = reading.value;
        }
        if alert.status == Status::Firing {
            alert.severity = alert.severity.max(grade(reading, alert.evidence, self.direction, metric));
        }
        if is_over {
            return Some(self.end(Transition::Recovered));
        }
        // a sample inside the band refreshes nothing, for the episode is about to clear; but it may stay off its middle
        let is_about_to_clear = (1..=CALM_SAMPLES).contains(&self.calm);
        let refreshes = self.alert.status == Status::Firing
            && !is_about_to_clear
            && self.samples.saturating_sub(self.reported_samples) >= refresh;
        let has_news = self.alert.has_news() || self.is_certain != self.reported_certain;
        (has_news || refreshes).then(|| self.revise(Transition::Ongoing))
    }

    /// Returns whether the episode has ever fired.
    pub fn has_fired(&self) -> bool {
        // whatever fires is graded SEV3 or worse, and never better again
        self.alert.severity > Severity::Sev4
    }

    /// Ends the episode.
    pub fn end(&mut self, transition: Transition) -> Transition {
        self.alert.status = Status::Cleared;
        self.revise(transition)
    }

    /// Reports the episode again, for an alarm was renewed.
    pub fn renew(&mut self) -> Transition {
        self.revise(Transition::Ongoing)
    }

    fn revise(&mut self, transition: Transition) -> Transition {
        self.alert.revise();
        (self.reported_samples, self.reported_certain) = (self.samples, self.is_certain);
        transition
    }
}

/// Grades a firing series by itself, without knowing who depends on the service:
///
/// - SEV1: a quarter of all requests fail, or 95 % of the traffic is gone;
/// - SEV2: with 3 nats or more, 5 % of all requests fail (five times as many as usual where shares are not known),
///   latency has doubled, or half of the traffic is gone; and anything within a tenth of its ceiling;
/// - SEV3: everything else that fires.
fn grade(reading: &Reading, evidence: f64, direction: Direction, metric: Bounded<'_>) -> Severity {
    let &Reading { value, level, .. } = reading;
    let lost = match (metric.profile.kind, direction) {
        (Kind::Traffic, Direction::Down) if level > 0.0 => 1.0 - value / level,
        _ => 0.0,
    };
    let failing = match (metric.profile.kind, metric.ceiling, metric.profile.bad_direction) {
        (Kind::Errors, Some(ceiling), BadDirection::Down) => 1.0 - value / ceiling,
        (Kind::Errors, Some(ceiling), _) => value / ceiling,
        _ => 0.0,
    };
    let multiplied = match metric.profile.kind {
        Kind::Latency => value >= 2.0 * level,
        Kind::Errors => {
            metric.ceiling.is_none()
                && metric.profile.bad_direction == BadDirection::Up
                && value >= 5.0 * level
        }
        _ => false,
    };
    let severity = if failing >= 0.25 || lost >= 0.95 {
        Severity::Sev1
    } else if (evidence >= 3.0 && (failing >= 0.05 || lost >= 0.5 || multiplied))
        || metric.is_nearly_full(value)
    {
        Severity::Sev2
    } else {
        Severity::Sev3
    };
    severity.min(metric.most)
}
