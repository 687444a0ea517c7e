//! How bad it is. A sum of points over six questions, so that anyone can do it again by hand:
//!
//! | question | points |
//! |---|---|
//! | user impact: do requests fail or is a service silent (3), are they slow or does it restart (2), is a resource running out (1)? | 0-3 |
//! | objective: is the budget of failures of a service used up 14.4 times as fast as it may last (2), or slower and still fast enough to fire (1)? | 0-2 |
//! | tier of the first suspect: 1 (2), 2 (1) | 0-2 |
//! | breadth: half of the known services affected (2), more than one (1) | 0-2 |
//! | deviation: ten half-bands from the expected (2), five, or outside a band of a single value (1) | 0-2 |
//! | reversibility: does it get worse until someone acts (leak, disk, certificate)? | 0-1 |
//!
//! 8 and more is SEV1, 5-7 SEV2, 3-4 SEV3, less SEV4. Two rules stand above the sum, the second also above the first:
//!
//! 1. Where every affected service is of tier 4, it is SEV3 at most.
//! 2. Data loss that fires is SEV1, and a breach of security at least SEV2. What a series is about says its kind, which
//!    only the configuration sets, never a word in its name.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::catalogue::Catalogue;
use shared::events::anomaly::{Band, FAST_BURN_RATE, Status};
use shared::events::incident::{Signal, Suspect};
use shared::events::{Category, Kind, Severity};
use shared::graph::Graph;

/// Evidence from which on a signal shows something, nats.
const SHOWS_NATS: f64 = 2.0;
/// Tier of a service whose failure nobody notices for a day.
const LEAST_TIER: u8 = 4;
/// Half-bands that a value counts outside a band of a single value: clearly outside, by an unknown distance.
const OUTSIDE_ONE_VALUE: f64 = 5.0;

/// Returns the severity of an incident with these members.
pub fn of(
    signals: &[Arc<Signal>],
    suspect: Option<&Suspect>,
    catalogue: &Catalogue,
    graph: &Graph,
) -> Severity {
    let by_points = of_points(points(signals, suspect, catalogue, graph));
    let matters = signals.iter().any(|signal| catalogue.tier(&signal.service) < LEAST_TIER);
    let most = if matters { Severity::Sev1 } else { Severity::Sev3 };
    by_points.min(most).max(least(signals))
}

/// Returns the severity that the kinds of what fires ask for, whatever else is known.
fn least(signals: &[Arc<Signal>]) -> Severity {
    let fires = |kind: Kind| signals.iter().any(|one| one.kind == kind && one.status == Status::Firing);
    if fires(Kind::DataLoss) {
        Severity::Sev1
    } else if fires(Kind::Security) {
        Severity::Sev2
    } else {
        Severity::Sev4
    }
}

/// Returns the points.
pub fn points(
    signals: &[Arc<Signal>],
    suspect: Option<&Suspect>,
    catalogue: &Catalogue,
    graph: &Graph,
) -> u32 {
    let lasting = suspect.is_some_and(|suspect| {
        matches!(suspect.category, Category::Memory | Category::Disk | Category::Certificate)
    });
    let tier = match suspect.map(|suspect| catalogue.tier(&suspect.service)) {
        Some(1) => 2,
        Some(2) => 1,
        _ => 0,
    };
    user_impact(signals)
        + objective(signals)
        + tier
        + breadth(signals, graph)
        + deviation(signals)
        + u32::from(lasting)
}

fn user_impact(signals: &[Arc<Signal>]) -> u32 {
    let shows =
        |kind: Kind| signals.iter().any(|signal| signal.kind == kind && signal.evidence >= SHOWS_NATS);
    if shows(Kind::Errors) || shows(Kind::Silence) {
        3
    } else if shows(Kind::Latency) || shows(Kind::Restarts) {
        2
    } else {
        u32::from([Kind::Cpu, Kind::Memory, Kind::Pool, Kind::Lag, Kind::Disk].into_iter().any(shows))
    }
}

fn objective(signals: &[Arc<Signal>]) -> u32 {
    match signals.iter().filter_map(|signal| signal.burn_rate).reduce(f64::max) {
        Some(FAST_BURN_RATE..) => 2,
        Some(_) => 1,
        None => 0,
    }
}

