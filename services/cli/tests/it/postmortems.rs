//! Timelines, postmortems and action items: what is printed and exported, and how people change them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::actions::{Listed, table};
use cli::incidents::timeline;
use cli::postmortem::show::Shown;
use cli::postmortem::{html, page, revised};
use jiff::civil::date;
use serde_json::{Value, json};
use shared::events::anomaly::Ended;
use shared::events::command::Action;
use shared::events::incident::{Link, Relation};
use shared::events::postmortem::Priority;
use shared::events::{Command, Incident, Topic};
use shared::ids::{ActionItemId, CommandId, IncidentId, derive};
use shared::knowledge::approved::{self, Approved};
use shared::lifecycle::Change;
use shared::service::{Config, Deps, Readiness};
use shared::stage::Effects;
use shared::store::action_items::{self, Item, State};
use shared::store::commands::{Decided, Decision, Outcome};
use shared::store::postmortems::{Document, MAX_TEXT, Origin, Revision, Standing};
use shared::store::timeline::{Entry, Sources, Timeline, entries};
use shared::store::{ArtifactKind, Notification, TimelineEntry, Write};
use shared::text::secrets::{self, Redactor};
use stack::testing::bench::{Bench, until};
use tokio_util::sync::CancellationToken;

use crate::fixtures::{case, of, postmortem, screen};
use crate::learning::{firewatch, json as object, printed};
use crate::replay::TURN;

const HOSTILE: &str = "</td><script>alert(1)</script> | `x` [a](javascript:alert(1)) \x1b[31mred\u{202E} ![p](https://evil.example/p.png)";

fn said(at: &str, by: &str, action: &str, summary: &str) -> TimelineEntry {
    TimelineEntry {
        at: at.parse().unwrap(),
        actor: "correlation".into(),
        action: action.into(),
        summary: summary.into(),
        detail: json!({ "command_id": CommandId(derive(&[summary])), "by": by, "origin": "slack" }),
    }
}

fn refused(by: &str, answer: &str) -> Decided {
    let incident = case().incident;
    let command = Command {
        command_id: CommandId(derive(&["refused", by])),
        environment: incident.environment,
        incident_id: Some(incident.incident_id),
        by: by.into(),
        origin: "cli".into(),
        at: "2026-03-01T10:01:40Z".parse().unwrap(),
        action: Action::Unmute,
    };
    let decided_at = command.at;
    Decided { decision: Decision { command, outcome: Outcome::Refused, answer: answer.into() }, decided_at }
}

/// What is on record of the incident, with a remark of a person.
fn recorded(remark: &str, by: &str) -> Vec<Entry> {
    let case = case();
    let mut trail = case.timeline;
    trail.push(said("2026-03-01T10:01:02Z", by, "commented", &format!("Comment by {by}: {remark}")));
    trail.push(said(
        "2026-03-01T10:01:30Z",
        by,
        "acknowledged",
        &format!("Incident 12 is acknowledged by {by}."),
    ));
    let sent = TimelineEntry {
        action: "mail_failed".into(),
        actor: "communication".into(),
        summary: "Given up: notification \"opened\" by email.".into(),
        detail: json!({ "channel": "email" }),
        ..trail[0].clone()
    };
    trail.push(sent);
    let waiting: Vec<_> = case.notifications.into_iter().map(|one| one.notification).skip(1).collect();
    let commands = [refused("joe", "incident 12 is not muted")];
    let opened_at = case.incident.opened_at;
    entries(&Sources { opened_at, trail: &trail, commands: &commands, waiting: &waiting })
}

fn merged(incident: Incident) -> Incident {
    let into = Link::new(IncidentId(derive(&["other"])), 7, Relation::MergedInto);
    Incident { links: vec![into], ..incident }
}

#[test]
fn a_timeline_is_one_order_on_the_terminal_in_markdown_and_as_a_document() {
    let timeline = Timeline::of(&merged(case().incident), recorded("looks like the pool", "ann"), 3);
    insta::assert_snapshot!("timeline", timeline::render(&timeline::cleaned(&timeline), &screen()));
    insta::assert_snapshot!("timeline_as_markdown", timeline.to_markdown());
    insta::assert_snapshot!("timeline_as_json", serde_json::to_string_pretty(&timeline).unwrap());
    let empty = Timeline::of(&case().incident, Vec::new(), 0);
    assert!(timeline::render(&empty, &screen()).contains("nothing is on record"));
}

