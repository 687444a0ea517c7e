//! `stack logs`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use stack::run::layout;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only the logs whose names start with this, e.g. `detection` or `detection-1`
    name: Option<String>,
    /// Does not follow the logs
    #[arg(long)]
    no_follow: bool,
    /// Lines of each log that are printed first
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: u32,
}

/// Replaces this process by `tail`.
pub(crate) fn logs(arguments: &Arguments) -> Result<ExitCode> {
    let dir = layout::run().join("logs");
    let name = arguments.name.as_deref().unwrap_or_default();
    let files = std::fs::read_dir(&dir).with_context(|| format!("no logs in {}", dir.display()))?;
    let mut files: Vec<PathBuf> = files
        .flatten()
        .map(|file| file.path())
        .filter(|file| file.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "no log in {} starts with {name:?}", dir.display());
    let mut tail = Command::new("tail");
    tail.arg(format!("--lines={}", arguments.lines));
    if !arguments.no_follow {
        tail.arg("-F");
    }
    bail!("running tail: {}", tail.args(files).exec())
}
