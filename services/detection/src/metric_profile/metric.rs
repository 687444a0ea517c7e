//! Metrics by name and unit. Hundreds of services have the same ones: each profile is computed and kept once.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{MetricProfile, Override};

/// A metric.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Name.
    pub name: Box<str>,
    /// Unit as it is in the samples.
    pub(crate) unit: Box<str>,
    /// What it means.
    pub profile: MetricProfile,
}

impl Metric {
    /// Returns the metric of that name and unit with what it means.
    pub fn new(name: &str, unit: &str, overrides: &[Override]) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            unit: unit.into(),
            profile: MetricProfile::of(name, unit, overrides),
        })
    }
}

// under one configuration, the rest follows from name and unit
impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.unit) == (&other.name, &other.unit)
    }
}

impl Eq for Metric {}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.unit).hash(state);
    }
}

/// The metrics of a partition.
#[derive(Debug, Default)]
pub(crate) struct Metrics(HashSet<Arc<Metric>>);

impl Metrics {
    /// Returns a metric; the same one each time.
    pub(crate) fn get(&mut self, name: &str, unit: &str, overrides: &[Override]) -> Arc<Metric> {
        let metric = Metric::new(name, unit, overrides);
        if let Some(known) = self.0.get(&metric) {
            return Arc::clone(known);
        }
        self.0.insert(Arc::clone(&metric));
        metric
    }
}
