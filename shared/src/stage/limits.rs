//! What the runtime bears with before it gives up on one event or timer, so that none blocks what is behind it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;

use super::Error;
use crate::error::panic_message;

/// What the runtime bears with. While a dependency does not answer nothing counts: that is not the event's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest time one decision may take.
    pub decision: Duration,
    /// Tries of one event before it becomes a dead letter.
    pub attempts: u32,
    /// Of these, tries that may take longer than `decision`: each holds up its lane for that long.
    pub overdue: u32,
    /// Errors of one timer's own before it is given up.
    pub timer_failures: u32,
}

impl Default for Limits {
    /// An event that always fails is given up after 16 s, one whose decision never ends after two and a quarter minutes.
    fn default() -> Self {
        Self { decision: Duration::from_secs(45), attempts: 8, overdue: 3, timer_failures: 30 }
    }
}

impl Limits {
    /// Limits one decision: one that takes too long or panics has failed like any other, and may pass when tried again.
    pub(crate) async fn bounded<T>(
        &self,
        decision: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        // what a decision may have left half done is its own: a stage's shared state must outlive a panic
        match tokio::time::timeout(self.decision, AssertUnwindSafe(decision).catch_unwind()).await {
            Err(_) => Err(Error::retry(anyhow::anyhow!("no decision within {:?}", self.decision))),
            Ok(Err(panic)) => {
                Err(Error::retry(anyhow::anyhow!("the decision panicked: {}", panic_message(&*panic))))
            }
            Ok(Ok(outcome)) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[tokio::test]
    async fn a_panic_is_a_failure_with_its_message() {
        let number = 7;
        let limits = Limits::default();
        let error = limits.bounded::<()>(async { panic!("no shard {number}") }).await.unwrap_err();
        assert_eq!(
            (error.class(), error.to_string()),
            (Class::Retry, "the decision panicked: no shard 7".into())
        );
    }

    #[tokio::test]
    async fn a_decision_that_never_ends_is_a_failure_in_time() {
        let limits = Limits { decision: Duration::from_millis(5), ..Limits::default() };
        let error = limits.bounded::<()>(std::future::pending()).await.unwrap_err();
        assert_eq!((error.class(), error.to_string()), (Class::Retry, "no decision within 5ms".into()));
    }
}
