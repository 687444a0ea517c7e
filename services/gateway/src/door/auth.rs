//! Who may send: tokens with scopes, compared by their hashes, and how often each may.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use shared::clock::{Clock, SystemClock};
use shared::ids::TokenId;
use shared::service::Readiness;
use shared::store::Store;
use shared::store::tokens::{Hash, Scope, Token, hash};
use tokio_util::sync::CancellationToken;

/// Time between two looks at the table.
const LOOK: Duration = Duration::from_secs(10);
/// Time between two attempts while the table was never read.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is none.
    #[error("a token is required: send it as `Authorization: Bearer TOKEN` (firewatch token create)")]
    Missing,
    /// It is not known, revoked or expired. Which of them is said to nobody who has no token.
    #[error("the token is not valid: it is unknown, revoked or expired")]
    Invalid,
    /// It is for something else.
    #[error("the token has not the scope {0}")]
    Scope(&'static str),
    /// It was used too often.
    #[error("the token was used more often than allowed; try again")]
    Rate,
    /// It comes from a page in a browser.
    #[error("requests of web pages (header Origin) are not taken")]
    Browser,
    /// Tokens could not be read yet.
    #[error("tokens cannot be read from the database yet; try again")]
    Unknown,
}

impl Denied {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid => StatusCode::UNAUTHORIZED,
            Self::Scope(_) | Self::Browser => StatusCode::FORBIDDEN,
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
            Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(super) fn outcome(self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid => "unauthenticated",
            Self::Scope(_) | Self::Browser => "forbidden",
            Self::Rate => "rate",
            Self::Unknown => "tokens_unknown",
        }
    }
}

struct Known {
    token: Token,
    limiter: Option<DefaultDirectRateLimiter>,
}

type Tokens = HashMap<Hash, Arc<Known>>;

/// Checks tokens against what was read last. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    tokens: Arc<RwLock<Option<Tokens>>>,
    used: Arc<Mutex<BTreeSet<TokenId>>>,
    per_s: Option<NonZeroU32>,
    clock: Arc<dyn Clock>,
}

impl Guard {
    /// Lets no token in until tokens are [set](Self::set); each `per_s` times a second, 0 for any number.
    pub fn new(per_s: u32, clock: Arc<dyn Clock>) -> Self {
        Self { tokens: Arc::default(), used: Arc::default(), per_s: NonZeroU32::new(per_s), clock }
    }

    /// Replaces the tokens that are known.
    pub fn set(&self, tokens: Vec<Token>) {
        let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.take().unwrap_or_default();
        let limiter = || self.per_s.map(|per_s| RateLimiter::direct(Quota::per_second(per_s)));
        let kept = |token: Token| match before.get(&token.hash) {
            // the same one: what it has used up of its rate is not forgotten
            Some(known) if known.token == token => (token.hash, Arc::clone(known)),
            _ => (token.hash, Arc::new(Known { limiter: limiter(), token })),
        };
        *known = Some(tokens.into_iter().map(kept).collect());
    }

    /// Checks the header `authorization` of a request.
    ///
    /// # Errors
    /// If it names no token with this scope.
    pub fn check(&self, authorization: Option<&str>, scope: Scope) -> Result<(), Denied> {
        let secret = authorization.and_then(secret).ok_or(Denied::Missing)?;
        let known = {
            let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
            let tokens = tokens.as_ref().ok_or(Denied::Unknown)?;
            tokens.get(&hash(&secret)).map(Arc::clone).ok_or(Denied::Invalid)?
        };
        if !known.token.is_valid(self.clock.now()) {
            return Err(Denied::Invalid);
        }
        if !known.token.allows(scope) {
            return Err(Denied::Scope(scope.name()));
        }
        if known.limiter.as_ref().is_some_and(|limiter| limiter.check().is_err()) {
            return Err(Denied::Rate);
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(known.token.id);
        Ok(())
    }

    /// Reads tokens from the database again and again until `shutdown`, and notes which were used. While the database does not
    /// answer, those that were read last are valid.
    pub async fn follow(self, store: Store, readiness: Readiness, shutdown: CancellationToken) {
        let mut pause = FIRST_LOOK;
        loop {
            let outcome = self.refresh(&store).await;
            readiness.record("postgres", &outcome);
            if outcome.is_ok() {
                pause = LOOK;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn refresh(&self, store: &Store) -> Result<(), shared::store::Error> {
        self.set(store.reads().tokens().await?);
        let used: Vec<TokenId> = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *used).into_iter().collect()
        };
        if used.is_empty() { Ok(()) } else { store.note_used(&used, self.now()).await }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(0, Arc::new(SystemClock))
    }
}

/// Returns the token of a header: a bearer token, `Token` as clients of InfluxDB send it, or the password of basic authentication, for
/// clients that have nothing else.
fn secret(authorization: &str) -> Option<String> {
    let (kind, rest) = authorization.trim().split_once(' ')?;
    let rest = rest.trim();
    if kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("token") {
        return (!rest.is_empty()).then(|| rest.to_owned());
    }
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(rest).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    (!password.is_empty()).then(|| password.to_owned())
}
