//! Mutants: changes of the source that break one guarantee each, which the oracle must catch. A mutant names the text it
//! replaces, and fails if that is not in the source.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use stack::run::layout;

/// Files and folders of the workspace.
const WORKSPACE: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "services",
    "shared",
    "knowledge",
    "simulator",
    "infra",
    "tests",
];

/// Cargo identifies a package by its path in the workspace, and would confuse a mutant with the unchanged package, because both
/// are built into one folder. A profile of its own distinguishes them, and does not rebuild third-party libraries.
const OWN_PROFILE: &str = "profile.dev.package.shared.codegen-units=255";

/// A broken guarantee.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// Its name: that of its file.
    #[serde(skip)]
    pub name: String,
    /// The guarantee it breaks, in words.
    pub breaks: String,
    /// The replacements.
    change: Vec<Change>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    file: PathBuf,
    from: String,
    to: String,
}

/// Returns all mutants, in the order of their names.
pub fn all() -> Result<Vec<Mutant>> {
    let mut files: Vec<_> = std::fs::read_dir(layout::root().join("tests/mutants"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    files.iter().map(|file| read(file).with_context(|| file.display().to_string())).collect()
}

fn read(file: &Path) -> Result<Mutant> {
    let mut mutant: Mutant = toml::from_str(&std::fs::read_to_string(file)?)?;
    mutant.name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(mutant)
}

impl Mutant {
    /// Builds all binaries with this guarantee broken, and returns their folder. Third-party libraries are not rebuilt.
    pub fn build(&self) -> Result<PathBuf> {
        let root = layout::root();
        let home = root.join("target/mutants");
        let source = home.join("source");
        std::fs::create_dir_all(&source)?;
        for name in WORKSPACE {
            copy(&root.join(name), &source.join(name)).with_context(|| format!("copying {name}"))?;
        }
        self.apply(&source)?;
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(&source)
            .args(["build", "--quiet", "--workspace", "--bins", "--features", "shared/failpoints"])
            .args(["--config", OWN_PROFILE])
            .env("CARGO_BUILD_BUILD_DIR", root.join("target"))
            .env("CARGO_TARGET_DIR", home.join(&self.name))
            .env("CARGO_INCREMENTAL", "0");
        let status = cargo.status().context("running cargo")?;
        ensure!(status.success(), "building the mutant {} failed", self.name);
        Ok(home.join(&self.name).join("debug"))
    }

    /// Changes the source under `root`. Fails if a text to be replaced is not there exactly once.
    pub fn apply(&self, root: &Path) -> Result<()> {
        for Change { file, from, to } in &self.change {
            let path = root.join(file);
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            match text.matches(from.as_str()).count() {
                1 => std::fs::write(&path, text.replacen(from, to, 1))?,
                found => bail!("{}: {from:?} occurs {found} times", file.display()),
            }
        }
        Ok(())
    }
}

/// Copies a file or a folder. Files with the same content keep their time, because cargo rebuilds by time.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    let content = std::fs::read(from)?;
    if std::fs::read(to).ok().as_deref() != Some(&content) {
        std::fs::write(to, content)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_applies_to_the_source() {
        let mutants = all().unwrap();
        assert_eq!(mutants.len(), 11);
        for mutant in mutants {
            let scratch = layout::scratch();
            for Change { file, .. } in &mutant.change {
                std::fs::create_dir_all(scratch.join(file).parent().unwrap()).unwrap();
                copy(&layout::root().join(file), &scratch.join(file)).unwrap();
            }
            mutant.apply(&scratch).unwrap_or_else(|error| panic!("{}: {error:#}", mutant.name));
            std::fs::remove_dir_all(scratch).unwrap();
        }
    }
}
