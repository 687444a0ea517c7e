//! What became of the seeds of one scenario.

use std::collections::BTreeSet;

use shared::events::rca::Verdict;

use super::{Found, Judged, Outcome};
use crate::scoreboard::Share;

/// Sums over the seeds of a scenario.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Runs.
    pub seeds: u32,
    /// Runs with an incident.
    pub with_incident: u32,
    /// Incidents with a result.
    pub incidents: u32,
    /// Incidents about no fault.
    pub unfounded: u32,
    /// Faults whose service is the first candidate of the last result. A fault without an incident counts as wrong.
    pub service: Share,
    /// The same, and the kind of cause is right as well.
    pub category: Share,
    /// Incidents by the verdict of the last result: `cause`, `likely`, `unknown`.
    pub verdicts: [u32; 3],
    /// Of the first results with the verdict `cause` those with the right service and kind of cause.
    pub cause_at_first: Share,
    /// Of the last results with the verdict `cause` those with the right service and kind of cause.
    pub cause_at_last: Share,
    /// Of the last results with the verdict `cause` those that say that a caller of the faulty service waits for something which
    /// is not watched.
    pub below: u32,
    /// Of the last results those whose verdict is not `cause`.
    pub not_cause: Share,
    /// Faults whose last result claims an order of events.
    pub chained: Share,
    /// Of these those whose order is right.
    pub chain: Share,
    /// Results.
    pub results: u32,
    /// Claims that passed the check.
    pub verified: u32,
    /// Claims that did not.
    pub dropped: u32,
    /// The service with the largest z-score is faulty.
    pub naive_service: Share,
}

impl Tally {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.with_incident += u32::from(!outcome.found.is_empty());
        let is_faulty = |name: &String| outcome.truths.iter().any(|truth| &truth.service == name);
        if !outcome.truths.is_empty() {
            self.naive_service.add(outcome.naive_suspect.as_ref().is_some_and(is_faulty));
        }
        // a fault is judged by the first incident about it
        let mut judged = BTreeSet::new();
        for found in &outcome.found {
            self.add_incident(found);
            if found.about.is_some_and(|fault| judged.insert(fault)) {
                self.service.add(found.last.is_service_right);
                self.category.add(found.last.is_category_right);
                self.chained.add(found.last.chain.is_some());
                if found.last.chain.is_some() {
                    self.chain.add(found.last.is_chain_right);
                }
            }
        }
        for _ in judged.len()..outcome.truths.len() {
            self.service.add(false);
            self.category.add(false);
        }
    }

    /// Adds those incidents of a run that are about no fault.
    pub fn add_unfounded(&mut self, outcome: &Outcome) {
        let unfounded = || outcome.found.iter().filter(|found| found.about.is_none());
        self.seeds += 1;
        self.with_incident += u32::from(unfounded().next().is_some());
        unfounded().for_each(|found| self.add_incident(found));
    }

    fn add_incident(&mut self, found: &Found) {
        let Found { first, last, .. } = found;
        self.incidents += 1;
        self.unfounded += u32::from(found.about.is_none());
        self.verdicts[last.verdict as usize] += 1;
        for (share, Judged { verdict, is_category_right, .. }) in
            [(&mut self.cause_at_first, first), (&mut self.cause_at_last, last)]
        {
            if *verdict == Verdict::Cause {
                share.add(*is_category_right);
            }
        }
        let is_cause = last.verdict == Verdict::Cause;
        self.below += u32::from(is_cause && found.blames_below);
        self.not_cause.add(!is_cause);
        self.results += found.results as u32;
        self.verified += found.verified;
        self.dropped += found.dropped;
    }

    /// Adds the runs of another tally.
    pub fn merge(&mut self, other: &Self) {
        let Self { verdicts, .. } = other;
        for (sum, more) in self.verdicts.iter_mut().zip(verdicts) {
            *sum += more;
        }
        for (sum, more) in [
            (&mut self.seeds, other.seeds),
            (&mut self.with_incident, other.with_incident),
            (&mut self.incidents, other.incidents),
            (&mut self.unfounded, other.unfounded),
            (&mut self.below, other.below),
            (&mut self.results, other.results),
            (&mut self.verified, other.verified),
            (&mut self.dropped, other.dropped),
        ] {
            *sum += more;
        }
        for (sum, more) in [
            (&mut self.service, other.service),
            (&mut self.category, other.category),
            (&mut self.cause_at_first, other.cause_at_first),
            (&mut self.cause_at_last, other.cause_at_last),
            (&mut self.not_cause, other.not_cause),
            (&mut self.chained, other.chained),
            (&mut self.chain, other.chain),
            (&mut self.naive_service, other.naive_service),
        ] {
            sum.merge(more);
        }
    }
}
