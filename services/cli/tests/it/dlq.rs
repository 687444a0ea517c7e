//! `firewatch dlq`: what it prints, and what it does over a real Kafka.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cli::arguments::dlq::Filter;
use cli::arguments::moment::Moment;
use cli::dlq::{document, filter, list, show};
use cli::terminal;
use serde_json::{Value, json};
use shared::agent::Agent;
use shared::bus::dead_letter::{DeadLetter, Decision, Disposition, header};
use shared::bus::reader::Line;
use shared::events::Topic;
use shared::ids::EventId;
use stack::testing::bench::{Bench, until};

use crate::fixtures::{anomaly, screen};

const AT_MS: i64 = 1_772_359_300_000;

/// A letter of correlation that came from `anomalies.detected[2]@77`.
fn letter(offset: i64, reason: &str, payload: &[u8]) -> DeadLetter {
    let headers = [
        ("ce_id", "00000000-0000-5000-8000-0000000000e1"),
        ("ce_type", "firewatch.anomaly.v1"),
        (header::REASON, reason),
        (header::ATTEMPTS, "3"),
        (header::TOPIC, "anomalies.detected"),
        (header::PARTITION, "2"),
        (header::OFFSET, "77"),
    ];
    let line = Line {
        partition: 0,
        offset,
        timestamp_ms: Some(AT_MS + offset * 1000),
        key: Some("payment".to_owned()),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        payload: Some(payload.to_vec()),
    };
    DeadLetter::of(Agent::Correlation, line).unwrap()
}

fn mark(decision: Decision, because: Option<&str>) -> Disposition {
    Disposition {
        decision,
        offset: 0,
        at: Some("2026-03-01T10:02:00Z".parse().unwrap()),
        by: "alice".to_owned(),
        because: because.map(str::to_owned),
    }
}

fn set(letter: &mut DeadLetter, name: &str, value: &str) {
    letter.headers.retain(|(known, _)| known != name);
    letter.headers.push((name.to_owned(), value.to_owned()));
}

fn listing(letters: &[DeadLetter], limit: usize) -> list::Listing {
    let mut listing = list::Listing::new(limit);
    for letter in letters {
        listing.take(letter);
    }
    listing
}

#[test]
fn the_list_is_one_line_each_and_counts_reasons_that_differ_in_figures_only_together() {
    let mut redriven = letter(43, "malformed: expected value at line 1 column 120", b"{");
    redriven.marks = vec![mark(Decision::Redriven, None)];
    let mut discarded = letter(44, "invalid: revision counts from 1", b"{}");
    discarded.marks = vec![mark(Decision::Redriven, None), mark(Decision::Discarded, Some("a test"))];
    let mut bare = letter(45, "", b"");
    (bare.headers, bare.key, bare.at) = (Vec::new(), None, None);
    let letters = [
        letter(42, "malformed: expected value at line 1 column 1", b"{"),
        redriven,
        discarded,
        bare,
        letter(46, &"no runbook for that yet, ".repeat(20), b"{}"),
    ];
    insta::assert_snapshot!(list::render(&listing(&letters, 50), &screen()));
}

#[test]
fn a_list_that_leaves_something_out_says_so() {
    let letters: Vec<DeadLetter> = (0..300)
        .map(|offset| {
            let word: String = offset.to_string().bytes().map(|digit| char::from(digit + 49)).collect();
            letter(offset, &format!("unknown service {word}"), b"{}")
        })
        .collect();
    let mut listing = listing(&letters, 2);
    listing.passed_over = 1_234;
    let text = list::render(&listing, &screen());
    assert!(!text.contains("correlation/0/297 ") && text.contains("correlation/0/298 "), "{text}");
    assert!(text.contains("\nthe newest 2 of 300 letters; --limit lists more, filters fewer\n"), "{text}");
    assert!(text.contains("\nand 280 more reasons; --json counts up to 1,000\n"), "{text}");
    assert!(text.contains("\n1,234 older records not looked at: only the last 100,000 of each"), "{text}");
    let document = serde_json::to_value(listing.document()).unwrap();
    assert_eq!((&document["found"], &document["passed_over"]), (&json!(300), &json!(1_234)));
    assert_eq!(document["counts"].as_array().unwrap().len(), 300);
}

#[test]
fn a_list_of_none_says_so() {
    assert_eq!(list::render(&listing(&[], 50), &screen()), "no dead letters\n");
}

#[test]
fn reasons_without_end_are_counted_in_bounds() {
    let word = |n: i64| -> String { n.to_string().bytes().map(|digit| char::from(digit + 49)).collect() };
    let letters: Vec<DeadLetter> = (0..1_500).map(|n| letter(n, &word(n), b"")).collect();
    let document = serde_json::to_value(listing(&letters, 10).document()).unwrap();
    let counts = document["counts"].as_array().unwrap();
    assert_eq!(counts.len(), 1_001);
    assert_eq!((&counts[0]["reason"], &counts[0]["waiting"]), (&json!("other reasons"), &json!(500)));
}

