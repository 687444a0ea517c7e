//! The real OpenTelemetry Collector, where it was built.

use std::path::PathBuf;
use std::process::Command;

use crate::run::layout;

/// Returns the program that `make parts` has built; none, with a line that says what is left out, where it was not built.
pub fn collector(left_out: &str) -> Option<PathBuf> {
    let script = layout::root().join("infra/parts/collector.sh");
    let found = Command::new(&script).arg("--built").env("FIREWATCH_TOOLS_DIR", layout::tools()).output();
    let path = found.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let path = path.map(|text| PathBuf::from(String::from_utf8_lossy(&text).trim_end()));
    if path.is_none() {
        eprintln!("SKIPPED: {left_out}: the OpenTelemetry Collector is not built; run `make parts`");
    }
    path
}
