//! The content is complete, and what is wrong with content is said.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use knowledge::Content;
use shared::events::Category;
use shared::runbook::{ACTIONS, escalation, steps};

#[test]
fn the_content_is_valid_and_covers_the_simulator() {
    let content = super::content();
    assert!(content.incidents.len() >= 22 && content.runbooks.len() >= 9);
    let services: Vec<_> = content.catalogue.services().map(|service| &*service.name).collect();
    assert_eq!(services, ["api-gateway", "inventory", "notification", "order", "payment", "user"]);
    let calls = content.catalogue.graph();
    assert_eq!(calls.callees("api-gateway").collect::<Vec<_>>(), ["order", "payment", "user"]);
    assert_eq!(calls.callees("order").collect::<Vec<_>>(), ["inventory", "payment"]);
    let scenarios = [
        Category::Network,
        Category::Code,
        Category::Cpu,
        Category::Memory,
        Category::Pool,
        Category::Lag,
        Category::Deployment,
    ];
    for category in scenarios {
        let past = content.incidents.iter().filter(|incident| incident.category == category);
        assert!(past.count() >= 3, "{category}");
    }
    let ids: BTreeSet<_> = content.chunks().iter().map(shared::knowledge::Chunk::id).collect();
    assert_eq!(ids.len(), content.chunks().len());
}

/// A plan is made from the chunks alone: every section must read as steps once it has been through the index.
#[test]
fn the_steps_of_every_runbook_can_be_read_from_its_chunks() {
    let chunks = super::content().chunks();
    let mut read = 0;
    for chunk in chunks.iter().filter(|chunk| chunk.doc_id.starts_with("runbook/")) {
        if ACTIONS.iter().any(|(section, _)| *section == chunk.section) {
            for step in steps(&chunk.section, &chunk.text, "payment").unwrap() {
                assert!(!format!("{step:?}").contains("{service}"), "{step:?}");
                read += 1;
            }
        } else if chunk.section == "Escalation" {
            assert!(escalation(&chunk.text).unwrap().after_minutes <= 60);
        }
    }
    assert!(read >= 60, "{read} steps");
}

#[test]
fn a_runbook_and_an_incident_read_well_in_the_index() {
    let chunks = super::content().chunks();
    let text = |doc_id: &str, section: &str| {
        let chunk = chunks.iter().find(|chunk| chunk.doc_id == doc_id && chunk.section == section).unwrap();
        format!("{}\n{:?}", chunk.embedded_text(), chunk.facets)
    };
    insta::assert_snapshot!("incident_summary", text("incident/INC-1107", "summary"));
    insta::assert_snapshot!("service", text("service/payment", "service"));
    let chunk =
        chunks.iter().find(|c| c.doc_id == "runbook/db-connections" && c.section == ACTIONS[0].0).unwrap();
    insta::assert_debug_snapshot!("steps", steps(&chunk.section, &chunk.text, "payment").unwrap());
}

/// Copies the content to a folder of that name.
pub(crate) fn copied(name: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    for folder in ["incidents", "oncall", "runbooks", "services"] {
        std::fs::create_dir_all(directory.join(folder)).unwrap();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), directory.join(folder).join(entry.file_name())).unwrap();
        }
    }
    let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.yaml");
    std::fs::copy(routes, directory.join("routes.yaml")).unwrap();
    directory
}

/// Replaces a text in a file of copied content.
pub(crate) fn spoil(directory: &Path, file: &str, from: &str, to: &str) {
    let path = directory.join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

/// Copies the content, spoils one file and returns what is said about it.
fn spoiled(name: &str, file: &str, from: &str, to: &str) -> String {
    let directory = copied(name);
    spoil(&directory, file, from, to);
    Content::load(&directory).expect_err("the content is invalid").to_string()
}

#[test]
fn each_problem_names_its_file_and_field() {
    let incident = "incidents/INC-1107-payment-leaked-connections-on-timeout.yaml";
    let (runbook, service) = ("runbooks/db-connections.md", "services/payment.yaml");
    let said = [
        spoiled("unknown-field", incident, "severity: sev1", "severity: sev1\nowner: me"),
        spoiled("order-of-times", incident, "2025-01-14T18:24:00Z", "2025-01-14T17:50:00Z"),
        spoiled("unknown-service", incident, "[payment, order,", "[payment, orders,"),
        spoiled("no-such-runbook", incident, "runbook/db-connections", "runbook/none"),
        spoiled("used-twice", incident, "id: INC-1107", "id: INC-1122"),
        spoiled("runbook-step", runbook, "- Risk: medium\n", ""),
        spoiled("runbook-section", runbook, "## Verification", "## Checks"),
        spoiled("runbook-placeholder", runbook, "`db_connections` of {service}", "`db_connections` of {pod}"),
        spoiled("runbook-category", runbook, "[pool]", "[pools]"),
        spoiled("runbook-title", runbook, "# Database connection pool exhausted", "# Pool exhausted"),
        spoiled("service-tier", service, "tier: 1", "tier: 5"),
        spoiled("service-mail", service, "oncall-payments@shop.example", "nobody"),
    ];
    insta::assert_snapshot!(said.join("\n\n"));
}
