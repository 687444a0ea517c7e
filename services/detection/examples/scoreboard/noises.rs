//! What the tables of healthy weeks have in common.

use serde_json::{Value, json};

use crate::shop::Noise;

/// The noises of the healthy weeks, and their names.
pub(crate) const NOISES: [(&str, Noise); 7] = [
    ("uniform", Noise::Uniform),
    ("Gaussian", Noise::Gaussian),
    ("skewed", Noise::Skewed(0.4)),
    ("bursty", Noise::Bursty),
    ("autocorrelated, 0.5", Noise::Sluggish(0.5)),
    ("autocorrelated, 0.9", Noise::Sluggish(0.9)),
    ("seasonal: steep days, weekends at half load", Noise::Weekly),
];
/// Seed of the healthy weeks; other weeks have the next ones.
pub(crate) const SEED: u64 = 3;

/// Returns a figure short enough to be read in the summary.
pub(crate) fn thousandths(value: f64) -> Value {
    json!((value * 1000.0).round() / 1000.0)
}