#[test]
fn hostile_remarks_stay_text_in_a_timeline() {
    let incident = Incident { title: HOSTILE.into(), ..case().incident };
    let timeline = Timeline::of(&incident, recorded(HOSTILE, HOSTILE), 0);
    let shown = timeline::render(&timeline::cleaned(&timeline), &screen());
    assert!(!shown.contains(['\x1b', '\u{202E}']), "{shown:?}");
    let markdown = timeline.to_markdown();
    assert!(!markdown.contains(['\x1b', '\u{202E}']), "{markdown:?}");
    for row in markdown.lines().filter(|line| line.starts_with('|')) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert_eq!(bars, 7, "{row}");
    }
    let html = communication::markdown::to_html(&markdown);
    for active in ["<script", "javascript:", "<img"] {
        assert!(!html.replace("[a](javascript:", "").contains(active), "{active} in {html}");
    }
    assert!(!html.contains("href="), "{html}");
}

fn item(title: &str, state: State) -> Item {
    let incident = case().incident;
    let item_id = ActionItemId::of(incident.incident_id, title);
    Item {
        item_id,
        name: item_id.name(12),
        incident_id: incident.incident_id,
        incident: 12,
        environment: "production".into(),
        service: "payment".into(),
        title: title.into(),
        owner: "Payments".into(),
        due: date(2026, 3, 8),
        priority: Priority::High,
        reason: "sessions held connections without working".into(),
        state,
        is_superseded: false,
        changed: (state != State::Open).then(|| action_items::Change {
            by: "ann".into(),
            at: "2026-03-05T09:00:00Z".parse().unwrap(),
            note: "released in 2.4.2".into(),
        }),
    }
}

fn items() -> Vec<Item> {
    vec![
        item("Set a timeout for idle transactions", State::Open),
        item("Let a rollout of payment stop by itself", State::Done),
        Item { is_superseded: true, priority: Priority::Low, ..item("Notice it sooner", State::Open) },
    ]
}

#[test]
fn items_are_listed_with_what_is_overdue() {
    let on = |day| -> Vec<Listed> { items().into_iter().map(|item| Listed::on(day, item)).collect() };
    insta::assert_snapshot!("action_items", table(&on(date(2026, 3, 9)), &screen()));
    let overdue = |day| on(day).iter().filter(|one| one.is_overdue).count();
    assert_eq!([overdue(date(2026, 3, 8)), overdue(date(2026, 3, 9))], [0, 1], "due that day is not overdue");
    assert_eq!(table(&[], &screen()), "no action items\n");
}

const TEXT: &str = include_str!("../../../communication/tests/it/postmortem.md");

fn shown(origin: Origin, standing: Standing, markdown: &str, title: &str) -> Shown {
    let at = |text: &str| text.parse().unwrap();
    let written = Revision { revision: 1, at: at("2026-03-01T10:05:00Z"), origin: Origin::Record };
    let this = Revision { revision: 2, at: at("2026-03-02T08:30:00Z"), origin };
    let written_text = format!("{TEXT}\n## Action items\n\nas written\n");
    let postmortem = shared::events::Postmortem { markdown: written_text, ..of(postmortem()) };
    let document = Document {
        postmortem,
        revisions: vec![written, this.clone()],
        shown: this,
        markdown: markdown.into(),
        standing,
    };
    let resolved_at = Some(at("2026-03-01T10:04:32Z"));
    let incident = Incident { resolved_at, title: title.into(), ..case().incident };
    let remark =
        if title == HOSTILE { HOSTILE } else { "looks like the pool: sessions wait for the acquirer" };
    Shown::new(&incident, document, items(), recorded(remark, "ann"), 3)
}

fn by(name: &str) -> Origin {
    Origin::Person { by: name.into(), note: "after the review".into() }
}

#[test]
fn a_postmortem_shows_where_it_stands_its_text_and_its_items() {
    let at = "2026-03-03T11:00:00Z".parse().unwrap();
    let standing = Standing::Approved { by: "jane".into(), at };
    let page = page::render(&shown(by("ann"), standing, "# Title\n\nThe pool *ran out*.\n", "t"), &screen());
    insta::assert_snapshot!("postmortem_page", page);
}

