//! Metrics by name and unit. Hundreds of services bear the same ones: what they mean is worked out and kept once.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Meaning, Override};

/// A metric.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Name.
    pub name: Box<str>,
    /// Unit as the samples tell it.
    pub(crate) unit: Box<str>,
    /// What it means.
    pub meaning: Meaning,
}

impl Metric {
    /// Returns the metric of that name and unit with what it means.
    pub fn new(name: &str, unit: &str, overrides: &[Override]) -> Arc<Self> {
        Arc::new(Self { name: name.into(), unit: unit.into(), meaning: Meaning::of(name, unit, overrides) })
    }
}

// under one configuration, name and unit tell the rest
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
