//! A replay over a real Kafka and a real PostgreSQL: what it repeats, what it tells apart, and what it leaves behind.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::clock::{Clock as _, SystemClock};
use shared::events::raw::{Span, SpanStatus};
use shared::events::remediation::ActionResult;
use shared::events::{Refusal, Topic, decode};
use shared::ids::{EventId, IncidentId, PlanId, derive};
use shared::replay::{self, PREFIX, Report, Request, Verdict};
use shared::service::{Deps, Readiness};
use shared::stage::run::{self, StageDeps};
use shared::stage::{Audit, Context, Effects, Error, Key, Stage, Timer};
use shared::store::apply::Cause;
use shared::testing;
use stack::testing::bench::{Bench, until};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// One consumer group and one topic are shared by all tests here, so they run one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// Says what it hears of one incident, with its place among what it has heard. Some words make it refuse, some make it
/// wait.
struct Echo {
    of: IncidentId,
    voice: &'static str,
    pause: SignedDuration,
}

impl Echo {
    async fn say(&self, id: IncidentId, words: &str, ctx: &Context) -> Result<Effects, Error> {
        let order = ctx.store.timeline(id).await?.len() as u32 + 1;
        let said = ActionResult {
            incident_id: id,
            plan_id: PlanId(derive(&["echo"])),
            order,
            outcome: format!("{} {words}", self.voice),
            at: Timestamp::UNIX_EPOCH,
        };
        let event = said_id(id, words);
        let audit = Audit {
            incident_id: id,
            at: Timestamp::UNIX_EPOCH,
            action: AuditAction::PostmortemWritten,
            summary: said.outcome.clone(),
            detail: json!({}),
        };
        let publish = vec![ctx.outgoing(Topic::Plans, &said, event, said.at)?];
        Ok(Effects { audit: vec![audit], publish, ..Effects::none() })
    }
}

fn said_id(id: IncidentId, words: &str) -> EventId {
    EventId(derive(&["said", &id.to_string(), words]))
}

#[async_trait]
impl Stage for Echo {
    const AGENT: Agent = Agent::Postmortem;
    const TOPICS: &'static [Topic] = &[Topic::RawSpans];
    type Input = Span;

    fn decode(_: Topic, payload: &[u8]) -> Result<Span, Refusal> {
        decode(payload)
    }

    fn key(span: &Span) -> Key {
        Key::from(&span.trace_id)
    }

    async fn handle(&self, span: &Span, ctx: &Context) -> Result<Effects, Error> {
        let id: IncidentId = span.trace_id.parse().map_err(Error::reject)?;
        match span.operation.as_str() {
            // another test's
            _ if id != self.of => Ok(Effects::none()),
            "refuse" => Err(Error::reject(anyhow::anyhow!("{} no", self.voice))),
            "later" => {
                let due = ctx.wall_clock() + self.pause;
                let timer = Timer::named("echo", id.to_string(), &[&span.span_id], due, json!(span.span_id));
                Ok(Effects { timers: vec![timer], ..Effects::none() })
            }
            _ => self.say(id, &span.span_id, ctx).await,
        }
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        let id = timer.key.parse().map_err(Error::reject)?;
        self.say(id, timer.payload.as_str().unwrap_or_default(), ctx).await
    }
}

/// A database of its own, and one incident that no other test knows.
struct Place {
    bench: Bench,
    id: IncidentId,
    from: Timestamp,
}

impl Place {
    async fn open() -> Self {
        let topics = [Topic::RawSpans, Topic::Plans, Topic::DeadLetters(Agent::Postmortem)];
        let bench = Bench::open(&topics).await.unwrap();
        let id = bench.incident("echo");
        // timestamps of records are milliseconds
        let from = shared::clock::from_ms(SystemClock.now().as_millisecond());
        Self { bench, id, from }
    }

    fn span(&self, words: &str, operation: &str) -> Span {
        Span {
            trace_id: self.id.to_string(),
            span_id: words.into(),
            parent_span_id: None,
            service: "payment".into(),
            operation: operation.into(),
            ts_ms: 1,
            duration_ms: 1.0,
            status: SpanStatus::Ok,
            environment: "production".into(),
            peer: None,
        }
    }

