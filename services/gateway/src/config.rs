//! Settings of the gateway.

use serde::{Deserialize, Serialize};
use shared::service::StageOptions;

use crate::identity::Rules;

/// Settings under `[gateway]`, or `FIREWATCH_GATEWAY__...`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where HTTP is served.
    pub listen: String,
    /// Where gRPC is served; empty: nowhere.
    pub grpc_listen: String,
    /// Which service and environment items belong to.
    pub identity: Rules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4318".to_owned(),
            grpc_listen: "127.0.0.1:4317".to_owned(),
            identity: Rules::default(),
        }
    }
}

impl StageOptions for Settings {}
