//! What waits for a summary, the summaries, and reports at fixed intervals.

use jiff::Timestamp;
use shared::events::{Incident, Plan, RootCause, Severity};
use shared::stage::{Context, Effects, Error};
use shared::store::notifications::Recent;
use shared::store::{ArtifactKind, Notification, Write};

use super::{Communication, Sources, incident, on_record};
use crate::channel::Destination;
use crate::content::{IncidentSummary, LifecycleEvent, NotificationContent};
use crate::digest::{self, Fate, Waited};
use crate::escalation;
use crate::holding::{self, Pace, Summarize, Waiting};
use crate::metrics;
use crate::notifications::Thread;
use crate::reports::{self, Due, Report};
use crate::silences::OnRecord;
use crate::table;

/// Most notifications that one summary takes; of more, the others follow at once.
const MOST: i64 = 1_000;

impl Communication {
    /// Takes those addresses out of `threads` for which an event waits, and holds it for them and for `later`. Returns nothing where
    /// there are none, or where it is on record.
    pub(super) async fn hold_back(
        &self,
        content: &NotificationContent,
        threads: &mut Vec<Thread>,
        later: &[Waiting],
        record: &OnRecord,
        ctx: &Context,
    ) -> Result<Option<Effects>, Error> {
        let now = ctx.wall_clock();
        let may_wait = |channel| table::may_wait(channel, false);
        let is_asked = content.incident.severity <= Severity::Sev3
            && threads.iter().any(|thread| may_wait(thread.channel));
        let recent = if is_asked { ctx.store.recent(now - holding::STORM).await? } else { Recent::default() };
        let pace = Pace { options: &self.options, recent: &recent, record, now };
        let destination = |channel: &str, entry: &str| self.channels.stored(channel, entry);
        let mut waiting = holding::take_waiting(threads, content, later, &pace, destination);
        // a channel that cannot wait has the message at once
        for one in later {
            if waiting.iter().any(|known| known.to == one.to) {
                continue;
            }
            let thread = Thread::of_one(one.to.channel, &one.to.address);
            match pace.hold(content, &thread, one.to.address.as_str(), Some(one.hold)) {
                Some(hold) => waiting.push(Waiting { hold, ..one.clone() }),
                None if threads.iter().any(|known| known.is(&thread)) => {}
                None if record.told.iter().any(|told| told.id == thread.id(&content.event)) => {}
                None => {
                    let opening = record.opening_to(&one.to);
                    let subject = opening.map(|opening| opening.subject.clone());
                    threads.push(Thread { subject: subject.filter(|_| !content.event.is_first()), ..thread });
                }
            }
        }
        for one in &waiting {
            metrics::HELD.add_one([one.hold.why.name()]);
        }
        holding::hold(content, &waiting, record, now)
    }

    /// Writes what waited for an address: a summary of each incident whose thread has begun there meanwhile, and one digest of the
    /// others. Where people read no summaries, the incidents that are still open are announced. The escalation of what was not
    /// announced at once begins with that.
    pub(super) async fn summarize(&self, due: &Summarize, ctx: &Context) -> Result<Effects, Error> {
        let held = ctx.store.held(&due.channel, &due.identity, due.until, MOST).await?;
        let (now, is_full) = (ctx.wall_clock(), held.len() as i64 == MOST);
        let to = self.channels.stored(&due.channel, &due.address);
        let Some(to) = to else { return Ok(dropped(due, held, now)) };
        let sources = Sources::read(ctx).await?;
        let directory = self.directory(&sources, now);
        let (mut effects, mut said, mut digested) = (Effects::none(), Vec::new(), Vec::new());
        for (id, notifications) in digest::by_incident(held) {
            let ids = notifications.iter().map(|one| one.id).collect::<Vec<_>>();
            let Some(incident) = ctx.store.incident(id).await? else {
                said.extend(ids);
                continue;
            };
            let record = on_record(id, ctx).await?;
            let opening = record.opening_to(&to);
            let silenced = self.covering(&incident, ctx).await?.and_then(|cover| cover.until);
            let waited = Waited { incident, notifications };
            let fate = waited.fate(opening.is_some(), table::has_summaries(to.channel), silenced, now);
            if let Fate::Wait(until) = fate {
                effects.timers.push(due.again(until, id)?);
                continue;
            }
            said.extend(ids);
            let chain = directory.escalation(&waited.incident);
            effects.timers.extend(escalation::begin(&waited.incident, now, chain)?);
            match fate {
                Fate::Digest => digested.push(waited),
                Fate::Drop(why) => effects.audit.push(digest::line(&waited, &due.address, why, now)),
                _ => effects.extend(self.say(&waited, &to, opening, now)?),
            }
        }
        let how = "sent in a digest";
        effects.audit.extend(digested.iter().map(|one| digest::line(one, &due.address, how, now)));
        if let Some(content) = digest::digest(digested, now) {
            let thread = Thread::of_one(to.channel, &to.address);
            effects.extend(self.announce(&content, &[thread], Vec::new(), now)?);
        }
        // where all of them wait on, the next look would find the same
        effects.again = (is_full && !said.is_empty()).then_some(now);
        if !said.is_empty() {
            effects.writes.push(Write::Summarized(said));
        }
        Ok(effects)
    }

