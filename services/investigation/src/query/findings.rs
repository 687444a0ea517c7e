//! What is claimed of an answer, unchecked.

use shared::events::Question;
use shared::events::evidence::{Answer, Content};
use shared::events::question::Subject;
use shared::events::rca::{Candidate, Claim, Relation, Source};

use super::compare::{self, Comparison};
use super::look::{Asked, Found};
use super::predictions;
use crate::claims::claim;
use crate::ledger::Ledger;
use crate::sources::sample_text;

/// Most findings of queries among those that speak against causes.
const MAX_EXCLUSIONS: usize = 6;

impl Found {
    /// Returns where the answer is found again.
    pub fn cited(&self) -> Source {
        Source::Query { source: self.source.clone(), question: self.question.clone() }
    }

    /// Returns the answer of a record.
    pub fn of_record(source: &Source, content: &Content) -> Option<Self> {
        let (Source::Query { source, question }, Content::Answer(answer)) = (source, content) else {
            return None;
        };
        let (source, question) = (source.clone(), question.clone());
        Some(Self { source, question, answer: answer.clone(), again: None })
    }
}

/// Returns an answer as it is quoted: a line, an event or a call as the source has it, or else the level.
pub fn quote(question: &Question, answer: &Answer, comparison: &Comparison) -> String {
    let level = || sample_text(comparison.since, comparison.unit, question.to);
    let own = match (question.subject, answer) {
        (_, Answer::Lines { example: Some(line), .. }) if comparison.since > 0.0 => Some(line.clone()),
        (Subject::Events { about }, Answer::Events { events }) => events
            .iter()
            .rev()
            .filter(|event| event.at >= question.onset)
            .find(|event| compare::reports(about, &event.reason, &event.message))
            .map(|event| format!("{} of {}: {}", event.reason, event.object, event.message)),
        _ => None,
    };
    own.filter(|quote| !quote.trim().is_empty()).unwrap_or_else(level)
}

/// Claims an answer.
fn of_answer(found: &Found, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let Found { question, answer, .. } = found;
    let comparison = compare::compare(question, answer)?;
    let evidence = ledger.file(found.cited(), quote(question, answer, &comparison));
    let Comparison { trend, before, since, lower, upper, unit } = comparison;
    let relation = Relation::Compared {
        evidence,
        trend,
        before,
        since,
        lower,
        upper,
        unit: unit.to_owned(),
        onset: question.onset,
        until: question.to,
    };
    claim(vec![relation], ledger)
}

/// Adds what was seen to the candidates that predict it, and the rest to the findings that speak against causes.
pub fn add(
    asked: &Asked,
    candidates: &mut [Candidate],
    exclusions: &mut Vec<Claim>,
    ledger: &mut Ledger<'_>,
) {
    let mut against = Vec::new();
    for found in &asked.answers {
        let (Some(is_seen), Some(claim)) = (found.is_seen(), of_answer(found, ledger)) else { continue };
        let (service, subject) = found.open();
        let mut predicting = candidates
            .iter_mut()
            .filter(|one| one.service == service && predictions::hit(one.category, subject).is_some())
            .peekable();
        if is_seen && predicting.peek().is_some() {
            predicting.for_each(|candidate| candidate.claims.push(claim.clone()));
        } else if !is_seen {
            against.push(claim);
        }
    }
    against.truncate(MAX_EXCLUSIONS);
    exclusions.extend(against);
}
