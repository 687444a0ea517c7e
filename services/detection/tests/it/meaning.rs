//! What a series is, and what its deviations mean, beside others of its service.

use detection::Settings;
use detection::metric_profile::Override;
use shared::events::Severity;
use shared::events::anomaly::{Direction, Status};

use crate::feed::{Feed, Row, healthy, row};
use crate::shop::Source;

/// Draws a number of events with a mean.
fn poisson(mean: f64, noise: &mut Source) -> f64 {
    // Knuth, The Art of Computer Programming 2 (1969); the normal deviate stands for a uniform one
    let (mut count, mut product, limit) = (0.0, uniform(noise), (-mean).exp());
    while product > limit {
        count += 1.0;
        product *= uniform(noise);
    }
    count
}

fn uniform(noise: &mut Source) -> f64 {
    let (a, b) = (noise.normal(), noise.normal());
    (-(a * a + b * b) / 2.0).exp()
}

#[test]
fn a_share_of_a_handful_of_requests_is_a_suspicion_at_most() {
    for (metric, unit, scale, is_success) in [
        ("error_rate", Some("%"), 100.0, false),
        ("error_rate", None, 100.0, false),
        ("error_ratio", Some("1"), 1.0, false),
        ("request_success_ratio", None, 1.0, true),
        ("http_success_percent", Some("%"), 100.0, true),
    ] {
        for mean in [0.4, 2.0] {
            let mut feed = Feed::new(60_000);
            feed.rounds(3 * 1440, |_, noise| {
                let count = poisson(mean, noise);
                let failed = (0..count as usize).filter(|_| uniform(noise) < 0.02).count() as f64;
                let share = if count > 0.0 { failed / count } else { 0.0 };
                let share = if is_success { 1.0 - share } else { share };
                let share = Row { unit, ..row("backoffice", metric, scale * share) };
                vec![row("backoffice", "request_rate", (count / 60.0 * 1e6).round() / 1e6), share]
            });
            // nor are minutes without a request an outage
            let firing = feed.told.iter().filter(|one| one.status == Status::Firing);
            let fired: Vec<&str> = firing.map(|one| one.explanation.as_str()).collect();
            assert!(fired.is_empty(), "{metric} {unit:?} {mean}: {fired:#?}");
        }
    }
}

#[test]
fn two_failures_in_a_quiet_morning_are_a_suspicion_with_its_reason() {
    for (unit, scale) in [(Some("%"), 50.0), (None, 50.0), (Some("1"), 0.5)] {
        let mut feed = Feed::new(60_000);
        feed.rounds(300, |round, _| {
            let is_bad = (240..242).contains(&round);
            let share = Row { unit, ..row("backoffice", "error_rate", if is_bad { scale } else { 0.0 }) };
            let count = if is_bad { 2.0 } else { [1.0, 2.0, 2.0, 3.0][round as usize % 4] };
            vec![row("backoffice", "request_rate", count / 60.0), share]
        });
        assert!(feed.fired().is_empty(), "{unit:?}: {}", feed.lines());
        assert!(
            feed.of("error_rate").iter().any(|one| one.explanation.contains("too few")),
            "{}",
            feed.lines()
        );
    }
}

#[test]
fn a_true_surge_fires_as_fast_as_without_a_denominator() {
    for (rate, every_ms) in [(200.0, 10_000), (20.0, 10_000), (5.0, 60_000)] {
        let mut took = Vec::new();
        for is_known in [true, false] {
            let mut feed = Feed::new(every_ms);
            feed.rounds(240, |round, noise| {
                let share = if round >= 200 { 30.0 } else { (0.5 + 0.1 * noise.draw()).max(0.0) };
                let mut rows = if is_known { healthy("order", rate, noise) } else { Vec::new() };
                rows.push(row("order", "error_rate", share).in_unit("%"));
                rows
            });
            let first = feed.of("error_rate").into_iter().find(|one| one.status == Status::Firing);
            let first = first.unwrap_or_else(|| panic!("{rate}: {}", feed.lines()));
            assert_eq!(first.severity, Severity::Sev1);
            took.push(first.observed_at);
        }
        assert_eq!(took[0], took[1], "{rate}");
    }
}

