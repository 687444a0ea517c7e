//! What claims are about, as it is stored: members with their samples and log lines, changes as they were received, edges, and
//! sections of documents. Claims are made over one reading and checked against another.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::clock::from_ms;
use shared::events::Deployment;
use shared::events::anomaly::Sibling;
use shared::events::evidence::{Answer, EdgeFigures, EdgeTimes};
use shared::events::incident::{Incident, Signal};
use shared::events::rca::Source;
use shared::graph::Graph;
use shared::knowledge::Chunk;
use shared::knowledge::retrieval::Retrieval;
use shared::store::{self, Reads};
use shared::text::format::{counted, figure};

/// How long before the first symptom a change is looked for.
pub const CHANGES_BEFORE: SignedDuration = SignedDuration::from_hours(1);
/// How long before the first symptom calls are measured.
pub const TIMES_BEFORE: SignedDuration = SignedDuration::from_mins(30);
/// How old an edge may be.
pub const EDGES: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Where the members of an incident are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// They are stored as members of the incident.
    OfIncident,
    /// The incident lists them and is not stored itself.
    Listed,
}

/// Everything that claims may cite, read at one time.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Members of the incident.
    pub signals: Vec<Signal>,
    /// Changes in the environment, newest first, from [`CHANGES_BEFORE`] before the incident began.
    pub changes: Vec<Deployment>,
    /// Since when the changes are complete.
    pub changes_since: Timestamp,
    /// Who calls whom.
    pub graph: Graph,
    /// How long calls to and from suspects took before and since the first symptom, by their sources.
    pub edge_times: BTreeMap<Source, EdgeTimes>,
    /// Sections of documents, by document and section.
    pub sections: BTreeMap<(String, String), Chunk>,
    /// What queried systems answered when they were asked again, by what they were asked.
    pub answers: BTreeMap<Source, Answer>,
}

/// The times that are read, as the members of an incident say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Begin of the first symptom.
    pub onset: Timestamp,
    /// From when changes are read.
    pub changes_since: Timestamp,
    /// Time of the last sample.
    pub until: Timestamp,
}

impl Times {
    /// Returns the times of an incident with these members.
    pub fn of(incident: &Incident, signals: &[Signal]) -> Self {
        let began = signals.iter().map(|signal| signal.started_at).chain([incident.started_at]).min();
        let onset = began.unwrap_or(incident.started_at);
        let until = signals.iter().map(|signal| signal.observed_at).max().unwrap_or(onset);
        Self { onset, changes_since: onset - CHANGES_BEFORE, until }
    }
}

impl Sources {
    /// Reads all but documents.
    pub async fn read(incident: &Incident, members: Members, reads: &Reads) -> Result<Self, store::Error> {
        let signals = match members {
            Members::OfIncident => reads.signals_of(incident.incident_id).await?,
            Members::Listed => {
                let known = reads.signals(&incident.members).await?;
                known.into_iter().map(|(signal, _)| Arc::unwrap_or_clone(signal)).collect()
            }
        };
        let Times { onset, changes_since: since, until } = Times::of(incident, &signals);
        let changes = reads.deployments(&incident.environment, since).await?;
        // of very many, the oldest were left out
        let oldest = changes.last().filter(|_| changes.len() >= store::MAX_DEPLOYMENTS);
        let changes_since = oldest.map_or(since, |change| from_ms(change.ts_ms + 1));
        let suspects: Vec<&str> = incident.suspects.iter().map(|one| one.service.as_str()).collect();
        Ok(Self {
            changes,
            edge_times: reads
                .edge_times(&incident.environment, &suspects, onset - TIMES_BEFORE, onset, until)
                .await?,
            graph: reads.graph(&incident.environment, incident.started_at - EDGES).await?,
            changes_since,
            signals,
            sections: BTreeMap::new(),
            answers: BTreeMap::new(),
        })
    }

    /// Whether members or changes are not as they were in another reading.
    pub fn have_changed_since(&self, before: &Self) -> bool {
        self.signals != before.signals || self.changes != before.changes
    }

    /// Reads documents again that are cited. One that cannot be read is missing.
    pub async fn read_documents(&mut self, cited: impl Iterator<Item = &Source>, retrieval: &Retrieval) {
        for source in cited {
            let Source::Document { doc_id, section } = source else { continue };
            let key = (doc_id.clone(), section.clone());
            if self.sections.contains_key(&key) {
                continue;
            }
            match retrieval.document(doc_id).await {
                Ok(chunks) => {
                    let found = chunks.into_iter().find(|chunk| chunk.section == *section);
                    self.sections.extend(found.map(|chunk| (key, chunk)));
                }
                Err(error) => tracing::warn!(doc_id, %error, "a cited document could not be read again"),
            }
        }
    }

