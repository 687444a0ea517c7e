//! What waits for a summary: by routes, by the limit of an hour and in a storm; and reports at fixed intervals.

use communication::channel::{Address, Destination};
use communication::content::{IncidentSummary, Kind, LifecycleEvent, News, NotificationContent};
use communication::digest::{Fate, Waited};
use communication::holding::{Hold, Pace, Summarize, Waiting, Why, next_digest, take_waiting};
use communication::notifications::{Thread, written};
use communication::options::Options;
use communication::reports::{self, Report};
use communication::silences::OnRecord;
use communication::stage::Input;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::events::Severity;
use shared::events::incident::{Incident, Mute, State};
use shared::ids::{EventId, derive};
use shared::lifecycle::Change;
use shared::routes::Document;
use shared::stage::{Effects, Timer};
use shared::store::notifications::Recent;
use shared::store::{Held, Notification, NotificationState, Write};

use crate::mails::notification;
use crate::scenario;
use crate::updates::{Scene, escalation_of, sent, statement};

const OPS: &str = "#ops";
const OWNER: &str = "owner@example.com";

/// Routes of two receivers: chat has digests below SEV1, mail is quiet from 22:00 to 10:00.
fn routes() -> Document {
    let file = json!({
        "version": 1,
        "receivers": { "chat": [{ "entry": "chat:#ops" }], "owner": [{ "entry": OWNER }] },
        "fallback": ["chat"],
        "routes": [
            { "name": "urgent", "matchers": "severity=\"SEV1\"", "receivers": ["chat", "owner"] },
            { "name": "chat", "receivers": ["chat"], "deliver": "digest", "continue": true },
            { "name": "owner", "receivers": ["owner"],
              "quiet": { "hours": [{ "from": "22:00", "to": "10:00" }], "deliver": "at_end" } }
        ]
    });
    serde_json::from_value(file).unwrap()
}

async fn with_routes() -> Scene {
    let scene = Scene::with(|options| options.commanders.clear()).await;
    scene.bench.store.replace_oncall(&[], Some(&routes())).await.unwrap();
    scene
}

fn minor(seed: &str, number: i64, severity: Severity) -> Incident {
    let known = scenario::opened();
    let incident_id = shared::ids::IncidentId(derive(&["held", seed]));
    Incident { incident_id, number, severity, state: State::Correlating, ..known }
}

fn opened(incident: &Incident) -> Input {
    Input::Event(LifecycleEvent::Opened(Box::new(incident.clone())))
}

fn held(effects: &Effects) -> Vec<&Held> {
    let writes = effects.writes.iter();
    writes.filter_map(|write| if let Write::Held(one) = write { Some(&**one) } else { None }).collect()
}

fn summaries(effects: &Effects) -> Vec<Timer> {
    effects.timers.iter().filter(|timer| timer.name == "summarize").cloned().collect()
}