#[test]
fn a_cache_that_misses_fires_and_one_of_few_requests_does_not() {
    for (requests, lasts, fires) in [(6000.0, 6, true), (2.0, 2, false)] {
        let mut feed = Feed::new(60_000);
        feed.rounds(300, |round, _| {
            let hit = if (240..240 + lasts).contains(&round) { 0.5 } else { 1.0 };
            vec![row("cache", "cache_requests_per_minute", requests), row("cache", "cache_hit_ratio", hit)]
        });
        assert_eq!(
            feed.fired().contains(&("cache", "cache_hit_ratio")),
            fires,
            "{requests}: {}",
            feed.lines()
        );
    }
}

#[test]
fn what_rises_and_falls_is_no_counter_whatever_it_is_called() {
    for (metric, every_ms) in [
        ("scheduler_queued_jobs_total", 10_000),
        ("active_sessions_total", 60_000),
        ("open_carts_total", 1000),
    ] {
        let mut feed = Feed::new(every_ms);
        feed.rounds(1080, |round, noise| {
            let phase = (round % 30) as f64;
            let level = if phase < 24.0 { 4.0 + 56.0 * phase / 24.0 } else { 6.0 + 0.6 * (phase - 24.0) };
            let mut rows = healthy("scheduler", 60.0, noise);
            rows.push(row("scheduler", metric, (level + uniform(noise) * 2.0).round()));
            rows
        });
        assert!(feed.fired().is_empty(), "{metric}: {}", feed.lines());
    }
}

#[test]
fn what_only_grows_is_a_counter_whatever_it_is_called() {
    let mut feed = Feed::new(10_000);
    let mut count = 1e6;
    feed.rounds(600, |round, noise| {
        count += if round >= 500 { 40.0 } else { 2000.0 + 80.0 * noise.draw() };
        vec![row("order", "http_requests", count)]
    });
    assert_eq!(feed.fired(), [("order", "http_requests")], "{}", feed.lines());
    let first = feed.of("http_requests")[0];
    assert_eq!((first.unit.as_str(), first.direction), ("1/s", Direction::Down));
    assert!(first.observed < 10.0, "{}", feed.lines());
}

#[test]
fn a_counter_of_errors_that_is_born_loud_is_found_and_one_that_is_born_low_does_not_fire() {
    for (each_s, fires) in [(30.0, true), (0.2, false)] {
        for metric in ["http_5xx_total", "checkout_failures_total"] {
            let (mut feed, mut errors) = (Feed::new(10_000), 0.0);
            feed.rounds(1080, |round, noise| {
                let mut rows = healthy("order", 200.0, noise);
                if round >= 720 {
                    errors += 10.0 * each_s * (1.0 + 0.07 * noise.draw());
                    rows.push(row("order", metric, f64::round(errors)));
                }
                rows
            });
            assert!(!feed.of(metric).is_empty(), "{metric} {each_s}");
            assert_eq!(!feed.fired().is_empty(), fires, "{metric} {each_s}: {}", feed.lines());
        }
    }
}

#[test]
fn instances_that_are_replaced_one_after_another_are_no_crash_loop() {
    for each in [6, 12, 3] {
        let mut feed = Feed::new(10_000);
        feed.rounds(720, |round, noise| {
            let done = if round >= 360 { ((round - 360) / each + 1).min(6) } else { 0 };
            let latest = if done > 0 { 1_750_003_600 + (done - 1) * each * 10 } else { 1_749_600_000 };
            let mut rows = healthy("cart", 60.0, noise);
            rows.push(row("cart", "process_start_time_seconds", latest as f64));
            rows
        });
        assert!(feed.fired().is_empty(), "{each}: {}", feed.lines());
        assert!(feed.of("restarts").iter().any(|one| one.status == Status::Suspect));
    }
}

