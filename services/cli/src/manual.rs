//! `firewatch completions` and `firewatch man`: both are made from the command line as it is defined.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::CliError;

/// Name of the program.
const NAME: &str = "firewatch";

/// Prints the completions of a shell.
///
/// # Errors
/// If the output cannot be written.
pub fn completions(shell: Shell) -> Result<(), CliError> {
    let mut text = Vec::new();
    generate(shell, &mut Arguments::command(), NAME, &mut text);
    Ok(std::io::stdout().write_all(&text)?)
}

/// Prints the manual page of the program, or of a command of it.
///
/// # Errors
/// If there is no such command, or the output cannot be written.
pub fn page(path: &[String]) -> Result<(), CliError> {
    let mut command = Arguments::command();
    command.build();
    let mut name = NAME.to_owned();
    for part in path {
        let found = command.find_subcommand(part).cloned();
        command = found.ok_or_else(|| CliError::NotFound(format!("there is no command {name} {part}")))?;
        name = format!("{name} {part}");
    }
    let title = name.replace(' ', "-");
    let mut text = Vec::new();
    Man::new(command).title(title).render(&mut text)?;
    Ok(std::io::stdout().write_all(&text)?)
}
