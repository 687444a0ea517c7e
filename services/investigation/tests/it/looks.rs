//! Timeout, circuit breaker and budget, and what is asked within them; the clock is paused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use investigation::query::breaker::{Breaker, MAX_FAILURES, PAUSE};
use investigation::query::look::{Asked, Case, Looker, most_informative};
use investigation::query::minutes;
use investigation::query::source::{Failure, Guarded, QuerySource, clean};
use jiff::Timestamp;
use shared::events::anomaly::Point;
use shared::events::evidence::{Answer, MAX_ITEMS, MAX_POINTS, MAX_WORDS, Reported};
use shared::events::incident::Suspect;
use shared::events::question::{Role, Subject};
use shared::events::{Category, Question};
use shared::text::secrets::Redactor;
use tokio::time::{Instant, sleep};

use crate::answers::{lines, question, series};
use crate::scene::{at, suspect};

const TIMEOUT: Duration = Duration::from_secs(2);

type Behaviour = Arc<dyn Fn(&Question, usize) -> (Duration, Result<Answer, Failure>) + Send + Sync>;

/// A source that behaves as a test says, by the number of the question.
struct Scripted {
    name: &'static str,
    behaviour: Behaviour,
    asked: Arc<Mutex<Vec<Subject>>>,
}

#[async_trait]
impl QuerySource for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn can_answer(&self, subject: Subject) -> bool {
        matches!(subject, Subject::Series { .. }) == (self.name == "prometheus")
    }

    async fn ask(&self, question: &Question, _: Instant) -> Result<Answer, Failure> {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(question.subject);
            asked.len()
        };
        let (time, outcome) = (self.behaviour)(question, number);
        sleep(time).await;
        outcome
    }
}

type Log = Arc<Mutex<Vec<Subject>>>;

fn scripted(
    name: &'static str,
    behaviour: impl Fn(&Question, usize) -> (Duration, Result<Answer, Failure>) + Send + Sync + 'static,
) -> (Guarded, Log) {
    let asked = Log::default();
    let source = Scripted { name, behaviour: Arc::new(behaviour), asked: Arc::clone(&asked) };
    (Guarded::new(Box::new(source), TIMEOUT, Redactor::default()), asked)
}

fn looker(sources: Vec<Guarded>) -> Looker {
    Looker::new(sources, 3, Duration::from_secs(10))
}

async fn look(looker: &Looker, suspects: &[Suspect], queries: u32) -> Asked {
    let until: Timestamp = at(600);
    looker.look(Case { suspects, signals: &[], began: at(0), until, known: &[], queries }).await
}

