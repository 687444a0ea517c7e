//! When an incident is investigated again, and when a result is published again.

use std::collections::BTreeSet;

use shared::events::Category;
use shared::events::incident::Incident;
use shared::events::rca::{Claim, Relation, RootCause, Verdict};

use crate::query::Asked;
use crate::verdict;

/// Returns whether the incident says something that the last result does not answer: another first suspect, another kind
/// of cause, or evidence that makes the verdict another one. `known` are the answers that the last result rests on.
pub fn is_news(before: &RootCause, incident: &Incident, known: &Asked) -> bool {
    if incident.revision <= before.incident_revision || !incident.state.is_open() {
        return false;
    }
    let ranked = known.ranked(incident);
    let now = ranked.suspects.first();
    told(before) != now.map(|first| (first.service.as_str(), first.category, verdict::of(first.posterior)))
}

fn told(result: &RootCause) -> Option<(&str, Category, Verdict)> {
    result.candidates.first().map(|first| (first.service.as_str(), first.category, result.verdict))
}

/// Returns whether a reader wants to know of a result after a look: another first suspect or verdict, a claim over an answer or
/// over calls that was not there, or a source that did not answer.
pub fn corrects(before: &RootCause, result: &RootCause, asked: &Asked) -> bool {
    // the figures of calls change as long as there are calls
    let told_of = |claim: &Claim| match claim.relations.as_slice() {
        [Relation::Took { .. }] => claim.text.split(':').next().map(str::to_owned),
        [Relation::Compared { .. }] => Some(claim.text.clone()),
        _ => None,
    };
    let claims = |result: &RootCause| -> BTreeSet<String> {
        let all = result.candidates.iter().flat_map(|one| &one.claims).chain(&result.exclusions);
        all.filter_map(told_of).collect()
    };
    let is_reported = |sentence: &String| before.missing.contains(sentence);
    told(before) != told(result)
        || !claims(result).is_subset(&claims(before))
        || asked.failures.values().any(|sentence| !is_reported(sentence))
}
