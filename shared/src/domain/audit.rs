//! What an agent has done, as the audit trail names it.

use strum::{Display, EnumString, IntoStaticStr};

/// Kind of an audit line. The name in `snake_case` is on record and in interfaces; it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum AuditAction {
    /// An incident was opened.
    Opened,
    /// An incident was published, once its first group had settled.
    Announced,
    /// An anomaly joined an incident.
    Joined,
    /// A member of an incident cleared.
    Cleared,
    /// A member of an incident ended because nothing came of it any more.
    Unseen,
    /// An incident has been open for so long that a person should look at it.
    Overdue,
    /// An anomaly that was read late joined an incident that is over.
    JoinedLate,
    /// Another suspect is the first one.
    SuspectChanged,
    /// An incident is over.
    Resolved,
    /// Two incidents turned out to be of the same fault, and one ended in the other.
    Merged,
    /// Members of an incident turned out to be of another fault and became an incident of their own.
    Split,
    /// The fault of an incident that was over came back.
    Reopened,
    /// Causes were ranked.
    CauseRanked,
    /// A plan was proposed.
    PlanProposed,
    /// A new cause left the plan as it is.
    PlanUnchanged,
    /// A mail was accepted by the server.
    MailSent,
    /// A mail was not accepted yet.
    MailDelayed,
    /// A mail was refused, or given up.
    MailFailed,
    /// A later revision of something that people were notified of already.
    MailNotRepeated,
    /// Nothing was sent, because a person muted the incident.
    NotificationMuted,
    /// Nothing was sent, because a silence hid it.
    NotificationSilenced,
    /// Nothing was sent yet: it waits for a summary.
    NotificationHeld,
    /// What waited was sent in a summary, or needed not be sent any more.
    NotificationSummarized,
    /// Nobody had acknowledged an incident for a time, and the next level was called.
    Escalated,
    /// A configured address is no mail address.
    MailAddressUnusable,
    /// A postmortem was written.
    PostmortemWritten,
    /// A person works on an incident.
    Acknowledged,
    /// An incident has an owner.
    Assigned,
    /// A remark of a person.
    Commented,
    /// A person set the severity, or left it to be computed again.
    SeverityOverridden,
    /// A person ended updates about an incident for a time.
    Muted,
    /// A person wants updates about an incident again.
    Unmuted,
    /// A person approved what is to be learned from an incident.
    PostmortemApproved,
    /// A person withdrew what was learned from an incident.
    PostmortemWithdrawn,
    /// A person read what a placeholder stands for.
    PlaceholderOpened,
    /// A person said whether the cause was right.
    FeedbackGiven,
    /// What is stored of a person was replaced by a placeholder. Its line is of no incident.
    PersonErased,
}

impl AuditAction {
    /// Returns the name on record.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
