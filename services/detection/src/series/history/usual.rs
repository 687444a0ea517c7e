//! The usual size of residuals: a running mean of their absolute values that none of them pulls far.

/// Residuals that are taken in full before any is limited.
pub(super) const TRIAL_RESIDUALS: u32 = 100;
const MEMORY_RESIDUALS: f64 = 1000.0;
/// Farthest a residual may pull their usual size, in multiples of it.
const LIMIT_FACTOR: f64 = 4.0;

/// Returns the step of the usual size towards the `seen`th residual.
pub(super) fn step(residual: f64, size: f64, seen: u32) -> f64 {
    let limited =
        if seen > TRIAL_RESIDUALS { residual.abs().min(LIMIT_FACTOR * size) } else { residual.abs() };
    (limited - size) / f64::from(seen).min(MEMORY_RESIDUALS)
}

/// Returns the same for one of very many.
pub(super) fn settled_step(residual: f64, size: f64) -> f64 {
    step(residual, size, u32::MAX)
}
