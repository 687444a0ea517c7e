//! Logs and trace spans of a process.

use tracing_subscriber::filter::{FilterExt as _, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use super::config::{Log, LogFormat, Tracing};

/// What libraries say at a level of ours: librdkafka repeats every broker it cannot reach, refinery every look at the
/// schema, the exporter every try. Our own lines say it once, with what follows from it.
const QUIET: &str = "librdkafka=off,refinery_core=warn,tokio_postgres=warn,opentelemetry_otlp=off";

/// Starts logging to standard error. A second call changes nothing.
pub fn logs(log: &Log) {
    // without an endpoint nothing can fail
    let _ = init("", "", log, &Tracing::default());
}

/// Starts logging to standard error, and the export of spans if an endpoint is set. Runs inside the async runtime. A
/// second call changes nothing.
pub fn init(name: &'static str, process: &str, log: &Log, tracing: &Tracing) -> anyhow::Result<()> {
    let level = format!("{},{QUIET}", log.level);
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(format!("info,{QUIET}")));
    let lines = fmt::layer::<Registry>().with_writer(std::io::stderr).with_target(false);
    let lines = match log.format {
        LogFormat::Pretty => lines.compact().with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // spans are exported and not written: a line has the fields that it needs
    // with the hint, events below the level of the log cost nothing: the Kafka client emits some at each poll
    let is_line = filter_fn(|of| !of.is_span()).with_max_level_hint(LevelFilter::TRACE);
    let lines = lines.with_filter(filter.and(is_line));
    let lines = tracing_subscriber::registry().with(lines);
    // a second call, as in tests, finds a subscriber installed
    #[cfg(feature = "otlp")]
    if !tracing.endpoint.is_empty() {
        let target = crate::trace::export::Target {
            endpoint: &tracing.endpoint,
            ca_file: &tracing.ca_file,
            service: name,
            process,
        };
        let _ = lines.with(crate::trace::export::layer(&target)?).try_init();
        return Ok(());
    }
    let _ = (name, process, tracing);
    let _ = lines.try_init();
    Ok(())
}

/// Sends the spans that are left, for two seconds at most. Blocking.
pub fn flush() {
    #[cfg(feature = "otlp")]
    crate::trace::export::flush();
}
