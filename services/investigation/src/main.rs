//! `investigation`: ranks causes of an incident, each claim with evidence that can be read again.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::service::main("investigation", investigation::run)
}
