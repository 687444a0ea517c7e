//! The import rule at the head of `src/lib.rs`.

use anyhow::{Result, ensure};
use shared::rooms::{Rooms, sources};
use stack::run::layout;

#[test]
fn a_room_imports_only_from_its_left() -> Result<()> {
    let rooms = Rooms::new("parts+run < Stack < observe < testing, demo < commands");
    let wrong = rooms.wrong(&layout::root().join("infra/stack/src"))?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_tests_of_the_pipeline_use_no_demo() -> Result<()> {
    for folder in ["tests/src", "tests/it"] {
        for file in sources(&layout::root().join(folder))? {
            let text = std::fs::read_to_string(&file)?;
            ensure!(!text.contains("stack::demo"), "{} imports the demo", file.display());
        }
    }
    Ok(())
}
