//! One run of a scenario, and what was published of it beside the truth.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::events::fault::Phase;
use shared::events::incident::{Incident, Suspect};
use shared::events::{Category, Deployment, Fault, Topic};
use shared::ids::IncidentId;
use simulator::{Decoys, Faults, Noise, Options, Shop};
use tests::in_process::Pipeline;

use crate::naive::{self, Scores};
use crate::plan::{HEALTHY, Plan};

/// A fault that really was.
#[derive(Debug, Clone)]
pub(crate) struct Truth {
    pub(crate) service: String,
    pub(crate) category: Category,
    pub(crate) starts: Timestamp,
    pub(crate) ends: Timestamp,
}

/// An incident that was announced.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    id: IncidentId,
    pub(crate) announced: Timestamp,
    pub(crate) resolved: Option<Timestamp>,
    /// When it was published that it is resolved.
    pub(crate) over: Option<Timestamp>,
    /// Suspects as they were announced, and as they stand at the end.
    pub(crate) at_opening: Vec<Suspect>,
    pub(crate) at_end: Vec<Suspect>,
    /// How often the published first suspect changed.
    pub(crate) changes: usize,
    started: Timestamp,
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: String,
    pub(crate) noise: Noise,
    pub(crate) seed: u64,
    pub(crate) samples: u64,
    pub(crate) truths: Vec<Truth>,
    pub(crate) told: Vec<Told>,
    /// For each incident the fault that it is about, if it is about one.
    pub(crate) about: Vec<Option<usize>>,
    pub(crate) naive_suspect: Option<String>,
    pub(crate) naive_incidents: usize,
}

/// Plays one seed of a scenario.
pub(crate) fn play(plan: &Plan, noise: Noise, seed: u64) -> Result<Outcome> {
    let mut shop = Shop::new(Options {
        seed,
        interval_ms: plan.interval_ms,
        noise,
        faults: Faults::Planned(plan.outbreaks.clone()),
        decoys: Decoys::None,
        ..Options::default()
    });
    let mut pipeline = Pipeline::new(seed, plan.interval_ms);
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
        for sample in &tick.metrics {
            if number < HEALTHY { naive.learn(sample) } else { naive.score(sample) }
        }
        faults.extend(tick.faults.clone());
        pipeline.tick(&tick)?;
    }
    let truths = truths(&faults, plan.flaps);
    let told = told(&pipeline);
    let about = told.iter().map(|one| about(one, &truths)).collect();
    Ok(Outcome {
        scenario: plan.name.clone(),
        noise,
        seed,
        samples: pipeline.samples(),
        about,
        truths,
        told,
        naive_suspect: naive.suspect().map(str::to_owned),
        naive_incidents: naive::incidents(pipeline.anomalies()),
    })
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
fn truths(faults: &[Fault], flaps: bool) -> Vec<Truth> {
    let mut truths: Vec<Truth> = Vec::new();
    for fault in faults.iter().filter(|fault| fault.phase == Phase::Started) {
        let is_end = |other: &&Fault| other.fault == fault.fault && other.phase == Phase::Ended;
        let ends = faults.iter().find(is_end).map_or(Timestamp::MAX, |end| end.at);
        match truths.last_mut().filter(|_| flaps) {
            Some(known) => known.ends = ends,
            None => truths.push(Truth {
                service: fault.service.clone(),
                category: fault.scenario.category().expect("only faults are on record"),
                starts: fault.at,
                ends,
            }),
        }
    }
    truths
}

fn told(pipeline: &Pipeline) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for published in pipeline.published() {
        let incident = &published.incident;
        match all.iter_mut().find(|one| one.id == incident.incident_id) {
            None => all.push(Told {
                id: incident.incident_id,
                announced: published.at,
                resolved: None,
                over: None,
                at_opening: incident.suspects.clone(),
                at_end: incident.suspects.clone(),
                changes: 0,
                started: incident.started_at,
            }),
            Some(known) => known.hear(published.topic, incident, published.at),
        }
    }
    all
}

impl Told {
    fn hear(&mut self, topic: Topic, incident: &Incident, at: Timestamp) {
        let first = |suspects: &[Suspect]| suspects.first().map(|one| (one.service.clone(), one.category));
        self.changes += usize::from(first(&self.at_end) != first(&incident.suspects));
        self.at_end.clone_from(&incident.suspects);
        if topic == Topic::IncidentsResolved {
            (self.resolved, self.over) = (incident.resolved_at, Some(at));
        }
    }
}

/// Returns the fault that an incident is about: of those that burn when it begins, the one that it blames at the end, or
/// else the one that began last before it.
fn about(told: &Told, truths: &[Truth]) -> Option<usize> {
    let burns = |truth: &&(usize, &Truth)| told.announced >= truth.1.starts && told.started <= truth.1.ends;
    let all: Vec<(usize, &Truth)> = truths.iter().enumerate().collect();
    let blamed = |suspects: &[Suspect]| suspects.first().map(|one| one.service.clone());
    let end = blamed(&told.at_end);
    let named = all.iter().filter(burns).find(|(_, truth)| Some(&truth.service) == end.as_ref());
    named.or_else(|| all.iter().rfind(burns)).map(|(place, _)| *place)
}

impl Outcome {
    /// Returns the truth of an incident.
    pub(crate) fn truth(&self, incident: usize) -> Option<&Truth> {
        self.about[incident].map(|place| &self.truths[place])
    }

    /// Returns a document for each incident, or one that says that there was none.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let suspects = |all: &[Suspect]| -> Vec<Value> {
            let document = |one: &Suspect| {
                json!({ "service": one.service, "category": one.category, "score": one.score,
                    "posterior": one.posterior })
            };
            all.iter().map(document).collect()
        };
        let truths: Vec<Value> = self
            .truths
            .iter()
            .map(|one| {
                json!({ "service": one.service, "category": one.category, "starts": one.starts,
                "ends": one.ends })
            })
            .collect();
        let head = json!({ "scenario": self.scenario, "noise": format!("{:?}", self.noise).to_lowercase(),
            "seed": self.seed, "faults": truths, "incidents": self.told.len() });
        if self.told.is_empty() {
            return vec![head];
        }
        let line = |(place, told): (usize, &Told)| {
            let mut line = head.clone();
            line["about"] = json!(self.about[place]);
            line["announced"] = json!(told.announced);
            line["resolved"] = json!(told.resolved);
            line["changes"] = json!(told.changes);
            line["at_opening"] = json!(suspects(&told.at_opening));
            line["at_end"] = json!(suspects(&told.at_end));
            line
        };
        self.told.iter().enumerate().map(line).collect()
    }
}
