//! Settings of the gateway.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use shared::service::StageOptions;
use shared::text::redact::is_loopback;
use shared::tls::Files;

use crate::bridge;
use crate::door::DECODED;
use crate::formats::{alertmanager, deployments, kubernetes};
use crate::identity::Rules;
use crate::telemetry::Limits;

/// Settings under `[gateway]`, or `FIREWATCH_GATEWAY__...`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where HTTP is served.
    pub listen: String,
    /// Where gRPC is served; empty: nowhere.
    pub grpc_listen: String,
    /// Whether a request needs a token of `firewatch token create`.
    pub tokens: bool,
    /// TLS of both doors.
    pub tls: Tls,
    /// Which service and environment items belong to.
    pub identity: Rules,
    /// What items are checked against.
    pub limits: Limits,
    /// What requests are checked against.
    pub requests: Requests,
    /// How alerts are read.
    pub alertmanager: alertmanager::Settings,
    /// How reports of deployments are verified and read.
    pub deployments: deployments::Settings,
    /// How events of Kubernetes are read.
    pub kubernetes: kubernetes::Settings,
    /// What is read from topics that others write.
    pub bridge: bridge::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:4318".to_owned(),
            grpc_listen: "127.0.0.1:4317".to_owned(),
            tokens: false,
            tls: Tls::default(),
            identity: Rules::default(),
            limits: Limits::default(),
            requests: Requests::default(),
            alertmanager: alertmanager::Settings::default(),
            deployments: deployments::Settings::default(),
            kubernetes: kubernetes::Settings::default(),
            bridge: bridge::Settings::default(),
        }
    }
}

/// Certificates of the doors, under `[gateway.tls]`. An empty path is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Our certificate and what leads to its CA, PEM. Without it the doors are plain text.
    pub cert_file: PathBuf,
    /// Its key, PEM, not encrypted.
    pub key_file: PathBuf,
    /// CA certificates of clients, PEM: a client without a certificate of theirs is refused.
    pub client_ca_file: PathBuf,
}

impl Tls {
    /// Returns whether the doors are protected.
    pub fn is_enabled(&self) -> bool {
        !self.cert_file.as_os_str().is_empty()
    }

    /// Returns whether clients need a certificate.
    pub fn is_mutual(&self) -> bool {
        self.is_enabled() && !self.client_ca_file.as_os_str().is_empty()
    }

    /// Returns the files.
    pub fn files(&self) -> Files<'_> {
        Files { ca: &self.client_ca_file, certificate: &self.cert_file, key: &self.key_file }
    }
}

/// Bounds of requests, under `[gateway.requests]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requests {
    /// Largest body, once it is decompressed, bytes.
    pub body_bytes: usize,
    /// Requests that are worked on at once. One beyond is refused as retryable.
    pub in_flight: usize,
    /// Bytes of bodies, of what is read of them and of records that are held at once, of all requests. A request beyond is refused
    /// as retryable.
    pub in_flight_bytes: usize,
    /// Requests of one token in a second, on average; 0: any number.
    pub per_token_per_s: u32,
    /// Open connections of each door.
    pub connections: usize,
    /// Longest time for the head of the first request of a connection, and for the TLS handshake, milliseconds.
    pub head_timeout_ms: u64,
    /// Longest time for a body, milliseconds.
    pub body_timeout_ms: u64,
    /// Longest wait for the acknowledgement of Kafka, milliseconds.
    pub publish_timeout_ms: u64,
    /// Longest wait for requests in flight at shutdown, milliseconds.
    pub drain_timeout_ms: u64,
    /// When a client that is refused as retryable is told to try again, seconds.
    pub retry_after_s: u64,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            in_flight: 256,
            in_flight_bytes: 192 << 20,
            per_token_per_s: 500,
            connections: 1_024,
            head_timeout_ms: 10_000,
            body_timeout_ms: 15_000,
            publish_timeout_ms: 10_000,
            drain_timeout_ms: 15_000,
            retry_after_s: 5,
        }
    }
}

