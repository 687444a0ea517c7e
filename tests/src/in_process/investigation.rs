//! Investigation with its sources and results in memory and its timers in event time. No knowledge is searched and no other
//! system is queried.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use investigation::Options;
use investigation::decision::{Basis, Claimed, Gathered, Outcome};
use investigation::documents::Documents;
use investigation::news::{corrects, is_news};
use investigation::query::Asked;
use investigation::stage::{CORRECTION, MAX_LOOKED_REVISIONS};
use investigation::verdict::Knowledge;
use jiff::Timestamp;
use shared::events::Topic;
use shared::events::incident::Incident;
use shared::events::rca::RootCause;
use shared::ids::IncidentId;

use super::Correlation;

/// A result as it was published.
#[derive(Debug, Clone)]
pub struct Investigated {
    /// Event time at which it was published.
    pub at: Timestamp,
    /// The result.
    pub result: RootCause,
}

/// A look that follows a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Look {
    due: Timestamp,
    incident: IncidentId,
    /// Result that it follows.
    revision: u32,
    /// Looks before this one.
    looks: u32,
}

/// The stage without its runtime.
#[derive(Default)]
pub struct Investigation {
    options: Options,
    /// How many published incidents were read.
    read: usize,
    last: BTreeMap<IncidentId, RootCause>,
    looks: BTreeSet<Look>,
    results: Vec<Investigated>,
}

impl Investigation {
    /// Returns the results so far, in order.
    pub fn results(&self) -> &[Investigated] {
        &self.results
    }

    /// Reads what was published since the last time, and runs what is due until `now`.
    pub fn follow(&mut self, correlation: &Correlation, now: Timestamp) -> Result<()> {
        while let Some(look) = self.looks.first().copied().filter(|look| look.due <= now) {
            self.looks.pop_first();
            self.look(look, correlation)?;
        }
        for published in &correlation.published()[self.read..] {
            if matches!(published.topic, Topic::IncidentsOpened | Topic::IncidentsUpdated) {
                self.handle(&published.incident, correlation, published.at)?;
            }
        }
        self.read = correlation.published().len();
        Ok(())
    }

    fn handle(&mut self, incident: &Incident, correlation: &Correlation, at: Timestamp) -> Result<()> {
        let before = self.last.get(&incident.incident_id);
        if before.is_some_and(|before| !is_news(before, incident, &Asked::default())) {
            return Ok(());
        }
        let revision = before.map_or(1, |before| before.revision + 1);
        let corrected_at = before.and_then(|before| before.corrected_at);
        let Outcome { result, awaits_calls, .. } = self.investigate(incident, correlation, revision)?;
        if awaits_calls && revision <= MAX_LOOKED_REVISIONS {
            let incident = incident.incident_id;
            self.looks.insert(Look { due: at + CORRECTION, incident, revision, looks: 0 });
        }
        self.publish(RootCause { corrected_at, ..result }, at);
        Ok(())
    }

    fn look(&mut self, look: Look, correlation: &Correlation) -> Result<()> {
        let Look { due, incident, revision, looks } = look;
        let current = self.last.get(&incident).filter(|before| before.revision == revision);
        let open = correlation.incident(incident).filter(|incident| incident.state.is_open());
        let (Some(before), Some(open)) = (current, open) else { return Ok(()) };
        if let Some(next) = before.corrected_at.map(|at| at + CORRECTION).filter(|next| due < *next) {
            self.looks.insert(Look { due: next, ..look });
            return Ok(());
        }
        let outcome = self.investigate(open, correlation, revision + 1)?;
        let Outcome { result, awaits_calls, .. } = outcome;
        let is_correction = corrects(before, &result, &Asked::default());
        let next = Look {
            due: due + CORRECTION,
            revision: if is_correction { revision + 1 } else { revision },
            looks: looks + 1,
            incident,
        };
        if is_correction {
            self.publish(RootCause { corrected_at: Some(due), ..result }, due);
        }
        if awaits_calls && next.looks < self.options.queries.looks {
            self.looks.insert(next);
        }
        Ok(())
    }

    /// Claims causes over one reading of the sources, and checks them against another.
    fn investigate(&self, incident: &Incident, correlation: &Correlation, revision: u32) -> Result<Outcome> {
        let asked = Asked::default();
        let candidates = incident.suspects.len().min(self.options.candidates);
        let gathered = Gathered {
            documents: vec![Documents::default(); candidates],
            knowledge: Knowledge::Unavailable,
            edges: Vec::new(),
        };
        let sources = correlation.sources(incident);
        let basis = Basis { incident, sources: &sources, gathered: &gathered, asked: &asked };
        let claimed = Claimed::over(basis).map_err(|error| anyhow!("{error}"))?;
        Ok(claimed.checked(basis, &correlation.sources(incident), revision))
    }

    fn publish(&mut self, result: RootCause, at: Timestamp) {
        self.last.insert(result.incident_id, result.clone());
        self.results.push(Investigated { at, result });
    }
}
