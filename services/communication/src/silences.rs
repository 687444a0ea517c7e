//! Silences: which one hides a notification, what is put on record of that, and what is decided on the commands that begin and end
//! them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::audit::AuditAction;
use shared::events::command::SilenceSpec;
use shared::events::incident::Incident;
use shared::ids::{CommandId, EventId, IncidentId, derive};
use shared::matchers::Facts;
use shared::silence::{self, Ending, Silence, Standing};
use shared::stage::command::{Asked, Done, Outcome};
use shared::stage::{Audit, Effects, Error, Timer, TimerPayload};
use shared::store::silences::MAX_ACTIVE;
use shared::store::{Notification, NotificationState, Write};
use shared::text::format::moment;

use crate::channel::Destination;
use crate::content::{AddressClass, Kind, LifecycleEvent, NotificationContent, notification_id};
use crate::notifications::{Thread, headed};

/// Channel in the rows of what was hidden: they are of no channel.
pub const CHANNEL: &str = "silence";

/// Payload of the timer that announces what a silence hid, once its window is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceOver {
    /// Incident of which something was hidden.
    pub incident_id: IncidentId,
    /// The silence.
    pub silence_id: CommandId,
}

impl TimerPayload for SilenceOver {
    const NAME: &'static str = "silence_over";
}

impl SilenceOver {
    /// Returns the timer for the end of a window.
    pub fn at(&self, due: Timestamp) -> Result<Timer, Error> {
        self.timer(&due.to_string(), due)
    }

    /// Returns the timer that is due now, because a person ended the silence.
    pub fn ended(&self, now: Timestamp) -> Result<Timer, Error> {
        self.timer("ended", now)
    }

    /// Of each key the oldest timer is run first, so each end has a key of its own: a window that ends earlier does not wait for one
    /// that ends later.
    fn timer(&self, end: &str, due: Timestamp) -> Result<Timer, Error> {
        let key = format!("{}/silence/{}/{end}", self.incident_id, self.silence_id);
        Timer::new(key, &[], due, self)
    }
}

/// The silence that hides a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The silence.
    pub silence: Silence,
    /// End of the current window; none where that is over, and the incident ended in it.
    pub until: Option<Timestamp>,
}

/// Returns the silence that covers an incident at a time; of several the one that lasts longest.
pub fn covering(silences: Vec<Silence>, incident: &Incident, at: Timestamp) -> Option<Cover> {
    let facts = Facts::of_incident(incident);
    // windows are computed for those that match only: that is the expensive part
    let active = silences.into_iter().filter(|one| one.environment == incident.environment);
    let active = active.filter(|one| one.matches(&facts)).filter_map(|silence| {
        let until = silence.active_until(at)?;
        Some(Cover { silence, until: Some(until) })
    });
    active.max_by_key(|cover| (cover.until, cover.silence.silence_id))
}

/// The notifications of an incident: those that were to be sent, those that wait or have waited for a summary, and those that
/// silences hid.
#[derive(Debug, Clone, Default)]
pub struct OnRecord {
    /// Those that were to be sent, oldest first.
    pub told: Vec<Notification>,
    /// Those that are said by summaries.
    pub held: Vec<Notification>,
    /// Those that were hidden.
    pub hidden: Vec<Notification>,
}

impl OnRecord {
    /// Sorts what the database has of an incident.
    pub fn of(rows: Vec<(Notification, NotificationState)>) -> Self {
        let mut record = Self::default();
        for (notification, state) in rows {
            let list = match state {
                NotificationState::Silenced => &mut record.hidden,
                NotificationState::Held | NotificationState::Summarized => &mut record.held,
                NotificationState::Pending | NotificationState::Sent | NotificationState::Failed => {
                    &mut record.told
                }
            };
            list.push(notification);
        }
        record
    }

    /// Adds what effects write.
    pub fn take(&mut self, effects: &Effects) {
        for write in &effects.writes {
            match write {
                Write::Notification(one) => self.told.push((**one).clone()),
                Write::Silenced(one) => self.hidden.push((**one).clone()),
                Write::Held(one) => self.held.push(one.notification.clone()),
                _ => {}
            }
        }
    }

