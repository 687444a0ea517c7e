//! Which labels split what is judged, under `[detection.labels]`.

use serde::{Deserialize, Serialize};

use crate::metric_profile::catalogue::{Family, is_same};

/// Labels that are dimensions unless the configuration says otherwise; a dot and an underscore are the same.
const DIMENSIONS: [&str; 48] = [
    "route",
    "http.route",
    "handler",
    "endpoint",
    "method",
    "http.request.method",
    "http.method",
    "rpc.service",
    "rpc.method",
    "grpc_service",
    "grpc_method",
    "db.system",
    "db.system.name",
    "db.namespace",
    "db.operation.name",
    "db.operation",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.operation.name",
    "messaging.consumer.group.name",
    "queue",
    "topic",
    "consumergroup",
    "consumer_group",
    "device",
    "system.device",
    "network.interface.name",
    "direction",
    "disk.io.direction",
    "network.io.direction",
    "mountpoint",
    "system.filesystem.mountpoint",
    "state",
    "mode",
    "cpu.mode",
    "system.memory.state",
    "system.filesystem.state",
    "db.client.connection.state",
    "http.connection.state",
    "span.name",
    "peer",
    "peer.service",
    "server.address",
    "quantile",
    "pool.name",
    "db.client.connection.pool.name",
    "jvm.memory.pool.name",
    "jvm.gc.name",
];
/// Labels that say whether requests failed; a dot and an underscore are the same.
const STATUS: [&str; 20] = [
    "code",
    "status",
    "status_code",
    "http_code",
    "http_status",
    "http.status_code",
    "http.response.status_code",
    "rpc.response.status_code",
    "rpc.grpc.status_code",
    "grpc_code",
    "grpc_status",
    "grpc_response_status",
    "response_code",
    "response_code_class",
    "envoy_response_code",
    "envoy_response_code_class",
    "error.type",
    "status.code",
    "outcome",
    "result",
];
/// Most labels of either kind.
const MAX_LABELS: usize = 200;
/// Most sets of dimensions of one metric: more would not fit into the series of a service.
const MAX_SETS: u32 = 200;

/// Settings of labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelOptions {
    /// Further labels that split what is judged. All others are of replicas, whose samples are folded.
    pub dimensions: Vec<String>,
    /// Whether the dimensions that come with detection count as well.
    pub dimensions_defaults: bool,
    /// Labels of replicas, though they come with detection as dimensions.
    pub replicas: Vec<String>,
    /// Labels that say whether requests failed: by an HTTP or gRPC status, or by a word such as `error`.
    pub status: Vec<String>,
    /// Most sets of dimensions that are distinguished in one metric of a service; the others are one set, `other`.
    pub max_sets: u32,
}

impl Default for LabelOptions {
    fn default() -> Self {
        Self {
            dimensions: Vec::new(),
            dimensions_defaults: true,
            replicas: Vec::new(),
            status: STATUS.map(str::to_owned).to_vec(),
            max_sets: MAX_SETS,
        }
    }
}

impl LabelOptions {
    /// Returns whether a label splits what is judged, in metrics of a family or in all.
    pub(crate) fn is_dimension(&self, label: &str, family: Option<&Family>) -> bool {
        let is_known = || {
            DIMENSIONS.iter().any(|one| is_same(one, label))
                || family.is_some_and(|family| family.has_dimension(label))
        };
        let is_one = self.is_default(label) && is_known();
        is_one && !self.replicas.iter().any(|one| one == label)
            || self.dimensions.iter().any(|one| one == label)
    }

    /// Returns whether the configuration leaves the meaning of a label to what comes with detection.
    pub(crate) fn is_default(&self, label: &str) -> bool {
        self.dimensions_defaults && !self.dimensions.iter().any(|one| one == label)
    }

    /// Returns whether a label says whether requests failed.
    pub(crate) fn is_status(&self, label: &str) -> bool {
        self.status.iter().any(|one| is_same(one, label))
    }

    /// Returns what is wrong with them.
    pub(super) fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, list) in
            [("dimensions", &self.dimensions), ("replicas", &self.replicas), ("status", &self.status)]
        {
            if list.len() > MAX_LABELS {
                problems.push(format!("labels: {name} has more than {MAX_LABELS} labels"));
            }
            if list.iter().any(String::is_empty) {
                problems.push(format!("labels: {name} has an empty label"));
            }
        }
        for both in self.dimensions.iter().filter(|label| self.replicas.contains(label)) {
            problems.push(format!("labels: {both} is both a dimension and a label of replicas"));
        }
        if !(1..=MAX_SETS).contains(&self.max_sets) {
            problems.push(format!("labels: max_sets must be between 1 and {MAX_SETS}"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_dimensions_by_default_or_by_configuration() {
        let defaults = LabelOptions::default();
        assert!(defaults.is_dimension("http.route", None) && !defaults.is_dimension("pod", None));
        assert!(defaults.is_status("code") && !defaults.is_status("route"));
        assert!(defaults.is_dimension("rpc_service", None) && defaults.is_status("rpc_grpc_status_code"));
        let own = LabelOptions {
            dimensions: vec!["tenant".into()],
            replicas: vec!["device".into()],
            ..LabelOptions::default()
        };
        assert!(
            own.is_dimension("tenant", None)
                && own.is_dimension("queue", None)
                && !own.is_dimension("device", None)
        );
        let only = LabelOptions { dimensions_defaults: false, ..own };
        assert!(only.is_dimension("tenant", None) && !only.is_dimension("queue", None));
        assert_eq!(only.validate(), [""; 0]);
        let wrong = LabelOptions { dimensions: vec![String::new(), "device".into()], max_sets: 0, ..only };
        assert_eq!(wrong.validate().len(), 3);
    }
}
