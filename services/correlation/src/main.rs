//! `correlation`: groups anomalies into incidents and decides when they are over.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::service::main("correlation", correlation::run)
}
