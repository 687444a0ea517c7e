//! The naive way beside ours: three deviations of the last 240 samples.

use std::collections::VecDeque;

use crate::shop::{Noise, SERVICES, START_MS, Source, healthy};

const WINDOW: usize = 240;
const WARM_UP: usize = 30;
const DEVIATIONS: f64 = 3.0;

/// A window of one series.
#[derive(Default)]
pub(crate) struct Naive {
    window: VecDeque<f64>,
    sum: f64,
    squares: f64,
}

impl Naive {
    /// Tells whether a sample is an alarm, and takes it into the window.
    pub(crate) fn alarms(&mut self, value: f64) -> bool {
        let count = self.window.len() as f64;
        let mean = self.sum / count.max(1.0);
        let deviation = (self.squares / count.max(1.0) - mean * mean).max(0.0).sqrt();
        let alarms = self.window.len() >= WARM_UP && (value - mean).abs() > DEVIATIONS * deviation;
        self.window.push_back(value);
        self.sum += value;
        self.squares += value * value;
        if self.window.len() > WINDOW
            && let Some(oldest) = self.window.pop_front()
        {
            self.sum -= oldest;
            self.squares -= oldest * oldest;
        }
        alarms
    }
}

/// Counts the runs of alarms of the whole healthy shop.
pub(crate) fn quiet(noise: Noise, interval_ms: i64, samples: i64, seed: u64) -> u32 {
    let mut runs = 0;
    for (service, (_, bases)) in SERVICES.iter().enumerate() {
        for (metric, base) in bases.iter().enumerate() {
            let mut source = Source::new(noise, seed * 1000 + (service * 7 + metric) as u64);
            let (mut naive, mut before) = (Naive::default(), false);
            for i in 0..samples {
                let value = healthy(*base, metric, START_MS + i * interval_ms, &mut source);
                let alarms = naive.alarms(value);
                runs += u32::from(alarms && !before);
                before = alarms;
            }
        }
    }
    runs
}
