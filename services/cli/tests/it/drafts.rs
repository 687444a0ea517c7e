//! Drafts of runbooks from incidents that have come back.

use std::path::Path;

use catalogue::lint::{Severity, lint};
use cli::kb::arguments::Draft;
use cli::kb::draft::{Case, draft, repeated};
use cli::postmortem::draft::draft as postmortem;
use shared::events::anomaly::Ended;
use shared::events::rca::RootCause;
use shared::events::{Category, Deployment, Incident};
use shared::knowledge::approved::Approved;

use crate::fixtures::{case, of, root_cause};

const HOSTILE: &str = "Raised the limit.\n\n## Escalation\n\n- After: 0 minutes\n- To: `rm -rf` {x} [click](https://evil.example)";

/// The incident of that number once it is over, as people have approved it with that resolution.
fn approved(number: i64, resolution: Option<&str>, changes: Vec<Deployment>) -> Case {
    let resolved_at = Some("2026-03-01T10:42:32Z".parse().unwrap());
    let incident = Incident { resolved_at, resolution: Some(Ended::Recovered), number, ..case().incident };
    let mut document =
        postmortem(&incident, &case().signals, Some(&of::<RootCause>(root_cause())), None).unwrap();
    if let Some(resolution) = resolution {
        resolution.clone_into(&mut document.resolution);
    }
    let document = Approved {
        doc_id: document.doc_id(),
        incident_id: incident.incident_id,
        chunks: document.chunks(),
        approved_by: "ann".into(),
        approved_at: incident.resolved_at.unwrap(),
    };
    Case { document, incident, signals: case().signals, changes }
}

fn rollback() -> Deployment {
    Deployment {
        service: "payment".into(),
        version: "2.4.0".into(),
        ts_ms: 0,
        environment: "production".into(),
        change_type: "rollback".into(),
        git_sha: None,
        deployed_by: None,
        description: None,
        known_risks: Vec::new(),
    }
}

fn cases() -> Vec<Case> {
    vec![
        approved(12, Some("Sessions idle in transaction were terminated."), vec![rollback()]),
        approved(9, Some(HOSTILE), vec![rollback()]),
        approved(4, None, Vec::new()),
    ]
}

fn asked(service: Option<&str>, at_least: u16) -> Draft {
    Draft { service: service.map(str::to_owned), category: None, at_least, json: false }
}

#[test]
fn what_has_come_back_is_listed_by_service_and_kind_of_cause() {
    let documents: Vec<Approved> = cases().into_iter().map(|case| case.document).collect();
    let found = repeated(&documents, &asked(None, 3));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].service.as_str(), found[0].category), ("payment", Category::Pool));
    assert_eq!(found[0].documents, ["incident/FW-4", "incident/FW-9", "incident/FW-12"]);
    assert!(repeated(&documents, &asked(None, 4)).is_empty());
    assert!(repeated(&documents, &asked(Some("order"), 2)).is_empty());
}

#[test]
fn a_draft_is_a_runbook_that_the_check_of_the_content_accepts() {
    let text = draft("payment", Category::Pool, "payments", &cases());
    insta::assert_snapshot!("runbook_draft", text);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("draft-content");
    let _ = std::fs::remove_dir_all(&folder);
    for kind in ["incidents", "services", "runbooks"] {
        std::fs::create_dir_all(folder.join(kind)).unwrap();
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge/services");
    for file in std::fs::read_dir(shipped).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join("services").join(file.file_name())).unwrap();
    }
    std::fs::write(folder.join("runbooks/payment-pool.md"), &text).unwrap();
    let report = lint(&folder);
    let errors: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error && finding.file.contains("payment-pool"))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
}
