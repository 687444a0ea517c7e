//! What is not sent at once: what a route wants in a digest or after quiet hours, and what would be too much for one address. It waits
//! as a row, and one summary says all of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::audit::AuditAction;
use shared::events::Severity;
use shared::ids::IncidentId;
use shared::stage::{Audit, Effects, Error, Timer, TimerPayload};
use shared::store::notifications::Recent;
use shared::store::{Held, Notification, Write};
use shared::text::format::{counted, moment};

use crate::channel::Destination;
use crate::content::{AddressClass, Kind, LifecycleEvent, News, NotificationContent, notification_id};
use crate::notifications::{Thread, headed, written};
use crate::options::Options;
use crate::silences::OnRecord;
use crate::table;

/// Time over which messages to one address are counted to find out whether there are too many of them.
pub const STORM: SignedDuration = SignedDuration::from_mins(10);
/// Time over which the messages of one incident to one address are counted.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Why something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A route delivers in digests.
    Digest,
    /// It is a quiet hour of a route.
    QuietHours,
    /// The address was sent as many messages of the incident within an hour as it may be.
    Limit,
    /// The address was sent so many messages within ten minutes that more would not be read.
    Storm,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Digest, Self::QuietHours, Self::Limit, Self::Storm];

    /// Returns the name in metrics and on record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::QuietHours => "quiet_hours",
            Self::Limit => "limit",
            Self::Storm => "storm",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Digest => "the route delivers in digests",
            Self::QuietHours => "quiet hours",
            Self::Limit => "too many messages of this incident within an hour",
            Self::Storm => "too many messages within ten minutes",
        }
    }
}

/// Until when something waits, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// When the summary is due, by the wall clock.
    pub until: Timestamp,
    /// Why.
    pub why: Why,
}

/// Payload of the timer that writes a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summarize {
    /// Name of the channel.
    pub channel: String,
    /// Address, in the form of the channel.
    pub address: String,
    /// What addresses that reach the same people have in common.
    pub identity: String,
    /// When it is due.
    pub until: Timestamp,
}

impl TimerPayload for Summarize {
    const NAME: &'static str = "summarize";
}

/// A notification that waits: of one thread, for one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where it goes.
    pub to: Destination,
    /// Until when, and why.
    pub hold: Hold,
}

/// Returns the next time at which digests are written.
pub fn next_digest(now: Timestamp, options: &Options) -> Timestamp {
    next(now, SignedDuration::from_mins(i64::from(options.digest_minutes.max(1))))
}

/// Returns the next multiple of `interval` since 1970 that is at least a second away.
fn next(now: Timestamp, interval: SignedDuration) -> Timestamp {
    let seconds = interval.as_secs().max(1);
    let passed = (now.as_second() + 1).div_euclid(seconds);
    Timestamp::from_second((passed + 1).saturating_mul(seconds)).unwrap_or(Timestamp::MAX)
}

/// What decides whether a message waits.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    /// Settings.
    pub options: &'a Options,
    /// What addresses were sent lately, over all incidents.
    pub recent: &'a Recent,
    /// The notifications of the incident.
    pub record: &'a OnRecord,
    /// Wall clock time.
    pub now: Timestamp,
}

impl Pace<'_> {
    /// Returns until when a message to an address waits; none: it is sent at once. `asked` is what the route wants. Whoever is called
    /// by an escalation is called at once; so is a program or a ticket system, and a pager that was called before: its status follows
    /// that of the incident.
    pub fn hold(
        &self,
        content: &NotificationContent,
        thread: &Thread,
        address: &str,
        asked: Option<Hold>,
    ) -> Option<Hold> {
        let kind = content.event.kind();
        let has_begun = self.record.has_begun(thread, content.incident.incident_id);
        if kind == Kind::Escalated || !table::may_wait(thread.channel, has_begun) {
            return None;
        }
        asked.or_else(|| self.limit(&content.event, thread.channel, address)).or_else(|| {
            let sent = self.recent.of(thread.channel, address);
            let is_much = sent >= i64::from(self.options.storm_messages);
            (is_much && content.incident.severity <= Severity::Sev3)
                .then(|| Hold { until: next(self.now, STORM), why: Why::Storm })
        })
    }

    /// Returns the hold of an address that was sent as much of the incident as it may be. The opening, the end and a severity that
    /// rises to SEV2 or SEV1 are always sent.
    fn limit(&self, event: &LifecycleEvent, channel: &str, address: &str) -> Option<Hold> {
        let is_rise = matches!(event.news(), Some(News::Severity { before, after, .. })
            if after > before && *after >= Severity::Sev2);
        if is_rise || matches!(event.kind(), Kind::Opened | Kind::Resolved) {
            return None;
        }
        let sent = self.record.told_to(channel, address);
        let mut times: Vec<Timestamp> = sent.filter_map(Notification::written_at).collect();
        times.retain(|at| self.now.duration_since(*at) < HOUR);
        times.sort_unstable();
        let most = self.options.hourly_messages as usize;
        let until = *times.get(times.len().checked_sub(most)?)? + HOUR;
        Some(Hold { until: until.max(self.now + SignedDuration::from_secs(1)), why: Why::Limit })
    }
}

