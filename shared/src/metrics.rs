//! Metrics as typed families: name, help text and labels stand in one place, and a family is counted under values for exactly
//! its labels. Each service lists its own in its module `metrics`; those of the runtime are in [`runtime`].

pub mod runtime;

use std::sync::{LazyLock, OnceLock};

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder, histogram_opts,
};

static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// Puts the label `service` on every metric of this process. Called before the first metric is touched; later calls change
/// nothing.
pub fn init(service: &str) {
    let labels = std::iter::once(("service".to_owned(), service.to_owned())).collect();
    if let Ok(registry) = Registry::new_custom(None, Some(labels)) {
        let _ = REGISTRY.set(registry);
    }
}

fn registry() -> &'static Registry {
    REGISTRY.get_or_init(Registry::new)
}

/// Returns all metrics in the Prometheus text format.
pub fn render() -> String {
    TextEncoder::new().encode_to_string(&registry().gather()).unwrap_or_else(|error| format!("# {error}\n"))
}

fn register(collector: impl Collector + 'static) {
    if let Err(error) = registry().register(Box::new(collector)) {
        tracing::error!(%error, "metric could not be registered");
    }
}

/// A family of counters with `N` labels.
pub type Counter<const N: usize> = LazyLock<CounterFamily<N>>;
/// A family of gauges with `N` labels.
pub type Gauge<const N: usize> = LazyLock<GaugeFamily<N>>;
/// A family of histograms with `N` labels.
pub type Histogram<const N: usize> = LazyLock<HistogramFamily<N>>;

/// Counters by `N` labels.
pub struct CounterFamily<const N: usize>(IntCounterVec);

impl<const N: usize> CounterFamily<N> {
    /// Registers a family.
    ///
    /// # Panics
    ///
    /// If name or labels are not valid in Prometheus.
    pub fn new(name: &str, help: &str, labels: [&str; N]) -> Self {
        let family = IntCounterVec::new(Opts::new(name, help), &labels).expect("valid name and labels");
        register(family.clone());
        Self(family)
    }

    /// Returns the counter with these values of the labels, e.g. to keep it where it is counted often.
    pub fn with(&self, values: [&str; N]) -> prometheus::IntCounter {
        self.0.with_label_values(&values)
    }

    /// Adds one.
    pub fn add_one(&self, values: [&str; N]) {
        self.with(values).inc();
    }

    /// Adds `count`.
    pub fn add(&self, values: [&str; N], count: u64) {
        self.with(values).inc_by(count);
    }
}

/// Gauges by `N` labels.
pub struct GaugeFamily<const N: usize>(GaugeVec);

impl<const N: usize> GaugeFamily<N> {
    /// Registers a family.
    ///
    /// # Panics
    ///
    /// If name or labels are not valid in Prometheus.
    pub fn new(name: &str, help: &str, labels: [&str; N]) -> Self {
        let family = GaugeVec::new(Opts::new(name, help), &labels).expect("valid name and labels");
        register(family.clone());
        Self(family)
    }

    /// Sets the value.
    pub fn set(&self, values: [&str; N], value: f64) {
        self.0.with_label_values(&values).set(value);
    }
}

/// Histograms by `N` labels.
pub struct HistogramFamily<const N: usize>(HistogramVec);

impl<const N: usize> HistogramFamily<N> {
    /// Registers a family with the upper bounds of its buckets.
    ///
    /// # Panics
    ///
    /// If name, labels or buckets are not valid in Prometheus.
    pub fn new(name: &str, help: &str, labels: [&str; N], buckets: &[f64]) -> Self {
        let options: HistogramOpts = histogram_opts!(name, help, buckets.to_vec());
        let family = HistogramVec::new(options, &labels).expect("valid name, labels and buckets");
        register(family.clone());
        Self(family)
    }

    /// Adds one observation.
    pub fn observe(&self, values: [&str; N], value: f64) {
        self.0.with_label_values(&values).observe(value);
    }
}
