//! The usual size of residuals: a running mean of their absolute values that none of them pulls far.

/// Residuals that are taken in full before any is limited.
pub(super) const TRIAL: u32 = 100;
const MEMORY: f64 = 1000.0;
/// Farthest a residual may pull their usual size, in multiples of it.
const LIMIT: f64 = 4.0;

/// Returns the step of the usual size towards the `seen`th residual.
pub(super) fn step(residual: f64, size: f64, seen: u32) -> f64 {
    let limited = if seen > TRIAL { residual.abs().min(LIMIT * size) } else { residual.abs() };
    (limited - size) / f64::from(seen).min(MEMORY)
}

/// Returns the same for one of very many.
pub(super) fn settled_step(residual: f64, size: f64) -> f64 {
    step(residual, size, u32::MAX)
}
