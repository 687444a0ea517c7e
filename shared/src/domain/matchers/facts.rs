//! What is known of an incident or an anomaly, as far as matchers ask.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Name;
use crate::events::{Category, Incident, Kind, Severity};

/// What is known of an incident or an anomaly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Environment; none where it is not known.
    pub environment: Option<String>,
    /// Services that are concerned.
    pub services: BTreeSet<String>,
    /// Metrics of its series.
    pub metrics: BTreeSet<String>,
    /// What its series measure.
    pub kinds: BTreeSet<Kind>,
    /// Kinds of cause that are suspected.
    pub categories: BTreeSet<Category>,
    /// Severity; none where it is not known.
    pub severity: Option<Severity>,
    /// Labels of its series. Series differ in them, so each may have several values.
    pub labels: BTreeMap<String, BTreeSet<String>>,
}

impl Facts {
    /// Adds a value of a label.
    pub fn add_label(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.labels.entry(name.into()).or_default().insert(value.into());
    }

    /// Returns what is known of an incident. Its signals carry no labels of telemetry, so none are known.
    pub fn of_incident(incident: &Incident) -> Self {
        Self {
            environment: Some(incident.environment.clone()),
            services: incident.affected_services.iter().cloned().collect(),
            metrics: incident.signals.iter().map(|signal| signal.metric.clone()).collect(),
            kinds: incident.signals.iter().map(|signal| signal.kind).collect(),
            categories: incident.suspects.iter().map(|suspect| suspect.category).collect(),
            severity: Some(incident.severity),
            labels: BTreeMap::new(),
        }
    }

    /// Returns the values of a name, as matchers compare them.
    pub(super) fn values(&self, name: &Name) -> Vec<Cow<'_, str>> {
        fn borrowed(values: &BTreeSet<String>) -> Vec<Cow<'_, str>> {
            values.iter().map(|value| Cow::Borrowed(&**value)).collect()
        }
        match name {
            Name::Environment => self.environment.iter().map(|value| Cow::Borrowed(&**value)).collect(),
            Name::Service => borrowed(&self.services),
            Name::Metric => borrowed(&self.metrics),
            Name::Kind => self.kinds.iter().map(|kind| Cow::Owned(kind.to_string())).collect(),
            Name::Category => self.categories.iter().map(|kind| Cow::Owned(kind.to_string())).collect(),
            Name::Severity => self.severity.iter().map(|value| Cow::Borrowed(value.label())).collect(),
            Name::Label(label) => self.labels.get(label).map(borrowed).unwrap_or_default(),
        }
    }
}
