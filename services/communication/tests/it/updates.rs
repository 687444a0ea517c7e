//! News between the five events of an incident: what is news, to whom it goes, and how long nobody's silence is taken for an answer.

use std::sync::Arc;

use communication::channel::{Channels, Destination, Email};
use communication::content::{IncidentSummary, Kind, LifecycleEvent, News, NotificationContent, Update};
use communication::escalation::{self, Call, Chain, Due, Escalate};
use communication::message::{Message, Status};
use communication::options::Options;
use communication::recipients::Directory;
use communication::render::render;
use communication::stage::Input;
use communication::templates::Templates;
use communication::updates::Announced;
use communication::{Communication, table};
use jiff::{SignedDuration, Timestamp};
use shared::agent::Agent;
use shared::catalogue::Catalogue;
use shared::clock::ManualClock;
use shared::events::incident::{Incident, Mute, SeverityOverride, State};
use shared::events::{Category, Severity};
use shared::ids::{EventId, derive};
use shared::oncall::{Roster, Rotation};
use shared::stage::{Effects, Stage as _, Timer};
use shared::store::apply::Cause;
use shared::store::{Notification, Write};
use shared::testing;
use stack::testing::bench::Bench;

use crate::chat::Chat;
use crate::mails::notification;
pub(crate) use crate::scenario::statement;
use crate::scenario::{self, updates};

/// Returns the incident as a later revision of an announced one.
fn later(change: impl FnOnce(&mut Incident)) -> Incident {
    let mut incident = scenario::opened();
    incident.revision += 5;
    incident.state = State::Remediating;
    change(&mut incident);
    incident
}

fn news(incident: &Incident) -> Vec<Kind> {
    let known: Vec<Notification> = scenario::thread()[..3].iter().map(notification).collect();
    let news = Announced::of(&known).news(incident).into_iter();
    news.map(|update| LifecycleEvent::Update(Box::new(update)).kind()).collect()
}

#[test]
fn news_is_what_differs_from_what_was_announced_and_the_most_important_of_it() {
    assert_eq!(news(&later(|_| ())), []);
    assert_eq!(news(&later(|one| one.severity = Severity::Sev1)), [Kind::SeverityChanged]);
    let acknowledged = |one: &mut Incident| one.acknowledged = Some(statement());
    assert_eq!(news(&later(acknowledged)), [Kind::Acknowledged]);
    let both = later(|one| {
        one.severity = Severity::Sev1;
        acknowledged(one);
    });
    assert_eq!(news(&both), [Kind::SeverityChanged, Kind::Acknowledged], "nothing is swallowed");
    let wider = |count: usize| {
        later(|one| one.affected_services = (0..count).map(|number| format!("s{number}")).collect())
    };
    let announced = scenario::opened().affected_services.len();
    assert_eq!(news(&wider(announced + 1)), [], "one more is no news");
    assert_eq!(news(&wider(announced * 2 + 2)), [Kind::ScopeGrown]);
    // what is older than what was announced, over, or not announced itself
    assert_eq!(news(&Incident { revision: 1, acknowledged: None, ..both.clone() }), []);
    assert_eq!(news(&Incident { state: State::Resolved, ..both.clone() }), []);
    assert_eq!(news(&Incident { reopened: 1, ..both.clone() }), []);
    assert_eq!(Announced::default().news(&both), []);
    // a cause that was read first knows the severity already, and said nothing of it
    let mut known: Vec<Notification> = scenario::thread()[..1].iter().map(notification).collect();
    let cause = LifecycleEvent::RootCause(Box::new(scenario::root_cause()));
    let read_first = NotificationContent { incident: IncidentSummary::of(&both), event: cause };
    known.push(notification(&read_first));
    assert_eq!(Announced::of(&known).news(&both).len(), 2);
}

