//! What was published of one run beside the truth.

use anyhow::Result;
use serde_json::{Value, json};
use shared::events::incident::Suspect;
use simulator::Noise;
use tests::in_process::Pipeline;
use tests::scoreboard::{Announced, Plan, Truth, naive, play};

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) scenario: String,
    pub(crate) noise: Noise,
    pub(crate) seed: u64,
    pub(crate) samples: u64,
    pub(crate) truths: Vec<Truth>,
    pub(crate) announced: Vec<Announced>,
    /// For each incident the fault that it is about, if it is about one.
    pub(crate) about: Vec<Option<usize>>,
    pub(crate) naive_suspect: Option<String>,
    pub(crate) naive_incidents: usize,
}

/// Plays one seed of a scenario.
pub(crate) fn outcome(plan: &Plan, noise: Noise, seed: u64) -> Result<Outcome> {
    let run = play(plan, noise, seed, Pipeline::new(seed, plan.interval_ms))?;
    let announced = run.announced();
    Ok(Outcome {
        scenario: plan.name.clone(),
        noise,
        seed,
        samples: run.pipeline.samples(),
        about: announced.iter().map(|one| one.about(&run.truths)).collect(),
        announced,
        naive_incidents: naive::incidents(run.pipeline.anomalies()),
        truths: run.truths,
        naive_suspect: run.naive_suspect,
    })
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
            "seed": self.seed, "faults": truths, "incidents": self.announced.len() });
        if self.announced.is_empty() {
            return vec![head];
        }
        let line = |(place, announced): (usize, &Announced)| {
            let mut line = head.clone();
            line["about"] = json!(self.about[place]);
            line["announced"] = json!(announced.announced);
            line["resolved"] = json!(announced.resolved);
            line["changes"] = json!(announced.changes);
            line["at_opening"] = json!(suspects(&announced.at_opening));
            line["at_end"] = json!(suspects(&announced.at_end));
            line
        };
        self.announced.iter().enumerate().map(line).collect()
    }
}
