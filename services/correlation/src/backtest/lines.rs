//! Files of JSON, one object a line.

use std::io::BufRead;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

/// Longest line, bytes.
const MAX_LINE: u64 = 1 << 20;

/// Gives each line that is not empty to `take`, or why it cannot be read.
pub(super) fn each<T: DeserializeOwned>(
    mut lines: impl BufRead,
    mut take: impl FnMut(Result<T, serde_json::Error>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read =
            std::io::Read::take(&mut lines, MAX_LINE).read_until(b'\n', &mut line).context("reading")?;
        if read == 0 {
            break;
        }
        anyhow::ensure!((read as u64) < MAX_LINE, "line {number}: longer than {MAX_LINE} bytes");
        if !line.trim_ascii().is_empty() {
            take(serde_json::from_slice(&line)).with_context(|| format!("line {number}"))?;
        }
    }
    Ok(())
}
