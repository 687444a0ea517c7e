//! Whether the order of events that an investigation claims is that of the fault.

use std::collections::BTreeSet;

use shared::events::fault::Scenario;
use shared::events::rca::{Relation, RootCause, Source};
use simulator::fault::{WayIn, culprit, effect, neighbour, travel, way_in};
use simulator::service::{CALLS, Metric, Service, Vitals};

use super::Truth;

/// Points of a fault's time at which its effect is looked up.
const POINTS: u32 = 20;

/// Returns the services of the claimed order of events of the first candidate, step by step; nothing if it claims none.
pub fn claimed(result: &RootCause) -> Option<Vec<String>> {
    let candidate = result.candidates.first()?;
    let is_chain = |relations: &[Relation]| {
        relations.len() > 1 && matches!(relations.first(), Some(Relation::Began { .. }))
    };
    let claim = candidate.claims.iter().find(|claim| is_chain(&claim.relations))?;
    let service = |relation: &Relation| {
        let piece = result.evidence.iter().find(|piece| piece.id == relation.evidence())?;
        match &piece.source {
            Source::Samples { service, .. } => Some(service.clone()),
            _ => None,
        }
    };
    let steps = claim.relations.iter().filter(|relation| matches!(relation, Relation::Began { .. }));
    steps.map(service).collect()
}

/// Whether steps begin at the faulty service, lead from each service to itself or to one that calls it in the simulated shop, and
/// name only services that the fault [reaches](reached).
pub fn is_right(steps: &[String], truth: &Truth) -> bool {
    let reached = reached(truth.scenario);
    let calls = |caller: &str, callee: &str| {
        CALLS.iter().any(|call| call.caller.name() == caller && call.callee.name() == callee)
    };
    steps.first() == Some(&truth.service)
        && steps.windows(2).all(|pair| pair[0] == pair[1] || calls(&pair[1], &pair[0]))
        && steps.iter().all(|service| reached.contains(service.as_str()))
}

/// Returns the faulty service and those whose share of errors or p99 latency the fault raises at some time, by the tables of the
/// simulator and without noise.
pub fn reached(scenario: Scenario) -> BTreeSet<&'static str> {
    let faulty = culprit(scenario);
    let mut reached = BTreeSet::from([faulty.name()]);
    for point in 0..=POINTS {
        let progress = f64::from(point) / f64::from(POINTS);
        let mut own = [Vitals::default(); Service::ALL.len()];
        let mut ways = [WayIn::default(); Service::ALL.len()];
        own[faulty as usize] += effect(scenario, progress);
        ways[faulty as usize] += way_in(scenario, progress);
        if let Some((service, extra)) = neighbour(scenario, progress) {
            own[service as usize] += extra;
        }
        let felt = travel(own, &ways);
        let rises = |service: &Service| {
            let extra = &felt[*service as usize];
            extra[Metric::ErrorRate] > 0.0 || extra[Metric::LatencyP99] > 0.0
        };
        reached.extend(Service::ALL.into_iter().filter(rises).map(Service::name));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use shared::events::Category;

    fn truth(scenario: Scenario) -> Truth {
        Truth {
            scenario,
            service: culprit(scenario).name().to_owned(),
            category: Category::Code,
            starts: Timestamp::MIN,
            ends: Timestamp::MAX,
        }
    }

    fn steps(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_chain_begins_at_the_faulty_service_and_follows_its_callers() {
        let truth = truth(Scenario::ErrorSpike);
        assert!(is_right(&steps(&["order", "order", "api-gateway"]), &truth));
        assert!(!is_right(&steps(&["api-gateway"]), &truth), "it begins at a caller");
        assert!(!is_right(&steps(&["order", "payment"]), &truth), "payment does not call order");
        assert!(!is_right(&[], &truth));
    }

    #[test]
    fn a_chain_with_a_service_that_the_fault_does_not_reach_is_wrong() {
        let truth = truth(Scenario::NoisyNeighbour);
        assert_eq!(reached(Scenario::TrafficDrop), BTreeSet::from(["api-gateway"]));
        assert!(!is_right(&steps(&["notification", "user"]), &truth));
    }
}
