//! Two probabilities of a hypothesis: that its service is the cause, and that it is this service by this category.
//!
//! Scores are sums over observations that are not independent, so their differences overstate what is known. They are
//! divided by a temperature before they become odds: Guo et al., On Calibration of Modern Neural Networks (ICML 2017).
//! `make score-correlation` prints how often what is said is right.

use std::collections::BTreeMap;

use shared::events::incident::Suspect;

/// Score of "not visible in this telemetry", a hypothesis that always stands, nats.
const UNKNOWN_NATS: f64 = 1.5;
/// Temperature of the scores of services.
const SERVICES: f64 = 0.7;
/// Temperature of the scores of the categories of one service.
const CATEGORIES: f64 = 0.9;

/// Most that is ever said: what telemetry shows is never certain.
const MOST: f64 = 0.99;

/// Sorts hypotheses, best service first and of each service the best category first, and gives them probabilities.
pub fn with_probabilities(mut suspects: Vec<Suspect>) -> Vec<Suspect> {
    let mut best: BTreeMap<String, f64> = BTreeMap::new();
    for suspect in &suspects {
        let score = best.entry(suspect.service.clone()).or_insert(suspect.score);
        *score = score.max(suspect.score);
    }
    let top = best.values().copied().fold(UNKNOWN_NATS, f64::max);
    let weight = |score: f64| ((score - top) / SERVICES).exp();
    let all: f64 = best.values().copied().map(weight).sum::<f64>() + weight(UNKNOWN_NATS);
    let mut of_categories: BTreeMap<String, f64> = BTreeMap::new();
    let within = |suspect: &Suspect| ((suspect.score - best[&suspect.service]) / CATEGORIES).exp();
    for suspect in &suspects {
        *of_categories.entry(suspect.service.clone()).or_default() += within(suspect);
    }
    for suspect in &mut suspects {
        let service = weight(best[&suspect.service]) / all;
        suspect.posterior = (service * within(suspect) / of_categories[&suspect.service]).min(MOST);
        suspect.service_posterior = Some(service.min(MOST));
    }
    suspects.sort_by(|a, b| {
        let of = |suspect: &Suspect| best[&suspect.service];
        of(b)
            .total_cmp(&of(a))
            .then_with(|| a.service.cmp(&b.service))
            .then_with(|| b.score.total_cmp(&a.score))
            .then_with(|| a.category.cmp(&b.category))
    });
    suspects
}

#[cfg(test)]
mod tests {
    use shared::events::Category;

    use super::*;

    fn suspect(service: &str, category: Category, score: f64) -> Suspect {
        Suspect {
            service: service.into(),
            category,
            score,
            posterior: 0.0,
            service_posterior: None,
            reasons: Vec::new(),
        }
    }

    #[test]
    fn all_pairs_compete_and_leave_room_for_what_is_not_visible() {
        let suspects = with_probabilities(vec![
            suspect("order", Category::Code, 3.0),
            suspect("payment", Category::Pool, 6.0),
            suspect("payment", Category::Dependency, 5.5),
        ]);
        let order: Vec<(&str, Category)> =
            suspects.iter().map(|one| (one.service.as_str(), one.category)).collect();
        let expected =
            [("payment", Category::Pool), ("payment", Category::Dependency), ("order", Category::Code)];
        assert_eq!(order, expected);
        assert!(suspects.iter().map(|one| one.posterior).sum::<f64>() < 1.0);
        let payment = suspects[0].service_posterior.unwrap();
        assert!((suspects[0].posterior + suspects[1].posterior - payment).abs() < 1e-12);
        assert!(suspects[0].posterior < payment);
    }

    #[test]
    fn absurd_scores_have_probabilities_too() {
        for score in [1e6, -1e6] {
            let all = with_probabilities(vec![suspect("order", Category::Code, score)]);
            assert!((0.0..=1.0).contains(&all[0].posterior));
        }
        assert!(with_probabilities(vec![suspect("order", Category::Code, 1.0)])[0].posterior < 0.4);
    }
}
