//! TLS towards Kafka, and how a client proves who it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::client::OAuthToken;
use serde::{Deserialize, Serialize};

use crate::clock::{Clock as _, SystemClock};
use crate::secret::Secret;
use crate::tls;

/// Lifetime of a token that does not say how long it lasts.
const LASTING: Duration = Duration::from_hours(365 * 24);

/// Settings under `[kafka.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whether TLS is used. The brokers' certificates and their host names are always checked.
    pub enabled: bool,
    /// CA certificates to trust instead of the system's, PEM.
    pub ca_file: PathBuf,
    /// Client certificate and what leads to its CA, PEM; for mutual TLS.
    pub cert_file: PathBuf,
    /// Key of the client certificate, PEM.
    pub key_file: PathBuf,
    /// Password of an encrypted key; never printed.
    pub key_password: Secret,
}

/// Settings under `[kafka.sasl]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sasl {
    /// How we log in; `none` by default.
    pub mechanism: Mechanism,
    /// User, for PLAIN and SCRAM.
    pub username: String,
    /// Password, for PLAIN and SCRAM; never printed.
    pub password: Secret,
    /// Token, for OAUTHBEARER; never printed.
    pub token: Secret,
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// Not by SASL.
    #[default]
    #[serde(rename = "none")]
    None,
    /// User and password as they are.
    #[serde(rename = "PLAIN", alias = "plain")]
    Plain,
    /// User and a proof of the password.
    #[serde(rename = "SCRAM-SHA-256", alias = "scram-sha-256")]
    ScramSha256,
    /// User and a proof of the password.
    #[serde(rename = "SCRAM-SHA-512", alias = "scram-sha-512")]
    ScramSha512,
    /// A token.
    #[serde(rename = "OAUTHBEARER", alias = "oauthbearer")]
    OauthBearer,
}

impl Mechanism {
    /// Returns its registered name; empty for none.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// Returns whether whoever reads the connection reads the secret.
    pub(super) fn reveals(self) -> bool {
        matches!(self, Self::Plain | Self::OauthBearer)
    }
}

impl Tls {
    pub(super) fn files(&self) -> tls::Files<'_> {
        tls::Files { ca: &self.ca_file, certificate: &self.cert_file, key: &self.key_file }
    }

    pub(super) fn validate(&self) -> Vec<String> {
        let mut problems = self.files().validate("kafka.tls");
        if !self.enabled {
            let set =
                [("ca_file", &self.ca_file), ("cert_file", &self.cert_file), ("key_file", &self.key_file)]
                    .into_iter()
                    .filter(|(_, path)| !path.as_os_str().is_empty());
            problems.extend(
                set.map(|(name, _)| format!("kafka.tls.{name} is set, and kafka.tls.enabled is not")),
            );
        }
        if !self.key_password.is_empty() && self.key_file.as_os_str().is_empty() {
            problems.push("kafka.tls.key_password is set, and kafka.tls.key_file is not".to_owned());
        }
        problems
    }
}

impl Sasl {
    pub(super) fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let (wants_password, wants_token) = match self.mechanism {
            Mechanism::None => (false, false),
            Mechanism::OauthBearer => (false, true),
            Mechanism::Plain | Mechanism::ScramSha256 | Mechanism::ScramSha512 => (true, false),
        };
        let mechanism = match self.mechanism {
            Mechanism::None => "none",
            other => other.name(),
        };
        for (name, is_empty, wanted) in [
            ("username", self.username.is_empty(), wants_password),
            ("password", self.password.is_empty(), wants_password),
            ("token", self.token.is_empty(), wants_token),
        ] {
            if wanted && is_empty {
                problems.push(format!("kafka.sasl.{name} is empty, and kafka.sasl.mechanism is {mechanism}"));
            } else if !wanted && !is_empty {
                problems.push(format!("kafka.sasl.{name} is set, and kafka.sasl.mechanism is {mechanism}"));
            }
        }
        problems
    }

    /// Returns the token with what it says of itself, as far as it is a JSON Web Token. It is the broker that checks it.
    pub(super) fn token(&self) -> OAuthToken {
        #[derive(Default, Deserialize)]
        struct Claims {
            sub: Option<String>,
            exp: Option<f64>,
        }
        let token = self.token.expose().to_owned();
        let claims: Claims = token
            .split('.')
            .nth(1)
            .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        let lasting = SystemClock.now().as_millisecond() + LASTING.as_millis() as i64;
        OAuthToken {
            token,
            principal_name: claims.sub.unwrap_or_else(|| "firewatch".to_owned()),
            lifetime_ms: claims.exp.map_or(lasting, |seconds| (seconds * 1_000.0) as i64),
        }
    }
}

/// Sets what librdkafka needs for both.
pub(super) fn apply(tls: &Tls, sasl: &Sasl, config: &mut ClientConfig) {
    let protocol = match (tls.enabled, sasl.mechanism) {
        (false, Mechanism::None) => return,
        (true, Mechanism::None) => "SSL",
        (false, _) => "SASL_PLAINTEXT",
        (true, _) => "SASL_SSL",
    };
    config.set("security.protocol", protocol);
    if tls.enabled {
        config
            .set("enable.ssl.certificate.verification", "true")
            .set("ssl.endpoint.identification.algorithm", "https");
        for (property, path) in [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.cert_file),
            ("ssl.key.location", &tls.key_file),
        ] {
            set(config, property, &path_text(path));
        }
        set(config, "ssl.key.password", tls.key_password.expose());
    }
    set(config, "sasl.mechanism", sasl.mechanism.name());
    set(config, "sasl.username", &sasl.username);
    set(config, "sasl.password", sasl.password.expose());
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn set(config: &mut ClientConfig, property: &str, value: &str) {
    if !value.is_empty() {
        config.set(property, value);
    }
}
