//! `communication`: notifies people.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::service::main("communication", communication::run)
}
