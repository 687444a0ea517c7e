//! Asks what is most informative first, within a budget, and stops when the answer no longer changes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::Question;
use shared::events::evidence::Answer;
use shared::events::incident::{Incident, Signal, Suspect};
use shared::events::question::Subject;
use shared::events::rca::Source;
use shared::text::format::counted;
use tokio::time::Instant;

use super::beliefs::{Beliefs, Open};
use super::predictions;
use super::source::{Failure, Guarded};
use super::{compare, words};

/// Time before the first symptom that an answer is compared with.
pub const BEFORE: SignedDuration = SignedDuration::from_hours(1);
/// Longest time since the first symptom that is asked for.
pub const SINCE: SignedDuration = SignedDuration::from_mins(30);
/// Shortest.
const MIN_SINCE: SignedDuration = SignedDuration::from_mins(1);

/// An answer that says something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Name of the source.
    pub source: String,
    /// What it was asked.
    pub question: Question,
    /// What it answered.
    pub answer: Answer,
    /// What it answered when it was asked again for the check; absent where it did not answer within the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Answer>,
}

impl Found {
    /// Returns the question without its time.
    pub fn open(&self) -> Open {
        (self.question.service.clone(), self.question.subject)
    }

    /// Returns whether the source said the same when it was asked again.
    fn is_stable(&self) -> bool {
        let trend = |answer: &Answer| compare::compare(&self.question, answer).map(|one| one.trend);
        self.again.as_ref().is_some_and(|again| trend(again) == trend(&self.answer))
    }

    /// Returns whether what was not seen so far may be seen when it is asked for at `now`: the question ended earlier than one
    /// would.
    pub fn may_still_come(&self, now: Timestamp) -> bool {
        let last = self.question.onset.saturating_add(SINCE).unwrap_or(Timestamp::MAX);
        self.is_seen() == Some(false) && self.question.to < last.min(now)
    }

    /// Returns whether what is expected was seen.
    pub fn is_seen(&self) -> Option<bool> {
        let (expected, _) = predictions::observation(self.question.subject)?;
        Some(expected.is_seen(compare::compare(&self.question, &self.answer)?.trend))
    }
}

/// What became of the questions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Answers.
    pub answers: Vec<Found>,
    /// Sources that did not answer, with why as a sentence.
    pub failures: BTreeMap<String, String>,
    /// What sources know too little or nothing about, and what was not asked, one sentence each.
    pub gaps: Vec<String>,
    /// Queries that were made.
    pub queries: u32,
}

impl Asked {
    /// Returns what was answered when sources were asked again.
    pub fn again(&self) -> BTreeMap<Source, Answer> {
        self.answers.iter().filter_map(|found| Some((found.cited(), found.again.clone()?))).collect()
    }

    /// Returns findings on the sources themselves, one sentence each.
    pub fn missing(&self) -> Vec<String> {
        self.failures.values().chain(&self.gaps).cloned().collect()
    }

    /// Returns the incident with its suspects ranked by these answers too.
    pub fn ranked<'i>(&self, incident: &'i Incident) -> Cow<'i, Incident> {
        if self.answers.is_empty() {
            return Cow::Borrowed(incident);
        }
        let suspects = self.beliefs(&incident.suspects).ranked(&incident.suspects);
        Cow::Owned(Incident { suspects, ..incident.clone() })
    }

    /// Returns what is believed of suspects with these answers.
    pub fn beliefs(&self, suspects: &[Suspect]) -> Beliefs {
        self.answers.iter().fold(Beliefs::of(suspects), |known, found| match found.is_seen() {
            Some(is_seen) => known.with(&found.open(), is_seen),
            None => known,
        })
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Case<'c> {
    /// Suspects, best first.
    pub suspects: &'c [Suspect],
    /// Members: what they answer is not asked.
    pub signals: &'c [Signal],
    /// When the incident began, for services without a member.
    pub began: Timestamp,
    /// What time it is.
    pub until: Timestamp,
    /// What was answered before.
    pub known: &'c [Found],
    /// Queries that may be made.
    pub queries: u32,
}

