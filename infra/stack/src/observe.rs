//! A running pipeline seen from outside: its topics and its mailbox as one feed, and what a run came to.

pub mod event_feed;
pub mod missing;
pub mod run_summary;
