//! Commands of people over the real database: what they change, what they are refused for, and what they leave on record.

use correlation::input::Input;
use shared::events::anomaly::{Anomaly, Ended, Status};
use shared::events::command::Action;
use shared::events::incident::{Incident, Relation, State};
use shared::events::{Command, Kind, Severity, Topic};
use shared::ids::{AnomalyId, CommandId, EventId, IncidentId, derive};
use shared::lifecycle::Change;
use shared::stage::{Effects, IncidentChange, Stage as _, Timer};
use shared::store;
use shared::store::commands::Outcome;
use shared::testing;
use stack::testing::Database;

use crate::batches::Replica;
use crate::shop::{anomaly, at};

/// A replica, with the number of events that it has taken.
struct Desk {
    replica: Replica,
    events: u32,
    timers: Vec<Timer>,
    _database: Database,
}

impl Desk {
    async fn open() -> Self {
        let database = stack::testing::postgres().await.unwrap();
        Self { replica: Replica::new(&database), events: 0, timers: Vec::new(), _database: database }
    }

    fn next(&mut self) -> EventId {
        self.events += 1;
        EventId::of("test", "commands", self.events)
    }

    async fn take(&mut self, input: Input) -> Effects {
        let event = self.next();
        let decided = self.replica.decide(&[(event, input)]).await;
        testing::apply_all(&self.replica.store, "correlation", &decided).await.unwrap();
        let (_, effects) = decided.into_iter().next().unwrap();
        self.timers.extend(effects.timers.iter().cloned());
        effects
    }

    async fn see(&mut self, anomaly: &Anomaly) -> Effects {
        self.take(Input::Anomaly(Box::new(anomaly.clone()))).await
    }

    /// Announces what has opened since.
    async fn settle(&mut self) {
        for timer in std::mem::take(&mut self.timers).iter().filter(|timer| timer.name == "settle") {
            let event = self.next();
            let effects = self.replica.stage.on_timer(timer, &self.replica.context(event)).await.unwrap();
            testing::apply_all(&self.replica.store, "correlation", &[(event, effects)]).await.unwrap();
        }
    }

    async fn ask(&mut self, command: &Command) -> (Outcome, String) {
        self.take(Input::Command(Box::new(command.clone()))).await;
        self.outcome(command.command_id).await
    }

    async fn outcome(&self, id: CommandId) -> (Outcome, String) {
        let decided = self.replica.store.reads().command(id).await.unwrap().expect("an outcome");
        (decided.decision.outcome, decided.decision.answer)
    }

    async fn incident(&self, id: IncidentId) -> Incident {
        self.replica.store.reads().incident(id).await.unwrap().expect("an incident")
    }

    /// Returns all incidents, by number.
    async fn incidents(&self) -> Vec<Incident> {
        let page = self.replica.store.reads().incidents(store::Incidents::All, None, 100).await.unwrap();
        page.incidents.into_iter().rev().collect()
    }

    async fn trail(&self, id: IncidentId) -> Vec<String> {
        let timeline = self.replica.store.reads().timeline(id).await.unwrap();
        timeline.into_iter().map(|entry| entry.action).collect()
    }

    /// Lets a service fail, and returns its announced incident.
    async fn fault(&mut self, service: &str) -> (Anomaly, IncidentId) {
        let first = anomaly(service, "error_rate", Kind::Errors, 10);
        self.see(&first).await;
        self.settle().await;
        (first.clone(), IncidentId::opened_by(first.anomaly_id))
    }
}

fn command(name: &str, incident: IncidentId, tick: i64, action: Action) -> Command {
    Command {
        command_id: CommandId(derive(&["command", name])),
        environment: "production".into(),
        incident_id: Some(incident),
        by: "jane".into(),
        origin: "test".into(),
        at: at(tick),
        action,
    }
}

fn revised(anomaly: &Anomaly, revision: u32, tick: i64) -> Anomaly {
    Anomaly { revision, observed_at: at(tick), ..anomaly.clone() }
}

fn because() -> String {
    "the pool was enlarged".into()
}