    /// Says what waited of one incident: as a summary in its thread, or by its opening where that has not begun.
    fn say(
        &self,
        waited: &Waited,
        to: &Destination,
        opening: Option<&Notification>,
        now: Timestamp,
    ) -> Result<Effects, Error> {
        let thread = Thread::of_one(to.channel, &to.address);
        let (event, thread, how) = match opening {
            None => {
                // as every opening that begins a thread
                let opened = Incident { reopened: 0, ..waited.incident.clone() };
                (Some(LifecycleEvent::Opened(Box::new(opened))), thread, "announced")
            }
            Some(opening) => {
                let thread = Thread { subject: Some(opening.subject.clone()), ..thread };
                let update = waited.summary(opening, now).map(LifecycleEvent::from);
                (update, thread, "sent as a summary")
            }
        };
        let how = if event.is_some() { how } else { "nothing was new any more" };
        let mut effects = Effects::none();
        if let Some(event) = event {
            let incident = IncidentSummary::of(&waited.incident).about(&event);
            let content = NotificationContent { incident, event };
            effects = self.announce(&content, &[thread], Vec::new(), now)?;
        }
        effects.audit.push(digest::line(waited, to.address.as_str(), how, now));
        Ok(effects)
    }

    /// Reports how an incident stands, and sets the timer of the next report.
    pub(super) async fn report(&self, report: &Report, ctx: &Context) -> Result<Effects, Error> {
        let (incident, now) = (incident(report.incident_id, ctx).await?, ctx.wall_clock());
        let mut effects = match reports::decide(report, &incident, now) {
            Due::Over => return Ok(Effects::none()),
            Due::Quiet => Effects::none(),
            Due::Write if self.covering(&incident, ctx).await?.is_some() => Effects::none(),
            Due::Write => {
                let id = incident.incident_id;
                let cause: Option<RootCause> = ctx.store.artifact(id, ArtifactKind::RootCause).await?;
                let plan: Option<Plan> = ctx.store.artifact(id, ArtifactKind::Plan).await?;
                let update = reports::news(report, &incident, cause.as_ref(), plan.as_ref(), now);
                let record = on_record(id, ctx).await?;
                self.tell(update.into(), incident, &record, None, ctx).await?
            }
        };
        effects.timers.extend(reports::next(report, &self.options, now)?);
        Ok(effects)
    }
}

/// Puts on record that what waited cannot be sent: its channel or receiver is not set up any more.
fn dropped(due: &Summarize, held: Vec<Notification>, now: Timestamp) -> Effects {
    let mut effects = Effects::none();
    if held.is_empty() {
        return effects;
    }
    metrics::DROPPED.add([], held.len() as u64);
    effects.writes.push(Write::Summarized(held.iter().map(|one| one.id).collect()));
    let incidents = digest::by_incident(held);
    effects
        .audit
        .extend(incidents.iter().map(|(id, all)| digest::dropped(*id, all.len(), &due.address, now)));
    effects
}
