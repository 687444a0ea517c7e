//! Faults that lie between services or outside of them: the way to a callee, its certificate, the traffic.

use proptest::prelude::*;
use shared::events::anomaly::{Anomaly, Direction, Status};
use shared::events::{Category, Kind, Severity};

use crate::shop::{Shop, anomaly};

/// Lines of a service that quote what it complains of.
fn lines(service: &str, text: &str, tick: i64) -> Anomaly {
    let explanation = format!("{service} logs new templates, 5 lines since 15:25:45 UTC: error \"{text}\"");
    Anomaly { explanation, ..anomaly(service, "logs:new_template", Kind::Logs, tick) }
}

fn less_traffic(service: &str, tick: i64) -> Anomaly {
    Anomaly { direction: Direction::Down, ..anomaly(service, "request_rate", Kind::Traffic, tick) }
}

/// Less use of the processor than usual, which is no fault.
fn less_work(service: &str, tick: i64) -> Anomaly {
    Anomaly {
        direction: Direction::Down,
        status: Status::Suspect,
        severity: Severity::Sev4,
        evidence: 2.7,
        ..anomaly(service, "cpu_percent", Kind::Cpu, tick)
    }
}

/// Both callers of payment lose calls to it, and one of them calls the other. Payment itself is well.
fn partition() -> Vec<Anomaly> {
    let text = "call to payment failed: connect to <*>: no route to host";
    vec![
        lines("order", text, 10),
        lines("api-gateway", text, 10),
        anomaly("order", "error_rate", Kind::Errors, 10),
        anomaly("order", "latency_p99_ms", Kind::Latency, 11),
        anomaly("api-gateway", "error_rate", Kind::Errors, 11),
        anomaly("api-gateway", "latency_p99_ms", Kind::Latency, 11),
        less_traffic("payment", 11),
        less_work("payment", 13),
    ]
}

/// No call of order to inventory gets through, and nobody reports the certificate itself.
fn expired() -> Vec<Anomaly> {
    vec![
        lines("order", "call to inventory failed: TLS handshake: certificate has expired", 10),
        anomaly("order", "error_rate", Kind::Errors, 10),
        anomaly("api-gateway", "error_rate", Kind::Errors, 11),
        less_traffic("inventory", 11),
    ]
}

/// Fewer requests come in, and all services behind the entry have less to do.
fn drop_of_traffic() -> Vec<Anomaly> {
    let services = ["api-gateway", "order", "payment", "user", "inventory"];
    let traffic = services.map(|service| less_traffic(service, 10));
    traffic.into_iter().chain(services.map(|service| less_work(service, 12))).collect()
}

/// Returns the first suspect of the only incident.
fn cause(anomalies: &[Anomaly]) -> Result<(String, Category), String> {
    let mut shop = Shop::default();
    for one in anomalies {
        shop.take(one);
    }
    let open: Vec<_> = shop.incidents.iter().filter(|incident| incident.state.is_open()).collect();
    let [incident] = open[..] else { return Err(format!("{} incidents", open.len())) };
    let suspect = incident.suspect().ok_or("nobody is suspected")?;
    Ok((suspect.service.clone(), suspect.category))
}

fn blames(anomalies: &[Anomaly], service: &str, category: Category) -> Result<(), TestCaseError> {
    prop_assert_eq!(cause(anomalies), Ok((service.to_owned(), category)));
    Ok(())
}

proptest! {
    #[test]
    fn a_way_that_its_callers_name_is_the_network_in_any_order(order in Just(partition()).prop_shuffle()) {
        blames(&order, "payment", Category::Network)?;
    }

    #[test]
    fn a_certificate_that_its_callers_name_is_of_the_callee_in_any_order(order in Just(expired()).prop_shuffle()) {
        blames(&order, "inventory", Category::Certificate)?;
    }

    #[test]
    fn less_traffic_everywhere_comes_from_the_entry_in_any_order(
        order in Just(drop_of_traffic()).prop_shuffle(),
    ) {
        blames(&order, "api-gateway", Category::Traffic)?;
    }
}

#[test]
fn less_use_of_the_processor_is_no_exhaustion() {
    let mut shop = Shop::default();
    for one in drop_of_traffic() {
        shop.take(&one);
    }
    let suspects = &shop.incidents[0].suspects;
    assert!(suspects.iter().all(|suspect| suspect.category != Category::Cpu), "{suspects:?}");
    // idle time that falls is a processor that is used up: it fires
    let idle = Anomaly { direction: Direction::Down, ..anomaly("user", "cpu_idle", Kind::Cpu, 10) };
    assert_eq!(cause(&[idle]), Ok(("user".to_owned(), Category::Cpu)));
}

#[test]
fn a_caller_that_fails_by_itself_and_makes_fewer_calls_is_its_own_cause() {
    let own = [
        lines("order", "order <*> failed: NullPointerException in PriceCalculator.total", 10),
        anomaly("order", "error_rate", Kind::Errors, 10),
        anomaly("api-gateway", "error_rate", Kind::Errors, 11),
        less_traffic("payment", 11),
        less_traffic("inventory", 11),
    ];
    assert_eq!(cause(&own), Ok(("order".to_owned(), Category::Code)));
}

#[test]
fn a_callee_that_is_gone_is_down_although_its_callers_name_the_network() {
    let gone = [
        anomaly("payment", "silence", Kind::Silence, 10),
        lines("order", "call to payment failed: connection reset by peer", 10),
        anomaly("order", "error_rate", Kind::Errors, 10),
        anomaly("api-gateway", "error_rate", Kind::Errors, 11),
    ];
    assert_eq!(cause(&gone), Ok(("payment".to_owned(), Category::Down)));
}

#[test]
fn lines_about_a_service_with_a_longer_name_are_not_about_this_one() {
    let mut shop = Shop::default();
    shop.take(&lines("order", "call to payment-history failed: no route to host", 10));
    shop.take(&anomaly("order", "error_rate", Kind::Errors, 10));
    assert!(shop.incidents[0].suspects.iter().all(|suspect| suspect.service != "payment"));
}

#[test]
fn a_change_of_traffic_beside_failures_is_their_effect() {
    let failing = [anomaly("order", "error_rate", Kind::Errors, 10), less_traffic("order", 10)];
    assert_eq!(cause(&failing), Ok(("order".to_owned(), Category::Code)));
}