#[test]
fn the_page_of_html_is_whole_and_alone() {
    let title = "payment: the connection pool is running out";
    let text = format!("{TEXT}\n## Action items\n\nas written\n");
    let page = html::render(&shown(by("ann"), Standing::Draft, &text, title), screen().now);
    // to be looked at: chromium --headless --screenshot
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("postmortem.html"), &page).unwrap();
    for part in [
        "Draft",
        "SEV2",
        "Set a timeout for idle transactions",
        "released in 2.4.2",
        "superseded",
        "by ann",
        "3 lines left out; <code>firewatch incidents export 12</code> has all",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("as written"), "a section that nobody changed is replaced by what is tracked");
    for foreign in ["<script", "<link", "<img", "url(", "@import", "src="] {
        assert!(!page.contains(foreign), "{foreign} in {page}");
    }
    let balanced = |element: &str| {
        let open =
            page.matches(&format!("<{element}>")).count() + page.matches(&format!("<{element} ")).count();
        assert_eq!(open, page.matches(&format!("</{element}>")).count(), "{element}");
    };
    for element in ["table", "tr", "td", "section", "article", "header", "main", "p", "span", "div", "dl"] {
        balanced(element);
    }
    let withdrawn = Standing::Withdrawn { by: "jo".into(), at: screen().now };
    let changed = format!("{TEXT}\n## Action items\n\nours are different\n");
    let page = html::render(&shown(by("ann"), withdrawn, &changed, title), screen().now);
    assert!(page.contains("ours are different") && page.contains("by jo, 1 Mar 2026"), "{page}");
}

