//! A service of which neither calls nor log lines are known.

use shared::events::{Category, Kind};

use crate::shop::{Shop, anomaly};

fn suspect(shop: &Shop) -> (Category, f64) {
    let suspect = shop.incidents[0].suspect().unwrap();
    (suspect.category, suspect.posterior)
}

#[test]
fn failing_requests_alone_are_not_said_to_be_the_fault_of_its_code() {
    let mut shop = Shop::default();
    shop.take(&anomaly("ledger", "error_rate", Kind::Errors, 10));
    let (_, posterior) = suspect(&shop);
    assert!(posterior < 0.6, "{posterior}");
    // nor those of something else, where it is slow as well
    shop.take(&anomaly("ledger", "latency_p99_ms", Kind::Latency, 10));
    let (_, posterior) = suspect(&shop);
    assert!(posterior < 0.6, "{posterior}");
    // with a line of its own, they are
    let mut line = anomaly("ledger", "logs:new_template", Kind::Logs, 10);
    line.explanation = "ledger logs new templates: error \"unhandled exception in handler\"".into();
    shop.take(&line);
    let (category, posterior) = suspect(&shop);
    assert_eq!(category, Category::Code);
    assert!(posterior >= 0.8, "{posterior}");
}

#[test]
fn a_service_whose_calls_are_known_is_judged_by_them() {
    let mut shop = Shop::default();
    shop.take(&anomaly("user", "error_rate", Kind::Errors, 10));
    let (category, posterior) = suspect(&shop);
    assert_eq!(category, Category::Code);
    assert!(posterior >= 0.8, "{posterior}");
}
