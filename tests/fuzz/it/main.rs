//! The inputs that the search begins with are read: what the targets check is not skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the files below a folder of the repository that a search begins with.
fn seeds(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect()
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Returns the seeds of a folder in which `check` finds nothing to check.
fn unread(folder: &str, check: impl Fn(&[u8]) -> bool) -> Vec<String> {
    let seeds = seeds(folder);
    assert!(!seeds.is_empty());
    let unread = seeds.into_iter().filter(|path| !check(&fs::read(path).unwrap()));
    unread.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_golden_message_is_an_event_or_headers() {
    let unread = unread("shared/tests/golden", |input| fuzz::events::check(input) > 0);
    assert!(unread.iter().all(|file| file == "schema.json"), "{unread:?}");
}

#[test]
fn detection_uses_golden_messages_of_raw_topics() {
    for kind in ["metric", "log", "deployment"] {
        let folder = format!("shared/tests/golden/firewatch.{kind}.v1");
        let unread = unread(&folder, |input| fuzz::samples::check(input) > 0);
        // a value beyond what detection takes, which the bus carries
        assert!(unread.iter().all(|file| file == "schema.json" || file == "extreme.json"), "{unread:?}");
    }
}

#[test]
fn every_export_is_read_in_the_encoding_that_it_is_in() {
    // JSON that is an export of one signal is one of nothing of the others
    let unread = unread("tests/fuzz/seeds/otlp", |input| fuzz::otlp::check(input) == 3);
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn the_gateway_takes_something_of_every_body() {
    let unread = unread("services/gateway/tests/bodies", |input| fuzz::formats::check(input) > 0);
    assert_eq!(unread, ["README.md"]);
}

#[test]
fn every_runbook_has_steps_and_an_escalation() {
    let unread = unread("knowledge/runbooks", |input| fuzz::runbooks::check(input) > 3);
    assert!(unread.is_empty(), "{unread:?}");
}
