//! The verdict, what speaks against other causes, and which telemetry is missing.

use jiff::Timestamp;
use shared::events::anomaly::Sibling;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{Candidate, Verdict};
use shared::text::format::{band_in_words, figure, percent};

/// Confidence from which a cause is called the cause.
const CAUSE: f64 = 0.8;
/// Confidence below which nothing is claimed.
const LIKELY: f64 = 0.3;
/// Most sentences of each list.
const MAX_SENTENCES: usize = 6;

/// How sure the ranking is.
pub fn verdict(candidates: &[Candidate]) -> Verdict {
    candidates.first().map_or(Verdict::Unknown, |candidate| of(candidate.confidence))
}

/// How sure a confidence is.
pub fn of(confidence: f64) -> Verdict {
    match confidence {
        confidence if confidence >= CAUSE => Verdict::Cause,
        confidence if confidence >= LIKELY => Verdict::Likely,
        _ => Verdict::Unknown,
    }
}

/// What was looked at and speaks against other causes.
pub fn ruled_out(incident: &Incident) -> Vec<String> {
    let Some(first) = incident.suspects.first() else { return Vec::new() };
    let mut sentences = Vec::new();
    if incident.deployment.is_none() {
        sentences.push(format!("No deployment of {} in the hour before its first symptom.", first.service));
    }
    for other in incident.suspects.iter().skip(1).filter(|other| other.posterior < 0.05) {
        if incident.blast_radius.callers.contains(&other.service) {
            sentences.push(format!(
                "{}: what it shows is explained by {}, which it calls ({} against {}).",
                other.service,
                first.service,
                percent(other.posterior),
                percent(first.posterior)
            ));
        }
    }
    let own = incident.signals.iter().filter(|signal| signal.service == first.service);
    for (signal, sibling) in own.flat_map(|signal| signal.siblings.iter().map(move |one| (signal, one))) {
        let inside = (sibling.expected.lower..=sibling.expected.upper).contains(&sibling.observed);
        let is_member = |signal: &Signal| signal.service == first.service && signal.metric == sibling.metric;
        if inside && !incident.signals.iter().any(is_member) {
            let sentence = was_inside(sibling, &first.service, signal.observed_at);
            // several members of one service carry the same siblings; the first word is enough to know one again
            let head = format!("{} of {} ", sibling.metric, first.service);
            if !sentences.iter().any(|known| known.starts_with(&head)) {
                sentences.push(sentence);
            }
        }
    }
    sentences.truncate(MAX_SENTENCES);
    sentences
}

/// Says that a series of a service lay inside its band.
fn was_inside(sibling: &Sibling, service: &str, at: Timestamp) -> String {
    let unit = sibling.unit.as_deref().unwrap_or_default();
    format!(
        "{} of {service} was inside its band at {}: {}, expected {}.",
        sibling.metric,
        at.strftime("%H:%M:%S UTC"),
        figure(sibling.observed, unit),
        band_in_words(&sibling.expected, unit)
    )
}

/// Which telemetry would help and is not there.
pub fn missing(incident: &Incident, has_edges: bool, searched: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(first) = incident.suspects.first() {
        if incident.signals.iter().filter(|signal| signal.service == first.service).all(|s| s.logs.is_empty())
        {
            sentences.push(format!(
                "No warnings or errors of {} were logged, or its logs are not sent.",
                first.service
            ));
        }
        if !has_edges {
            sentences.push(format!(
                "No calls to or from {} are known: no spans, no catalogue entry.",
                first.service
            ));
        }
    }
    if !searched {
        sentences.push("Past incidents and runbooks could not be searched.".to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use shared::events::anomaly::Band;

    use super::*;

    #[test]
    fn figures_of_a_sibling_have_its_unit_where_it_is_known() {
        let said = |unit: Option<&str>| {
            let expected = Band { lower: 18.0, center: 22.0, upper: 26.0 };
            let metric = "cpu_percent".to_owned();
            let sibling = Sibling { metric, unit: unit.map(str::to_owned), observed: 22.4, expected };
            was_inside(&sibling, "payment", Timestamp::UNIX_EPOCH).replace('\u{a0}', " ")
        };
        let known = said(Some("%"));
        assert!(known.contains("22.4 %") && known.contains("18 to 26 %"), "{known}");
        assert_eq!(said(None), known.replace(" %", ""));
    }
}
