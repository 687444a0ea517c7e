//! Whether a fault of one service explains what is seen at another.
//!
//! Latency, errors, log lines and other symptoms travel from a service to its callers, traffic from callers to callees. What
//! fills up inside a service, or stops there, is explained by nothing elsewhere: it is a fault of its own. A pool or a
//! lag of a caller is explained only if it followed the latency or the errors of the service that it waits for. CPU time that a
//! host gave to others is explained by the service that took it, and so is what follows from the loss. What is not watched explains
//! what it does to all services that complain of it: see [`shared_complaints`](crate::shared_complaints).

use std::borrow::Borrow;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::clock::from_ms;
use shared::events::anomaly::{Direction, Status};
use shared::events::incident::{Signal, Suspect};
use shared::events::{Category, Deployment, Kind};

use crate::hypotheses::{Surroundings, WEAK_NATS};
use crate::log_terms::LogTerms;
use crate::{sampling, steal};

/// Deployments of one commit within this time are one change.
const ONE_CHANGE: SignedDuration = SignedDuration::from_mins(30);

/// A service that may be at fault, with all that a fault there could reach.
#[derive(Debug, Clone)]
pub struct Root<'a> {
    /// Service.
    pub service: &'a str,
    /// Kind of cause, where it is known.
    pub category: Option<Category>,
    /// When its latency or its errors left their band, if they did.
    pub slow_since: Option<Timestamp>,
    /// When its own CPU use left its band, and milliseconds between two samples of it; if that may be the cause.
    cpu_use: Option<(Timestamp, u64)>,
    /// Services that wait for this one, or for the unwatched thing that it waits for.
    callers: BTreeSet<&'a str>,
    callees: BTreeSet<&'a str>,
    /// Services from whose host it took CPU time, and their callers.
    starved: Vec<String>,
    callers_of_starved: BTreeSet<&'a str>,
    log_terms: &'a LogTerms,
}

impl<'a> Root<'a> {
    /// Describes a service as the root of a fault, from what is seen there.
    pub fn new<'b, S: Borrow<Signal> + 'b>(
        service: &'a str,
        category: Option<Category>,
        signals: impl IntoIterator<Item = &'b S, IntoIter: Clone>,
        surroundings: Surroundings<'a>,
    ) -> Self {
        let signals = signals.into_iter().map(Borrow::borrow);
        let own = signals.clone().filter(|signal| signal.service == service);
        let slow_since = own.clone().filter(|signal| is_slow(signal)).map(|signal| signal.started_at).min();
        let may_take = category.is_none_or(|category| category == Category::Cpu);
        let user =
            own.filter(|signal| may_take && steal::is_own_use(signal)).min_by_key(|signal| signal.started_at);
        let of_host = signals.filter(|signal| user.is_some_and(|user| steal::is_taken_by(signal, user)));
        let starved: Vec<String> = of_host.map(|signal| signal.service.clone()).collect();
        let graph = surroundings.graph;
        let mut callers = graph.ancestors(service);
        if category.is_none_or(is_outside) {
            for companion in graph.companions(service).filter(|companion| *companion != service) {
                callers.extend(graph.ancestors(companion));
                callers.insert(companion);
            }
            callers.remove(service);
        }
        Self {
            service,
            category,
            slow_since,
            cpu_use: user.map(|user| (user.started_at, user.interval_ms)),
            callers,
            callees: graph.descendants(service),
            callers_of_starved: starved.iter().flat_map(|name| graph.ancestors(name)).collect(),
            starved,
            log_terms: surroundings.log_terms,
        }
    }

    /// Describes the root of the fault that a hypothesis is about, from what is seen there.
    pub fn of<'b, S: Borrow<Signal> + 'b>(
        suspect: &'a Suspect,
        signals: impl IntoIterator<Item = &'b S, IntoIter: Clone>,
        surroundings: Surroundings<'a>,
    ) -> Self {
        Self::new(&suspect.service, Some(suspect.category), signals, surroundings)
    }

    /// Whether a fault here could show at `service` at all.
    pub fn reaches(&self, service: &str) -> bool {
        service == self.service
            || self.callers.contains(service)
            || self.callees.contains(service)
            || self.callers_of_starved.contains(service)
            || self.starved.iter().any(|name| name == service)
    }

