//! What an objective that is missed, failing requests and kinds of damage make of an incident.

use shared::catalogue::{Catalogue, Revenue, Service};
use shared::events::anomaly::{Anomaly, Band, FailingRequests, Status};
use shared::events::incident::{Impact, Money};
use shared::events::{Kind, Severity};

use crate::shop::{Shop, anomaly};

/// Returns an anomaly of an availability objective: so many requests a second fail of so many.
fn missed(service: &str, burn_rate: f64, failing_per_s: f64, requests_per_s: f64) -> Anomaly {
    Anomaly {
        unit: "%".into(),
        observed: 100.0 * failing_per_s / requests_per_s,
        expected: Band { lower: 0.0, center: 0.0, upper: 20.0 },
        burn_rate: Some(burn_rate),
        impact: Some(FailingRequests { failing_per_s, requests_per_s }),
        ..anomaly(service, "error_rate:objective", Kind::Errors, 10)
    }
}

fn of_kind(kind: Kind, status: Status) -> Anomaly {
    Anomaly { status, ..anomaly("notification", "mails_discarded", kind, 10) }
}

fn described(name: &str, users_share: Option<f64>, per_minute: Option<f64>) -> Service {
    Service {
        name: name.into(),
        description: String::new(),
        team: String::new(),
        tier: 3,
        slo: 99.9,
        latency_slo_ms: 500.0,
        users_share,
        revenue: per_minute.map(|per_minute| Revenue { per_minute, currency: "EUR".into() }),
        language: String::new(),
        depends_on: Vec::new(),
        oncall: String::new(),
        contact: String::new(),
        runbooks: Vec::new(),
        failure_modes: Vec::new(),
    }
}

#[test]
fn an_objective_that_is_missed_opens_an_incident_alone_and_its_burn_rate_counts() {
    for (burn_rate, severity) in [(7.0, Severity::Sev3), (20.0, Severity::Sev2)] {
        let mut shop = Shop::default();
        shop.take(&missed("inventory", burn_rate, 1.0, 80.0));
        let incident = &shop.incidents[0];
        assert_eq!((shop.incidents.len(), incident.severity), (1, severity));
        assert_eq!(incident.signals[0].burn_rate, Some(burn_rate));
        assert_eq!(incident.suspect().unwrap().service, "inventory");
    }
}

#[test]
fn the_impact_is_that_of_the_service_where_it_is_largest_and_no_sum() {
    let mut shop = Shop {
        catalogue: Catalogue::new([
            described("api-gateway", Some(1.0), None),
            described("order", Some(0.2), Some(3000.0)),
        ]),
        ..Shop::default()
    };
    shop.take(&missed("payment", 100.0, 5.0, 50.0));
    let unknown = Impact {
        service: "payment".into(),
        failing_per_minute: 300.0,
        failing_share: 0.1,
        users_share: None,
        revenue: None,
    };
    assert_eq!(shop.incidents[0].impact, Some(unknown.clone()));
    shop.take(&missed("order", 100.0, 4.0, 16.0));
    shop.take(&missed("api-gateway", 100.0, 6.0, 600.0));
    let worst = Impact {
        service: "api-gateway".into(),
        failing_per_minute: 360.0,
        failing_share: 0.01,
        users_share: Some(0.05),
        revenue: Some(Money { per_minute: 750.0, currency: "EUR".into() }),
    };
    assert_eq!(shop.incidents[0].impact, Some(worst.clone()));
    // less later, and what is over, take nothing away
    let mut less = missed("api-gateway", 20.0, 0.6, 600.0);
    less.revision = 2;
    shop.take(&less);
    (less.revision, less.status, less.burn_rate, less.impact) = (3, Status::Cleared, None, None);
    shop.take(&less);
    assert_eq!(shop.incidents[0].impact, Some(worst));
    let kept = shop.signals.iter().find(|(signal, _)| signal.service == "api-gateway").unwrap();
    assert_eq!((kept.0.burn_rate, kept.0.impact.unwrap().failing_per_s), (Some(100.0), 6.0));
}

#[test]
fn what_is_suspected_only_has_no_impact() {
    let mut shop = Shop::default();
    let mut weak = missed("order", 100.0, 4.0, 16.0);
    (weak.status, weak.evidence) = (Status::Suspect, 1.5);
    shop.take(&weak);
    shop.take(&anomaly("payment", "latency_p99_ms", Kind::Latency, 12));
    assert_eq!((shop.incidents[0].members.len(), shop.incidents[0].impact.is_none()), (2, true));
}

#[test]
fn data_loss_and_security_are_severe_by_their_kind_alone() {
    for (kind, severity) in [(Kind::DataLoss, Severity::Sev1), (Kind::Security, Severity::Sev2)] {
        let mut shop = Shop::default();
        shop.take(&of_kind(kind, Status::Firing));
        let incident = &shop.incidents[0];
        assert_eq!(incident.severity, severity, "{kind}");
        assert_eq!(incident.suspect().map(|suspect| suspect.service.as_str()), Some("notification"));
        // beside a suspicion of it, nothing is more severe than without
        let mut shop = Shop::default();
        shop.take(&of_kind(kind, Status::Suspect));
        shop.take(&anomaly("notification", "cpu_percent", Kind::Cpu, 12));
        assert!(shop.incidents[0].severity <= Severity::Sev3, "{kind}");
    }
}
