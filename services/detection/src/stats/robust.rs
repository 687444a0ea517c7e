//! Robust statistics.

/// Mean absolute deviation to standard deviation of a normal distribution, sqrt(pi / 2).
pub(crate) const TO_SPREAD: f64 = 1.2533;

/// Returns the median (the upper one of an even number), reordering the values. The slice must not be empty.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
