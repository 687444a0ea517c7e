//! Where documents go that can be exported.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::failure::CliError;
use crate::terminal;

/// Writes a document to a new file, or to the standard output. A file that exists is never replaced; a new
/// one can be read by its owner alone: it names people.
///
/// # Errors
/// If the file exists or cannot be written.
pub fn write(text: &str, out: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = out else { return terminal::print(text) };
    let named = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CliError::Usage(format!("{} exists already; remove it or name another file", path.display()))
        }
        _ => CliError::Failed(format!("writing {}: {error}", path.display())),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(named)?;
    file.write_all(text.as_bytes()).map_err(named)
}