fn breadth(signals: &[Arc<Signal>], graph: &Graph) -> u32 {
    let affected: BTreeSet<&str> = signals.iter().map(|signal| signal.service.as_str()).collect();
    if affected.len() > 1 && affected.len() * 2 >= graph.len().max(1) {
        2
    } else {
        u32::from(affected.len() > 1)
    }
}

fn deviation(signals: &[Arc<Signal>]) -> u32 {
    let furthest =
        signals.iter().map(|signal| half_bands(signal.observed, &signal.expected)).fold(0.0, f64::max);
    u32::from(furthest >= 5.0) + u32::from(furthest >= 10.0)
}

/// Returns the severity of that many points.
pub fn of_points(points: u32) -> Severity {
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
    use shared::catalogue::Service;
    use shared::clock::from_ms;
    use shared::events::anomaly::Direction;
    use shared::ids::{AnomalyId, derive};

    use super::*;

    /// A member that fires, one half-band from what was expected.
    fn signal(service: &str, kind: Kind) -> Signal {
        Signal {
            dimensions: std::collections::BTreeMap::new(),
            anomaly_id: AnomalyId(derive(&[service])),
            revision: 1,
            service: service.to_owned(),
            metric: "data_loss_security_breach".into(),
            unit: String::new(),
            kind,
            severity: Severity::Sev3,
            status: Status::Firing,
            evidence: 6.0,
            direction: Direction::Up,
            observed: 2.0,
            expected: Band { lower: 0.0, center: 1.0, upper: 2.0 },
            started_at: from_ms(0),
            observed_at: from_ms(0),
            cleared_at: None,
            ended: None,
            interval_ms: 10_000,
            explanation: String::new(),
            burn_rate: None,
            impact: None,
            samples: Vec::new(),
            siblings: Vec::new(),
            logs: Vec::new(),
            requests: Vec::new(),
            complaints: Vec::new(),
            sealed: Vec::new(),
        }
    }

    fn off(half_bands: f64, signal: Signal) -> Signal {
        Signal { observed: 1.0 + half_bands, ..signal }
    }

    fn burning(burn_rate: f64, signal: Signal) -> Signal {
        Signal { burn_rate: Some(burn_rate), ..signal }
    }

    fn suspected(signal: Signal) -> Signal {
        Signal { status: Status::Suspect, ..signal }
    }

    fn suspect(service: &str, category: Category) -> Suspect {
        Suspect {
            service: service.to_owned(),
            category,
            score: 6.0,
            posterior: 0.9,
            service_posterior: None,
            reasons: Vec::new(),
        }
    }

    /// Services by tier: `tier-1` to `tier-4`. Others are not described.
    fn catalogue() -> Catalogue {
        Catalogue::new((1..=4).map(|tier| Service {
            name: format!("tier-{tier}"),
            description: String::new(),
            team: String::new(),
            tier,
            slo: 99.9,
            latency_slo_ms: 500.0,
            users_share: None,
            revenue: None,
            language: String::new(),
            depends_on: Vec::new(),
            oncall: String::new(),
            contact: String::new(),
            runbooks: Vec::new(),
            failure_modes: Vec::new(),
        }))
    }

    /// Six services: those of the catalogue, `a` and `b`.
    fn graph() -> Graph {
        let mut graph = catalogue().graph();
        graph.add_service("a");
        graph.add_service("b");
        graph
    }

    /// The table at the head of this file, row by row. Each row differs from nothing by its own points alone.
    #[test]
    fn each_row_of_the_table_has_its_points() {
        use Category::{Certificate, Code, Disk, Memory};
        let a = |kind| signal("a", kind);
        for (row, signals, suspect, points) in [
            ("nothing", vec![], None, 0),
            ("impact: failures", vec![a(Kind::Errors)], None, 3),
            ("impact: silence", vec![a(Kind::Silence)], None, 3),
            ("impact: slow", vec![a(Kind::Latency)], None, 2),
            ("impact: restarts", vec![a(Kind::Restarts)], None, 2),
            ("impact: processor", vec![a(Kind::Cpu)], None, 1),
            ("impact: memory", vec![a(Kind::Memory)], None, 1),
            ("impact: pool", vec![a(Kind::Pool)], None, 1),
            ("impact: lag", vec![a(Kind::Lag)], None, 1),
            ("impact: disk", vec![a(Kind::Disk)], None, 1),
            ("impact: the worst counts", vec![a(Kind::Disk), a(Kind::Errors)], None, 3),
            ("impact: too little evidence", vec![Signal { evidence: 1.9, ..a(Kind::Errors) }], None, 0),
            ("impact: another metric", vec![a(Kind::Other)], None, 0),
            ("objective: fast", vec![burning(14.4, a(Kind::Other))], None, 2),
            ("objective: slow", vec![burning(14.39, a(Kind::Other))], None, 1),
            (
                "objective: the fastest",
                vec![burning(6.0, a(Kind::Other)), burning(20.0, a(Kind::Other))],
                None,
                2,
            ),
            ("tier 1", vec![], Some(suspect("tier-1", Code)), 2),
            ("tier 2", vec![], Some(suspect("tier-2", Code)), 1),
            ("tier 3", vec![], Some(suspect("tier-3", Code)), 0),
            ("tier: not described", vec![], Some(suspect("a", Code)), 0),
            ("breadth: two series of one service", vec![a(Kind::Other), a(Kind::Other)], None, 0),
            ("breadth: two of six", vec![a(Kind::Other), signal("b", Kind::Other)], None, 1),
            (
                "breadth: three of six",
                vec![a(Kind::Other), signal("b", Kind::Other), signal("tier-1", Kind::Other)],
                None,
                2,
            ),
            ("deviation: five half-bands", vec![off(5.0, a(Kind::Other))], None, 1),
            ("deviation: ten half-bands", vec![off(10.0, a(Kind::Other))], None, 2),
            ("reversibility: leak", vec![], Some(suspect("a", Memory)), 1),
            ("reversibility: disk", vec![], Some(suspect("a", Disk)), 1),
            ("reversibility: certificate", vec![], Some(suspect("a", Certificate)), 1),
        ] {
            let signals: Vec<Arc<Signal>> = signals.into_iter().map(Arc::new).collect();
            assert_eq!(super::points(&signals, suspect.as_ref(), &catalogue(), &graph()), points, "{row}");
        }
    }

    #[test]
    fn points_are_a_severity() {
        use Severity::{Sev1, Sev2, Sev3, Sev4};
        let severities = [0, 2, 3, 4, 5, 7, 8, 12].map(of_points);
        assert_eq!(severities, [Sev4, Sev4, Sev3, Sev3, Sev2, Sev2, Sev1, Sev1]);
    }

    #[test]
    fn rules_stand_above_the_points() {
        let of = |signals: &[Arc<Signal>]| super::of(signals, None, &catalogue(), &graph());
        let outage = |service| burning(100.0, off(20.0, signal(service, Kind::Errors)));
        for (rule, signals, severity) in [
            ("an outage of a service of tier 3", vec![outage("tier-3")], Severity::Sev2),
            ("the same of one that is not described", vec![outage("a")], Severity::Sev2),
            ("a job of tier 4 is SEV3 at most", vec![outage("tier-4")], Severity::Sev3),
            ("not beside another service", vec![outage("tier-4"), outage("tier-3")], Severity::Sev1),
            ("nor is less made more", vec![signal("tier-4", Kind::Cpu)], Severity::Sev4),
            ("data loss", vec![signal("a", Kind::DataLoss)], Severity::Sev1),
            ("data loss of a job", vec![signal("tier-4", Kind::DataLoss)], Severity::Sev1),
            ("a breach of security", vec![signal("tier-4", Kind::Security)], Severity::Sev2),
            (
                "a breach of security is no limit",
                vec![outage("a"), outage("b"), signal("a", Kind::Security)],
                Severity::Sev1,
            ),
            ("what is suspected only", vec![suspected(signal("a", Kind::DataLoss))], Severity::Sev4),
            ("the same of security", vec![suspected(signal("a", Kind::Security))], Severity::Sev4),
            ("words in a name", vec![signal("a", Kind::Other)], Severity::Sev4),
        ] {
            let signals: Vec<Arc<Signal>> = signals.into_iter().map(Arc::new).collect();
            assert_eq!(of(&signals), severity, "{rule}");
        }
    }

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
