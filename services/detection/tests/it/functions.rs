//! Functions that a platform runs: what runs into its timeout is found from its first samples on, and the start of an instance
//! is none of it.

use shared::events::Severity;
use shared::events::anomaly::Status;

use crate::feed::{Feed, row};
use crate::logs::Log;

/// Gives samples of a function that is cut off after three seconds: the longest run of each minute, ms.
fn runs(feed: &mut Feed, minutes: i64, longest: impl Fn(i64) -> f64) {
    feed.rounds(minutes, |minute, noise| {
        vec![
            row("resize", "lambda_duration_max_ms", longest(minute) + noise.draw()),
            row("resize", "lambda_init_duration_ms", if minute % 7 == 0 { 4000.0 } else { 600.0 }),
            row("resize", "lambda_timeout_seconds", 3.0),
        ]
    });
}

#[test]
fn a_function_that_runs_into_its_timeout_from_the_first_sample_on_is_found() {
    let mut feed = Feed::new(60_000);
    runs(&mut feed, 20, |_| 2999.0);
    let last = feed.of("lambda_duration_max_ms:objective").pop().unwrap();
    assert_eq!((last.status, last.severity), (Status::Firing, Severity::Sev2));
    runs(&mut feed, 5, |_| 800.0);
    let last = feed.of("lambda_duration_max_ms:objective").pop().unwrap();
    assert_eq!(last.status, Status::Cleared);
    insta::assert_snapshot!(feed.lines());
}

#[test]
fn a_run_now_and_then_that_is_long_and_the_start_of_instances_are_no_finding() {
    let mut feed = Feed::new(60_000);
    runs(&mut feed, 300, |minute| if minute % 40 == 39 { 2999.0 } else { 800.0 });
    assert!(feed.told.iter().all(|one| one.status != Status::Firing), "{}", feed.lines());
}

#[test]
fn what_platforms_write_of_a_timeout_is_an_error_though_they_give_it_no_level() {
    for (line, fires) in [
        (
            "2026-01-05T10:00:00.{}Z 8f5c2f1e-0b1c-4c7e-9d3a-0123456789ab Task timed out after 3.00 seconds",
            true,
        ),
        (
            "REPORT RequestId: {} Duration: 3000.00 ms Billed Duration: 3000 ms Memory Size: 128 MB Status: timeout",
            true,
        ),
        ("Function execution took 60002 ms, finished with status: 'timeout'", true),
        ("Timeout value of 00:05:00 was exceeded by function: Functions.Resize {}", true),
        ("INIT_REPORT Init Duration: 9999.51 ms Phase: init Status: timeout", false),
        (
            "REPORT RequestId: {} Duration: 812.41 ms Billed Duration: 813 ms Memory Size: 128 MB Init Duration: 402.11 ms",
            false,
        ),
    ] {
        let mut log = Log::new();
        for second in 0..3_000 {
            log.write(
                "resize",
                "INFO",
                &format!("image {second} resized in {} ms", 9 + second % 70),
                second * 1000,
            );
            if second >= 2_400 && second % 10 == 4 {
                log.write("resize", "INFO", &line.replace("{}", &second.to_string()), second * 1000 + 5);
            }
        }
        assert_eq!(!log.fired().is_empty(), fires, "{line}: {:?}", log.fired());
    }
}
