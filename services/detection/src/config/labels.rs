//! Which labels split what is judged, under `[detection.labels]`.

use serde::{Deserialize, Serialize};

/// Labels that are dimensions unless the configuration says otherwise.
const DIMENSIONS: [&str; 46] = [
    "route",
    "http.route",
    "http_route",
    "handler",
    "endpoint",
    "method",
    "http.request.method",
    "http.method",
    "http_request_method",
    "http_method",
    "rpc.service",
    "rpc.method",
    "grpc_service",
    "grpc_method",
    "db.system",
    "db.system.name",
    "db.operation.name",
    "db.operation",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.consumer.group.name",
    "queue",
    "topic",
    "consumergroup",
    "consumer_group",
    "device",
    "system.device",
    "network.interface.name",
    "mountpoint",
    "system.filesystem.mountpoint",
    "state",
    "mode",
    "cpu.mode",
    "system.memory.state",
    "system.filesystem.state",
    "span.name",
    "span_name",
    "peer",
    "peer.service",
    "quantile",
    "pool.name",
    "db.client.connection.pool.name",
    "db_client_connection_pool_name",
    "db.client.connection.state",
    "db_client_connection_state",
    "jvm.memory.pool.name",
];
/// Labels that say whether requests failed.
const STATUS: [&str; 18] = [
    "code",
    "status",
    "status_code",
    "http_code",
    "http_status",
    "http_status_code",
    "http.status_code",
    "http.response.status_code",
    "http_response_status_code",
    "rpc.response.status_code",
    "rpc.grpc.status_code",
    "grpc_code",
    "grpc_status",
    "error.type",
    "error_type",
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
    /// Returns whether a label splits what is judged.
    pub(crate) fn is_dimension(&self, label: &str) -> bool {
        let is_default = self.dimensions_defaults && DIMENSIONS.contains(&label);
        (is_default || self.dimensions.iter().any(|one| one == label))
            && !self.replicas.iter().any(|one| one == label)
    }

    /// Returns whether a label says whether requests failed.
    pub(crate) fn is_status(&self, label: &str) -> bool {
        self.status.iter().any(|one| one == label)
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
        assert!(defaults.is_dimension("http.route") && !defaults.is_dimension("pod"));
        assert!(defaults.is_status("code") && !defaults.is_status("route"));
        let own = LabelOptions {
            dimensions: vec!["tenant".into()],
            replicas: vec!["device".into()],
            ..LabelOptions::default()
        };
        assert!(own.is_dimension("tenant") && own.is_dimension("queue") && !own.is_dimension("device"));
        let only = LabelOptions { dimensions_defaults: false, ..own };
        assert!(only.is_dimension("tenant") && !only.is_dimension("queue"));
        assert_eq!(only.validate(), [""; 0]);
        let wrong = LabelOptions { dimensions: vec![String::new(), "device".into()], max_sets: 0, ..only };
        assert_eq!(wrong.validate().len(), 3);
    }
}
