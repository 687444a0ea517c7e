//! What users and the business lose by the failing requests of an incident.
//!
//! One request of a user fails at each service of its call path, so nothing is summed over services: each figure is that of
//! the service where it is largest. Users and revenue are estimates: the share of the requests that fail is taken for the
//! share of the service's users and of its revenue.

use std::sync::Arc;

use shared::catalogue::{Catalogue, Service};
use shared::events::anomaly::FailingRequests;
use shared::events::incident::{Impact, Money, Signal};

/// Returns the impact of an incident's members, where the number of failing requests of one is known.
pub fn of(signals: &[Arc<Signal>], catalogue: &Catalogue) -> Option<Impact> {
    let at = |signal: &Arc<Signal>| {
        let failing = signal.impact.filter(|failing| failing.failing_per_s > 0.0)?;
        Some(of_service(&signal.service, failing, catalogue.get(&signal.service)))
    };
    signals.iter().filter_map(at).reduce(Impact::worst)
}

fn of_service(name: &str, failing: FailingRequests, described: Option<&Service>) -> Impact {
    let failing_share = failing.share();
    Impact {
        service: name.to_owned(),
        failing_per_minute: 60.0 * failing.failing_per_s,
        failing_share,
        users_share: described.and_then(|service| service.users_share).map(|share| share * failing_share),
        revenue: described.and_then(|service| service.revenue.as_ref()).map(|revenue| Money {
            per_minute: revenue.per_minute * failing_share,
            currency: revenue.currency.clone(),
        }),
    }
}
