//! The check of a content directory.

use std::fmt::Write as _;

use catalogue::lint::{Finding, Report, Severity, lint};
use serde::Serialize;

use super::arguments::Lint;
use crate::failure::CliError;
use crate::figures::counted;
use crate::terminal::{self, Screen, Tone, cleaned};

/// A report as a JSON document.
#[derive(Debug, Clone, Serialize)]
struct Document<'r> {
    directory: String,
    errors: usize,
    warnings: usize,
    #[serde(flatten)]
    report: &'r Report,
}

/// Runs `firewatch kb lint`.
pub fn run(arguments: &Lint, screen: &Screen) -> Result<(), CliError> {
    let Lint { directory, json } = arguments;
    let name = directory.display().to_string();
    if !directory.is_dir() {
        return Err(CliError::NotFound(format!("there is no directory {name}")));
    }
    let report = lint(directory);
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    terminal::print(&if *json {
        terminal::json(&Document { directory: name.clone(), errors, warnings, report: &report }, true)?
    } else {
        render(&cleaned(&report)?, screen)
    })?;
    if errors == 0 {
        Ok(())
    } else {
        Err(CliError::Failed(format!("{} in {name}", counted(errors, "error"))))
    }
}

/// Renders a report whose texts are clean: a line for each finding, and a summary.
pub fn render(report: &Report, screen: &Screen) -> String {
    let mut text = String::new();
    for Finding { file, line, severity, message } in &report.findings {
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        let tone = match severity {
            Severity::Error => Tone::Alarm,
            Severity::Warning => Tone::Warning,
        };
        let severity = screen.paint(tone, &severity.to_string());
        let _ = writeln!(text, "{file}{line}: {severity}: {message}");
    }
    let (errors, warnings) = (report.count(Severity::Error), report.count(Severity::Warning));
    let summary = format!(
        "{}, {} in {}",
        counted(errors, "error"),
        counted(warnings, "warning"),
        counted(report.files, "file"),
    );
    let _ = writeln!(text, "{summary}");
    text
}
