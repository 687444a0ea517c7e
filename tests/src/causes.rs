//! From the simulated shop to the published suspects, in one process and without a bus. Detection and correlation decide as
//! they do in production; this module does what the runtime does between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use correlation::grouping::{self, Absorbed, Grouping};
use correlation::{Options, endings, links, standing};
use detection::{At, Outcome, Partition, Settings};
use jiff::{SignedDuration, Timestamp};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use shared::catalogue::Catalogue;
use shared::clock::from_ms;
use shared::events::fault::{Phase, Scenario};
use shared::events::incident::{Incident, Signal, State, Suspect};
use shared::events::{Anomaly, Category, Deployment, Topic};
use shared::graph::Graph;
use shared::ids::IncidentId;
use shared::lifecycle::{self, Assessment, Change};
use shared::store::Neighbourhood;
use simulator::record::records;
use simulator::service::CALLS;
use simulator::{Faults, Shop};

/// Partitions of the raw topics.
const PARTITIONS: usize = 6;
/// Ticks of the simulated shop after the fault.
const AFTER: u64 = 180;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The only fault.
    pub scenario: Scenario,
    /// Seed of the shop and of the order in which records of a tick are read.
    pub seed: u64,
    /// Event time between two ticks, milliseconds.
    pub interval_ms: u64,
    /// Healthy ticks before the fault.
    pub healthy: u64,
}

/// What was published of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaseOutcome {
    /// First suspects of the first incident in the order in which they were published, each with its time and posterior.
    pub suspects: Vec<(Timestamp, String, Category, f64)>,
    /// Announced incidents, without those that were merged into another one.
    pub incidents: usize,
    /// First tick with the fault, and first without.
    pub fault: Option<(Timestamp, Option<Timestamp>)>,
    /// When an incident was first announced, merged later or not.
    pub announced: Option<Timestamp>,
    /// When all members of the first incident had been clear for long enough.
    pub resolved: Option<Timestamp>,
    /// Every anomaly, in the order of the decisions.
    pub anomalies: Vec<Anomaly>,
}

impl CaseOutcome {
    /// Returns how often the published suspect changed.
    pub fn changes(&self) -> usize {
        self.suspects.len().saturating_sub(1)
    }
}

/// Runs one case to its end.
pub fn play(case: Case) -> Result<CaseOutcome> {
    let mut shop = Shop::new(simulator::Options {
        seed: case.seed,
        interval_ms: case.interval_ms,
        faults: Faults::Once(Some(case.scenario)),
        first_fault_after: case.healthy,
        ..simulator::Options::default()
    });
    let settings = Arc::new(Settings::default());
    let mut partitions: Vec<Partition> =
        (0..PARTITIONS).map(|number| Partition::new(number as i32, settings.clone())).collect();
    let mut order = ChaCha8Rng::seed_from_u64(case.seed);
    let mut correlation = Correlation::default();
    let start_ms = 1_790_000_000_000 + (case.seed as i64 % 1000) * 3_600_000;
    let (mut offset, mut tick) = (0, 0);
    while shop.recovered_for().is_none_or(|ticks| ticks < AFTER) {
        let ts_ms = start_ms + tick * case.interval_ms as i64;
        tick += 1;
        let made = shop.tick(ts_ms);
        for fault in &made.faults {
            correlation.outcome.fault = match (fault.phase, correlation.outcome.fault) {
                (Phase::Started, _) => Some((fault.at, None)),
                (Phase::Ended, begun) => begun.map(|(started, _)| (started, Some(fault.at))),
            };
        }
        let mut records = records(&made)?;
        // neither partitions nor topics are ordered among each other
        records.shuffle(&mut order);
        for record in records {
            offset += 1;
            let at = At { offset, timestamp_ms: Some(ts_ms) };
            let partition = &mut partitions[partition_of(&record.key)];
            let outcome: Outcome = match record.topic {
                Topic::RawMetrics => partition.metrics(&record.payload, at),
                Topic::RawLogs => partition.log(&record.payload, at),
                Topic::RawDeployments => {
                    correlation.deployments.push(serde_json::from_slice(&record.payload)?);
                    partition.deployment(&record.payload, at)
                }
                _ => continue,
            };
            for anomaly in outcome.anomalies {
                correlation.take(&anomaly)?;
                correlation.outcome.anomalies.push(anomaly);
            }
        }
        correlation.pass(from_ms(ts_ms))?;
    }
    Ok(correlation.finish())
}

fn partition_of(key: &str) -> usize {
    key.bytes().map(usize::from).sum::<usize>() % PARTITIONS
}

/// The stage, with its rows in memory and its timers in event time.
#[derive(Default)]
struct Correlation {
    options: Options,
    signals: Vec<(Arc<Signal>, Option<IncidentId>)>,
    incidents: BTreeMap<IncidentId, Incident>,
    deployments: Vec<Deployment>,
    /// What was published of each announced incident, in the order of the announcements.
    published: Vec<Published>,
    outcome: CaseOutcome,
}

/// What was published of an incident.
struct Published {
    id: IncidentId,
    suspects: Vec<(Timestamp, String, Category, f64)>,
    resolved: Option<Timestamp>,
}

impl Correlation {
    fn finish(mut self) -> CaseOutcome {
        self.published.retain(|of| self.incidents[&of.id].merged_into().is_none());
        self.outcome.incidents = self.published.len();
        if let Some(first) = self.published.into_iter().next() {
            (self.outcome.suspects, self.outcome.resolved) = (first.suspects, first.resolved);
        }
        self.outcome
    }

