//! How long calls took since the first symptom, against the half hour before: which call became slow, and where its time went.

use shared::events::evidence::{EdgeFigures, EdgeTimes};
use shared::events::incident::Suspect;
use shared::events::question::Trend;
use shared::events::rca::{Claim, Relation, Source};

use crate::claims::claim;
use crate::ledger::Ledger;
use crate::sources::{Sources, times_text};

/// Fewest calls of each of the two times. With latencies spread like an exponential distribution, the ratio of two such means is
/// F-distributed with 100 and 100 degrees of freedom, and above [`ROSE`] by chance three times in 10,000.
const MIN_CALLS: i64 = 50;
/// The mean has risen by at least so much, milliseconds: less is noise of the clock.
const LEAST_RISE_MS: f64 = 1.0;
/// Calls are as before only if the share that fails has not risen by more than this: a call that fails may be as fast.
const MORE_FAILURES: f64 = 0.02;
/// The mean has risen to at least so many times what it was.
const ROSE: f64 = 2.0;
/// It is as before up to so many times what it was.
const AS_BEFORE: f64 = 1.3;
/// Most calls below the suspect that are said to be as before.
const MAX_STEADY: usize = 2;

/// Returns what the calls of an edge show; nothing where they are too few, or between the bars.
pub fn relation(evidence: String, times: &EdgeTimes) -> Option<Relation> {
    let EdgeTimes { before, since } = times;
    if [before, since].iter().any(|figures| figures.calls.is_none_or(|calls| calls < MIN_CALLS)) {
        return None;
    }
    let (before_ms, since_ms) = (before.latency_mean_ms?, since.latency_mean_ms?);
    let failed = |figures: &EdgeFigures| figures.failed_share.unwrap_or(0.0);
    let fail_more = failed(since) > failed(before) + MORE_FAILURES;
    let trend = match since_ms / before_ms {
        ratio if ratio >= ROSE && since_ms - before_ms >= LEAST_RISE_MS => Trend::Rose,
        ratio if ratio <= 1.0 / ROSE => Trend::Fell,
        ratio if (1.0 / AS_BEFORE..=AS_BEFORE).contains(&ratio) && !fail_more => Trend::AsBefore,
        _ => return None,
    };
    let (self_before_ms, self_since_ms) = before.self_mean_ms.zip(since.self_mean_ms).unzip();
    Some(Relation::Took { evidence, trend, before_ms, since_ms, self_before_ms, self_since_ms })
}

/// Whether calls of a service were measured before, and not yet often enough since: spans are stored half a minute to a minute and
/// a half after they are read.
pub fn are_awaited(sources: &Sources, service: &str) -> bool {
    let own = sources.edge_times.iter().filter(|(source, _)| is_to(source, service));
    let few = |calls: Option<i64>| calls.unwrap_or(0) < MIN_CALLS;
    own.clone().any(|(_, times)| !few(times.before.calls))
        && own.into_iter().all(|(_, times)| few(times.since.calls))
}

/// Says which calls to the suspect, and from it to what is not watched, became slow: of each the one that lost most time.
pub fn slow(sources: &Sources, suspect: &Suspect, ledger: &mut Ledger<'_>) -> Vec<Option<Claim>> {
    let service = suspect.service.as_str();
    let is_to_far_end = |source: &Source| match source {
        Source::EdgeTimes { caller, callee, .. } => {
            caller == service && sources.graph.calls_far_end(caller, callee)
        }
        _ => false,
    };
    let lost = |times: &EdgeTimes| {
        let EdgeTimes { before, since } = times;
        let extra = since.latency_mean_ms.unwrap_or(0.0) - before.latency_mean_ms.unwrap_or(0.0);
        extra * since.calls.unwrap_or(0) as f64
    };
    let worst = |selected: &dyn Fn(&Source) -> bool| {
        let rose = sources.edge_times.iter().filter(|(source, times)| {
            selected(source)
                && matches!(relation(String::new(), times), Some(Relation::Took { trend: Trend::Rose, .. }))
        });
        rose.max_by(|(_, a), (_, b)| lost(a).total_cmp(&lost(b)))
    };
    [worst(&|source| is_to(source, service)), worst(&is_to_far_end)]
        .into_iter()
        .map(|found| found.and_then(|(source, times)| say(source, times, ledger)))
        .collect()
}

/// Says which calls that the suspect makes took no longer than before: it does not wait for them.
pub fn steady(sources: &Sources, service: &str, ledger: &mut Ledger<'_>) -> Vec<Option<Claim>> {
    let mut steady: Vec<(&Source, &EdgeTimes)> = sources
        .edge_times
        .iter()
        .filter(|(source, times)| {
            matches!(source, Source::EdgeTimes { caller, .. } if caller == service)
                && matches!(
                    relation(String::new(), times),
                    Some(Relation::Took { trend: Trend::AsBefore, .. })
                )
        })
        .collect();
    steady.sort_by_key(|(source, times)| (std::cmp::Reverse(times.since.calls), *source));
    steady.into_iter().take(MAX_STEADY).map(|(source, times)| say(source, times, ledger)).collect()
}

fn is_to(source: &Source, service: &str) -> bool {
    matches!(source, Source::EdgeTimes { callee, .. } if callee == service)
}

fn say(source: &Source, times: &EdgeTimes, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let evidence = ledger.file(source.clone(), times_text(times));
    claim(vec![relation(evidence, times)?], ledger)
}
