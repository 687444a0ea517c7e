//! Poison over a real Kafka and a real PostgreSQL: whatever a record does to its stage, what is behind it in the same
//! partition is handled, each exactly once, and the poison itself is found in the dead-letter topic.
//!
//! All records go to `sim.faults`, which has one partition.

mod place;

use std::sync::Arc;
use std::time::Duration;

use shared::agent::Agent;
use shared::bus::dead_letter::header;
use shared::bus::partitioned::{self, Output, Part, Settings, Task};
use shared::bus::{self, Producer};
use shared::error::Error;
use shared::events::envelope::Headers;
use shared::events::{Fault, MAX_PAYLOAD, Outgoing, Topic, decode};
use shared::service::Readiness;
use shared::stage::Stage as _;
use stack::testing::bench::until;
use tokio_util::sync::CancellationToken;

use place::{DeadLetter, LIMITS, MEANWHILE, POISON, Place, Seen, Trial};

/// Tests of one consumer group run one after another.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs a stage over a record that cannot be read and what is around it; returns the dead letter.
async fn unreadable(
    test: &str,
    poison: impl FnOnce(&Outgoing) -> (Headers, Vec<u8>),
) -> (DeadLetter, Vec<u8>) {
    let _turn = TURN.lock().await;
    let place = Place::open(test).await;
    let key = place.key("unreadable");
    let (headers, payload) = poison(&place.record(&key, POISON));
    place.send_around(&key, &headers, &payload).await;
    let (shutdown, running) = place.start(None).await;
    let letter = place.handled_around(&key).await;
    assert_eq!(place.seen.of(&key), [1, 3, 4], "the poison was never decided on");
    assert_eq!(letter.attempts(), "1");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    (letter, payload)
}

