//! `firewatch routes`: who would be notified, and whether a file of routes is valid.

pub mod arguments;
pub mod plan;

use std::fmt::Write as _;
use std::path::Path;

use catalogue::oncall::{OnCall, ROUTES};

use crate::failure::CliError;
use crate::figures::counted;
use crate::oncall::{is_directory, load};
use crate::terminal::{self, Screen, clean, cleaned};
use arguments::{Check, Routes, Test};

/// Runs `firewatch routes ...`.
pub fn run(command: &Routes, screen: &Screen) -> Result<(), CliError> {
    match command {
        Routes::Test(arguments) => test(arguments, screen),
        Routes::Check(arguments) => check(arguments),
    }
}

fn test(arguments: &Test, screen: &Screen) -> Result<(), CliError> {
    let at = arguments.at.map_or(screen.now, |at| at.seen_from(screen.now));
    let content = load(&arguments.dir)?;
    let Some(routes) = &content.routes else {
        let directory = arguments.dir.display();
        return Err(CliError::NotFound(format!("{directory} has no {ROUTES}")));
    };
    let document = plan::Document::of(arguments.facts(), at, routes, &content.roster);
    terminal::print(&if arguments.json {
        terminal::json(&document, true)?
    } else {
        plan::render(&cleaned(&document)?, screen)
    })
}

fn check(arguments: &Check) -> Result<(), CliError> {
    is_directory(&arguments.dir)?;
    let file = arguments.file.clone().unwrap_or_else(|| arguments.dir.join(ROUTES));
    let (text, problems) = checked(&arguments.dir, &file)?;
    terminal::print(&text)?;
    if problems == 0 {
        Ok(())
    } else {
        Err(CliError::Failed(format!("{} in {}", counted(problems, "problem"), file.display())))
    }
}

/// Checks a file; returns what is printed, a line for each problem, and the number of problems.
pub fn checked(directory: &Path, file: &Path) -> Result<(String, usize), CliError> {
    let name = file.display();
    if !file.is_file() {
        return Err(CliError::NotFound(format!("there is no file {name}")));
    }
    let mut text = String::new();
    match OnCall::with_routes(directory, file) {
        Ok(OnCall { routes: Some(routes), .. }) => {
            let document = routes.document();
            let (routes, receivers) = (document.routes.len(), document.receivers.len());
            let _ =
                writeln!(text, "{name}: {}, {}", counted(routes, "route"), counted(receivers, "receiver"));
            Ok((clean_line(&text), 0))
        }
        Ok(_) => Err(CliError::Failed(format!("{name} has no routes"))),
        Err(problems) => {
            for line in problems.to_string().lines() {
                let _ = writeln!(text, "{}", clean(line, 1_000));
            }
            Ok((text, problems.0.len()))
        }
    }
}

fn clean_line(text: &str) -> String {
    format!("{}\n", clean(text.trim_end(), 1_000))
}
