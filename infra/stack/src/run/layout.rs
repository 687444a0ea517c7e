//! Paths: the checkout, the fetched parts, and the folders of one run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Returns the top folder of the checkout this was built from.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Returns the folder of the fetched parts: `.tools`, or what `FIREWATCH_TOOLS_DIR` names. All runs share it.
pub fn tools() -> PathBuf {
    std::env::var_os("FIREWATCH_TOOLS_DIR").map_or_else(|| root().join(".tools"), PathBuf::from)
}

/// Returns the folder of the run that `make` starts and stops: `.run`.
pub fn run() -> PathBuf {
    root().join(".run")
}

/// Returns a new path for a temporary folder.
pub fn scratch() -> PathBuf {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let (process, call) = (std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(format!("firewatch-{process}-{call}"))
}

/// Returns the folder of the binaries of the workspace, derived from the path of the current one: a binary is in it, a test is
/// one level below in `deps`.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let dir = exe.parent().unwrap_or(&exe);
    Ok(if dir.ends_with("deps") { dir.parent().unwrap_or(dir).to_owned() } else { dir.to_owned() })
}

/// The folders of one run.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Creates `dir` and its sub-folders.
    pub fn create(dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let layout = Self { dir: dir.canonicalize()? };
        std::fs::create_dir_all(layout.logs())?;
        std::fs::create_dir_all(layout.data())?;
        Ok(layout)
    }

    /// Removes data and logs.
    pub fn empty(&self) -> std::io::Result<()> {
        for folder in [self.data(), self.logs()] {
            std::fs::remove_dir_all(&folder)?;
            std::fs::create_dir(folder)?;
        }
        Ok(())
    }

    /// Returns the folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the folder of the logs, one file for each process.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Returns the folder of the data of the parts.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Returns the log file of one process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }
}
