//! What a metric measures, by its name.

/// What a metric measures, as far as ranking causes distinguishes metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Of the host, not of the service.
    Host,
    /// Processor time.
    Cpu,
    /// Memory in use.
    Memory,
    /// Latency of outgoing calls, as the caller measures it.
    ClientLatency,
    /// Latency of the service's own answers.
    Latency,
    /// Share of requests that succeed.
    Success,
    /// Failed requests.
    Errors,
    /// Requests served.
    Requests,
    /// Network traffic.
    Network,
    /// Disk and system calls.
    Io,
    /// Anything else.
    Other,
}

impl Family {
    /// Returns the family of a metric. The first rule that fits decides, so that `nodecpuusage` is of the host and
    /// `workload` is not a load average.
    pub fn of(metric: &str) -> Self {
        let name = metric.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let timed = |text: &str| text.contains("latency") || text.contains("duration");
        if name.starts_with("node") {
            Self::Host
        } else if has(&["cpu", "load1", "load_1", "load5", "load_5", "loadavg", "load_avg"]) {
            Self::Cpu
        } else if has(&["mem", "heap", "rss"]) {
            Self::Memory
        } else if name.split_once("client").is_some_and(|(_, rest)| timed(rest)) {
            Self::ClientLatency
        } else if timed(&name) || has(&["responsetime", "response_time"]) {
            Self::Latency
        } else if has(&["success", "availab"]) {
            Self::Success
        } else if has(&["error", "fail", "5xx", "exception"]) {
            Self::Errors
        } else if has(&["request", "ops", "workload", "qps", "throughput"]) {
            Self::Requests
        } else if has(&["network", "bytes", "packet"]) {
            Self::Network
        } else if has(&["syscall", "disk", "fs_", "iops"]) {
            Self::Io
        } else {
            Self::Other
        }
    }

    /// Returns the least spread of such a metric, as a share of its level.
    pub(super) fn least_spread(self) -> f64 {
        match self {
            Self::Success | Self::Errors => 0.005,
            Self::Latency | Self::ClientLatency => 0.1,
            _ => 0.02,
        }
    }
}

/// Returns the percentile that a name such as `latency_p95` states, in hundredths.
pub(super) fn percentile(metric: &str) -> Option<u8> {
    metric.as_bytes().windows(3).find_map(|three| match three {
        [b'p', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        for (name, family) in [
            ("nodecpuusagerate", Family::Host),
            ("CPUUsage_m", Family::Cpu),
            ("load_15", Family::Cpu),
            ("podworkload_ops", Family::Requests),
            ("memoryusage_mi", Family::Memory),
            ("podclientlatencyp90_s", Family::ClientLatency),
            ("latency_of_client", Family::Latency),
            ("podsuccessrate", Family::Success),
            ("http_5xx", Family::Errors),
            ("requests_sum", Family::Requests),
            ("networkreceivebytes", Family::Network),
            ("syscallread", Family::Io),
            ("", Family::Other),
        ] {
            assert_eq!(Family::of(name), family, "{name}");
        }
        assert_eq!(percentile("podclientlatencyp95_s"), Some(95));
        assert_eq!(percentile("pp9"), None);
    }
}
