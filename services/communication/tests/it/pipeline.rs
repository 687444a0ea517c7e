//! The stage over a real Kafka and a real PostgreSQL.

use std::time::{Duration, Instant};

use communication::occasion::{Kind, message_id};
use communication::options::Options;
use shared::bus::{self, Producer};
use shared::events::{Event, Incident, Outgoing, Topic};
use shared::ids::{EventId, derive};
use shared::service::{Common, Config, Deps, Readiness};
use shared::stage::{Effects, IncidentChange};
use shared::store::apply::Cause;
use shared::store::lifecycle::{Assessment, Change};
use shared::store::{self, NotificationState, Store};
use tokio_util::sync::CancellationToken;

use crate::scenario;
use crate::server::{Script, Server};

const TOPICS: [Topic; 6] = [
    Topic::IncidentsOpened,
    Topic::IncidentsResolved,
    Topic::RcaCompleted,
    Topic::Plans,
    Topic::Postmortems,
    Topic::DeadLetters("communication"),
];

/// Puts the incident on record, as correlation does.
async fn record(store: &Store, incident: Incident) {
    let assessment = Box::new(Assessment {
        title: incident.title,
        severity: incident.severity,
        suspects: incident.suspects,
        signals: incident.signals,
        blast_radius: incident.blast_radius,
        deployment: incident.deployment,
    });
    let change = Change::Opened { environment: incident.environment, at: incident.opened_at, assessment };
    let effects = Effects {
        incidents: vec![IncidentChange { incident_id: incident.incident_id, change, publish: None }],
        ..Effects::default()
    };
    let cause = Cause::Event(EventId(derive(&["recorded"])));
    store.apply("correlation", cause, None, &effects).await.unwrap();
}

async fn publish<E: Event>(producer: &Producer, topic: Topic, event: &E, id: &str) {
    let id = EventId(derive(&["pipeline", id]));
    let outgoing = Outgoing::new(topic, event, id, "test", scenario::onset(), None).unwrap();
    let headers = outgoing.envelope.to_headers();
    producer.send(topic, Some(&outgoing.key), &headers, &outgoing.payload).await.unwrap();
}

fn header(message: &str, name: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next()?.replace("\r\n ", " ");
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
}

/// The cause overtakes the opening, the opening is delivered twice, a second cause follows, and the mail server is busy
/// at first: still five mails, each once, in one thread that begins with the opening.
#[tokio::test]
async fn whatever_happens_people_get_five_mails_in_one_thread() {
    let database = stack::testing::postgres().await.unwrap();
    let kafka = bus::Options {
        brokers: stack::testing::kafka().await.unwrap(),
        session_timeout_ms: 6_000,
        drain_timeout_ms: 3_000,
        ..bus::Options::default()
    };
    bus::admin::Admin::new(&kafka).unwrap().provision(&TOPICS).await.unwrap();
    let producer = Producer::connect(&kafka).unwrap();
    let store = database.store().unwrap();
    let id = scenario::opened().incident_id;
    record(&store, scenario::opened()).await;

    let server = Server::start(Script { answers: vec![("RCPT", "451 too busy")], silent: false }).await;
    let commanders = vec!["first@example.com".into(), "second@example.com".into()];
    let options =
        Options { smtp_url: server.url.clone(), commanders, retry_initial_ms: 20, ..Options::default() };
    let postgres = store::Options { url: database.url(), ..store::Options::default() };
    let config = Config::of("communication", Common { kafka, postgres, ..Common::default() }, options);
    let shutdown = CancellationToken::new();
    let deps = Deps { process: "communication-test".into(), readiness: Readiness::default() };
    let running = tokio::spawn(communication::run(config, deps, shutdown.clone()));

    let deadline = Instant::now() + Duration::from_mins(1);
    let actions = async |wanted: &[(&str, usize)]| {
        loop {
            let timeline = store.timeline(id).await.unwrap();
            let count = |action: &str| timeline.iter().filter(|entry| entry.action == action).count();
            if wanted.iter().all(|(action, times)| count(action) == *times) {
                return;
            }
            assert!(Instant::now() < deadline, "wanted {wanted:?}, saw {timeline:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    publish(&producer, Topic::RcaCompleted, &scenario::root_cause(), "cause").await;
    actions(&[("mail_delayed", 1)]).await;
    publish(&producer, Topic::IncidentsOpened, &scenario::opened(), "opened").await;
    publish(&producer, Topic::IncidentsOpened, &scenario::opened(), "opened").await;
    publish(&producer, Topic::Plans, &scenario::plan(), "plan").await;
    publish(&producer, Topic::IncidentsResolved, &scenario::resolved(), "resolved").await;
    publish(&producer, Topic::Postmortems, &scenario::postmortem(), "postmortem").await;
    let mut second = scenario::root_cause();
    second.revision = 2;
    publish(&producer, Topic::RcaCompleted, &second, "second cause").await;
    actions(&[("mail_not_repeated", 2)]).await;
    assert!(server.messages().is_empty());
    server.give_in();
    actions(&[("mail_sent", 5), ("mail_delayed", 1), ("mail_not_repeated", 2)]).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();

    let messages = server.messages();
    let mut ids: Vec<String> = messages.iter().map(|mail| header(mail, "Message-ID").unwrap()).collect();
    let expected = |kind| format!("<{}>", message_id(id, kind, "firewatch.local"));
    assert_eq!(ids[0], expected(Kind::Opened), "the thread begins with the opening");
    for reply in &messages[1..] {
        assert_eq!(header(reply, "In-Reply-To"), Some(expected(Kind::Opened)));
    }
    ids.sort_unstable();
    let mut all = Kind::ALL.map(expected);
    all.sort_unstable();
    assert_eq!(ids, all);
    let to = header(&messages[0], "To").unwrap();
    assert_eq!(to, "first@example.com, second@example.com");
    let notifications = store.notifications(id).await.unwrap();
    assert!(notifications.iter().all(|(_, state)| *state == NotificationState::Sent));
}