fn digest_of(effects: &Effects) -> NotificationContent {
    let digests = effects.writes.iter().filter_map(|write| match write {
        Write::Notification(one) if one.kind == Kind::Digest => Some(one.event.clone()),
        _ => None,
    });
    let [digest] = digests.collect::<Vec<_>>().try_into().unwrap();
    serde_json::from_value(digest).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn digests_are_written_at_multiples_of_their_interval() {
    let every = |minutes| Options { digest_minutes: minutes, ..Options::default() };
    let next = |at: &str, minutes| next_digest(time(at), &every(minutes)).to_string();
    assert_eq!(next("2026-03-14T09:26:50Z", 60), "2026-03-14T10:00:00Z");
    assert_eq!(next("2026-03-14T09:26:50Z", 15), "2026-03-14T09:30:00Z");
    assert_eq!(next("2026-03-14T23:00:00Z", 1_440), "2026-03-15T00:00:00Z");
    assert_eq!(next("2026-03-14T09:59:59.9Z", 60), "2026-03-14T11:00:00Z", "not in the same second");
}

#[tokio::test]
async fn what_a_route_wants_later_waits_and_is_said_once() {
    let mut scene = with_routes().await;
    let (first, second) = (minor("a", 1, Severity::Sev4), minor("b", 2, Severity::Sev3));
    let mut timers = Vec::new();
    for incident in [&first, &second] {
        scene.bench.record(incident.incident_id, incident.clone(), vec![Change::Announced]).await.unwrap();
        let effects = scene.take(opened(incident)).await;
        assert_eq!(sent(&effects), []);
        let waiting: Vec<(String, Timestamp)> =
            held(&effects).iter().map(|one| (one.identity.clone(), one.until)).collect();
        // the onset is at 09:26: the digest is due at the full hour, when the quiet hours end as well
        let due = time("2026-03-14T10:00:00Z");
        assert_eq!(waiting, [("ops".to_owned(), due), (OWNER.to_owned(), due)]);
        assert_eq!(effects.audit[0].action.name(), "notification_held");
        timers.extend(summaries(&effects));
        // the same event again
        assert_eq!(held(&scene.take(opened(incident)).await).len(), 0);
    }
    let mut cause = scenario::root_cause();
    cause.incident_id = first.incident_id;
    let effects = scene.take(Input::Event(LifecycleEvent::RootCause(Box::new(cause)))).await;
    assert_eq!((sent(&effects).len(), held(&effects).len()), (0, 2));
    timers.extend(summaries(&effects));

    scene.clock.advance_ms(35 * 60_000);
    let mut written = Vec::new();
    for timer in &timers {
        let effects = scene.fire(timer).await;
        if !effects.is_empty() {
            assert_eq!(effects.audit.len(), 2, "each incident says it");
            written.push((timer.read::<Summarize>().unwrap().address, effects));
        }
    }
    assert_eq!(written.len(), 2, "one digest to each address, whatever the number of timers");
    for (address, effects) in written {
        assert_eq!(sent(&effects), [(Kind::Digest, vec![address])]);
        let content = digest_of(&effects);
        let LifecycleEvent::Update(update) = &content.event else { panic!("{content:?}") };
        let News::Digest { incidents, more: 0 } = &update.news else { panic!("{update:?}") };
        let said: Vec<(i64, usize, bool)> =
            incidents.iter().map(|one| (one.number, one.lines.len(), one.is_over)).collect();
        assert_eq!(said.len(), 2);
        assert!(said.iter().any(|(_, lines, _)| *lines == 2), "{said:?}");
        assert!(content.subject().starts_with("Digest: 2 incidents, 2 open"), "{}", content.subject());
    }
    let stored = scene.bench.store.reads().notifications(first.incident_id).await.unwrap();
    assert!(stored.iter().all(|(_, state)| *state != NotificationState::Held), "{stored:?}");
}

#[tokio::test]
async fn what_becomes_urgent_is_said_at_once_and_a_summary_does_not_repeat_it() {
    let mut scene = with_routes().await;
    let incident = minor("rising", 3, Severity::Sev3);
    scene.bench.record(incident.incident_id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let waiting = scene.take(opened(&incident)).await;
    assert_eq!((sent(&waiting).len(), held(&waiting).len()), (0, 2));
    let mut cause = scenario::root_cause();
    cause.incident_id = incident.incident_id;
    scene.take(Input::Event(LifecycleEvent::RootCause(Box::new(cause)))).await;
    scene.clock.advance_ms(60_000);
    let severe = Incident { severity: Severity::Sev1, revision: incident.revision + 1, ..incident.clone() };
    let raised = scene.take(Input::Updated(Box::new(severe))).await;
    let kinds: Vec<Kind> = sent(&raised).into_iter().map(|(kind, _)| kind).collect();
    for kind in [Kind::Opened, Kind::SeverityChanged] {
        assert_eq!(kinds.iter().filter(|one| **one == kind).count(), 2, "a thread begins with its opening");
    }
    assert_eq!(held(&raised).len(), 0);
    scene.clock.advance_ms(34 * 60_000);
    for timer in summaries(&waiting) {
        let effects = scene.fire(&timer).await;
        let kinds: Vec<Kind> = sent(&effects).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Kind::Summary]);
        let Some(Write::Notification(one)) = effects.writes.first() else { panic!("{effects:?}") };
        let lines = one.event["news"]["update"]["news"]["lines"].to_string();
        assert!(
            lines.contains("Root cause") && !lines.contains("opened"),
            "no opening says the cause: {lines}"
        );
    }
}

