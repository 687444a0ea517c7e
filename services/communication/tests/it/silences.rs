//! Silences: what they hide, what is announced once they are over, and the commands that begin and end them.

use std::slice::from_ref;

use communication::content::{Kind, LifecycleEvent};
use communication::silences::{OnRecord, SilenceOver, covering};
use communication::stage::Input;
use jiff::{SignedDuration, Timestamp};
use shared::events::command::{Action, Recurrence, SilenceSpec};
use shared::events::incident::{Incident, State};
use shared::events::{Command, Severity};
use shared::ids::{CommandId, derive};
use shared::lifecycle::Change;
use shared::matchers::{Facts, Matchers};
use shared::silence::Silence;
use shared::stage::{Effects, IncidentChange, Timer};
use shared::store::commands::Outcome;
use shared::store::{ArtifactKind, Write};

use crate::scenario;
use crate::updates::{Scene, escalation_of, sent, statement};

const HOUR_MS: i64 = 3_600_000;

fn id(seed: &str) -> CommandId {
    CommandId(derive(&["silence", seed]))
}

fn command(seed: &str, action: Action) -> Command {
    Command {
        command_id: id(seed),
        environment: scenario::opened().environment,
        incident_id: None,
        by: "jane".into(),
        origin: "cli".into(),
        at: scenario::onset(),
        action,
    }
}

/// A silence from the onset on.
fn spec(matchers: &str, hours: i64) -> SilenceSpec {
    SilenceSpec {
        is_maintenance: false,
        matchers: matchers.into(),
        starts_at: scenario::onset(),
        ends_at: scenario::onset() + SignedDuration::from_hours(hours),
        recurrence: None,
        comment: "the database moves".into(),
    }
}

fn input(seed: &str, action: Action) -> Input {
    Input::Command(Box::new(command(seed, action)))
}

fn begin(seed: &str, spec: SilenceSpec) -> Input {
    input(seed, Action::Silence { silence: spec })
}

fn end(seed: &str, silence: &str) -> Input {
    input(seed, Action::EndSilence { silence_id: id(silence), reason: "done early".into() })
}

fn event(event: LifecycleEvent) -> Input {
    Input::Event(event)
}

fn open() -> Incident {
    Incident { state: State::Correlating, ..scenario::opened() }
}

fn opened(incident: &Incident) -> Input {
    event(LifecycleEvent::Opened(Box::new(incident.clone())))
}

fn hidden(effects: &Effects) -> Vec<Kind> {
    let written = effects.writes.iter().filter_map(|write| match write {
        Write::Silenced(one) => Some(one.kind),
        _ => None,
    });
    written.collect()
}

fn kinds(effects: &Effects) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = sent(effects).into_iter().map(|(kind, _)| kind).collect();
    kinds.dedup();
    kinds
}

/// Returns the timer that announces what was hidden.
fn over(effects: &Effects) -> Timer {
    effects.timers.iter().find(|timer| timer.name == "silence_over").expect("a timer").clone()
}

async fn answer(scene: &Scene, seed: &str) -> (Outcome, String) {
    let decided = scene.bench.store.reads().command(id(seed)).await.unwrap().unwrap();
    (decided.decision.outcome, decided.decision.answer)
}

