//! The command line from the outside: what it prints, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod backtest;
mod binary;
mod bundle;
mod commands;
mod dlq;
mod drafts;
mod evidence;
mod fixtures;
mod graph;
mod incidents;
mod kb;
mod learning;
mod oncall;
mod postmortems;
mod replay;
mod retention;
mod silences;
mod story;
mod tokens;
mod topics;
