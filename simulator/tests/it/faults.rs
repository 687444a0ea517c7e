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
        Scenario::DependencyOutage => (
            "payment",
            240,
            vec![
                (Metric::LatencyP99, |p| 380.0 + 4600.0 * (p / 0.3).min(1.0)),
                (Metric::ErrorRate, |p| 0.5 + 34.5 * ((p - 0.1) / 0.4).clamp(0.0, 1.0)),
            ],
        ),
        Scenario::NetworkPartition => (
            "payment",
            240,
            vec![
                // of 81 calls a second of its callers
                (Metric::RequestRate, |p| 80.0 - 0.6 * 81.0 * (2.0 * p).min(1.0)),
                (Metric::LatencyP99, |_| 380.0),
                (Metric::ErrorRate, |_| 0.5),
            ],
        ),
        Scenario::TrafficDrop => {
            ("api-gateway", 240, vec![(Metric::RequestRate, |p| 150.0 * (1.0 - 0.7 * (4.0 * p).min(1.0)))])
        }
        Scenario::DiskFilling => (
            "order",
            360,
            vec![
                (Metric::Disk, |p| 52.0 + 47.5 * p),
                (Metric::ErrorRate, |p| 0.5 + 39.5 * ((52.0 + 47.5 * p - 92.0) / 6.0).clamp(0.0, 1.0)),
            ],
        ),
        Scenario::CertificateExpiry => (
            "inventory",
            300,
            vec![
                (Metric::CertificateExpiry, |p| (150.0 * (1.0 - 2.0 * p)).max(0.0).round()),
                (Metric::RequestRate, |p| 30.0 * (1.0 - ((p - 0.5) / 0.2).clamp(0.0, 1.0))),
            ],
        ),
        Scenario::NoisyNeighbour => {
            ("notification", 300, vec![(Metric::Cpu, |p| 25.0 + 68.0 * (2.0 * p).min(1.0))])
        }
        Scenario::Retirement => ("notification", 300, Vec::new()),
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
            assert_eq!(seen.len(), ticks.len(), "{scenario}: {metric:?}");
            let healthy = culprit(scenario).baseline()[metric];
            for (number, seen) in seen.iter().enumerate() {
                let is_burning = (FIRST..FIRST + length).contains(&number);
                if metric == Metric::CertificateExpiry && !is_burning {
                    assert!((30.0..=90.0).contains(&(seen / 86_400.0)), "{scenario} tick {number}: {seen}");
                    continue;
                }
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
                let moves = |metric| {
                    series(&burning, service.name(), metric) != series(&calm, service.name(), metric)
                };
                Metric::ALL.into_iter().any(moves)
            })
            .map(Service::name)
            .collect();
        let expected: &[&str] = match scenario {
            Scenario::LatencySpike
            | Scenario::DbConnections
            | Scenario::DependencyOutage
            | Scenario::NetworkPartition => &["api-gateway", "payment", "order"],
            Scenario::ErrorSpike | Scenario::ConsumerLag | Scenario::DiskFilling => &["api-gateway", "order"],
            Scenario::CpuSaturation => &["api-gateway"],
            Scenario::MemoryLeak | Scenario::Retirement => &["notification"],
            Scenario::BadDeployment => &["api-gateway", "user"],
            Scenario::TrafficDrop => &["api-gateway", "payment", "order", "user", "inventory"],
            Scenario::CertificateExpiry => &["api-gateway", "order", "inventory"],
            // the neighbour, and those who call it
            Scenario::NoisyNeighbour => &["api-gateway", "order", "inventory", "notification"],
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
        (Scenario::DependencyOutage, "order", Metric::ErrorRate),
        (Scenario::DependencyOutage, "api-gateway", Metric::LatencyP99),
        (Scenario::DiskFilling, "api-gateway", Metric::ErrorRate),
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
fn ground_truth_names_the_service_of_each_fault() {
    use shared::events::Category;
    for (scenario, service, category) in [
        (Scenario::DependencyOutage, "payment", Category::Dependency),
        (Scenario::NetworkPartition, "payment", Category::Network),
        (Scenario::TrafficDrop, "api-gateway", Category::Traffic),
        (Scenario::DiskFilling, "order", Category::Disk),
        (Scenario::CertificateExpiry, "inventory", Category::Certificate),
        (Scenario::NoisyNeighbour, "notification", Category::Cpu),
    ] {
        let ticks = run(exact(scenario), FIRST + duration(scenario) as usize + 1);
        let faults: Vec<_> = ticks.iter().flat_map(|tick| &tick.faults).collect();
        assert_eq!(
            faults.iter().map(|fault| fault.phase).collect::<Vec<_>>(),
            [Phase::Started, Phase::Ended]
        );
        for fault in faults {
            assert_eq!((fault.service.as_str(), fault.scenario.category()), (service, Some(category)));
        }
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
    assert!(seen.into_iter().eq(Scenario::ROTATION));
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
        let loud = |service: Service, ticks: &[Tick]| {
            let lines = ticks.iter().flat_map(|tick| &tick.logs);
            lines.filter(|line| line.service == service.name() && line.level >= Level::Warn).count() as f64
                / ticks.len() as f64
        };
        for service in writers(scenario) {
            let (calm, late) = (loud(service, &ticks[..FIRST]), loud(service, &ticks[ticks.len() - 5..]));
            assert!(late > calm + 1.5, "{scenario}: {late} loud lines a tick, {calm} before");
        }
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

/// Who writes about a fault: the culprit, or its callers where their calls do not arrive.
fn writers(scenario: Scenario) -> Vec<Service> {
    match scenario {
        Scenario::NetworkPartition | Scenario::CertificateExpiry => culprit(scenario).callers().collect(),
        Scenario::TrafficDrop | Scenario::Retirement => Vec::new(),
        _ => vec![culprit(scenario)],
    }
}

/// Returns the shares of a service's spans that are slower than `ms` and that fail, and how many there are a tick.
fn spans_of(ticks: &[Tick], service: Service, ms: f64) -> (f64, f64, f64) {
    let spans = ticks.iter().flat_map(|tick| &tick.spans).filter(|span| span.service == service.name());
    let spans: Vec<_> = spans.collect();
    let share = |number: usize| number as f64 / spans.len().max(1) as f64;
    let slow = spans.iter().filter(|span| span.duration_ms > ms).count();
    let failed = spans.iter().filter(|span| span.status == SpanStatus::Error).count();
    (share(slow), share(failed), spans.len() as f64 / ticks.len() as f64)
}

#[test]
fn calls_that_do_not_arrive_show_at_the_callers_and_not_at_the_callee() {
    for (scenario, arrive) in [(Scenario::NetworkPartition, 0.4), (Scenario::CertificateExpiry, 0.0)] {
        let ticks = run(exact(scenario), FIRST + duration(scenario) as usize);
        let late = &ticks[FIRST + 22..];
        let culprit = culprit(scenario);
        let calm = spans_of(&ticks[..FIRST], culprit, 1000.0);
        let (slow, failed, number) = spans_of(late, culprit, 1000.0);
        assert!(
            (number / calm.2 - arrive).abs() < 0.2,
            "{scenario}: {number} calls a tick, {} before",
            calm.2
        );
        assert!(slow < 0.05 && failed < 0.1, "{scenario}: {slow} slow, {failed} failed at the callee");
        for caller in culprit.callers() {
            let (slow, failed, _) = spans_of(late, caller, 1000.0);
            assert!(slow > 0.15 && failed > 0.08, "{scenario}: {slow} slow, {failed} failed at {caller:?}");
            let felt = |metric| *series(late, caller.name(), metric).last().unwrap();
            assert!(felt(Metric::ErrorRate) > 10.0, "{scenario} at {caller:?}");
        }
        for metric in [Metric::LatencyP99, Metric::ErrorRate] {
            let own = series(&ticks, culprit.name(), metric);
            assert!(own.iter().all(|value| *value == own[0]), "{scenario} {metric:?}: {own:?}");
        }
    }
    // several callers: one alone could be slow by itself
    assert!(culprit(Scenario::NetworkPartition).callers().count() > 1);
}

#[test]
fn a_drop_of_traffic_reaches_every_service_behind_the_entry_at_any_hour() {
    let hour_ms = 3_600_000;
    for hour in [3, 15] {
        let mut shop = Shop::new(Options { daily_amplitude: 0.25, ..exact(Scenario::TrafficDrop) });
        let ticks: Vec<Tick> = (0..20).map(|number| shop.tick(hour * hour_ms + number * 10_000)).collect();
        for (service, left) in [("api-gateway", 0.3), ("order", 0.3), ("inventory", 0.3), ("user", 0.685)] {
            let rate = series(&ticks, service, Metric::RequestRate);
            let seen = rate.last().unwrap() / rate[0];
            assert!((seen - left).abs() < 0.01, "{service} at {hour}: {seen} of its traffic is left");
        }
        let sends = series(&ticks, "notification", Metric::RequestRate);
        assert!((sends.last().unwrap() / sends[0] - 1.0).abs() < 0.01);
        let cpu = series(&ticks, "order", Metric::Cpu);
        assert!(cpu.last().unwrap() < &(0.65 * cpu[0]), "{cpu:?}");
    }
}

#[test]
fn orders_fail_only_once_the_disk_is_nearly_full() {
    let ticks = run(exact(Scenario::DiskFilling), FIRST + 36);
    let (disk, errors) = (series(&ticks, "order", Metric::Disk), series(&ticks, "order", Metric::ErrorRate));
    for (percent, failed) in disk.iter().zip(&errors) {
        assert!((*percent <= 92.0) == (*failed == 0.5), "{percent} % full, {failed} % failed");
    }
    assert_eq!(series(&ticks, "notification", Metric::Disk), vec![38.0; ticks.len()]);
}

#[test]
fn calls_fail_only_once_the_certificate_has_expired() {
    let ticks = run(exact(Scenario::CertificateExpiry), FIRST + 30);
    let left = series(&ticks, "inventory", Metric::CertificateExpiry);
    let errors = series(&ticks, "order", Metric::ErrorRate);
    assert_eq!(
        left[FIRST..FIRST + 16],
        (1..=16).map(|tick| f64::from(15 - tick).max(0.0) * 10.0).collect::<Vec<_>>()
    );
    for (left, failed) in left[FIRST..].iter().zip(&errors[FIRST..]) {
        assert!(*left <= 0.0 || *failed == 0.5, "{left} s left, {failed} % failed");
    }
    assert!(*errors.last().unwrap() > 25.0);
    let named = |line: &&shared::events::LogRecord| line.message.contains("certificate has expired");
    let lines: Vec<_> = ticks.iter().flat_map(|tick| &tick.logs).filter(named).collect();
    assert!(lines.len() > 20 && lines.iter().all(|line| line.service == "order"), "{lines:?}");
    assert!(lines.iter().all(|line| line.ts_ms > ticks[FIRST + 13].ts_ms));
}

#[test]
fn a_noisy_neighbour_slows_a_service_that_neither_calls_nor_is_called() {
    use simulator::service::CALLS;
    let ticks = run(exact(Scenario::NoisyNeighbour), FIRST + 30);
    let last = |service, metric| *series(&ticks, service, metric).last().unwrap();
    assert!(last("inventory", Metric::CpuSteal) > 40.0 && last("inventory", Metric::LatencyP99) > 1000.0);
    assert_eq!(last("inventory", Metric::Cpu), Service::Inventory.baseline()[Metric::Cpu]);
    assert_eq!(last("notification", Metric::LatencyP99), 500.0);
    let both = [Service::Inventory, Service::Notification];
    assert!(!CALLS.iter().any(|call| both.contains(&call.caller) && both.contains(&call.callee)));
}

#[test]
fn a_retired_service_says_so_with_its_last_report_and_nothing_is_wrong() {
    let options = Options { decoys: Decoys::Any, ..exact(Scenario::Retirement) };
    let mut shop = Shop::new(options);
    let ticks: Vec<Tick> = (0..400).map(|number| shop.tick(START_MS + number * 10_000)).collect();
    let says = |tick: &Tick| {
        let name = "notification";
        tick.metrics.iter().any(|it| it.service == name)
            || tick.logs.iter().any(|it| it.service == name)
            || tick.spans.iter().any(|it| it.service == name)
    };
    assert!(ticks[..FIRST].iter().all(says) && !ticks[FIRST..].iter().any(says));
    assert!(ticks.iter().all(|tick| tick.faults.is_empty() && tick.metrics.len() >= 5 * 7));
    let changes: Vec<_> = ticks.iter().flat_map(|tick| &tick.deployments).collect();
    let own: Vec<_> = changes.iter().filter(|change| change.service == "notification").collect();
    assert!(changes.len() > 5, "{changes:?}");
    assert_eq!(own.len(), 1, "it is not deployed any more");
    assert!(own[0].is_retirement() && own[0].ts_ms == ticks[FIRST - 1].ts_ms);
    assert!(shop.close().iter().all(|change| change.service != "notification"));
}

#[test]
fn what_some_services_report_besides_is_in_runs_with_its_fault_only_and_changes_nothing_else() {
    for scenario in [Scenario::DiskFilling, Scenario::CertificateExpiry, Scenario::NoisyNeighbour] {
        let late = Outbreak { scenario, starts: 1_000, lasts: None };
        let options =
            Options { faults: Faults::Planned(vec![late]), decoys: Decoys::None, ..Options::default() };
        let calm = run(Options { faults: Faults::Quiet, ..options.clone() }, 50);
        let with = run(options, 50);
        for (mut with, calm) in with.into_iter().zip(calm) {
            let is_extra = |name: &str| Metric::EXTRA.into_iter().find(|metric| metric.name() == name);
            let extra: Vec<Metric> =
                with.metrics.iter().filter_map(|sample| is_extra(&sample.metric)).collect();
            assert_eq!(extra.len(), extra[0].sources().len(), "{scenario}: {extra:?}");
            with.metrics.retain(|sample| is_extra(&sample.metric).is_none());
            assert!(with == calm, "{scenario}");
        }
    }
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
