//! `remediation`: plans what should be done.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::service::main("remediation", remediation::run)
}
