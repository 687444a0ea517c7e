//! Rest after what was worth an alarm: one alarm an episode, however long it is.

/// Time and samples that have to have passed since the last sample that was worth one.
const REST_MS: i64 = 4 * 3_600_000;
const REST_SAMPLES: u32 = 3;

/// Returns whether the last sample that was worth an alarm is long enough ago: so many milliseconds and samples.
pub(super) fn is_over(since_ms: i64, samples: u32) -> bool {
    since_ms > REST_MS && samples > REST_SAMPLES
}
