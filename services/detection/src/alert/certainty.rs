//! How sure it is that something is not as it always was, and how much evidence that makes.

/// Distance below which noise explains everything, in spreads.
pub(crate) const NOISE_SPREADS: f64 = 3.0;
/// Most evidence of one series, nats.
pub(crate) const MAX_EVIDENCE_NATS: f64 = 6.0;
/// Most evidence of a deviation that has not lasted, or whose direction is not harmful, nats.
const MAX_SUSPECT_NATS: f64 = 3.0;

/// How sure it is that a series is not as it always was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Noise.
    Normal,
    /// Noticed: not lasting yet, or proved by nothing else.
    Noticed,
    /// Lasting, or so rare that the budget of alarms allows it. Fires where it harms.
    Certain,
}

impl Certainty {
    /// Returns the most evidence of what is so certain, nats.
    pub fn limit(self) -> f64 {
        if self == Self::Certain { MAX_EVIDENCE_NATS } else { MAX_SUSPECT_NATS }
    }

    /// Returns the evidence that a rule without a measure of its own states, nats: the most, but nothing of noise.
    pub(crate) fn stated_nats(self) -> f64 {
        if self == Self::Normal { 0.0 } else { self.limit() }
    }
}

/// Returns the evidence of a deviation of `z` spreads: nothing below 3, then 1 + 1.5 ln(z / 3), at most 6.
///
/// The logarithm instead of the normal distribution's square because the tails of real noise are heavy.
pub(crate) fn nats(z: f64) -> f64 {
    if z <= NOISE_SPREADS { 0.0 } else { (1.0 + 1.5 * (z / NOISE_SPREADS).ln()).min(MAX_EVIDENCE_NATS) }
}