    async fn send(&self, words: &str, operation: &str) -> EventId {
        let id = EventId(derive(&[&self.id.to_string(), words]));
        let span = self.span(words, operation);
        self.bench.send(Topic::RawSpans, &span, id, self.from).await.unwrap();
        id
    }

    /// Lets production handle what is there, until it has said so many things and refused so many.
    async fn produce(&self, said: usize, refused: usize) {
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "echo".to_owned(), readiness: Readiness::default() };
        let base = StageDeps::connect(&self.bench.common, &deps, Arc::new(SystemClock), &shutdown).await;
        let running = tokio::spawn(run::run(self.quiet(), base.unwrap().unwrap()));
        let key = self.id.to_string();
        until(Duration::from_mins(1), async || {
            let plans = self.bench.records(Topic::Plans, &key).await.unwrap().len();
            let letters =
                self.bench.records(Topic::DeadLetters(Agent::Postmortem), &key).await.unwrap().len();
            if (plans, letters) == (said, refused) { Ok(()) } else { Err((plans, letters)) }
        })
        .await
        .unwrap();
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }

    fn quiet(&self) -> Echo {
        Echo { of: self.id, voice: "says", pause: SignedDuration::from_millis(300) }
    }

    fn request(&self) -> Request {
        Request {
            from: self.from,
            to: SystemClock.now(),
            warm_up: SignedDuration::ZERO,
            limit: 1_000,
            keep: false,
        }
    }

    async fn replay(&self, stage: &Echo, request: &Request) -> Result<Report, replay::Error> {
        let outcome =
            replay::run(stage, &self.bench.common, request, &|_| {}, &CancellationToken::new()).await;
        assert_eq!(self.schemas().await.len(), usize::from(request.keep && outcome.is_ok()), "{outcome:?}");
        outcome
    }

    async fn schemas(&self) -> Vec<String> {
        let client = testing::client(&self.bench.store).await.unwrap();
        let named = "select nspname::text from pg_namespace where starts_with(nspname, $1) order by 1";
        client
            .query(named, &[&PREFIX])
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.try_get(0).unwrap())
            .collect()
    }

    async fn execute(&self, statements: &str) {
        testing::client(&self.bench.store).await.unwrap().batch_execute(statements).await.unwrap();
    }
}

