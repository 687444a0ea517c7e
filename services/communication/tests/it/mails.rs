use std::sync::Arc;

use communication::channel::email::message::compose;
use communication::channel::{Channels, Email};
use communication::chart;
use communication::content::{IncidentSummary, LifecycleEvent, NotificationContent};
use communication::notifications;
use communication::options::Options;
use communication::recipients::Directory;
use communication::render::{RenderedMail, render};
use communication::templates::Templates;
use communication::text::COLUMNS;
use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use shared::catalogue::Catalogue;
use shared::events::anomaly::LogTemplate;
use shared::events::raw::Level;
use shared::oncall::Roster;
use shared::stage::Effects;
use shared::store::{Notification, Write};
use shared::text::markdown::{Span, spans};

use crate::scenario;

const LINK: &str = "https://firewatch.example.com";

/// The channels of the product.
pub(crate) fn channels(options: &Options) -> Channels {
    Channels::new([Arc::new(Email::new(options).unwrap()) as _])
}

/// What follows from an event where no notification of it is on record; threads that have begun have `subject`.
pub(crate) fn announced(
    directory: Directory<'_>,
    content: &NotificationContent,
    subject: Option<&str>,
    now: Timestamp,
) -> Effects {
    let NotificationContent { incident, event } = content;
    let chosen = directory.by_role(incident.service.as_deref(), incident.severity, event.kind());
    let mut threads = chosen.threads(directory.channels);
    for thread in &mut threads {
        thread.subject = subject.map(str::to_owned);
    }
    notifications::announce(directory.channels, content, &threads, chosen.unusable, now).unwrap()
}

pub(crate) fn notification(content: &NotificationContent) -> Notification {
    let options = Options { commanders: vec!["commander@example.com".into()], ..Options::default() };
    let channels = channels(&options);
    let directory = Directory {
        options: &options,
        catalogue: &Catalogue::default(),
        channels: &channels,
        roster: &Roster::default(),
        routes: None,
        at: Timestamp::UNIX_EPOCH,
    };
    let opened = scenario::thread().remove(0);
    let effects = announced(directory, content, Some(&opened.incident.subject()), content.event.at());
    match effects.writes.into_iter().next() {
        Some(Write::Notification(notification)) => *notification,
        other => panic!("no notification but {other:?}"),
    }
}

fn rendered(content: &NotificationContent) -> RenderedMail {
    render(&Templates::load(None).unwrap(), content, LINK, None).unwrap()
}

fn mime(content: &NotificationContent) -> String {
    composed(&notification(content), content)
}

