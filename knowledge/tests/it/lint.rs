//! The content of this repository is clean, and each kind of finding has its file and line.

use std::fmt::Write as _;
use std::path::Path;

use knowledge::lint::{Finding, Severity, lint};

use crate::content::{copied, spoil};

const INCIDENT: &str = "incidents/INC-1107-payment-leaked-connections-on-timeout.yaml";
const RUNBOOK: &str = "runbooks/db-connections.md";

fn printed(directory: &Path) -> String {
    let mut text = String::new();
    for Finding { file, line, severity, message } in lint(directory).findings {
        let _ = writeln!(text, "{file} {line:?} {severity}: {message}");
    }
    text
}

#[test]
fn the_content_of_this_repository_is_clean() {
    let report = lint(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.files >= 48, "{} files", report.files);
}

#[test]
fn names_references_and_links_that_lead_nowhere_are_found_with_their_lines() {
    let directory = copied("lint-names");
    let text = "All short and busy: the pool is too small for the traffic.";
    let links = "See [one](disk-full.md#diagnosis), [two](disk-full.md#causes), [three](../services/paymnt.yaml), [four](#symptoms), \
        [five](#gone), <https://example.com/gone> and [six](/docs/x.md): runbook/disk-full, runbook/disk-ful, incident/INC-1107, \
        incident/INC-9999, service/payments. `kubectl logs deploy/orders`, `up{service=\"usr\"}`, `error_rate` of ordering.";
    spoil(&directory, RUNBOOK, text, &format!("{text}\n\n{links}"));
    spoil(
        &directory,
        INCIDENT,
        "Each timeout leaked one",
        "See [x](../runbooks/none.md). Each timeout leaked one",
    );
    spoil(&directory, INCIDENT, "Sessions idle", "As in incident/INC-2. Sessions idle");
    insta::assert_snapshot!("names", printed(&directory));
    assert_eq!(lint(&directory).count(Severity::Warning), 4);
}

#[test]
fn what_the_seeder_refuses_is_an_error_with_its_line_and_is_reported_once() {
    let directory = copied("lint-refused");
    spoil(&directory, INCIDENT, "[payment, order,", "[payment, orders,");
    spoil(&directory, INCIDENT, "[runbook/db-connections]", "[runbook/db-connections, runbook/none]");
    spoil(&directory, "services/payment.yaml", "- runbook/error-rate", "- runbook/error-rates");
    spoil(&directory, RUNBOOK, "[pool]", "[]");
    insta::assert_snapshot!("refused", printed(&directory));
}

#[test]
fn a_file_that_cannot_be_read_is_not_missed_by_others() {
    let directory = copied("lint-unreadable");
    spoil(&directory, RUNBOOK, "categories: [pool]", "categories: [pools]");
    spoil(&directory, "services/user.yaml", "tier:", "level:");
    std::fs::write(directory.join("runbooks/notes.txt"), "runbook/none").unwrap();
    insta::assert_snapshot!("unreadable", printed(&directory));
    std::fs::remove_dir_all(directory.join("incidents")).unwrap();
    let missing = lint(&directory).findings.remove(0);
    assert_eq!((&*missing.file, missing.line, missing.severity), ("incidents", None, Severity::Error));
}
