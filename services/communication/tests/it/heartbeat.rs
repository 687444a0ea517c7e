//! The heartbeat over a real Kafka and a real PostgreSQL, which is stopped and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use communication::heartbeat::{Heartbeat, Method, Options, Pipeline};
use shared::agent::Agent;
use shared::bus::{self, Consumer, Producer};
use shared::clock::SystemClock;
use shared::events::Topic;
use shared::service::{Common, Config, Deps, Readiness, Secret};
use shared::stage::run::StageDeps;
use shared::store;
use stack::parts::kafka::Further;
use stack::parts::postgres::Postgres;
use stack::testing::bench::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_mins(1);

/// Receives heartbeats; may never answer.
struct Receiver {
    url: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Receiver {
    async fn start(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping/secret-of-a-check", listener.local_addr().unwrap());
        let counts = Arc::<Counts>::default();
        let counting = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counting);
                tokio::spawn(async move {
                    let open = counts.open.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.most_open.fetch_max(open, Ordering::SeqCst);
                    let mut part = [0; 4096];
                    // the head of a request is one part
                    while stream.read(&mut part).await.is_ok_and(|bytes| bytes > 0) {
                        counts.requests.fetch_add(1, Ordering::SeqCst);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        if answers && stream.write_all(answer).await.is_err() {
                            break;
                        }
                    }
                    counts.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, counts }
    }

    fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Waits until there are more than `before`.
    async fn more_than(&self, before: usize) -> usize {
        let more = async || {
            let requests = self.requests();
            if requests > before { Ok(requests) } else { Err(requests) }
        };
        until(DEADLINE, more).await.unwrap()
    }
}

/// Tests in which heartbeats are withheld run one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// Returns the settings of a heartbeat once a second.
fn every_second(receiver: &Receiver, timeout_ms: u64) -> Options {
    Options {
        url: Secret::new(receiver.url.as_str()),
        method: Method::Post,
        interval_s: 1,
        timeout_ms,
        ..Options::default()
    }
}

/// A heartbeat over parts of its own.
struct Scene {
    postgres: Postgres,
    readiness: Readiness,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Scene {
    async fn start(options: Options) -> Self {
        let kafka =
            bus::Options { brokers: stack::testing::kafka().await.unwrap(), ..bus::Options::default() };
        bus::admin::Admin::new(&kafka).unwrap().provision(&[Topic::Anomalies]).await.unwrap();
        Self::over(kafka, options).await
    }

    async fn over(kafka: bus::Options, options: Options) -> Self {
        let postgres = stack::testing::postgres_with(&[]).await.unwrap();
        let url = postgres.url("firewatch");
        let database = store::Options { url, connect_timeout_ms: 1_000, ..store::Options::default() };
        let common = Common { kafka: kafka.clone(), postgres: database, ..Common::default() };
        let deps = Deps { process: "heartbeat-test".into(), readiness: Readiness::default() };
        let shutdown = CancellationToken::new();
        let base =
            StageDeps::connect(&common, &deps, Arc::new(SystemClock), &shutdown).await.unwrap().unwrap();
        let pipeline = Pipeline {
            readiness: deps.readiness.clone(),
            reads: base.store.reads().clone(),
            kafka,
            clock: Arc::clone(&base.clock),
        };
        let heartbeat = Heartbeat::new(&options).unwrap().unwrap();
        let running = tokio::spawn(heartbeat.run(pipeline, shutdown.clone()));
        Self { postgres, readiness: deps.readiness, shutdown, running }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.running).await.expect("it ends at once").unwrap();
    }

