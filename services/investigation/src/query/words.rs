//! Words by which lines of a log are found, and names of what is asked for.

use shared::events::question::{Aspect, LogTopic, Report, Role, Subject};

/// Returns the words of a topic: lower case, letters, digits, blanks and hyphens only, so that they are the same in every
/// query language.
pub fn of(about: LogTopic) -> &'static [&'static str] {
    match about {
        LogTopic::Memory => {
            &["out of memory", "outofmemory", "oomkilled", "cannot allocate memory", "heap space"]
        }
        LogTopic::Pool => &[
            "connection is not available",
            "pool exhausted",
            "no connection within",
            "too many connections",
            "remaining connection slots",
            "waiting for a connection",
            "waiting for connection",
        ],
        LogTopic::Disk => &["no space left", "disk full", "disk quota exceeded", "read-only file system"],
        LogTopic::Certificate => &[
            "certificate has expired",
            "certificate expired",
            "certificate is expired",
            "certificate verify failed",
            "sslhandshakeexception",
            "x509",
        ],
        LogTopic::Network => &[
            "timed out",
            "timeout",
            "connection refused",
            "connection reset",
            "no route to host",
            "broken pipe",
            "network is unreachable",
        ],
        LogTopic::Exception => &["exception", "panicked", "traceback", "segmentation fault"],
    }
}

/// Returns whether a line has words of a topic.
pub fn are_in(about: LogTopic, line: &str) -> bool {
    let line = line.to_lowercase();
    of(about).iter().any(|word| line.contains(word))
}

/// Returns an expression that finds lines of a topic, for RE2 and Lucene-like engines alike: an alternative of plain words.
pub fn expression(about: LogTopic) -> String {
    format!("(?i)({})", of(about).join("|"))
}

/// Returns what is asked for, as a sentence begins with it.
pub fn subject(subject: Subject, service: &str) -> String {
    let what = match subject {
        Subject::Series { role } => match role {
            Role::CpuUsage => "CPU usage",
            Role::CpuThrottling => "CPU throttling",
            Role::MemoryUsage => "Memory usage",
            Role::Restarts => "The number of container restarts",
            Role::Instances => "The number of running instances",
            Role::PoolWaiting => "The number of requests waiting for a connection",
            Role::ConsumerLag => "Consumer lag",
            Role::DiskUsage => "Disk usage",
            Role::Requests => "The request rate",
            Role::DroppedPackets => "The rate of dropped packets",
        },
        Subject::Lines { about } => {
            let about = match about {
                LogTopic::Memory => "memory that runs out",
                LogTopic::Pool => "waiting for a connection",
                LogTopic::Disk => "a full disk",
                LogTopic::Certificate => "refused certificates",
                LogTopic::Network => "timeouts and lost connections",
                LogTopic::Exception => "exceptions",
            };
            return format!("The rate of log lines of {service} about {about}");
        }
        Subject::Calls { aspect: Aspect::Duration } => "The duration of outgoing calls",
        Subject::Calls { aspect: Aspect::Failures } => "The share of failed outgoing calls",
        Subject::Events { about } => {
            let about = match about {
                Report::OutOfMemory => "containers killed for lack of memory",
                Report::Failing => "pods that fail",
                Report::Storage => "full volumes and evictions",
            };
            return format!("The rate of cluster events of {service} about {about}");
        }
    };
    format!("{what} of {service}")
}
