//! What a run consists of: each server and each agent, the process beneath it, and what a process needs.

pub mod agent;
pub mod guard;
pub mod kafka;
pub mod mail;
pub mod mailbox;
pub mod ports;
pub mod postgres;
pub mod probe;
pub mod process;
