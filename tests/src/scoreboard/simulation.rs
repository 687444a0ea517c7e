//! One run of a scenario, and what was announced of it beside the truth.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use shared::events::fault::{Phase, Scenario};
use shared::events::incident::{Incident, Suspect};
use shared::events::{Category, Deployment, Fault, Topic};
use shared::ids::IncidentId;
use simulator::{Decoys, Faults, Noise, Options, Shop};

use super::naive::Scores;
use super::plan::{HEALTHY, Plan};
use crate::in_process::Pipeline;

/// A fault that was simulated.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Scenario.
    pub scenario: Scenario,
    /// Faulty service.
    pub service: String,
    /// Kind of cause.
    pub category: Category,
    /// First tick with it.
    pub starts: Timestamp,
    /// First tick without it.
    pub ends: Timestamp,
}

/// A run, at its end.
pub struct Run {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The faults.
    pub truths: Vec<Truth>,
    /// Service with the largest z-score since the first fault began.
    pub naive_suspect: Option<String>,
}

/// An incident that was announced.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Incident.
    pub id: IncidentId,
    /// When it was announced.
    pub announced: Timestamp,
    /// When it was over.
    pub resolved: Option<Timestamp>,
    /// When it was published that it is resolved.
    pub over: Option<Timestamp>,
    /// Suspects as they were announced.
    pub at_opening: Vec<Suspect>,
    /// Suspects as they were published last.
    pub at_end: Vec<Suspect>,
    /// How often the published first suspect changed.
    pub changes: usize,
    started: Timestamp,
}

/// Plays one seed of a scenario.
pub fn play(plan: &Plan, noise: Noise, seed: u64, mut pipeline: Pipeline) -> Result<Run> {
    let mut shop = Shop::new(Options {
        seed,
        interval_ms: plan.interval_ms,
        noise,
        faults: Faults::Planned(plan.outbreaks.clone()),
        decoys: Decoys::None,
        ..Options::default()
    });
    let mut naive = Scores::default();
    let mut faults = Vec::new();
    // each seed at another time of the day
    let start_ms = 1_790_000_000_000 + (seed as i64 % 1000) * 3_600_000;
    for number in 0..plan.ticks() {
        let ts_ms = start_ms + (number * plan.interval_ms) as i64;
        let mut tick = shop.tick(ts_ms);
        for (service, _) in plan.decoys.iter().filter(|(_, before)| number + before == HEALTHY) {
            tick.deployments.push(decoy(service, ts_ms));
        }
        plan.withheld.from(&mut tick);
        for sample in &tick.metrics {
            if number < HEALTHY { naive.learn(sample) } else { naive.score(sample) }
        }
        pipeline.tick(&tick)?;
        faults.extend(tick.faults);
    }
    let naive_suspect = naive.suspect().map(str::to_owned);
    Ok(Run { pipeline, truths: truths(&faults, plan.flaps)?, naive_suspect })
}

fn decoy(service: &str, ts_ms: i64) -> Deployment {
    Deployment {
        service: service.to_owned(),
        version: "9.9.9".to_owned(),
        ts_ms,
        environment: "production".to_owned(),
        change_type: "deploy".to_owned(),
        git_sha: None,
        deployed_by: Some("release-train".to_owned()),
        description: Some("Update translations".to_owned()),
        known_risks: Vec::new(),
    }
}

/// Returns the faults of a run; one that comes and goes counts once.
fn truths(faults: &[Fault], flaps: bool) -> Result<Vec<Truth>> {
    let mut truths: Vec<Truth> = Vec::new();
    for fault in faults.iter().filter(|fault| fault.phase == Phase::Started) {
        let is_end = |other: &&Fault| other.fault == fault.fault && other.phase == Phase::Ended;
        let ends = faults.iter().find(is_end).map_or(Timestamp::MAX, |end| end.at);
        match truths.last_mut().filter(|_| flaps) {
            Some(known) => known.ends = ends,
            None => truths.push(Truth {
                scenario: fault.scenario,
                service: fault.service.clone(),
                category: fault.scenario.category().context("only faults are on record")?,
                starts: fault.at,
                ends,
            }),
        }
    }
    Ok(truths)
}

impl Run {
    /// Returns the announced incidents, in the order of the announcements.
    pub fn announced(&self) -> Vec<Announced> {
        let mut all: Vec<Announced> = Vec::new();
        for published in self.pipeline.published() {
            let incident = &published.incident;
            match all.iter_mut().find(|one| one.id == incident.incident_id) {
                None => all.push(Announced {
                    id: incident.incident_id,
                    announced: published.at,
                    resolved: None,
                    over: None,
                    at_opening: incident.suspects.clone(),
                    at_end: incident.suspects.clone(),
                    changes: 0,
                    started: incident.started_at,
                }),
                Some(known) => known.update(published.topic, incident, published.at),
            }
        }
        all
    }
}

impl Announced {
    fn update(&mut self, topic: Topic, incident: &Incident, at: Timestamp) {
        let first = |suspects: &[Suspect]| suspects.first().map(|one| (one.service.clone(), one.category));
        self.changes += usize::from(first(&self.at_end) != first(&incident.suspects));
        self.at_end.clone_from(&incident.suspects);
        if topic == Topic::IncidentsResolved {
            (self.resolved, self.over) = (incident.resolved_at, Some(at));
        }
    }

    /// Returns the fault that the incident is about: of those that are active when it begins, the one whose service is its first
    /// suspect at the end, or else the one that began last before it.
    pub fn about(&self, truths: &[Truth]) -> Option<usize> {
        let is_active =
            |truth: &&(usize, &Truth)| self.announced >= truth.1.starts && self.started <= truth.1.ends;
        let all: Vec<(usize, &Truth)> = truths.iter().enumerate().collect();
        let blamed = self.at_end.first().map(|one| &one.service);
        let named = all.iter().filter(is_active).find(|(_, truth)| Some(&truth.service) == blamed);
        named.or_else(|| all.iter().rfind(is_active)).map(|(place, _)| *place)
    }
}
