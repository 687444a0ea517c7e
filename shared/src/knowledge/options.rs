//! Which model and which index.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::embedding::FastEmbedder;
use super::postgres::PostgresIndex;
use super::reranking::CrossEncoder;
use super::retrieval::Retrieval;
use super::{Error, Index};
use crate::secret::Secret;
use crate::store::Store;
use crate::text::redact::is_loopback;
use crate::tls;

/// Where chunks are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Adapter {
    /// Rows in PostgreSQL, scanned exactly.
    #[default]
    Postgres,
    /// A Qdrant server.
    Qdrant,
}

/// Settings of knowledge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Directory with model, tokenizer and ONNX Runtime, see [`super::embedding`].
    pub model_dir: PathBuf,
    /// Directory with a cross-encoder, see [`super::reranking`]; empty: documents stand as the two rankings have them.
    pub reranker_dir: PathBuf,
    /// Where chunks are kept.
    pub index: Adapter,
    /// Qdrant's gRPC address; `https://` for TLS.
    pub qdrant_url: String,
    /// Key that Qdrant asks for; never printed.
    pub qdrant_api_key: Secret,
    /// CA certificates to trust for Qdrant instead of the system's, PEM.
    pub qdrant_ca_file: PathBuf,
    /// Longest wait for Qdrant, milliseconds.
    pub qdrant_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            model_dir: PathBuf::from("models"),
            reranker_dir: PathBuf::new(),
            index: Adapter::Postgres,
            qdrant_url: "http://127.0.0.1:6334".to_owned(),
            qdrant_api_key: Secret::default(),
            qdrant_ca_file: PathBuf::new(),
            qdrant_timeout_ms: 5_000,
        }
    }
}

impl Options {
    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.index == Adapter::Qdrant {
            if !cfg!(feature = "qdrant") {
                problems.push("index: this binary was built without the feature `qdrant`".to_owned());
            }
            if !(self.qdrant_url.starts_with("http://") || self.qdrant_url.starts_with("https://")) {
                problems.push(format!("qdrant_url {:?} is not an http address", self.qdrant_url));
            }
            if !self.qdrant_ca_file.as_os_str().is_empty() {
                if !self.qdrant_url.starts_with("https://") {
                    problems.push("qdrant_ca_file is set, and qdrant_url is not https://".to_owned());
                }
                if let Err(error) = tls::certificates(&self.qdrant_ca_file) {
                    problems.push(format!("qdrant_ca_file: {error}"));
                }
            }
        }
        if !(100..=60_000).contains(&self.qdrant_timeout_ms) {
            problems.push("qdrant_timeout_ms is not between 100 and 60,000".to_owned());
        }
        problems
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let Some(rest) = self.qdrant_url.strip_prefix("http://") else { return Vec::new() };
        let host = rest.split('/').next().unwrap_or_default();
        if self.index != Adapter::Qdrant || is_loopback(host) {
            return Vec::new();
        }
        let key = if self.qdrant_api_key.is_empty() { "" } else { ", and with it the API key" };
        vec![format!("Qdrant at {host} is addressed in plain text{key}; set an https:// address")]
    }

    /// Loads the model. Takes about half a second.
    pub async fn embedder(&self) -> Result<FastEmbedder, Error> {
        FastEmbedder::load(&self.model_dir).await
    }

    /// Returns the index that is asked for. Does not connect yet.
    pub fn open_index(&self, store: Store) -> Result<Arc<dyn Index>, Error> {
        match self.index {
            Adapter::Postgres => Ok(Arc::new(PostgresIndex::new(store))),
            #[cfg(feature = "qdrant")]
            Adapter::Qdrant => Ok(Arc::new(super::qdrant::QdrantIndex::new(&super::qdrant::Server {
                url: &self.qdrant_url,
                timeout: std::time::Duration::from_millis(self.qdrant_timeout_ms),
                api_key: &self.qdrant_api_key,
                ca_file: &self.qdrant_ca_file,
            })?)),
            #[cfg(not(feature = "qdrant"))]
            Adapter::Qdrant => {
                Err(Error::Inconsistent("this binary was built without the feature `qdrant`".to_owned()))
            }
        }
    }

    /// Loads the model and returns search over the index.
    pub async fn retrieval(&self, store: Store) -> Result<Retrieval, Error> {
        let retrieval = Retrieval::new(Arc::new(self.embedder().await?), self.open_index(store)?);
        if self.reranker_dir.as_os_str().is_empty() {
            return Ok(retrieval);
        }
        let reranker = CrossEncoder::load(&self.reranker_dir, &self.model_dir).await?;
        Ok(retrieval.reranked_by(Arc::new(reranker)))
    }

    /// Returns search by words alone over the index, which needs no model.
    pub fn words_only(&self, store: Store) -> Result<Retrieval, Error> {
        Ok(Retrieval::words_only(self.open_index(store)?))
    }
}
