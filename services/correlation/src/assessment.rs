//! What is held to be true of an incident, computed afresh from its members.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::clock::from_ms;
use shared::events::anomaly::Direction;
use shared::events::incident::{BlastRadius, Change, Incident, Signal, Suspect};
use shared::events::{Category, Deployment, Kind};
use shared::lifecycle::Assessment;
use shared::store::Neighbourhood;
use shared::text::sanitize;

use crate::hypotheses::Surroundings;
use crate::options::Options;
use crate::standing::Standing;
use crate::{hypotheses, impact, severity, standing, storm};

/// Longest text that is taken over from a deployment, characters.
const MAX_TEXT: usize = 500;
/// Most risks that are taken over from a deployment.
const MAX_RISKS: usize = 10;

/// Assesses a group of members at event time `at`; `before` is the incident as it stands, if there is one.
pub fn assess(
    mut members: Vec<Arc<Signal>>,
    neighbourhood: &Neighbourhood,
    before: Option<&Incident>,
    at: Timestamp,
    options: &Options,
) -> Assessment {
    members.sort_by(|a, b| {
        b.evidence
            .total_cmp(&a.evidence)
            .then(a.started_at.cmp(&b.started_at))
            .then(a.anomaly_id.cmp(&b.anomaly_id))
    });
    let surroundings = surroundings(neighbourhood, options);
    let Standing { suspects, challenger } = standing::rank(&members, surroundings, before, at, options);
    let first = suspects.first();
    let storm = before.is_some_and(|incident| incident.storm);
    Assessment {
        title: if storm { storm::title(&members) } else { title(&members, first) },
        severity: severity::of(&members, first, &neighbourhood.catalogue, &neighbourhood.graph),
        blast_radius: blast_radius(&members, first, neighbourhood),
        impact: impact::of(&members, &neighbourhood.catalogue),
        deployment: first.and_then(|suspect| {
            let onset = hypotheses::onset(&members, &suspect.service)?;
            hypotheses::trigger(&suspect.service, onset, &neighbourhood.deployments, surroundings.window)
                .map(change)
        }),
        suspects,
        challenger,
        signals: members,
        storm,
    }
}

/// Returns what hypotheses are ranked over besides the signals.
pub fn surroundings<'a>(neighbourhood: &'a Neighbourhood, options: &'a Options) -> Surroundings<'a> {
    Surroundings {
        graph: &neighbourhood.graph,
        deployments: &neighbourhood.deployments,
        window: SignedDuration::from_mins(i64::from(options.deployment_window_min)),
        log_terms: &options.log_terms,
    }
}

/// One line for people: where, and what is seen there.
fn title(members: &[Arc<Signal>], suspect: Option<&Suspect>) -> String {
    let Some(suspect) = suspect else { return "nothing stands out".to_owned() };
    let own = |signal: &&Arc<Signal>| signal.service == suspect.service;
    let fits = |signal: &&Arc<Signal>| own(signal) && explains(suspect.category, signal.kind);
    let Some(signal) = members.iter().find(fits).or_else(|| members.iter().find(own)) else {
        return format!("{}: {}", suspect.service, suspect.category.words());
    };
    let side = match (signal.kind, signal.direction) {
        (Kind::Errors, Direction::Up) => "requests are failing",
        (Kind::Latency, Direction::Up) => "requests are slow",
        (Kind::Cpu, Direction::Up) => "CPU is saturating",
        (Kind::Memory, Direction::Up) => "memory is filling up",
        (Kind::Pool, Direction::Up) => "the connection pool is running out",
        (Kind::Lag, Direction::Up) => "the consumer falls behind",
        (Kind::Disk, Direction::Up) => "the disk is filling up",
        (Kind::Certificate, _) => "a certificate is about to expire",
        (Kind::Traffic, Direction::Up) => "traffic is surging",
        (Kind::Traffic, Direction::Down) => "traffic is dropping",
        (Kind::Silence, _) => "stopped reporting",
        (Kind::Restarts, _) => "restarts again and again",
        (Kind::Logs, _) => "unusual log lines",
        (Kind::DataLoss, _) => "data is being lost",
        (Kind::Security, _) => "a breach of security",
        (_, Direction::Up) => return format!("{}: {} is unusually high", suspect.service, signal.metric),
        (_, Direction::Down) => return format!("{}: {} is unusually low", suspect.service, signal.metric),
    };
    format!("{}: {side}", suspect.service)
}

/// Whether a kind of signal is the one that the category is about.
pub(crate) fn explains(category: Category, kind: Kind) -> bool {
    matches!(
        (category, kind),
        (Category::Cpu, Kind::Cpu)
            | (Category::Memory, Kind::Memory)
            | (Category::Pool, Kind::Pool)
            | (Category::Lag, Kind::Lag)
            | (Category::Disk, Kind::Disk)
            | (Category::Certificate, Kind::Certificate)
            | (Category::Traffic, Kind::Traffic)
            | (
                Category::Code | Category::Deployment,
                Kind::Errors | Kind::Silence | Kind::Restarts | Kind::Logs | Kind::DataLoss | Kind::Security
            )
            | (Category::Down, Kind::Silence | Kind::Restarts)
            | (Category::Dependency | Category::Network, Kind::Latency)
    )
}

fn blast_radius(
    members: &[Arc<Signal>],
    suspect: Option<&Suspect>,
    neighbourhood: &Neighbourhood,
) -> BlastRadius {
    let Some(suspect) = suspect else { return BlastRadius::default() };
    let callers = neighbourhood.graph.ancestors(&suspect.service);
    let mut hurt = callers.clone();
    hurt.insert(&suspect.service);
    hurt.extend(members.iter().map(|member| member.service.as_str()));
    let share = hurt.len() as f64 / neighbourhood.graph.len().max(hurt.len()) as f64;
    BlastRadius { callers: callers.into_iter().map(str::to_owned).collect(), share }
}

/// Keeps what a person would read: anyone may write anything into a deployment.
fn short(text: &str) -> String {
    sanitize::one_line(text, MAX_TEXT)
}

fn change(deployment: Deployment) -> Change {
    Change {
        service: deployment.service,
        version: deployment.version,
        at: from_ms(deployment.ts_ms),
        change_type: short(&deployment.change_type),
        git_sha: deployment.git_sha.as_deref().map(short),
        deployed_by: deployment.deployed_by.as_deref().map(short),
        description: deployment.description.as_deref().map(short),
        known_risks: deployment.known_risks.iter().take(MAX_RISKS).map(|risk| short(risk)).collect(),
    }
}
