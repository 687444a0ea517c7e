//! Detection as a whole: quiet on noise, early on faults, unmoved by hostile input, the same after a restart.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod decoys;
mod fire;
mod found;
mod hostile;
mod joint;
mod logs;
mod quiet;
mod recurrence;
mod reference;
mod regression;
mod replay;
mod restart;
mod rooms;
mod rules;
mod season;
mod sections;
mod shop;
mod silence;
mod slow;
mod speed;
mod words;
