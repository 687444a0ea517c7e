//! Dead series make room for new ones, and a limit that is reached is said.

use detection::Settings;
use shared::events::anomaly::Status;

use crate::feed::{Feed, row};

/// Instances with names of their own, five at a time; in the last generation half of all requests fail.
fn generations(settings: Settings, count: i64, rounds: i64) -> Feed {
    let mut feed = Feed::with(settings, 30_000);
    for generation in 0..count {
        feed.rounds(rounds, |round, noise| {
            let is_bad = generation == count - 1 && round >= rounds - 40;
            (0..5)
                .flat_map(|instance| {
                    let name = format!("{generation:02x}{instance}f");
                    let errors = (0.4 + 0.1 * noise.draw()).abs() + if is_bad { 50.0 } else { 0.0 };
                    [
                        row("cart", &format!("error_rate.cart-{name}"), errors).in_unit("%"),
                        row("cart", &format!("latency_p99_ms.cart-{name}"), 240.0 + 9.0 * noise.draw()),
                    ]
                })
                .collect()
        });
    }
    feed
}

#[test]
fn series_of_instances_that_are_gone_make_room_for_those_that_live() {
    let settings = Settings { max_series_per_service: 40, partitions: 1, ..Settings::default() };
    let feed = generations(settings.clone(), 12, 120);
    assert_eq!(feed.dropped, 0, "{}", feed.lines());
    assert!(feed.partition.series() <= 40);
    let fired = feed.fired().into_iter().map(|(_, metric)| metric);
    let fired: Vec<&str> = fired.filter(|metric| *metric != "joint").collect();
    assert_eq!(
        fired.iter().filter(|metric| metric.starts_with("error_rate.cart-0b")).count(),
        5,
        "{fired:?}"
    );
    assert!(fired.iter().all(|metric| metric.contains("cart-0b")), "{}", feed.lines());

    // the room of the partition, in services that are gone
    let settings = Settings { max_series: 40, max_series_per_service: 40, ..settings };
    let mut feed = Feed::with(settings, 30_000);
    for service in ["a", "b", "c", "d", "e", "f"] {
        feed.rounds(100, |_, noise| {
            (0..10).map(|i| row(service, &format!("m{i}"), 100.0 + noise.draw())).collect()
        });
    }
    assert!(feed.dropped < 3000, "{}", feed.dropped);
    assert!(feed.of("m9").is_empty());
}

#[test]
fn too_many_series_that_live_are_said() {
    let settings = Settings { max_series_per_service: 20, partitions: 1, ..Settings::default() };
    let mut feed = Feed::with(settings, 30_000);
    feed.rounds(60, |_, noise| {
        (0..25).map(|i| row("cart", &format!("m{i}"), 100.0 + noise.draw())).collect()
    });
    let told: Vec<Status> = feed.of("unusable_samples").iter().map(|one| one.status).collect();
    assert_eq!(told, [Status::Suspect, Status::Firing], "{}", feed.lines());
    assert_eq!(feed.fired(), [("cart", "unusable_samples")]);
}
