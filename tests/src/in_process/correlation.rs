//! Correlation with its rows in memory and its timers in event time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use correlation::assessment::assess;
use correlation::edges::Edges;
use correlation::grouping::{self, Absorbed, Decision, Grouping};
use correlation::{Options, endings, links, standing};
use investigation::sources::{EDGES, Sources, TIMES_BEFORE, Times};
use jiff::{SignedDuration, Timestamp};
use shared::catalogue::Catalogue;
use shared::clock::from_ms;
use shared::events::anomaly::Status;
use shared::events::incident::{Incident, Link, Relation, Signal, State};
use shared::events::{Anomaly, Deployment, Span, Topic};
use shared::ids::{AnomalyId, IncidentId};
use shared::lifecycle::{self, Assessment, Change};
use shared::store::Neighbourhood;

use super::calls::Stored;

/// Most incidents of the past that a decision looks at, as in the store.
const MAX_PAST: usize = 50;

/// An incident as it was published.
#[derive(Debug, Clone)]
pub struct Published {
    /// Event time at which it was published.
    pub at: Timestamp,
    /// Topic.
    pub topic: Topic,
    /// The incident as it stood, its signals without samples, siblings and logs.
    pub incident: Incident,
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Settle,
    Resolve { cleared_at: Timestamp },
    Reconsider { since: Timestamp },
}

/// The stage without its runtime.
pub struct Correlation {
    options: Options,
    edges: Edges,
    calls: Stored,
    /// In the order in which they were first seen.
    signals: Vec<(Arc<Signal>, Option<IncidentId>)>,
    incidents: BTreeMap<IncidentId, Incident>,
    deployments: Vec<Deployment>,
    timers: BTreeSet<(Timestamp, IncidentId, Due)>,
    published: Vec<Published>,
}

impl Default for Correlation {
    fn default() -> Self {
        let options = Options::default();
        Self {
            options: Options { log_terms: options.log_terms.clone().completed(), ..options },
            edges: Edges::default(),
            calls: Stored::default(),
            signals: Vec::new(),
            incidents: BTreeMap::new(),
            deployments: Vec::new(),
            timers: BTreeSet::new(),
            published: Vec::new(),
        }
    }
}

impl Correlation {
    /// Takes a span.
    pub fn span(&mut self, span: &Span) {
        self.calls.note(span);
        for write in self.edges.observe(span) {
            self.calls.write(write);
        }
    }

    /// Takes a change.
    pub fn deployment(&mut self, deployment: Deployment) {
        self.deployments.push(deployment);
    }

    /// Returns what was published so far, in order.
    pub fn published(&self) -> &[Published] {
        &self.published
    }