/// Stores an incident, and the results of its investigation.
async fn on_record(scene: &Scene, incident: &Incident) {
    let id = incident.incident_id;
    scene.bench.record(id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let body = serde_json::to_value(scenario::root_cause()).unwrap();
    let writes = vec![Write::Artifact { incident_id: id, kind: ArtifactKind::RootCause, revision: 1, body }];
    scene.bench.apply(id, "cause", Effects { writes, ..Effects::none() }).await.unwrap();
}

fn silence(seed: &str, spec: SilenceSpec) -> Silence {
    Silence {
        silence_id: id(seed),
        environment: scenario::opened().environment,
        begun_at: spec.starts_at,
        spec,
        by: "jane".into(),
        ended: None,
    }
}

#[test]
fn the_silence_that_lasts_longest_covers_an_incident_while_it_is_active() {
    let incident = open();
    let all = || {
        vec![
            silence("short", spec("service=\"payment\"", 1)),
            silence("long", spec("severity<=\"SEV2\", kind=\"pool\"", 3)),
            silence("other", spec("service=\"catalogue\"", 9)),
            Silence { environment: "staging".into(), ..silence("elsewhere", spec("service=\"payment\"", 9)) },
        ]
    };
    let covered = |hours: i64| {
        let at = scenario::onset() + SignedDuration::from_hours(hours);
        covering(all(), &incident, at).map(|cover| (cover.silence.silence_id, cover.until))
    };
    let ends = |hours| Some(scenario::onset() + SignedDuration::from_hours(hours));
    assert_eq!(covered(0), Some((id("long"), ends(3))));
    assert_eq!(covered(2), Some((id("long"), ends(3))));
    assert_eq!(covered(3), None);
    assert_eq!(covered(-1), None);
    let saturdays =
        Recurrence { cron: "0 10 * * SAT".into(), zone: "Europe/Berlin".into(), duration_min: 120 };
    let weekly = SilenceSpec { recurrence: Some(saturdays), ..spec("service=\"payment\"", 24 * 30) };
    let within = |at: &str| {
        let at: Timestamp = at.parse().unwrap();
        covering(vec![silence("weekly", weekly.clone())], &incident, at).and_then(|cover| cover.until)
    };
    // the onset is a Saturday, half past ten in Berlin
    assert_eq!(within("2026-03-14T10:00:00Z"), Some("2026-03-14T11:00:00Z".parse().unwrap()));
    assert_eq!(within("2026-03-14T11:00:00Z"), None);
    assert_eq!(within("2026-03-18T09:30:00Z"), None);
    assert_eq!(within("2026-03-21T09:30:00Z"), Some("2026-03-21T11:00:00Z".parse().unwrap()));
}

#[test]
fn an_incident_is_matched_by_its_services_series_suspects_and_severity() {
    let facts = Facts::of_incident(&open());
    let matches = |text: &str| text.parse::<Matchers>().unwrap().matches(&facts);
    for holds in [
        "service=\"payment\"",
        "metric=\"db_connections\"",
        "kind=\"pool\"",
        "severity=\"SEV2\"",
        "environment=\"production\"",
        "label.team=\"\"",
    ] {
        assert!(matches(holds), "{holds}");
    }
    for fails in ["service=\"catalogue\"", "severity=\"SEV1\"", "label.team=\"payments\""] {
        assert!(!matches(fails), "{fails}");
    }
}

#[tokio::test]
async fn a_silence_hides_an_incident_and_its_end_announces_it() {
    let mut scene = Scene::open().await;
    let incident = open();
    on_record(&scene, &incident).await;
    scene.take(begin("a", spec("service=\"payment\"", 2))).await;
    let (outcome, text) = answer(&scene, "a").await;
    assert_eq!(outcome, Outcome::Accepted, "{text}");
    assert!(
        scene.take(begin("a", spec("service=\"payment\"", 9))).await.is_empty(),
        "the same command again"
    );

    let not_sent = scene.take(opened(&incident)).await;
    assert_eq!((sent(&not_sent), hidden(&not_sent)), (vec![], vec![Kind::Opened]));
    insta::assert_snapshot!(not_sent.audit[0].summary);
    assert_eq!(not_sent.audit[0].action.name(), "notification_silenced");
    assert_eq!(escalation_of(&not_sent), None);
    let timer = over(&not_sent);
    assert_eq!(timer.due, scenario::onset() + SignedDuration::from_hours(2));
    let cause = LifecycleEvent::RootCause(Box::new(scenario::root_cause()));
    assert_eq!(hidden(&scene.take(event(cause.clone())).await), [Kind::RootCause]);
    let again = scene.take(event(cause)).await;
    assert_eq!((hidden(&again), again.audit[0].action.name()), (vec![], "mail_not_repeated"));
    let reads = scene.bench.store.reads().clone();
    let all = reads.hidden_by(id("a"), 10).await.unwrap();
    assert_eq!((all.incidents, all.count, all.notifications.len()), (1, 2, 2));
    assert!(!all.notifications[0].notification.recipients.is_empty(), "it says who was not notified");
    assert_eq!(reads.hidden_by(id("b"), 10).await.unwrap().count, 0);

    scene.clock.advance_ms(2 * HOUR_MS);
    let announced = scene.fire(&timer).await;
    assert_eq!(kinds(&announced), [Kind::Opened, Kind::RootCause]);
    assert!(escalation_of(&announced).is_some(), "the chain begins when people are notified");
    assert!(scene.fire(&timer).await.is_empty(), "once");
    let resolved = scene.take(event(LifecycleEvent::Resolved(Box::new(scenario::resolved())))).await;
    assert_eq!(kinds(&resolved), [Kind::Resolved]);
}

#[tokio::test]
async fn a_silence_that_ends_early_announces_what_no_other_one_covers() {
    let mut scene = Scene::open().await;
    let incident = open();
    on_record(&scene, &incident).await;
    scene.take(begin("long", spec("service=\"payment\"", 9))).await;
    scene.take(begin("short", spec("severity<=\"SEV2\", kind=\"pool\"", 1))).await;
    scene.take(opened(&incident)).await;
    let ended = scene.take(end("end", "long")).await;
    assert_eq!(answer(&scene, "end").await.0, Outcome::Accepted);
    assert_eq!(over(&ended).due, scenario::onset(), "at once");
    let covered = scene.fire(&over(&ended)).await;
    assert_eq!((sent(&covered), hidden(&covered)), (vec![], vec![]));
    let next = over(&covered);
    assert_eq!(next.due, scenario::onset() + SignedDuration::from_hours(1));
    assert_eq!(next.read::<SilenceOver>().unwrap().silence_id, id("short"));
    let silence = scene.bench.store.reads().silence(id("long")).await.unwrap().unwrap();
    assert_eq!(
        silence.ended.map(|ending| (ending.by, ending.reason)),
        Some(("jane".into(), "done early".into()))
    );

    scene.clock.advance_ms(HOUR_MS);
    assert_eq!(kinds(&scene.fire(&next).await), [Kind::Opened, Kind::RootCause]);
}

#[tokio::test]
async fn an_announced_incident_is_silent_until_its_end_or_until_the_silence_is_over() {
    let mut scene = Scene::open().await;
    let incident = open();
    scene.bench.record(incident.incident_id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let first = scene.take(opened(&incident)).await;
    let chain = escalation_of(&first).expect("a chain");
    scene.take(begin("a", spec("service=\"payment\"", 2))).await;

    let severity = Change::SeverityOverridden { severity: Some(Severity::Sev1), statement: statement() };
    let change = IncidentChange { incident_id: incident.incident_id, change: severity, publish: None };
    let effects = Effects { incidents: vec![change], ..Effects::none() };
    scene.bench.apply(incident.incident_id, "raise", effects).await.unwrap();
    let severe = scene.bench.store.reads().incident(incident.incident_id).await.unwrap().unwrap();
    let severe = Incident { revision: severe.revision + 10, ..severe };
    let not_sent = scene.take(Input::Updated(Box::new(severe.clone()))).await;
    assert_eq!((sent(&not_sent), hidden(&not_sent)), (vec![], vec![Kind::SeverityChanged]));
    let later = Incident { revision: severe.revision + 1, ..severe.clone() };
    assert!(scene.take(Input::Updated(Box::new(later))).await.is_empty(), "hidden once");

    scene.clock.advance_ms(HOUR_MS);
    let quiet = scene.fire(&chain).await;
    assert_eq!((sent(&quiet), hidden(&quiet)), (vec![], vec![]));
    assert!(escalation_of(&quiet).is_some(), "the chain goes on");
    let end = scene.take(event(LifecycleEvent::Resolved(Box::new(scenario::resolved())))).await;
    assert_eq!(kinds(&end), [Kind::Resolved], "whoever was called learns of the end");

    scene.clock.advance_ms(HOUR_MS);
    let later = Incident { revision: severe.revision + 2, ..severe };
    assert!(kinds(&scene.take(Input::Updated(Box::new(later))).await).contains(&Kind::SeverityChanged));
}

#[tokio::test]
async fn an_incident_that_begins_and_ends_in_a_silence_is_never_announced() {
    let mut scene = Scene::open().await;
    let incident = open();
    scene.bench.record(incident.incident_id, incident.clone(), vec![Change::Announced]).await.unwrap();
    scene.take(begin("a", SilenceSpec { is_maintenance: true, ..spec("service=\"payment\"", 1) })).await;
    let timer = over(&scene.take(opened(&incident)).await);
    let resolved = scenario::resolved();
    let change = Change::resolved(resolved.resolved_at.unwrap(), shared::events::anomaly::Ended::Recovered);
    let change = IncidentChange { incident_id: incident.incident_id, change, publish: None };
    let effects = Effects { incidents: vec![change], ..Effects::none() };
    scene.bench.apply(incident.incident_id, "resolve", effects).await.unwrap();
    let end = scene.take(event(LifecycleEvent::Resolved(Box::new(resolved)))).await;
    assert_eq!((sent(&end), hidden(&end)), (vec![], vec![Kind::Resolved]));
    insta::assert_snapshot!(end.audit[0].summary);

    scene.clock.advance_ms(2 * HOUR_MS);
    assert!(scene.fire(&timer).await.is_empty());
    let postmortem = LifecycleEvent::Postmortem(Box::new(scenario::postmortem()));
    let written = scene.take(event(postmortem)).await;
    assert_eq!((sent(&written), hidden(&written)), (vec![], vec![Kind::Postmortem]));
    // another incident is not concerned
    let rows = scene.bench.store.reads().notifications(incident.incident_id).await.unwrap();
    let record = OnRecord::of(rows);
    assert_eq!((record.told.len(), record.hidden.len()), (0, 3));
}

#[tokio::test]
async fn an_incident_that_becomes_worse_than_a_silence_allows_is_announced_at_once() {
    let mut scene = Scene::open().await;
    let incident = open();
    scene.bench.record(incident.incident_id, incident.clone(), vec![Change::Announced]).await.unwrap();
    scene.take(begin("a", spec("service=\"payment\", severity<=\"SEV2\"", 9))).await;
    assert_eq!(hidden(&scene.take(opened(&incident)).await), [Kind::Opened]);
    let worse = Incident { severity: Severity::Sev1, revision: incident.revision + 1, ..incident };
    let announced = scene.take(Input::Updated(Box::new(worse))).await;
    assert_eq!(kinds(&announced), [Kind::Opened]);
    let to = sent(&announced);
    assert!(to.iter().any(|(_, to)| to == &["commander@example.com"]), "{to:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_a_reason() {
    let mut scene = Scene::open().await;
    let payment = || spec("service=\"payment\"", 2);
    scene.take(begin("known", payment())).await;
    scene.take(begin("elsewhere", payment())).await;
    scene.take(end("ended", "elsewhere")).await;
    let recurring = |cron: &str, zone: &str| {
        let recurrence = Recurrence { cron: cron.into(), zone: zone.into(), duration_min: 60 };
        SilenceSpec { recurrence: Some(recurrence), ..payment() }
    };
    let reason =
        |silence: &str, reason: &str| Action::EndSilence { silence_id: id(silence), reason: reason.into() };
    let silence = |silence: SilenceSpec| Action::Silence { silence };
    let asked = [
        silence(spec("service", 2)),
        silence(spec("service=~\".*\"", 2)),
        silence(spec("service=\"payment\"", 0)),
        silence(spec("service=\"payment\"", 24 * 31)),
        silence(SilenceSpec { comment: " \n".into(), ..payment() }),
        silence(SilenceSpec { starts_at: Timestamp::UNIX_EPOCH, ends_at: scenario::onset(), ..payment() }),
        silence(recurring("0 25 * * *", "Europe/Berlin")),
        silence(recurring("0 2 * * SAT", "Berlin")),
        silence(recurring("0 2 * * SUN", "Europe/Berlin")),
        reason("nobody knows it", "why"),
        reason("elsewhere", "why"),
        reason("known", " "),
    ];
    let mut said = Vec::new();
    for (place, action) in asked.into_iter().enumerate() {
        let seed = place.to_string();
        let effects = scene.take(input(&seed, action)).await;
        assert_eq!(effects.writes.len(), 1, "the refusal alone is on record: {effects:?}");
        let (outcome, text) = answer(&scene, &seed).await;
        assert_eq!(outcome, Outcome::Refused, "{text}");
        said.push(text);
    }
    let mut elsewhere = command("staging", reason("known", "why"));
    elsewhere.environment = "staging".into();
    scene.take(Input::Command(Box::new(elsewhere))).await;
    said.push(answer(&scene, "staging").await.1);
    scene.clock.advance_ms(3 * HOUR_MS);
    scene.take(input("late", reason("known", "why"))).await;
    said.push(answer(&scene, "late").await.1);
    insta::assert_snapshot!(said.join("\n"));
    // others decide on these
    let mut ack = command("ack", Action::Acknowledge);
    ack.incident_id = Some(scenario::opened().incident_id);
    assert!(scene.take(Input::Command(Box::new(ack))).await.is_empty());
}

#[tokio::test]
async fn an_environment_has_at_most_a_thousand_silences() {
    let mut scene = Scene::open().await;
    let one =
        |number: usize| Write::Silence(Box::new(silence(&format!("no {number}"), spec("service=\"a\"", 2))));
    let effects = Effects { writes: (0..1_000).map(one).collect(), ..Effects::none() };
    let incident = scenario::opened().incident_id;
    scene.bench.apply(incident, "many", effects).await.unwrap();
    scene.take(begin("one more", spec("service=\"payment\"", 2))).await;
    let (outcome, text) = answer(&scene, "one more").await;
    assert_eq!((outcome, text.contains("1000")), (Outcome::Refused, true), "{text}");
    let last = id("no 0");
    let page = scene.bench.store.reads().silences(None, false, Some(last), 1_000).await.unwrap();
    assert!(page.iter().all(|one| from_ref(&one.silence_id) != [last]));
    scene.take(end("end", "no 7")).await;
    scene.take(begin("instead", spec("service=\"payment\"", 2))).await;
    assert_eq!(answer(&scene, "instead").await.0, Outcome::Accepted);
}