    /// Returns the member that a source names.
    pub fn signal(&self, source: &Source) -> Option<&Signal> {
        let (Source::Samples { service, anomaly_id, .. } | Source::Log { service, anomaly_id }) = source
        else {
            return None;
        };
        self.signals.iter().find(|signal| signal.anomaly_id == *anomaly_id && signal.service == *service)
    }

    /// Returns the series beside a member that a source of samples names, if it names one.
    pub fn sibling(&self, source: &Source) -> Option<&Sibling> {
        let Source::Samples { metric, .. } = source else { return None };
        let signal = self.signal(source).filter(|signal| signal.metric != *metric)?;
        signal.siblings.iter().find(|sibling| sibling.metric == *metric)
    }

    /// Returns the change that a source names.
    pub fn change(&self, source: &Source) -> Option<&Deployment> {
        let Source::Deployment { service, version } = source else { return None };
        self.changes.iter().find(|change| change.service == *service && change.version == *version)
    }

    /// Returns the changes of a service within a time.
    pub fn changes_of(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &Deployment> {
        self.changes.iter().filter(move |change| {
            let at = from_ms(change.ts_ms);
            change.service == service && !change.is_retirement() && at >= from && at <= to
        })
    }

    /// Returns the section that a source names.
    pub fn section(&self, source: &Source) -> Option<&Chunk> {
        let Source::Document { doc_id, section } = source else { return None };
        self.sections.get(&(doc_id.clone(), section.clone()))
    }

    /// Returns the members of a service.
    pub fn of_service(&self, service: &str) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(move |signal| signal.service == service)
    }

    /// Returns when the first symptom of a service began.
    pub fn first_symptom(&self, service: &str) -> Option<Timestamp> {
        self.of_service(service).map(|signal| signal.started_at).min()
    }
}

/// Returns the source of a series of a member: its own, or one beside it.
pub fn series(signal: &Signal, metric: &str) -> Source {
    Source::Samples {
        service: signal.service.clone(),
        metric: metric.to_owned(),
        anomaly_id: signal.anomaly_id,
    }
}

/// Returns the source of the log lines of a member.
pub fn log(signal: &Signal) -> Source {
    Source::Log { service: signal.service.clone(), anomaly_id: signal.anomaly_id }
}

/// Returns the source of a change.
pub fn change(change: &Deployment) -> Source {
    Source::Deployment { service: change.service.clone(), version: change.version.clone() }
}

/// Returns the source of an edge.
pub fn edge(caller: &str, callee: &str) -> Source {
    Source::Edge { caller: caller.to_owned(), callee: callee.to_owned() }
}

/// Returns the source of a section of a document.
pub fn section(chunk: &Chunk) -> Source {
    Source::Document { doc_id: chunk.doc_id.clone(), section: chunk.section.clone() }
}

/// Returns a value of a series at a time, as it is quoted.
pub fn sample_text(value: f64, unit: &str, at: Timestamp) -> String {
    format!("{} at {at}", figure(value, unit).replace('\u{a0}', " "))
}

/// Returns a change as it is quoted.
pub fn change_text(change: &Deployment) -> String {
    format!("{} {} ({}) at {}", change.service, change.version, change.change_type, from_ms(change.ts_ms))
}

/// Returns an edge as it is quoted.
pub fn edge_text(caller: &str, callee: &str) -> String {
    format!("{caller} calls {callee}")
}

/// Returns the times of the calls of an edge as they are quoted.
pub fn times_text(times: &EdgeTimes) -> String {
    let of = |figures: &EdgeFigures, when: &str| match (figures.calls, figures.latency_mean_ms) {
        (Some(calls), Some(mean)) => {
            format!("{} {when}, {} on average", counted(calls.max(0) as usize, "call"), plain(mean))
        }
        _ => format!("no calls {when}"),
    };
    format!("{}; {}", of(&times.before, "before"), of(&times.since, "since"))
}

fn plain(ms: f64) -> String {
    figure(ms, "ms").replace('\u{a0}', " ")
}

/// Returns an empty list of changes as it is quoted.
pub fn no_change_text(service: &str, from: Timestamp, to: Timestamp) -> String {
    format!("no deployment of {service} from {from} to {to}")
}