#[test]
fn a_later_result_is_news_only_where_it_names_something_else() {
    let known: Vec<Notification> = scenario::thread()[..3].iter().map(notification).collect();
    let announced = Announced::of(&known);
    let mut cause = scenario::root_cause();
    assert_eq!(announced.corrected(&cause), None);
    cause.revision += 1;
    assert_eq!(announced.corrected(&cause), None, "the same said again");
    cause.candidates[0].category = Category::Code;
    let update = announced.corrected(&cause).unwrap();
    assert!(matches!(&update.news, News::Cause { before, .. } if before.contains("payment")), "{update:?}");
    let mut plan = scenario::plan();
    plan.revision += 1;
    assert_eq!(announced.replaced(&plan), None);
    plan.steps.truncate(1);
    assert_eq!(announced.replaced(&plan).map(|update| update.revision), Some(plan.revision));
}

#[test]
fn each_news_is_a_mail_of_its_own() {
    let templates = Templates::load(None).unwrap();
    for update in updates() {
        let event = LifecycleEvent::Update(Box::new(update));
        let kind = event.kind();
        let content = scenario::content(event);
        let mail = render(&templates, &content, "https://firewatch.example.com", None).unwrap();
        insta::assert_snapshot!(format!("text-{}", kind.name()), mail.text);
        let stored = serde_json::to_value(&content).unwrap();
        assert_eq!(serde_json::from_value::<NotificationContent>(stored).unwrap(), content);
    }
}

