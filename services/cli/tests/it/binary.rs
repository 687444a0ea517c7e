//! How the binary ends, and what it says then.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command that knows of no stack and starts in a folder of its own.
fn firewatch(folder: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FIREWATCH_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(self::folder(folder));
    command
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn help_tells_all() {
    let help = |arguments: &[&str]| {
        let output = firewatch("help", arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    insta::assert_snapshot!(help(&["--help"]));
    insta::assert_snapshot!(help(&["incidents", "list", "--help"]));
    insta::assert_snapshot!(help(&["topics", "tail", "--help"]));
    insta::assert_snapshot!(help(&["dlq", "list", "--help"]));
    insta::assert_snapshot!(help(&["dlq", "show", "--help"]));
    insta::assert_snapshot!(help(&["dlq", "redrive", "--help"]));
    insta::assert_snapshot!(help(&["dlq", "discard", "--help"]));
    insta::assert_snapshot!(help(&["backtest", "cause", "--help"]));
    insta::assert_snapshot!(help(&["backtest", "incidents", "--help"]));
    insta::assert_snapshot!(help(&["graph", "--help"]));
    insta::assert_snapshot!(help(&["evidence", "show", "--help"]));
    insta::assert_snapshot!(help(&["diagnose", "--help"]));
    insta::assert_snapshot!(help(&["ack", "--help"]));
    insta::assert_snapshot!(help(&["severity", "--help"]));
    insta::assert_snapshot!(help(&["split", "--help"]));
    insta::assert_snapshot!(help(&["mute", "--help"]));
    insta::assert_snapshot!(help(&["feedback", "--help"]));
    insta::assert_snapshot!(help(&["postmortem", "--help"]));
    insta::assert_snapshot!(help(&["kb", "search", "--help"]));
    insta::assert_snapshot!(help(&["kb", "explain", "--help"]));
    insta::assert_snapshot!(help(&["kb", "lint", "--help"]));
    insta::assert_snapshot!(help(&["oncall", "--help"]));
    insta::assert_snapshot!(help(&["routes", "test", "--help"]));
    insta::assert_snapshot!(help(&["routes", "check", "--help"]));
    insta::assert_snapshot!(help(&["silence", "add", "--help"]));
    insta::assert_snapshot!(help(&["silence", "--help"]));
    insta::assert_snapshot!(help(&["silence", "preview", "--help"]));
    insta::assert_snapshot!(help(&["incidents", "export", "--help"]));
    insta::assert_snapshot!(help(&["retention", "--help"]));
    insta::assert_snapshot!(help(&["privacy", "erase", "--help"]));
    insta::assert_snapshot!(help(&["incidents", "timeline", "--help"]));
    insta::assert_snapshot!(help(&["actions", "--help"]));
    insta::assert_snapshot!(help(&["actions", "list", "--help"]));
    insta::assert_snapshot!(help(&["actions", "done", "--help"]));
    insta::assert_snapshot!(help(&["postmortem", "show", "--help"]));
    insta::assert_snapshot!(help(&["postmortem", "revise", "--help"]));
    insta::assert_snapshot!(help(&["token", "--help"]));
    insta::assert_snapshot!(help(&["token", "create", "--help"]));
}

#[test]
fn a_wrong_command_line_or_configuration_ends_with_2() {
    for arguments in [
        &["incidents", "show", "twelve"][..],
        &["incidents", "list", "--limit", "0"],
        &["topics", "tail", "raw.metric"],
        &["graph", "--since", "3h"],
        &["evidence", "show", "12"],
        &["diagnose", "payment", "--since", "2d"],
        &["feedback", "12"],
        &["feedback", "12", "--cause", "wrong", "--category", "unknown"],
        &["resolve", "12"],
        &["severity", "12", "high", "--reason", "x"],
        &["ack", "12", "--wait", "2h"],
        &["actions", "done", "12"],
        &["actions", "drop", "12-3f2a9c"],
        &["actions", "list", "--open", "--all"],
        &["incidents", "timeline", "12", "--json", "--markdown"],
        &["postmortem", "show", "12", "--html", "--json"],
        &["postmortem", "revise", "12"],
        &["silence", "add", "--matchers", "service=\"payment\"", "--comment", "x"],
        &["silence", "add", "--matchers", "service!=\"payment\"", "--for", "2h", "--comment", "x"],
        &[
            "silence",
            "add",
            "--matchers",
            "service=\"a\"",
            "--for",
            "2h",
            "--cron",
            "0 2 * * *",
            "--comment",
            "x",
        ],
        &["silence", "preview", "--matchers", "team=\"payment\""],
        &["privacy", "erase", "--person", "a", "--by", "ann"],
        &["privacy", "erase", "--person", "ann"],
        &["incidents", "export", "12"],
        &["incidents", "list", "--config", "missing.toml"],
    ] {
        let (code, text) = said(&firewatch("usage", arguments).output().unwrap());
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
    }
    let (code, text) =
        said(&firewatch("usage", &["topics", "list"]).env("FIREWATCH_KAFKA__BROKER", "x").output().unwrap());
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("firewatch: the configuration is invalid: kafka: "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn completions_and_manual_know_every_command() {
    let printed = |arguments: &[&str]| {
        let output = firewatch("help", arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(&["completions", shell]);
        assert!(["ack", "merge", "incidents", "dlq"].iter().all(|name| text.contains(name)), "{shell}");
    }
    let page = printed(&["man"]);
    assert!(page.starts_with(".ie") && page.contains(".TH firewatch 1"), "{page}");
    let page = printed(&["man", "topics", "tail"]);
    assert!(page.contains("firewatch\\-topics\\-tail") && page.contains("TOPIC"), "{page}");
    let (code, text) = said(&firewatch("help", &["man", "explode"]).output().unwrap());
    assert_eq!((code, text.as_str()), (Some(3), "firewatch: there is no command firewatch explode\n"));
}

#[test]
fn a_database_that_does_not_answer_is_one_line_and_1() {
    let url = "postgres://firewatch:hunter2@127.0.0.1:1/firewatch";
    let (code, text) = said(
        &firewatch("down", &["incidents", "list"]).env("FIREWATCH_POSTGRES__URL", url).output().unwrap(),
    );
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("firewatch: cannot reach PostgreSQL at postgres://firewatch:***@127.0.0.1:1/"),
        "{text}"
    );
}

#[test]
fn a_demo_is_found_from_below_and_gives_way_to_the_environment() {
    let root = folder("demo/.run");
    std::fs::write(root.join("env"), "FIREWATCH_POSTGRES__URL=postgres://demo@127.0.0.1:1/demo\n").unwrap();
    let mut beside = firewatch("demo/deep/below", &["incidents", "list"]);
    let (_, text) = said(&beside.output().unwrap());
    assert!(text.contains("postgres://demo@127.0.0.1:1/demo"), "{text}");
    assert!(text.contains("demo/.run/env; is the demo still running?"), "{text}");

    let (_, text) = said(&beside.env("FIREWATCH_KAFKA__BROKERS", "127.0.0.1:1").output().unwrap());
    assert!(!text.contains("demo@"), "two stacks were mixed: {text}");
}