#[test]
fn the_page_of_a_letter() {
    let mut of_json = letter(42, "invalid: revision counts from 1", anomaly().to_string().as_bytes());
    of_json.marks = vec![
        mark(Decision::Redriven, None),
        mark(Decision::Discarded, Some("the producer is gone; see ticket 17")),
    ];
    insta::assert_snapshot!(show::render(&of_json, &screen()).unwrap());
}

#[test]
fn the_page_of_a_letter_that_is_hostile_bytes() {
    let mut hostile =
        letter(42, "malformed: \x1b[2J\u{202e}at\r\nline 1", b"\xff\xfe\x00\x1b]0;owned\x07{plain}");
    hostile.key = Some("pay\x1b[31mment\x07".to_owned());
    set(&mut hostile, "x-\x1b[2Jhidden", "\u{9b}31mred\u{200b}\r\nBcc: eve");
    set(&mut hostile, header::CUT_FROM, "950000");
    insta::assert_snapshot!(show::render(&hostile, &screen()).unwrap());
}

#[test]
fn the_page_of_a_letter_that_is_neither_json_nor_bytes() {
    let mut text = letter(42, "malformed", "{not JSON \u{202e}\r\n\tsecond \u{e4}\n".as_bytes());
    set(&mut text, header::TOPIC, "payments");
    insta::assert_snapshot!(show::render(&text, &screen()).unwrap());
}

#[test]
fn a_page_is_bounded_and_sends_a_terminal_nothing_it_obeys() {
    let long = json!({"lines": (0..100_000).collect::<Vec<_>>(), "\u{1b}[2J": "\u{9b}31m\u{7}"}).to_string();
    let noise: Vec<u8> = (0..900_000_u32).map(|n| (n % 251) as u8).collect();
    let (breaks, line) = ("\n".repeat(900_000), "a".repeat(900_000));
    for payload in [long.as_bytes(), &noise, breaks.as_bytes(), line.as_bytes()] {
        let mut letter = letter(42, &"\u{1b}]0;x\u{7}".repeat(200), payload);
        letter.headers.extend((0..1_000).map(|n| (format!("h{n}\r\n"), "\u{1b}[2J\u{202e}".repeat(100))));
        let text = show::render(&letter, &screen()).unwrap();
        assert!(text.lines().count() < 2_000 && text.len() < 500_000, "{} bytes", text.len());
        let left: Vec<char> =
            text.chars().filter(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}').collect();
        assert!(left.is_empty(), "{left:?}");
        let json = terminal::json(&document::Document::of(&letter), true).unwrap();
        assert!(!json.chars().any(|char| char.is_control() && char != '\n'));
    }
}

