//! Metrics by name and unit. Hundreds of services have the same ones: each profile is computed and kept once.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::key::{self, Form, Key};
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
    /// What the configuration says of it.
    correction: Option<Box<Override>>,
}

impl Metric {
    /// Returns the metric of that name and unit with what it means.
    pub fn new(name: &str, unit: &str, overrides: &[Override]) -> Arc<Self> {
        let public = key::public(name);
        let stated = overrides.iter().find(|one| one.covers(&public)).cloned();
        let is_level = Key::parse(name).is_none_or(|key| key.form == Form::Level);
        let correction = if is_level {
            stated
        } else {
            // what is derived is never a counter, whatever its values show
            Some(Override { metric: public.to_string(), counter: Some(false), ..stated.unwrap_or_default() })
        };
        Arc::new(Self {
            name: name.into(),
            unit: unit.into(),
            profile: MetricProfile::of(name, unit, overrides),
            correction: correction.map(Box::new),
        })
    }
}

impl Metric {
    /// Returns the same metric as a counter, or as what is none: what its values show wins over what its name says.
    pub(crate) fn counted(&self, counter: bool) -> Arc<Self> {
        let correction = self.correction.as_deref().cloned().unwrap_or_default();
        let metric = key::public(&self.name).into_owned();
        let shown = Override { metric, counter: Some(counter), ..correction };
        Arc::new(Self { profile: MetricProfile::of(&self.name, &self.unit, &[shown]), ..self.clone() })
    }

    /// Returns whether the configuration says whether it is a counter.
    pub(crate) fn is_configured_counter(&self) -> bool {
        self.correction.as_ref().is_some_and(|correction| correction.counter.is_some())
    }

    /// Returns the unit of its samples, as far as it is known.
    pub(crate) fn sample_unit(&self) -> &str {
        match &*self.unit {
            "" if self.profile.counter => self.profile.unit.trim_end_matches("1/s").trim_end_matches("/s"),
            "" => &self.profile.unit,
            unit => unit,
        }
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

/// Least number of metrics among which unused ones are looked for.
const MIN_TIDY: usize = 1024;

/// The metrics of a partition.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    known: HashSet<Arc<Metric>>,
    /// How many there may be before those are looked for that no series has any more.
    tidy_at: usize,
}

impl Metrics {
    /// Returns a metric of a service; the same one each time, unless the configuration names the service.
    pub(crate) fn get(
        &mut self,
        service: &str,
        name: &str,
        unit: &str,
        overrides: &[Override],
    ) -> Arc<Metric> {
        let public = key::public(name);
        let own = Override::find(overrides, service, &public);
        let metric = Metric::new(name, unit, own.map_or(&[], std::slice::from_ref));
        if own.is_some_and(|own| own.service.is_some()) {
            return metric;
        }
        if let Some(known) = self.known.get(&metric) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.tidy_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.tidy_at = MIN_TIDY.max(2 * self.known.len());
        }
        self.known.insert(Arc::clone(&metric));
        metric
    }
}
