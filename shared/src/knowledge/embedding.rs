//! The embedder: all-MiniLM-L6-v2 (384 dimensions, mean pooling, 8-bit weights) on ONNX Runtime, through
//! fastembed.
//!
//! The model directory holds [`MODEL`], [`TOKENIZER`] and the library of ONNX Runtime 1.24 or later under its
//! usual name (`libonnxruntime.so` on Linux). Nothing is downloaded. The library is loaded once for the whole
//! process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use fastembed::{
    InitOptionsUserDefined, Pooling, QuantizationMode, TextEmbedding, TokenizerFiles,
    UserDefinedEmbeddingModel,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Embedder, Error};

/// File name of the model.
pub const MODEL: &str = "all-minilm-l6-v2-q.onnx";
/// File name of its tokenizer.
pub const TOKENIZER: &str = "all-minilm-l6-v2-q-tokenizer.json";

/// Setting that names the directory.
const SETTING: &str = "knowledge.model_dir";
/// Numbers in a vector.
const DIMENSIONS: usize = 384;
/// Longer texts are cut, tokens: what the model was trained with.
const MAX_TOKENS: usize = 256;
/// Longer texts are cut before the tokenizer sees them, characters: more than 256 tokens ever need.
const MAX_CHARS: usize = 8_000;
/// Most texts of one call.
const MAX_TEXTS: usize = 2_048;
/// Texts that are embedded before others get their turn.
const TURN: usize = 16;
/// Longest wait for a turn.
const WAIT: Duration = Duration::from_secs(10);

// What the tokenizer file does not say about the model, as its authors publish it.
const CONFIG: &str =
    r#"{"model_type":"bert","max_position_embeddings":512,"hidden_size":384,"pad_token_id":0}"#;
const SPECIAL_TOKENS: &str = r#"{"unk_token":"[UNK]","sep_token":"[SEP]","pad_token":"[PAD]",
    "cls_token":"[CLS]","mask_token":"[MASK]"}"#;
const TOKENIZER_CONFIG: &str =
    r#"{"model_max_length":512,"pad_token":"[PAD]","tokenizer_class":"BertTokenizer"}"#;

/// The model in this process. Cheap to clone; one text is embedded at a time.
#[derive(Clone)]
pub struct FastEmbedder {
    model: Arc<Mutex<TextEmbedding>>,
}

impl FastEmbedder {
    /// Loads the model from its directory.
    pub async fn load(model_dir: &Path) -> Result<Self, Error> {
        let directory = model_dir.to_owned();
        let model = tokio::task::spawn_blocking(move || load(&directory))
            .await
            .context("loading the embedding model")
            .and_then(|loaded| loaded)
            .map_err(Error::Embedding)?;
        Ok(Self { model: Arc::new(Mutex::new(model)) })
    }

    async fn turn(&self) -> Result<OwnedMutexGuard<TextEmbedding>, Error> {
        tokio::time::timeout(WAIT, Arc::clone(&self.model).lock_owned())
            .await
            .map_err(|_| Error::Embedding(anyhow!("the model has been busy for {} s", WAIT.as_secs())))
    }
}

#[async_trait]
impl Embedder for FastEmbedder {
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Error> {
        if texts.len() > MAX_TEXTS {
            return Err(Error::Embedding(anyhow!("{} texts at once are more than {MAX_TEXTS}", texts.len())));
        }
        let mut vectors = Vec::with_capacity(texts.len());
        for turn in texts.chunks(TURN) {
            let mut model = self.turn().await?;
            let turn: Vec<String> = turn.iter().map(|text| text.chars().take(MAX_CHARS).collect()).collect();
            let embedded = tokio::task::spawn_blocking(move || {
                turn.iter().map(|text| embed(&mut model, text)).collect::<anyhow::Result<Vec<_>>>()
            });
            let embedded = embedded.await.context("embedding").and_then(|embedded| embedded);
            vectors.extend(embedded.map_err(Error::Embedding)?);
        }
        Ok(vectors)
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }
}

/// Embeds one text. The 8-bit model scales its numbers over everything it is given at once, so that the
/// vector of a text in a batch would depend on its neighbours.
fn embed(model: &mut TextEmbedding, text: &str) -> anyhow::Result<Vec<f32>> {
    let vector = model.embed([text], None)?.pop().context("the model gave no vector")?;
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    anyhow::ensure!(vector.len() == DIMENSIONS, "the model gave {} numbers, not {DIMENSIONS}", vector.len());
    anyhow::ensure!((norm - 1.0).abs() < 1e-3, "the model gave a vector of length {norm}");
    Ok(vector)
}

fn load(directory: &Path) -> anyhow::Result<TextEmbedding> {
    load_runtime(directory)?;
    let onnx = present(directory, MODEL, SETTING)?;
    let tokenizer = present(directory, TOKENIZER, SETTING)?;
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let files = TokenizerFiles {
        tokenizer_file: read(&tokenizer)?,
        config_file: CONFIG.into(),
        special_tokens_map_file: SPECIAL_TOKENS.into(),
        tokenizer_config_file: TOKENIZER_CONFIG.into(),
    };
    let model = UserDefinedEmbeddingModel::new(read(&onnx)?, files)
        .with_pooling(Pooling::Mean)
        .with_quantization(QuantizationMode::Dynamic);
    let options = InitOptionsUserDefined::new().with_max_length(MAX_TOKENS).with_intra_threads(1);
    TextEmbedding::try_new_from_user_defined(model, options).context("loading the embedding model")
}

/// Loads ONNX Runtime from the directory of the embedding model. The first library that is loaded serves the whole process; its
/// version is checked here.
pub(super) fn load_runtime(directory: &Path) -> anyhow::Result<()> {
    let library = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = present(directory, &library, SETTING)?;
    drop(ort::init_from(&library).context("loading ONNX Runtime")?);
    Ok(())
}

/// Returns the path of a file that has to be in a directory, which a setting names.
pub(super) fn present(directory: &Path, name: &str, setting: &str) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(directory.join(name)).context("model directory")?;
    anyhow::ensure!(path.is_file(), "{} is missing (setting {setting})", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_model_is_named_with_its_setting() {
        let Err(error) = FastEmbedder::load(Path::new("no/such/place")).await else {
            panic!("nothing is there")
        };
        let text = error.to_string();
        assert!(text.contains("no/such/place") && text.contains("knowledge.model_dir"), "{text}");
    }
}