#[test]
fn a_letter_is_a_document_too() {
    let mut redriven = letter(42, "invalid: revision counts from 1", br#"{"revision": 0}"#);
    redriven.marks = vec![mark(Decision::Redriven, Some("fixed"))];
    let mut bytes = letter(43, "malformed", b"\xff\x00");
    set(&mut bytes, header::CHANGED, "key, headers");
    let text = letter(44, "malformed", b"{");
    let documents = [redriven, bytes, text].map(|letter| document::Document::of(&letter));
    insta::assert_json_snapshot!(documents);
}

#[test]
fn a_letter_must_meet_every_condition() {
    let letter = letter(42, "Malformed: EOF", b"{");
    let now = screen().now;
    let meets = |filter: &Filter| filter::wants(filter, &letter, now);
    let at = |text: &str| Some(text.parse::<Moment>().unwrap());
    let met = Filter {
        stage: Some(Agent::Correlation),
        topic: Some(Topic::Anomalies),
        reason: Some("malformed: e".to_owned()),
        key: Some("payment".to_owned()),
        since: at("2026-03-01 10:02:22"),
        until: at("2026-03-01 10:02:23"),
    };
    assert!(meets(&Filter::default()) && meets(&met));
    for unmet in [
        Filter { stage: Some(Agent::Postmortem), ..met.clone() },
        Filter { topic: Some(Topic::RawLogs), ..met.clone() },
        Filter { reason: Some("invalid".to_owned()), ..met.clone() },
        Filter { key: Some("pay".to_owned()), ..met.clone() },
        Filter { since: at("9s"), ..met.clone() },
        Filter { until: at("2026-03-01 10:02:22"), ..met.clone() },
    ] {
        assert!(!meets(&unmet), "{unmet:?}");
    }
    let timeless = DeadLetter { at: None, ..letter.clone() };
    assert!(!filter::wants(&Filter { since: at("1970-01-01"), ..Filter::default() }, &timeless, now));
}

/// A stage's dead letters on a real broker, and the binary. Nothing here reads what detection reads.
struct Place {
    bench: Bench,
    key: String,
}

const STAGE: Agent = Agent::Detection;

impl Place {
    async fn open(seed: &str) -> Self {
        let bench = Bench::open(&[Topic::RawLogs, Topic::DeadLetters(STAGE)]).await.unwrap();
        let key = bench.incident(seed).to_string();
        Self { bench, key }
    }

    /// Writes a letter as the stage would.
    async fn bury(&self, reason: &str, payload: &[u8], theirs: &[(&str, &str)]) {
        let ours = [
            (header::REASON, reason),
            (header::ATTEMPTS, "1"),
            (header::TOPIC, "raw.logs"),
            (header::PARTITION, "5"),
            (header::OFFSET, "1000000"),
        ];
        let headers =
            theirs.iter().chain(&ours).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let topic = Topic::DeadLetters(STAGE);
        self.bench.producer.send(topic, Some(&self.key), &headers, payload).await.unwrap();
    }

    async fn firewatch(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
        command
            .args(arguments)
            .env("FIREWATCH_KAFKA__BROKERS", &self.bench.common.kafka.brokers)
            .env("USER", "alice")
            .stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Runs a command that succeeds, and returns what it printed.
    async fn prints(&self, arguments: &[&str]) -> String {
        let output = self.firewatch(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails, and returns its exit code and what it says.
    async fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.firewatch(arguments).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), said)
    }

    async fn listed(&self, more: &[&str]) -> Value {
        let arguments = ["dlq", "list", "--json", "--key", &self.key];
        serde_json::from_str(&self.prints(&[&arguments[..], more].concat()).await).unwrap()
    }

    /// Returns the addresses of this test's letters, once there are that many.
    async fn addresses(&self, expected: usize) -> Vec<String> {
        let listed = until(Duration::from_secs(20), async || {
            let listed = self.listed(&[]).await;
            let letters = listed["letters"].as_array().unwrap().clone();
            if letters.len() == expected { Ok(letters) } else { Err(listed) }
        });
        let letters = listed.await.unwrap();
        letters.iter().map(|letter| letter["address"].as_str().unwrap().to_owned()).collect()
    }

    async fn states(&self) -> Vec<String> {
        let listed = self.listed(&[]).await;
        let letters = listed["letters"].as_array().unwrap();
        letters.iter().map(|letter| letter["state"].as_str().unwrap().to_owned()).collect()
    }

    async fn sent(&self) -> Vec<Line> {
        self.bench.records(Topic::RawLogs, &self.key).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_shown_redriven_and_discarded_and_each_decision_is_on_record() {
    let place = Place::open("dlq").await;
    let own_id = EventId::of("dlq", &place.key, 1).to_string();
    place.bury("malformed: one", b"\xff\x00first", &[]).await;
    place.bury("malformed: two", b"second", &[("traceparent", "00-a"), ("ce_id", &own_id)]).await;
    place.bury("invalid: three", b"third", &[]).await;
    let addresses = place.addresses(3).await;
    let [first, second, third] = &addresses[..] else { panic!("{addresses:?}") };

    // nothing is done to more than one letter unasked, and nothing at all by a dry run
    let all = ["dlq", "redrive", "--all", "--key", &place.key];
    let (code, said) = place.fails(&all).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("this would redrive 3 letters and there is no terminal to ask on"), "{said}");
    let told = place.prints(&[&all[..], &["--dry-run"]].concat()).await;
    let goes = |address: &str| format!("{address}  would be redriven to raw.logs[5]\n");
    assert_eq!(
        told,
        addresses.iter().map(|address| goes(address)).collect::<String>() + "3 letters would be redriven\n"
    );
    assert_eq!(place.states().await, ["waiting", "waiting", "waiting"]);
    assert!(place.sent().await.is_empty());

    let told = place.prints(&["dlq", "discard", third, "--because", "a test\x1b[2J"]).await;
    assert_eq!(told, format!("{third}  discarded\n1 letter discarded\n"));
    let told = place.prints(&["dlq", "redrive", first]).await;
    assert_eq!(told, format!("{first}  redriven to raw.logs[5]\n1 letter redriven\n"));
    assert_eq!(place.states().await, ["redriven", "waiting", "discarded"]);

    // what was decided is not done again unless it is said
    let told = place.prints(&["dlq", "redrive", first]).await;
    assert!(told.contains("skipped: redriven") && told.contains("by alice; --again"), "{told}");
    assert!(told.ends_with("\n0 letters redriven\n"), "{told}");
    let told = place.prints(&[&all[..], &["--yes"]].concat()).await;
    assert!(told.starts_with("2 letters redriven or discarded before, and skipped"), "{told}");
    assert!(told.ends_with(&format!("{second}  redriven to raw.logs[5]\n1 letter redriven\n")), "{told}");
    place.prints(&[&all[..], &["--again", "--limit", "1", "--reason", "MALFORMED"]].concat()).await;
    assert_eq!(place.states().await, ["redriven", "redriven", "discarded"]);

    let sent = place.sent().await;
    let of_place = EventId::of_record("raw.logs", 5, 1_000_000).to_string();
    let seen: Vec<_> = sent
        .iter()
        .map(|line| (line.partition, line.payload.as_deref().unwrap(), line.headers.clone()))
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let by_place = vec![pair("ce_id", &of_place)];
    assert_eq!(
        seen,
        [
            (5, &b"\xff\x00first"[..], by_place.clone()),
            (5, &b"second"[..], vec![pair("traceparent", "00-a"), pair("ce_id", &own_id)]),
            (5, &b"\xff\x00first"[..], by_place),
        ]
    );

    let shown: Value = serde_json::from_str(&place.prints(&["dlq", "show", third, "--json"]).await).unwrap();
    let decided = &shown["decisions"][0];
    assert_eq!((&decided["decision"], &decided["by"]), (&json!("discarded"), &json!("alice")));
    assert_eq!(decided["because"], json!("a test [2J"));
    assert!(place.prints(&["dlq", "show", third]).await.contains(" by alice: a test [2J\n"));
    let counts = &place.listed(&["--reason", "invalid"]).await["counts"];
    let expected =
        json!([{"stage": STAGE, "reason": "invalid: three", "waiting": 0, "redriven": 0, "discarded": 1}]);
    assert_eq!(counts, &expected);
    assert_eq!(place.listed(&["--waiting"]).await["found"], json!(0));
    let tail = place.prints(&["topics", "tail", "dlq.detection", "--key", &place.key, "--last", "1"]).await;
    assert!(tail.contains(" redriven by alice"), "{tail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_and_how_it_ends() {
    let place = Place::open("dlq-wrong").await;
    place.bury("too large", b"beginning", &[(header::CUT_FROM, "950000")]).await;
    place.bury("malformed", b"whole", &[]).await;
    let addresses = place.addresses(2).await;
    let [cut, whole] = &addresses[..] else { panic!("{addresses:?}") };

    // a letter that does not exist: not even the others are touched
    let missing = "detection/0/123456789";
    for arguments in [&["dlq", "show", missing][..], &["dlq", "redrive", "--yes", whole, missing]] {
        let (code, said) = place.fails(arguments).await;
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(&format!("there is no dead letter {missing}")), "{said}");
    }
    assert_eq!(place.states().await, ["waiting", "waiting"]);
    for arguments in [
        &["dlq", "show", "detection-0-1"][..],
        &["dlq", "show", "gateway/0/1"],
        &["dlq", "redrive"],
        &["dlq", "redrive", "--key", "x"],
        &["dlq", "discard", "--limit", "3"],
        &["dlq", "discard", cut, "--all"],
        &["dlq", "discard", cut, "--stage", STAGE.name()],
        &["dlq", "list", "--since", "yesterday"],
        &["dlq", "list", "--topic", "dlq"],
    ] {
        let (code, said) = place.fails(arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }

    // the whole one is sent, the cut one is refused, and that is no success
    let (code, said) = place.fails(&["dlq", "redrive", "--all", "--key", &place.key, "--yes"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&format!("{cut}  refused: its payload of 950000 bytes was cut to 9")), "{said}");
    assert!(
        said.contains(&format!("{whole}  redriven to ")) && said.contains("1 letter cannot be redriven"),
        "{said}"
    );
    assert_eq!(place.states().await, ["waiting", "redriven"]);
    assert_eq!(place.sent().await.len(), 1);
    // a mark is no letter
    let offset: i64 = whole.rsplit('/').next().unwrap().parse().unwrap();
    let (code, _) = place.fails(&["dlq", "show", &format!("detection/0/{}", offset + 1)]).await;
    assert_eq!(code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_letters_than_one_portion_keep_their_order() {
    let place = Place::open("dlq-many").await;
    for number in 0..450 {
        place.bury("malformed", number.to_string().as_bytes(), &[]).await;
    }
    let told = place.prints(&["dlq", "redrive", "--all", "--key", &place.key, "--yes"]).await;
    assert!(told.ends_with("\n450 letters redriven\n"), "{told}");
    let payloads: Vec<String> = place
        .sent()
        .await
        .into_iter()
        .map(|line| String::from_utf8(line.payload.unwrap()).unwrap())
        .collect();
    assert_eq!(payloads, (0..450).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(place.listed(&["--waiting"]).await["found"], json!(0));
}
