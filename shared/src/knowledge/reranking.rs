//! The reranker: a cross-encoder that reads query and text together, on ONNX Runtime, through fastembed. It is optional: no weights
//! are shipped, and it is loaded from the files of a model as the Hugging Face hub names them ([`FILES`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use fastembed::{
    OnnxSource, RerankInitOptionsUserDefined, TextRerank, TokenizerFiles, UserDefinedRerankingModel,
};
use tokio::sync::Mutex;

use super::Error;
use super::embedding::{load_runtime, present};

/// Model, tokenizer, and what the tokenizer needs to know of the model. The model has an output `logits`.
pub const FILES: [&str; 5] =
    ["model.onnx", "tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"];
/// Documents that are ordered anew, the first of the fused ranking.
pub const RERANKED: usize = 20;

/// Longer pairs are cut, tokens: what cross-encoders of this size are trained with.
const MAX_TOKENS: usize = 512;
/// Longer texts are cut before the tokenizer sees them, characters.
const MAX_CHARS: usize = 4_000;
/// Longest wait for the model.
const WAIT: Duration = Duration::from_secs(10);

/// Says how well texts fit a query.
#[async_trait]
pub trait Reranker: Send + Sync {
    /// Returns a score for each text, in their order; larger is better, and only the order counts.
    async fn scores(&self, query: &str, texts: Vec<String>) -> Result<Vec<f32>, Error>;
}

/// A model in this process. One query is answered at a time.
pub struct CrossEncoder(Arc<Mutex<TextRerank>>);

impl CrossEncoder {
    /// Loads a model from its directory; ONNX Runtime is in that of the embedding model.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub async fn load(directory: &Path, model_dir: &Path) -> Result<Self, Error> {
        let (directory, model_dir) = (directory.to_owned(), model_dir.to_owned());
        let model = tokio::task::spawn_blocking(move || load(&directory, &model_dir))
            .await
            .context("loading the cross-encoder")
            .and_then(|loaded| loaded)
            .map_err(Error::Embedding)?;
        Ok(Self(Arc::new(Mutex::new(model))))
    }
}

#[async_trait]
impl Reranker for CrossEncoder {
    async fn scores(&self, query: &str, texts: Vec<String>) -> Result<Vec<f32>, Error> {
        let mut model = tokio::time::timeout(WAIT, Arc::clone(&self.0).lock_owned()).await.map_err(|_| {
            Error::Embedding(anyhow!("the cross-encoder has been busy for {} s", WAIT.as_secs()))
        })?;
        let query = query.to_owned();
        let scored = tokio::task::spawn_blocking(move || scores(&mut model, &query, &texts));
        scored.await.context("reranking").and_then(|scored| scored).map_err(Error::Embedding)
    }
}

/// Scores one pair at a time: an 8-bit model scales its numbers over everything that it is given at once.
fn scores(model: &mut TextRerank, query: &str, texts: &[String]) -> anyhow::Result<Vec<f32>> {
    let score = |text: &String| {
        let text: String = text.chars().take(MAX_CHARS).collect();
        let found = model.rerank(query, [text.as_str()], false, Some(1))?;
        let score = found.first().context("the cross-encoder gave no score")?.score;
        anyhow::ensure!(score.is_finite(), "the cross-encoder gave {score}");
        Ok(score)
    };
    texts.iter().map(score).collect()
}

fn load(directory: &Path, model_dir: &Path) -> anyhow::Result<TextRerank> {
    const SETTING: &str = "knowledge.reranker_dir";
    load_runtime(model_dir)?;
    let [onnx, files @ ..] = FILES;
    let onnx = present(directory, onnx, SETTING)?;
    let mut read = files.into_iter().map(|name| {
        let path = present(directory, name, SETTING)?;
        std::fs::read(&path).with_context(|| path.display().to_string())
    });
    let mut next = || read.next().context("a file is missing").flatten();
    let tokenizer = TokenizerFiles {
        tokenizer_file: next()?,
        config_file: next()?,
        special_tokens_map_file: next()?,
        tokenizer_config_file: next()?,
    };
    let model = UserDefinedRerankingModel::new(OnnxSource::File(onnx), tokenizer);
    let options = RerankInitOptionsUserDefined::new().with_max_length(MAX_TOKENS).with_intra_threads(1);
    TextRerank::try_new_from_user_defined(model, options).context("loading the cross-encoder")
}