/// Runs a stage over a record whose decision fails in the way that `behaviour` names; returns the dead letter.
async fn failing(behaviour: &str, attempts: usize) -> DeadLetter {
    let _turn = TURN.lock().await;
    let place = Place::open(behaviour).await;
    let key = place.key(behaviour);
    let poison = place.record(&key, POISON);
    place.send_around(&key, &poison.envelope.to_headers(), &poison.payload).await;
    let (shutdown, running) = place.start(None).await;
    let letter = place.handled_around(&key).await;
    assert_eq!(letter.payload, poison.payload);
    assert_eq!(letter.attempts(), attempts.to_string());
    let mut order = vec![1];
    order.extend(vec![POISON; attempts]);
    order.extend([3, 4]);
    assert_eq!(place.seen.of(&key), order, "what is behind it in its key waits until it is given up");
    let calls = place.seen.calls();
    let last_try = calls.iter().rposition(|call| *call == (key.clone(), POISON)).unwrap();
    let first_try = calls.iter().position(|call| *call == (key.clone(), POISON)).unwrap();
    let meanwhile = calls[..last_try].iter().filter(|(of, _)| *of != key).count();
    if last_try > first_try {
        assert!(meanwhile >= MEANWHILE, "only {meanwhile} of other keys were handled meanwhile: {calls:?}");
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    letter
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_json_hold_up_nothing() {
    let (letter, payload) = unreadable("bytes", |_| (Vec::new(), b"\xff\xfe not json".to_vec())).await;
    assert!(letter.reason().starts_with("malformed: "), "{}", letter.reason());
    assert_eq!(letter.payload, payload);
}

/// The payload would be read without complaint; its envelope says that it means something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_of_another_version_holds_up_nothing() {
    let (letter, payload) = unreadable("version", |record| {
        let mut envelope = record.envelope.clone();
        "firewatch.fault.v2".clone_into(&mut envelope.kind);
        (envelope.to_headers(), record.payload.clone())
    })
    .await;
    assert_eq!(letter.reason(), r#"event type "firewatch.fault.v2" where "firewatch.fault.v1" is expected"#);
    assert_eq!(letter.payload, payload);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_a_newer_producer_holds_up_nothing_and_says_which_values_are_known() {
    let (letter, _) = unreadable("value", |record| {
        let text = String::from_utf8(record.payload.clone()).unwrap();
        (record.envelope.to_headers(), text.replace("error-spike", "alien-abduction").into_bytes())
    })
    .await;
    assert!(letter.reason().contains("unknown variant `alien-abduction`"), "{}", letter.reason());
    assert!(letter.reason().contains("`error-spike`"), "{}", letter.reason());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_holds_up_nothing() {
    let size = MAX_PAYLOAD + 1;
    let (letter, payload) = unreadable("large", |record| {
        let mut payload = record.payload.clone();
        payload.resize(size, b' ');
        (record.envelope.to_headers(), payload)
    })
    .await;
    assert_eq!(letter.reason(), format!("payload of {size} bytes is larger than {MAX_PAYLOAD}"));
    assert_eq!(letter.payload, payload, "it fits into a letter as it is");
    assert!(!letter.headers.contains_key(header::CUT_FROM));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_for_a_letter_is_cut_and_the_letter_says_so() {
    let size = 980_000;
    let (letter, payload) = unreadable("cut", |_| (Vec::new(), vec![b'x'; size])).await;
    assert!(letter.reason().contains("980000 bytes"), "{}", letter.reason());
    assert_eq!(letter.headers[header::CUT_FROM], size.to_string());
    assert!(letter.payload.len() < size && payload.starts_with(&letter.payload));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_rejects_holds_up_nothing() {
    assert_eq!(failing("rejects", 1).await.reason(), "never acceptable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_always_fails_holds_up_its_key_alone_and_is_given_up() {
    assert_eq!(failing("retries", LIMITS.attempts as usize).await.reason(), "never there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_panics_holds_up_its_key_alone_and_is_given_up() {
    let letter = failing("panics", LIMITS.attempts as usize).await;
    assert_eq!(letter.reason(), "the decision panicked: never thought of 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_never_ends_holds_up_its_key_alone_and_is_given_up() {
    assert_eq!(failing("hangs", LIMITS.overdue as usize).await.reason(), "no decision within 4s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_panics_is_given_up_and_the_next_of_its_key_rings() {
    let _turn = TURN.lock().await;
    let place = Place::open("timers").await;
    let (key, other) = (place.key("timers"), place.key("other-0"));
    place.send(&key, POISON).await;
    place.send(&other, 1).await;
    let (shutdown, running) = place.start(None).await;
    place.wait_for(&[(key, &["2", "rang"]), (other, &["1"])]).await;
    assert_eq!(place.seen.of("timer"), [0, 1, 0], "the first rang twice, then the second once");
    assert!(!running.is_finished());
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_dead_letters_cannot_be_written_the_rest_goes_on_and_nothing_is_lost() {
    let _turn = TURN.lock().await;
    let place = Place::open("unavailable").await;
    let key = place.key("unreadable");
    place.send_around(&key, &Vec::new(), b"not json").await;
    // a port that nobody listens on
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nowhere = bus::Options {
        brokers: format!("127.0.0.1:{port}"),
        delivery_timeout_ms: 200,
        ..place.bench.common.kafka.clone()
    };
    let (shutdown, running) = place.start(Some(Producer::connect(&nowhere).unwrap())).await;
    let mut others = place.seen.others.subscribe();
    let passed = others.wait_for(|others| *others >= MEANWHILE);
    tokio::time::timeout(Duration::from_mins(1), passed).await.unwrap().unwrap();
    // time for several letters to fail: whoever gives up after one of them loses the record
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!running.is_finished());
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(place.letters(Trial::AGENT, &key).await.len(), 0);

    let (shutdown, running) = place.start(None).await;
    let letter = place.handled_around(&key).await;
    assert!(letter.reason().starts_with("malformed: "), "{}", letter.reason());
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// Number of a fault that a task in memory cannot go on after.
const FATAL: u32 = 4;

/// Notes the numbers of the faults of one place.
struct Tally {
    place: String,
    seen: Arc<Seen>,
}

impl Task for Tally {
    fn record(&mut self, _: Topic, _: i64, _: i64, payload: &[u8]) -> Result<Output, Error> {
        match decode::<Fault>(payload) {
            Ok(fault) if fault.environment == self.place => {
                assert!(fault.fault != POISON, "never thought of {}", fault.fault);
                self.seen.note(&fault.service, fault.fault);
                if fault.fault == FATAL {
                    return Err(Error::fatal(std::io::Error::other("cannot go on")));
                }
            }
            _ => {}
        }
        Ok(Output::default())
    }

    fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_> {
        Box::new(std::iter::empty())
    }

    fn saved(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_in_memory_survives_a_record_it_panics_on_and_one_of_another_version_and_ends_by_class() {
    let place = Place::open("partitioned").await;
    let key = place.key("tally");
    let mut newer = place.record(&key, 1);
    newer.envelope.kind = "firewatch.fault.v2".to_owned();
    place.send(&key, 1).await;
    place.write(&key, &newer.envelope.to_headers(), &newer.payload).await;
    place.send(&key, POISON).await;
    place.send(&key, 3).await;
    let settings = Settings {
        stage: Agent::Detection,
        topics: vec![Topic::SimFaults],
        state: Topic::DetectionState,
        snapshot_every: Duration::from_millis(100),
        snapshot_rate: 1e6,
    };
    let (name, seen) = (place.name.clone(), Arc::clone(&place.seen));
    let make =
        move |_, _: &mut dyn Iterator<Item = Part>| Tally { place: name.clone(), seen: Arc::clone(&seen) };
    let (kafka, shutdown) = (place.bench.common.kafka.clone(), CancellationToken::new());
    let stop = shutdown.clone();
    let running =
        tokio::spawn(
            async move { partitioned::run(&kafka, settings, &Readiness::default(), make, stop).await },
        );
    let done = until(Duration::from_mins(1), async || {
        let (seen, letters) = (place.seen.of(&key), place.letters(Agent::Detection, &key).await);
        if seen == [1, 3] && letters.len() == 2 { Ok(letters) } else { Err((seen, letters)) }
    });
    let letters = done.await.unwrap();
    assert!(letters[0].reason().contains(r#""firewatch.fault.v2""#), "{}", letters[0].reason());
    assert_eq!(letters[1].reason(), "the task panicked: never thought of 2");
    assert!(!running.is_finished());
    place.send(&key, FATAL).await;
    let ended = tokio::time::timeout(Duration::from_mins(1), running).await.unwrap().unwrap();
    assert!(ended.is_err());
    assert_eq!(place.letters(Agent::Detection, &key).await.len(), 2, "a fatal error refuses no record");
}