#[test]
fn a_crash_loop_that_users_notice_fires() {
    let mut feed = Feed::new(10_000);
    feed.rounds(540, |round, noise| {
        let is_looping = round >= 360;
        let started = if is_looping { 1_750_003_600 + (round - 360) / 9 * 90 } else { 1_749_600_000 };
        let mut rows = healthy("cart", if is_looping { 25.0 } else { 60.0 }, noise);
        rows.push(row("cart", "process_start_time_seconds", started as f64));
        rows
    });
    assert!(feed.fired().contains(&("cart", "restarts")), "{}", feed.lines());
}

#[test]
fn figures_for_each_instance_that_fall_as_instances_are_added_are_a_suspicion() {
    for (metric, instances) in [
        ("requests_per_pod", false),
        ("RequestCountPerTarget", false),
        ("requests_per_instance", false),
        ("request_rate", true),
    ] {
        for (half, is_hurt) in [(0.5, false), (0.5, true)] {
            let mut feed = Feed::new(10_000);
            feed.rounds(720, |round, noise| {
                let half = if round >= 480 { half } else { 1.0 };
                let latency = if is_hurt && round >= 470 { 2000.0 } else { 240.0 };
                let mut rows = vec![
                    row("feed", "latency_p99_ms", latency + 10.0 * noise.draw()),
                    row("feed", metric, 60.0 * half * (1.0 + 0.04 * noise.draw())),
                    row("feed", "cpu_percent", 10.0 + 36.0 * half + noise.draw()),
                    row("feed", "error_rate", (0.3 + 0.1 * noise.draw()).abs()),
                ];
                if instances {
                    rows.insert(0, row("feed", "replicas", if round >= 480 { 6.0 } else { 3.0 }));
                }
                rows
            });
            let has_fired = feed.fired().contains(&("feed", metric));
            assert_eq!(has_fired, is_hurt, "{metric}: {}", feed.lines());
            assert!(feed.of(metric).iter().any(|one| one.direction == Direction::Down), "{metric}");
        }
    }
}

#[test]
fn the_unit_of_each_sample_counts() {
    for (before, after) in [("s", "ms"), ("ms", "s"), ("us", "ms"), ("ms", "ns")] {
        let in_ms = |unit: &str| match unit {
            "s" => 1e-3,
            "us" => 1e3,
            "ns" => 1e6,
            _ => 1.0,
        };
        let mut feed = Feed::new(10_000);
        feed.rounds(960, |round, noise| {
            let unit = if round < 480 { before } else { after };
            vec![
                row("search", "http_server_duration", (120.0 + 5.0 * noise.draw()) * in_ms(unit))
                    .in_unit(unit),
            ]
        });
        assert!(feed.fired().is_empty(), "{before} to {after}: {}", feed.lines());
        assert_eq!(feed.partition.series(), 1);
    }
    let mut other = Feed::new(10_000);
    other.rounds(400, |round, noise| {
        let (value, unit) = if round < 200 { (5.0, "{job}") } else { (4e6, "By") };
        vec![row("search", "queued", value * (1.0 + 0.02 * noise.draw())).in_unit(unit)]
    });
    assert!(other.told.is_empty() && other.partition.series() == 2, "{}", other.lines());
}

#[test]
fn a_level_that_changes_by_the_factor_of_a_unit_is_a_suspicion_that_says_so() {
    for (metric, level, factor) in [
        ("http_server_duration", 0.12, 1000.0),
        ("memory_used", 3e6, 1024.0),
        ("requests", 5.0, 60.0),
        ("saturation", 0.4, 100.0),
        ("request_throughput", 6000.0, 1.0 / 60.0),
    ] {
        let of = |factor: f64| {
            let mut feed = Feed::new(10_000);
            feed.rounds(320, |round, noise| {
                let value = level * (1.0 + 0.03 * noise.draw());
                vec![row("search", metric, if round < 240 { value } else { value * factor })]
            });
            feed
        };
        let changed = of(factor);
        assert!(changed.fired().is_empty(), "{metric}: {}", changed.lines());
        assert!(
            changed.of(metric).iter().any(|one| one.explanation.contains("change of unit")),
            "{metric}: {}",
            changed.lines()
        );
        assert_eq!(of(factor * 1.7).fired(), [("search", metric)]);
    }
}

