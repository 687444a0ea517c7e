//! Deployments: the bad one of a scenario, and healthy ones that must not be blamed.

use std::ops::RangeInclusive;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use shared::events::Deployment;
use shared::events::fault::Scenario;

use super::Moment;
use crate::fault::culprit;
use crate::schedule::Schedule;
use crate::service::Service;

/// Ticks from one healthy deployment to the next.
const DECOY_GAP: RangeInclusive<u64> = 30..=60;

/// What healthy deployments are about.
const HEALTHY: [(&str, &[&str]); 6] = [
    ("Raise the log level of the retry loop", &[]),
    ("Update translations", &[]),
    ("Bump the JSON parser to its latest patch release", &["payload size limit of the parser changed"]),
    ("Add a counter for abandoned sessions", &[]),
    ("Remove a feature flag that has been on for a month", &["old clients may still send the flag"]),
    ("Cache currency rates for five minutes", &["rates may be five minutes old"]),
];

/// Which services healthy deployments may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Decoys {
    /// No healthy deployments.
    None,
    /// Any service but one that breaks for another reason within the next hour.
    #[default]
    Innocent,
    /// Any service.
    Any,
}

/// Rolls out versions.
#[derive(Debug, Clone)]
pub(super) struct Changes {
    rng: ChaCha8Rng,
    decoys: Decoys,
    next_decoy: u64,
    /// Patch level of each service, by [`Service::ALL`].
    patches: [u32; Service::ALL.len()],
}

impl Changes {
    pub(super) fn new(mut rng: ChaCha8Rng, decoys: Decoys) -> Self {
        let next_decoy = rng.random_range(DECOY_GAP);
        let patches = std::array::from_fn(|_| rng.random_range(0..20));
        Self { rng, decoys, next_decoy, patches }
    }

    /// Returns what is rolled out at `tick`: a bad version one tick before it shows, now and then a healthy one, and what
    /// retires a service with its last report.
    pub(super) fn at(&mut self, tick: u64, schedule: &Schedule, moment: &Moment<'_>) -> Vec<Deployment> {
        let mut changes = Vec::new();
        let decoy = self.decoy(tick, schedule);
        if let Some(service) = decoy {
            let &(what, risks) = HEALTHY.choose(&mut self.rng).expect("there are some");
            changes.push(self.roll_out(service, what, risks, moment));
        }
        let bad = schedule
            .planned()
            .filter(|fault| fault.scenario == Scenario::BadDeployment && fault.starts == tick + 1);
        for fault in bad {
            let risks = ["the session lookup has no test under load"];
            let what = "Read sessions through the new profile store";
            changes.push(self.roll_out(culprit(fault.scenario), what, &risks, moment));
        }
        let retired = schedule
            .planned()
            .filter(|fault| fault.scenario == Scenario::Retirement && fault.starts == tick + 1);
        for fault in retired {
            changes.push(self.retirement(
                culprit(fault.scenario),
                "Messages are sent by the CRM from now on",
                moment,
            ));
        }
        changes
    }

    fn decoy(&mut self, tick: u64, schedule: &Schedule) -> Option<Service> {
        if tick < self.next_decoy {
            return None;
        }
        self.next_decoy = tick + self.rng.random_range(DECOY_GAP);
        let candidates: Vec<Service> = Service::ALL
            .into_iter()
            .filter(|service| !schedule.is_retired(*service, tick + 1))
            .filter(|service| match self.decoys {
                Decoys::None => false,
                Decoys::Innocent => !schedule.would_mislead(*service, tick),
                Decoys::Any => true,
            })
            .collect();
        candidates.choose(&mut self.rng).copied()
    }

    /// Returns the change that takes a service out of operation in its present version.
    pub(super) fn retirement(&self, service: Service, why: &str, moment: &Moment<'_>) -> Deployment {
        Deployment {
            service: service.name().to_owned(),
            version: self.version(service),
            ts_ms: moment.ts_ms,
            environment: moment.environment.to_owned(),
            change_type: Deployment::RETIRE.to_owned(),
            git_sha: None,
            deployed_by: Some("simulator".to_owned()),
            description: Some(why.to_owned()),
            known_risks: Vec::new(),
        }
    }

    fn version(&self, service: Service) -> String {
        format!("2.{}.{}", 4 + service as u32, self.patches[service as usize])
    }

    fn roll_out(&mut self, service: Service, what: &str, risks: &[&str], moment: &Moment<'_>) -> Deployment {
        self.patches[service as usize] += 1;
        Deployment {
            service: service.name().to_owned(),
            version: self.version(service),
            ts_ms: moment.ts_ms,
            environment: moment.environment.to_owned(),
            change_type: "deploy".to_owned(),
            git_sha: Some(format!("{:010x}", self.rng.random_range(0..1_u64 << 40))),
            deployed_by: Some("release-train".to_owned()),
            description: Some(what.to_owned()),
            known_risks: risks.iter().map(|&risk| risk.to_owned()).collect(),
        }
    }
}
