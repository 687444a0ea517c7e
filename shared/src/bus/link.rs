//! What is known of the connection to Kafka, for logs and readiness.
//!
//! librdkafka reports each failed attempt of each client, hundreds in a short outage, and says why a login or a
//! certificate was refused nowhere else. Here all clients of a process report to one place, which logs a change once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::{Options, diagnosis};

/// Time after which what has not changed is logged again.
const REPEAT: Duration = Duration::from_mins(1);
/// Most different errors whose last line is remembered.
const REMEMBERED: usize = 64;

/// The state of the connection, shared by all clients that are made of clones of the same [`Options`].
#[derive(Clone, Default)]
pub struct Link(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether something is wrong; looked at for each record, so it is no lock.
    troubled: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The brokers, as they are configured.
    brokers: String,
    /// Since when no broker is connected.
    lost: Option<Instant>,
    /// Why the brokers refuse us, or we them.
    refused: Option<Refusal>,
    /// The last failure of a single broker.
    detail: Option<String>,
    /// When each other error was logged, and how often it came since.
    said: BTreeMap<String, (Instant, u64)>,
}

struct Refusal {
    /// As librdkafka says it, less what differs each time.
    raw: String,
    reason: String,
    logged: Instant,
}

// two sets of options are equal when they say the same
impl PartialEq for Link {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Link {}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("troubled", &self.0.troubled).finish_non_exhaustive()
    }
}

impl Link {
    /// Returns why the brokers refuse us, or we them: a login, a certificate. None where nothing of that kind is known.
    pub fn refusal(&self) -> Option<String> {
        self.state().refused.as_ref().map(|refusal| refusal.reason.clone())
    }

    /// Returns why no broker is connected, where that is so for another reason than a refusal.
    pub(super) fn outage(&self) -> Option<String> {
        let state = self.state();
        state.lost.and_then(|_| state.detail.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a broker has answered.
    pub(super) fn answered(&self) {
        if !self.0.troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        self.0.troubled.store(false, Ordering::Relaxed);
        let (lost, refused) = (state.lost.take(), state.refused.take());
        state.detail = None;
        let brokers = std::mem::take(&mut state.brokers);
        drop(state);
        if lost.is_some() || refused.is_some() {
            let after_ms = lost.map(|since| since.elapsed().as_millis() as u64);
            tracing::info!(brokers, after_ms, "Kafka is connected again");
        }
    }

    /// Notes an error that a client reports.
    fn error(&self, options: &Options, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(
                Code::Authentication
                | Code::SSL
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::IllegalSASLState,
            ) => self.refused(options, reason),
            // with TLS 1.3 a broker looks at our certificate when the handshake is over for us
            Some(Code::BrokerTransportFailure) if diagnosis::is_alert(reason) => {
                self.refused(options, reason);
            }
            Some(Code::AllBrokersDown) => self.lost(options),
            Some(Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut) => {
                tracing::debug!(%error, reason, "a Kafka broker does not answer");
                self.state().detail = Some(steady(reason).to_owned());
            }
            // whoever reads says so
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {}
            _ => self.other(&error.to_string(), reason),
        }
    }

    fn lost(&self, options: &Options) {
        let mut state = self.state();
        self.0.troubled.store(true, Ordering::Relaxed);
        // a refusal has been logged, and is the better reason
        if state.lost.is_some() || state.refused.is_some() {
            state.lost.get_or_insert_with(Instant::now);
            return;
        }
        state.lost = Some(Instant::now());
        state.brokers.clone_from(&options.brokers);
        let reason = state.detail.clone().unwrap_or_default();
        drop(state);
        tracing::warn!(
            brokers = options.brokers,
            reason,
            "no Kafka broker is connected; the client tries again"
        );
    }

    fn refused(&self, options: &Options, reason: &str) {
        let raw = steady(reason);
        let known = |state: &State| {
            let before = state.refused.as_ref();
            before.is_some_and(|before| before.raw == cause(raw) && before.logged.elapsed() < REPEAT)
        };
        if known(&self.state()) {
            return;
        }
        // asks the broker for its certificate, which takes a moment
        let reason = diagnosis::of(&options.tls, raw).unwrap_or_else(|| raw.to_owned());
        let mut state = self.state();
        self.0.troubled.store(true, Ordering::Relaxed);
        if known(&state) {
            return;
        }
        state.refused =
            Some(Refusal { raw: cause(raw).to_owned(), reason: reason.clone(), logged: Instant::now() });
        state.brokers.clone_from(&options.brokers);
        drop(state);
        tracing::error!(brokers = options.brokers, reason, "Kafka cannot be connected to");
    }

    /// Logs any other error, each at most once a minute.
    pub(super) fn other(&self, error: &str, reason: &str) {
        let mut state = self.state();
        if state.said.len() >= REMEMBERED {
            state.said.clear();
        }
        let repeats = match state.said.get_mut(error) {
            Some((at, repeats)) if at.elapsed() < REPEAT => {
                *repeats += 1;
                return;
            }
            Some((_, repeats)) => *repeats,
            None => 0,
        };
        state.said.insert(error.to_owned(), (Instant::now(), 0));
        drop(state);
        tracing::warn!(error, reason = steady(reason), repeats, "kafka client");
    }
}

/// Returns a reason without what differs each time: `(after 312ms in state AUTH_REQ, 3 identical error(s) suppressed)`.
fn steady(reason: &str) -> &str {
    reason.split(" (after ").next().unwrap_or(reason).trim()
}

/// Returns a reason without the broker, which is first an address of ours and then one of several of the cluster.
fn cause(reason: &str) -> &str {
    match reason.split_once(": ") {
        Some((broker, cause)) if broker.contains("://") => cause,
        _ => reason,
    }
}

/// What every client of ours reports to.
pub(super) struct Context {
    options: Options,
}

impl Context {
    pub(super) fn new(options: &Options) -> Self {
        Self { options: options.clone() }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    // what follows from these lines comes as an error as well
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.options.link.error(&self.options, &error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        Ok(self.options.sasl.token())
    }
}

impl ConsumerContext for Context {}
