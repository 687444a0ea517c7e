//! The stage over a real Kafka and a real PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use communication::Communication;
use communication::channel::email::message_id;
use communication::channel::{Channels, Email};
use communication::content::{Kind, LifecycleEvent};
use communication::options::Options;
use communication::stage::Input;
use shared::agent::Agent;
use shared::clock::SystemClock;
use shared::events::{Event, Incident, Severity, Topic};
use shared::ids::{EventId, IncidentId, derive};
use shared::service::{Deps, Readiness};
use shared::stage::Stage as _;
use shared::stage::run::{self, StageDeps};
use shared::store::apply::Cause;
use shared::store::{NotificationState, Write};
use shared::testing;
use stack::testing::bench::{Bench, until};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::chat::{Chat, Message};
use crate::doubles::Fault;
use crate::scenario;
use crate::server::{Script, Server};
use crate::services::{Lab, assert_no_secret};

const TOPICS: [Topic; 6] = [
    Topic::IncidentsOpened,
    Topic::IncidentsResolved,
    Topic::RcaCompleted,
    Topic::Plans,
    Topic::Postmortems,
    Topic::DeadLetters(Agent::Communication),
];

/// Tests that read the topics are members of one consumer group: one of them runs at a time.
static GROUP: Mutex<()> = Mutex::const_new(());

async fn publish<E: Event>(bench: &Bench, topic: Topic, event: &E, id: &str) {
    bench.send(topic, event, EventId(derive(&["pipeline", id])), scenario::onset()).await.unwrap();
}

/// Starts the stage.
async fn started(
    bench: &Bench,
    options: Options,
    channels: Channels,
) -> (JoinHandle<Result<(), anyhow::Error>>, CancellationToken) {
    let shutdown = CancellationToken::new();
    let deps = Deps { process: "communication-test".into(), readiness: Readiness::default() };
    let base =
        StageDeps::connect(&bench.common, &deps, Arc::new(SystemClock), &shutdown).await.unwrap().unwrap();
    (tokio::spawn(run::run(Communication::new(options, channels), base)), shutdown)
}

/// Waits until each action is on record that often.
async fn actions(bench: &Bench, id: IncidentId, wanted: &[(&str, usize)]) {
    let counted = until(Duration::from_mins(1), async || {
        let timeline = bench.store.reads().timeline(id).await.unwrap();
        let count = |action: &str| timeline.iter().filter(|entry| entry.action == action).count();
        let all = wanted.iter().all(|(action, times)| count(action) == *times);
        if all { Ok(()) } else { Err((wanted.to_vec(), timeline)) }
    });
    counted.await.unwrap();
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
    let _alone = GROUP.lock().await;
    let bench = Bench::open(&TOPICS).await.unwrap();
    let id = scenario::opened().incident_id;
    bench.record(id, scenario::opened(), vec![]).await.unwrap();

    let busy = Script { answers: vec![("RCPT", "451 too busy")], ..Script::default() };
    let server = Server::start(busy).await;
    let commanders = ["first@example.com", "chat:#incidents", "second@example.com", "chat:#second"]
        .map(str::to_owned)
        .into();
    let postmortem_readers = vec!["chat:#learning".into()];
    let options = Options {
        smtp_url: server.url.clone(),
        commanders,
        retry_initial_ms: 20,
        postmortem_readers,
        ..Options::default()
    };
    let chat = Arc::new(Chat::default());
    let email = Arc::new(Email::new(&options).unwrap());
    let channels = Channels::new([email as _, Arc::clone(&chat) as _]);
    let (running, shutdown) = started(&bench, options, channels).await;
    let actions = async |wanted: &[(&str, usize)]| actions(&bench, id, wanted).await;
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
    actions(&[("mail_not_repeated", 2), ("mail_sent", 11)]).await;
    assert!(server.messages().is_empty());
    assert_eq!(chat.delivered().len(), 11, "one channel does not wait for the other");
    server.give_in();
    actions(&[("mail_sent", 16), ("mail_delayed", 1), ("mail_not_repeated", 2)]).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();

    one_thread_of_mails(&server.messages(), id);
    one_thread_in_each_room(&chat.delivered());
    let notifications = bench.store.reads().notifications(id).await.unwrap();
    assert_eq!(notifications.len(), 16);
    assert!(notifications.iter().all(|(_, state)| *state == NotificationState::Sent));
}

