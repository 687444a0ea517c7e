//! Failpoints: places between two systems where a process can be made to die.
//!
//! A crash matters where one system has taken a step and the other does not know it yet. Each such place is named
//! here and marked in the code with [`Failpoint::hit`], which does nothing unless the crate is built with the feature
//! `failpoints` and the variable `FAILPOINTS` arms it, e.g. `FAILPOINTS=committed=2*off->return(1500)`: at the third
//! time, wait 1,500 ms, then die. `docs/failpoints.md` says what happens at each.

use strum::{IntoStaticStr, VariantArray};

/// A place between two steps that no transaction spans, in the order a record meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Failpoint {
    /// The gateway has read a request; nothing was handed to the Kafka client.
    Received,
    /// Some records of a request were handed to the Kafka client, others not.
    HalfSent,
    /// Kafka has acknowledged every record of a request; its producer is not answered.
    Accepted,
    /// A record was read; nothing was decided.
    Read,
    /// It was decided what follows; the transaction has not begun.
    Decided,
    /// Outside work was done, e.g. SMTP has accepted; it is not journalled.
    Stepped,
    /// Outside work is journalled; what follows from it is not written.
    Journalled,
    /// The incidents are written, what belongs to them is not; the transaction is not committed.
    HalfWritten,
    /// Everything is written; the transaction is not committed.
    Written,
    /// The transaction is committed; nothing is published and the offset is not let go.
    Committed,
    /// Outbox rows were handed to the Kafka client; none is known to be acknowledged.
    Enqueued,
    /// Kafka has acknowledged the rows; they are not marked.
    Acknowledged,
    /// They are marked; the mark is not committed.
    Marked,
    /// A dead letter is acknowledged; the offset of its record is not let go.
    DeadLettered,
    /// A timer is claimed; nothing was decided.
    Claimed,
    /// Work in flight was finished because partitions are revoked; the offsets are not committed.
    Drained,
    /// Anomalies are acknowledged; the snapshot that reflects them is not written.
    Emitted,
    /// Some records of a snapshot were handed to the Kafka client, others not.
    HalfSaved,
    /// A snapshot is acknowledged; the offsets it reflects are not let go.
    Saved,
    /// A partition's state is restored; no record of it was read.
    Restored,
}

impl Failpoint {
    /// All gaps.
    pub const ALL: &'static [Self] = Self::VARIANTS;
    /// Those of the gateway.
    pub const GATEWAY: [Self; 3] = [Self::Received, Self::HalfSent, Self::Accepted];

    /// Returns the name by which it is armed.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Ends the process at once, as a crash would, if this gap is armed and its turn has come.
    #[cfg(feature = "failpoints")]
    pub fn hit(self) {
        fail::fail_point!(self.name(), |delay| self.die(delay.as_deref()));
    }

    /// Does nothing: failpoints are not compiled in.
    #[cfg(not(feature = "failpoints"))]
    #[inline(always)]
    #[allow(clippy::inline_always, clippy::unused_self, reason = "must cost nothing")]
    pub fn hit(self) {}

    #[cfg(feature = "failpoints")]
    fn die(self, delay_ms: Option<&str>) {
        let delay = delay_ms.and_then(|delay| delay.parse().ok()).unwrap_or(0);
        std::thread::sleep(std::time::Duration::from_millis(delay));
        tracing::warn!(gap = self.name(), "failpoint hit; process exits");
        std::process::abort()
    }
}

impl serde::Serialize for Failpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Arms what `FAILPOINTS` names, for the rest of the process.
///
/// # Panics
///
/// Where the variable cannot be read: a test that arms nothing would prove nothing.
#[cfg(feature = "failpoints")]
pub fn arm() {
    std::mem::forget(fail::FailScenario::setup());
    for (name, action) in fail::list() {
        assert!(
            Failpoint::ALL.iter().any(|gap| gap.name() == name),
            "FAILPOINTS names no gap: {name}={action}"
        );
        tracing::warn!(name, action, "failpoint armed");
    }
}

#[cfg(test)]
mod tests {
    use super::Failpoint;

    #[test]
    fn each_gap_is_in_the_table_of_the_docs_and_in_the_code() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let table = std::fs::read_to_string(root.join("../docs/failpoints.md")).unwrap();
        let mut code = String::new();
        for file in [
            "stage.rs",
            "stage/run.rs",
            "store/apply.rs",
            "store/outbox.rs",
            "bus/consumer.rs",
            "bus/partitioned/session.rs",
            "../../services/gateway/src/publish.rs",
        ] {
            code += &std::fs::read_to_string(root.join("src").join(file)).unwrap();
        }
        for gap in Failpoint::ALL {
            assert!(
                table.contains(&format!("| `{}` |", gap.name())),
                "docs/failpoints.md does not tell of {gap:?}"
            );
            assert!(code.contains(&format!("Failpoint::{gap:?}.hit()")), "{gap:?} is marked nowhere");
        }
    }
}
