//! Amazon CloudWatch: `GetMetricData` for metrics, `FilterLogEvents` for log groups.

mod api;
mod logs;
mod metrics;
mod sign;

pub use logs::LogSource;
pub use metrics::MetricSource;

/// Most pages of one answer.
const MAX_PAGES: usize = 10;