fn one_thread_of_mails(messages: &[String], id: IncidentId) {
    let mut ids: Vec<String> = messages.iter().map(|mail| header(mail, "Message-ID").unwrap()).collect();
    let expected = |kind| format!("<{}>", message_id(id, kind, 0, "firewatch.local"));
    assert_eq!(ids[0], expected(Kind::Opened), "the thread begins with the opening");
    for reply in &messages[1..] {
        assert_eq!(header(reply, "In-Reply-To"), Some(expected(Kind::Opened)));
    }
    ids.sort_unstable();
    let mut all = Kind::LIFECYCLE.map(expected);
    all.sort_unstable();
    assert_eq!(ids, all);
    let to = header(&messages[0], "To").unwrap();
    assert_eq!(to, "first@example.com, second@example.com");
}

fn one_thread_in_each_room(posted: &[Message]) {
    for room in ["#incidents", "#second"] {
        let thread: Vec<&Message> =
            posted.iter().filter(|message| message.notification.recipients == [room]).collect();
        assert_eq!(thread.len(), 5);
        assert_eq!((thread[0].notification.kind, &thread[0].opening), (Kind::Opened, &None));
        let place = posted.iter().position(|message| message.notification.id == thread[0].notification.id);
        for reply in &thread[1..] {
            let opening = reply.opening.as_ref().unwrap();
            assert_eq!(opening.id, thread[0].notification.id, "each address has its own thread");
            assert_eq!(opening.receipt().unwrap()["place"], place.unwrap(), "with what the channel answered");
        }
    }
    let read: Vec<&Message> =
        posted.iter().filter(|message| message.notification.recipients == ["#learning"]).collect();
    assert_eq!(read.len(), 1, "a reader of postmortems is not called for an incident that is over");
    assert_eq!((read[0].notification.kind, &read[0].opening), (Kind::Postmortem, &None));
}

/// By its end the incident is less severe, so the table does not name the commanders any more: whoever was called learns that it is
/// over all the same, and nobody else does.
#[tokio::test]
async fn an_address_that_was_called_learns_of_the_end() {
    let bench = Bench::open(&[]).await.unwrap();
    bench.record(scenario::opened().incident_id, scenario::opened(), vec![]).await.unwrap();
    let commanders = vec!["chat:#commanders".into(), "commander@example.com".into()];
    let options = Options { commanders, ..Options::default() };
    let email = Arc::new(Email::new(&options).unwrap());
    let stage = Communication::new(options, Channels::new([email as _, Arc::new(Chat::default()) as _]));
    let recipients = async |event: LifecycleEvent, id: &str| {
        let id = EventId(derive(&["called", id]));
        let context = testing::context(&bench.store, Agent::Communication, id, Arc::new(SystemClock));
        let effects = stage.handle(&Input::Event(event), &context).await.unwrap();
        let mut recipients = Vec::new();
        for write in &effects.writes {
            if let Write::Notification(notification) = write {
                recipients.extend(notification.recipients.clone());
            }
        }
        testing::apply(&bench.store, Agent::Communication.name(), Cause::Event(id), &effects).await.unwrap();
        recipients
    };
    let opened = recipients(LifecycleEvent::Opened(Box::new(scenario::opened())), "opened").await;
    assert_eq!(opened, ["#commanders", "commander@example.com"]);
    let weaker = Incident { severity: Severity::Sev4, ..scenario::resolved() };
    let resolved = recipients(LifecycleEvent::Resolved(Box::new(weaker)), "resolved").await;
    assert_eq!(resolved, [Options::default().fallback.as_str(), "commander@example.com", "#commanders"]);
}

