//! The stage over a real Kafka and a real PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use communication::Communication;
use communication::channel::email::message_id;
use communication::channel::{Channels, Email};
use communication::content::Kind;
use communication::options::Options;
use shared::agent::Agent;
use shared::clock::SystemClock;
use shared::events::{Event, Topic};
use shared::ids::{EventId, derive};
use shared::service::{Deps, Readiness};
use shared::stage::run::{self, StageDeps};
use shared::store::NotificationState;
use stack::testing::bench::{Bench, until};
use tokio_util::sync::CancellationToken;

use crate::chat::Chat;
use crate::scenario;
use crate::server::{Script, Server};

const TOPICS: [Topic; 6] = [
    Topic::IncidentsOpened,
    Topic::IncidentsResolved,
    Topic::RcaCompleted,
    Topic::Plans,
    Topic::Postmortems,
    Topic::DeadLetters(Agent::Communication),
];

async fn publish<E: Event>(bench: &Bench, topic: Topic, event: &E, id: &str) {
    bench.send(topic, event, EventId(derive(&["pipeline", id])), scenario::onset()).await.unwrap();
}

fn header(message: &str, name: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next()?.replace("\r\n ", " ");
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
}

/// The cause overtakes the opening, the opening is delivered twice, a second cause follows, and the mail server is busy
/// at first: still five mails, each once, in one thread that begins with the opening. The same holds on a second channel, which
/// does not wait for the mail server.
#[tokio::test]
async fn whatever_happens_people_get_five_mails_in_one_thread() {
    let bench = Bench::open(&TOPICS).await.unwrap();
    let id = scenario::opened().incident_id;
    bench.record(id, scenario::opened(), vec![]).await.unwrap();

    let server = Server::start(Script { answers: vec![("RCPT", "451 too busy")], silent: false }).await;
    let commanders = vec!["first@example.com".into(), "chat:#incidents".into(), "second@example.com".into()];
    let options =
        Options { smtp_url: server.url.clone(), commanders, retry_initial_ms: 20, ..Options::default() };
    let chat = Arc::new(Chat::default());
    let email = Arc::new(Email::new(&options).unwrap());
    let channels = Channels::new([email as _, Arc::clone(&chat) as _]);
    let shutdown = CancellationToken::new();
    let deps = Deps { process: "communication-test".into(), readiness: Readiness::default() };
    let base =
        StageDeps::connect(&bench.common, &deps, Arc::new(SystemClock), &shutdown).await.unwrap().unwrap();
    let running = tokio::spawn(run::run(Communication::new(options, channels), base));

    let actions = async |wanted: &[(&str, usize)]| {
        let counted = until(Duration::from_mins(1), async || {
            let timeline = bench.store.reads().timeline(id).await.unwrap();
            let count = |action: &str| timeline.iter().filter(|entry| entry.action == action).count();
            let all = wanted.iter().all(|(action, times)| count(action) == *times);
            if all { Ok(()) } else { Err((wanted, timeline)) }
        });
        counted.await.unwrap();
    };
    publish(&bench, Topic::RcaCompleted, &scenario::root_cause(), "cause").await;
    actions(&[("mail_delayed", 1)]).await;
    publish(&bench, Topic::IncidentsOpened, &scenario::opened(), "opened").await;
    publish(&bench, Topic::IncidentsOpened, &scenario::opened(), "opened").await;
    publish(&bench, Topic::Plans, &scenario::plan(), "plan").await;
    publish(&bench, Topic::IncidentsResolved, &scenario::resolved(), "resolved").await;
    publish(&bench, Topic::Postmortems, &scenario::postmortem(), "postmortem").await;
    let mut second = scenario::root_cause();
    second.revision = 2;
    publish(&bench, Topic::RcaCompleted, &second, "second cause").await;
    actions(&[("mail_not_repeated", 2), ("mail_sent", 5)]).await;
    assert!(server.messages().is_empty());
    assert_eq!(chat.delivered().len(), 5, "one channel does not wait for the other");
    server.give_in();
    actions(&[("mail_sent", 10), ("mail_delayed", 1), ("mail_not_repeated", 2)]).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();

    let messages = server.messages();
    let mut ids: Vec<String> = messages.iter().map(|mail| header(mail, "Message-ID").unwrap()).collect();
    let expected = |kind| format!("<{}>", message_id(id, kind, 0, "firewatch.local"));
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
    let posted = chat.delivered();
    assert_eq!(posted[0].kind, Kind::Opened);
    assert!(posted.iter().all(|message| message.recipients == ["#incidents"]));
    let notifications = bench.store.reads().notifications(id).await.unwrap();
    assert!(notifications.iter().all(|(_, state)| *state == NotificationState::Sent));
}
