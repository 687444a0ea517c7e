//! A stage that fails as it is told to, and one test's own place on the bus and in the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::bus::Producer;
use shared::bus::dead_letter::header;
use shared::clock::{SystemClock, from_ms};
use shared::events::envelope::Headers;
use shared::events::fault::{Fault, Phase, Scenario};
use shared::events::{Outgoing, Refusal, Topic, decode};
use shared::ids::{EventId, IncidentId, derive};
use shared::service::{Deps, Readiness};
use shared::stage::run::{StageDeps, run};
use shared::stage::{Audit, Context, Effects, Error, Key, Limits, Stage, Timer};
use stack::testing::bench::{Bench, until};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Keys beside the poison's, with one record each.
const OTHERS: usize = 16;
/// Of these, how many must be handled while the poison is still being tried. The rest may share its lane.
pub(crate) const MEANWHILE: usize = OTHERS / 2;
/// The record of its key that is poison.
pub(crate) const POISON: u32 = 2;
/// Small, so that the tests are quick.
pub(crate) const LIMITS: Limits =
    Limits { decision: Duration::from_secs(4), attempts: 3, overdue: 2, timer_failures: 2 };

/// What a test's replicas were asked to do, in order: key and number of the record.
#[derive(Default)]
pub(crate) struct Seen {
    calls: Mutex<Vec<(String, u32)>>,
    /// Records of other keys that were handled.
    pub(crate) others: watch::Sender<usize>,
}

impl Seen {
    pub(crate) fn note(&self, key: &str, number: u32) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push((key.to_owned(), number));
    }

    pub(crate) fn calls(&self) -> Vec<(String, u32)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn of(&self, key: &str) -> Vec<u32> {
        self.calls().into_iter().filter(|(of, _)| of == key).map(|(_, number)| number).collect()
    }
}

/// Notes each fault in the audit trail. What it does with the poison is the last part of the key.
pub(crate) struct Trial {
    place: String,
    seen: Arc<Seen>,
}

fn incident(key: &str) -> IncidentId {
    IncidentId(derive(&["trial", key]))
}

pub(crate) fn noted(key: &str, summary: String) -> Effects {
    let audit = Audit {
        incident_id: incident(key),
        at: from_ms(0),
        action: AuditAction::PlanProposed,
        summary,
        detail: json!({}),
    };
    Effects { audit: vec![audit], ..Effects::none() }
}

#[async_trait]
impl Stage for Trial {
    const AGENT: Agent = Agent::Postmortem;
    const TOPICS: &'static [Topic] = &[Topic::SimFaults];
    type Input = Fault;

    fn decode(_: Topic, payload: &[u8]) -> Result<Fault, Refusal> {
        decode(payload)
    }

    fn key(input: &Fault) -> Key {
        Key::from(&input.service)
    }

    async fn handle(&self, input: &Fault, ctx: &Context) -> Result<Effects, Error> {
        if input.environment != self.place {
            // of a test that ran before
            return Ok(Effects::none());
        }
        let key = input.service.as_str();
        self.seen.note(key, input.fault);
        if key.contains("/other-") {
            self.seen.others.send_modify(|others| *others += 1);
        }
        let mut effects = noted(key, input.fault.to_string());
        if input.fault != POISON {
            return Ok(effects);
        }
        let behaviour = key.rsplit('/').next().unwrap_or_default();
        if behaviour == "hangs" {
            std::future::pending::<()>().await;
        }
        if ["rejects", "retries", "panics"].contains(&behaviour) {
            // fails only when others have passed it: if they could not, the reason would be that this took too long
            let _ = self.seen.others.subscribe().wait_for(|others| *others >= MEANWHILE).await;
        }
        match behaviour {
            "rejects" => return Err(Error::reject(anyhow::anyhow!("never acceptable"))),
            "retries" => return Err(Error::retry(anyhow::anyhow!("never there"))),
            "panics" => panic!("never thought of {}", input.fault),
            "timers" => {
                let timer = |seed, panics| {
                    Timer::named("later", key, &[seed], ctx.wall_clock(), json!({ "panics": panics }))
                };
                effects.timers = vec![timer("first", true), timer("second", false)];
            }
            _ => {}
        }
        Ok(effects)
    }

    async fn on_timer(&self, timer: &Timer, _: &Context) -> Result<Effects, Error> {
        self.seen.note("timer", timer.attempts);
        assert!(timer.payload["panics"] == json!(false), "a timer nobody thought of");
        Ok(noted(&timer.key, "rang".to_owned()))
    }
}

/// A dead letter.
#[derive(Debug)]
pub(crate) struct DeadLetter {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Vec<u8>,
}

impl DeadLetter {
    pub(crate) fn reason(&self) -> &str {
        &self.headers[header::REASON]
    }

    pub(crate) fn attempts(&self) -> &str {
        &self.headers[header::ATTEMPTS]
    }
}

/// One test's own keys on the bus, and its own database.
pub(crate) struct Place {
    pub(crate) bench: Bench,
    pub(crate) name: String,
    pub(crate) seen: Arc<Seen>,
}