#[test]
fn the_table_of_what_goes_where_holds() {
    let mut lines = Vec::new();
    for update in updates() {
        let event = LifecycleEvent::Update(Box::new(update));
        for severity in [Severity::Sev1, Severity::Sev3] {
            let channels = ["email", "slack", "pagerduty", "webhook", "jira"];
            let to: Vec<&str> =
                channels.into_iter().filter(|name| table::is_sent(&event, severity, name)).collect();
            lines.push(format!("{} {}: {}", event.kind().name(), severity.label(), to.join(" ")));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_message_shows_who_works_on_it_until_the_next_level_is_called() {
    let status = |news: News, acknowledged_by: Option<&str>| {
        let update =
            Update { incident_id: scenario::opened().incident_id, at: scenario::onset(), revision: 7, news };
        let summary = IncidentSummary {
            acknowledged_by: acknowledged_by.map(str::to_owned),
            ..IncidentSummary::of(&scenario::opened())
        };
        let event = LifecycleEvent::Update(Box::new(update));
        Message::new(&NotificationContent { incident: summary, event }, "").status
    };
    let plan = || News::Plan { plan: Box::new(scenario::plan()) };
    assert_eq!(status(plan(), None), Status::Firing);
    assert_eq!(status(plan(), Some("jane")), Status::Acknowledged);
    let acknowledged = News::Acknowledged { by: "jane".into(), assignee: None };
    assert_eq!(status(acknowledged, Some("jane")), Status::Acknowledged);
    assert_eq!(status(News::Escalated { minutes: 15, level: 1, round: 0 }, None), Status::Firing);
}

#[test]
fn the_escalation_has_its_levels_begins_again_and_ends() {
    let options = Options { escalation_minutes: vec![5, 15], escalation_repeats: 1, ..Options::default() };
    let (oncall, commander) = (vec!["oncall@example.com".to_owned()], vec!["boss@example.com".to_owned()]);
    let chain = Chain::of_settings(&options, &oncall, &commander);
    let incident = Incident { severity: Severity::Sev1, state: State::Correlating, ..scenario::opened() };
    let began = Timestamp::UNIX_EPOCH;
    let first: Timer = escalation::begin(&incident, began, chain.clone()).unwrap().unwrap();
    let (mut calls, mut next) = (Vec::new(), Some(first.clone()));
    while let Some(timer) = next {
        let step: Escalate = timer.read().unwrap();
        let Due::Call(call) = escalation::decide(&step, &incident, began) else { panic!("{step:?}") };
        next = escalation::after(&step, began).unwrap();
        let Call { level, round, minutes, called } = call;
        assert_eq!(called, if level == 1 { oncall.clone() } else { commander.clone() });
        assert_eq!(timer.due, began + SignedDuration::from_mins(i64::from(minutes)));
        calls.push((level, round, minutes));
    }
    assert_eq!(calls, [(1, 0, 5), (2, 0, 15), (1, 1, 20), (2, 1, 30)]);
    // levels that are overdue after an outage keep their distance
    let late = began + SignedDuration::from_hours(2);
    let step: Escalate = first.read().unwrap();
    let next = escalation::after(&step, late).unwrap().unwrap();
    assert_eq!(next.due, late + SignedDuration::from_mins(10));

    let due = |change: fn(&mut Incident)| {
        let mut incident = incident.clone();
        change(&mut incident);
        escalation::decide(&step, &incident, began)
    };
    assert_eq!(due(|one| one.acknowledged = Some(statement())), Due::Over);
    assert_eq!(due(|one| one.state = State::Resolved), Due::Over);
    assert_eq!(due(|one| one.reopened = 1), Due::Over, "that has a chain of its own");
    assert_eq!(due(|one| one.severity = Severity::Sev3), Due::Quiet, "it may rise again");
    assert_eq!(due(|one| one.mute = Some(Mute { statement: statement(), until: None })), Due::Quiet);
    let minor = Incident { severity: Severity::Sev3, ..incident.clone() };
    assert_eq!(escalation::begin(&minor, began, chain).unwrap(), None);
}

fn rotation() -> Rotation {
    let file = serde_json::json!({
        "name": "payments", "team": "payments", "zone": "UTC", "addresses": ["mail:team@example.com"],
        "people": [
            { "name": "ada", "addresses": ["mail:ada@example.com", "chat:#ada", "pagerduty:ADA"] },
            { "name": "ben", "addresses": ["mail:ben@example.com"] }
        ],
        "layers": [{ "name": "all", "people": ["ada", "ben"], "handover": "2026-01-05T09:00", "length": "24h" }],
        "escalations": [{ "name": "payments", "levels": [
            { "after_minutes": 0, "notify": [{ "rotation": "payments" }] },
            { "after_minutes": 10, "notify": [{ "team": "payments" }, { "entry": "mail:boss@example.com" }] }
        ], "repeat": { "times": 1, "after_minutes": 5 } }]
    });
    serde_json::from_value(file).unwrap()
}

#[test]
fn a_rotation_leads_to_the_person_on_call_and_its_policy_is_the_escalation() {
    let options = Options::default();
    let channels = Channels::new([
        Arc::new(Email::new(&options).unwrap()) as _,
        Arc::new(Chat::default()) as Arc<dyn communication::channel::Channel>,
    ]);
    let roster = Roster::new(vec![rotation()]).unwrap();
    let catalogue = Catalogue::new([scenario::service("payment", "rotation:payments", "team:payments")]);
    let directory = |at: &str| Directory {
        options: &options,
        catalogue: &catalogue,
        channels: &channels,
        roster: &roster,
        routes: None,
        at: at.parse().unwrap(),
    };
    let on_call = |at: &str| {
        let chosen = directory(at).by_role(Some("payment"), Severity::Sev4, Kind::Opened);
        let addresses = |one: &Destination| one.address.as_str().to_owned();
        assert_eq!(chosen.unusable, Vec::<String>::new(), "a channel that is not set up is passed over");
        chosen.destinations.iter().map(addresses).collect::<Vec<_>>()
    };
    assert_eq!(on_call("2026-01-05T10:00:00Z"), ["ada@example.com", "#ada"]);
    assert_eq!(on_call("2026-01-06T10:00:00Z"), ["ben@example.com"]);

    let directory = directory("2026-01-05T10:00:00Z");
    let chain = directory.escalation(&scenario::opened());
    assert_eq!(chain, Chain::of(&rotation().escalations[0], &["rotation:payments".to_owned()]));
    let incident = Incident { severity: Severity::Sev1, state: State::Correlating, ..scenario::opened() };
    let of_others = Chain::of(&rotation().escalations[0], &["slack:#payments".to_owned()]);
    let first = escalation::begin(&incident, Timestamp::UNIX_EPOCH, of_others).unwrap().unwrap();
    assert_eq!(first.due, Timestamp::UNIX_EPOCH, "a level that was not notified is called at once");
    let mut next = escalation::begin(&incident, Timestamp::UNIX_EPOCH, chain).unwrap();
    let mut calls = Vec::new();
    while let Some(timer) = next {
        let step: Escalate = timer.read().unwrap();
        let Due::Call(call) = escalation::decide(&step, &incident, Timestamp::UNIX_EPOCH) else {
            panic!("{step:?}")
        };
        calls.push((call.minutes, call.level, call.round, directory.called(&call.called).destinations.len()));
        next = escalation::after(&step, Timestamp::UNIX_EPOCH).unwrap();
    }
    assert_eq!(calls, [(10, 2, 0, 2), (15, 1, 1, 2), (25, 2, 1, 2)]);
}

/// The stage over a real database, with a clock of its own.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    stage: Communication,
    pub(crate) clock: Arc<ManualClock>,
    steps: u32,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let bench = Bench::open(&[]).await.unwrap();
        let mut options = Options {
            commanders: vec!["commander@example.com".into()],
            fallback: "chat:#ops".into(),
            ..Options::default()
        };
        change(&mut options);
        let email = Arc::new(Email::new(&options).unwrap());
        let chat = Arc::new(Chat::default());
        let stage = Communication::new(options, Channels::new([email as _, chat as _]));
        Self { bench, stage, clock: Arc::new(ManualClock::starting_at(scenario::onset())), steps: 0 }
    }

    fn context(&mut self) -> (EventId, shared::stage::Context) {
        self.steps += 1;
        let id = EventId(derive(&["updates", &self.steps.to_string()]));
        (id, testing::context(&self.bench.store, Agent::Communication, id, self.clock.clone()))
    }

    pub(crate) async fn take(&mut self, input: Input) -> Effects {
        let (id, context) = self.context();
        let effects = self.stage.handle(&input, &context).await.unwrap();
        testing::apply(&self.bench.store, Agent::Communication.name(), Cause::Event(id), &effects)
            .await
            .unwrap();
        effects
    }

    pub(crate) async fn fire(&mut self, timer: &Timer) -> Effects {
        let (id, context) = self.context();
        let effects = self.stage.on_timer(timer, &context).await.unwrap();
        testing::apply(&self.bench.store, Agent::Communication.name(), Cause::Event(id), &effects)
            .await
            .unwrap();
        effects
    }
}

pub(crate) fn sent(effects: &Effects) -> Vec<(Kind, Vec<String>)> {
    let written = effects.writes.iter().filter_map(|write| match write {
        Write::Notification(one) => Some((one.kind, one.recipients.clone())),
        _ => None,
    });
    written.collect()
}

pub(crate) fn escalation_of(effects: &Effects) -> Option<Timer> {
    effects.timers.iter().find(|timer| timer.name == "escalate").cloned()
}

#[tokio::test]
async fn a_severity_that_rises_reaches_the_commander_and_begins_the_escalation_and_an_ack_ends_it() {
    let mut scene = Scene::open().await;
    let minor = Incident { severity: Severity::Sev3, state: State::Correlating, ..scenario::opened() };
    scene.bench.record(minor.incident_id, minor.clone(), vec![]).await.unwrap();
    let opened = scene.take(Input::Event(LifecycleEvent::Opened(Box::new(minor.clone())))).await;
    assert_eq!(sent(&opened), [(Kind::Opened, vec!["#ops".to_owned()])]);
    assert_eq!(escalation_of(&opened), None);

    let severe = Incident { severity: Severity::Sev1, revision: minor.revision + 1, ..minor.clone() };
    let raised = scene.take(Input::Updated(Box::new(severe.clone()))).await;
    let to = sent(&raised);
    let commander = vec!["commander@example.com".to_owned()];
    assert!(to.contains(&(Kind::SeverityChanged, commander.clone())), "{to:?}");
    assert!(
        to.contains(&(Kind::SeverityChanged, vec!["#ops".to_owned()])),
        "who was called learns it: {to:?}"
    );
    assert!(to.contains(&(Kind::Opened, commander)), "a thread begins with the opening: {to:?}");
    // the same again is no news
    let again = Incident { revision: severe.revision + 1, ..severe.clone() };
    assert!(scene.take(Input::Updated(Box::new(again))).await.is_empty());

    // nobody answers, so the next level is called; then somebody does
    let timer = escalation_of(&raised).expect("a chain");
    let change =
        |change| shared::stage::IncidentChange { incident_id: severe.incident_id, change, publish: None };
    let raise = change(shared::lifecycle::Change::SeverityOverridden {
        severity: Some(Severity::Sev1),
        statement: statement(),
    });
    let id = severe.incident_id;
    let effects = Effects { incidents: vec![raise], ..Effects::none() };
    scene.bench.apply(id, "raise", effects).await.unwrap();
    scene.clock.advance_ms(15 * 60_000);
    let called = scene.fire(&timer).await;
    let to = sent(&called);
    assert!(to.iter().any(|(kind, _)| *kind == Kind::Escalated), "{to:?}");
    assert_eq!(called.audit.last().map(|line| line.action.name()), Some("escalated"));
    let next = escalation_of(&called).expect("the next level");
    let ack = change(shared::lifecycle::Change::Acknowledged(statement()));
    let effects = Effects { incidents: vec![ack], ..Effects::none() };
    scene.bench.apply(id, "ack", effects).await.unwrap();
    scene.clock.advance_ms(15 * 60_000);
    assert!(scene.fire(&next).await.is_empty(), "an acknowledge ends it");
}

#[tokio::test]
async fn the_escalation_begins_once_with_whatever_opens_the_thread() {
    let mut scene = Scene::open().await;
    let open = Incident { severity: Severity::Sev1, state: State::Correlating, ..scenario::opened() };
    scene.bench.record(open.incident_id, open.clone(), vec![]).await.unwrap();
    let raise = shared::lifecycle::Change::SeverityOverridden {
        severity: Some(Severity::Sev1),
        statement: statement(),
    };
    let raise = shared::stage::IncidentChange { incident_id: open.incident_id, change: raise, publish: None };
    let effects = Effects { incidents: vec![raise], ..Effects::none() };
    scene.bench.apply(open.incident_id, "raise", effects).await.unwrap();
    // topics are read side by side
    let cause = scene.take(Input::Event(LifecycleEvent::RootCause(Box::new(scenario::root_cause())))).await;
    assert!(sent(&cause).iter().any(|(kind, _)| *kind == Kind::Opened), "{cause:?}");
    assert!(escalation_of(&cause).is_some());
    let late = scene.take(Input::Event(LifecycleEvent::Opened(Box::new(open)))).await;
    assert_eq!(escalation_of(&late), None);
}

#[tokio::test]
async fn a_muted_incident_is_silent_until_its_end_and_says_so_on_record() {
    let mut scene = Scene::open().await;
    let open = Incident { state: State::Correlating, ..scenario::opened() };
    scene.bench.record(open.incident_id, open.clone(), vec![]).await.unwrap();
    scene.take(Input::Event(LifecycleEvent::Opened(Box::new(open.clone())))).await;
    let mute = Some(Mute { statement: statement(), until: None });
    let set = SeverityOverride { computed: Severity::Sev2, statement: statement() };
    let muted = Incident {
        severity: Severity::Sev1,
        severity_override: Some(set),
        revision: open.revision + 1,
        mute,
        ..open.clone()
    };
    let hidden = scene.take(Input::Updated(Box::new(muted))).await;
    assert_eq!(sent(&hidden), []);
    assert_eq!(hidden.audit[0].action.name(), "notification_muted");
    let over = scene.take(Input::Event(LifecycleEvent::Resolved(Box::new(scenario::resolved())))).await;
    assert!(sent(&over).iter().all(|(kind, _)| *kind == Kind::Resolved));
    assert!(!sent(&over).is_empty());
}
