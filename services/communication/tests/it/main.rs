//! What people read, what the mail server receives, and what is on record.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod channels;
mod chat;
mod decisions;
mod doubles;
mod heartbeat;
mod holding;
mod mails;
mod pipeline;
mod scenario;
mod server;
mod services;
mod silences;
mod smtp;
mod templates;
mod updates;
