//! `firewatch oncall` and `firewatch routes` over the content of this repository.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use catalogue::oncall::OnCall;
use cli::oncall::{Row, render};
use cli::routes::checked;
use cli::routes::plan::{self, Document};
use jiff::Timestamp;
use serde_json::Value;
use shared::events::{Category, Severity};
use shared::matchers::Facts;

use crate::fixtures::screen;

fn content() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge")
}

/// Runs the binary beside the content, so that no path of this machine is printed.
fn firewatch(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(content().join("..")).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = firewatch(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn failed(arguments: &[&str]) -> (Option<i32>, String) {
    let output = firewatch(arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn who_is_on_call_until_when_and_who_is_next() {
    // a holiday, in office hours
    for (name, at) in [("oncall_day", "2026-03-03 12:30"), ("oncall_holiday", "2026-04-03 09:00")] {
        insta::assert_snapshot!(name, printed(&["oncall", "--at", at]));
    }
    let one = printed(&["oncall", "--at", "2026-03-03 12:30", "--team", "payments", "--json"]);
    insta::assert_snapshot!("oncall_as_json", one);
}

#[test]
fn who_would_be_notified_when_and_why() {
    let test = |sev: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            ["routes", "test", "--sev", sev].into_iter().chain(more.iter().copied()).collect();
        printed(&arguments)
    };
    let day = ["--at", "2026-03-02 09:00"];
    let night = ["--at", "2026-03-02 22:30"];
    let with = |service: &'static str, more: &[&'static str]| [&["--service", service], more].concat();
    insta::assert_snapshot!("routes_urgent", test("1", &with("payment", &day)));
    insta::assert_snapshot!(
        "routes_quiet",
        test("3", &with("payment", &[&night[..], &["--environment", "staging"]].concat()))
    );
    insta::assert_snapshot!(
        "routes_at_end",
        test("3", &with("payment", &[&night[..], &["--environment", "dev-2"]].concat()))
    );
    insta::assert_snapshot!("routes_fallback", test("3", &with("api-gateway", &day)));
    let several = with("order", &["--category", "network", "--kind", "security", "--at", "2026-03-02 09:00"]);
    insta::assert_snapshot!("routes_several", test("2", &several));
    let json = test("2", &with("payment", &["--at", "2026-03-02 09:00", "--label", "route=/pay", "--json"]));
    let document: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["incident"]["labels"]["route"], serde_json::json!(["/pay"]));
    assert_eq!(document["notified"][0]["route"], "payments, urgent");
    assert_eq!(document["notified"][0]["levels"].as_array().map(Vec::len), Some(9));
}

#[test]
fn a_file_of_routes_is_checked() {
    let text = printed(&["routes", "check", "--dir", "knowledge"]);
    assert_eq!(text, "knowledge/routes.yaml: 10 routes, 7 receivers\n");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong-routes.yaml");
    let routes = std::fs::read_to_string(content().join("routes.yaml")).unwrap();
    let routes = routes
        .replace("'environment=\"staging\", severity<=\"SEV3\"'", "''")
        .replace("escalation: orders", "escalation: ordering");
    std::fs::write(&file, routes).unwrap();
    let (text, problems) = checked(&content(), &file).unwrap();
    insta::assert_snapshot!("routes_wrong", text.replace(&*file.to_string_lossy(), "wrong-routes.yaml"));
    assert_eq!(problems, text.lines().count());
    let (code, said) = failed(&["routes", "check", &file.to_string_lossy()]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn what_does_not_exist_ends_with_3_and_names_what_does() {
    for (arguments, hint) in [
        (&["oncall", "--team", "payment"][..], "payments"),
        (&["oncall", "--dir", "none"], "--dir"),
        (&["oncall", "--dir", "docs"], "oncall/NAME.yaml"),
        (&["routes", "test", "--service", "payment", "--sev", "2", "--dir", "docs"], "routes.yaml"),
        (&["routes", "check", "none.yaml"], "none.yaml"),
    ] {
        let (code, said) = failed(arguments);
        assert!(code == Some(3) && said.contains(hint), "{arguments:?}: {code:?} {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    for arguments in [
        &["routes", "test", "--sev", "2"][..],
        &["routes", "test", "--service", "payment", "--sev", "5"],
        &["routes", "test", "--service", "payment", "--sev", "2", "--label", "route"],
        &["oncall", "--at", "yesterday"],
    ] {
        let (code, said) = failed(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
}

#[test]
fn hostile_names_are_text() {
    let hostile = "x\u{1b}]0;owned\u{7}\u{202e}y\n";
    let at: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let row = Row {
        rotation: hostile.into(),
        team: hostile.into(),
        zone: "UTC".into(),
        person: None,
        addresses: Vec::new(),
        why: hostile.into(),
        until: None,
        next: None,
    };
    let text = render(&cli::terminal::cleaned(&vec![row]).unwrap(), at, &screen());
    assert!(text.contains("nobody") && !text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");

    let OnCall { roster, routes } = OnCall::load(&content()).unwrap();
    let facts = Facts {
        services: [hostile.into()].into(),
        severity: Some(Severity::Sev3),
        categories: [Category::Network].into(),
        ..Facts::default()
    };
    let document = Document::of(facts, at, &routes.unwrap(), &roster);
    let text = plan::render(&cli::terminal::cleaned(&document).unwrap(), &screen());
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
}