#[test]
fn what_uses_up_little_of_the_room_is_a_suspicion() {
    for (metric, level, more, fires) in [
        ("disk_used_percent", 70.0, 2.0, false),
        ("disk_used_percent", 70.0, 9.0, true),
        ("disk_used_percent", 70.0, 22.0, true),
        ("memory_percent", 40.0, 4.0, false),
        ("disk_used_bytes", 8e11, 2e10, false),
        ("disk_used_bytes", 8e11, 2e11, true),
    ] {
        let mut feed = Feed::new(60_000);
        feed.rounds(400, |round, noise| {
            let value = if round < 300 { level } else { level + more };
            vec![row("db", metric, value * (1.0 + 0.0005 * noise.draw()))]
        });
        assert_eq!(feed.fired().contains(&("db", metric)), fires, "{metric} {more}: {}", feed.lines());
        assert!(!feed.of(metric).is_empty(), "{metric} {more}");
    }
}

#[test]
fn an_objective_is_missed_from_the_first_samples_on_and_only_in_its_service() {
    let objective = Override {
        metric: "latency_p99_*".into(),
        service: Some("pay*".into()),
        objective: Some(500.0),
        ..Override::default()
    };
    let silent = Override { metric: "error_rate".into(), silent: Some(true), ..Override::default() };
    let settings = Settings { partitions: 1, metrics: vec![objective, silent], ..Settings::default() };
    let mut feed = Feed::with(settings, 10_000);
    feed.rounds(80, |round, _| {
        let latency = if round < 40 { 900.0 } else { 300.0 };
        let errors = if (40..60).contains(&round) { 60.0 } else { 0.5 };
        vec![
            row("payment", "latency_p99_ms", latency),
            row("payment", "error_rate", errors).in_unit("%"),
            row("order", "latency_p99_ms", 900.0),
        ]
    });
    let told: Vec<_> = feed.of("latency_p99_ms:objective").iter().map(|one| one.status).collect();
    assert_eq!(told, [Status::Suspect, Status::Firing, Status::Cleared], "{}", feed.lines());
    assert!(feed.told.iter().all(|one| one.service == "payment"), "{}", feed.lines());
    assert_eq!(feed.fired(), [("payment", "latency_p99_ms:objective")], "{}", feed.lines());

    let mut full = Feed::new(60_000);
    full.rounds(20, |_, _| {
        vec![row("db", "disk_used_percent", 97.0), row("db", "disk_b_used_percent", 80.0)]
    });
    assert_eq!(full.fired(), [("db", "disk_used_percent:objective")], "{}", full.lines());
}

#[test]
fn a_counter_of_errors_that_was_late_is_like_any_other_a_while_later() {
    let (mut feed, mut errors) = (Feed::new(10_000), 0.0);
    feed.rounds(1080, |round, noise| {
        if round >= 360 {
            errors += if round >= 900 { 5000.0 } else { 2.0 } * (1.0 + 0.1 * noise.draw());
        }
        let cpu = row("worker", "cpu_percent", 24.0 + noise.draw());
        if round >= 360 {
            vec![cpu, row("worker", "job_errors_total", f64::round(errors))]
        } else {
            vec![cpu]
        }
    });
    assert_eq!(feed.fired(), [("worker", "job_errors_total")], "{}", feed.lines());
}

#[test]
fn what_grows_at_first_and_falls_later_is_no_counter() {
    let mut feed = Feed::new(10_000);
    feed.rounds(1080, |round, noise| {
        let level = if round < 60 { 20.0 + 2.0 * round as f64 } else { 140.0 + 6.0 * noise.draw() };
        let mut rows = healthy("order", 200.0, noise);
        rows.push(row("order", "orders_open", if round < 1000 { level } else { 8.0 * level }.round()));
        rows
    });
    assert_eq!(feed.fired(), [("order", "orders_open")], "{}", feed.lines());
    assert_eq!(feed.of("orders_open").last().unwrap().unit, "", "it is judged by its values");
}
