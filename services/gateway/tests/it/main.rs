//! The gateway as a whole: what arrives over a real Kafka, what each door refuses, and what happens while Kafka or the database is
//! down.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod binary;
mod bridge;
mod collector;
mod doors;
mod export;
mod grpc;
mod http;
mod outage;
mod place;
mod refusals;
mod tls;
mod tokens;
