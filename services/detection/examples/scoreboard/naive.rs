//! The naive way beside ours: three deviations of the last 240 samples.

use std::collections::VecDeque;

const WINDOW: usize = 240;
const WARM_UP: usize = 30;
const DEVIATIONS: f64 = 3.0;

/// A window of one series.
#[derive(Debug, Default, Clone)]
pub(crate) struct Naive {
    window: VecDeque<f64>,
    sum: f64,
    squares: f64,
    alarms: bool,
}

/// What a sample is to the naive way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Alarm {
    None,
    /// The first of a run of alarms.
    Begins,
    Lasts,
}

impl Naive {
    /// Judges a sample, and takes it into the window.
    pub(crate) fn take(&mut self, value: f64) -> Alarm {
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
        match (std::mem::replace(&mut self.alarms, alarms), alarms) {
            (_, false) => Alarm::None,
            (false, true) => Alarm::Begins,
            (true, true) => Alarm::Lasts,
        }
    }
}
