//! How far noise has gone lately: what goes farther is new.

use serde::{Deserialize, Serialize};

/// Samples of a block: what is seen enters the reach one to two blocks later, so that a ramp cannot raise the bar
/// that it has to pass.
pub(crate) const BLOCK_SAMPLES: u32 = 64;

/// How far noise goes to one side, in the unit of what is put in (spreads, or a share of the level).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoiseEnvelope {
    /// max(far * 0.5^(64 / half life), block before), at the end of each block.
    far: f32,
    /// Largest of the open block, and of the one before it.
    block: f32,
    before: f32,
}

impl NoiseEnvelope {
    /// Returns how far it went.
    pub(crate) fn far(self) -> f64 {
        f64::from(self.far)
    }

    /// Takes how far one sample of noise went. It counts when the block after its own is over.
    pub(crate) fn take(&mut self, distance: f64) {
        self.block = self.block.max(distance as f32);
    }

    /// Ends a block of [`BLOCK_SAMPLES`]. Half of what is known is forgotten after `half_life` samples.
    pub(crate) fn end_block(&mut self, half_life: f64) {
        let kept = 0.5_f64.powf(f64::from(BLOCK_SAMPLES) / half_life);
        self.far = ((self.far() * kept) as f32).max(self.before);
        self.before = self.block;
        self.block = 0.0;
    }

    /// Makes it reach at least so far, now.
    pub(crate) fn raise(&mut self, distance: f64) {
        self.far = self.far.max(distance as f32);
    }
}
