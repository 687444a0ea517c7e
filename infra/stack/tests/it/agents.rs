//! Files that list the agents and cannot derive them: they name the same as `shared::agent::Agent`.

use std::process::Command;

use anyhow::{Result, ensure};
use shared::agent::Agent;
use stack::run::layout;

#[test]
fn every_list_of_agents_is_complete() -> Result<()> {
    let root = layout::root();
    let printed = Command::new(root.join("infra/agents")).output()?.stdout;
    let mut names = Agent::names();
    names.sort_unstable();
    ensure!(String::from_utf8(printed)?.lines().eq(names), "infra/agents prints other names");
    for (file, before, after) in [
        ("infra/images/Dockerfile", " -p ", ""),
        ("infra/images/Dockerfile", " AS ", "\n"),
        ("docker-compose.yml", "\n  ", ":\n"),
        ("infra/compose/prometheus.yml", "", ""),
    ] {
        let text = std::fs::read_to_string(root.join(file))?;
        for name in Agent::names() {
            ensure!(text.contains(&format!("{before}{name}{after}")), "{file} lacks {name}");
        }
    }
    Ok(())
}
