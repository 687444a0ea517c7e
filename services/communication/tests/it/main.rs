//! What people read, what the mail server hears, and what is written down.

mod decisions;
mod letters;
mod scenario;
mod server;
mod smtp;
