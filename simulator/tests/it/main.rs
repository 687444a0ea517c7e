//! The shop from outside: what it reports while all is well, while something burns, and how that reaches Kafka.

mod delivery;
mod faults;
mod healthy;
mod otlp;
mod unchanged;

use shared::events::fault::Scenario;
use simulator::Decoys;
use simulator::Faults;
use simulator::Noise;
use simulator::service::Metric;
use simulator::{Options, Shop, Tick};

/// An event time: Monday morning.
const START_MS: i64 = 1_767_600_000_000;

/// Runs `ticks` ticks.
fn run(options: Options, ticks: usize) -> Vec<Tick> {
    let interval = options.interval_ms as i64;
    let mut shop = Shop::new(options);
    (0..ticks as i64).map(|number| shop.tick(START_MS + number * interval)).collect()
}

/// One fault from tick 5 on, and nothing else that moves.
fn exact(scenario: Scenario) -> Options {
    Options {
        noise: Noise::Off,
        daily_amplitude: 0.0,
        faults: Faults::Once(Some(scenario)),
        first_fault_after: 5,
        decoys: Decoys::None,
        ..Options::default()
    }
}

/// Returns the values of one series.
fn series(ticks: &[Tick], service: &str, metric: Metric) -> Vec<f64> {
    ticks
        .iter()
        .flat_map(|tick| &tick.metrics)
        .filter(|sample| sample.service == service && sample.metric == metric.name())
        .map(|sample| sample.value)
        .collect()
}