    /// Returns the first notification of each thread.
    pub fn openings(&self) -> impl Iterator<Item = &Notification> {
        self.told.iter().filter(|one| one.kind == Kind::Opened)
    }

    /// Returns what was to be sent to an address of a channel.
    pub fn told_to(&self, channel: &str, address: &str) -> impl Iterator<Item = &Notification> {
        self.told.iter().filter(move |one| {
            one.channel.as_str() == channel
                && one.recipients.iter().any(|known| known.eq_ignore_ascii_case(address))
        })
    }

    /// Returns the message with which the thread of the incident began for an address; none where it did not.
    pub fn opening_to(&self, to: &Destination) -> Option<&Notification> {
        self.told_to(to.channel, to.address.as_str()).find(|one| one.kind == Kind::Opened)
    }

    /// Returns what people know or will read in a summary.
    pub fn said(&self) -> impl Iterator<Item = &Notification> {
        self.told.iter().chain(&self.held)
    }

    /// Returns whether a thread has begun.
    pub fn has_begun(&self, thread: &Thread, incident: IncidentId) -> bool {
        let opening = thread.opening_id(incident);
        self.openings().any(|opened| opened.id == opening)
    }

    /// Returns whether somebody was notified of the incident, or will be by a summary.
    pub fn is_announced(&self) -> bool {
        self.said().any(|one| one.kind == Kind::Opened)
    }

    /// Returns whether the opening of an incident was hidden and not announced since.
    pub fn is_opening_due(&self, incident: &Incident) -> bool {
        let is_opening = |one: &&Notification| one.kind == Kind::Opened;
        let of_this_time = |one: &Notification| occurrence(one) == Some(incident.reopened);
        self.hidden.iter().filter(is_opening).any(of_this_time)
            && !self.said().filter(is_opening).any(of_this_time)
    }

    /// Returns the silence that hid the end of an incident that is over and of which nobody was notified.
    pub fn hid_end(&self, incident: &Incident) -> Option<CommandId> {
        if incident.state.is_open() || self.is_announced() {
            return None;
        }
        let ends = self.hidden.iter().filter(|one| one.kind == Kind::Resolved);
        ends.filter(|one| occurrence(one) == Some(incident.reopened)).find_map(Notification::silence)
    }
}

fn occurrence(notification: &Notification) -> Option<u32> {
    let content = serde_json::from_value::<NotificationContent>(notification.event.clone()).ok()?;
    Some(content.event.occurrence())
}

/// Returns the id of the row that says that a silence hid an event.
fn row_id(event: &LifecycleEvent, silence: CommandId) -> EventId {
    let id =
        notification_id(event.incident_id(), event.kind(), event.occurrence(), CHANNEL, &AddressClass::All);
    EventId(derive(&["silenced", &id.to_string(), &silence.to_string()]))
}

/// Decides that nothing is sent of an event, because a silence covers its incident. Returns nothing where that is on record.
///
/// # Errors
/// If the content cannot be stored.
pub fn hide(
    content: &NotificationContent,
    threads: &[Thread],
    cover: &Cover,
    record: &OnRecord,
) -> Result<Option<Effects>, Error> {
    let (event, incident) = (&content.event, &content.incident);
    let silence = &cover.silence;
    let id = row_id(event, silence.silence_id);
    if record.hidden.iter().any(|one| one.id == id) {
        return Ok(None);
    }
    let recipients = threads.iter().flat_map(|thread| thread.recipients.iter().cloned()).collect();
    let stored = serde_json::to_value(content).map_err(Error::reject)?;
    let subject = content.subject();
    let notification = Notification {
        subject: if event.begins_thread() { subject } else { format!("Re: {subject}") },
        envelope: [(Notification::SILENCE.to_owned(), json!(silence.silence_id))].into_iter().collect(),
        ..content.row(id, CHANNEL, recipients, stored)
    };
    let timer = match cover.until {
        Some(until) if !incident.is_over => {
            let over = SilenceOver { incident_id: incident.incident_id, silence_id: silence.silence_id };
            vec![over.at(until)?]
        }
        _ => Vec::new(),
    };
    Ok(Some(Effects {
        writes: vec![Write::Silenced(Box::new(notification))],
        audit: vec![line(event, cover)],
        timers: timer,
        ..Effects::none()
    }))
}

