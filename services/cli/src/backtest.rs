//! `firewatch backtest`: what Firewatch would have said of files of the past. Neither Kafka nor PostgreSQL is read.

pub mod arguments;
pub mod render;

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use correlation::backtest::incidents::{self, Incident, Summary};
use correlation::backtest::{self, cause, folder};

use crate::failure::CliError;
use crate::terminal::{self, Screen};
use arguments::{Backtest, Cause, Format, Incidents};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);
/// Samples between two looks at the clock.
const SAMPLES_A_LOOK: u64 = 4_096;

/// Runs `firewatch backtest`.
pub fn run(command: &Backtest, screen: &Screen) -> Result<(), CliError> {
    match command {
        Backtest::Cause(arguments) => rank(arguments, screen),
        Backtest::Incidents(arguments) => incidents(arguments, screen),
    }
}

fn rank(arguments: &Cause, screen: &Screen) -> Result<(), CliError> {
    let reading = folder::Reading { before_rows: usize::from(arguments.before_rows) };
    for case_dir in &arguments.case_dirs {
        let case = folder::read(case_dir, reading).map_err(failed)?;
        let history = folder::history(&arguments.history, &case).map_err(failed)?;
        let ranking = cause::rank(&name(case_dir), &case, &history);
        terminal::print(&match arguments.format {
            Format::Jsonl => terminal::json(&ranking, false)?,
            Format::Table => render::ranking(&terminal::cleaned(&ranking)?, screen),
        })?;
    }
    Ok(())
}

/// Returns the name of a case: that of its folder.
fn name(case_dir: &Path) -> String {
    let full = case_dir.canonicalize();
    let name = full.as_deref().unwrap_or(case_dir).file_name();
    name.map_or_else(|| case_dir.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn incidents(arguments: &Incidents, screen: &Screen) -> Result<(), CliError> {
    let topology = arguments.topology.as_deref().map(read_topology).transpose()?;
    let deployments =
        arguments.deployments.as_deref().map(folder::deployments).transpose().map_err(failed)?;
    let deployments = deployments.unwrap_or_default();
    let begun = Instant::now();
    let mut found = Vec::new();
    let mut progress = Progress::new();
    let mut closed = None;
    let options = incidents::Options {
        topology,
        deployments,
        warm_up_rows: usize::from(arguments.warm_up_rows),
        row_ms: i64::from(arguments.row_seconds) * 1_000,
    };
    let summary = incidents::run(
        open(&arguments.file)?,
        options,
        |incident| match arguments.format {
            Format::Jsonl => print_line(&incident).map_err(|error| {
                closed = Some(error);
                anyhow::anyhow!("the output was closed")
            }),
            Format::Table => {
                found.push(incident);
                Ok(())
            }
        },
        |summary| progress.show(summary),
    );
    progress.end();
    if let Some(error) = closed {
        return Err(error);
    }
    let summary = summary.map_err(failed)?;
    if arguments.format == Format::Table {
        terminal::print(&render::incidents(&terminal::cleaned(&found)?, screen))?;
    }
    eprintln!("{}", render::summary(&summary, begun.elapsed()));
    Ok(())
}

fn print_line(incident: &Incident) -> Result<(), CliError> {
    terminal::print(&terminal::json(incident, false)?)
}

fn read_topology(path: &Path) -> Result<correlation::cause::incidents::Topology, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    backtest::topology(&text).map_err(|error| CliError::Failed(format!("{}: {error}", path.display())))
}

/// Opens a file of samples; `-` is the standard input.
fn open(path: &Path) -> Result<Box<dyn BufRead>, CliError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    let message = format!("{}: {error}", path.display());
    if error.kind() == ErrorKind::NotFound { CliError::NotFound(message) } else { CliError::Failed(message) }
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn failed(error: anyhow::Error) -> CliError {
    let missing = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let is_missing = missing.into_iter().any(|error| error.kind() == ErrorKind::NotFound);
    let message = format!("{error:#}");
    if is_missing { CliError::NotFound(message) } else { CliError::Failed(message) }
}

/// Progress on the standard error, if that is a terminal.
#[derive(Debug)]
struct Progress {
    shown: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal().then(Instant::now) }
    }

    fn show(&mut self, summary: &Summary) {
        if let Some(shown) = &mut self.shown
            && summary.used.is_multiple_of(SAMPLES_A_LOOK)
            && shown.elapsed() >= PROGRESS
        {
            *shown = Instant::now();
            eprint!(
                "\r{} samples, {} series, {} incidents ",
                summary.used, summary.series, summary.incidents
            );
            _ = std::io::stderr().flush();
        }
    }

    /// Wipes what was shown.
    fn end(self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