impl Case<'_> {
    fn question(&self, (service, subject): &Open) -> Question {
        let own = self.signals.iter().filter(|signal| signal.service == *service);
        let onset = own.map(|signal| signal.started_at).min().unwrap_or(self.began);
        let at = |time: SignedDuration| onset.saturating_add(time).unwrap_or(onset);
        let to = self.until.clamp(at(MIN_SINCE), at(SINCE));
        // logs are counted by whole minutes of the clock
        let minute = |time: Timestamp| from_ms((time.as_second() - time.as_second().rem_euclid(60)) * 1_000);
        let to = if matches!(subject, Subject::Lines { .. }) { minute(to) } else { to };
        Question { service: service.clone(), subject: *subject, from: minute(at(-BEFORE)), onset, to }
    }
}

/// What is left to spend.
struct Budget {
    queries: u32,
    until: Instant,
}

impl Budget {
    fn take(&mut self) -> bool {
        let is_left = self.queries > 0 && Instant::now() < self.until;
        self.queries -= u32::from(is_left);
        is_left
    }
}

/// Asks the configured sources.
pub struct Looker {
    sources: Vec<Guarded>,
    suspects: usize,
    time: Duration,
}

impl Looker {
    /// Asks those sources about the first `suspects`, for at most `time` in one look.
    pub fn new(sources: Vec<Guarded>, suspects: usize, time: Duration) -> Self {
        Self { sources, suspects, time }
    }

    /// Asks until no answer could change who leads or how sure that is, or the budget is spent. Each answer is asked for twice.
    pub async fn look(&self, case: Case<'_>) -> Asked {
        let mut round = Round {
            looker: self,
            budget: Budget { queries: case.queries, until: Instant::now() + self.time },
            asked: Asked { answers: case.known.to_vec(), ..Asked::default() },
            down: BTreeSet::new(),
            unknown: Vec::new(),
        };
        let mut open = self.open(&case);
        let mut beliefs = round.asked.beliefs(case.suspects);
        while let Some(place) = beliefs.next(&open) {
            if round.is_spent() {
                let left = counted(open.len(), "question");
                round.asked.gaps.push(format!("The budget for queries was spent with {left} left."));
                break;
            }
            let one = open.remove(place);
            if let Some(found) = round.ask(&case.question(&one)).await {
                if let Some(is_seen) = found.is_seen() {
                    beliefs = beliefs.with(&one, is_seen);
                }
                round.asked.answers.push(found);
            }
        }
        round.finish(case.queries)
    }

    /// Returns the questions that are worth asking and have a source.
    fn open(&self, case: &Case<'_>) -> Vec<Open> {
        let suspects = &case.suspects[..case.suspects.len().min(self.suspects)];
        let mut open = open(suspects, case.signals, case.known);
        open.retain(|(_, subject)| self.sources.iter().any(|source| source.can_answer(*subject)));
        open
    }
}

/// Returns what suspects predict and neither a member nor an earlier answer says.
fn open(suspects: &[Suspect], signals: &[Signal], known: &[Found]) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    for suspect in suspects {
        for subject in predictions::of(suspect.category) {
            let one = (suspect.service.clone(), subject);
            if !open.contains(&one)
                && !predictions::is_answered(signals, &one.0, subject)
                && known.iter().all(|found| found.open() != one)
            {
                open.push(one);
            }
        }
    }
    open
}

/// Returns in one sentence the single observation that would tell most of the cause and is not at hand; nothing where none could
/// change who leads or how sure that is.
pub fn most_informative(suspects: &[Suspect], signals: &[Signal], asked: &Asked) -> Option<String> {
    let open = open(suspects, signals, &asked.answers);
    // the suspects are ranked with what was answered already
    let place = Beliefs::of(suspects).next(&open)?;
    let (service, subject) = open.get(place)?;
    Some(format!("{} would tell most, and is not at hand.", words::subject(*subject, service)))
}

