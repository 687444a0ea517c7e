//! What burns is what the table says, is felt by callers, and is on record.

use shared::events::fault::{Phase, Scenario};
use shared::events::raw::{Level, SpanStatus};
use simulator::Decoys;
use simulator::Faults;
use simulator::fault::{culprit, duration};
use simulator::service::{Metric, Service};
use simulator::{Options, Outbreak, Shop, Tick};

use crate::{START_MS, exact, run, series};

/// First tick of the fault in [`exact`].
const FIRST: usize = 5;

/// A metric of the culprit, and its value at progress p.
type Row = (Metric, fn(f64) -> f64);

/// The table of the documentation: service, seconds at 10 s, and what p makes of which metric.
fn table(scenario: Scenario) -> (&'static str, usize, Vec<Row>) {
    match scenario {
        Scenario::LatencySpike => {
            ("payment", 240, vec![(Metric::LatencyP99, |p| 380.0 + 7000.0 * (2.0 * p).min(1.0))])
        }
        Scenario::ErrorSpike => {
            ("order", 180, vec![(Metric::ErrorRate, |p| 0.5 + 44.5 * (3.0 * p).min(1.0))])
        }
        Scenario::CpuSaturation => ("api-gateway", 300, vec![(Metric::Cpu, |p| 30.0 + 67.0 * p)]),
        Scenario::MemoryLeak => {
            ("notification", 360, vec![(Metric::Memory, |p| (55.0 + 43.0 * p).min(98.0))])
        }
        Scenario::DbConnections => (
            "payment",
            200,
            vec![(Metric::DbConnections, |p| (30.0 + 70.0 * (2.0 * p).min(1.0)).min(100.0).round())],
        ),
        Scenario::ConsumerLag => {
            ("order", 300, vec![(Metric::ConsumerLag, |p| (100.0 + 49_900.0 * p).round())])
        }
        Scenario::BadDeployment => (
            "user",
            240,
            vec![
                (Metric::ErrorRate, |p| 0.5 + 39.5 * (4.0 * p).min(1.0)),
                (Metric::LatencyP99, |p| 150.0 + 2000.0 * p),
            ],
        ),
    }
}