impl Place {
    pub(crate) async fn open(test: &str) -> Self {
        let topics = [Topic::SimFaults, Topic::DetectionState]
            .into_iter()
            .chain([Agent::Postmortem, Agent::Detection].map(Topic::DeadLetters));
        let bench = Bench::open(&topics.collect::<Vec<_>>()).await.unwrap();
        let name = bench.incident(test).to_string();
        Self { bench, name, seen: Arc::default() }
    }

    pub(crate) fn key(&self, behaviour: &str) -> String {
        format!("{}/{behaviour}", self.name)
    }

    fn others(&self) -> Vec<String> {
        (0..OTHERS).map(|number| self.key(&format!("other-{number}"))).collect()
    }

    /// Returns a record as a producer writes it.
    pub(crate) fn record(&self, key: &str, number: u32) -> Outgoing {
        let fault = Fault {
            fault: number,
            scenario: Scenario::ErrorSpike,
            service: key.to_owned(),
            phase: Phase::Started,
            at: from_ms(0),
            environment: self.name.clone(),
        };
        let id = EventId::of("trial", key, number);
        Outgoing::new(Topic::SimFaults, &fault, id, "test", from_ms(0), None).unwrap()
    }

    pub(crate) async fn write(&self, key: &str, headers: &Headers, payload: &[u8]) {
        self.bench.producer.send(Topic::SimFaults, Some(key), headers, payload).await.unwrap();
    }

    pub(crate) async fn send(&self, key: &str, number: u32) {
        let record = self.record(key, number);
        self.write(key, &record.envelope.to_headers(), &record.payload).await;
    }

    /// Writes one record before the poison, the poison, two of the same key behind it, and one of each other key. Those
    /// have no envelope: none is needed.
    pub(crate) async fn send_around(&self, key: &str, headers: &Headers, poison: &[u8]) {
        self.send(key, 1).await;
        self.write(key, headers, poison).await;
        for number in [3, 4] {
            self.send(key, number).await;
        }
        for other in self.others() {
            self.write(&other, &Vec::new(), &self.record(&other, 1).payload).await;
        }
    }

    /// Starts a replica; its dead letters go through `producer`, if one is given.
    pub(crate) async fn start(
        &self,
        producer: Option<Producer>,
    ) -> (CancellationToken, JoinHandle<anyhow::Result<()>>) {
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "one".to_owned(), readiness: Readiness::default() };
        let connected = StageDeps::connect(&self.bench.common, &deps, Arc::new(SystemClock), &shutdown).await;
        let mut base = connected.unwrap().unwrap();
        base.limits = LIMITS;
        base.producer = producer.unwrap_or(base.producer);
        let stage = Trial { place: self.name.clone(), seen: Arc::clone(&self.seen) };
        (shutdown, tokio::spawn(run(stage, base)))
    }

    /// Waits until each key has these notes, in this order, and no others.
    pub(crate) async fn wait_for(&self, expected: &[(String, &[&str])]) {
        let matched = until(Duration::from_mins(1), async || {
            for (key, notes) in expected {
                let timeline = self.bench.store.reads().timeline(incident(key)).await.unwrap();
                let found: Vec<String> = timeline.into_iter().map(|entry| entry.summary).collect();
                if found != *notes {
                    return Err((key.clone(), found, self.seen.calls()));
                }
            }
            Ok(())
        });
        matched.await.unwrap();
    }

    pub(crate) async fn letters(&self, stage: Agent, key: &str) -> Vec<DeadLetter> {
        let lines = self.bench.records(Topic::DeadLetters(stage), key).await.unwrap();
        lines
            .into_iter()
            .map(|line| DeadLetter {
                headers: line.headers.into_iter().collect(),
                payload: line.payload.unwrap_or_default(),
            })
            .collect()
    }

    /// Checks that all but the poison were handled exactly once, and returns the poison's only dead letter.
    pub(crate) async fn handled_around(&self, key: &str) -> DeadLetter {
        let mut expected: Vec<(String, &[&str])> = vec![(key.to_owned(), &["1", "3", "4"])];
        expected.extend(self.others().into_iter().map(|other| (other, &["1"][..])));
        self.wait_for(&expected).await;
        for other in self.others() {
            assert_eq!(self.seen.of(&other), [1], "{other} was decided on more than once");
        }
        let origin = &self.bench.records(Topic::SimFaults, key).await.unwrap()[1];
        let mut letters = until(Duration::from_secs(20), async || {
            let letters = self.letters(Trial::AGENT, key).await;
            if letters.is_empty() { Err("no dead letter yet") } else { Ok(letters) }
        })
        .await
        .unwrap();
        assert_eq!(letters.len(), 1, "{letters:?}");
        let letter = letters.remove(0);
        for (name, value) in [
            (header::TOPIC, Topic::SimFaults.name().to_owned()),
            (header::PARTITION, origin.partition.to_string()),
            (header::OFFSET, origin.offset.to_string()),
        ] {
            assert_eq!(letter.headers[name], value, "{name}");
        }
        for (name, value) in &origin.headers {
            assert_eq!(letter.headers.get(name), Some(value), "the letter keeps the record's own headers");
        }
        letter
    }
}