#[tokio::test]
async fn statements_are_decided_together_in_their_order_and_each_once() {
    let mut desk = Desk::open().await;
    let (_, id) = desk.fault("payment").await;
    let silent = Command { by: "joe".into(), ..command("late ack", id, 12, Action::Acknowledge) };
    let commands = [
        command("ack", id, 11, Action::Acknowledge),
        silent,
        command("assign", id, 12, Action::Assign { to: "joe".into() }),
        command("comment", id, 13, Action::Comment { text: "looks like the pool".into() }),
        // the same command in another record
        command("ack", id, 11, Action::Acknowledge),
        command("mute", id, 14, Action::Mute { until: Some(at(500)) }),
        command("nothing", IncidentId(derive(&["no such"])), 14, Action::Acknowledge),
        Command { environment: "staging".into(), ..command("elsewhere", id, 14, Action::Acknowledge) },
    ];
    let events: Vec<(EventId, Input)> =
        commands.iter().map(|one| (desk.next(), Input::Command(Box::new(one.clone())))).collect();
    let decided = desk.replica.decide(&events).await;
    assert_eq!(decided.len(), events.len(), "one decision each, all at once");
    assert!(decided[4].1.is_empty(), "{:?}", decided[4]);
    testing::apply_all(&desk.replica.store, "correlation", &decided).await.unwrap();

    let mut outcomes = Vec::new();
    for one in &commands {
        outcomes.push(desk.outcome(one.command_id).await.0);
    }
    let accepted: Vec<bool> = outcomes.iter().map(|outcome| *outcome == Outcome::Accepted).collect();
    assert_eq!(accepted, [true, false, true, true, true, true, false, false]);
    assert!(desk.outcome(commands[1].command_id).await.1.contains("jane"));
    let incident = desk.incident(id).await;
    assert_eq!(incident.acknowledged.as_ref().map(|one| one.by.as_str()), Some("jane"));
    assert_eq!(incident.assignee.as_deref(), Some("joe"));
    assert!(incident.is_muted(at(499)) && !incident.is_muted(at(500)));
    let trail = desk.trail(id).await;
    for action in ["acknowledged", "assigned", "commented", "muted"] {
        assert_eq!(trail.iter().filter(|known| *known == action).count(), 1, "{trail:?}");
    }
    assert_eq!(desk.replica.store.reads().commands_of(id).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_statement_that_lost_against_the_end_of_its_incident_is_refused_when_it_is_decided_anew() {
    let mut desk = Desk::open().await;
    let (_, id) = desk.fault("payment").await;
    let ack = command("ack", id, 12, Action::Acknowledge);
    let event = desk.next();
    let stale = desk.replica.decide(&[(event, Input::Command(Box::new(ack.clone())))]).await;
    desk.ask(&command("resolve", id, 11, Action::Resolve { reason: because() })).await;
    let lost = testing::apply_all(&desk.replica.store, "correlation", &stale).await;
    assert!(matches!(lost, Err(store::Error::Conflict { .. })), "{lost:?}");
    let (outcome, answer) = desk.ask(&ack).await;
    assert_eq!((outcome, answer.as_str()), (Outcome::Refused, "incident 1 is resolved already"));
    assert_eq!(desk.incident(id).await.acknowledged, None);
}

#[tokio::test]
async fn what_a_person_resolved_stays_resolved_unless_it_gets_worse_or_lasts() {
    for (name, worse, tick, opens) in
        [("goes on", false, 40, false), ("gets worse", true, 60, true), ("lasts", false, 200, true)]
    {
        let mut desk = Desk::open().await;
        let (first, id) = desk.fault("payment").await;
        let resolve = command("resolve", id, 20, Action::Resolve { reason: because() });
        let effects = desk.take(Input::Command(Box::new(resolve.clone()))).await;
        let published: Vec<Option<Topic>> = effects.incidents.iter().map(|one| one.publish).collect();
        assert_eq!(published, [Some(Topic::IncidentsResolved)]);
        let over = desk.incident(id).await;
        assert_eq!((over.state, over.resolution), (State::Resolved, Some(Ended::Manual)));
        assert_eq!(over.resolved_by.map(|one| one.reason), Some(because()));
        let again = command("again", id, 21, Action::Resolve { reason: because() });
        assert_eq!(desk.ask(&again).await.0, Outcome::Refused);

        let severity = if worse { Severity::Sev1 } else { first.severity };
        desk.see(&Anomaly { severity, ..revised(&first, 2, tick) }).await;
        let incidents = desk.incidents().await;
        assert_eq!(incidents.len(), 1, "{name}: it is the same incident");
        assert_eq!((incidents[0].state.is_open(), incidents[0].reopened > 0), (opens, opens), "{name}");
        // an end of the episode is no news of an incident that is over
        if !opens {
            let cleared = Anomaly { status: Status::Cleared, ..revised(&first, 3, tick + 1) };
            desk.see(&cleared).await;
            assert_eq!(desk.incident(id).await.state, State::Resolved);
        }
    }
}

#[tokio::test]
async fn an_incident_that_a_person_opened_again_stays_open_and_takes_in_what_comes() {
    let mut desk = Desk::open().await;
    let (first, id) = desk.fault("payment").await;
    desk.ask(&command("resolve", id, 20, Action::Resolve { reason: because() })).await;
    let reopen = command("reopen", id, 30, Action::Reopen { reason: "customers still complain".into() });
    assert_eq!(desk.ask(&reopen).await.0, Outcome::Accepted);
    let open = desk.incident(id).await;
    assert_eq!((open.state, open.reopened), (State::Correlating, 1));
    assert_eq!((open.resolution, open.kept_open.map(|one| one.by)), (None, Some("jane".into())));
    assert_eq!(
        desk.ask(&Command { command_id: CommandId(derive(&["2"])), ..reopen }).await.0,
        Outcome::Refused
    );

    let slow = anomaly("payment", "latency_p99_ms", Kind::Latency, 400);
    desk.see(&slow).await;
    desk.see(&revised(&first, 2, 401)).await;
    let incidents = desk.incidents().await;
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let members: Vec<AnomalyId> = incidents[0].members.clone();
    assert!(members.contains(&slow.anomaly_id) && members.contains(&first.anomaly_id));
}

#[tokio::test]
async fn the_timer_of_an_end_before_does_not_resolve_what_a_person_opened_again() {
    let mut desk = Desk::open().await;
    let (first, id) = desk.fault("payment").await;
    let cleared = Anomaly { status: Status::Cleared, ..revised(&first, 2, 20) };
    let effects = desk.see(&cleared).await;
    let timer = effects.timers.into_iter().find(|timer| timer.name == "resolve").expect("a timer");
    desk.ask(&command("resolve", id, 20, Action::Resolve { reason: because() })).await;
    let reopen = command("reopen", id, 21, Action::Reopen { reason: "customers still complain".into() });
    assert_eq!(desk.ask(&reopen).await.0, Outcome::Accepted);
    let event = desk.next();
    let effects = desk.replica.stage.on_timer(&timer, &desk.replica.context(event)).await.unwrap();
    testing::apply_all(&desk.replica.store, "correlation", &[(event, effects)]).await.unwrap();
    assert!(desk.incident(id).await.state.is_open());
    // nor does the postmortem of that end close it: it is decided anew
    let change = Change::Closed { at: at(22) };
    let incidents = vec![IncidentChange { incident_id: id, change, publish: None }];
    let effects = Effects { incidents, ..Effects::none() };
    let event = desk.next();
    let lost = testing::apply_all(&desk.replica.store, "postmortem", &[(event, effects)]).await;
    assert!(matches!(lost, Err(store::Error::Conflict { .. })), "{lost:?}");
}

#[tokio::test]
async fn merged_incidents_end_as_one_and_what_comes_joins_that() {
    let mut desk = Desk::open().await;
    let (_, payment) = desk.fault("payment").await;
    let (second, mail) = desk.fault("notification").await;
    let into = Action::Merge { into: payment, reason: "one host".into() };
    let itself = command("itself", payment, 12, into.clone());
    assert_eq!(desk.ask(&itself).await.0, Outcome::Refused);
    assert_eq!(desk.ask(&command("merge", mail, 12, into)).await.0, Outcome::Accepted);
    let (whole, part) = (desk.incident(payment).await, desk.incident(mail).await);
    assert_eq!(part.state, State::Closed);
    let link = part.merged_into().expect("a link");
    assert_eq!((link.incident_id, link.by.as_deref()), (payment, Some("jane")));
    assert!(whole.members.contains(&second.anomaly_id));
    assert_eq!(whole.affected_services, ["notification", "payment"]);
    desk.see(&revised(&second, 2, 20)).await;
    assert_eq!(desk.incidents().await.iter().filter(|one| one.state.is_open()).count(), 1);
    let back = command("reopen", mail, 30, Action::Reopen { reason: because() });
    assert_eq!(desk.ask(&back).await, (Outcome::Refused, "incident 2 was merged into incident 1".into()));
}

#[tokio::test]
async fn what_a_person_split_is_not_merged_again() {
    let mut desk = Desk::open().await;
    let (first, whole) = desk.fault("payment").await;
    let (second, other) = desk.fault("notification").await;
    let merge = command("merge", other, 11, Action::Merge { into: whole, reason: String::new() });
    desk.ask(&merge).await;
    let split = |name: &str, services: &[&str]| {
        let services = services.iter().map(|&name| name.to_owned()).collect();
        command(name, whole, 12, Action::Split { services, reason: "another host".into() })
    };
    assert_eq!(desk.ask(&split("none", &["user"])).await.0, Outcome::Refused);
    assert_eq!(desk.ask(&split("all", &["notification", "payment"])).await.0, Outcome::Refused);
    let request = split("split", &["notification"]);
    assert_eq!(desk.ask(&request).await.0, Outcome::Accepted);
    desk.settle().await;
    let part = desk.incident(IncidentId::split_by(whole, request.command_id)).await;
    let whole = desk.incident(whole).await;
    assert_eq!(part.affected_services, ["notification"]);
    assert_eq!(whole.affected_services, ["payment"]);
    assert!(part.was_parted_from(whole.incident_id) && whole.was_parted_from(part.incident_id));
    assert!(
        whole.links.iter().any(|link| link.relation == Relation::SplitInto && link.number == part.number)
    );
    for (anomaly, tick) in [(&first, 20), (&second, 21)] {
        desk.see(&revised(anomaly, 2, tick)).await;
    }
    let open: Vec<IncidentId> =
        desk.incidents().await.iter().filter(|one| one.state.is_open()).map(|one| one.incident_id).collect();
    assert_eq!(open, [whole.incident_id, part.incident_id]);
}

#[tokio::test]
async fn incidents_whose_members_people_rearrange_end_where_all_members_are_clear() {
    let mut desk = Desk::open().await;
    let (first, whole) = desk.fault("payment").await;
    let (second, other) = desk.fault("notification").await;
    let cleared = |one: &Anomaly, tick| Anomaly { status: Status::Cleared, ..revised(one, 2, tick) };
    let merge = command("merge", other, 11, Action::Merge { into: whole, reason: String::new() });
    desk.see(&cleared(&first, 20)).await;
    let ends = |timers: &[Timer]| timers.iter().filter(|timer| timer.name == "resolve").count();
    let merged = desk.take(Input::Command(Box::new(merge))).await;
    assert_eq!(ends(&merged.timers), 0, "a member fires");
    let lines: Vec<bool> = merged.audit.iter().map(|line| line.detail["command_id"].is_string()).collect();
    assert_eq!(lines, [true, true]);
    desk.see(&cleared(&second, 21)).await;
    let services = vec!["notification".to_owned()];
    let split = command("split", whole, 22, Action::Split { services, reason: String::new() });
    let parted = desk.take(Input::Command(Box::new(split.clone()))).await;
    assert_eq!(ends(&parted.timers), 2, "{:?}", parted.timers);
    let timers = parted.timers.iter().filter(|timer| timer.name == "resolve");
    for timer in timers.cloned().collect::<Vec<_>>() {
        let event = desk.next();
        let effects = desk.replica.stage.on_timer(&timer, &desk.replica.context(event)).await.unwrap();
        testing::apply_all(&desk.replica.store, "correlation", &[(event, effects)]).await.unwrap();
    }
    for id in [whole, IncidentId::split_by(whole, split.command_id)] {
        assert_eq!(desk.incident(id).await.state, State::Resolved);
    }
}

#[tokio::test]
async fn a_severity_that_a_person_set_holds_and_the_computed_one_is_kept_beside_it() {
    let mut desk = Desk::open().await;
    let (first, id) = desk.fault("payment").await;
    let computed = desk.incident(id).await.severity;
    let set = |name: &str, severity, tick| {
        command(name, id, tick, Action::OverrideSeverity { severity, reason: "no users yet".into() })
    };
    assert_eq!(desk.ask(&set("low", Some(Severity::Sev4), 12)).await.0, Outcome::Accepted);
    assert_eq!(desk.ask(&set("low again", Some(Severity::Sev4), 13)).await.0, Outcome::Refused);
    desk.see(&Anomaly { severity: Severity::Sev1, evidence: 40.0, ..revised(&first, 2, 20) }).await;
    let incident = desk.incident(id).await;
    assert_eq!(incident.severity, Severity::Sev4);
    let worst = incident.severity_override.expect("set").computed;
    assert!(worst >= computed);
    assert_eq!(desk.ask(&set("computed", None, 21)).await.0, Outcome::Accepted);
    let incident = desk.incident(id).await;
    assert_eq!((incident.severity, incident.severity_override), (worst, None));
}

#[tokio::test]
async fn a_service_that_is_retired_is_passed_on_as_a_change() {
    let mut desk = Desk::open().await;
    let retire = Command {
        incident_id: None,
        ..command(
            "retire",
            IncidentId(derive(&[])),
            12,
            Action::Retire { service: "payment".into(), reason: "replaced".into() },
        )
    };
    let effects = desk.take(Input::Command(Box::new(retire.clone()))).await;
    assert_eq!(desk.outcome(retire.command_id).await.0, Outcome::Accepted);
    let [outgoing] = &effects.publish[..] else { panic!("{:?}", effects.publish) };
    assert_eq!((outgoing.topic, outgoing.key.as_str()), (Topic::RawDeployments, "payment"));
    // decided once, however often it is read
    assert!(desk.take(Input::Command(Box::new(retire))).await.is_empty());
}
