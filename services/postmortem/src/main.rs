//! `postmortem`: writes down what happened.

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::service::main("postmortem", postmortem::run)
}
