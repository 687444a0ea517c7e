//! Which service and environment an item belongs to, by its labels or attributes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Rules, under `[gateway.identity]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Labels that name the service, the first that is present wins.
    pub service_labels: Vec<String>,
    /// Labels that name the environment, the first that is present wins.
    pub environment_labels: Vec<String>,
    /// Environment of what names none.
    pub environment: String,
    /// Attributes of a resource that become labels of its points and lines: which replica it is. Its other attributes are left out.
    pub resource_labels: Vec<String>,
    /// Names that are replaced: from, to.
    pub renames: BTreeMap<String, String>,
}

impl Default for Rules {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            service_labels: list(&[
                "service.name",
                "service_name",
                "service",
                "app.kubernetes.io/name",
                "app_kubernetes_io_name",
                "k8s.deployment.name",
                "k8s.statefulset.name",
                "k8s.daemonset.name",
                "deployment",
                "statefulset",
                "daemonset",
                "app",
                "job",
            ]),
            environment_labels: list(&[
                "deployment.environment.name",
                "deployment_environment_name",
                "deployment.environment",
                "deployment_environment",
                "environment",
                "env",
            ]),
            environment: "production".to_owned(),
            resource_labels: list(&[
                "service.instance.id",
                "service.namespace",
                "k8s.namespace.name",
                "k8s.node.name",
                "k8s.pod.name",
                "k8s.container.name",
                "k8s.volume.name",
                "k8s.hpa.name",
                "host.name",
                "container.id",
                "container.name",
            ]),
            renames: BTreeMap::new(),
        }
    }
}

impl Rules {
    /// Returns the service that labels name.
    pub fn service<'a>(&'a self, label: impl Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
        let named =
            self.service_labels.iter().find_map(|name| label(name).filter(|value| !value.is_empty()))?;
        // OpenTelemetry's default where no name is configured, which no service has
        let named = if named.starts_with("unknown_service") { return None } else { named };
        Some(self.renames.get(named).map_or(named, String::as_str))
    }

    /// Returns the environment that labels name, or the configured one.
    pub fn environment<'a>(&'a self, label: impl Fn(&str) -> Option<&'a str>) -> &'a str {
        let mut named = self.environment_labels.iter().filter_map(|name| label(name));
        named.find(|value| !value.is_empty()).unwrap_or(&self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_that_names_a_service_wins_and_is_renamed() {
        let rules = Rules { renames: [("pay".to_owned(), "payment".to_owned())].into(), ..Rules::default() };
        let of = |labels: &'static [(&str, &str)]| {
            let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
            let found = rules.service(|name| labels.get(name).copied()).map(str::to_owned);
            (found, rules.environment(|name| labels.get(name).copied()).to_owned())
        };
        assert_eq!(
            of(&[("job", "x"), ("service.name", "pay")]),
            (Some("payment".into()), "production".into())
        );
        assert_eq!(of(&[("job", "x"), ("env", "staging")]), (Some("x".into()), "staging".into()));
        assert_eq!(of(&[("service.name", "unknown_service:java")]).0, None);
    }
}
