//! What became of the seeds of one scenario.

use std::collections::BTreeSet;

use tests::scoreboard::Share;

use crate::case::Outcome;

/// Bins of the reliability table.
pub(crate) const BINS: usize = 10;

/// Posteriors of first suspects beside how often they were right.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calibration {
    pub(crate) bins: [(f64, Share); BINS],
}

impl Calibration {
    fn add(&mut self, posterior: f64, right: bool) {
        let (sum, share) = &mut self.bins[((posterior * BINS as f64) as usize).min(BINS - 1)];
        *sum += posterior;
        share.add(right);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for ((sum, share), (more, others)) in self.bins.iter_mut().zip(other.bins) {
            *sum += more;
            share.merge(others);
        }
    }

    /// Returns the expected calibration error: the mean distance of the posterior from the share that was right.
    pub(crate) fn error(&self) -> f64 {
        let all: u32 = self.bins.iter().map(|(_, share)| share.all).sum();
        let off = self.bins.iter().map(|(sum, share)| (sum - f64::from(share.hits)).abs());
        off.sum::<f64>() / f64::from(all.max(1))
    }
}

/// Sums over the seeds of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u32,
    pub(crate) faults: u32,
    pub(crate) incidents: u32,
    /// Seeds with exactly one incident for each fault.
    pub(crate) one_each: Share,
    /// Resolved before the fault ended.
    pub(crate) early: u32,
    /// Published as resolved, and members had fired again or another incident followed while the fault went on.
    pub(crate) false_recoveries: u32,
    /// Incidents that begin when nothing burns.
    pub(crate) unfounded: u32,
    /// Incidents that stay open.
    pub(crate) open: u32,
    pub(crate) service_at_opening: Share,
    pub(crate) category_at_opening: Share,
    pub(crate) service_at_end: Share,
    pub(crate) category_at_end: Share,
    pub(crate) changes: u32,
    pub(crate) at_opening: Calibration,
    pub(crate) at_end: Calibration,
    /// The service with the largest z-score is faulty.
    pub(crate) naive_service: Share,
    pub(crate) naive_incidents: u32,
}

impl Tally {
    /// Adds a run.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.faults += outcome.truths.len() as u32;
        self.incidents += outcome.announced.len() as u32;
        self.naive_incidents += outcome.naive_incidents as u32;
        let right = |name: &String| outcome.truths.iter().any(|truth| &truth.service == name);
        if !outcome.truths.is_empty() {
            self.naive_service.add(outcome.naive_suspect.as_ref().is_some_and(right));
        }
        let about: BTreeSet<usize> = outcome.about.iter().flatten().copied().collect();
        let matched = about.len() == outcome.truths.len() && outcome.announced.len() == outcome.truths.len();
        self.one_each.add(matched);
        // a fault is judged by the first incident about it
        let mut judged = BTreeSet::new();
        for (place, announced) in outcome.announced.iter().enumerate() {
            self.changes += announced.changes as u32;
            self.open += u32::from(announced.over.is_none());
            let Some(truth) = outcome.truth(place) else {
                self.unfounded += 1;
                continue;
            };
            let is_early = announced.resolved.is_some_and(|resolved| resolved < truth.ends);
            self.early += u32::from(is_early);
            self.false_recoveries += u32::from(announced.over.is_some_and(|over| over < truth.ends));
            if !judged.insert(outcome.about[place]) {
                continue;
            }
            let first = |suspects: &[shared::events::incident::Suspect]| {
                suspects
                    .first()
                    .map(|one| (one.service == truth.service, one.category == truth.category, one.posterior))
            };
            let (service, category, posterior) = first(&announced.at_opening).unwrap_or_default();
            self.service_at_opening.add(service);
            self.category_at_opening.add(service && category);
            self.at_opening.add(posterior, service && category);
            let (service, category, posterior) = first(&announced.at_end).unwrap_or_default();
            self.service_at_end.add(service);
            self.category_at_end.add(service && category);
            self.at_end.add(posterior, service && category);
        }
        for _ in judged.len()..outcome.truths.len() {
            // what is not found is not explained
            for share in [
                &mut self.service_at_opening,
                &mut self.category_at_opening,
                &mut self.service_at_end,
                &mut self.category_at_end,
            ] {
                share.add(false);
            }
        }
    }
}