#[test]
fn hostile_text_is_shown_on_the_page_of_html() {
    let standing = Standing::Approved { by: HOSTILE.into(), at: screen().now };
    let mut hostile =
        shown(by(HOSTILE), standing, &format!("# {HOSTILE}\n\n{HOSTILE}\n\n<b onclick=x>"), HOSTILE);
    for item in &mut hostile.action_items {
        (item.title, item.owner, item.reason) = (HOSTILE.into(), HOSTILE.into(), HOSTILE.into());
        if let Some(change) = &mut item.changed {
            (change.by, change.note) = (HOSTILE.into(), HOSTILE.into());
        }
    }
    let page = html::render(&hostile, screen().now);
    for active in ["<script", "<img", "<b ", "href=\"javascript", "</td><script"] {
        assert!(!page.contains(active), "{active} in {page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
}

#[test]
fn a_revision_has_no_secrets_and_no_controls() {
    let settings = secrets::Options { patterns: vec!["ACME-[0-9]+".into()], ..secrets::Options::default() };
    let redactor = Redactor::new(&settings);
    let text = "# A\r\n\r\ntoken ghp_0123456789abcdefghijABCDEFGHIJ012345 ACME-42\u{202E}\x1b[31m\n";
    let text = revised(text, &redactor).unwrap();
    assert!(
        !text.contains("ghp_0123") && !text.contains("ACME-42") && !text.contains(['\x1b', '\u{202E}', '\r']),
        "{text:?}"
    );
    assert!(text.starts_with("# A\n\n") && text.ends_with('\n'), "{text:?}");
    assert!(revised(" \n\t", &redactor).is_err());
}

#[test]
fn a_new_revision_is_a_draft_again_and_other_lines_change_nothing() {
    let line = |action: &str, actor: &str| TimelineEntry {
        action: action.into(),
        actor: actor.into(),
        ..said("2026-03-02T10:00:00Z", actor, action, "x")
    };
    let after = |actions: &[&str]| {
        let lines: Vec<TimelineEntry> = actions.iter().map(|action| line(action, "jane")).collect();
        Standing::after(&lines)
    };
    let (by, at) = (|| "jane".to_owned(), "2026-03-02T10:00:00Z".parse().unwrap());
    let (written, revised, approved, withdrawn) =
        ("postmortem_written", "postmortem_revised", "postmortem_approved", "postmortem_withdrawn");
    assert_eq!(after(&[]), Standing::Draft);
    assert_eq!(after(&[written, approved, "commented"]), Standing::Approved { by: by(), at });
    assert_eq!(after(&[written, approved, withdrawn]), Standing::Withdrawn { by: by(), at });
    for last in [written, revised] {
        assert_eq!(after(&[written, approved, last]), Standing::Draft);
        assert_eq!(after(&[written, approved, withdrawn, last]), Standing::Draft);
    }
}

/// Stores an incident that is over, and waits for its postmortem.
async fn written_up(bench: &Bench, seed: &str) -> (IncidentId, String) {
    let id = bench.incident(seed);
    let incident = Incident { incident_id: id, signals: case().signals, ..case().incident };
    let resolved = Change::resolved("2026-03-01T10:42:32Z".parse().unwrap(), Ended::Recovered);
    bench.record(id, incident, vec![Change::Announced, resolved]).await.unwrap();
    let stored = bench.store.reads().incident(id).await.unwrap().unwrap();
    let event = shared::ids::EventId(derive(&["postmortems", &id.to_string()]));
    bench.send(Topic::IncidentsResolved, &stored, event, stored.opened_at).await.unwrap();
    until(Duration::from_mins(1), async || {
        let found: Option<Value> = bench.store.reads().artifact(id, ArtifactKind::Postmortem).await.unwrap();
        found.ok_or("no postmortem yet")
    })
    .await
    .unwrap();
    (id, stored.number.to_string())
}

fn file(id: IncidentId, name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{id}-{name}"));
    if path.exists() {
        std::fs::remove_file(&path).unwrap();
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postmortem_is_revised_approved_and_exported_and_its_items_are_worked_off() {
    let bench =
        Bench::open(&[Topic::IncidentsResolved, Topic::OperatorCommands, Topic::Postmortems]).await.unwrap();
    let turn = TURN.lock().await;
    let shutdown = CancellationToken::new();
    let deps = Deps { process: "postmortem-test".into(), readiness: Readiness::default() };
    let options = ::postmortem::Options { wait_ms: 0, ..::postmortem::Options::default() };
    let config = Config::of("postmortem", bench.common.clone(), options);
    let running = tokio::spawn(::postmortem::run(config, deps, shutdown.clone()));
    let (id, number) = written_up(&bench, "export").await;
    let ask = |arguments: &[&str]| firewatch(&bench, arguments);

    items_are_worked_off(&ask, &number);

    // a person's text is the next revision, the one before stays
    let edited = file(id, "edited.md");
    let path = edited.to_str().unwrap();
    std::fs::write(&edited, "# Ours\n\nThe pool was too small.\n").unwrap();
    let revise = ["postmortem", "revise", &number, "--file", path, "--note", "after the review"];
    assert!(printed(&ask(&revise)).contains("revision 2"), "stored");
    assert!(printed(&ask(&revise)).contains("nothing has changed"), "the same again");
    for unusable in ["\u{e4}".repeat(MAX_TEXT / 2) + "x", " \n".to_owned()] {
        std::fs::write(&edited, unusable).unwrap();
        assert_eq!(ask(&revise).status.code(), Some(2), "too long, then empty");
    }
    let show = object(&ask(&["postmortem", "show", &number, "--json"]));
    assert_eq!((&show["revision"]["revision"], &show["standing"]["state"]), (&json!(2), &json!("draft")));
    assert_eq!(
        show["revision"]["origin"],
        json!({"kind": "person", "by": "ann", "note": "after the review"})
    );
    assert_eq!(show["revisions"].as_array().map(Vec::len), Some(2));
    let first = printed(&ask(&["postmortem", "show", &number, "--revision", "1", "--markdown"]));
    assert!(first.starts_with("# Postmortem of incident #"), "{first}");
    assert_eq!(ask(&["postmortem", "show", &number, "--revision", "3"]).status.code(), Some(3));

    // approval and withdrawal are those of what is to be learned
    let (doc_id, at) = (format!("incident/FW-{number}"), "2100-03-02T10:00:00Z".parse().unwrap());
    let document = Approved {
        doc_id: doc_id.clone(),
        incident_id: id,
        chunks: vec![],
        approved_by: "jane".into(),
        approved_at: at,
    };
    approved::approve(&bench.store, &document).await.unwrap();
    assert!(printed(&ask(&["postmortem", "show", &number])).contains("approved by jane, 2 Mar 2100"));
    approved::withdraw(&bench.store, &doc_id, id, "joe", at).await.unwrap();
    assert!(printed(&ask(&["postmortem", "show", &number])).contains("withdrawn by joe"));

    // exports never replace a file
    let page = file(id, "page.html");
    let export = ["postmortem", "show", &number, "--html", "--out", page.to_str().unwrap()];
    assert_eq!(printed(&ask(&export)), "");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&page).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "others cannot read it");
    assert!(std::fs::read_to_string(&page).unwrap().contains("The pool was too small."));
    let again = ask(&export);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let timeline = object(&ask(&["incidents", "timeline", &number, "--json"]));
    assert_eq!(timeline["format"], "firewatch.timeline.v1");
    let entries = timeline["entries"].as_array().unwrap();
    let is_done = |entry: &&Value| entry["action"] == "action_item_done" && entry["actor"] == "ann";
    let done = entries.iter().find(is_done).unwrap();
    assert_eq!((&done["kind"], &done["origin"]), (&json!("command"), &json!("cli")));
    let refused = entries.iter().filter(|entry| entry["outcome"] == "refused").count();
    assert_eq!(refused, 2, "{timeline:#}");
    assert!(printed(&ask(&["incidents", "timeline", &number])).contains("ann (cli): "));
    let markdown = printed(&ask(&["incidents", "timeline", &number, "--markdown"]));
    assert!(markdown.contains("| command | ann (cli) |"), "{markdown}");
    assert_eq!(ask(&["incidents", "timeline", "999"]).status.code(), Some(3));

    shutdown.cancel();
    running.await.unwrap().unwrap();
    drop(turn);
    for written in [edited, page] {
        std::fs::remove_file(written).unwrap();
    }
}

fn items_are_worked_off(ask: &impl Fn(&[&str]) -> std::process::Output, number: &str) {
    let listed = object(&ask(&["actions", "list", "--incident", number, "--json"]));
    let name = listed[0]["name"].as_str().unwrap().to_owned();
    let (owner, count) = (listed[0]["owner"].as_str().unwrap(), listed.as_array().unwrap().len());
    assert!(listed[0]["is_overdue"].as_bool().unwrap(), "its incident was long ago: {listed:#}");
    let by_owner = object(&ask(&["actions", "list", "--overdue", "--owner", owner, "--json"]));
    assert!(by_owner.as_array().unwrap().contains(&listed[0]), "{by_owner:#}");
    assert_eq!(printed(&ask(&["actions", "list", "--service", "nobody"])), "no action items\n");

    let change = |verb: &str, more: &[&str]| ask(&[&["actions", verb, &name, "--wait", "1m"], more].concat());
    let dropped = change("reopen", &[]);
    assert_eq!(dropped.status.code(), Some(5), "it is open: {dropped:?}");
    let id = CommandId(derive(&["actions", &name])).to_string();
    let done = ["--note", "released in 2.4.2", "--command-id", &id, "--json"];
    let outcome = object(&change("done", &done));
    assert_eq!(outcome["outcome"], "accepted", "{outcome:#}");
    assert_eq!(object(&change("done", &done)), outcome, "the same command again");
    let again = change("done", &[]);
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(5), "{again:?}");
    assert_eq!(text, format!("firewatch: refused: action item {name} is marked as done by ann already\n"));
    let open = object(&ask(&["actions", "list", "--incident", number, "--json"]));
    assert_eq!(open.as_array().map(Vec::len), Some(count - 1), "{open:#}");
    let all = printed(&ask(&["actions", "list", "--incident", number, "--all"]));
    assert!(all.contains("done by ann"), "{all}");
    printed(&change("reopen", &["--note", "it came back"]));
    printed(&change("drop", &["--reason", "the service goes away"]));
    let missing = ask(&["actions", "done", &format!("{number}-ffffffffff")]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_timeline_is_read_in_pages_and_says_what_is_left_out() {
    let bench = Bench::open(&[]).await.unwrap();
    let id = bench.incident("long");
    let incident = Incident { incident_id: id, ..case().incident };
    bench.record(id, incident, Vec::new()).await.unwrap();
    let opened_at = bench.store.reads().incident(id).await.unwrap().unwrap().opened_at;
    for page in 0..21_i64 {
        let line = |n: i64| shared::stage::Audit {
            incident_id: id,
            // many at the same time: the pages go on inside of it
            at: opened_at,
            action: shared::audit::AuditAction::Joined,
            summary: format!("{}", page * 500 + n),
            detail: Value::Null,
        };
        let effects = Effects { audit: (0..500).map(line).collect(), ..Effects::none() };
        bench.apply(id, &format!("page {page}"), effects).await.unwrap();
    }
    let waiting = Notification { incident_id: id, ..case().notifications.remove(1).notification };
    let waiting = Notification { event: json!({"kind": "root_cause", "body": "x".repeat(1_000)}), ..waiting };
    let writes = vec![Write::Notification(Box::new(waiting))];
    bench.apply(id, "waiting", Effects { writes, ..Effects::none() }).await.unwrap();
    let history = bench.store.reads().history(id).await.unwrap();
    let waiting: Vec<_> = history.waiting.iter().map(|one| (one.kind.name(), &one.event)).collect();
    assert_eq!(waiting, [("root_cause", &Value::Null)], "without what it says");
    assert_eq!((history.trail.len(), history.left_out), (10_000, 500));
    let numbers = history.trail.iter().map(|line| line.summary.parse::<usize>().unwrap());
    assert!(numbers.eq(0..10_000), "each line once and in order");
    let client = shared::testing::client(&bench.store).await.unwrap();
    let held = "update notifications set state = 'held', held_for = 'email:x', held_until = now()";
    client.batch_execute(held).await.unwrap();
    assert_eq!(bench.store.reads().history(id).await.unwrap().waiting.len(), 1, "what is held waits, too");
    let none = bench.store.reads().history(bench.incident("none")).await.unwrap();
    assert_eq!((none.trail.len(), none.left_out), (0, 0));
}
