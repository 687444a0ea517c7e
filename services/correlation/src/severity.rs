//! How bad it is. A sum of points over five questions, so that anyone can do it again by hand:
//!
//! | question | points |
//! |---|---|
//! | user impact: do requests fail or is a service silent (3), are they slow or does it restart (2), is a resource running out (1)? | 0-3 |
//! | tier of the first suspect: 1 (2), 2 (1) | 0-2 |
//! | breadth: half of the known services affected (2), more than one (1) | 0-2 |
//! | deviation: ten half-bands from the expected (2), five, or outside a band of a single value (1) | 0-2 |
//! | reversibility: does it get worse until someone acts (leak, disk, certificate)? | 0-1 |
//!
//! 8 and more is SEV1, 5-7 SEV2, 3-4 SEV3, less SEV4.

use shared::catalogue::Catalogue;
use shared::events::anomaly::Band;
use shared::events::incident::{Signal, Suspect};
use shared::events::{Category, Kind, Severity};
use shared::graph::Graph;

/// Half-bands that a value counts outside a band of a single value: clearly outside, by an unknown distance.
const OUTSIDE_ONE_VALUE: f64 = 5.0;

/// Returns the points.
pub fn points(signals: &[Signal], suspect: Option<&Suspect>, catalogue: &Catalogue, graph: &Graph) -> u32 {
    let shows = |kind: Kind| signals.iter().any(|signal| signal.kind == kind && signal.evidence >= 2.0);
    let impact = if shows(Kind::Errors) || shows(Kind::Silence) {
        3
    } else if shows(Kind::Latency) || shows(Kind::Restarts) {
        2
    } else {
        u32::from([Kind::Cpu, Kind::Memory, Kind::Pool, Kind::Lag, Kind::Disk].into_iter().any(shows))
    };
    let tier = match suspect.map(|suspect| catalogue.tier(&suspect.service)) {
        Some(1) => 2,
        Some(2) => 1,
        _ => 0,
    };
    let mut affected: Vec<&str> = signals.iter().map(|signal| signal.service.as_str()).collect();
    affected.sort_unstable();
    affected.dedup();
    let breadth = if affected.len() > 1 && affected.len() * 2 >= graph.len().max(1) {
        2
    } else {
        u32::from(affected.len() > 1)
    };
    let furthest =
        signals.iter().map(|signal| half_bands(signal.observed, &signal.expected)).fold(0.0, f64::max);
    let deviation = u32::from(furthest >= 5.0) + u32::from(furthest >= 10.0);
    let lasting = suspect.is_some_and(|suspect| {
        matches!(suspect.category, Category::Memory | Category::Disk | Category::Certificate)
    });
    impact + tier + breadth + deviation + u32::from(lasting)
}

/// Returns the severity of that many points.
pub fn of(points: u32) -> Severity {
    match points {
        8.. => Severity::Sev1,
        5..=7 => Severity::Sev2,
        3..=4 => Severity::Sev3,
        _ => Severity::Sev4,
    }
}

/// Distance from the expected value, in half-widths of the band. A band of a single value has no width to measure with:
/// what lies outside counts as [`OUTSIDE_ONE_VALUE`].
fn half_bands(observed: f64, expected: &Band) -> f64 {
    let half = (expected.upper - expected.lower) / 2.0;
    let distance = (observed - expected.center).abs();
    match (half > 0.0, distance > 0.0) {
        (true, _) => distance / half,
        (false, true) => OUTSIDE_ONE_VALUE,
        (false, false) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_of_a_single_value_counts_what_lies_outside() {
        let far = |observed, lower, upper| {
            half_bands(observed, &Band { lower, center: f64::midpoint(lower, upper), upper })
        };
        assert_eq!(far(50.0, 10.0, 20.0), 7.0);
        assert_eq!(far(-20.0, 10.0, 20.0), 7.0);
        assert_eq!(far(6.0, 0.0, 0.0), OUTSIDE_ONE_VALUE);
        assert_eq!(far(0.0, 0.0, 0.0), 0.0);
    }
}
