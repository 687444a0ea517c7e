//! The runtime over a real Kafka and a real PostgreSQL: order, retries, poison, redelivery, takeover.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::bus::dead_letter;
use shared::clock::{SystemClock, from_ms};
use shared::events::remediation::ActionResult;
use shared::events::{Refusal, Topic, decode};
use shared::ids::{EventId, IncidentId, PlanId, derive};
use shared::service::{Deps, Readiness};
use shared::stage::run::{StageDeps, run};
use shared::stage::{Audit, Context, Effects, Error, Key, Stage, Timer};
use stack::testing::bench::{Bench, until};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// One consumer group is shared by all tests here, so they run one after another.
pub(super) static TURN: Mutex<()> = Mutex::const_new(());

/// Notes each action in the audit trail. Some outcomes make it fail.
#[derive(Default)]
struct Notes {
    failures: AtomicU32,
    /// Paid steps of each incident: the topic is shared with other tests.
    steps: std::sync::Mutex<BTreeMap<IncidentId, u32>>,
}

#[async_trait]
impl Stage for Notes {
    const AGENT: Agent = Agent::Remediation;
    const TOPICS: &'static [Topic] = &[Topic::Actions];
    type Input = ActionResult;

    fn decode(_: Topic, payload: &[u8]) -> Result<ActionResult, Refusal> {
        decode(payload)
    }

    fn key(input: &ActionResult) -> Key {
        Key::from(input.incident_id)
    }

    async fn handle(&self, input: &ActionResult, ctx: &Context) -> Result<Effects, Error> {
        let pay = async || {
            let mut steps = self.steps.lock().unwrap();
            let paid = steps.entry(input.incident_id).or_default();
            *paid += 1;
            Ok(*paid)
        };
        let paid: u32 = ctx.step("pay", pay).await?;
        match input.outcome.as_str() {
            "look" => {
                ctx.store.incident(input.incident_id).await?;
            }
            "reject" => return Err(Error::reject(anyhow::anyhow!("never acceptable"))),
            "always retry" => return Err(Error::retry(anyhow::anyhow!("never there"))),
            "fail twice" if self.failures.fetch_add(1, Ordering::SeqCst) < 2 => {
                return Err(Error::retry(anyhow::anyhow!("not yet")));
            }
            _ => {}
        }
        Ok(Effects {
            audit: vec![Audit {
                incident_id: input.incident_id,
                at: from_ms(i64::from(input.order)),
                action: AuditAction::PlanProposed,
                summary: input.outcome.clone(),
                detail: json!({ "paid": paid }),
            }],
            timers: (input.outcome == "timer")
                .then(|| {
                    Timer::named("later", input.incident_id.to_string(), &[], ctx.wall_clock(), json!({}))
                })
                .into_iter()
                .collect(),
            ..Effects::none()
        })
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        // due again once, then done
        let first = timer.attempts == 0;
        Ok(Effects {
            audit: vec![Audit {
                incident_id: timer.key.parse().map_err(Error::reject)?,
                at: from_ms(1_000),
                action: AuditAction::PlanUnchanged,
                summary: format!("attempt {}", timer.attempts + 1),
                detail: json!({}),
            }],
            again: first.then(|| ctx.wall_clock()),
            ..Effects::none()
        })
    }
}

pub(super) struct Place(pub(super) Bench);

impl Place {
    pub(super) async fn open() -> Self {
        Self(Bench::open(&[Topic::Actions, Topic::DeadLetters(Agent::Remediation)]).await.unwrap())
    }

    /// Starts a replica.
    pub(super) async fn start(
        &self,
        name: &str,
    ) -> (Arc<CancellationToken>, tokio::task::JoinHandle<anyhow::Result<()>>) {
        let shutdown = CancellationToken::new();
        let deps = Deps { process: name.to_owned(), readiness: Readiness::default() };
        let base = StageDeps::connect(&self.0.common, &deps, Arc::new(SystemClock), &shutdown)
            .await
            .unwrap()
            .unwrap();
        (Arc::new(shutdown), tokio::spawn(run(Notes::default(), base)))
    }

    pub(super) async fn send(&self, incident_id: IncidentId, order: u32, outcome: &str) {
        let result = ActionResult {
            incident_id,
            plan_id: PlanId(derive(&["plan"])),
            order,
            outcome: outcome.to_owned(),
            at: from_ms(1),
        };
        let id = EventId::of("stage", &incident_id.to_string(), order);
        self.0.send(Topic::Actions, &result, id, from_ms(1)).await.unwrap();
    }

