//! Dead letters over a real Kafka and a real PostgreSQL: a record that is sent again once the cause is fixed is handled
//! exactly once, as the event it always was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::bus::dead_letter::{
    self, Author, DeadLetter, DeadLetterReader, Decision, DispositionError, NotRedrivable, header,
};
use shared::bus::reader::Line;
use shared::clock::{SystemClock, from_ms};
use shared::events::envelope::Headers;
use shared::events::remediation::ActionResult;
use shared::events::{Deployment, Refusal, Topic, decode};
use shared::ids::{EventId, IncidentId, PlanId, derive};
use shared::service::{Deps, Readiness};
use shared::stage::run::{StageDeps, run};
use shared::stage::{Audit, Context, Effects, Error, Key, Stage};
use stack::testing::bench::{Bench, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One consumer group is shared by all tests here, so they run one after another.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const STAGE: Agent = Agent::Investigation;
const PATIENCE: Duration = Duration::from_secs(20);

/// What the stage can be asked and what it was.
#[derive(Default)]
struct Ledger {
    fixed: AtomicBool,
    asked: Mutex<Vec<(String, EventId)>>,
}

impl Ledger {
    /// Returns under which ids the stage was given a record.
    fn ids_of(&self, name: &str) -> Vec<EventId> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|(of, _)| of == name).map(|(_, id)| *id).collect()
    }
}

/// Refuses everything until it is fixed, then notes each record in the audit trail.
struct Fixable {
    place: IncidentId,
    ledger: Arc<Ledger>,
}

/// What is noted, and on which incident.
struct Input {
    incident: IncidentId,
    name: String,
}

#[async_trait]
impl Stage for Fixable {
    const AGENT: Agent = STAGE;
    const TOPICS: &'static [Topic] = &[Topic::Actions, Topic::RawDeployments];
    type Input = Input;

    fn decode(topic: Topic, payload: &[u8]) -> Result<Input, Refusal> {
        if topic == Topic::Actions {
            let action: ActionResult = decode(payload)?;
            return Ok(Input { incident: action.incident_id, name: action.outcome });
        }
        let deployment: Deployment = decode(payload)?;
        let incident = deployment.service.parse().map_err(|_| Refusal::Invalid("of another test".into()))?;
        Ok(Input { incident, name: deployment.version })
    }

    fn key(input: &Input) -> Key {
        Key::from(input.incident)
    }

    async fn handle(&self, input: &Input, ctx: &Context) -> Result<Effects, Error> {
        if input.incident != self.place {
            return Ok(Effects::none());
        }
        let call = (input.name.clone(), ctx.event_id);
        self.ledger.asked.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        if !self.ledger.fixed.load(Ordering::SeqCst) {
            return Err(Error::reject(anyhow::anyhow!("no runbook for that yet")));
        }
        let audit = Audit {
            incident_id: input.incident,
            at: from_ms(0),
            action: AuditAction::PlanProposed,
            summary: input.name.clone(),
            detail: json!({}),
        };
        Ok(Effects { audit: vec![audit], ..Effects::none() })
    }
}

