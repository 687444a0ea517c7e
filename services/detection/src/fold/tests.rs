use shared::events::raw::{ExponentialBuckets, Histogram, Instrument, Temporality};

use super::*;
use crate::metric_profile::key;

const START_MS: i64 = 1_750_000_000_000;

/// A fold, and what has come of it.
#[derive(Default)]
struct Feed {
    fold: Fold,
    settings: Settings,
    folded: Vec<Folded>,
}

fn labels(labels: &[(&str, &str)]) -> Detail<'static> {
    let owned = |text: &str| text.to_owned().into();
    let mut labels: Vec<_> = labels.iter().map(|&(label, value)| (owned(label), owned(value))).collect();
    labels.sort_unstable();
    Detail { labels, ..Detail::default() }
}

fn counter(of: &[(&str, &str)]) -> Detail<'static> {
    Detail { instrument: Some(Instrument::Counter), ..labels(of) }
}

impl Feed {
    fn take(
        &mut self,
        (metric, unit): (&str, &str),
        at_s: i64,
        value: f64,
        detail: &Detail<'_>,
    ) -> Result<Taken, Left> {
        let point = Point::new("cart", (metric, unit), (START_MS + at_s * 1000, value), detail);
        self.fold.take(&point, &self.settings, &mut self.folded)
    }

    /// Returns what came of a series: seconds and values.
    fn of(&self, series: &str) -> Vec<(i64, f64)> {
        let of_it = self.folded.iter().filter(|one| key::labelled(&one.name.series) == series);
        of_it.map(|one| ((one.ts_ms - START_MS) / 1000, one.value)).collect()
    }

