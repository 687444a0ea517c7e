//! Files of samples, as `detection replay` and `detection tune` read them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_millis(250);

/// Opens a file; `-` is standard input.
pub(crate) fn open(file: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}

/// Gives each line that is not empty, with its number from 0, to `take`.
pub(crate) fn each_line(
    mut lines: impl BufRead,
    mut take: impl FnMut(i64, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        if lines.read_until(b'\n', &mut line).context("reading")? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            take(number, &line)?;
        }
    }
    Ok(())
}

/// Progress on standard error, if that is a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { shown: io::stderr().is_terminal().then(Instant::now) }
    }

    /// Shows what `text` returns, if it is time for it.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        if let Some(shown) = &mut self.shown
            && shown.elapsed() >= PROGRESS
        {
            *shown = Instant::now();
            eprint!("\r{} ", text());
            _ = io::stderr().flush();
        }
    }

    /// Wipes what was shown.
    pub(crate) fn end(self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
