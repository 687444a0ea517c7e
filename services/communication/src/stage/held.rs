//! What waits for a summary, the summaries, and reports at fixed intervals.

use shared::events::{Plan, RootCause};
use shared::stage::{Context, Effects, Error};
use shared::store::{ArtifactKind, Write};

use super::{Communication, incident, on_record};
use crate::content::{IncidentSummary, LifecycleEvent, NotificationContent};
use crate::digest::{self, Waited};
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
        let recent = ctx.store.recent(now - holding::STORM).await?;
        let pace = Pace { options: &self.options, recent: &recent, record, now };
        let address = |channel: &str, entry: &str| self.channels.get(channel)?.address(entry);
        let mut waiting = holding::take_waiting(threads, content, later, &pace, address);
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
                    let opening = digest::opening(record, one.to.channel, &one.to.address);
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
    /// others. Where people read no summaries, the incidents that are still open are announced.
    pub(super) async fn summarize(&self, due: &Summarize, ctx: &Context) -> Result<Effects, Error> {
        let held = ctx.store.held(&due.channel, &due.identity, due.until, MOST).await?;
        let (now, is_full) = (ctx.wall_clock(), held.len() as i64 == MOST);
        let mut effects = Effects::none();
        effects.writes.push(Write::Summarized(held.iter().map(|one| one.id).collect()));
        if held.is_empty() {
            return Ok(Effects::none());
        }
        let found = self
            .channels
            .get(&due.channel)
            .and_then(|channel| Some((channel, channel.address(&due.address)?)));
        let Some((channel, address)) = found else {
            tracing::warn!(
                channel = due.channel,
                "what was held is dropped: its channel or receiver is not set up any more"
            );
            return Ok(effects);
        };
        let thread = Thread::of_one(channel.name(), &address);
        let mut digested = Vec::new();
        for (id, notifications) in digest::by_incident(held) {
            let (incident, record) = (incident(id, ctx).await?, on_record(id, ctx).await?);
            let waited = Waited { incident, notifications };
            let how = match digest::opening(&record, channel.name(), &address) {
                Some(opening) => match waited.summary(opening, now) {
                    Some(update) if table::has_summaries(channel.name()) => {
                        let thread = Thread { subject: Some(opening.subject.clone()), ..thread.clone() };
                        effects.extend(self.announce(
                            &about(&waited, update.into()),
                            &[thread],
                            Vec::new(),
                            now,
                        )?);
                        "sent as a summary"
                    }
                    _ => "nothing was new any more",
                },
                None if table::has_summaries(channel.name()) => {
                    digested.push(waited);
                    continue;
                }
                None if !waited.incident.state.is_open() => "the incident was over before",
                None if self.covering(&waited.incident, ctx).await?.is_some() => "the incident is silenced",
                None => {
                    let opened = LifecycleEvent::Opened(Box::new(waited.incident.clone()));
                    effects.extend(self.announce(
                        &about(&waited, opened),
                        std::slice::from_ref(&thread),
                        Vec::new(),
                        now,
                    )?);
                    "announced"
                }
            };
            effects.audit.push(digest::line(&waited, &address, how, now));
        }
        effects.audit.extend(digested.iter().map(|one| digest::line(one, &address, "sent in a digest", now)));
        if let Some(content) = digest::digest(digested, now) {
            effects.extend(self.announce(&content, &[thread], Vec::new(), now)?);
        }
        effects.again = is_full.then_some(now);
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

fn about(waited: &Waited, event: LifecycleEvent) -> NotificationContent {
    let incident = IncidentSummary::of(&waited.incident).about(&event);
    NotificationContent { incident, event }
}