    /// Returns the names of all series.
    fn series(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.folded.iter().map(|one| key::labelled(&one.name.series).into_owned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn close(values: &[(i64, f64)], expected: &[(i64, f64)]) {
    assert_eq!(values.len(), expected.len(), "{values:?}");
    for (value, expected) in values.iter().zip(expected) {
        assert!(value.0 == expected.0 && (value.1 - expected.1).abs() < 1e-9, "{values:?}");
    }
}

#[test]
fn levels_of_three_replicas_become_one_series_as_their_kind_asks() {
    for (metric, unit, expected, mean) in [
        ("process.cpu.utilization", "1", 0.6, Some(0.4)),
        ("jvm.memory.used", "By", 0.6, Some(0.4)),
        ("node_filesystem_avail_bytes", "", 0.2, Some(0.4)),
        ("request_rate", "", 1.2, None),
        ("kafka_consumergroup_lag", "", 1.2, None),
        ("latency_p99_ms", "", 0.6, None),
        ("flux_capacitance", "", 0.4, None),
        ("db_connections_max", "", 0.6, None),
    ] {
        let mut feed = Feed::default();
        for round in 0..4 {
            for (pod, value) in [("a", 0.2), ("b", 0.6), ("c", 0.4)] {
                let detail = labels(&[("pod", pod)]);
                assert_eq!(feed.take((metric, unit), 10 * round, value, &detail), Ok(Taken::Own));
            }
        }
        close(&feed.of(metric), &[(10, expected), (20, expected), (30, expected)]);
        let means = mean.map(|mean| [(10, mean), (20, mean), (30, mean)]);
        close(&feed.of(&format!("{metric}.mean")), means.as_ref().map_or(&[], |means| &means[..]));
    }
}

#[test]
fn the_pool_with_the_fewest_idle_connections_counts_beside_the_one_with_the_most_used() {
    let mut feed = Feed::default();
    for round in 0..4 {
        for (pod, used) in [("a", 12.0), ("b", 30.0), ("c", 9.0)] {
            for (state, value) in [("used", used), ("idle", 34.0 - used)] {
                let pool = ("db.client.connection.pool.name", "primary");
                let detail = labels(&[("pod", pod), pool, ("db.client.connection.state", state)]);
                feed.take(("db.client.connection.count", "{connection}"), 10 * round, value, &detail)
                    .unwrap();
            }
        }
    }
    for (form, state, expected) in
        [("", "used", 30.0), (".mean", "used", 17.0), ("", "idle", 4.0), (".mean", "idle", 17.0)]
    {
        let labels =
            format!("db.client.connection.pool.name=\"primary\",db.client.connection.state={state:?}");
        let series = format!("db.client.connection.count{form}{{{labels}}}");
        close(&feed.of(&series), &[(10, expected), (20, expected), (30, expected)]);
    }
}

#[test]
fn one_replica_is_judged_as_a_series_without_labels_at_once() {
    let mut feed = Feed::default();
    let times = [0, 10, 21, 30, 39, 70, 80];
    for at_s in times {
        let detail = labels(&[("pod", "a")]);
        feed.take(("queue_depth", ""), at_s, at_s as f64, &detail).unwrap();
        assert_eq!(feed.folded.last().map_or(0, |last| (last.ts_ms - START_MS) / 1000), at_s);
        feed.take(("http_requests_total", ""), at_s, 7.0 * at_s as f64, &counter(&[("pod", "a")])).unwrap();
    }
    let expected: Vec<(i64, f64)> = times[1..].iter().map(|&at_s| (at_s, at_s as f64)).collect();
    close(&feed.of("queue_depth"), &expected);
    let rates: Vec<(i64, f64)> = times[1..].iter().map(|&at_s| (at_s, 7.0)).collect();
    close(&feed.of("http_requests_total"), &rates);
    assert_eq!(feed.series(), ["http_requests_total", "queue_depth"]);
}

#[test]
fn increases_of_counters_are_added_and_those_of_failures_shared() {
    let mut feed = Feed::default();
    for round in 0..6_i64 {
        for (pod, phase) in [("a", 0), ("b", 3), ("c", 7)] {
            for (code, each) in [("200", 90.0), ("404", 5.0), ("500", 5.0)] {
                let detail = counter(&[("pod", pod), ("code", code), ("route", "/pay")]);
                let total = 1000.0 + each * round as f64;
                feed.take(("http_requests_total", ""), 10 * round + phase, total, &detail).unwrap();
            }
        }
    }
    let rates = feed.of("http_requests_total{route=\"/pay\"}");
    assert!(rates.len() >= 4 && rates[1..].iter().all(|(_, rate)| (rate - 30.0).abs() < 1e-9), "{rates:?}");
    let ratios = feed.of("http_requests_total.error_ratio{route=\"/pay\"}");
    assert!(
        ratios.len() >= 4 && ratios[1..].iter().all(|(_, ratio)| (ratio - 0.05).abs() < 1e-9),
        "{ratios:?}"
    );
    assert_eq!(feed.series().len(), 2, "the only route is all there is: {:?}", feed.series());
}

#[test]
fn requests_of_all_routes_are_added_up_for_the_service() {
    let mut feed = Feed::default();
    for round in 0..8_i64 {
        for (route, failed) in [("/cart", 0.0), ("/pay", 10.0)] {
            for (code, each) in [("200", 100.0 - failed), ("503", failed)] {
                let detail = counter(&[("pod", "a"), ("code", code), ("route", route)]);
                feed.take(("http_requests_total", ""), 10 * round, each * round as f64, &detail).unwrap();
            }
        }
    }
    let ratios = feed.of("http_requests_total.error_ratio");
    assert!(
        ratios.len() >= 4 && ratios[2..].iter().all(|(_, ratio)| (ratio - 0.05).abs() < 1e-9),
        "{ratios:?}"
    );
    let rates = feed.of("http_requests_total");
    assert!(rates[2..].iter().all(|(_, rate)| (rate - 20.0).abs() < 1e-9), "{rates:?}");
}

#[test]
fn a_count_that_begins_anew_or_is_corrected_makes_no_spike() {
    let mut feed = Feed::default();
    for round in 0..12_i64 {
        for pod in ["a", "b", "c"] {
            let total = match (pod, round) {
                // a process that was restarted, and a count that was corrected
                ("b", 6..) => 100.0 * (round - 6) as f64 + 40.0,
                ("c", 8..) => 1e9 + 100.0 * round as f64 - 150.0,
                ("c", _) => 1e9 + 100.0 * round as f64,
                _ => 100.0 * round as f64,
            };
            feed.take(("jobs_total", ""), 10 * round, total, &counter(&[("instance", pod)])).unwrap();
        }
    }
    let rates = feed.of("jobs_total");
    assert_eq!(rates.len(), 11);
    assert!(rates.iter().all(|(_, rate)| (20.0..=30.1).contains(rate)), "{rates:?}");
}

#[test]
fn replicas_that_come_and_go_make_no_spike() {
    // three pods become six, then each is replaced
    let mut feed = Feed::default();
    for round in 0..60_i64 {
        let pods: Vec<i64> = match round {
            0..20 => (0..3).collect(),
            20..40 => (0..6).collect(),
            _ => ((round - 40).min(6)..(round - 40).min(6) + 6).collect(),
        };
        let each = 1200.0 / pods.len() as f64;
        for pod in pods {
            let name = format!("cart-{pod}");
            let of = [("pod", name.as_str())];
            let began = match pod {
                0..3 => -1000,
                3..6 => 20,
                late => 40 + (late - 5),
            };
            // a long-lived process, or one that has begun a round ago
            let total = 5e6 * f64::from(u8::from(began < 0)) + each * (round - began) as f64;
            let start_ms = Some(START_MS + 10_000 * (began - 1));
            feed.take(("http_requests_total", ""), 10 * round, total, &Detail { start_ms, ..counter(&of) })
                .unwrap();
            feed.take(("process_cpu_percent", ""), 10 * round, 30.0, &labels(&of)).unwrap();
            feed.take(("heap_used", "By"), 10 * round, 1e9, &labels(&of)).unwrap();
        }
    }
    let rates = feed.of("http_requests_total");
    let most = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
    assert!(rates.len() > 50 && most < 145.0, "{most}: {rates:?}");
    let lost = rates.iter().filter(|(_, rate)| *rate < 90.0).count();
    assert!(lost <= 2, "{rates:?}");
    for steady in ["process_cpu_percent", "heap_used"] {
        let values = feed.of(steady);
        assert!(
            values.len() > 50 && values.iter().all(|(_, value)| (value - values[0].1).abs() < 1e-6),
            "{values:?}"
        );
    }
}

#[test]
fn a_service_that_comes_back_after_an_outage_of_its_collector_makes_no_spike() {
    let mut feed = Feed::default();
    for round in (0..20_i64).chain(400..420) {
        for pod in ["a", "b"] {
            for code in ["200", "404", "500"] {
                let began_s = if round < 400 { 0 } else { 4000 };
                let start_ms = Some(START_MS + 1000 * began_s);
                let detail = Detail { start_ms, ..counter(&[("pod", pod), ("code", code)]) };
                let total = 1e6 + 100.0 * round as f64;
                feed.take(("http_requests_total", ""), 10 * round, total, &detail).unwrap();
            }
        }
    }
    let rates = feed.of("http_requests_total");
    assert!(rates.len() > 35, "{rates:?}");
    assert!(rates.iter().all(|(_, rate)| (rate - 60.0).abs() < 1e-6), "{rates:?}");
}

#[test]
fn a_replica_that_has_stopped_is_waited_for_once_only() {
    let mut feed = Feed::default();
    for round in 0..10_i64 {
        for pod in ["a", "b"] {
            if pod == "a" || round < 5 {
                feed.take(("request_rate", ""), 10 * round, 50.0, &labels(&[("pod", pod)])).unwrap();
            }
        }
    }
    let rates = feed.of("request_rate");
    close(&rates[..4], &[(10, 100.0), (20, 100.0), (30, 100.0), (40, 100.0)]);
    assert_eq!(rates.last(), Some(&(90, 50.0)), "{rates:?}");
    // one that says so is not waited for at all
    let mut feed = Feed::default();
    for round in 0..4 {
        feed.take(("request_rate", ""), 10 * round, 50.0, &labels(&[("pod", "a")])).unwrap();
        let value = if round == 3 { f64::NAN } else { 50.0 };
        feed.take(("request_rate", ""), 10 * round, value, &labels(&[("pod", "b")])).unwrap();
    }
    assert_eq!(feed.of("request_rate").last(), Some(&(30, 50.0)));
}

#[test]
fn the_leader_of_a_group_is_replaced_when_it_stops() {
    let mut feed = Feed::default();
    for round in 0..20_i64 {
        for (pod, phase) in [("a", 0), ("b", 4)] {
            if pod == "b" || round < 5 {
                feed.take(("request_rate", ""), 10 * round + phase, 50.0, &labels(&[("pod", pod)])).unwrap();
            }
        }
    }
    let rates = feed.of("request_rate");
    assert_eq!(rates.last(), Some(&(194, 50.0)), "{rates:?}");
    assert!(rates.len() >= 16 && rates.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 30), "{rates:?}");
}

/// Values of one pod in one round: latencies up to 120 ms with a tail.
fn latencies(pod: i64) -> Vec<f64> {
    (0..200)
        .map(|i| {
            let u = (5 * i + pod) as f64 / 1000.0 + 0.0005;
            0.02 + 0.1 * u + if u > 0.97 { 0.6 * (u - 0.97) / 0.03 } else { 0.0 }
        })
        .collect()
}

const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0];

fn explicit(values: &[f64]) -> Histogram {
    let mut counts = vec![0.0; BOUNDS.len() + 1];
    for value in values {
        counts[BOUNDS.partition_point(|bound| bound < value)] += 1.0;
    }
    Histogram { bounds: BOUNDS.to_vec(), counts, ..Histogram::default() }
}

fn exponential(values: &[f64], scale: i32) -> Histogram {
    let index = |value: f64| (value.log2() * 2_f64.powi(scale)).ceil() as i32 - 1;
    let all = || values.iter().map(|&value| index(value));
    let offset = all().min().unwrap_or_default();
    let mut counts = vec![0.0; (all().max().unwrap_or_default() - offset) as usize + 1];
    all().for_each(|index| counts[(index - offset) as usize] += 1.0);
    Histogram {
        scale: Some(scale),
        positive: Some(ExponentialBuckets { offset, counts }),
        ..Histogram::default()
    }
}

#[test]
fn histograms_of_all_kinds_find_the_same_quantiles() {
    let metric = ("http.server.request.duration", "s");
    let mut feed = Feed::default();
    let mut since_start: [Vec<f64>; 3] = Default::default();
    for round in 0..8_i64 {
        for pod in 0..3_i64 {
            let name = format!("cart-{pod}");
            let new = latencies(pod);
            let all = &mut since_start[pod as usize];
            all.extend(&new);
            let of = |route: &str| counter(&[("pod", &name), ("route", route)]);
            let count = new.len() as f64;
            let delta = Detail {
                temporality: Some(Temporality::Delta),
                histogram: Some(explicit(&new)),
                ..of("/delta")
            };
            feed.take(metric, 10 * round, count, &delta).unwrap();
            let cumulative = Detail { histogram: Some(explicit(all)), ..of("/cumulative") };
            feed.take(metric, 10 * round, all.len() as f64, &cumulative).unwrap();
            let scale = if pod == 1 { 3 } else { 4 };
            let native = Detail { histogram: Some(exponential(all, scale)), ..of("/exponential") };
            feed.take(metric, 10 * round, all.len() as f64, &native).unwrap();
            let mut upto = 0.0;
            for (bound, count) in BOUNDS.iter().chain([&f64::INFINITY]).zip(explicit(all).counts) {
                upto += count;
                let le = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
                let classic = counter(&[("pod", &name), ("route", "/classic"), ("le", &le)]);
                feed.take(("http_request_duration_seconds_bucket", ""), 10 * round, upto, &classic).unwrap();
            }
        }
    }
    let mut exact: Vec<f64> = (0..3).flat_map(latencies).collect();
    exact.sort_unstable_by(f64::total_cmp);
    for (share, suffix) in [(0.5, "p50"), (0.99, "p99")] {
        let exact = exact[(share * exact.len() as f64) as usize - 1];
        for (series, tolerance) in [
            (format!("http.server.request.duration.{suffix}{{route=\"/delta\"}}"), 0.15),
            (format!("http.server.request.duration.{suffix}{{route=\"/cumulative\"}}"), 0.15),
            (format!("http.server.request.duration.{suffix}{{route=\"/exponential\"}}"), 0.1),
            (format!("http_request_duration_seconds.{suffix}{{route=\"/classic\"}}"), 0.15),
        ] {
            let values = feed.of(&series);
            assert!(values.len() >= 5, "{series}: {values:?}");
            for (at_s, value) in &values[1..] {
                assert!(
                    (value / exact - 1.0).abs() < tolerance,
                    "{series} at {at_s} s: {value}, not {exact}"
                );
            }
        }
    }
    let rates = feed.of("http.server.request.duration.rate{route=\"/cumulative\"}");
    assert!(rates[1..].iter().all(|(_, rate)| (rate - 60.0).abs() < 1e-9), "{rates:?}");
    assert!(
        feed.of("http_request_duration_seconds.rate{route=\"/classic\"}").is_empty(),
        "its _count says that"
    );
}

#[test]
fn a_window_without_values_has_no_quantile_and_few_are_gathered() {
    let mut feed = Feed::default();
    let detail = |values: &[f64]| Detail {
        temporality: Some(Temporality::Delta),
        histogram: Some(explicit(values)),
        ..counter(&[("pod", "a")])
    };
    for round in 0..30_i64 {
        let values: &[f64] = if round % 2 == 0 { &[] } else { &[0.1, 0.2, 0.3, 0.4, 0.1] };
        feed.take(("rpc.server.duration", "s"), 10 * round, values.len() as f64, &detail(values)).unwrap();
    }
    let quantiles = feed.of("rpc.server.duration.p99");
    // four windows with five values each
    assert!(quantiles.len() == 3 && quantiles.iter().all(|(_, value)| *value > 0.3), "{quantiles:?}");
    assert_eq!(feed.of("rpc.server.duration.rate").len(), 29);
}

#[test]
fn the_first_failure_counts_though_its_counter_is_new() {
    let mut feed = Feed::default();
    for round in 0..20_i64 {
        let of = |code: &str| counter(&[("pod", "a"), ("code", code)]);
        feed.take(("http_requests_total", ""), 10 * round, 100.0 * round as f64, &of("200")).unwrap();
        if round >= 10 {
            let failed = 25.0 * (round - 9) as f64;
            feed.take(("http_requests_total", ""), 10 * round, failed, &of("500")).unwrap();
        }
    }
    let ratios = feed.of("http_requests_total.error_ratio");
    let at = |at_s: i64| ratios.iter().find(|(at, _)| *at == at_s).map(|(_, ratio)| *ratio);
    assert!(
        ratios.iter().all(|(at_s, ratio)| (*at_s <= 90) == (*ratio == 0.0) || *at_s == 100),
        "{ratios:?}"
    );
    assert!((at(120).unwrap() - 0.2).abs() < 1e-9, "{ratios:?}");
}

#[test]
fn what_is_beyond_a_limit_is_counted_and_the_rest_goes_on() {
    let mut feed = Feed::default();
    for route in 0..250 {
        let route = format!("/r{route}");
        let taken = feed.take(("latency_p99_ms", ""), 0, 5.0, &labels(&[("route", &route), ("pod", "a")]));
        let expected = if feed.fold.groups.len() <= 200 { Taken::Own } else { Taken::Other };
        assert_eq!(taken, Ok(expected));
    }
    assert_eq!(feed.fold.groups.len(), 201);
    let mut feed = Feed::default();
    let pods: Vec<_> = (0..1500)
        .map(|pod| feed.take(("request_rate", ""), 0, 1.0, &labels(&[("pod", &pod.to_string())])))
        .collect();
    assert_eq!(pods.iter().filter(|taken| **taken == Err(Left::Replicas)).count(), 500);
    // groups that have been silent for an hour make room
    let mut feed = Feed::default();
    for hour in 0..3 {
        for metric in 0..1000 {
            let name = format!("m{hour}_{metric}");
            let taken = feed.take((&name, ""), 7200 * hour, 1.0, &labels(&[("pod", "a")]));
            assert_eq!(taken, Ok(Taken::Own), "{name}");
        }
    }
    assert_eq!(feed.take(("one_more", ""), 14_401, 1.0, &labels(&[("pod", "a")])), Err(Left::Groups));
}

#[test]
fn what_is_not_judged_takes_no_room() {
    let mut feed = Feed::default();
    for metric in
        ["http_requests_created", "build_info", "http_request_duration_seconds_sum", "http_size_bucket"]
    {
        let detail = counter(&[("pod", "a")]);
        assert_eq!(feed.take((metric, ""), 0, 1.0, &detail), Ok(Taken::Nothing), "{metric}");
    }
    assert!(feed.fold.is_empty());
}

#[test]
fn restarts_of_replicas_are_counted_and_new_replicas_are_none() {
    let mut feed = Feed::default();
    for round in 0..10_i64 {
        for pod in 0..4_i64 {
            let started = 1.7e9 + if pod == 1 && round >= 6 { 5e4 } else { 100.0 * pod as f64 };
            if pod < 3 || round >= 4 {
                let detail = labels(&[("pod", &pod.to_string())]);
                feed.take(("process_start_time_seconds", ""), 10 * round, started, &detail).unwrap();
            }
        }
    }
    let counts: Vec<f64> = feed.of("process_start_time_seconds").iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn repeated_and_late_points_are_left_out() {
    let mut feed = Feed::default();
    let detail = labels(&[("pod", "a")]);
    for at_s in [0, 10, 20] {
        feed.take(("queue_depth", ""), at_s, 1.0, &detail).unwrap();
    }
    assert_eq!(feed.take(("queue_depth", ""), 20, 1.0, &detail), Err(Left::Duplicate));
    assert_eq!(feed.take(("queue_depth", ""), 15, 1.0, &detail), Err(Left::OutOfOrder));
    let other = labels(&[("pod", "b")]);
    assert_eq!(feed.take(("queue_depth", ""), -3600, 1.0, &other), Err(Left::Late));
}

#[test]
fn a_fold_goes_on_from_a_snapshot_as_if_nothing_had_happened() {
    let run = |snapshot_every: Option<usize>| {
        let mut feed = Feed::default();
        let mut taken = 0;
        let mut since_start: [Vec<f64>; 3] = Default::default();
        for round in 0..30_i64 {
            for pod in 0..3_i64 {
                let name = format!("cart-{pod}");
                let all = &mut since_start[pod as usize];
                all.extend(latencies(pod));
                let of = |code: &str| counter(&[("pod", &name), ("code", code), ("route", "/pay")]);
                let at_s = 10 * round + 2 * pod;
                let histogram = Some(explicit(all));
                let points = [
                    (("http.server.duration", "s"), all.len() as f64, Detail { histogram, ..of("200") }),
                    (("http_requests_total", ""), 10.0 * round as f64, of("200")),
                    (("http_requests_total", ""), (round / 3) as f64, of("500")),
                    (("heap_used", "By"), 1e6 + round as f64, labels(&[("pod", &name)])),
                ];
                for (metric, value, detail) in points {
                    let _ = feed.take(metric, at_s, value, &detail);
                    taken += 1;
                    if snapshot_every.is_some_and(|every| taken % every == 0) {
                        let bytes = postcard::to_extend(&feed.fold, Vec::new()).unwrap();
                        feed.fold = postcard::from_bytes::<Fold>(&bytes).unwrap().resume();
                    }
                }
            }
        }
        let line = |one: &Folded| format!("{} {} {}", one.name.series, one.ts_ms, one.value.to_bits());
        feed.folded.iter().map(line).collect::<Vec<_>>()
    };
    let whole = run(None);
    assert!(whole.len() > 150, "{}", whole.len());
    for every in [1, 2, 3, 7] {
        assert_eq!(run(Some(every)), whole);
    }
}
