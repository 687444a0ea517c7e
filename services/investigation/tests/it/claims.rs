//! What is claimed of an incident, and that it is so.

use investigation::check::Flaw;
use shared::events::Kind;
use shared::events::rca::{Claim, Relation};

use crate::answers::{asked, series};
use crate::scene::{
    Investigated, at, change, incident, investigate, investigate_with, over, signal, sources,
};

fn texts(claims: &[Claim]) -> String {
    claims.iter().map(|claim| claim.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_claim_of_a_whole_incident_is_verified() {
    let sources = sources();
    let incident = incident(&sources);
    let found = investigate(&sources, &incident);
    for claim in found.claims() {
        assert_eq!(found.check(claim, &sources), Ok(()), "{claim:#?}");
    }
    let Investigated { candidate, exclusions, .. } = found;
    insta::assert_snapshot!(texts(&candidate.claims), @r"
    pool_percent of payment: 98.5 % at 09:27:00 UTC, above its band (at most 30 %); abnormal since 09:26:40 UTC.
    error_rate of payment: 63.5 % at 09:27:20 UTC, above its band (at most 30 %); abnormal since 09:27:00 UTC.
    payment logged this line 42 times, as error.
    payment 2.4.1 was rolled out 10 min before its first symptom.
    order calls payment, and shows it: error_rate of order: 51.5 % at 09:27:30 UTC, above its band (at most 30 %); abnormal since 09:27:10 UTC.
    Calls from order to payment became slow: 490 ms on average since 09:26:00 UTC, 15.2 ms in the half hour before; self time of payment 470 ms, 12.5 ms before.
    Order of events: pool_percent of payment at 09:26:40 UTC → error_rate of payment (+20 s) → error_rate of order (+30 s).
    incident/INC-1107 had the same kind of cause (an exhausted connection pool) at payment.
    service/payment names an exhausted connection pool among the known failures of payment.
    ");
    insta::assert_snapshot!(texts(&exclusions), @r"
    Calls from payment to vault took as long as before: 4.5 ms on average since 09:26:00 UTC, 4.25 ms in the half hour before; self time of vault 4.5 ms, 4.25 ms before.
    order is explained by payment, which it calls: error_rate of order left its band 30 s after pool_percent of payment.
    cpu_percent of payment was inside its band at 09:27:40 UTC: 22.4 %, expected 18 to 26 %.
    ");
    let past = &candidate.similar_incidents[0];
    assert_eq!(past.alike.len(), 4, "{past:?}");
    assert!(past.different.is_empty(), "{past:?}");
}

/// A fault that is read only after its end: its last samples lie inside the band.
#[test]
fn a_fault_that_is_over_is_proven_by_the_samples_of_its_time() {
    let mut sources = sources();
    sources.signals = sources.signals.into_iter().map(over).collect();
    let incident = incident(&sources);
    let found = investigate(&sources, &incident);
    let candidate = &found.candidate;
    let Relation::Outside { value, at: when, until, .. } = &candidate.claims[0].relations[0] else {
        panic!("{candidate:#?}")
    };
    assert_eq!((*value, *when, *until), (98.5, at(20), Some(at(60))));
    assert!(found.evidence.iter().all(|piece| !piece.quote.starts_with("20 %")), "{:#?}", found.evidence);
    for claim in &candidate.claims {
        assert_eq!(found.check(claim, &sources), Ok(()), "{claim:#?}");
    }
}

#[test]
fn a_band_is_spoken_of_only_where_a_sample_lies_outside_as_people_read_it() {
    let mut sources = sources();
    // what detection reports need not be seen in a value, and 30.01 % reads like 30 %
    for point in &mut sources.signals[0].samples {
        point.value = point.value.min(30.01);
    }
    let incident = incident(&sources);
    let found = investigate(&sources, &incident);
    let first = &found.candidate.claims[0];
    assert!(matches!(first.relations[..], [Relation::Reported { .. }]), "{first:#?}");
    assert_eq!(found.check(first, &sources), Ok(()));
}

#[test]
fn without_changes_it_is_claimed_that_there_were_none_only_for_a_time_that_is_known() {
    let mut sources = sources();
    sources.changes.clear();
    let found = investigate(&sources, &incident(&sources));
    let none = &found.exclusions[0];
    assert!(matches!(none.relations[..], [Relation::NoneBefore { .. }]), "{none:#?}");
    assert_eq!(found.check(none, &sources), Ok(()));
    // one is received meanwhile
    sources.changes.push(change("payment", "2.4.2", -60));
    assert_eq!(found.check(none, &sources), Err(Flaw::Relation));
    // of very many changes only the last are read
    sources.changes.clear();
    sources.changes_since = at(-60);
    let later = investigate(&sources, &incident(&sources));
    assert!(
        later.exclusions.iter().all(|claim| !matches!(claim.relations[..], [Relation::NoneBefore { .. }]))
    );
    assert_eq!(found.check(none, &sources), Err(Flaw::Relation));
}

#[test]
fn a_caller_that_suffered_first_is_not_explained_by_what_it_calls() {
    let mut sources = sources();
    sources.signals[2] = signal("order", "error_rate", Kind::Errors, -10, 31.5);
    let Investigated { candidate, exclusions, .. } = investigate(&sources, &incident(&sources));
    assert!(!texts(&exclusions).contains("is explained by"), "{exclusions:#?}");
    assert!(!texts(&candidate.claims).contains("→ error_rate of order"), "{candidate:#?}");
}

#[test]
fn what_queried_systems_answered_is_claimed_for_or_against() {
    let mut sources = sources();
    let asked = asked();
    let found = investigate_with(&sources, &incident(&sources), &asked);
    sources.answers = asked.again();
    let of_queries = |claims: &[Claim]| -> Vec<Claim> {
        let compared = |claim: &&Claim| matches!(claim.relations[..], [Relation::Compared { .. }]);
        claims.iter().filter(compared).cloned().collect()
    };
    let (own, against) = (of_queries(&found.candidate.claims), of_queries(&found.exclusions));
    for claim in own.iter().chain(&against) {
        assert_eq!(found.check(claim, &sources), Ok(()), "{claim:#?}");
    }
    insta::assert_snapshot!(texts(&own), @r"
    The number of requests waiting for a connection of payment rose from 0.1 in the hour before 09:26:40 UTC to 17.1 (Prometheus).
    The rate of log lines of payment about waiting for a connection rose from 0 lines a minute in the hour before 09:26:40 UTC to 4 lines a minute (Loki).
    ");
    insta::assert_snapshot!(texts(&against), @r"
    The number of running instances of payment stayed in its range after 09:26:40 UTC: 3.1, 3.1 in the hour before (Prometheus).
    The duration of outgoing calls of payment stayed in its range after 09:26:40 UTC: 21 ms, 20 ms in the hour before (Jaeger).
    The share of failed outgoing calls of payment stayed in its range after 09:26:40 UTC: 0 %, 0 % in the hour before (Jaeger).
    The rate of cluster events of payment about pods that fail stayed in its range after 09:26:40 UTC: 0 events an hour, 3.6 events an hour in the hour before (Kubernetes).
    ");

    // a second answer that says otherwise outweighs the first; without one the record stands
    let cited = asked.answers[0].cited();
    sources.answers.insert(cited.clone(), series("", 0.0, 0.0));
    assert_eq!(found.check(&own[0], &sources), Err(Flaw::Relation));
    sources.answers.insert(cited.clone(), series("", 0.0, 21.0));
    assert_eq!(found.check(&own[0], &sources), Ok(()));
    sources.answers.remove(&cited);
    assert_eq!(found.check(&own[0], &sources), Ok(()));
}