/// Returns, in a line each, what a report says: topic, same, different, only production, only replay.
fn tallies(report: &Report) -> Vec<(&str, [u64; 4])> {
    let counts = report.outputs.iter();
    counts.map(|t| (t.topic.as_str(), [t.same, t.different, t.only_then, t.only_now])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_timers_redeliveries_and_refusals_come_out_as_they_did() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    place.send("one", "now").await;
    place.send("two", "later").await;
    place.send("one", "now").await;
    place.send("three", "refuse").await;
    place.send("four", "now").await;
    let key = place.id.to_string();
    place.bench.producer.send(Topic::RawSpans, Some(&key), &Vec::new(), b"{").await.unwrap();
    place.produce(3, 2).await;

    let request = place.request();
    let report = place.replay(&place.quiet(), &request).await.unwrap();
    let expected = [("dlq.postmortem", [2, 0, 0, 0]), ("remediation.plans", [3, 0, 0, 0])];
    assert_eq!(tallies(&report), expected, "{report:#?}");
    assert_eq!((report.records, report.events, report.timers), (6, 4, 1), "{report:#?}");
    assert_eq!(place.replay(&place.quiet(), &request).await.unwrap(), report, "twice the same");

    let loud = Echo { voice: "shouts", ..place.quiet() };
    let report = place.replay(&loud, &request).await.unwrap();
    let expected = [("dlq.postmortem", [1, 1, 0, 0]), ("remediation.plans", [0, 3, 0, 0])];
    assert_eq!(tallies(&report), expected, "{report:#?}");
    let plan = report.differences.iter().find(|difference| difference.topic == "remediation.plans").unwrap();
    let fields: Vec<&str> = plan.fields.iter().map(|field| field.path.as_str()).collect();
    assert_eq!(fields, ["outcome"], "{report:#?}");
    assert_eq!(plan.fields[0].now, Some(json!("shouts one")));

    let patient = Echo { pause: SignedDuration::from_hours(1), ..place.quiet() };
    let report = place.replay(&patient, &request).await.unwrap();
    let lost: Vec<_> = report.differences.iter().filter(|d| d.verdict == Verdict::OnlyThen).collect();
    assert_eq!((lost.len(), report.timers), (1, 0), "the timer rings long after the window: {report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_in_the_order_production_took_them() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let first = place.send("first", "now").await;
    let second = place.send("second", "now").await;
    for (id, order) in [(second, 1), (first, 2)] {
        let said = Audit {
            incident_id: place.id,
            at: Timestamp::UNIX_EPOCH,
            action: AuditAction::PostmortemWritten,
            summary: order.to_string(),
            detail: json!({}),
        };
        let effects = Effects { audit: vec![said], ..Effects::none() };
        testing::apply(&place.bench.store, Echo::NAME, Cause::Event(id), &effects).await.unwrap();
    }
    let report = place.replay(&place.quiet(), &place.request()).await.unwrap();
    let ids: Vec<Option<String>> = report.differences.iter().map(|found| found.now_id.clone()).collect();
    let expected = ["second", "first"].map(|words| Some(said_id(place.id, words).to_string()));
    assert_eq!(ids, expected, "{report:#?}");
    assert!(report.differences.iter().all(|found| found.verdict == Verdict::OnlyNow), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_the_window_is_warmed_up_with_and_not_compared() {
    let _turn = TURN.lock().await;
    let mut place = Place::open().await;
    place.send("early", "now").await;
    place.produce(1, 0).await;
    let start = place.from;
    place.from = shared::clock::from_ms(SystemClock.now().as_millisecond());
    place.send("late", "now").await;
    place.produce(2, 0).await;
    let warm_up = place.from.duration_since(start);
    let report = place.replay(&place.quiet(), &Request { warm_up, ..place.request() }).await.unwrap();
    assert_eq!(tallies(&report), [("remediation.plans", [1, 0, 0, 0])], "{report:#?}");
    assert_eq!(report.events, 2);
    // without it the second is the first that is heard
    let report = place.replay(&place.quiet(), &place.request()).await.unwrap();
    assert_eq!(tallies(&report), [("remediation.plans", [0, 1, 0, 0])], "{report:#?}");
    assert_eq!(report.differences[0].fields[0].path, "order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_leaves_nothing_behind() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    for words in ["one", "two", "three"] {
        place.send(words, "now").await;
    }
    let outcome = place.replay(&place.quiet(), &Request { limit: 2, ..place.request() }).await;
    assert!(matches!(outcome, Err(replay::Error::TooMany { limit: 2 })), "{outcome:?}");

    let stopped = CancellationToken::new();
    stopped.cancel();
    let outcome = replay::run(&place.quiet(), &place.bench.common, &place.request(), &|_| {}, &stopped).await;
    assert!(matches!(outcome, Err(replay::Error::Interrupted)), "{outcome:?}");
    assert_eq!(place.schemas().await, [""; 0]);

    place.execute("insert into refinery_schema_history (version, name) values (9999, 'ahead')").await;
    let outcome = place.replay(&place.quiet(), &place.request()).await;
    assert!(matches!(outcome, Err(replay::Error::OtherVersion { theirs: Some(9999), .. })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_schema_goes_with_the_next_replay_and_one_that_is_kept_or_in_use_stays() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    place.send("one", "now").await;
    let mut kept = place.replay(&place.quiet(), &Request { keep: true, ..place.request() }).await.unwrap();
    let kept = kept.schema.take().unwrap();
    let (abandoned, used) = (format!("{PREFIX}1_1"), format!("{PREFIX}1_2"));
    place.execute(&format!("create schema {abandoned}; create table {abandoned}.t (x int)")).await;
    place.execute(&format!("create schema {used}")).await;
    let holder = testing::client(&place.bench.store).await.unwrap();
    holder
        .query_one("select pg_advisory_lock(hashtext('firewatch_replay'), hashtext($1))", &[&used])
        .await
        .unwrap();
    replay::run(&place.quiet(), &place.bench.common, &place.request(), &|_| {}, &CancellationToken::new())
        .await
        .unwrap();
    let mut expected = vec![kept, used];
    expected.sort_unstable();
    assert_eq!(place.schemas().await, expected);
}
