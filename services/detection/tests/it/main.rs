//! Detection as a whole: quiet on noise, early on faults, unmoved by hostile input, the same after a restart.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod catalogue;
mod corpus;
mod decoys;
mod endings;
mod explain;
mod feed;
mod fire;
mod folding;
mod found;
mod functions;
mod hostile;
mod inquiries;
mod intake;
mod joint;
mod kafka;
mod log_forms;
mod logs;
mod meaning;
mod quiet;
mod recurrence;
mod reference;
mod regression;
mod replay;
mod restart;
mod room;
mod rooms;
mod rule_alerts;
mod rules;
mod season;
mod sections;
mod shop;
mod silence;
mod slow;
mod speed;
mod words;
