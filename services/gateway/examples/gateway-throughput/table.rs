//! What is printed and written.

use anyhow::Result;
use serde::Serialize;

/// One measured process with one format.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) takes: &'static str,
    /// Points per second of processor time.
    pub(crate) per_core_s: f64,
    /// Points per second by the clock.
    pub(crate) per_s: f64,
    /// Most resident memory.
    pub(crate) peak_mib: f64,
    /// Time until a request was acknowledged, at half of that rate.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Requests that were refused meanwhile.
    pub(crate) unanswered: usize,
}

/// Prints a table.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "{:30} {:14} {:>16} {:>10} {:>9} {:>9} {:>9} {:>8}",
        "through Kafka", "takes", "points/s a core", "points/s", "peak MiB", "p50 ms", "p99 ms", "refused"
    );
    for row in rows {
        println!(
            "{:30} {:14} {:>16.0} {:>10.0} {:>9.0} {:>9.1} {:>9.1} {:>8}",
            row.name,
            row.takes,
            row.per_core_s,
            row.per_s,
            row.peak_mib,
            row.p50_ms,
            row.p99_ms,
            row.unanswered
        );
    }
}

/// Writes `target/bench/gateway.json`.
pub(crate) fn write(rows: &[Row]) -> Result<()> {
    std::fs::create_dir_all("target/bench")?;
    std::fs::write("target/bench/gateway.json", serde_json::to_vec_pretty(rows)?)?;
    Ok(())
}
