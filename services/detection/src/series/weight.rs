//! What keeps a deviation from firing though it is certain: so few requests that it proves nothing, figures for each of
//! more instances, a change of unit, or a change that comes to nothing. Such a deviation is a suspicion that says why.

use shared::events::{Kind, Severity};

use crate::alert::format::quantity;
use crate::metric_profile::{MetricProfile, Role};
use crate::series::Series;
use crate::series::baseline::{BAND_SPREADS, Reading};
use crate::series::episode::Finding;
use crate::series::rules::Rule;

/// Part of the way to the edge of its band from which on a sample is weighed.
const DEPARTS_SHARE: f64 = 0.5;
/// Largest spread as a part of the level, and how far from a factor the change may be: so many spreads, within limits.
const MAX_RELATIVE_SPREAD: f64 = 0.1;
const FACTOR_SPREADS: f64 = 4.0;
const FACTOR_TOLERANCE: std::ops::RangeInclusive<f64> = 0.02..=0.15;

/// Why a deviation does not fire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Hold {
    /// It rests on too few requests.
    FewRequests {
        /// How many failed.
        failed: f64,
        /// Of how many.
        of: f64,
    },
    /// The figure is one for each instance, and there may be another number of them.
    PerInstance,
    /// The level has changed by a factor between units.
    Rescaled(f64),
    /// The configuration says that it never fires.
    Silenced,
    /// Little of what is left was used up, or little of the requests fail.
    NoConsequence,
}

/// What a deviation of one series amounts to, given what else is known of its service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weight {
    /// Why it does not fire, if it does not.
    pub(crate) hold: Option<Hold>,
    /// How bad it may be at most.
    pub(crate) most: Severity,
    /// Whether users notice something else of the service.
    pub(crate) is_hurt: bool,
}

impl Default for Weight {
    fn default() -> Self {
        Self { hold: None, most: Severity::Sev1, is_hurt: false }
    }
}

impl Weight {
    /// Returns the weight of what does not fire.
    pub(crate) fn held(hold: Hold) -> Self {
        Self { hold: Some(hold), most: Severity::Sev3, is_hurt: false }
    }
}

impl Hold {
    /// Says why it does not fire, as the end of a sentence.
    pub(crate) fn sentence(self) -> String {
        match self {
            Self::FewRequests { failed, of } if of > 0.0 => format!(
                "; about {} of {} requests, which is too few to say more",
                quantity(failed.round(), ""),
                quantity(of.round().max(failed.round()), "")
            ),
            Self::FewRequests { failed, .. } => {
                format!("; {} in all, which is too few to say more", quantity(failed.round(), ""))
            }
            Self::PerInstance => {
                "; it is a figure for each instance, and errors and latency are as usual".to_owned()
            }
            Self::Rescaled(factor) if factor < 1.0 => format!(
                "; its level was {} times as high, which may be a change of unit",
                quantity(1.0 / factor, "")
            ),
            Self::Rescaled(factor) => format!(
                "; its level is {} times as high as before, which may be a change of unit",
                quantity(factor, "")
            ),
            Self::Silenced => "; the configuration says that it never fires".to_owned(),
            Self::NoConsequence => "; too little to have a consequence".to_owned(),
        }
    }
}

impl Series {
    /// Returns whether a sample lies so far out that it has to be weighed, or an episode is open.
    pub(crate) fn departs(&self, value: f64) -> bool {
        // of a slow series the baseline says little
        if self.episode.is_some() || self.is_slow() {
            return true;
        }
        if !self.baseline.is_founded() {
            return false;
        }
        let band = self.baseline.band(self.bounded());
        let edge = if value > band.center { band.upper } else { band.lower };
        (value - band.center).abs() >= DEPARTS_SHARE * (edge - band.center).abs()
    }

    /// Returns whether users notice where it is outside of its normal.
    pub(crate) fn is_symptom(&self) -> bool {
        let profile = self.profile();
        let is_one = matches!(profile.kind, Kind::Errors | Kind::Latency | Kind::Traffic)
            && profile.mode.is_by_normal()
            && !matches!(profile.role, Role::PerInstance | Role::Instances);
        // a counter that begins anew with its process says nothing about what users see
        is_one && self.baseline.is_founded() && !matches!(self.rule.as_deref(), Some(Rule::Restarts(_)))
    }

    /// Returns whether it has gone to a side that harms.
    pub(crate) fn is_harmful(&self) -> bool {
        self.episode.as_ref().is_some_and(|episode| self.profile().bad_direction.includes(episode.direction))
    }

    /// Returns a finding as it is weighed, and notes why it is held, if it is.
    pub(super) fn weighed(&mut self, reading: &Reading, finding: Finding) -> Finding {
        if self.weight.hold.is_none() && !self.weight.is_hurt {
            let rescaled = self.rescaled(reading);
            if let Some(factor) = rescaled {
                self.weight = Weight::held(Hold::Rescaled(factor));
            }
        }
        if self.weight.hold.is_some() { Finding { may_fire: false, ..finding } } else { finding }
    }

    /// Returns the factor between two units by which the last two samples lie from the level, if they do.
    fn rescaled(&self, reading: &Reading) -> Option<f64> {
        if reading.distance < BAND_SPREADS || reading.level <= 0.0 || reading.value <= 0.0 {
            return None;
        }
        let spread = (reading.value - reading.level).abs() / reading.distance / reading.level;
        if spread > MAX_RELATIVE_SPREAD {
            return None;
        }
        let tolerance = (FACTOR_SPREADS * spread).clamp(*FACTOR_TOLERANCE.start(), *FACTOR_TOLERANCE.end());
        let is_by = |value: f64, factor: f64| (value / reading.level / factor - 1.0).abs() <= tolerance;
        let before = self.samples.values().nth(self.samples.len().checked_sub(2)?)?;
        factors(&self.metric.profile)
            .iter()
            .flat_map(|&factor| [factor, 1.0 / factor])
            .find(|&factor| is_by(reading.value, factor) && is_by(before, factor))
    }
}

/// Returns the factors between units in which metrics of a kind are written.
fn factors(profile: &MetricProfile) -> &'static [f64] {
    match profile.kind {
        Kind::Latency => &[1e3, 1e6],
        Kind::Traffic => &[60.0, 1e3, 1024.0],
        Kind::Errors => &[100.0],
        Kind::Cpu => &[100.0, 1e3],
        Kind::Memory | Kind::Disk => &[100.0, 1e3, 1024.0, 1e6, 1_048_576.0],
        Kind::Lag | Kind::Pool => &[60.0, 1e3],
        Kind::Certificate | Kind::Silence | Kind::Restarts | Kind::Logs | Kind::DataLoss | Kind::Security => {
            &[]
        }
        Kind::Other => &[60.0, 100.0, 1e3, 1024.0, 1e6],
    }
}
