//! The import rule at the head of `src/lib.rs`.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use stack::run::layout;

/// Folders of this workspace, and the paths that must not stand in their sources.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    (
        "infra/stack/src/parts",
        &["crate::{", "crate::Stack", "crate::observe", "crate::testing", "crate::demo"],
    ),
    ("infra/stack/src/run", &["crate::{", "crate::Stack", "crate::observe", "crate::testing", "crate::demo"]),
    ("infra/stack/src/observe", &["crate::{", "crate::testing", "crate::demo"]),
    ("infra/stack/src/testing", &["crate::{", "crate::demo"]),
    ("infra/stack/src/demo", &["crate::{", "crate::testing"]),
    ("tests/src", &["stack::demo"]),
    ("tests/it", &["stack::demo"]),
];

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    // the module file beside its folder
    files.extend(Some(folder.with_extension("rs")).filter(|file| file.exists()));
    Ok(files)
}

#[test]
fn a_room_imports_only_from_its_left() -> Result<()> {
    for (folder, forbidden) in FORBIDDEN {
        let files = sources(&layout::root().join(folder))?;
        ensure!(!files.is_empty(), "no source in {folder}");
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            for path in forbidden {
                ensure!(!text.contains(path), "{} imports {path}", file.display());
            }
        }
    }
    Ok(())
}