#[test]
fn without_noise_each_fault_is_the_table_and_ends_at_once() {
    for scenario in Scenario::ALL {
        let (service, seconds, rows) = table(scenario);
        let length = seconds / 10;
        let ticks = run(exact(scenario), FIRST + length + 3);
        for (metric, value) in rows {
            let seen = series(&ticks, service, metric);
            let healthy = culprit(scenario).baseline()[metric];
            for (number, seen) in seen.iter().enumerate() {
                let expected = match number.checked_sub(FIRST) {
                    Some(passed) if passed < length => value((passed + 1) as f64 / length as f64),
                    _ => healthy,
                };
                assert!(
                    (seen - expected).abs() < 0.001,
                    "{scenario} tick {number}: {seen}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn the_pool_fails_requests_only_once_it_is_nearly_used_up() {
    let ticks = run(exact(Scenario::DbConnections), FIRST + 20);
    let errors = series(&ticks, "payment", Metric::ErrorRate);
    // p = 0.4 is the eighth of twenty ticks
    assert!(errors[..FIRST + 8].iter().all(|percent| *percent == 0.5), "{errors:?}");
    assert!(errors[FIRST + 8] > 5.0 && errors[FIRST + 19] == 30.0, "{errors:?}");
}

#[test]
fn a_fault_moves_its_service_and_its_callers_and_no_other() {
    for scenario in Scenario::ALL {
        let burning =
            Options { faults: Faults::Once(Some(scenario)), first_fault_after: 5, ..Options::default() };
        let calm = Options { faults: Faults::Quiet, ..burning.clone() };
        let length = FIRST + duration(scenario) as usize;
        let (burning, calm) = (run(burning, length), run(calm, length));
        let moved: Vec<&str> = Service::ALL
            .into_iter()
            .filter(|service| {
                Metric::ALL.into_iter().any(|metric| {
                    series(&burning, service.name(), metric) != series(&calm, service.name(), metric)
                })
            })
            .map(Service::name)
            .collect();
        let expected: &[&str] = match scenario {
            Scenario::LatencySpike | Scenario::DbConnections => &["api-gateway", "payment", "order"],
            Scenario::ErrorSpike | Scenario::ConsumerLag => &["api-gateway", "order"],
            Scenario::CpuSaturation => &["api-gateway"],
            Scenario::MemoryLeak => &["notification"],
            Scenario::BadDeployment => &["api-gateway", "user"],
        };
        assert_eq!(moved, expected, "{scenario}");
    }
}

#[test]
fn callers_feel_it_clearly_but_less_than_the_culprit() {
    for (scenario, caller, metric) in [
        (Scenario::LatencySpike, "order", Metric::LatencyP99),
        (Scenario::LatencySpike, "api-gateway", Metric::LatencyP99),
        (Scenario::ErrorSpike, "api-gateway", Metric::ErrorRate),
        (Scenario::DbConnections, "order", Metric::ErrorRate),
        (Scenario::DbConnections, "api-gateway", Metric::ErrorRate),
        (Scenario::BadDeployment, "api-gateway", Metric::ErrorRate),
        (Scenario::BadDeployment, "api-gateway", Metric::LatencyP99),
    ] {
        let ticks = run(exact(scenario), FIRST + duration(scenario) as usize);
        let growth = |service: &str| {
            let values = series(&ticks, service, metric);
            values.last().unwrap() / values.first().unwrap()
        };
        let (caller_grew, culprit_grew) = (growth(caller), growth(culprit(scenario).name()));
        assert!(caller_grew > 2.0, "{scenario}: {caller} grew only {caller_grew} times");
        assert!(
            caller_grew < 0.6 * culprit_grew,
            "{scenario}: {caller} {caller_grew}, culprit {culprit_grew}"
        );
    }
}

#[test]
fn ground_truth_tells_the_first_tick_with_and_without_a_fault() {
    for interval_ms in [1_000, 10_000] {
        let options = Options { interval_ms, ..exact(Scenario::BadDeployment) };
        let ticks = run(options, 40);
        let edges: Vec<_> = ticks
            .iter()
            .enumerate()
            .flat_map(|(number, tick)| tick.faults.iter().map(move |fault| (number, tick.ts_ms, fault)))
            .map(|(number, ts_ms, fault)| {
                assert_eq!(fault.at.as_millisecond(), ts_ms);
                (number, fault.fault, fault.scenario, fault.service.as_str(), fault.phase)
            })
            .collect();
        assert_eq!(
            edges,
            [
                (5, 1, Scenario::BadDeployment, "user", Phase::Started),
                (29, 1, Scenario::BadDeployment, "user", Phase::Ended)
            ]
        );
    }
}

#[test]
fn a_bad_version_is_rolled_out_before_it_shows() {
    let ticks = run(exact(Scenario::BadDeployment), 40);
    let changes: Vec<_> = ticks.iter().flat_map(|tick| &tick.deployments).collect();
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].service.as_str(), changes[0].ts_ms), ("user", ticks[FIRST - 1].ts_ms));
    let started = ticks.iter().flat_map(|tick| &tick.faults).next().unwrap();
    assert!(changes[0].ts_ms < started.at.as_millisecond());
}

#[test]
fn faults_take_turns_with_room_to_recover() {
    let ticks = run(Options { seed: 3, ..Options::default() }, 3_000);
    let edges: Vec<_> = ticks
        .iter()
        .enumerate()
        .flat_map(|(number, tick)| tick.faults.iter().map(move |fault| (number, fault)))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for (index, pair) in edges.windows(2).enumerate() {
        let [(before, first), (after, second)] = pair else { unreachable!() };
        if index % 2 == 0 {
            assert_eq!((first.phase, second.phase), (Phase::Started, Phase::Ended));
            assert_eq!((after - before) as u64, duration(first.scenario));
            seen.insert(first.scenario);
        } else {
            assert!((60..=120).contains(&(after - before)), "gap of {}", after - before);
            assert_eq!(second.fault, first.fault + 1);
        }
    }
    assert_eq!(seen.len(), Scenario::ALL.len());
}

#[test]
fn no_healthy_deployment_points_at_an_innocent_culprit() {
    let hour_ms = 3_600_000;
    for seed in 0..5 {
        let ticks = run(Options { seed, ..Options::default() }, 3_000);
        let changes: Vec<_> = ticks.iter().flat_map(|tick| &tick.deployments).collect();
        assert!(changes.len() > 50, "only {} deployments", changes.len());
        for fault in ticks.iter().flat_map(|tick| &tick.faults) {
            if fault.phase == Phase::Started && fault.scenario != Scenario::BadDeployment {
                let at = fault.at.as_millisecond();
                let misleading = changes.iter().find(|change| {
                    change.service == fault.service && (at - hour_ms..=at).contains(&change.ts_ms)
                });
                assert_eq!(misleading, None, "{} at {}", fault.scenario, fault.at);
            }
        }
    }
    let any = Options {
        decoys: Decoys::Any,
        faults: Faults::Once(Some(Scenario::ErrorSpike)),
        ..Options::default()
    };
    let touched = |options: Options| {
        run(options, 3_000)
            .iter()
            .take(60)
            .flat_map(|tick| tick.deployments.clone())
            .any(|it| it.service == "order")
    };
    assert!((0..40).any(|seed| touched(Options { seed, ..any.clone() })), "asked for, it may point there");
}

#[test]
fn logs_and_spans_tell_the_same_story_as_the_metrics() {
    for scenario in Scenario::ALL {
        let ticks = run(exact(scenario), FIRST + duration(scenario) as usize);
        let service = culprit(scenario).name();
        let loud = |ticks: &[Tick]| {
            let lines = ticks.iter().flat_map(|tick| &tick.logs);
            lines.filter(|line| line.service == service && line.level >= Level::Warn).count() as f64
                / ticks.len() as f64
        };
        let (calm, late) = (loud(&ticks[..FIRST]), loud(&ticks[ticks.len() - 5..]));
        assert!(late > calm + 1.5, "{scenario}: {late} loud lines a tick, {calm} before");
    }
    let ticks = run(exact(Scenario::ErrorSpike), FIRST + 18);
    let failed = |service: &str| {
        let spans: Vec<_> = ticks[FIRST + 6..].iter().flat_map(|tick| &tick.spans).collect();
        let spans: Vec<_> = spans.into_iter().filter(|span| span.service == service).collect();
        spans.iter().filter(|span| span.status == SpanStatus::Error).count() as f64 / spans.len() as f64
    };
    assert!(failed("order") > 0.3, "order spans fail: {}", failed("order"));
    assert!(failed("payment") < 0.1, "payment spans fail: {}", failed("payment"));
    assert!(failed("api-gateway") > 0.02 && failed("api-gateway") < failed("order"));
}

#[test]
fn a_single_fault_is_over_once_it_has_ended() {
    let mut shop = Shop::new(exact(Scenario::ErrorSpike));
    let over: Vec<_> = (0..26).map(|number| (shop.tick(START_MS + number), shop.recovered_for()).1).collect();
    // the fault burns in ticks 5 to 22
    assert!(over[..22].iter().all(Option::is_none), "{over:?}");
    assert_eq!(over[22..], [Some(0), Some(1), Some(2), Some(3)]);
}

#[test]
fn a_planned_fault_is_the_same_as_the_only_one_of_a_run() {
    for scenario in Scenario::ALL {
        let once = exact(scenario);
        let planned = Outbreak { scenario, starts: FIRST as u64, lasts: None };
        let plan = Options { faults: Faults::Planned(vec![planned]), ..once.clone() };
        let ticks = FIRST + duration(scenario) as usize + 5;
        assert!(run(once, ticks) == run(plan, ticks), "{scenario}");
    }
}

#[test]
fn two_faults_at_a_time_are_both_felt_and_both_on_record() {
    let at = |scenario, starts| Outbreak { scenario, starts, lasts: Some(4) };
    let faults = vec![at(Scenario::ErrorSpike, 5), at(Scenario::MemoryLeak, 7)];
    let options = Options { faults: Faults::Planned(faults), ..exact(Scenario::ErrorSpike) };
    let ticks = run(options, 20);
    let edges: Vec<_> = (0..)
        .zip(&ticks)
        .flat_map(|(number, tick)| tick.faults.iter().map(move |fault| (number, fault.fault, fault.phase)))
        .collect();
    let expected =
        [(5, 1, Phase::Started), (7, 2, Phase::Started), (9, 1, Phase::Ended), (11, 2, Phase::Ended)];
    assert_eq!(edges, expected);
    let together = &ticks[8..=8];
    assert!(series(together, "order", Metric::ErrorRate)[0] > 40.0);
    assert!(series(together, "notification", Metric::Memory)[0] > 75.0);
}