/// One look under way.
struct Round<'l> {
    looker: &'l Looker,
    budget: Budget,
    asked: Asked,
    /// Sources that do not answer: they are not asked again in this look.
    down: BTreeSet<&'static str>,
    /// What a source knows too little about.
    unknown: Vec<(&'static str, String, Subject)>,
}

impl Round<'_> {
    /// Whether less is left than a question and its confirmation.
    fn is_spent(&self) -> bool {
        self.budget.queries < 2 || Instant::now() >= self.budget.until
    }

    /// Asks one source after another until one has an answer that says something.
    async fn ask(&mut self, question: &Question) -> Option<Found> {
        for source in self.looker.sources.iter().filter(|source| source.can_answer(question.subject)) {
            let Some(answer) = self.answer(source, question).await else { continue };
            if compare::compare(question, &answer).is_some() {
                let found = Found {
                    source: source.name().to_owned(),
                    question: question.clone(),
                    answer,
                    again: None,
                };
                return self.confirmed(source, found).await;
            }
            self.unknown.push((source.name(), question.service.clone(), question.subject));
        }
        None
    }

    async fn answer(&mut self, source: &Guarded, question: &Question) -> Option<Answer> {
        if self.down.contains(source.name()) || !self.budget.take() {
            return None;
        }
        let failure = match source.ask(question, self.budget.until).await {
            Ok(answer) => return Some(answer),
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Timeout(_) | Failure::Unreachable(_) | Failure::Broken) {
            self.down.insert(source.name());
        }
        let sentence = format!("{} {failure}.", title(source.name()));
        if !matches!(failure, Failure::Unknown(_)) {
            self.asked.failures.entry(source.name().to_owned()).or_insert(sentence);
        } else if !self.asked.gaps.contains(&sentence) {
            self.asked.gaps.push(sentence);
        }
        None
    }

    /// Asks again what was answered. What is answered in another way then, or not at all, is no answer.
    async fn confirmed(&mut self, source: &Guarded, mut found: Found) -> Option<Found> {
        found.again = self.answer(source, &found.question).await;
        if found.is_stable() {
            return Some(found);
        }
        let what = words::subject(found.question.subject, &found.question.service);
        let source = title(&found.source);
        self.asked.gaps.push(if found.again.is_some() {
            format!("{what} had two different answers from {source}.")
        } else {
            format!("{what} was not confirmed by a second answer from {source}.")
        });
        None
    }

    fn finish(mut self, allowed: u32) -> Asked {
        let sources: BTreeSet<&str> = self.unknown.iter().map(|(source, ..)| *source).collect();
        for source in sources {
            let about = self.unknown.iter().filter(|(name, ..)| *name == source);
            let about = about.map(|(_, service, subject)| {
                let mut subject = words::subject(*subject, service);
                if subject.starts_with("The ") {
                    subject.replace_range(..1, "t");
                }
                subject
            });
            let list = about.collect::<Vec<_>>().join(", ");
            self.asked.gaps.push(format!("{} has too little data on {list}.", title(source)));
        }
        self.asked.queries = allowed - self.budget.queries;
        self.asked
    }
}

/// Returns the name of a source as a sentence begins with it.
pub fn title(source: &str) -> String {
    match source {
        "prometheus" => "Prometheus",
        "kubernetes" => "Kubernetes",
        "pod_logs" => "The API of pod logs",
        "jaeger" => "Jaeger",
        "loki" => "Loki",
        "victorialogs" => "VictoriaLogs",
        "tempo" => "Tempo",
        "elasticsearch" => "Elasticsearch",
        "cloudwatch" => "CloudWatch",
        "cloudwatch_logs" => "CloudWatch Logs",
        other => other,
    }
    .to_owned()
}
