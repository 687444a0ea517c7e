//! Logs and metrics of a process.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::config::{Log, LogFormat};

/// What libraries say at a level of ours: librdkafka repeats every broker it cannot reach, refinery every look at the
/// schema. Our own lines say it once, with what follows from it.
const QUIET: &str = "librdkafka=off,refinery_core=warn,tokio_postgres=warn";

/// Starts logging to standard error. A second call changes nothing.
pub fn init(log: &Log) {
    let level = format!("{},{QUIET}", log.level);
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(format!("info,{QUIET}")));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // a second call, as in tests, finds a subscriber installed
    let _ = match log.format {
        LogFormat::Pretty => builder.compact().with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
}
