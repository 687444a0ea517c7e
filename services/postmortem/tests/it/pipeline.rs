//! The stage over a real Kafka and a real PostgreSQL.

use std::time::Duration;

use postmortem::Options;
use shared::agent::Agent;
use shared::events::anomaly::Ended;
use shared::events::command::Action;
use shared::events::incident;
use shared::events::{Command, Incident, Postmortem, Topic};
use shared::ids::{ActionItemId, CommandId, EventId, IncidentId, derive};
use shared::lifecycle;
use shared::service::{Config, Deps, Readiness};
use shared::stage::{Effects, IncidentChange};
use shared::store::action_items::{Change, Filter, Item, State};
use shared::store::commands::{Decision, Outcome};
use shared::store::{ArtifactKind, Write};
use stack::testing::bench::{Bench, assessed, until};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::scenario::{Scenario, after, exhausted_connections};

/// One consumer group is shared by all tests here, so they run one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// What a test stands on.
struct Place(Bench);

impl Place {
    async fn open() -> Self {
        let topics = [
            Topic::IncidentsResolved,
            Topic::OperatorCommands,
            Topic::Postmortems,
            Topic::DeadLetters(Agent::Postmortem),
        ];
        Self(Bench::open(&topics).await.unwrap())
    }

    /// Puts an incident on record that is over, and tells of it twice.
    async fn resolved(&self, id: IncidentId, scenario: &Scenario) {
        let further =
            vec![lifecycle::Change::Announced, lifecycle::Change::resolved(after(220), Ended::Recovered)];
        self.0.record(id, scenario.incident.clone(), further).await.unwrap();
        let incident: Incident = self.0.store.reads().incident(id).await.unwrap().unwrap();
        let event_id = EventId::of("test", &id.to_string(), 1);
        for _ in 0..2 {
            self.0.send(Topic::IncidentsResolved, &incident, event_id, after(220)).await.unwrap();
        }
    }

    /// Puts cause and plan on record.
    async fn explained(&self, id: IncidentId, scenario: &Scenario) {
        let artifact = |kind, body| Write::Artifact { incident_id: id, kind, revision: 1, body };
        let writes = vec![
            artifact(ArtifactKind::RootCause, serde_json::to_value(&scenario.cause).unwrap()),
            artifact(ArtifactKind::Plan, serde_json::to_value(&scenario.plan).unwrap()),
        ];
        self.0.apply(id, "explained", Effects { writes, ..Effects::default() }).await.unwrap();
    }

