//! What Linux says a process has used.

use anyhow::{Context, Result};

/// Ticks of `/proc/PID/stat` a second: `USER_HZ`, the same on every Linux of today.
const TICKS_PER_S: f64 = 100.0;

/// Returns the processor time of all threads of a process, seconds.
pub fn cpu_s(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the name of the program may hold spaces; user and system time are the 12th and 13th field after it
    let (_, fields) = text.rsplit_once(") ").context("a line without a name")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_PER_S)
}

/// Returns the most resident memory that a process ever had, bytes.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let own = std::process::id();
        let before = cpu_s(own).unwrap();
        let began = std::time::Instant::now();
        while cpu_s(own).unwrap() < before + 0.05 {
            assert!(began.elapsed().as_secs() < 60, "no time passes");
        }
        let held = vec![1_u8; 32 << 20];
        assert!(peak_bytes(own).unwrap() > held.len() as u64);
    }
}
