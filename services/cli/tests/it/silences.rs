//! Silences over a real Kafka and PostgreSQL, with the stage that decides on them.

use cli::silence::page;
use cli::silence::preview::{self, Matched, Preview};
use cli::silence::{Listed, Shown};
use communication::Options;
use serde_json::{Value, json};
use shared::agent::Agent;
use shared::events::Severity;
use shared::events::command::{Recurrence, SilenceSpec};
use shared::events::incident::{Incident, State};
use shared::events::{Event, Topic};
use shared::ids::{CommandId, EventId, IncidentId, derive};
use shared::lifecycle::Change;
use shared::service::{Config, Deps, Readiness};
use shared::silence::{Ending, Silence};
use shared::stage::{Effects, IncidentChange};
use shared::store::silences::{AllHidden, Hidden};
use stack::testing::bench::{Bench, until};
use std::time::Duration;
use tokio::sync::MutexGuard;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fixtures::{case, of, screen};
use crate::learning::{firewatch, json as object, printed};
use crate::replay::TURN;

/// What communication reads.
const TOPICS: [Topic; 7] = [
    Topic::OperatorCommands,
    Topic::IncidentsOpened,
    Topic::IncidentsUpdated,
    Topic::IncidentsResolved,
    Topic::RcaCompleted,
    Topic::Plans,
    Topic::Postmortems,
];

/// Communication, while a test needs it; it sends nothing.
struct Owner {
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    _turn: MutexGuard<'static, ()>,
}

