//! Events of one key that wait together are decided together, and their effects applied in one transaction: see ADR 19. Where
//! that fails, whatever the reason, each is handled by itself, so that one that cannot be handled holds up no other.

use std::time::Instant;

use tracing::Span;

use super::{Job, MAX_CONFLICTS, Runtime};
use crate::bus::Record;
use crate::events::envelope::{header, id_of};
use crate::failpoint::Failpoint;
use crate::ids::EventId;
use crate::metrics::runtime;
use crate::stage::{Class, Context, Effects, Error, Key, Stage};
use crate::store;
use crate::store::apply::{Cause, Decided};
use crate::trace;

/// Records of one key.
type Jobs<S> = Vec<Job<<S as Stage>::Input>>;

/// Sorts records by key; the order among those of one key stays.
pub(super) fn by_key<S: Stage>(jobs: impl Iterator<Item = Job<S::Input>>) -> Vec<Jobs<S>> {
    let mut groups: Vec<(Option<Key>, Jobs<S>)> = Vec::new();
    for job in jobs {
        let key = job.input.as_ref().ok().map(S::key);
        match groups.iter_mut().find(|(known, _)| key.is_some() && *known == key) {
            Some((_, group)) => group.push(job),
            None => groups.push((key, vec![job])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// What became of a try to decide on several events.
enum Outcome {
    /// That many of them are handled, from the first one on.
    Handled(usize),
    /// Another replica was faster.
    Lost,
}

impl<S: Stage> Runtime<S> {
    /// Handles records of one key: together as far as that succeeds, the rest one by one.
    pub(super) async fn several(&self, mut jobs: Jobs<S>) -> Result<(), Error> {
        jobs.retain_mut(|job| job.record.ticket.start());
        self.together(&mut jobs).await?;
        for job in jobs {
            self.single(job).await?;
        }
        Ok(())
    }

    /// Decides on several records at once, and removes those that are done.
    async fn together(&self, jobs: &mut Jobs<S>) -> Result<(), Error> {
        let mut lost = 0;
        while jobs.len() > 1 && lost < MAX_CONFLICTS {
            let outcome = match self.without_duplicates(jobs).await {
                Ok(()) if jobs.is_empty() => return Ok(()),
                Ok(()) => self.decide_together(jobs).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Outcome::Handled(events)) => {
                    lost = 0;
                    for job in jobs.drain(..events) {
                        self.count_age(&job.record);
                        job.record.ticket.finish();
                    }
                }
                Ok(Outcome::Lost) => {
                    self.lost(lost).await;
                    lost += 1;
                }
                Err(error) if error.class() == Class::Fatal => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, events = jobs.len(), "events are handled one by one");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Lets go what was handled before.
    async fn without_duplicates(&self, jobs: &mut Jobs<S>) -> Result<(), Error> {
        let ids: Vec<EventId> = jobs.iter().map(|job| event_id(&job.record)).collect();
        let known = self.base.store.processed(S::NAME, &ids).await?;
        let (old, new) =
            std::mem::take(jobs).into_iter().partition(|job| known.contains(&event_id(&job.record)));
        *jobs = new;
        let old: Jobs<S> = old;
        for job in old {
            tracing::debug!(event = %event_id(&job.record), "redelivered event suppressed");
            runtime::EVENTS.add_one([S::NAME, "duplicate"]);
            job.record.ticket.finish();
        }
        Ok(())
    }

    async fn decide_together(&self, jobs: &[Job<S::Input>]) -> Result<Outcome, Error> {
        let begun = Instant::now();
        Failpoint::Read.hit();
        let contexts: Vec<(Context, Span)> = jobs.iter().map(|job| self.placed(&job.record)).collect();
        let events: Vec<(&S::Input, &Context)> = jobs
            .iter()
            .zip(&contexts)
            .filter_map(|(job, (context, _))| Some((job.input.as_ref().ok()?, context)))
            .collect();
        let all: Vec<Effects> = self.base.limits.bounded(self.stage.handle_all(&events)).await?;
        if all.is_empty() || all.len() > jobs.len() {
            let what = format!("{} decisions on {} events", all.len(), jobs.len());
            return Err(Error::retry(anyhow::anyhow!(what)));
        }
        Failpoint::Decided.hit();
        let decided: Vec<Decided<'_>> = all
            .iter()
            .zip(&contexts)
            .filter(|(effects, _)| !effects.is_empty())
            .map(|(effects, (context, span))| Decided {
                cause: Cause::Event(context.event_id),
                traceparent: context.traceparent.as_deref(),
                effects,
                span: span.clone(),
            })
            .collect();
        if !decided.is_empty() {
            match self.base.store.apply_all(S::NAME, &decided).await {
                Err(store::Error::Conflict { .. }) => return Ok(Outcome::Lost),
                applied => _ = applied?,
            }
        }
        for effects in &all {
            self.wake(effects);
            runtime::EVENTS.add_one([S::NAME, "handled"]);
            runtime::HANDLE_SECONDS_OF_EVENT.observe([S::NAME], begun.elapsed().as_secs_f64());
        }
        Ok(Outcome::Handled(all.len()))
    }

    /// Returns what a decision on a record may know besides it, and the trace span of the decision.
    pub(super) fn placed(&self, record: &Record) -> (Context, Span) {
        let event_id = event_id(record);
        let context = self.context(event_id, header(&record.headers, "traceparent"));
        let what = trace::Work::Record(record.topic);
        let span = trace::handling(S::AGENT, what, event_id, context.traceparent.as_deref());
        (context, span)
    }
}

fn event_id(record: &Record) -> EventId {
    id_of(&record.headers, record.topic, record.partition, record.offset)
}