    /// Whether a fault here explains `signal`.
    pub fn explains(&self, signal: &Signal) -> bool {
        if signal.service == self.service {
            return true;
        }
        if self.took(signal) || self.follows_from_steal(signal) {
            return true;
        }
        if self.callers.contains(signal.service.as_str()) {
            return match signal.kind {
                Kind::Logs => self.explains_lines(signal),
                Kind::Latency | Kind::Errors | Kind::Traffic | Kind::DataLoss | Kind::Other => true,
                Kind::Cpu => signal.direction == Direction::Down,
                Kind::Pool | Kind::Lag => self
                    .slow_since
                    .is_some_and(|since| signal.started_at >= since + sampling::interval(signal.interval_ms)),
                Kind::Memory
                | Kind::Disk
                | Kind::Certificate
                | Kind::Silence
                | Kind::Restarts
                | Kind::Security => false,
            };
        }
        let is_less_work = signal.kind == Kind::Cpu && signal.direction == Direction::Down;
        self.callees.contains(signal.service.as_str())
            && (signal.kind == Kind::Traffic
                || is_less_work
                || (self.category == Some(Category::Traffic)
                    && matches!(
                        signal.kind,
                        Kind::Latency | Kind::Errors | Kind::Cpu | Kind::Pool | Kind::Lag
                    )))
    }

    /// Whether a signal is CPU time of another service that went to this one.
    fn took(&self, signal: &Signal) -> bool {
        let is_near = |(since, interval_ms): (Timestamp, u64)| {
            sampling::began_together(since, signal.started_at, interval_ms.max(signal.interval_ms))
        };
        steal::is_steal(signal) && self.cpu_use.is_some_and(is_near)
    }

    /// Whether a signal follows from the CPU time that a service has lost to this one: there, or at its callers.
    fn follows_from_steal(&self, signal: &Signal) -> bool {
        let symptom = matches!(signal.kind, Kind::Latency | Kind::Errors | Kind::Traffic);
        symptom
            && (self.starved.contains(&signal.service)
                || self.callers_of_starved.contains(signal.service.as_str()))
    }

    /// Whether what log lines of a caller name can come from here: what it waits for and the way there, and not its own
    /// memory or code.
    fn explains_lines(&self, signal: &Signal) -> bool {
        self.log_terms.named_by(signal).is_none_or(|named| is_outside(named) || named == Category::Traffic)
    }

    /// Whether a fault here explains all that is certain in `members`; where nothing is, all of it.
    pub fn explains_all<'b, S: Borrow<Signal> + 'b>(
        &self,
        members: impl IntoIterator<Item = &'b S, IntoIter: Clone>,
    ) -> bool {
        let is_certain = |member: &Signal| member.evidence > WEAK_NATS || member.status == Status::Firing;
        let mut members = members.into_iter().map(Borrow::borrow);
        let any_certain = members.clone().any(is_certain);
        members.all(|member| (any_certain && !is_certain(member)) || self.explains(member))
    }
}

/// Whether a cause of this kind may lie outside the service that shows it.
pub fn is_outside(category: Category) -> bool {
    matches!(category, Category::Certificate | Category::Dependency | Category::Network)
}

fn is_slow(signal: &Signal) -> bool {
    matches!(signal.kind, Kind::Latency | Kind::Errors) && signal.direction == Direction::Up
}

/// Whether one change reached both services: the same commit, rolled out to both at nearly the same time.
pub fn share_a_change(one: &str, other: &str, deployments: &[Deployment]) -> bool {
    let theirs = commits(other, deployments);
    commits(one, deployments).iter().any(|(sha, at)| {
        theirs.iter().any(|(known, then)| known == sha && at.duration_since(*then).abs() <= ONE_CHANGE)
    })
}

/// Returns the commits that were rolled out to a service, with their times.
fn commits<'a>(service: &str, deployments: &'a [Deployment]) -> Vec<(&'a str, Timestamp)> {
    deployments
        .iter()
        .filter(|change| change.service == service)
        .filter_map(|change| Some((change.git_sha.as_deref()?, from_ms(change.ts_ms))))
        .filter(|(sha, _)| !sha.is_empty())
        .collect()
}
