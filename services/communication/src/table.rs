//! Which news goes where.
//!
//! | news | mail | chat (Slack, Teams) | pager (PagerDuty, Opsgenie) | webhook | ticket (Jira) |
//! |---|---|---|---|---|---|
//! | opened, resolved | at once | at once | at once | at once | at once |
//! | root cause, plan, postmortem | at once | at once | at once | at once | at once |
//! | severity changed | if it rose, or by a person | at once | at once | at once | at once |
//! | more services affected | SEV1-2 | at once | not at all | at once | not at all |
//! | root cause corrected | at once | at once | not at all | at once | at once |
//! | plan replaced | at once | at once | not at all | at once | at once |
//! | acknowledged | not at all | at once | at once | at once | not at all |
//! | not acknowledged | at once | at once | at once | at once | not at all |
//! | status report | at once | at once | not at all | at once | not at all |
//! | summary of one incident, digest of several | at its time | at its time | not at all | not at all | not at all |
//!
//! What is sent at once waits for a summary where a route wants a digest or has quiet hours, where an address was sent
//! `hourly_messages` of the incident within an hour, or, for SEV3 and SEV4, `storm_messages` within ten minutes: on mail and chat. A
//! pager that was not called yet is called when the summary is due, if the incident is still open; nothing else of a pager, a webhook
//! or a ticket waits.
//!
//! A pager decides by itself what it makes of news that changes no status: see the README. While an incident is muted, only its end
//! is sent.

use shared::events::Severity;

use crate::content::{Kind, LifecycleEvent, News};

/// What a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Mail,
    Chat,
    Pager,
    Webhook,
    Ticket,
}

impl Use {
    fn of(channel: &str) -> Self {
        match channel {
            "email" => Self::Mail,
            "pagerduty" | "opsgenie" => Self::Pager,
            "webhook" => Self::Webhook,
            "jira" => Self::Ticket,
            _ => Self::Chat,
        }
    }
}

/// Returns whether an event of an incident of that severity is sent on a channel.
pub fn is_sent(event: &LifecycleEvent, severity: Severity, channel: &str) -> bool {
    let to = Use::of(channel);
    match event.kind() {
        Kind::Opened | Kind::Resolved | Kind::RootCause | Kind::Plan | Kind::Postmortem => true,
        Kind::SeverityChanged => to != Use::Mail || rose_or_stated(event),
        Kind::ScopeGrown => match to {
            Use::Mail => severity >= Severity::Sev2,
            Use::Chat | Use::Webhook => true,
            Use::Pager | Use::Ticket => false,
        },
        Kind::CauseCorrected | Kind::PlanReplaced => to != Use::Pager,
        Kind::Acknowledged => !matches!(to, Use::Mail | Use::Ticket),
        Kind::Escalated => to != Use::Ticket,
        Kind::StatusReport => !matches!(to, Use::Pager | Use::Ticket),
        Kind::Summary | Kind::Digest => has_summaries(channel),
    }
}

/// Returns whether people read summaries on a channel.
pub fn has_summaries(channel: &str) -> bool {
    matches!(Use::of(channel), Use::Mail | Use::Chat)
}

/// Returns whether messages on a channel may wait for a summary.
pub fn may_wait(channel: &str, has_begun: bool) -> bool {
    has_summaries(channel) || (Use::of(channel) == Use::Pager && !has_begun)
}

fn rose_or_stated(event: &LifecycleEvent) -> bool {
    match event.news() {
        Some(News::Severity { before, after, stated }) => after > before || stated.is_some(),
        _ => true,
    }
}