    fn neighbourhood(&self) -> Neighbourhood {
        let incidents = |open: bool| -> Vec<Incident> {
            self.incidents.values().filter(|incident| incident.state.is_open() == open).cloned().collect()
        };
        let calls = CALLS.iter().map(|call| (call.caller.name(), call.callee.name()));
        Neighbourhood {
            version: 0,
            signals: self.signals.clone(),
            incidents: incidents(true),
            catalogue: Catalogue::default(),
            graph: Graph::from_edges(calls),
            deployments: self.deployments.clone(),
            past: incidents(false),
        }
    }

    fn take(&mut self, anomaly: &Anomaly) -> Result<()> {
        let mut neighbourhood = self.neighbourhood();
        links::connect(&mut neighbourhood, Some(anomaly), &self.options.log_terms);
        let decision = grouping::decide(anomaly, &neighbourhood, &self.options);
        if let Some((id, at)) = decision.over {
            let reason = endings::resolution(&grouping::members(id, &neighbourhood));
            self.change(id, Change::resolved(at, reason), at)?;
        }
        let home = match decision.grouping {
            Grouping::Stale => return Ok(()),
            Grouping::Unassigned => None,
            Grouping::LateJoin { incident } => Some(incident.incident_id),
            Grouping::Reopen { incident, assessment, adopted } => {
                let id = incident.incident_id;
                self.change(id, Change::reopened(assessment), anomaly.observed_at)?;
                self.adopt(&adopted, id);
                Some(id)
            }
            Grouping::Open { incident, assessment, adopted, .. } => {
                let opened = Change::Opened {
                    environment: anomaly.environment.clone(),
                    at: anomaly.observed_at,
                    assessment: Box::new(assessment),
                };
                self.incidents.insert(incident, lifecycle::apply(None, incident, opened)?);
                self.adopt(&adopted, incident);
                Some(incident)
            }
            Grouping::Join { incident, assessment, absorbed, .. } => {
                let into = incident.incident_id;
                self.reassess(into, assessment, anomaly.observed_at)?;
                for Absorbed { incident: other, members } in absorbed {
                    self.adopt(&members, into);
                    let at = anomaly.observed_at;
                    self.change(other.incident_id, Change::merged(into, incident.number, at), at)?;
                }
                Some(into)
            }
        };
        self.signals.retain(|(known, _)| known.anomaly_id != decision.signal.anomaly_id);
        self.signals.push((decision.signal, home));
        Ok(())
    }

    fn adopt(&mut self, adopted: &[Arc<Signal>], incident: IncidentId) {
        for (signal, of) in &mut self.signals {
            if adopted.iter().any(|joined| joined.anomaly_id == signal.anomaly_id) {
                *of = Some(incident);
            }
        }
    }

    /// Fires the timers that are due at `now`.
    fn pass(&mut self, now: Timestamp) -> Result<()> {
        let open: Vec<Incident> =
            self.incidents.values().filter(|incident| incident.state.is_open()).cloned().collect();
        for incident in open {
            let id = incident.incident_id;
            let members = grouping::members(id, &self.neighbourhood());
            let longest = members.iter().map(|member| member.interval_ms).max().unwrap_or(0);
            if incident.state == State::Detecting && now >= incident.opened_at + self.wait(longest) {
                self.change(id, Change::Announced, now)?;
            }
            let hold = standing::hold(&members, &self.options);
            if let Some(since) =
                incident.challenger.as_ref().map(|one| one.since).filter(|since| now >= *since + hold)
            {
                let neighbourhood = self.neighbourhood();
                let incident = self.incidents.get(&id).context("the incident is missing")?;
                let assessment = correlation::assessment::assess(
                    members.clone(),
                    &neighbourhood,
                    Some(incident),
                    since + hold,
                    &self.options,
                );
                self.reassess(id, assessment, now)?;
            }
            if let Some((at, hold)) = grouping::all_clear(&members)
                && now >= at + self.options.hold_of(&incident, hold)
            {
                self.change(id, Change::resolved(at, endings::resolution(&members)), now)?;
            }
        }
        Ok(())
    }

    fn wait(&self, interval_ms: u64) -> SignedDuration {
        let wait = (interval_ms as f64 * self.options.group_wait_intervals) as u64;
        let wait = wait.clamp(self.options.group_wait_min_ms, self.options.group_wait_max_ms);
        SignedDuration::from_millis(wait as i64)
    }

    fn reassess(&mut self, id: IncidentId, assessment: Assessment, at: Timestamp) -> Result<()> {
        self.change(id, Change::Reassessed(Box::new(assessment)), at)
    }

    fn change(&mut self, id: IncidentId, change: Change, at: Timestamp) -> Result<()> {
        let before = self.incidents.get(&id).cloned();
        let incident = lifecycle::apply(before, id, change)?;
        if incident.state != State::Detecting {
            self.publish(&incident, at);
        }
        self.incidents.insert(id, incident);
        Ok(())
    }

    fn publish(&mut self, incident: &Incident, at: Timestamp) {
        let id = incident.incident_id;
        let place = self.published.iter().position(|of| of.id == id).unwrap_or_else(|| {
            self.outcome.announced = self.outcome.announced.or(Some(at));
            self.published.push(Published { id, suspects: Vec::new(), resolved: None });
            self.published.len() - 1
        });
        let published = &mut self.published[place];
        let is_last = |suspect: &Suspect| {
            let last = published.suspects.last();
            last.is_some_and(|(_, service, category, _)| {
                (service, *category) == (&suspect.service, suspect.category)
            })
        };
        if let Some(suspect) =
            incident.suspect().filter(|suspect| published.resolved.is_none() && !is_last(suspect))
        {
            published.suspects.push((at, suspect.service.clone(), suspect.category, suspect.posterior));
        }
        if !incident.state.is_open() {
            published.resolved = published.resolved.or(incident.resolved_at);
        }
    }
}
