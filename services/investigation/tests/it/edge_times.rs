//! Calls that became slow, and those that did not.

use investigation::check::Flaw;
use investigation::edge_times::{are_awaited, relation};
use shared::events::question::Trend;
use shared::events::rca::{Claim, Relation};
use shared::events::{Category, evidence::EdgeTimes};

use crate::scene::{edge_times, incident, investigate, sources, suspect};

fn is_of_times(claim: &Claim) -> bool {
    matches!(claim.relations[..], [Relation::Took { .. }])
}

#[test]
fn between_the_bars_and_of_few_calls_nothing_is_said() {
    let times = edge_times().into_values().next().unwrap();
    let with = |calls: i64, ratio: f64| {
        let EdgeTimes { before, mut since } = times.clone();
        since.calls = Some(calls);
        since.latency_mean_ms = before.latency_mean_ms.map(|ms| ms * ratio);
        match relation("E1".into(), &EdgeTimes { before, since }) {
            Some(Relation::Took { trend, .. }) => Some(trend),
            _ => None,
        }
    };
    assert_eq!(with(50, 2.0), Some(Trend::Rose));
    assert_eq!(with(50, 0.5), Some(Trend::Fell));
    assert_eq!(with(50, 1.25), Some(Trend::AsBefore));
    assert_eq!(with(50, 1.6), None);
    assert_eq!(with(49, 2.0), None);
    assert_eq!(with(50, f64::NAN), None);
    let mut tiny = times.clone();
    (tiny.before.latency_mean_ms, tiny.since.latency_mean_ms) = (Some(0.2), Some(0.6));
    assert_eq!(relation("E1".into(), &tiny), None);
}

#[test]
fn calls_that_fail_as_fast_as_before_are_not_said_to_be_as_before() {
    let mut times = edge_times().into_values().next().unwrap();
    times.since.latency_mean_ms = times.before.latency_mean_ms;
    times.before.failed_share = Some(0.001);
    times.since.failed_share = Some(0.001);
    assert!(relation("E1".into(), &times).is_some());
    times.since.failed_share = Some(1.0);
    assert_eq!(relation("E1".into(), &times), None);
}

#[test]
fn a_far_end_that_became_slow_is_named_and_a_service_below_is_not_said_to_be_at_fault() {
    for (is_far_end, said) in [(true, 2), (false, 1)] {
        let mut sources = sources();
        for times in sources.edge_times.values_mut() {
            (times.since.latency_mean_ms, times.since.calls) = (Some(800.0), Some(100));
        }
        if is_far_end {
            sources.graph.add_far_end("payment".into(), "vault".into());
        } else {
            sources.graph.add_edge("payment".into(), "vault".into());
        }
        let mut incident = incident(&sources);
        incident.suspects[0] = suspect("payment", Category::Dependency, 0.9);
        let found = investigate(&sources, &incident);
        let texts: Vec<&str> = found
            .candidate
            .claims
            .iter()
            .filter(|claim| is_of_times(claim))
            .map(|claim| claim.text.as_str())
            .collect();
        assert_eq!(texts.len(), said, "{texts:#?}");
        assert_eq!(texts.iter().any(|text| text.starts_with("Calls from payment to vault")), is_far_end);
        for claim in found.claims().filter(|claim| is_of_times(claim)) {
            assert_eq!(found.check(claim, &sources), Ok(()), "{claim:#?}");
        }
    }
}

#[test]
fn a_claim_falls_where_the_stored_calls_no_longer_show_it() {
    let sources = sources();
    let found = investigate(&sources, &incident(&sources));
    let claim = found.candidate.claims.iter().find(|claim| is_of_times(claim)).unwrap();
    let mut later = sources.clone();
    for times in later.edge_times.values_mut() {
        times.since.latency_mean_ms = Some(480.0);
    }
    // more calls since the claim was made change the figures, and not what they show
    assert_eq!(found.check(claim, &later), Ok(()));
    for times in later.edge_times.values_mut() {
        times.since.latency_mean_ms = times.before.latency_mean_ms;
    }
    assert_eq!(found.check(claim, &later), Err(Flaw::Relation));
    later.edge_times.clear();
    assert_eq!(found.check(claim, &later), Err(Flaw::Evidence));
}

#[test]
fn calls_are_awaited_until_some_of_a_service_are_enough() {
    let mut sources = sources();
    assert!(!are_awaited(&sources, "payment"));
    assert!(are_awaited(&sources, "audit"));
    assert!(!are_awaited(&sources, "user"), "of which no calls are known");
    for times in sources.edge_times.values_mut() {
        times.since.calls = None;
    }
    assert!(are_awaited(&sources, "payment"));
}
