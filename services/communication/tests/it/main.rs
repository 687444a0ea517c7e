//! What people read, what the mail server hears, and what is written down.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod channels;
mod chat;
mod decisions;
mod letters;
mod pipeline;
mod scenario;
mod server;
mod smtp;
mod templates;
