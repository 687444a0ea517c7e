//! Statistics that know nothing of detection.

pub(crate) mod half;
pub(crate) mod noise_envelope;
pub(crate) mod robust;
pub(crate) mod sparse;
