//! Two probabilities: that of a service, and that of a category given the service.

use super::ranking::Hypothesis;

/// Price of "not visible in this telemetry", a hypothesis that always stands, nats.
pub const UNKNOWN_NATS: f64 = 2.0;

/// Returns the probability of each service, given the evidence of its best hypothesis without tie-breaks: its share of
/// `exp(nats)` over all services that anything speaks for and "not visible". Nothing is certain of a service without
/// evidence.
pub fn of_services(nats: &[f64]) -> Vec<f64> {
    let top = nats.iter().copied().fold(UNKNOWN_NATS, f64::max);
    let weight = |nats: f64| if nats > 0.0 { (nats - top).exp() } else { 0.0 };
    let all = nats.iter().copied().map(weight).sum::<f64>() + (UNKNOWN_NATS - top).exp();
    nats.iter().map(|&nats| weight(nats) / all).collect()
}

/// Returns the probability of a service's best category, given that the service is the cause: its share of `exp(nats)`
/// over the service's hypotheses. It is 0 without any.
pub fn of_category(hypotheses: &[Hypothesis]) -> f64 {
    let Some(best) = hypotheses.first() else { return 0.0 };
    1.0 / hypotheses.iter().map(|other| (other.nats - best.nats).exp()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use shared::events::Category;

    use super::*;

    #[test]
    fn probabilities_add_up_to_less_than_one() {
        let all = of_services(&[8.0, 7.5, 0.0, -1.0]);
        assert!(all[0] > all[1] && all[2] == 0.0 && all[3] == 0.0);
        assert!(all.iter().sum::<f64>() < 1.0);
        assert!(of_services(&[1.0])[0] < 0.3, "weaker than not visible");
        assert!(of_services(&[1e6])[0].is_finite());
        let both = [Category::Cpu, Category::Code].map(|category| Hypothesis { category, nats: 4.0 });
        assert_eq!(of_category(&both), 0.5);
        assert_eq!(of_category(&[]), 0.0);
    }
}
