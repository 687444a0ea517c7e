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

/// Returns the resident memory of a process, bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    of_status(pid, "VmRSS:")
}

/// Returns the most resident memory that a process ever had, bytes.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    of_status(pid, "VmHWM:")
}

fn of_status(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let size = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    Ok(size.with_context(|| format!("no {name} in {path}"))?.trim().parse::<u64>()? * 1024)
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
        assert!(resident_bytes(own).unwrap() <= peak_bytes(own).unwrap());
    }
}