    async fn noted(&self, id: IncidentId) -> Vec<String> {
        self.0.store.reads().timeline(id).await.unwrap().into_iter().map(|entry| entry.summary).collect()
    }

    /// Waits until the incident's notes are `expected`.
    pub(super) async fn wait_for(&self, id: IncidentId, expected: &[&str]) {
        let matched = until(Duration::from_secs(40), async || {
            let noted = self.noted(id).await;
            if noted == expected { Ok(()) } else { Err((expected, noted)) }
        });
        matched.await.unwrap();
    }

    /// Returns reason and payload of the dead letters of a key.
    pub(super) async fn dead_letters(&self, key: &str) -> Vec<(String, Vec<u8>)> {
        let letters = self.0.records(Topic::DeadLetters(Agent::Remediation), key).await.unwrap();
        letters
            .into_iter()
            .map(|line| {
                let headers: BTreeMap<String, String> = line.headers.into_iter().collect();
                (headers[dead_letter::header::REASON].clone(), line.payload.unwrap_or_default())
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivered_event_has_one_effect_and_a_paid_step_is_paid_once() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let id = place.0.incident("again");
    for _ in 0..3 {
        place.send(id, 1, "fail twice").await;
    }
    place.send(id, 2, "end").await;
    let (shutdown, running) = place.start("one").await;
    place.wait_for(id, &["fail twice", "end"]).await;
    let paid: Vec<i64> = place
        .0
        .store
        .reads()
        .timeline(id)
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.detail["paid"].as_i64().unwrap())
        .collect();
    assert_eq!(paid, [1, 2], "the step of the first event ran once although it was tried three times");
    // what alerts watch
    let shown = until(Duration::from_secs(20), async || {
        let shown = shared::metrics::render();
        let all = [
            r#"firewatch_outbox_age_seconds{stage="remediation"}"#,
            r#"firewatch_timer_late_seconds{stage="remediation"}"#,
            r#"firewatch_clock_skew_seconds{dependency="postgres"}"#,
        ];
        if all.iter().all(|series| shown.contains(series)) { Ok(shown) } else { Err(shown) }
    });
    let shown = shown.await.unwrap();
    let ages = r#"firewatch_event_age_seconds_count{stage="remediation"} "#;
    let observed = shown.lines().find_map(|line| line.strip_prefix(ages)).unwrap();
    assert!(observed.parse::<u64>().unwrap() >= 2, "{observed}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letters_and_blocks_nothing() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let id = place.0.incident("poison");
    let key = id.to_string();
    for bytes in [&b"\xff\xfe not json"[..], b"", b"{\"incident_id\":1}"] {
        place.0.producer.send(Topic::Actions, Some(&key), &Vec::new(), bytes).await.unwrap();
    }
    place.send(id, 1, "reject").await;
    place.send(id, 2, "always retry").await;
    place.send(id, 3, "good").await;
    let (shutdown, running) = place.start("one").await;
    place.wait_for(id, &["good"]).await;
    let letters = place.dead_letters(&key).await;
    assert_eq!(letters.len(), 5, "{letters:?}");
    assert!(
        letters
            .iter()
            .any(|(reason, payload)| reason.contains("malformed") && payload == b"\xff\xfe not json")
    );
    assert!(letters.iter().any(|(reason, _)| reason.contains("never acceptable")), "{letters:?}");
    assert!(letters.iter().any(|(reason, _)| reason.contains("never there")), "{letters:?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_work_and_one_takes_over_without_loss_or_repetition() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let ids: Vec<IncidentId> = (0..12).map(|n| place.0.incident(&format!("shared-{n}"))).collect();
    let (first, first_running) = place.start("first").await;
    let (second, second_running) = place.start("second").await;
    let expected: Vec<String> = (1..=20).map(|order| format!("step {order}")).collect();
    for order in 1..=20 {
        for id in &ids {
            place.send(*id, order, &format!("step {order}")).await;
        }
        if order == 10 {
            first.cancel();
        }
    }
    first_running.await.unwrap().unwrap();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    for id in &ids {
        place.wait_for(*id, &expected).await;
    }
    second.cancel();
    second_running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_asks_for_it_rings_again_and_each_attempt_is_on_record() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let id = place.0.incident("timer");
    place.send(id, 1, "timer").await;
    let (shutdown, running) = place.start("one").await;
    place.wait_for(id, &["timer", "attempt 1", "attempt 2"]).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
