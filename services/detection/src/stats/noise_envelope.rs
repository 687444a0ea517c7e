//! How far noise has gone lately: what goes farther is new.

use serde::{Deserialize, Serialize};

/// Samples of a block: what is seen enters the reach one to two blocks later, so that a ramp cannot raise the bar
/// that it has to pass.
pub(crate) const BLOCK: u32 = 64;

/// How far noise goes to one side, by whatever it is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reach {
    far: f32,
    block: f32,
    before: f32,
}

impl Reach {
    /// Returns how far it went.
    pub(crate) fn far(self) -> f64 {
        f64::from(self.far)
    }

    /// Takes how far one sample of noise went. What a block brings counts when the next one is over, and half of it is
    /// forgotten after `half_life` samples.
    pub(crate) fn take(&mut self, distance: f64, ends: bool, half_life: f64) {
        self.block = self.block.max(distance as f32);
        if ends {
            let kept = 0.5_f64.powf(f64::from(BLOCK) / half_life);
            self.far = ((self.far() * kept) as f32).max(self.before);
            self.before = self.block;
            self.block = 0.0;
        }
    }

    /// Makes it reach at least so far, now.
    pub(crate) fn raise(&mut self, distance: f64) {
        self.far = self.far.max(distance as f32);
    }
}
