//! What the shop reports while all is well.

use std::collections::{BTreeMap, BTreeSet};

use shared::events::Event;
use shared::events::fault::Scenario;
use shared::events::raw::Level;
use simulator::Faults;
use simulator::Noise;
use simulator::Options;
use simulator::service::{CALLS, Metric, Service};

use crate::{run, series};

const SHAPES: [Noise; 3] = [Noise::Gaussian, Noise::Skewed, Noise::Bursty];

#[test]
fn the_same_seed_is_the_same_run_and_another_is_not() {
    for noise in SHAPES {
        let options = Options { noise, ..Options::default() };
        let first = run(options.clone(), 300);
        assert_eq!(first, run(options.clone(), 300));
        assert_ne!(first, run(Options { seed: 2, ..options }, 300));
    }
}

#[test]
fn a_quiet_run_has_no_fault_and_stays_near_its_baseline() {
    for noise in SHAPES {
        let ticks = run(Options { noise, faults: Faults::Quiet, ..Options::default() }, 8_640);
        assert!(ticks.iter().all(|tick| tick.faults.is_empty()));
        for service in Service::ALL {
            for metric in Metric::ALL {
                let values = series(&ticks, service.name(), metric);
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let base = service.baseline()[metric];
                assert!(
                    (mean - base).abs() <= 0.02 * base,
                    "{noise:?} {} {metric:?}: {mean}",
                    service.name()
                );
            }
        }
        let lines = ticks.iter().flat_map(|tick| &tick.logs);
        let errors = lines.clone().filter(|line| line.level >= Level::Error).count() as f64;
        assert!(errors / (lines.count() as f64) < 0.01);
    }
}

#[test]
fn every_record_is_one_its_readers_accept() {
    for noise in SHAPES {
        for scenario in Scenario::ALL {
            let faults = Faults::Repeat(Some(scenario));
            for tick in run(Options { noise, faults, first_fault_after: 1, ..Options::default() }, 120) {
                for sample in &tick.metrics {
                    sample.validate().unwrap();
                    let most = match sample.unit.as_deref() {
                        Some("%" | "connections") => 100.0,
                        Some("s") => 90.0 * 86_400.0,
                        _ => 1e6,
                    };
                    assert!((0.0..=most).contains(&sample.value), "{sample:?}");
                }
                tick.logs.iter().for_each(|line| line.validate().unwrap());
                tick.deployments.iter().for_each(|change| change.validate().unwrap());
                for span in &tick.spans {
                    span.validate().unwrap();
                    assert!(span.duration_ms > 0.0);
                    assert!(
                        span.ts_ms + span.duration_ms as i64 <= tick.ts_ms,
                        "{span:?} ends in the future"
                    );
                }
                assert!(tick.logs.is_sorted_by_key(|line| line.ts_ms));
                assert!(tick.logs.iter().all(|line| (tick.ts_ms - 9_999..=tick.ts_ms).contains(&line.ts_ms)));
                assert!(tick.logs.iter().all(|line| !line.message.contains(['{', '}'])));
            }
        }
    }
}

#[test]
fn spans_draw_exactly_the_call_graph_with_parents_around_children() {
    let mut edges = BTreeSet::new();
    for tick in run(Options { faults: Faults::Quiet, ..Options::default() }, 50) {
        let by_id: BTreeMap<_, _> = tick.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        assert_eq!(by_id.len(), tick.spans.len(), "span ids are unique");
        for span in &tick.spans {
            let Some(parent) = span.parent_span_id.as_deref() else { continue };
            let parent = by_id[parent];
            assert_eq!(parent.trace_id, span.trace_id);
            assert!(parent.ts_ms <= span.ts_ms && parent.duration_ms >= span.duration_ms);
            edges.insert((parent.service.clone(), span.service.clone()));
        }
    }
    let called = CALLS.map(|call| (call.caller.name().to_owned(), call.callee.name().to_owned()));
    assert_eq!(edges, BTreeSet::from(called));
}