#[tokio::test]
async fn who_read_of_it_in_a_digest_reads_of_its_end() {
    let mut scene = with_routes().await;
    let incident = minor("ended", 6, Severity::Sev4);
    let id = incident.incident_id;
    scene.bench.record(id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let waiting = scene.take(opened(&incident)).await;
    scene.clock.advance_ms(35 * 60_000);
    for timer in summaries(&waiting) {
        assert!(!scene.fire(&timer).await.is_empty());
    }
    // by another route than the one by which it was announced
    let mut others = routes();
    others.routes.retain(|route| route.name != "chat");
    scene.bench.store.replace_oncall(&[], Some(&others)).await.unwrap();
    let over = Incident { incident_id: id, severity: Severity::Sev4, ..scenario::resolved() };
    let end = scene.take(Input::Event(LifecycleEvent::Resolved(Box::new(over)))).await;
    let owner = || vec![OWNER.to_owned()];
    assert_eq!(
        sent(&end),
        [(Kind::Opened, owner()), (Kind::Resolved, owner())],
        "a thread has a first message"
    );
    assert_eq!(held(&end).iter().map(|one| one.identity.as_str()).collect::<Vec<_>>(), ["ops"]);
}

#[test]
fn what_is_due_is_said_in_the_way_of_the_channel_or_waits_on() {
    let now = time("2026-03-14T10:00:00Z");
    let later = now + SignedDuration::from_hours(2);
    let fate = |change: fn(&mut Incident), has_begun, reads_summaries, silenced| {
        let mut incident = minor("fate", 7, Severity::Sev3);
        change(&mut incident);
        Waited { incident, notifications: Vec::new() }.fate(has_begun, reads_summaries, silenced, now)
    };
    let as_it_is = |_: &mut Incident| ();
    assert_eq!(fate(as_it_is, false, true, None), Fate::Digest);
    assert_eq!(fate(as_it_is, true, true, None), Fate::Summary);
    assert_eq!(fate(as_it_is, false, false, None), Fate::Announce);
    assert_eq!(fate(as_it_is, false, false, Some(later)), Fate::Wait(later), "a silence takes no call away");
    let over = |one: &mut Incident| one.state = State::Resolved;
    assert_eq!(fate(over, false, true, Some(later)), Fate::Digest);
    assert!(matches!(fate(over, false, false, None), Fate::Drop(_)));
    let acknowledged = |one: &mut Incident| one.acknowledged = Some(statement());
    assert!(matches!(fate(acknowledged, false, false, None), Fate::Drop(_)), "nobody is called for that");
    assert_eq!(fate(acknowledged, false, true, None), Fate::Digest);
    let muted = |one: &mut Incident| {
        let until = Some("2026-03-14T11:00:00Z".parse().unwrap());
        one.mute = Some(Mute { statement: statement(), until });
    };
    assert_eq!(fate(muted, true, true, None), Fate::Wait(time("2026-03-14T11:00:00Z")));
}

#[tokio::test]
async fn more_than_an_hour_allows_is_one_summary_in_the_thread() {
    let mut scene = Scene::with(|options| {
        options.commanders.clear();
        options.hourly_messages = 2;
    })
    .await;
    let incident = minor("flapping", 4, Severity::Sev2);
    scene.bench.record(incident.incident_id, incident.clone(), vec![Change::Announced]).await.unwrap();
    scene.take(opened(&incident)).await;
    let mut kinds = Vec::new();
    let mut timers = Vec::new();
    let severities = [Severity::Sev1, Severity::Sev2, Severity::Sev1, Severity::Sev2];
    for (revision, severity) in (10..).zip(severities) {
        scene.clock.advance_ms(60_000);
        let changed = Incident { severity, revision, ..incident.clone() };
        let effects = scene.take(Input::Updated(Box::new(changed))).await;
        kinds.extend(sent(&effects).into_iter().map(|(kind, _)| kind));
        timers.extend(summaries(&effects));
    }
    assert_eq!(kinds, [Kind::SeverityChanged; 2], "one after the opening, and a rise whatever was sent");
    // an hour after the opening, and after the message that followed it
    let due = |minutes| scenario::onset() + SignedDuration::from_mins(minutes);
    assert_eq!(timers.iter().map(|timer| timer.due).collect::<Vec<_>>(), [due(60), due(61)]);
    scene.clock.advance_ms(60 * 60_000);
    let summary = scene.fire(&timers[1]).await;
    assert_eq!(sent(&summary), [(Kind::Summary, vec![OPS.to_owned()])]);
    let Some(Write::Notification(one)) = summary.writes.first() else { panic!("{summary:?}") };
    assert!(one.subject.starts_with("Re: "), "it is in the thread: {}", one.subject);
    let lines = one.event["news"]["update"]["news"]["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].as_str().unwrap().contains("Severity"), "{lines:?}");
    assert!(scene.fire(&timers[0]).await.is_empty());
    // the end is always sent
    let over = Incident { revision: 20, state: State::Resolved, ..scenario::resolved() };
    let over = Incident { incident_id: incident.incident_id, ..over };
    let end = scene.take(Input::Event(LifecycleEvent::Resolved(Box::new(over)))).await;
    assert_eq!(sent(&end), [(Kind::Resolved, vec![OPS.to_owned()])]);
}

fn message(kind: Kind, severity: Severity) -> NotificationContent {
    let incident = Incident { severity, ..scenario::opened() };
    let event = scenario::thread().into_iter().map(|one| one.event).find(|event| event.kind() == kind);
    NotificationContent { incident: IncidentSummary::of(&incident), event: event.unwrap() }
}

#[test]
fn in_a_storm_the_severe_is_sent_and_the_rest_waits() {
    let options = Options { storm_messages: 0, ..Options::default() };
    let (recent, record) = (Recent::default(), OnRecord::default());
    let now = time("2026-03-14T09:26:50Z");
    let pace = Pace { options: &options, recent: &recent, record: &record, now };
    let thread = |channel| Thread::of_one(channel, &Address::new("x", "x"));
    let hold = |kind, severity, channel| pace.hold(&message(kind, severity), &thread(channel), "x", None);
    let until = time("2026-03-14T09:30:00Z");
    assert_eq!(hold(Kind::Opened, Severity::Sev3, "email"), Some(Hold { until, why: Why::Storm }));
    assert_eq!(hold(Kind::Opened, Severity::Sev2, "email"), None);
    assert_eq!(hold(Kind::Plan, Severity::Sev4, "slack").map(|hold| hold.why), Some(Why::Storm));
    assert_eq!(hold(Kind::Opened, Severity::Sev4, "pagerduty").map(|hold| hold.why), Some(Why::Storm));
    for channel in ["webhook", "jira"] {
        assert_eq!(hold(Kind::Opened, Severity::Sev4, channel), None, "programs do not tire");
    }
}

#[test]
fn a_pager_that_was_called_follows_the_incident_whatever_a_route_wants() {
    let (options, recent) = (Options::default(), Recent::default());
    let address = Address::new("payments", "payments");
    let thread = Thread::of_one("pagerduty", &address);
    let content = message(Kind::Resolved, Severity::Sev4);
    let now = time("2026-03-14T09:26:50Z");
    let hold = Hold { until: now + SignedDuration::from_hours(1), why: Why::QuietHours };
    let taken = |record: &OnRecord| {
        let pace = Pace { options: &options, recent: &recent, record, now };
        let later = [Waiting { to: Destination { channel: "pagerduty", address: address.clone() }, hold }];
        let mut threads = vec![thread.clone()];
        let known = |_: &str, entry: &str| {
            Some(Destination { channel: "pagerduty", address: Address::new(entry, entry) })
        };
        let waiting = take_waiting(&mut threads, &content, &later, &pace, known);
        (threads.len(), waiting.len())
    };
    assert_eq!(taken(&OnRecord::default()), (0, 1));
    let mut opening: Notification = notification(&message(Kind::Opened, Severity::Sev4));
    opening.id = thread.opening_id(content.incident.incident_id);
    opening.channel = "pagerduty".into();
    let record = OnRecord { told: vec![opening], ..OnRecord::default() };
    assert_eq!(taken(&record), (1, 0));
}

#[test]
fn only_what_was_sent_within_an_hour_counts() {
    let (options, recent) = (Options { hourly_messages: 1, ..Options::default() }, Recent::default());
    let content = message(Kind::Plan, Severity::Sev2);
    let now = time("2026-03-14T12:00:00Z");
    let mut earlier = notification(&content);
    earlier.recipients = vec!["A@example.com".into()];
    let mut held_at = |minutes: i64, address: &str| {
        let at = now - SignedDuration::from_mins(minutes);
        earlier.event = written(&content, at).unwrap();
        let record = OnRecord { told: vec![earlier.clone()], ..OnRecord::default() };
        let pace = Pace { options: &options, recent: &recent, record: &record, now };
        let thread = Thread::of_one("email", &Address::new(address, address));
        pace.hold(&content, &thread, address, None).map(|hold| hold.until)
    };
    assert_eq!(held_at(59, "a@example.com"), Some(now + SignedDuration::from_mins(1)));
    assert_eq!(held_at(61, "a@example.com"), None);
    assert_eq!(held_at(59, "b@example.com"), None, "another address");
}

#[tokio::test]
async fn a_severe_incident_is_reported_on_until_it_is_over() {
    let mut scene = Scene::open().await;
    let incident = minor("long", 5, Severity::Sev1);
    let id = incident.incident_id;
    scene.bench.record(id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let raise = Change::SeverityOverridden { severity: Some(Severity::Sev1), statement: statement() };
    let raise = shared::stage::IncidentChange { incident_id: id, change: raise, publish: None };
    let effects = Effects { incidents: vec![raise], ..Effects::none() };
    scene.bench.apply(id, "raise", effects).await.unwrap();
    let begun = scene.take(opened(&incident)).await;
    // that of the first report is set again with whatever is sent, which changes nothing
    let report = |effects: &Effects| effects.timers.iter().rfind(|one| one.name == "report_status").cloned();
    let timer = report(&begun).expect("a first report");
    assert_eq!(timer.due, scenario::onset() + SignedDuration::from_hours(1));
    assert!(escalation_of(&begun).is_some());
    scene.clock.advance_ms(60 * 60_000);
    let reported = scene.fire(&timer).await;
    assert!(sent(&reported).iter().all(|(kind, _)| *kind == Kind::StatusReport), "{reported:?}");
    assert!(!sent(&reported).is_empty());
    assert_eq!(report(&reported).expect("the next one").read::<Report>().unwrap().number, 2);

    let due = Report { incident_id: id, reopened: 0, number: 1 };
    let now = scenario::onset();
    let decided = |change: fn(&mut Incident)| {
        let mut incident = incident.clone();
        change(&mut incident);
        reports::decide(&due, &incident, now)
    };
    assert_eq!(decided(|one| one.state = State::Resolved), reports::Due::Over);
    assert_eq!(decided(|one| one.reopened = 1), reports::Due::Over);
    assert_eq!(decided(|one| one.severity = Severity::Sev3), reports::Due::Quiet);
    assert_eq!(
        decided(|one| one.mute = Some(Mute { statement: statement(), until: None })),
        reports::Due::Quiet
    );
    let last = Report { number: reports::MOST, ..due.clone() };
    assert_eq!(reports::next(&last, &Options::default(), now).unwrap(), None);
    let never = Options { status_report_minutes: 0, ..Options::default() };
    assert_eq!(reports::begin(&incident, &never, now).unwrap(), None);
}

#[tokio::test]
async fn addresses_are_counted_over_all_incidents() {
    let scene = Scene::open().await;
    let now = scenario::onset();
    for number in 0..3 {
        let mut one = notification(&message(Kind::Opened, Severity::Sev3));
        one.id = EventId(derive(&["recent", &number.to_string()]));
        one.recipients = vec!["A@example.com".into(), "b@example.com".into()];
        let at = now - SignedDuration::from_mins(number * 6);
        one.event = written(&message(Kind::Opened, Severity::Sev3), at).unwrap();
        let writes = vec![Write::Notification(Box::new(one))];
        let effects = Effects { writes, ..Effects::none() };
        scene
            .bench
            .apply(scenario::opened().incident_id, &format!("recent-{number}"), effects)
            .await
            .unwrap();
    }
    let recent = scene.bench.store.reads().recent(now - SignedDuration::from_mins(10)).await.unwrap();
    assert_eq!(recent.of("email", "a@EXAMPLE.com"), 2);
    assert_eq!((recent.of("email", "c@example.com"), recent.of("slack", "a@example.com")), (0, 0));
}
