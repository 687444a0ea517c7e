//! What an invariant that does not hold is reported as.

use std::fmt;

use serde::{Serialize, Serializer};

/// Which invariant is violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Detection published a revision that the undisturbed log does not give.
    AnomalyUnexpected,
    /// Detection published a revision with other values.
    AnomalyDiffers,
    /// Detection did not publish a revision.
    AnomalyMissing,
    /// A fault does not have exactly one incident that was not merged.
    FaultIncidents,
    /// An episode that fired belongs to no incident.
    EpisodeUnassigned,
    /// An episode belongs to an incident of another environment, or to one that was merged.
    EpisodeMisassigned,
    /// An episode did not clear before the end of the run.
    EpisodeNotCleared,
    /// An outbox has an event twice.
    OutboxDuplicate,
    /// An outbox row was not published.
    OutboxUnpublished,
    /// A record has no outbox row.
    RecordUnknown,
    /// A record has another payload than its outbox row.
    RecordDiffers,
    /// A record is older than the transaction of its outbox row.
    RecordEarly,
    /// An outbox row is marked as published and has no record.
    RecordMissing,
    /// The effects of an event were written in more than one transaction.
    EffectsSplit,
    /// Two records have one revision of an incident with different content.
    RevisionDiffers,
    /// The state of an incident went backwards.
    StateBackwards,
    /// Two incidents have one number.
    NumberDuplicate,
    /// An incident was not closed.
    IncidentNotClosed,
    /// An incident does not have the events of its lifecycle on a topic.
    EventCount,
    /// The revisions of an artifact are not 1, 2, 3, ..., or it is missing or surplus.
    ArtifactRevisions,
    /// The last cause of an incident cites evidence that is not on record.
    EvidenceMissing,
    /// An incident was resolved while a member fired.
    ResolvedEarly,
    /// A step of the timeline is not there exactly once.
    TimelineCount,
    /// The steps of the timeline are out of order.
    TimelineOrder,
    /// A mail was sent twice without a crash in between.
    MailDuplicate,
    /// An incident does not have the notifications of its lifecycle on a channel.
    MailCount,
    /// A notification was not sent, or still waits for a summary.
    MailUnsent,
    /// A mail was accepted before its notification was on record.
    MailEarly,
    /// Two notifications have one Message-ID.
    NotificationDuplicate,
    /// No timer sends a notification, or escalates an opening.
    TimerMissing,
    /// A receiver did not accept what is on record as sent.
    DeliveryMissing,
    /// A receiver accepted something twice without a crash or a broken connection in between.
    DeliveryDuplicate,
    /// A receiver accepted what is not on record.
    DeliveryUnknown,
    /// A receiver was sent a request that it cannot accept.
    DeliveryInvalid,
    /// A receiver had news of an incident before its opening.
    DeliveryOrder,
    /// What waited for a digest is in none, or in two.
    DigestCount,
    /// A command that Kafka acknowledged was not decided on.
    CommandUndecided,
    /// A command has two outcomes.
    CommandDuplicate,
    /// A command was decided on that nobody has sent.
    CommandUnknown,
    /// An accepted command does not have exactly one line in the trail.
    CommandTrail,
    /// The effect of an accepted command is not on record.
    CommandEffect,
    /// A refused command has changed something.
    CommandRefused,
    /// What a person opened again was resolved by what had cleared before.
    ReopenIgnored,
    /// A record that cannot be parsed has no dead letter.
    DeadLetterMissing,
    /// A dead letter is of a record that can be parsed.
    DeadLetterUnexpected,
    /// A stage has not read a topic to its end.
    RecordsPending,
    /// A timer has not fired, or has failed.
    TimerPending,
    /// The pipeline did not become quiescent in time.
    NotQuiescent,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub code: Code,
    /// What was observed.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Serialize for Violation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Collects violations.
#[derive(Default)]
pub(super) struct Found(pub(super) Vec<Violation>);

impl Found {
    pub(super) fn add(&mut self, code: Code, detail: String) {
        self.0.push(Violation { code, detail });
    }
}