fn composed(notification: &Notification, content: &NotificationContent) -> String {
    let from = "Firewatch <firewatch@firewatch.local>".parse().unwrap();
    let bytes = compose(&from, "firewatch.local", notification, &rendered(content)).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Headers and part structure: everything but the contents of the parts.
fn skeleton(mime: &str) -> String {
    let mut lines = Vec::new();
    let mut heading = true;
    for line in mime.lines() {
        if line.starts_with("--firewatch-") {
            heading = true;
            lines.push(String::new());
        }
        if heading {
            lines.push(line.to_owned());
        }
        if line.is_empty() {
            heading = false;
        }
    }
    lines.join("\n")
}

#[test]
fn five_mails_in_text() {
    for content in scenario::thread() {
        assert_snapshot!(format!("text-{}", content.event.kind().name()), rendered(&content).text);
    }
}

#[test]
fn five_mails_in_html() {
    for content in scenario::thread() {
        assert_snapshot!(format!("html-{}", content.event.kind().name()), rendered(&content).html);
    }
}

#[test]
fn five_mails_make_one_thread() {
    for content in scenario::thread() {
        assert_snapshot!(format!("headers-{}", content.event.kind().name()), skeleton(&mime(&content)));
    }
}

/// A command is pasted from a mail into a shell.
#[test]
fn the_code_of_a_step_can_be_pasted() {
    let mut plan = scenario::plan();
    plan.steps.truncate(3);
    plan.steps[0].detail = "\
Look at the `consumer_lag` of each partition:
```sh
# nothing is changed here
kafka-consumer-groups --bootstrap-server kafka-0.kafka.streaming.svc.cluster.local:9092 --describe --group orders
cat <<'EOF' > /tmp/offsets
\tone \\
    two
EOF
```

1. stop the consumer
2. skip the record:
   ```sh
   kafka-consumer-groups --reset-offsets \\
     --shift-by 1
   ```
3. start it again
   - one copy first
   - then all

| stands still | cause |
|---|---:|
| one partition | a record, see `kubectl logs -n shop deploy/order --since 10m` |
| all | <b>the</b> broker |

Then look again."
        .into();
    plan.steps[0].rollback =
        "`kafka-consumer-groups --reset-offsets --to-offset OFFSET --execute` for the group".into();
    plan.steps[1].detail = "Look:\n```\nkubectl get pods\u{1b}[31m\u{202e}\n```".into();
    plan.steps[2].source = "triage#signals".into();
    plan.steps[2].detail = "errors of <x> are [up](http://evil.example)\n# 2 *more*".into();
    let mail = rendered(&scenario::content(LifecycleEvent::Plan(Box::new(plan))));
    assert_snapshot!("text-plan-code", mail.text);
    assert_snapshot!("html-plan-code", mail.html);
}

#[test]
fn an_unknown_cause() {
    let content = scenario::content(LifecycleEvent::RootCause(Box::new(scenario::unknown_cause())));
    let mail = rendered(&content);
    assert_snapshot!("text-unknown_cause", mail.text);
    assert_snapshot!("html-unknown_cause", mail.html);
}

#[test]
fn a_resolution_that_is_no_recovery() {
    use shared::events::anomaly::Ended;
    for (name, reason) in [
        ("new_level", Ended::NewLevel),
        ("source_gone", Ended::SourceGone),
        ("retired", Ended::Retired),
        ("forced", Ended::Forced),
    ] {
        let incident = scenario::ended(reason);
        let content = NotificationContent {
            incident: IncidentSummary::of(&incident),
            event: LifecycleEvent::Resolved(Box::new(incident)),
        };
        let mail = rendered(&content);
        assert!(!mail.html.contains("back to normal") && !mail.text.contains("back to normal"), "{name}");
        assert_snapshot!(format!("text-resolved-{name}"), mail.text);
        if reason == Ended::NewLevel {
            assert_snapshot!(format!("html-resolved-{name}"), mail.html);
        }
    }
}

#[test]
fn a_storm() {
    let LifecycleEvent::Opened(mut incident) = scenario::thread().remove(0).event else {
        panic!("no opening")
    };
    incident.storm = true;
    incident.title = "storm: 31 signals of 12 services that opened no incidents of their own".into();
    let content = NotificationContent {
        incident: IncidentSummary::of(&incident),
        event: LifecycleEvent::Opened(incident),
    };
    assert_snapshot!("text-opened-storm", rendered(&content).text);
}

#[test]
fn a_resolution_of_an_older_writer_is_a_recovery() {
    let mut incident = scenario::resolved();
    let stated = rendered(&scenario::content(LifecycleEvent::Resolved(Box::new(incident.clone()))));
    incident.resolution = None;
    for signal in &mut incident.signals {
        signal.ended = None;
    }
    let older = rendered(&scenario::content(LifecycleEvent::Resolved(Box::new(incident))));
    assert_eq!((older.text, older.html), (stated.text, stated.html));
}

#[test]
fn a_mail_is_the_same_bytes_each_time() {
    for content in scenario::thread() {
        assert_eq!(mime(&content), mime(&content));
    }
}

#[test]
fn text_keeps_to_its_columns() {
    // code that is pasted stays on one line
    let plan = scenario::plan();
    let spans: Vec<_> = plan.steps.iter().flat_map(|step| spans(&step.detail)).collect();
    let is_code =
        |line: &str| spans.iter().any(|span| matches!(span, Span::Code(code) if line.contains(code)));
    for content in scenario::thread() {
        for line in rendered(&content).text.lines() {
            let fits = line.chars().count() <= COLUMNS || line.split_whitespace().count() < 3;
            assert!(fits || is_code(line), "{line:?}");
        }
    }
}

/// Inline code of runbooks becomes code in HTML and loses its backticks in text; telemetry stays as it was written.
#[test]
fn no_markdown_is_left_in_a_mail() {
    for content in scenario::thread() {
        let mail = rendered(&content);
        let has_code = matches!(
            content.event,
            LifecycleEvent::RootCause(_) | LifecycleEvent::Plan(_) | LifecycleEvent::Postmortem(_)
        );
        assert_eq!(mail.html.contains("</code>"), has_code, "{}", content.event.kind().name());
        for part in [&mail.html, &mail.text] {
            assert!(!part.contains('`') && !part.contains("**"), "{part}");
        }
    }
}

#[test]
fn a_backtick_in_a_log_line_is_no_markup() {
    let mut cause = scenario::root_cause();
    cause.evidence[1].quote = "- unknown column `id` in `orders`".into();
    let mail = rendered(&scenario::content(LifecycleEvent::RootCause(Box::new(cause))));
    for part in [&mail.html, &mail.text] {
        assert!(part.contains("- unknown column `id` in `orders`"), "{part}");
    }
}

/// Text that tries to break out of a header, of an element, of an attribute, and to never end.
const HOSTILE: &str = "x\r\nBcc: eve@example.com\r\n\r\n<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u{202E}{{ 7*7 }}\0";

fn hostile() -> NotificationContent {
    let mut incident = scenario::opened();
    let long = format!("{HOSTILE}{}", "A".repeat(100_000));
    incident.title.clone_from(&long);
    incident.environment.clone_from(&long);
    incident.suspects[0].service.clone_from(&long);
    incident.suspects[0].reasons = vec![long.clone(); 50];
    incident.affected_services = vec![long.clone(); 50];
    incident.blast_radius.callers = vec![long.clone(); 50];
    for signal in &mut incident.signals {
        signal.service.clone_from(&long);
        signal.metric.clone_from(&long);
        signal.unit.clone_from(&long);
        signal.explanation.clone_from(&long);
        signal.observed = -1e308;
        signal.samples[3].value = 1e308;
        signal.logs = vec![LogTemplate {
            level: Level::Fatal,
            template: long.clone(),
            count: u64::MAX,
            example: long.clone(),
            last_seen: scenario::onset(),
        }];
    }
    if let Some(change) = &mut incident.deployment {
        change.version.clone_from(&long);
        change.description = Some(long.clone());
        change.known_risks = vec![long];
    }
    NotificationContent {
        incident: IncidentSummary::of(&incident),
        event: LifecycleEvent::Opened(Box::new(incident)),
    }
}

#[test]
fn hostile_text_stays_text() {
    let content = hostile();
    let mail = rendered(&content);
    for forbidden in ["<script", "<img src=x", "\u{202E}", "\0", "'><img"] {
        assert!(!mail.html.contains(forbidden), "{forbidden:?} came through");
    }
    assert!(mail.html.contains("&#60;script&#62;"), "it is shown as it was written");
    assert!(mail.html.len() < 60_000 && mail.text.len() < 30_000, "{} {}", mail.html.len(), mail.text.len());
    let mut notification = notification(&content);
    notification.subject = format!("Re: {HOSTILE}");
    let from = "Firewatch <firewatch@firewatch.local>".parse().unwrap();
    let bytes = compose(&from, "firewatch.local", &notification, &mail).unwrap();
    let mime = String::from_utf8(bytes).unwrap();
    let head = mime.split("\r\n\r\n").next().unwrap();
    assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    assert_snapshot!("text-hostile", mail.text);
    assert_snapshot!("headers-hostile", head.replace("\r\n", "\n"));
}

#[test]
fn a_picture_of_log_lines_has_their_unit() {
    let mut signal = scenario::resolved().signals.remove(0);
    signal.metric = "logs:critical".into();
    signal.unit = "{line}/min".into();
    (signal.expected.lower, signal.expected.center, signal.expected.upper) = (0.0, 0.0, 0.0);
    let picture = chart::draw(&signal).unwrap().unwrap();
    assert_snapshot!("alt-logs", picture.alt);
    if let Some(file) = std::env::var_os("FIREWATCH_PICTURE") {
        std::fs::write(file, &picture.png).unwrap();
    }
}

#[test]
fn a_picture_is_small_sharp_and_the_same_each_time() {
    let signal = scenario::resolved().signals.remove(0);
    let picture = chart::draw(&signal).unwrap().unwrap();
    assert_eq!(picture, chart::draw(&signal).unwrap().unwrap());
    assert!(picture.png.starts_with(b"\x89PNG"));
    assert!(picture.png.len() < 60_000, "{} bytes", picture.png.len());
    let width = u32::from_be_bytes(picture.png[16..20].try_into().unwrap());
    assert_eq!(width, 2 * chart::WIDTH);
    assert_snapshot!("alt-resolved", picture.alt);
}

#[test]
fn odd_series_are_drawn_or_left_out_but_never_fail() {
    let signal = scenario::resolved().signals.remove(0);
    let with = |values: &[f64]| {
        let mut odd = signal.clone();
        odd.samples.truncate(values.len());
        odd.samples.iter_mut().zip(values).for_each(|(point, value)| point.value = *value);
        chart::draw(&odd).unwrap()
    };
    assert!(with(&[1.0, 2.0]).is_none());
    assert!(with(&[f64::NAN, 1.0, f64::INFINITY, 2.0]).is_none());
    assert!(with(&[5.0; 20]).is_some());
    assert!(with(&[0.0; 20]).is_some());
    assert!(with(&[-1e308, 1e308, 0.0, 3.0]).is_none());
    assert!(with(&[-1e15, 1e15, 0.0, 3.0]).is_some());
    assert!(with(&[1e-300, 2e-300, 3e-300]).is_some());
    let mut far = signal.clone();
    far.samples[0].ts_ms = i64::MIN;
    far.samples[1].ts_ms = i64::MAX;
    assert!(chart::draw(&far).unwrap().is_some());
}

/// After an outage, telemetry of days ago is read: a mail is dated when it is written, and says how old its news is.
#[test]
fn old_news_is_dated_when_it_is_written_and_says_how_old_it_is() {
    let content = scenario::thread().remove(0);
    let at = content.event.at();
    let rendered = |written_at| {
        let templates = Templates::load(None).unwrap();
        render(&templates, &content, LINK, Some(written_at)).unwrap().text
    };
    let late = rendered(at + SignedDuration::from_hours(72));
    assert!(late.contains("Old news: this was 3 d ago"), "{late}");
    for fresh in [at, at + SignedDuration::from_mins(9), at - SignedDuration::from_mins(4)] {
        assert!(!rendered(fresh).contains("Old news"), "{fresh}");
    }
    let mut stored = notification(&content);
    let written_at = at + SignedDuration::from_hours(72);
    stored.event[Notification::WRITTEN_AT] = serde_json::to_value(written_at).unwrap();
    let sent = composed(&stored, &content);
    let date = sent.lines().find_map(|line| line.strip_prefix("Date: ")).unwrap();
    let dated = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
    assert_eq!(dated.as_second(), written_at.as_second());
}