struct Place {
    bench: Bench,
    incident: IncidentId,
    ledger: Arc<Ledger>,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Place {
    async fn open(seed: &str) -> Self {
        let topics = [Topic::Actions, Topic::RawDeployments, Topic::DeadLetters(STAGE)];
        let bench = Bench::open(&topics).await.unwrap();
        let incident = bench.incident(seed);
        let (ledger, shutdown) = (Arc::<Ledger>::default(), CancellationToken::new());
        let deps = Deps { process: seed.to_owned(), readiness: Readiness::default() };
        let base = StageDeps::connect(&bench.common, &deps, Arc::new(SystemClock), &shutdown)
            .await
            .unwrap()
            .unwrap();
        let stage = Fixable { place: incident, ledger: Arc::clone(&ledger) };
        let running = tokio::spawn(run(stage, base));
        Self { bench, incident, ledger, shutdown, running }
    }

    async fn close(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }

    fn key(&self) -> String {
        self.incident.to_string()
    }

    /// Writes a change as a CI job would: no envelope, and to a partition of its own choice.
    async fn deploy(&self, version: &str, partition: i32) {
        let payload = json!({"service": self.key(), "version": version, "ts_ms": 1}).to_string();
        let headers = vec![("x-ci-job".to_owned(), "17".to_owned())];
        let key = self.key();
        let topic = Topic::RawDeployments;
        let pending =
            self.bench.producer.enqueue_at(topic, Some(partition), Some(&key), &headers, payload.as_bytes());
        pending.await.unwrap().acknowledged().await.unwrap();
    }

    async fn act(&self, outcome: &str) -> EventId {
        let id = EventId::of("dead_letters", &format!("{}{outcome}", self.incident), 1);
        let action = ActionResult {
            incident_id: self.incident,
            plan_id: PlanId(derive(&["plan"])),
            order: 1,
            outcome: outcome.to_owned(),
            at: from_ms(1),
        };
        self.bench.send(Topic::Actions, &action, id, from_ms(1)).await.unwrap();
        id
    }

    /// Waits until there are as many letters of this test as expected, and returns them.
    async fn letters(&self, expected: usize) -> Vec<DeadLetter> {
        let found = until(PATIENCE, async || {
            let (kafka, key) = (self.bench.common.kafka.clone(), self.key());
            let read = tokio::task::spawn_blocking(move || {
                let letters = DeadLetterReader::last(&kafka, STAGE, 1_000, PATIENCE)?.unwrap();
                letters.read()?.collect::<Result<Vec<DeadLetter>, _>>()
            });
            let mut found = read.await.unwrap().unwrap();
            // a key that was cut begins like the whole one
            found.retain(|letter| letter.key.as_ref().is_some_and(|of| of.starts_with(&key)));
            if found.len() == expected { Ok(found) } else { Err(found) }
        });
        found.await.unwrap()
    }

    async fn redrive(&self, letters: &[DeadLetter]) -> Vec<Result<(), DispositionError>> {
        let author = Author { by: "alice".to_owned(), because: Some("runbook added".to_owned()) };
        dead_letter::redrive(&self.bench.producer, letters, &author).await
    }

    /// Waits until the stage has noted what is expected, in any order.
    async fn noted(&self, expected: &[&str]) {
        let matched = until(PATIENCE, async || {
            let timeline = self.bench.store.reads().timeline(self.incident).await.unwrap();
            let mut noted: Vec<String> = timeline.into_iter().map(|entry| entry.summary).collect();
            noted.sort_unstable();
            if noted == expected { Ok(()) } else { Err(noted) }
        });
        matched.await.unwrap();
    }

    async fn records(&self, topic: Topic) -> Vec<Line> {
        self.bench.records(topic, &self.key()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_record_is_handled_once_as_the_event_it_always_was() {
    let _turn = TURN.lock().await;
    let place = Place::open("redriven").await;
    let own_id = place.act("action").await;
    place.deploy("deployment", 4).await;
    let letters = place.letters(2).await;
    let origin = letters.iter().find_map(|letter| letter.origin().filter(|of| of.topic == "raw.deployments"));
    let origin = origin.unwrap();
    let of_place = EventId::of_record("raw.deployments", origin.partition, origin.offset);
    assert!(letters.iter().all(|letter| letter.decision().is_none()), "{letters:?}");

    place.ledger.fixed.store(true, Ordering::SeqCst);
    // as if it had crashed between the acknowledgement and the mark
    for letter in &letters {
        let record = letter.original().unwrap();
        let (key, partition) = (record.key.as_deref(), Some(record.partition));
        let producer = &place.bench.producer;
        let pending = producer.enqueue_at(record.topic, partition, key, &record.headers, &record.payload);
        pending.await.unwrap().acknowledged().await.unwrap();
    }
    place.noted(&["action", "deployment"]).await;
    let unmarked = place.letters(2).await;
    assert!(unmarked.iter().all(|letter| letter.decision().is_none()), "{unmarked:?}");
    // so it is done again, and by mistake once more
    for _ in 0..2 {
        assert!(place.redrive(&unmarked).await.iter().all(Result::is_ok));
    }
    // behind everything, on both partitions
    place.deploy("end", 4).await;
    place.act("end").await;
    place.noted(&["action", "deployment", "end", "end"]).await;

    assert_eq!(place.ledger.ids_of("action"), [own_id, own_id], "refused once, handled once, never again");
    assert_eq!(place.ledger.ids_of("deployment"), [of_place, of_place]);
    let marked = place.letters(2).await;
    for letter in &marked {
        let decisions: Vec<Decision> = letter.marks.iter().map(|mark| mark.decision).collect();
        assert_eq!(decisions, [Decision::Redriven, Decision::Redriven]);
        assert_eq!(letter.marks[0].by, "alice");
        assert_eq!(letter.marks[0].because.as_deref(), Some("runbook added"));
    }
    let sent = place.records(Topic::RawDeployments).await;
    let (first, rest) = sent[..sent.len() - 1].split_first().unwrap();
    assert_eq!(rest.len(), 3);
    for again in rest {
        assert_eq!((again.partition, &again.payload), (4, &first.payload), "{again:?}");
        let ours = ("ce_id".to_owned(), of_place.to_string());
        let expected: Headers = [ours].into_iter().chain(first.headers.clone()).collect();
        assert_eq!(again.headers, expected);
    }
    for action in &place.records(Topic::Actions).await[..4] {
        assert!(action.headers.iter().all(|(name, _)| !name.starts_with("dlq_")), "{action:?}");
    }
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_again_is_another_letter_of_the_same_event() {
    let _turn = TURN.lock().await;
    let place = Place::open("again").await;
    place.deploy("stubborn", 1).await;
    let first = place.letters(1).await.remove(0);
    assert!(place.redrive(std::slice::from_ref(&first)).await[0].is_ok());
    let [old, new] = &place.letters(2).await[..] else { panic!("two letters") };
    assert_eq!((old.address, old.decision()), (first.address, Some(Decision::Redriven)));
    assert_eq!((new.decision(), new.event_id()), (None, first.event_id()));
    assert_ne!(new.origin(), first.origin());
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_not_the_whole_record_is_neither_sent_nor_marked() {
    let _turn = TURN.lock().await;
    let place = Place::open("cut").await;
    let (key, topic, producer) = (place.key(), Topic::Actions, &place.bench.producer);
    producer.send(topic, Some(&key), &Vec::new(), "x".repeat(950_000).as_bytes()).await.unwrap();
    let long_key = key.clone() + &"k".repeat(2_000);
    producer.send(topic, Some(&long_key), &Vec::new(), b"{").await.unwrap();
    let headers =
        vec![("ce_id".to_owned(), "x".repeat(40_000)), ("dlq_reason".to_owned(), "forged".to_owned())];
    producer.send(topic, Some(&key), &headers, b"{").await.unwrap();

    let letters = place.letters(3).await;
    let mut refused: Vec<String> = Vec::new();
    for outcome in place.redrive(&letters).await {
        match outcome {
            Err(DispositionError::NotRedrivable(NotRedrivable::Cut { kept, of })) => {
                refused.push(format!("{kept} of {of}"));
            }
            Err(DispositionError::NotRedrivable(NotRedrivable::Changed(what))) => refused.push(what),
            other => panic!("{other:?}"),
        }
    }
    refused.sort_unstable();
    assert_eq!(refused, ["900000 of 950000", "headers", "key"]);
    let after = place.letters(3).await;
    assert!(after.iter().all(|letter| letter.marks.is_empty()), "{after:?}");
    assert!(after.iter().all(|letter| letter.reason() != "forged"));
    let sent = place.records(topic).await.len();
    assert_eq!(sent, 2, "nothing but what the test itself has sent under that key");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_record_kafka_does_not_take_is_not_marked() {
    let _turn = TURN.lock().await;
    let place = Place::open("refused").await;
    place.deploy("first", 1).await;
    place.deploy("second", 2).await;
    let mut letters = place.letters(2).await;
    let partition = letters[0].headers.iter_mut().find(|(name, _)| name == header::PARTITION).unwrap();
    "999".clone_into(&mut partition.1);
    let [Err(DispositionError::Unpublished(_)), Ok(())] = &place.redrive(&letters).await[..] else {
        panic!("the first cannot be published, the second can")
    };
    let after = place.letters(3).await;
    let decisions: Vec<Option<Decision>> = after.iter().map(DeadLetter::decision).collect();
    assert_eq!(decisions, [None, Some(Decision::Redriven), None], "the third is the second, refused again");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_no_letter_and_a_record_cannot_pretend_to_be_one() {
    let _turn = TURN.lock().await;
    let place = Place::open("marks").await;
    let forged = vec![
        (header::MARK.to_owned(), "discarded".to_owned()),
        (header::MARKED_OFFSET.to_owned(), "0".to_owned()),
    ];
    place.bench.producer.send(Topic::Actions, Some(&place.key()), &forged, b"{").await.unwrap();
    let letters = place.letters(1).await;
    let author = Author { by: "bob\r\n\u{202e}".to_owned(), because: None };
    assert!(dead_letter::discard(&place.bench.producer, &letters, &author).await[0].is_ok());
    let letter = place.letters(1).await.remove(0);
    assert_eq!(letter.decision(), Some(Decision::Discarded));
    assert_eq!((letter.marks[0].by.as_str(), &letter.marks[0].because), ("bob", &None));
    assert_eq!(place.records(Topic::DeadLetters(STAGE)).await.len(), 2, "the letter and its mark");

    let kafka = place.bench.common.kafka.clone();
    let address = letter.address;
    let behind = tokio::task::spawn_blocking(move || {
        let letters = DeadLetterReader::at(&kafka, STAGE, &[address], PATIENCE)?.unwrap();
        letters.read()?.collect::<Result<Vec<DeadLetter>, _>>()
    });
    // other tests have letters of this stage too
    let own = behind.await.unwrap().unwrap().into_iter().filter(|letter| letter.key == Some(place.key()));
    assert_eq!(own.map(|letter| letter.address).collect::<Vec<_>>(), [address]);
    place.close().await;
}