/// Takes those addresses out of `threads` for which the event waits, and returns them. Threads without an address are gone.
pub fn take_waiting(
    threads: &mut Vec<Thread>,
    content: &NotificationContent,
    later: &[Waiting],
    pace: &Pace<'_>,
    destination: impl Fn(&str, &str) -> Option<Destination>,
) -> Vec<Waiting> {
    let asked = |to: &Destination| later.iter().find(|one| one.to == *to).map(|one| one.hold);
    let mut waiting = Vec::new();
    for thread in threads.iter_mut() {
        let mut kept = Vec::new();
        for entry in std::mem::take(&mut thread.recipients) {
            let to = destination(thread.channel, &entry);
            let hold = pace.hold(content, thread, &entry, to.as_ref().and_then(asked));
            match (to, hold) {
                (Some(to), Some(hold)) => waiting.push(Waiting { to, hold }),
                _ => kept.push(entry),
            }
        }
        thread.recipients = kept;
    }
    threads.retain(|thread| !thread.recipients.is_empty());
    waiting
}

/// Decides that an event waits for those addresses. Returns nothing where that is on record.
pub fn hold(
    content: &NotificationContent,
    waiting: &[Waiting],
    record: &OnRecord,
    now: Timestamp,
) -> Result<Option<Effects>, Error> {
    let (event, incident) = (&content.event, &content.incident);
    let stored = written(content, now)?;
    let mut effects = Effects::none();
    let mut last: Option<Hold> = None;
    for Waiting { to, hold } in waiting {
        let identity = to.address.identity().to_owned();
        let class = AddressClass::Held(identity.clone());
        let id = notification_id(incident.incident_id, event.kind(), event.occurrence(), to.channel, &class);
        if record.held.iter().any(|one| one.id == id) {
            continue;
        }
        let address = to.address.as_str().to_owned();
        let notification = content.row(id, to.channel, vec![address.clone()], stored.clone());
        let summarize = Summarize {
            channel: to.channel.to_owned(),
            address,
            identity: identity.clone(),
            until: hold.until,
        };
        effects.timers.push(summarize.timer(&id.to_string())?);
        let held = Held { notification, identity, until: hold.until };
        effects.writes.push(Write::Held(Box::new(held)));
        last = Some(last.map_or(*hold, |last| if hold.until > last.until { *hold } else { last }));
    }
    let Some(last) = last else { return Ok(None) };
    effects.audit.push(line(content, effects.writes.len(), last));
    Ok(Some(effects))
}

impl Summarize {
    /// Returns the timer. Each notification sets one of its own, which `seed` names, for the one of an earlier notification may have
    /// run; the first one that runs finds all of them.
    fn timer(&self, seed: &str) -> Result<Timer, Error> {
        let key = format!("summary/{}/{}/{}", self.channel, self.identity, self.until);
        Timer::new(key, &[seed], self.until, self)
    }

    /// Returns the timer of the same address for a later time, at which something of an incident is looked at again.
    pub fn again(&self, until: Timestamp, incident: IncidentId) -> Result<Timer, Error> {
        Self { until, ..self.clone() }.timer(&incident.to_string())
    }
}

fn line(content: &NotificationContent, count: usize, hold: Hold) -> Audit {
    let kind = content.event.kind();
    Audit {
        incident_id: content.incident.incident_id,
        at: content.event.at(),
        action: AuditAction::NotificationHeld,
        summary: format!(
            "Held until {} for {}: {}; {}.",
            moment(hold.until),
            counted(count, "recipient"),
            headed(kind.words()),
            hold.why.words()
        ),
        detail: json!({ "kind": kind, "until": hold.until, "why": hold.why.name(), "recipients": count }),
    }
}