impl Owner {
    async fn start(bench: &Bench) -> Self {
        let turn = TURN.lock().await;
        let shutdown = CancellationToken::new();
        let deps = Deps { process: "communication-test".into(), readiness: Readiness::default() };
        let options = Options { dry_run: true, ..Options::default() };
        let config = Config::of("communication", bench.common.clone(), options);
        let running = tokio::spawn(communication::run(config, deps, shutdown.clone()));
        Self { shutdown, running, _turn: turn }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

async fn publish<E: Event>(bench: &Bench, topic: Topic, event: &E, seed: &str) {
    let id = EventId(derive(&["silences", &bench.common.postgres.url, seed]));
    bench.send(topic, event, id, case().incident.opened_at).await.unwrap();
}

/// Stores an incident and publishes it as opened.
async fn opens(bench: &Bench, seed: &str) -> Incident {
    let id = bench.incident(seed);
    let incident = Incident { incident_id: id, signals: case().signals, ..case().incident };
    bench.record(id, incident, vec![Change::Announced]).await.unwrap();
    let stored = bench.store.reads().incident(id).await.unwrap().unwrap();
    publish(bench, Topic::IncidentsOpened, &stored, seed).await;
    stored
}

/// Waits until an action is in the timeline of an incident.
async fn recorded(bench: &Bench, id: IncidentId, action: &str) {
    until(Duration::from_mins(1), async || {
        let timeline = bench.store.reads().timeline(id).await.unwrap();
        if timeline.iter().any(|entry| entry.action == action) { Ok(()) } else { Err(timeline) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_hides_shows_what_it_hid_and_announces_that_when_it_is_ended() {
    let bench = Bench::open(&TOPICS).await.unwrap();
    let owner = Owner::start(&bench).await;
    let ask = |arguments: &[&str]| firewatch(&bench, arguments);
    let matchers = "service=\"payment\"";
    let id = CommandId(derive(&["silences", &bench.common.postgres.url])).to_string();
    let add = ["silence", "add", "--matchers", matchers, "--for", "2h", "--comment", "the database moves"];
    let add = [&add[..], &["--wait", "1m", "--command-id", &id, "--json"]].concat();
    let outcome = object(&ask(&add));
    assert_eq!(outcome["outcome"], Value::from("accepted"), "{outcome:#}");
    assert_eq!(object(&ask(&add)), outcome, "the same command again");

    let open = opens(&bench, "open").await;
    recorded(&bench, open.incident_id, "notification_silenced").await;
    let listed = object(&ask(&["silence", "list", "--json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed:#}");
    assert_eq!((&listed[0]["silence_id"], &listed[0]["state"]), (&json!(id), &json!("active")));
    assert_eq!(printed(&ask(&["maintenance", "list"])), "no silences\n");
    let shown = object(&ask(&["silence", "show", &id, "--json"]));
    assert_eq!(shown["hidden"]["count"], json!(1), "{shown:#}");
    assert_eq!(shown["hidden"]["notifications"][0]["number"], json!(open.number));
    let number = open.number.to_string();
    let page = printed(&ask(&["incidents", "show", &number]));
    assert!(page.contains("Silenced      1 notification not sent; by ann until"), "{page}");
    assert!(page.contains("the database moves") && page.contains("opened, not sent to "), "{page}");
    let preview =
        object(&ask(&["silence", "preview", "--matchers", matchers, "--since", "2000-01-01", "--json"]));
    assert_eq!((&preview["looked_at"], &preview["notifications"]), (&json!(1), &json!(0)), "{preview:#}");
    assert_eq!(preview["incidents"][0]["number"], json!(open.number));

    let ended = ask(&["silence", "end", &id, "--reason", "done early", "--wait", "1m"]);
    assert!(printed(&ended).contains("is ended by ann"), "{ended:?}");
    recorded(&bench, open.incident_id, "mail_sent").await;
    let again = ask(&["silence", "end", &id, "--reason", "done early", "--wait", "1m"]);
    assert_eq!(again.status.code(), Some(5), "{again:?}");
    let unselective =
        ask(&["silence", "add", "--matchers", matchers, "--for", "40d", "--comment", "x", "--wait", "1m"]);
    assert_eq!(unselective.status.code(), Some(5), "{unselective:?}");
    assert_eq!(printed(&ask(&["silence", "list"])), "no silences\n");
    assert!(printed(&ask(&["silence", "list", "--all"])).contains("ended by ann"));
    let missing = ask(&["silence", "show", &CommandId(derive(&["none"])).to_string()]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");

    // what is announced after that has its end
    let resolved = Change::resolved(open.opened_at, shared::events::anomaly::Ended::Recovered);
    let change = IncidentChange { incident_id: open.incident_id, change: resolved, publish: None };
    let effects = Effects { incidents: vec![change], ..Effects::none() };
    bench.apply(open.incident_id, "resolve", effects).await.unwrap();
    let over = bench.store.reads().incident(open.incident_id).await.unwrap().unwrap();
    assert_eq!(over.state, State::Resolved);
    publish(&bench, Topic::IncidentsResolved, &over, "resolved").await;
    until(Duration::from_mins(1), async || {
        let rows = bench.store.reads().notifications(open.incident_id).await.unwrap();
        let kinds: Vec<&str> = rows.iter().map(|(row, _)| row.kind.name()).collect();
        if kinds.contains(&"resolved") { Ok(()) } else { Err(kinds.len()) }
    })
    .await
    .unwrap();
    owner.stop().await;
    assert_eq!(Agent::Communication.inputs().len(), TOPICS.len());
}

fn silence() -> Silence {
    Silence {
        silence_id: CommandId(derive(&["page"])),
        environment: "production".into(),
        spec: SilenceSpec {
            is_maintenance: false,
            matchers: "service=\"payment\"".into(),
            starts_at: "2026-03-01T09:00:00Z".parse().unwrap(),
            ends_at: "2026-03-01T12:00:00Z".parse().unwrap(),
            recurrence: None,
            comment: "the database \x1b[31mmoves".into(),
        },
        by: "jane".into(),
        begun_at: "2026-03-01T08:59:30Z".parse().unwrap(),
        ended: None,
    }
}

#[test]
fn the_page_of_a_silence_shows_what_it_hid() {
    let weekly = Silence {
        spec: SilenceSpec {
            is_maintenance: true,
            ends_at: "2026-06-01T00:00:00Z".parse().unwrap(),
            recurrence: Some(Recurrence {
                cron: "0 2 * * SAT".into(),
                zone: "Europe/Berlin".into(),
                duration_min: 120,
            }),
            ..silence().spec
        },
        ..silence()
    };
    let ending = Ending { at: silence().begun_at, by: "joe".into(), reason: "done early".into() };
    let ended = Silence { ended: Some(ending), ..silence() };
    let hidden = AllHidden {
        incidents: 2,
        count: 3,
        notifications: case()
            .notifications
            .into_iter()
            .map(|one| Hidden {
                number: 12,
                title: "payment: the pool".into(),
                notification: one.notification,
            })
            .collect(),
    };
    let pages: Vec<String> =
        [(silence(), hidden), (weekly, AllHidden::default()), (ended, AllHidden::default())]
            .into_iter()
            .map(|(silence, hidden)| {
                let shown = Shown { listed: Listed::of(silence, &screen()), hidden };
                page::render(&shown.cleaned().unwrap(), &screen())
            })
            .collect();
    insta::assert_snapshot!("silence_pages", pages.join("\n"));
    let all = [silence(), Silence { begun_at: screen().now, ..silence() }];
    let listed: Vec<Listed> =
        all.into_iter().map(|one| Listed::of(one, &screen()).cleaned().unwrap()).collect();
    insta::assert_snapshot!("silence_list", page::table(&listed, &screen()));
}

#[test]
fn a_preview_says_how_much_would_have_been_hidden() {
    let preview = Preview {
        matchers: "service=\"payment\"".into(),
        environment: "production".into(),
        since: "2026-02-22T10:00:00Z".parse().unwrap(),
        looked_at: 9,
        is_cut: true,
        notifications: 5,
        incidents: vec![Matched {
            number: 12,
            severity: Severity::Sev2,
            title: case().incident.title,
            opened_at: of::<Incident>(crate::fixtures::incident()).opened_at,
            notifications: 5,
        }],
    };
    insta::assert_snapshot!("silence_preview", preview::render(&preview, &screen()));
}
