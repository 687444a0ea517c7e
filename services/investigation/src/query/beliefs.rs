//! How likely each hypothesis is once answers are known, and which question is worth asking next. Pure and deterministic.

use shared::events::Category;
use shared::events::incident::Suspect;
use shared::events::question::Subject;
use shared::events::rca::Verdict;

use super::predictions;
use crate::verdict;

/// Odds by which another hypothesis must lead to take the place of the announced one: the 1.5 nats of correlation.
const LEAD: f64 = 4.48;
/// Least share of what is not among the suspects.
const MIN_REST: f64 = 1e-3;

/// A question that may be asked: of a service, about a subject.
pub type Open = (String, Subject);

/// Probabilities of the suspects in their order, and of anything else.
#[derive(Debug, Clone, PartialEq)]
pub struct Beliefs {
    suspects: Vec<(String, Category, f64)>,
    rest: f64,
}

impl Beliefs {
    /// Takes the posteriors of suspects as they are.
    pub fn of(suspects: &[Suspect]) -> Self {
        let known: Vec<_> = suspects
            .iter()
            .map(|one| {
                let posterior = if one.posterior.is_finite() { one.posterior.clamp(0.0, 1.0) } else { 0.0 };
                (one.service.clone(), one.category, posterior)
            })
            .collect();
        let rest = (1.0 - known.iter().map(|(.., share)| share).sum::<f64>()).max(MIN_REST);
        Self { suspects: known, rest }.normalised()
    }

    /// Returns what is believed once it is known whether something was seen as expected.
    #[must_use]
    pub fn with(&self, (service, subject): &Open, is_seen: bool) -> Self {
        let Some((_, base)) = predictions::observation(*subject) else { return self.clone() };
        let of = |share: f64| if is_seen { share } else { 1.0 - share };
        let weigh = |(suspected, category, share): &(String, Category, f64)| {
            let hit = predictions::hit(*category, *subject).filter(|_| suspected == service);
            (suspected.clone(), *category, share * of(hit.unwrap_or(base)))
        };
        let suspects = self.suspects.iter().map(weigh).collect();
        Self { suspects, rest: self.rest * of(base) }.normalised()
    }

    fn normalised(mut self) -> Self {
        let sum = self.rest + self.suspects.iter().map(|(.., share)| share).sum::<f64>();
        self.rest /= sum;
        self.suspects.iter_mut().for_each(|(.., share)| *share /= sum);
        self
    }

    fn share(&self, place: usize) -> f64 {
        self.suspects.get(place).map_or(0.0, |(.., share)| *share)
    }

    /// Returns the place of the leading suspect: the first one, unless another leads it clearly.
    pub fn leader(&self) -> usize {
        let best = (0..self.suspects.len())
            .max_by(|a, b| self.share(*a).total_cmp(&self.share(*b)).then(b.cmp(a)))
            .unwrap_or(0);
        if self.share(best) >= LEAD * self.share(0) { best } else { 0 }
    }

    /// Returns the conclusion: who leads, and how sure that is.
    pub fn conclusion(&self) -> (usize, Verdict) {
        let leader = self.leader();
        (leader, verdict::of(self.share(leader)))
    }

    /// Returns the suspects with these probabilities, the leading one first and the others by probability.
    pub fn ranked(&self, suspects: &[Suspect]) -> Vec<Suspect> {
        let mut order: Vec<usize> = (0..suspects.len().min(self.suspects.len())).collect();
        let leader = self.leader();
        order.sort_by(|a, b| {
            (*b == leader).cmp(&(*a == leader)).then(self.share(*b).total_cmp(&self.share(*a))).then(a.cmp(b))
        });
        order
            .into_iter()
            .filter_map(|place| {
                Some(Suspect { posterior: self.share(place), ..suspects.get(place)?.clone() })
            })
            .collect()
    }

    /// Returns how likely something is seen as expected.
    fn chance(&self, (service, subject): &Open) -> f64 {
        let base = predictions::observation(*subject).map_or(0.0, |(_, base)| base);
        let own = self.suspects.iter().map(|(suspected, category, share)| {
            let hit = predictions::hit(*category, *subject).filter(|_| suspected == service);
            share * hit.unwrap_or(base)
        });
        own.sum::<f64>() + self.rest * base
    }

    /// Returns by how much the probability of the leading suspect is expected to change with the answer.
    pub fn gain(&self, open: &Open) -> f64 {
        let (leader, chance) = (self.leader(), self.chance(open));
        let change = |is_seen| (self.with(open, is_seen).share(leader) - self.share(leader)).abs();
        chance * change(true) + (1.0 - chance) * change(false)
    }

    /// Returns the question that is most informative; nothing where no answers to all of them together could change who leads or
    /// how sure that is. Of equal ones the first is taken.
    pub fn next(&self, open: &[Open]) -> Option<usize> {
        if !self.can_change(open) {
            return None;
        }
        let gains = open.iter().map(|one| self.gain(one)).enumerate();
        gains.reduce(|best, one| if one.1 > best.1 { one } else { best }).map(|(place, _)| place)
    }

    /// Tries the answers that favour each suspect most, and those that favour the leading one least.
    fn can_change(&self, open: &[Open]) -> bool {
        let (conclusion, leader) = (self.conclusion(), self.leader());
        let favours = |place: usize, most: bool| {
            open.iter().fold(self.clone(), |known, one| {
                let (seen, not) = (known.with(one, true), known.with(one, false));
                if (seen.share(place) >= not.share(place)) == most { seen } else { not }
            })
        };
        (0..self.suspects.len()).any(|place| favours(place, true).conclusion() != conclusion)
            || favours(leader, false).conclusion() != conclusion
    }
}
