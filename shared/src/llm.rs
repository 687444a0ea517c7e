//! The port to a language model. Firewatch is useful without one: the only provider so far is [`NoModel`].

use async_trait::async_trait;

/// A question, ready to be sent: redacted, capped and framed by the caller.
#[derive(Debug, Clone)]
pub struct Request {
    /// What the model is asked to be.
    pub system: String,
    /// The question with its data.
    pub prompt: String,
    /// Most tokens it may answer with.
    pub max_tokens: u32,
}

/// An answer and what it cost.
#[derive(Debug, Clone)]
pub struct Response {
    /// The text.
    pub text: String,
    /// Tokens, both ways.
    pub tokens: u64,
    /// Money spent, millionths of a US dollar.
    pub cost_microdollars: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No provider is configured; callers go on without.
    #[error("no model is configured")]
    NotConfigured,
}

/// A language model.
#[async_trait]
pub trait Model: Send + Sync + 'static {
    /// Answers one request.
    async fn complete(&self, request: &Request) -> Result<Response, Error>;
}

/// The provider `none`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoModel;

#[async_trait]
impl Model for NoModel {
    async fn complete(&self, _request: &Request) -> Result<Response, Error> {
        Err(Error::NotConfigured)
    }
}