impl Requests {
    fn validate(&self) -> Vec<String> {
        let bounds = [
            ("body_bytes", self.body_bytes as u64, 1_024, 256 << 20),
            ("in_flight", self.in_flight as u64, 1, 100_000),
            ("in_flight_bytes", self.in_flight_bytes as u64, 1 << 20, 4 << 30),
            ("connections", self.connections as u64, 1, 100_000),
            ("head_timeout_ms", self.head_timeout_ms, 100, 600_000),
            ("body_timeout_ms", self.body_timeout_ms, 100, 600_000),
            ("publish_timeout_ms", self.publish_timeout_ms, 100, 300_000),
            ("drain_timeout_ms", self.drain_timeout_ms, 100, 300_000),
            ("retry_after_s", self.retry_after_s, 1, 3_600),
        ];
        let mut problems: Vec<String> = bounds
            .into_iter()
            .filter(|(_, value, least, most)| !(least..=most).contains(&value))
            .map(|(name, value, least, most)| {
                format!("requests.{name} is {value}, not between {least} and {most}")
            })
            .collect();
        if self.in_flight_bytes < self.body_bytes.saturating_mul(DECODED + 2) {
            problems.push(format!(
                "requests.in_flight_bytes {} is below {} times requests.body_bytes {}: the largest body would never be taken",
                self.in_flight_bytes,
                DECODED + 2,
                self.body_bytes
            ));
        }
        problems
    }
}

impl Settings {
    fn doors(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let doors = [("listen", &*self.listen), ("grpc_listen", &*self.grpc_listen)];
        doors.into_iter().filter(|(_, address)| !address.is_empty())
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let open = self.doors().filter(|(_, address)| !self.tls.is_enabled() && !is_loopback(address));
        let secret = if self.tokens { ", and with it the tokens" } else { "" };
        let open = open.map(|(name, address)| {
            format!("gateway.{name} {address} takes telemetry in plain text{secret}; set gateway.tls")
        });
        open.chain(self.bridge.warnings()).collect()
    }
}

impl StageOptions for Settings {
    fn validate(&self) -> Vec<String> {
        let mut problems = self.limits.validate();
        problems.extend(self.requests.validate());
        problems.extend(self.tls.files().validate("tls"));
        let formats = [
            ("alertmanager", self.alertmanager.validate()),
            ("deployments", self.deployments.validate()),
            ("kubernetes", self.kubernetes.validate()),
            ("bridge", self.bridge.validate()),
        ];
        for (section, found) in formats {
            problems.extend(found.into_iter().map(|problem| format!("{section}.{problem}")));
        }
        if !self.tls.client_ca_file.as_os_str().is_empty() && !self.tls.is_enabled() {
            problems.push("tls.client_ca_file needs tls.cert_file and tls.key_file".to_owned());
        }
        if self.listen.is_empty() {
            problems.push("listen is empty".to_owned());
        }
        for (name, address) in self.doors() {
            if !is_loopback(address) && !self.tokens && !self.tls.is_mutual() {
                problems.push(format!(
                    "{name} is {address}, which others can reach: set tokens = true, or mutual TLS by tls.client_ca_file"
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_loopback_a_door_needs_tokens_or_certificates() {
        let of = |listen: &str, tokens| Settings { listen: listen.to_owned(), tokens, ..Settings::default() };
        assert_eq!(Settings::default().validate(), Vec::<String>::new());
        assert_eq!(of("[::1]:4318", false).validate().len(), 0);
        for listen in ["0.0.0.0:4318", "[::]:4318", "gateway.example.com:4318", ":4318"] {
            assert_eq!(of(listen, false).validate().len(), 1, "{listen}");
            assert_eq!(of(listen, true).validate().len(), 0, "{listen}");
            assert_eq!(of(listen, true).warnings().len(), 1, "{listen}");
        }
        assert_eq!(Settings::default().warnings(), Vec::<String>::new());
    }

    #[test]
    fn bounds_that_cannot_work_are_refused() {
        let requests = Requests { in_flight: 0, in_flight_bytes: 1, ..Requests::default() };
        let tls = Tls { client_ca_file: "/nowhere".into(), ..Tls::default() };
        let limits = Limits { items: 0, ..Limits::default() };
        let problems = Settings { tls, limits, requests, ..Settings::default() }.validate();
        assert_eq!(problems.len(), 6, "{problems:?}");
    }
}
