//! Statistics that know nothing of detection.

pub(crate) mod half;
pub(crate) mod half_bytes;
pub(crate) mod noise_envelope;
pub(crate) mod robust;
pub(crate) mod sparse;