    /// Waits until one more turn has withheld its heartbeat. The counter is of the process: tests in which heartbeats are
    /// withheld take turns.
    async fn withheld(&self) {
        let count = || communication::metrics::HEARTBEATS.with(["withheld"]).get();
        let before = count();
        until(DEADLINE, async || if count() > before { Ok(()) } else { Err(count()) }).await.unwrap();
    }
}

#[tokio::test]
async fn no_heartbeat_is_sent_while_the_database_is_down_or_the_process_is_not_ready() {
    let _turn = TURN.lock().await;
    let receiver = Receiver::start(true).await;
    let scene = Scene::start(every_second(&receiver, 2_000)).await;
    receiver.more_than(1).await;

    scene.postgres.process().stop().await.unwrap();
    // the turn that was on its way when the database stopped may still have been a healthy one
    scene.withheld().await;
    let sent = receiver.requests();
    scene.withheld().await;
    scene.withheld().await;
    assert_eq!(receiver.requests(), sent, "heartbeats were sent without a database");

    scene.postgres.up().await.unwrap();
    let sent = receiver.more_than(sent).await;

    scene.readiness.down("progress", "no partitions were assigned for 60 s");
    scene.withheld().await;
    let before = receiver.requests();
    assert!(before >= sent);
    scene.withheld().await;
    assert_eq!(receiver.requests(), before, "heartbeats were sent by a process that is not ready");
    scene.readiness.up("progress");
    receiver.more_than(before).await;
    scene.stop().await;
}

/// Lets the agent postmortem read `records` records of its input, and go.
async fn read(kafka: &bus::Options, records: usize) {
    let agent = Agent::Postmortem;
    let mut consumer = Consumer::join(kafka, agent.name(), agent.inputs()).unwrap();
    for _ in 0..records {
        let mut record = consumer.next().await.unwrap();
        assert!(record.ticket.start());
        record.ticket.finish();
    }
    consumer.leave().await;
}

#[tokio::test]
async fn no_heartbeat_is_sent_while_another_agent_is_dead_and_records_wait_for_it() {
    let _turn = TURN.lock().await;
    let broker = stack::testing::kafka_with(&Further::default()).await.unwrap();
    let kafka = bus::Options { brokers: broker.brokers().to_owned(), ..bus::Options::default() };
    let topics = [Topic::Anomalies, Topic::IncidentsResolved];
    bus::admin::Admin::new(&kafka).unwrap().provision(&topics).await.unwrap();
    let producer = Producer::connect(&kafka).unwrap();
    let write =
        async || producer.send(Topic::IncidentsResolved, Some("1"), &Vec::new(), b"{}").await.unwrap();
    write().await;
    read(&kafka, 1).await;

    let receiver = Receiver::start(true).await;
    let options = Options { max_stall_s: 2, ..every_second(&receiver, 2_000) };
    let scene = Scene::over(kafka.clone(), options).await;
    let sent = receiver.more_than(3).await;
    assert!(sent > 3, "nothing waits for the agent that is away");

    write().await;
    scene.withheld().await;
    let sent = receiver.requests();
    scene.withheld().await;
    assert_eq!(receiver.requests(), sent, "heartbeats were sent while an agent was dead");

    read(&kafka, 1).await;
    receiver.more_than(sent).await;
    scene.stop().await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_has_one_request_at_a_time() {
    let receiver = Receiver::start(false).await;
    let scene = Scene::start(every_second(&receiver, 200)).await;
    receiver.more_than(3).await;
    assert_eq!(receiver.counts.most_open.load(Ordering::SeqCst), 1);
    scene.stop().await;
}

#[tokio::test]
async fn a_request_that_hangs_does_not_hold_up_the_end() {
    let receiver = Receiver::start(false).await;
    let scene = Scene::start(every_second(&receiver, 600_000)).await;
    receiver.more_than(0).await;
    scene.stop().await;
}

#[test]
fn settings_come_from_file_and_environment_and_the_address_is_masked() {
    let load = |file: &str, url: &str| {
        let variable = ("FIREWATCH_COMMUNICATION__HEARTBEAT__URL".to_owned(), url.to_owned());
        Config::<communication::Options>::from_sources("communication", Some(file), [variable].into())
    };
    let file = "[communication.heartbeat]\ninterval_s = 30\nmethod = 'post'\n";
    let config = load(file, "https://hc-ping.com/hunter2").unwrap();
    let heartbeat = &config.stage.heartbeat;
    assert_eq!((heartbeat.interval_s, heartbeat.method), (30, Method::Post));
    assert_eq!(heartbeat.url.expose(), "https://hc-ping.com/hunter2");
    let shown = format!("{} {heartbeat:?}", config.to_toml());
    assert!(!shown.contains("hunter2") && shown.contains("communication.heartbeat.url = \"***\""), "{shown}");

    let problems = load(file, "http://hc-ping.com/hunter2").unwrap_err().to_string();
    assert!(problems.contains("communication.heartbeat.url") && !problems.contains("hunter2"), "{problems}");
    assert!(load("[communication.heartbeat]\ninterval = 30\n", "").is_err());
}
