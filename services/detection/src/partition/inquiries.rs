//! What partitions ask each other before a service counts as silent: see [`crate::service::inquiry`].

use serde::{Deserialize, Serialize};
use shared::bus::partitioned::{Notice, To};
use shared::events::{Refusal, Topic};

use super::{At, Outcome, Partition};
use crate::service::inquiry::{Inquiry, Sign};
use crate::service::silence::{self, Due};

/// Services that one notice names at most: with names of the greatest length it stays a small record.
const NAMED: usize = 100;

/// What a notice says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Question(Speech<Question>),
    Answer(Speech<Answer>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Speech<T> {
    /// Partition that speaks.
    from: i32,
    services: Vec<T>,
}

/// Whether anything is known of a service that is newer than `last_ms`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Question {
    environment: String,
    service: String,
    number: i64,
    last_ms: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    environment: String,
    service: String,
    number: i64,
    sign: Option<Sign>,
}

impl Partition {
    /// Makes it ask all other partitions before it reports a silence. A file has no other partitions.
    #[must_use]
    pub fn among_others(mut self) -> Self {
        self.asks = true;
        self
    }

    /// Takes a notice of a partition. `partitions` is how many were addressed, where it went to all.
    pub fn notice(&mut self, body: &str, partitions: Option<i32>, at: At) -> Outcome {
        let mut outcome = Outcome::default();
        self.version += 1;
        // it is a tick as well
        self.clock.tick(at.stamp_ms());
        match serde_json::from_str::<Said>(body) {
            Ok(Said::Question(speech)) if speech.from == self.number => {
                self.asked(&speech.services, partitions, at, &mut outcome);
            }
            Ok(Said::Question(speech)) => self.answer(speech, &mut outcome),
            Ok(Said::Answer(speech)) => self.answered(&speech, at, &mut outcome),
            Err(error) => outcome.refused = Some(Refusal::Invalid(format!("not a notice: {error}"))),
        }
        self.judge_silences(at, &mut outcome);
        self.applied.metrics = self.applied.metrics.max(at.offset);
        outcome
    }

    /// Judges the services that have not reported, once one may have been silent for too long.
    pub(super) fn judge_silences(&mut self, at: At, outcome: &mut Outcome) {
        let now = self.clock.now();
        if !self.due.is_past(now) {
            return;
        }
        self.due = Due::NEVER;
        let mut questions = Vec::new();
        for service in &mut self.services {
            if at.offset > service.restored.metrics {
                if self.asks && !service.may_judge(now, &self.settings) {
                    if service.must_ask(now, &self.settings) {
                        service.inquiry = Some(Box::new(Inquiry::new(at.offset, now)));
                        service.version = self.version;
                        questions.push(Question {
                            environment: service.environment.to_string(),
                            service: service.name.to_string(),
                            number: at.offset,
                            last_ms: service.reporting.last_ms(),
                        });
                    }
                } else if service.observe_silence(silence::Event::Time { now }, &self.settings, outcome) {
                    service.version = self.version;
                }
            }
            self.due = self.due.min(service.silence_due(&self.settings));
        }
        for services in questions.chunks(NAMED) {
            let speech = Speech { from: self.number, services: services.to_vec() };
            say(To::All, &Said::Question(speech), outcome);
        }
    }

    /// Notes how many partitions were asked about services of this one.
    fn asked(&mut self, questions: &[Question], partitions: Option<i32>, at: At, outcome: &mut Outcome) {
        let own = self.number;
        for question in questions {
            self.inquire(question.key(), at, outcome, |inquiry| {
                // one that was written to it alone asked nobody else
                inquiry.asked(own, partitions.unwrap_or(1));
            });
        }
    }

    /// Answers what another partition asks.
    fn answer(&mut self, questions: Speech<Question>, outcome: &mut Outcome) {
        let now = self.clock.now();
        let mut services = Vec::with_capacity(questions.services.len());
        for question in questions.services {
            let slot = self.find(&question.environment, &question.service);
            let sign = slot.and_then(|slot| {
                self.services[slot].reporting.sign_after(question.last_ms, now, &self.settings)
            });
            let Question { environment, service, number, .. } = question;
            services.push(Answer { environment, service, number, sign });
        }
        let speech = Speech { from: self.number, services };
        say(To::One(questions.from), &Said::Answer(speech), outcome);
    }

    /// Takes the answers of another partition.
    fn answered(&mut self, speech: &Speech<Answer>, at: At, outcome: &mut Outcome) {
        for answer in &speech.services {
            let Some(sign) = answer.sign else {
                self.inquire(answer.key(), at, outcome, |inquiry| inquiry.answer(speech.from));
                continue;
            };
            let Some(slot) = self.pending((&answer.environment, &answer.service, answer.number), at) else {
                continue;
            };
            let service = &mut self.services[slot];
            service.inquiry = None;
            service.version = self.version;
            let event = match sign {
                Sign::Reported(ts_ms) => {
                    outcome.elsewhere.push((service.name.to_string(), speech.from));
                    silence::Event::Elsewhere { ts_ms, partition: speech.from }
                }
                Sign::Retired(ts_ms) => silence::Event::Retired { version: "", ts_ms },
            };
            service.observe_silence(event, &self.settings, outcome);
        }
    }

    /// Changes the inquiry of a service, if it is still the one that is meant, and judges the service once all have
    /// answered.
    fn inquire(
        &mut self,
        key: (&str, &str, i64),
        at: At,
        outcome: &mut Outcome,
        change: impl FnOnce(&mut Inquiry),
    ) {
        let Some(slot) = self.pending(key, at) else { return };
        let now = self.clock.now();
        let service = &mut self.services[slot];
        service.version = self.version;
        if let Some(inquiry) = &mut service.inquiry {
            // an answer may come twice
            let was_complete = inquiry.is_complete();
            change(inquiry);
            if !was_complete && inquiry.is_complete() {
                service.observe_silence(silence::Event::Time { now }, &self.settings, outcome);
            }
        }
        self.due = self.due.min(service.silence_due(&self.settings));
    }

    /// Returns the place of a service with this inquiry, unless what it was restored from reflects this record already.
    fn pending(&mut self, (environment, name, number): (&str, &str, i64), at: At) -> Option<usize> {
        let slot = self.find(environment, name)?;
        let service = &self.services[slot];
        let is_meant = service.inquiry.as_ref().is_some_and(|inquiry| inquiry.number == number);
        (is_meant && at.offset > service.restored.metrics).then_some(slot)
    }
}

impl Question {
    fn key(&self) -> (&str, &str, i64) {
        (&self.environment, &self.service, self.number)
    }
}

impl Answer {
    fn key(&self) -> (&str, &str, i64) {
        (&self.environment, &self.service, self.number)
    }
}

fn say(to: To, said: &Said, outcome: &mut Outcome) {
    match serde_json::to_string(said) {
        Ok(body) => outcome.notices.push(Notice { topic: Topic::RawMetrics, to, body }),
        Err(error) => tracing::error!(%error, "a notice could not be written"),
    }
}
