//! How sure it is that something is not as it always was, and how much evidence that makes.

/// Distance below which noise explains everything, in spreads.
const NOISE: f64 = 3.0;
/// Most that a series may say for itself, in nats.
pub(crate) const EVIDENCE_LIMIT: f64 = 6.0;
/// Most that a deviation may say which has not lasted, or which harms nobody.
const SUSPECT_LIMIT: f64 = 3.0;

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
    /// Returns the most that what is so certain may say, in nats.
    pub fn limit(self) -> f64 {
        if self == Self::Certain { EVIDENCE_LIMIT } else { SUSPECT_LIMIT }
    }
}

/// Returns the evidence of a deviation of `z` spreads: nothing below 3, then 1 + 1.5 ln(z / 3), at most 6.
///
/// The logarithm instead of the normal distribution's square because the tails of real noise are heavy.
pub(crate) fn nats(z: f64) -> f64 {
    if z <= NOISE { 0.0 } else { (1.0 + 1.5 * (z / NOISE).ln()).min(EVIDENCE_LIMIT) }
}