fn line(event: &LifecycleEvent, Cover { silence, until }: &Cover) -> Audit {
    let (kind, by) = (event.kind(), &silence.by);
    let how = if silence.spec.is_maintenance { "silenced for maintenance" } else { "silenced" };
    let until_words = until.map_or_else(String::new, |until| format!(" until {}", moment(until)));
    Audit {
        incident_id: event.incident_id(),
        at: event.at(),
        action: AuditAction::NotificationSilenced,
        summary: format!(
            "Not sent: {}; {how} by {by}{until_words} ({}).",
            headed(kind.words()),
            silence.spec.comment
        ),
        detail: json!({
            "kind": kind,
            "revision": event.revision(),
            "silence_id": silence.silence_id,
            "is_maintenance": silence.spec.is_maintenance,
            "by": by,
            "until": until,
            "comment": silence.spec.comment,
        }),
    }
}

/// Decides whether a silence begins; `others` of its environment are active or wait to be.
pub fn begin(asked: &Asked<'_>, spec: &SilenceSpec, others: usize, now: Timestamp) -> Outcome {
    let spec = SilenceSpec { comment: asked.text(&spec.comment), ..spec.clone() };
    let matchers = silence::check(&spec, now).map_err(|refused| refused.to_string())?;
    let environment = &asked.command.environment;
    if others >= MAX_ACTIVE {
        return Err(format!("{environment} has {MAX_ACTIVE} silences that are not over; end some first"));
    }
    let silence = Silence {
        silence_id: asked.command.command_id,
        environment: environment.clone(),
        spec: SilenceSpec { matchers: matchers.to_string(), ..spec },
        by: asked.by(),
        begun_at: now,
        ended: None,
    };
    let when = match silence.standing(now) {
        Standing::Active { until } => format!("is active until {}", moment(until)),
        Standing::Waiting { from } => format!("begins at {}", moment(from)),
        Standing::Over | Standing::Ended => {
            return Err("no window lies between the begin and the end of the silence".to_owned());
        }
    };
    let what = if silence.spec.is_maintenance { "maintenance window" } else { "silence" };
    let answer = format!("{what} {} of {environment} {when}: {matchers}", silence.silence_id);
    let effects = Effects { writes: vec![Write::Silence(Box::new(silence))], ..Effects::none() };
    Ok(Done { answer, effects })
}

/// Decides whether a silence ends before its time. Of each of `incidents` it hid something: they are announced if they are
/// still open.
///
/// # Errors
/// If a timer cannot be set.
pub fn end(
    asked: &Asked<'_>,
    id: CommandId,
    reason: &str,
    found: Option<&Silence>,
    incidents: &[IncidentId],
    now: Timestamp,
) -> Result<Outcome, Error> {
    let silence = match still_running(asked, id, found, now) {
        Ok(silence) => silence,
        Err(refused) => return Ok(Err(refused)),
    };
    let ending = Ending { at: now, by: asked.by(), reason: asked.text(reason) };
    if ending.reason.is_empty() {
        return Ok(Err("a reason is needed to end a silence".to_owned()));
    }
    let what = if silence.spec.is_maintenance { "maintenance window" } else { "silence" };
    let answer = format!("{what} {id} is ended by {}", ending.by);
    let timers =
        incidents.iter().map(|incident| SilenceOver { incident_id: *incident, silence_id: id }.ended(now));
    let effects = Effects {
        timers: timers.collect::<Result<_, _>>()?,
        writes: vec![Write::EndSilence { silence_id: id, ending }],
        ..Effects::none()
    };
    Ok(Ok(Done { answer, effects }))
}

fn still_running<'s>(
    asked: &Asked<'_>,
    id: CommandId,
    found: Option<&'s Silence>,
    now: Timestamp,
) -> Result<&'s Silence, String> {
    let Some(silence) = found else { return Err(format!("silence {id} does not exist")) };
    if silence.environment != asked.command.environment {
        return Err(format!("silence {id} is of environment {}", silence.environment));
    }
    if let Some(Ending { at, by, .. }) = &silence.ended {
        return Err(format!("silence {id} was ended by {by} at {}", moment(*at)));
    }
    if silence.standing(now) == Standing::Over {
        return Err(format!("silence {id} is over already"));
    }
    Ok(silence)
}
