//! Rotations and routes of the content: those of this repository are valid, and what is wrong has its file and place.

use std::fmt::Write as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use knowledge::Content;
use knowledge::lint::{Finding, Severity, lint};
use knowledge::oncall::OnCall;
use shared::events::Severity as IncidentSeverity;
use shared::matchers::Facts;

use crate::content::{copied, spoil};

fn own() -> OnCall {
    OnCall::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn each_team_of_the_catalogue_has_somebody_on_call_at_any_time() {
    let (content, own) = (super::content(), own());
    let begin: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    for service in content.catalogue.services() {
        assert!(own.roster.has_team(&service.team), "{}", service.team);
    }
    for schedule in own.roster.schedules() {
        for hour in 0..24 * 60 {
            let at = begin + SignedDuration::from_hours(hour);
            let shift = schedule.at(at);
            let person = shift.person.unwrap_or_else(|| panic!("{}: nobody at {at}", schedule.name()));
            assert!(!schedule.addresses(&person).is_empty(), "{person}");
        }
    }
}

#[test]
fn each_service_of_the_catalogue_reaches_somebody_and_payment_escalates() {
    let (content, own) = (super::content(), own());
    let routes = own.routes.unwrap();
    let at: Timestamp = "2026-03-02T22:30:00Z".parse().unwrap();
    for service in content.catalogue.services() {
        let facts = Facts {
            environment: Some("production".into()),
            services: [service.name.clone()].into(),
            severity: Some(IncidentSeverity::Sev1),
            ..Facts::default()
        };
        let plan = routes.plan(&facts, at);
        let whom = plan.iter().flat_map(|told| &told.receivers).flat_map(|(_, whom)| whom);
        let addresses = whom.flat_map(|whom| own.roster.reach(whom, at).addresses).count();
        assert!(addresses > 0, "{}", service.name);
        if service.name == "payment" {
            assert_eq!(plan[0].escalation.as_deref(), Some("payments"));
        }
    }
}

#[test]
fn problems_of_rotations_and_routes_have_their_file_and_place() {
    let directory = copied("oncall-refused");
    spoil(&directory, "oncall/payments.yaml", "people: [ada, ben, cleo]", "people: [ada, bob, cleo]");
    spoil(
        &directory,
        "oncall/payments.yaml",
        "name: payments\nteam: payments",
        "name: payment\nteam: payment",
    );
    spoil(
        &directory,
        "oncall/orders.yaml",
        "handover: 2026-01-05T10:00",
        "handover: 2026-01-05T10:00\n    hours: [{ from: \"09:00\", to: \"17:00\" }]",
    );
    spoil(&directory, "oncall/identity.yaml", "[{ rotation: identity }]", "[{ rotation: identity-2 }]");
    spoil(&directory, "routes.yaml", "receivers: [orders]", "receivers: [ordering]");
    let mut text = String::new();
    for Finding { file, line, severity, message } in lint(&directory).findings {
        let _ = writeln!(text, "{file} {line:?} {severity}: {message}");
    }
    insta::assert_snapshot!("refused_oncall", text);
    assert!(OnCall::load(&directory).is_err() && Content::load(&directory).is_err());
}

#[test]
fn warnings_do_not_keep_content_from_being_used() {
    let directory = copied("oncall-warnings");
    spoil(&directory, "oncall/orders.yaml", "team: orders", "team: ordering");
    spoil(&directory, "oncall/orders.yaml", "{ team: orders }", "{ team: ordering }");
    let report = lint(&directory);
    assert_eq!((report.count(Severity::Error), report.count(Severity::Warning)), (0, 1), "{report:?}");
    Content::load(&directory).unwrap();
}

#[test]
fn a_file_that_cannot_be_read_has_its_line() {
    let directory = copied("oncall-unreadable");
    spoil(&directory, "oncall/orders.yaml", "zone: Europe/Berlin", "timezone: Europe/Berlin");
    spoil(&directory, "routes.yaml", "service=\"order\"", "team=\"order\"");
    let problems = Content::load(&directory).unwrap_err();
    insta::assert_snapshot!("unreadable_oncall", problems);
}

#[test]
fn content_without_rotations_and_routes_is_valid() {
    let directory = copied("oncall-none");
    std::fs::remove_dir_all(directory.join("oncall")).unwrap();
    std::fs::remove_file(directory.join("routes.yaml")).unwrap();
    let content = Content::load(&directory).unwrap();
    assert_eq!((content.rotations.len(), content.routes), (0, None));
    let none = OnCall::load(&directory).unwrap();
    assert!(none.roster.schedules().next().is_none() && none.routes.is_none());
}
