//! How surprising a sample is at its time of day.

use serde::{Deserialize, Serialize};

/// Coarse levels of a series.
const LEVELS: usize = 8;
/// Two-hour bins of a day (local time).
const BINS: usize = 12;
const BIN_MS: i64 = 7_200_000;
/// Samples of a bin that are needed, and after which it forgets half.
const KNOWN_SAMPLES: u32 = 30;
const FULL_SAMPLES: u32 = 240;
/// Samples that the mean surprise remembers.
const MEMORY_SAMPLES: f64 = 8.0;

/// How often each coarse level was seen at each time of day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Hours {
    counts: [[u8; LEVELS]; BINS],
    /// Mean surprise of the last samples, bits.
    surprise: f32,
}

impl Hours {
    /// Returns the mean surprise (the negative logarithm of the estimated probability, with a fifth of a sample added
    /// to each level) of the last samples, this one included, in bits. `distance` is signed, in spreads.
    pub(super) fn surprise(&mut self, ts_ms: i64, distance: f64) -> f64 {
        let squashed = distance / (1.0 + distance.abs());
        let level = ((squashed * 0.5 + 0.5) * LEVELS as f64).clamp(0.0, LEVELS as f64 - 1.0) as usize;
        let counts = &mut self.counts[(ts_ms.rem_euclid(86_400_000) / BIN_MS) as usize];
        let times = counts.iter().copied().map(u32::from).sum::<u32>();
        let surprise = if times > KNOWN_SAMPLES {
            -((f64::from(counts[level]) + 0.2) / (f64::from(times) + 1.6)).log2()
        } else {
            0.0
        };
        counts[level] += 1;
        if times > FULL_SAMPLES {
            for count in counts.iter_mut() {
                *count /= 2;
            }
        }
        let mean = f64::from(self.surprise);
        self.surprise = (mean + (surprise - mean) / MEMORY_SAMPLES) as f32;
        f64::from(self.surprise)
    }
}
