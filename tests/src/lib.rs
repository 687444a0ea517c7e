//! The pipeline as a whole; see `tests/it`.