    /// Returns an incident as it stands.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        self.incidents.get(&id)
    }

    /// Returns what the store would return for an investigation.
    pub fn sources(&self, incident: &Incident) -> Sources {
        let own = self.signals.iter().filter(|(_, of)| *of == Some(incident.incident_id));
        let mut signals: Vec<Signal> = own.map(|(signal, _)| Signal::clone(signal)).collect();
        signals.sort_by_key(|signal| (signal.started_at, signal.anomaly_id));
        let Times { onset, changes_since, until } = Times::of(incident, &signals);
        let mut changes: Vec<Deployment> =
            self.deployments.iter().filter(|one| from_ms(one.ts_ms) >= changes_since).cloned().collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.ts_ms));
        let suspects: Vec<&str> = incident.suspects.iter().map(|one| one.service.as_str()).collect();
        Sources {
            signals,
            changes,
            changes_since,
            graph: self.calls.graph(incident.started_at - EDGES),
            edge_times: self.calls.times(&suspects, onset - TIMES_BEFORE, onset, until),
            ..Sources::default()
        }
    }

    /// Takes a revision of an anomaly that is read at `now`.
    pub fn anomaly(&mut self, anomaly: &Anomaly, now: Timestamp) -> Result<()> {
        let mut neighbourhood = self.neighbourhood(anomaly.observed_at, Some(anomaly));
        links::connect(&mut neighbourhood, Some(anomaly), &self.options.log_terms);
        let Decision { signal, over, grouping } = grouping::decide(anomaly, &neighbourhood, &self.options);
        if let Some((id, at)) = over {
            self.resolve(id, at, now)?;
        }
        let home = match grouping {
            Grouping::Stale => return Ok(()),
            Grouping::Unassigned => None,
            Grouping::LateJoin { incident } => Some(incident.incident_id),
            Grouping::Open { incident, assessment, adopted, follows } => {
                self.open(incident, anomaly, assessment, &adopted, now)?;
                if let Some(link) = follows {
                    self.change(incident, Change::Linked(link), None, now)?;
                }
                Some(incident)
            }
            Grouping::Reopen { incident, assessment, adopted } => {
                let id = incident.incident_id;
                let back = Change::reopened(assessment);
                self.change(id, back, Some(Topic::IncidentsOpened), now)?;
                self.adopt(&adopted, id);
                Some(id)
            }
            Grouping::Join { incident, assessment, all_clear, absorbed, split, .. } => {
                let id = incident.incident_id;
                if let Some(cleared_at) = all_clear {
                    let hold = assessment.signals.iter().map(|signal| signal.interval_ms).max().unwrap_or(0);
                    let hold = self.options.hold_of(&incident, hold);
                    self.timers.insert((now + hold, id, Due::Resolve { cleared_at }));
                }
                self.challenge(&incident, &assessment, now);
                let news = grouping::is_news(&incident, &assessment, anomaly.anomaly_id);
                let mut home = id;
                if let Some(split) = split {
                    let publish = (incident.state != State::Detecting).then_some(Topic::IncidentsUpdated);
                    self.change(id, Change::Split(Box::new(assessment)), publish, now)?;
                    home = if split.has(&signal) { split.incident } else { id };
                    self.open(split.incident, anomaly, split.assessment, &split.members, now)?;
                } else {
                    self.reassess(id, assessment, news, now)?;
                }
                for other in absorbed {
                    self.merge(&incident, &other, anomaly.observed_at, now)?;
                }
                Some(home)
            }
        };
        self.keep(signal, home);
        Ok(())
    }

    /// Runs what is due until `now`.
    pub fn pass(&mut self, now: Timestamp) -> Result<()> {
        while let Some((at, id, due)) = self.timers.first().copied().filter(|(at, ..)| *at <= now) {
            self.timers.pop_first();
            let incident = self.incidents.get(&id).context("a timer names an unknown incident")?.clone();
            let neighbourhood = self.neighbourhood(incident.opened_at, None);
            let members = grouping::members(id, &neighbourhood);
            match due {
                Due::Settle if incident.state == State::Detecting => {
                    self.change(id, Change::Announced, Some(Topic::IncidentsOpened), at)?;
                }
                Due::Resolve { cleared_at }
                    if incident.state.is_open()
                        && grouping::all_clear(&members).is_some_and(|(clear, _)| clear == cleared_at) =>
                {
                    self.resolve(id, cleared_at, at)?;
                }
                Due::Reconsider { since }
                    if incident.state.is_open()
                        && incident.challenger.as_ref().is_some_and(|one| one.since == since) =>
                {
                    let until = since + standing::hold(&members, &self.options);
                    let assessment = assess(members, &neighbourhood, Some(&incident), until, &self.options);
                    self.reassess(id, assessment, true, at)?;
                }
                Due::Settle | Due::Resolve { .. } | Due::Reconsider { .. } => {}
            }
        }
        Ok(())
    }

    /// Returns what the store would return for a decision at `at`.
    fn neighbourhood(&self, at: Timestamp, anomaly: Option<&Anomaly>) -> Neighbourhood {
        let is_open = |id: &IncidentId| self.incidents.get(id).is_some_and(|one| one.state.is_open());
        let asked = anomaly.map(|anomaly| anomaly.anomaly_id);
        let seen = |signal: &Signal, of: Option<IncidentId>| {
            of.is_some_and(|id| is_open(&id))
                || signal.status != Status::Cleared
                || asked == Some(signal.anomaly_id)
        };
        let mut signals: Vec<(Arc<Signal>, Option<IncidentId>)> =
            self.signals.iter().filter(|(signal, of)| seen(signal, *of)).cloned().collect();
        // only of the episode itself is everything read
        for (signal, _) in signals.iter_mut().filter(|(signal, _)| asked != Some(signal.anomaly_id)) {
            strip(Arc::make_mut(signal));
        }
        let since = at - SignedDuration::from_mins(i64::from(self.options.deployment_window_min) + 60);
        let edges_since = at - SignedDuration::from_hours(i64::from(self.options.edge_age_hours));
        let deployments = self.deployments.iter().rev();
        let mut incidents: Vec<Incident> =
            self.incidents.values().filter(|incident| incident.state.is_open()).cloned().collect();
        incidents.sort_by_key(|incident| incident.number);
        Neighbourhood {
            version: 0,
            signals,
            incidents,
            catalogue: Catalogue::default(),
            graph: self.calls.graph(edges_since),
            deployments: deployments.filter(|one| from_ms(one.ts_ms) >= since).cloned().collect(),
            past: anomaly.map(|anomaly| self.past(anomaly)).unwrap_or_default(),
        }
    }

    fn past(&self, anomaly: &Anomaly) -> Vec<Incident> {
        let since = anomaly.observed_at - self.options.look_back(anomaly.interval_ms);
        let is_recent = |one: &&Incident| {
            !one.state.is_open() && one.resolved_at.is_some_and(|resolved_at| resolved_at >= since)
        };
        let mut past: Vec<Incident> = self.incidents.values().filter(is_recent).cloned().collect();
        past.sort_by_key(|one| std::cmp::Reverse((one.resolved_at, one.number)));
        past.truncate(MAX_PAST);
        past
    }

    fn open(
        &mut self,
        id: IncidentId,
        anomaly: &Anomaly,
        assessment: Assessment,
        adopted: &[Arc<Signal>],
        now: Timestamp,
    ) -> Result<()> {
        let wait = (anomaly.interval_ms as f64 * self.options.group_wait_intervals) as u64;
        let wait = wait.clamp(self.options.group_wait_min_ms, self.options.group_wait_max_ms);
        self.timers.insert((now + SignedDuration::from_millis(wait as i64), id, Due::Settle));
        let opened = Change::Opened {
            environment: anomaly.environment.clone(),
            at: anomaly.observed_at,
            assessment: Box::new(assessment),
        };
        self.change(id, opened, None, now)?;
        self.adopt(adopted, id);
        Ok(())
    }

    fn adopt(&mut self, adopted: &[Arc<Signal>], id: IncidentId) {
        let joins = |known: AnomalyId| adopted.iter().any(|joined| joined.anomaly_id == known);
        for (signal, of) in &mut self.signals {
            if joins(signal.anomaly_id) {
                *of = Some(id);
            }
        }
    }

    fn merge(&mut self, into: &Incident, other: &Absorbed, at: Timestamp, now: Timestamp) -> Result<()> {
        let topic = (other.incident.state != State::Detecting).then_some(Topic::IncidentsResolved);
        self.adopt(&other.members, into.incident_id);
        let merged = Change::merged(into.incident_id, into.number, at);
        self.change(other.incident.incident_id, merged, topic, now)?;
        let Incident { incident_id, number, .. } = other.incident;
        let link = Link::new(incident_id, number, Relation::Absorbed);
        self.change(into.incident_id, Change::Linked(link), None, now)
    }

    fn keep(&mut self, signal: Arc<Signal>, home: Option<IncidentId>) {
        let known = self.signals.iter_mut().find(|(known, _)| known.anomaly_id == signal.anomaly_id);
        match known {
            Some((known, of)) => {
                *known = signal;
                *of = home.or(*of);
            }
            None => self.signals.push((signal, home)),
        }
    }

    /// Sets the timer at which a challenger that has just taken the lead is looked at again.
    fn challenge(&mut self, before: &Incident, after: &Assessment, now: Timestamp) {
        if let Some(challenger) = &after.challenger
            && before.challenger.as_ref() != Some(challenger)
        {
            let due = now + standing::hold(&after.signals, &self.options);
            self.timers.insert((due, before.incident_id, Due::Reconsider { since: challenger.since }));
        }
    }

    fn reassess(
        &mut self,
        id: IncidentId,
        assessment: Assessment,
        is_news: bool,
        now: Timestamp,
    ) -> Result<()> {
        let announced = self.incidents.get(&id).is_some_and(|one| one.state != State::Detecting);
        let topic = (announced && is_news).then_some(Topic::IncidentsUpdated);
        self.change(id, Change::Reassessed(Box::new(assessment)), topic, now)
    }

    fn resolve(&mut self, id: IncidentId, at: Timestamp, now: Timestamp) -> Result<()> {
        if self.incidents.get(&id).is_some_and(|one| one.state == State::Detecting) {
            self.change(id, Change::Announced, Some(Topic::IncidentsOpened), now)?;
        }
        let members = self.signals.iter().filter(|(_, of)| *of == Some(id)).map(|(signal, _)| signal.clone());
        let reason = endings::resolution(&members.collect::<Vec<Arc<Signal>>>());
        self.change(id, Change::resolved(at, reason), Some(Topic::IncidentsResolved), now)
    }

    fn change(
        &mut self,
        id: IncidentId,
        change: Change,
        publish: Option<Topic>,
        now: Timestamp,
    ) -> Result<()> {
        let before = self.incidents.get(&id).cloned();
        let number = self.incidents.len() as i64 + 1;
        let is_new = before.is_none();
        let mut incident = lifecycle::apply(before, id, change)?;
        if is_new {
            incident.number = number;
        }
        incident.signals.iter_mut().for_each(strip);
        if let Some(topic) = publish {
            self.published.push(Published { at: now, topic, incident: incident.clone() });
        }
        self.incidents.insert(id, incident);
        Ok(())
    }
}

/// Takes from a signal what the store keeps beside it.
fn strip(signal: &mut Signal) {
    signal.samples.clear();
    signal.siblings.clear();
    signal.logs.clear();
}
