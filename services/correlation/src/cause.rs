//! Which service a fault began in, and what kind of fault it is: pure decision code over metrics, spans and log counts.
//!
//! Three algorithms, each after research code that `tests/reference/make.py` runs beside this one:
//!
//! - **H** ([`ranking`]): hypotheses. Each pair of service and category predicts what must be seen; what is seen adds
//!   evidence in nats, and what is predicted and absent takes some away.
//! - **F** ([`blame`]): blame flow. The extra seconds or failed requests of the alerting service are handed down its
//!   calls. It is used where the alert names such a metric and requests are counted ([`blame::applies`]).
//! - **S** ([`incidents`]): an incident is a hypothesis that has become strong enough over consecutive rows.
//!
//! `docs/correlation.md` has the formulas, their sources and the measured figures.

pub mod blame;
pub mod family;
mod inbound;
pub mod incidents;
mod invariants;
mod log_rates;
mod metric_evidence;
mod minutes;
pub mod normal;
mod observations;
pub mod probability;
pub mod ranking;
mod span_times;
mod system;

pub use minutes::{Evidence, LogCount, Minutes, SpanTotal};
pub use ranking::{Hypothesis, Suspect};

use family::Family;

/// One series of a case: the rows that are its normal, and the rows around the alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Service.
    pub service: String,
    /// Name of the metric.
    pub metric: String,
    /// What the metric measures.
    pub family: Family,
    /// Rows of the history, NaN where there is no sample. All series of a case have equally many.
    pub base: Vec<f64>,
    /// Rows just before the alert and since, NaN where there is no sample. All series of a case have equally many.
    pub window: Vec<f64>,
}

/// What the person on call sees first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alert {
    /// Event time.
    pub ts_ms: i64,
    /// Service that alerts.
    pub service: String,
    /// Its metric, if the alert is about one.
    pub metric: Option<String>,
}

/// A change of a service that was rolled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Event time.
    pub ts_ms: i64,
    /// Service.
    pub service: String,
}

/// All that is known when a cause is asked for.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Services that may be the cause.
    pub services: Vec<String>,
    /// Calls: caller and callee.
    pub edges: Vec<(String, String)>,
    /// The alert.
    pub alert: Alert,
    /// Metrics.
    pub series: Vec<Series>,
    /// Row of the windows in which the alert falls.
    pub alert_row: usize,
    /// Spans and log counts by the minute, from just before the alert on.
    pub evidence: Vec<Evidence>,
    /// Changes that were rolled out before anyone asked.
    pub deployments: Vec<Deployed>,
}

impl Series {
    /// Whether the window has a sample.
    fn is_measured(&self) -> bool {
        self.window.iter().any(|value| value.is_finite())
    }

    /// Returns the rows since the alert.
    fn since(&self, row: usize) -> &[f64] {
        self.window.get(row..).unwrap_or_default()
    }

    /// Returns the last samples before the alert, at most [`normal::JUST_BEFORE_ROWS`].
    fn just_before(&self, row: usize) -> Vec<f64> {
        let before = &self.window[..row.min(self.window.len())];
        let samples = before.iter().copied().filter(|value| value.is_finite());
        let mut last: Vec<f64> = samples.rev().take(normal::JUST_BEFORE_ROWS).collect();
        last.reverse();
        last
    }
}
