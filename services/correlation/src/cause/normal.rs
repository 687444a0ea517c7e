//! What is normal for a series, and how surprising a deviation from it is.

/// Robust deviations below which a value is noise.
pub const NOISE_DEVIATIONS: f64 = 3.0;
/// Most that one observation can say, nats.
pub const CAP_NATS: f64 = 6.0;
/// Fewest samples that a normal is made of.
const LEAST_SAMPLES: usize = 10;
/// Least deviation of a constant series.
const LEAST_DEVIATION: f64 = 1e-9;
/// Rows just before the alert that a value must be worse than as well.
pub const JUST_BEFORE_ROWS: usize = 3;
/// Standard deviations from the median to the 98th percentile of a normal distribution.
const DEVIATIONS_TO_98: f64 = 2.05;
/// Interquartile range of a normal distribution, in standard deviations.
const IQR_DEVIATIONS: f64 = 1.349;

/// Centre of a series and its spread to either side: most metrics are skewed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// Median.
    pub centre: f64,
    /// One deviation upward.
    pub up: f64,
    /// One deviation downward.
    pub down: f64,
}

impl Normal {
    /// Returns the normal of a history, whose spread is at least `floor` of its level; none with too few samples.
    pub fn of(history: &[f64], floor: f64) -> Option<Self> {
        let sorted = sorted(history);
        if sorted.len() < LEAST_SAMPLES {
            return None;
        }
        let [low, quarter, centre, three_quarters, high] =
            [2.0, 25.0, 50.0, 75.0, 98.0].map(|percent| percentile(&sorted, percent));
        let least = (floor * centre.abs())
            .max(0.5 * (three_quarters - quarter) / IQR_DEVIATIONS)
            .max(LEAST_DEVIATION);
        Some(Self {
            centre,
            up: ((high - centre) / DEVIATIONS_TO_98).max(least),
            down: ((centre - low) / DEVIATIONS_TO_98).max(least),
        })
    }
}

/// Returns how surprising a deviation is, nats: nothing below noise, then its logarithm (tails are heavy), capped.
pub fn nats(deviations: f64) -> f64 {
    if deviations > NOISE_DEVIATIONS {
        (1.0 + 1.5 * (deviations / NOISE_DEVIATIONS).ln()).min(CAP_NATS)
    } else {
        0.0
    }
}

/// Returns the finite values in ascending order.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Returns a percentile of ascending values, interpolated (type 7 of Hyndman and Fan, 1996); 0 of nothing.
pub(super) fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = percent / 100.0 * sorted.len().saturating_sub(1) as f64;
    let below = place.floor();
    let (Some(low), share) = (sorted.get(below as usize), place - below) else { return 0.0 };
    let high = sorted.get(below as usize + 1).unwrap_or(low);
    // from the nearer end, so that rounding keeps the order
    if share < 0.5 { low + (high - low) * share } else { high - (high - low) * (1.0 - share) }
}

/// Returns the median of ascending values.
pub(super) fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Returns centre and deviation of the densest half (Andrews et al., 1972): right even if nearly half of the history was
/// faulty.
pub(super) fn shorth(values: &[f64]) -> (f64, f64) {
    let sorted = sorted(values);
    if sorted.len() < 3 {
        return (median(&sorted), 0.0);
    }
    let half = sorted.len() / 2 + 1;
    let densest = sorted
        .windows(half)
        .reduce(|best, next| if next[half - 1] - next[0] < best[half - 1] - best[0] { next } else { best })
        .unwrap_or(&sorted);
    (median(densest), (densest[densest.len() - 1] - densest[0]) / IQR_DEVIATIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate_and_survive_anything() {
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 50.0), 2.5);
        assert_eq!(percentile(&[5.0], 98.0), 5.0);
        assert_eq!(percentile(&[], 50.0), 0.0);
        assert_eq!(Normal::of(&[f64::NAN; 40], 0.1), None);
        assert_eq!(nats(f64::NAN), 0.0);
        assert_eq!(nats(f64::INFINITY), CAP_NATS);
    }

    #[test]
    fn the_densest_half_ignores_the_faulty_rest() {
        let (centre, deviation) = shorth(&[10.0, 11.0, 10.5, 10.2, 900.0, 950.0, 980.0]);
        assert!((10.0..11.1).contains(&centre) && deviation < 1.0, "{centre} {deviation}");
    }
}
