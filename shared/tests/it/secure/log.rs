//! What was logged in this process, by us and by the client libraries.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Everything that may be told in a log, and what librdkafka says besides.
const LEVEL: &str =
    "shared=debug,librdkafka=debug,rdkafka=debug,rustls=debug,tokio_postgres=info,tonic=debug";

#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts to capture. There is one log for all tests: clients log on threads of their own.
    pub(super) fn capture() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(LEVEL))
                .with_ansi(false)
                .with_writer(log.clone())
                .finish()
                .try_init()
                .expect("nothing else captures the log");
            log
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// Returns the lines of a level that people are shown which contain all of `words`.
    pub(super) fn shown(&self, words: &[&str]) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| {
            [" INFO ", " WARN ", "ERROR "].iter().any(|level| line.contains(level))
                && !line.contains("librdkafka: ")
                && words.iter().all(|word| line.contains(word))
        });
        lines
    }

    /// Waits until a line contains all of `words`.
    pub(super) async fn says(&self, words: &[&str]) {
        stack::parts::probe::until(&words.join(" ... "), super::CLEAR, async || {
            anyhow::ensure!(!self.shown(words).is_empty(), "{:#?}", self.shown(&words[..1]));
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Fails if anything that was logged so far contains the secret.
    pub(super) fn keeps(&self, secret: &str) {
        let told: Vec<_> = self.lines().into_iter().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