/// The answer to the first message in Slack is lost, and PagerDuty is broken at first: one thread and one alert all the same, and no
/// secret on record.
#[tokio::test]
async fn an_incident_is_one_thread_in_slack_and_one_alert_in_pagerduty() {
    let _alone = GROUP.lock().await;
    let bench = Bench::open(&TOPICS).await.unwrap();
    let id = scenario::opened().incident_id;
    bench.record(id, scenario::opened(), vec![]).await.unwrap();
    let lab = Lab::open().await;
    lab.fail("slack:#ops", Fault::CloseAfter);
    lab.fail("receiver:pages", Fault::broken());
    let commanders = vec!["slack:#ops".into(), "receiver:pages".into()];
    let options = Options { commanders, retry_initial_ms: 20, ..lab.options.clone() };
    let (running, shutdown) = started(&bench, options, lab.channels()).await;
    publish(&bench, Topic::IncidentsOpened, &scenario::opened(), "opened").await;
    actions(&bench, id, &[("mail_sent", 2), ("mail_delayed", 2)]).await;
    publish(&bench, Topic::Plans, &scenario::plan(), "plan").await;
    actions(&bench, id, &[("mail_sent", 4)]).await;
    publish(&bench, Topic::IncidentsResolved, &scenario::resolved(), "resolved").await;
    actions(&bench, id, &[("mail_sent", 6), ("mail_delayed", 2), ("mail_failed", 0)]).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let messages = lab.slack.state(|slack| slack.messages.clone());
    assert_eq!(messages.len(), 3);
    assert!(messages[1..].iter().all(|message| message.thread_ts.as_ref() == Some(&messages[0].ts)));
    assert_eq!(messages[0].edits, 2);
    let alerts = lab.pagerduty.state(|pagerduty| pagerduty.alerts.clone());
    assert_eq!(alerts.into_iter().collect::<Vec<_>>(), [(id.to_string(), "resolved")]);
    let rows = bench.store.reads().notifications(id).await.unwrap();
    let timeline = bench.store.reads().timeline(id).await.unwrap();
    assert_no_secret(&format!("{rows:?} {timeline:?}"));
}

/// A second recipient is greylisted: the first gets each mail at once and once, the second gets them when it is let through.
#[tokio::test]
async fn a_greylisted_recipient_delays_nobody_else() {
    let _alone = GROUP.lock().await;
    let bench = Bench::open(&TOPICS).await.unwrap();
    let id = scenario::opened().incident_id;
    bench.record(id, scenario::opened(), vec![]).await.unwrap();
    let greylisting = Script { answers: vec![("TO:<second@", "451 4.7.1 greylisted")], ..Script::default() };
    let server = Server::start(greylisting).await;
    let commanders = vec!["first@example.com".into(), "second@example.com".into()];
    let options = Options {
        smtp_url: server.url.clone(),
        commanders,
        retry_initial_ms: 20,
        retry_max_ms: 200,
        ..Options::default()
    };
    let email = Arc::new(Email::new(&options).unwrap());
    let (running, shutdown) = started(&bench, options, Channels::new([email as _])).await;
    publish(&bench, Topic::IncidentsOpened, &scenario::opened(), "opened").await;
    publish(&bench, Topic::RcaCompleted, &scenario::root_cause(), "cause").await;
    publish(&bench, Topic::Plans, &scenario::plan(), "plan").await;
    actions(&bench, id, &[("mail_delayed", 3), ("mail_sent", 0)]).await;
    assert_eq!(server.messages().len(), 3, "nobody waits for the second recipient");
    server.give_in();
    actions(&bench, id, &[("mail_delayed", 3), ("mail_sent", 3), ("mail_failed", 0)]).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let commands = server.commands();
    let asked = |name: &str| commands.iter().filter(|command| command.contains(name)).count();
    assert_eq!(asked("TO:<first@"), 3, "each mail once");
    let messages = server.messages();
    assert_eq!(messages.len(), 6);
    for message in &messages {
        let same =
            messages.iter().filter(|other| header(other, "Message-ID") == header(message, "Message-ID"));
        assert_eq!(same.count(), 2);
    }
}
