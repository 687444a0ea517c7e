//! Logs and metrics of a process.

use anyhow::Context as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
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
    let outcome = match log.format {
        LogFormat::Pretty => builder.compact().with_ansi(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    drop(outcome);
}

/// Installs the recorder behind `/metrics`. Durations are in seconds.
pub fn metrics(service: &'static str) -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .add_global_label("service", service)
        .set_buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
        .context("histogram buckets")?
        .install_recorder()
        .context("metrics recorder")
}