    fn start(&self, options: Options) -> (CancellationToken, tokio::task::JoinHandle<anyhow::Result<()>>) {
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "postmortem-test".into(), readiness: Readiness::default() };
        let config = Config::of("postmortem", self.0.common.clone(), options);
        (shutdown.clone(), tokio::spawn(postmortem::run(config, deps, shutdown)))
    }

    async fn written(&self, id: IncidentId) -> Option<Postmortem> {
        self.0.store.reads().artifact(id, ArtifactKind::Postmortem).await.unwrap()
    }

    async fn wait_for(&self, id: IncidentId) -> Postmortem {
        let written = until(Duration::from_mins(1), async || {
            self.written(id).await.ok_or_else(|| format!("incident {id} has no postmortem"))
        });
        written.await.unwrap()
    }

    /// Returns the postmortems of an incident that are on the bus.
    async fn published(&self, id: IncidentId) -> Vec<Postmortem> {
        self.0.events(Topic::Postmortems, id).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_waits_for_its_cause_and_is_written_up_once() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let scenario = exhausted_connections();
    let (late, known) = (place.0.incident("late"), place.0.incident("known"));
    place.explained(known, &scenario).await;
    place.resolved(late, &scenario).await;
    place.resolved(known, &scenario).await;
    let (shutdown, running) = place.start(Options { wait_ms: 600_000, poll_ms: 100 });

    assert!(place.wait_for(known).await.markdown.contains("The cause (confidence"));
    assert_eq!(place.written(late).await, None, "it is over, but its cause is not on record");
    place.explained(late, &scenario).await;
    assert!(place.wait_for(late).await.markdown.contains("The cause (confidence"));
    shutdown.cancel();
    running.await.unwrap().unwrap();

    for id in [late, known] {
        let incident = place.0.store.reads().incident(id).await.unwrap().unwrap();
        assert_eq!((incident.state, incident.closed_at), (incident::State::Closed, incident.resolved_at));
        assert_eq!(place.published(id).await, [place.written(id).await.unwrap()]);
        let timeline = place.0.store.reads().timeline(id).await.unwrap();
        assert_eq!(timeline.iter().filter(|entry| entry.action == "postmortem_written").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_ends_and_the_document_says_what_is_missing() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let id = place.0.incident("unexplained");
    place.resolved(id, &exhausted_connections()).await;
    let (shutdown, running) = place.start(Options { wait_ms: 300, poll_ms: 100 });
    let postmortem = place.wait_for(id).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(postmortem.markdown.contains("No investigation is on record"), "{}", postmortem.markdown);
    assert_eq!(place.published(id).await, [postmortem]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_was_open_again_when_its_timer_was_due_is_written_up_at_its_next_end() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let (id, scenario) = (place.0.incident("again"), exhausted_connections());
    place.resolved(id, &scenario).await;
    let (shutdown, running) = place.start(Options { wait_ms: 600_000, poll_ms: 200 });
    let timers = async |states: &str| {
        let client = shared::testing::client(&place.0.store).await.unwrap();
        let query = "select string_agg(state, ' ' order by seq) from timers where name = 'wait_for_cause' and key = $1";
        until(Duration::from_mins(1), async || {
            let row = client.query_one(query, &[&id.to_string()]).await.unwrap();
            let found: Option<String> = row.try_get(0).unwrap();
            if found.as_deref() == Some(states) { Ok(()) } else { Err(found) }
        })
        .await
        .unwrap();
    };
    timers("waiting").await;
    let change = async |what: &str, change| {
        let incidents = vec![IncidentChange { incident_id: id, change, publish: None }];
        place.0.apply(id, what, Effects { incidents, ..Effects::default() }).await.unwrap();
    };
    change("reopened", lifecycle::Change::reopened(assessed(&scenario.incident))).await;
    timers("done").await;
    change("over again", lifecycle::Change::resolved(after(300), Ended::Recovered)).await;
    let incident: Incident = place.0.store.reads().incident(id).await.unwrap().unwrap();
    let event_id = EventId::of("test", &id.to_string(), 2);
    place.0.send(Topic::IncidentsResolved, &incident, event_id, after(300)).await.unwrap();
    timers("done waiting").await;
    place.explained(id, &scenario).await;
    place.wait_for(id).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

/// Returns all items of an incident, those of the document first.
async fn items(place: &Place, id: IncidentId) -> Vec<Item> {
    let filter = Filter { all: true, incident_id: Some(id), ..Filter::default() };
    place.0.store.reads().action_items(&filter, 100).await.unwrap()
}

/// Sends a command twice, and returns what became of it.
async fn asked(place: &Place, id: IncidentId, seed: &str, action: Action) -> Decision {
    let command = Command {
        command_id: CommandId(derive(&["items", &id.to_string(), seed])),
        environment: "production".into(),
        incident_id: Some(id),
        by: "ann".into(),
        origin: "cli".into(),
        at: after(1_000),
        action,
    };
    let event_id = EventId(command.command_id.0);
    for _ in 0..2 {
        place.0.send(Topic::OperatorCommands, &command, event_id, command.at).await.unwrap();
    }
    let decided = until(Duration::from_mins(1), async || {
        let decided = place.0.store.reads().command(command.command_id).await.unwrap();
        decided.ok_or_else(|| format!("{seed} is not decided"))
    });
    decided.await.unwrap().decision
}

/// Applies a decision that rests on an item which is done since it was read.
async fn stale_decisions_are_not_written(place: &Place, id: IncidentId, item_id: ActionItemId) {
    let change = Change { by: "joe".into(), at: after(1_001), note: String::new() };
    let stale = Write::ActionItemChange { item_id, from: State::Open, to: State::Dropped, change };
    let stale = Effects { writes: vec![stale], ..Effects::default() };
    assert!(place.0.apply(id, "stale", stale).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_tracked_through_commands_and_through_a_later_revision() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let (id, scenario) = (place.0.incident("items"), exhausted_connections());
    place.explained(id, &scenario).await;
    place.resolved(id, &scenario).await;
    let (shutdown, running) = place.start(Options::default());
    let postmortem = place.wait_for(id).await;
    let first = items(&place, id).await;
    assert_eq!(first.len(), postmortem.action_items.len());
    assert!(first.iter().all(Item::is_open), "{first:#?}");
    for (item, written) in first.iter().zip(&postmortem.action_items) {
        assert_eq!(Some(item.item_id), written.item_id);
        assert_eq!(
            (&item.title, item.due, Some(item.priority)),
            (&written.title, written.due, written.priority)
        );
    }

    let (one, other) = (first[0].item_id, first[1].item_id);
    let note = Some("released in 2.4.2".to_owned());
    let done = asked(&place, id, "done", Action::CompleteActionItem { item_id: one, note }).await;
    assert_eq!(done.outcome, Outcome::Accepted, "{done:?}");
    let again = asked(&place, id, "again", Action::CompleteActionItem { item_id: one, note: None }).await;
    assert_eq!(again.outcome, Outcome::Refused);
    stale_decisions_are_not_written(&place, id, one).await;
    let action = Action::DropActionItem { item_id: other, reason: "the service goes away".into() };
    assert_eq!(asked(&place, id, "drop", action).await.outcome, Outcome::Accepted);
    // what others decide on is left to them
    let foreign = Action::Comment { text: "for correlation".into() };
    let foreign = Command {
        command_id: CommandId(derive(&["items", &id.to_string(), "foreign"])),
        action: foreign,
        ..done.command.clone()
    };
    let event = EventId(foreign.command_id.0);
    place.0.send(Topic::OperatorCommands, &foreign, event, foreign.at).await.unwrap();
    let reopen = Action::ReopenActionItem { item_id: other, note: None };
    assert_eq!(asked(&place, id, "reopen", reopen).await.outcome, Outcome::Accepted);
    let reads = place.0.store.reads();
    assert_eq!(reads.command(foreign.command_id).await.unwrap(), None);
    let trail = reads.timeline(id).await.unwrap();
    let of = |action: &str| trail.iter().filter(|line| line.action == action).count();
    assert_eq!(
        [of("action_item_done"), of("action_item_dropped"), of("action_item_reopened")],
        [1, 1, 1],
        "each was sent twice"
    );

    // the fault comes back, and its next document has one of the items: the others are superseded, what is done stays done
    let revision = 2;
    let mut next = postmortem.clone();
    next.action_items.retain(|item| item.item_id == Some(one));
    let body = serde_json::to_value(&next).unwrap();
    let writes = vec![
        Write::Artifact { incident_id: id, kind: ArtifactKind::Postmortem, revision, body },
        Write::ActionItems { incident_id: id, revision, service: "payment".into(), items: next.action_items },
    ];
    place.0.apply(id, "second", Effects { writes, ..Effects::default() }).await.unwrap();
    let second = items(&place, id).await;
    assert_eq!(second.len(), first.len());
    let stayed = second.iter().find(|item| item.item_id == one).unwrap();
    assert_eq!((stayed.state, stayed.is_superseded), (State::Done, false));
    assert_eq!(stayed.changed.as_ref().map(|change| change.note.as_str()), Some("released in 2.4.2"));
    assert!(second.iter().filter(|item| item.item_id != one).all(|item| item.standing() == "superseded"));
    let late = asked(&place, id, "late", Action::CompleteActionItem { item_id: other, note: None }).await;
    assert_eq!(late.outcome, Outcome::Refused, "{late:?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let open = Filter { incident_id: Some(id), ..Filter::default() };
    assert!(place.0.store.reads().action_items(&open, 100).await.unwrap().is_empty());
    let revisions = place.0.store.reads().postmortem(id, None).await.unwrap().unwrap().revisions;
    assert_eq!(revisions.iter().map(|one| one.revision).collect::<Vec<_>>(), [1, 2]);
}