/// Answers as if memory ran out.
fn memory(question: &Question) -> Answer {
    match question.subject {
        Subject::Series { role: Role::MemoryUsage } => series("%", 40.0, 97.0),
        Subject::Series { role: Role::CpuUsage | Role::CpuThrottling } => series("%", 10.0, 10.0),
        Subject::Series { .. } => series("", 3.0, 3.0),
        _ => lines(0.0, 0.0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_failures_in_a_row_and_tries_once_after_a_pause() {
    let mut breaker = Breaker::default();
    for _ in 0..MAX_FAILURES {
        assert!(breaker.admits(Instant::now()));
        breaker.record(false, Instant::now());
    }
    assert!(!breaker.admits(Instant::now()));
    sleep(PAUSE).await;
    assert!(breaker.admits(Instant::now()), "half open");
    assert!(!breaker.admits(Instant::now()), "one at a time");
    breaker.record(false, Instant::now());
    assert!(!breaker.admits(Instant::now()), "open again");
    sleep(PAUSE).await;
    assert!(breaker.admits(Instant::now()));
    // the trial was aborted: another one may follow
    sleep(PAUSE).await;
    assert!(breaker.admits(Instant::now()));
    breaker.record(true, Instant::now());
    for _ in 1..MAX_FAILURES {
        breaker.record(false, Instant::now());
        assert!(breaker.admits(Instant::now()), "successes reset the count");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_is_left_alone_and_asked_again_once_it_is_back() {
    let down = Failure::Unreachable("refused".into());
    let (source, asked) = scripted("prometheus", move |_, number| {
        let outcome = if number <= 4 { Err(down.clone()) } else { Ok(series("%", 1.0, 1.0)) };
        (Duration::ZERO, outcome)
    });
    let question = question("payment", Subject::Series { role: Role::CpuUsage });
    let ask = || async { source.ask(&question, Instant::now() + TIMEOUT).await };
    for _ in 0..MAX_FAILURES {
        assert!(matches!(ask().await, Err(Failure::Unreachable(_))));
    }
    assert_eq!(ask().await, Err(Failure::Broken));
    assert_eq!(asked.lock().unwrap().len(), 3);
    sleep(PAUSE).await;
    assert!(matches!(ask().await, Err(Failure::Unreachable(_))), "the trial fails");
    assert_eq!(ask().await, Err(Failure::Broken));
    sleep(PAUSE).await;
    assert!(ask().await.is_ok());
    assert!(ask().await.is_ok(), "closed");
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_is_given_up_after_its_timeout_and_named() {
    let (slow, asked) = scripted("prometheus", |question, _| (Duration::from_mins(1), Ok(memory(question))));
    let (logs, _) = scripted("loki", |_, _| (Duration::ZERO, Ok(lines(0.0, 0.0))));
    let begun = Instant::now();
    let found = look(&looker(vec![slow, logs]), &[suspect("payment", Category::Memory, 0.5)], 40).await;
    assert_eq!(begun.elapsed(), TIMEOUT);
    assert_eq!(asked.lock().unwrap().len(), 1, "not asked again in this look");
    assert_eq!(found.failures.values().collect::<Vec<_>>(), ["Prometheus did not answer within 2 s."]);
    // the others still are
    assert_eq!(found.answers.len(), 1);
    assert_eq!(found.answers[0].source, "loki");
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_queries_and_of_time_is_kept() {
    let suspects = [
        suspect("payment", Category::Cpu, 0.5),
        suspect("payment", Category::Down, 0.2),
        suspect("order", Category::Memory, 0.2),
    ];
    let quick = |question: &Question, _| (Duration::from_millis(10), Ok(memory(question)));
    let (source, asked) = scripted("prometheus", quick);
    let found = look(&looker(vec![source]), &suspects, 2).await;
    assert_eq!((found.queries, asked.lock().unwrap().len()), (2, 2));
    assert!(found.gaps[0].starts_with("The budget for queries was spent"), "{found:?}");
    // eleven seconds would be needed
    let slow = |question: &Question, _| (Duration::from_millis(1_900), Ok(memory(question)));
    let (source, _) = scripted("prometheus", slow);
    let begun = Instant::now();
    let found = look(&looker(vec![source]), &suspects, 40).await;
    assert!(begun.elapsed() <= Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!found.answers.is_empty() && found.queries <= 6, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_no_answer_could_change_the_result() {
    // memory and CPU are as likely at first; the first answers decide
    let suspects = [suspect("payment", Category::Cpu, 0.45), suspect("payment", Category::Memory, 0.45)];
    let answer = |question: &Question, _| (Duration::ZERO, Ok(memory(question)));
    let (source, asked) = scripted("prometheus", answer);
    let found = look(&looker(vec![source]), &suspects, 40).await;
    let ranked = found.beliefs(&suspects).ranked(&suspects);
    assert_eq!(ranked[0].category, Category::Memory);
    assert!(ranked[0].posterior > 0.8, "{ranked:?}");
    assert!(found.gaps.is_empty() && found.failures.is_empty(), "{found:?}");
    // each answer was asked for twice: the second time for the check
    assert_eq!(found.queries as usize, 2 * found.answers.len());
    assert!(found.answers.iter().all(|one| one.again.is_some()));
    // the same answers lead to the same questions
    let again = scripted("prometheus", answer);
    look(&looker(vec![again.0]), &suspects, 40).await;
    assert_eq!(*asked.lock().unwrap(), *again.1.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_in_two_ways_is_no_answer() {
    let suspects = [suspect("payment", Category::Memory, 0.6)];
    let (source, _) = scripted("prometheus", |question, number| {
        let answer = if number.is_multiple_of(2) { series("%", 40.0, 40.0) } else { memory(question) };
        (Duration::ZERO, Ok(answer))
    });
    let found = look(&looker(vec![source]), &suspects, 2).await;
    assert!(found.answers.is_empty(), "{found:?}");
    assert!(
        found.gaps.iter().any(|gap| gap.contains("had two different answers from Prometheus")),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_knows_too_little_is_named_and_another_one_is_asked() {
    let (empty, _) = scripted("loki", |_, _| (Duration::ZERO, Err(Failure::Unknown("payment".into()))));
    let (full, _) = scripted("victorialogs", |_, _| (Duration::ZERO, Ok(lines(0.0, 9.0))));
    let found = look(&looker(vec![empty, full]), &[suspect("payment", Category::Pool, 0.5)], 40).await;
    assert_eq!(found.gaps, ["Loki has no data on payment."]);
    assert!(found.failures.is_empty(), "{found:?}");
    assert_eq!(found.answers[0].source, "victorialogs");
    let (short, _) =
        scripted("loki", |_, _| (Duration::ZERO, Ok(Answer::Lines { minutes: Vec::new(), example: None })));
    let found = look(&looker(vec![short]), &[suspect("payment", Category::Pool, 0.5)], 40).await;
    let gap = "Loki has too little data on the rate of log lines of payment about waiting for a connection.";
    assert_eq!(found.gaps, [gap]);
}

#[test]
fn answers_are_capped_and_hold_no_secret_and_nothing_that_steers_a_terminal() {
    let line = format!("\u{1b}[31mpassword=hunter2hunter2 for ada@example.com {}", "x".repeat(9_000));
    let long = Answer::Lines {
        minutes: vec![shared::events::anomaly::Point { ts_ms: 0, value: 1.0 }; 9_000],
        example: Some(line.clone()),
    };
    let Answer::Lines { minutes, example: Some(example) } = clean(long, &Redactor::default()) else {
        unreachable!()
    };
    assert_eq!(minutes.len(), MAX_POINTS);
    assert!(example.chars().count() <= MAX_WORDS && !example.contains('\u{1b}'), "{example}");
    assert!(!example.contains("hunter2") && !example.contains("ada@"), "{example}");
    let event = Reported { at: at(0), reason: line.clone(), object: line.clone(), message: line, count: 1 };
    let Answer::Events { events } = clean(Answer::Events { events: vec![event; 900] }, &Redactor::default())
    else {
        unreachable!()
    };
    assert_eq!(events.len(), MAX_ITEMS);
    assert!(!format!("{events:?}").contains("hunter2"));
}

#[test]
fn counts_without_bounds_are_journalled_as_numbers() {
    let huge = |second: i64| (at(second).as_millisecond(), 1.7e308);
    let minutes = minutes::of(at(-120), at(0), [huge(-90), huge(-80), huge(-70)].into_iter());
    assert!(minutes.iter().all(|minute| minute.value.is_finite()), "{minutes:?}");
    let written = serde_json::to_value(&minutes).unwrap();
    assert_eq!(serde_json::from_value::<Vec<Point>>(written).unwrap(), minutes);
}

#[test]
fn the_observation_that_would_tell_most_is_named_where_the_cause_is_not_certain() {
    let suspects = [suspect("payment", Category::Lag, 0.45), suspect("payment", Category::Code, 0.4)];
    let telling = |suspects: &[Suspect]| most_informative(suspects, &[], &Asked::default());
    let lag = "Consumer lag of payment would tell most, and is not at hand.";
    assert_eq!(telling(&suspects).as_deref(), Some(lag));
    assert_eq!(telling(&[suspect("payment", Category::Unknown, 0.5)]), None, "it predicts nothing");
    assert_eq!(telling(&[]), None);
}
