//! `gateway`: takes telemetry and alerts in the protocols that teams use, and writes them to Kafka.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::service::main("gateway", gateway::run)
}
