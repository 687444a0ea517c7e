//! What makes healthy telemetry restless: the time of day, and noise.

use std::f64::consts::TAU;

use clap::ValueEnum;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::service::Metric;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// Hour of the day, UTC, at which load is highest.
const PEAK_HOUR: f64 = 15.0;
/// Spread of the logarithm of skewed noise: skewness 1.3, one sample in 30,000 more than eight deviations out.
const SKEW: f64 = 0.4;
/// A calm series enters a burst once in this many ticks.
const BURST_EVERY: f64 = 300.0;
/// A burst lasts this many ticks on average.
const BURST_LENGTH: f64 = 6.0;
/// A burst is this much noisier.
const BURST_GAIN: f64 = 3.0;

/// Share of a change of traffic that CPU use follows.
pub(crate) const CPU_FOLLOWS: f64 = 0.6;

/// The shape of noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Noise {
    /// Symmetric, with thin tails.
    #[default]
    Gaussian,
    /// A shifted lognormal: most samples a little low, a few far too high.
    Skewed,
    /// Gaussian, three times as wide during bursts.
    Bursty,
    /// No noise; with a flat day, the exact expected values.
    Off,
}

/// Noise of one series.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    bursting: bool,
}

impl Source {
    /// Draws the next deviation: mean 0, standard deviation 1 (outside of bursts).
    ///
    /// Errors are skewed whatever the shape of the others: they are few and cannot be negative.
    pub(crate) fn next(&mut self, shape: Noise, metric: Metric, rng: &mut ChaCha8Rng) -> f64 {
        // both are drawn in any case, so that all shapes and all faults consume the same randomness
        let normal: f64 = rng.sample(StandardNormal);
        let chance: f64 = rng.random();
        let deviation = match metric {
            Metric::ErrorRate => skewed(normal),
            _ => normal,
        };
        match shape {
            Noise::Gaussian => deviation,
            Noise::Skewed => skewed(normal),
            Noise::Bursty => {
                let turn = if self.bursting { 1.0 / BURST_LENGTH } else { 1.0 / BURST_EVERY };
                self.bursting ^= chance < turn;
                if self.bursting { BURST_GAIN * deviation } else { deviation }
            }
            Noise::Off => 0.0,
        }
    }
}

/// Bends a standard normal deviate into a lognormal one, moved and scaled to mean 0 and deviation 1.
fn skewed(normal: f64) -> f64 {
    let variance = SKEW * SKEW;
    let mean = (variance / 2.0).exp();
    let deviation = mean * (variance.exp() - 1.0).sqrt();
    ((SKEW * normal).exp() - mean) / deviation
}

/// Returns the standard deviation of a metric whose healthy value is `base` and to which a fault adds `extra`.
///
/// What a fault adds is noisy where it stands for many requests, and steady where it fills something up.
pub fn spread(metric: Metric, base: f64, extra: f64) -> f64 {
    match metric {
        Metric::RequestRate | Metric::LatencyP99 => 0.05 * (base + extra),
        Metric::ErrorRate | Metric::CpuSteal => 0.2 * base + 0.05 * extra,
        Metric::Cpu => 0.05 * base,
        Metric::Memory => 0.025 * base,
        Metric::DbConnections => 1.0,
        Metric::ConsumerLag => 0.08 * base + 0.02 * extra,
        Metric::Disk => 0.3,
        Metric::CertificateExpiry => 0.0,
    }
}

/// Returns what the time of day multiplies a healthy metric by: a smooth curve around 1, `amplitude` high for traffic,
/// and lower for what only partly follows traffic.
pub(crate) fn daily(metric: Metric, ts_ms: i64, amplitude: f64) -> f64 {
    let follows = match metric {
        Metric::RequestRate => 1.0,
        Metric::Cpu => CPU_FOLLOWS,
        Metric::LatencyP99 => 0.3,
        _ => 0.0,
    };
    let hour = ts_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64 * 24.0;
    1.0 + follows * amplitude * (TAU * (hour - PEAK_HOUR) / 24.0).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn draw(shape: Noise) -> Vec<f64> {
        let (mut source, mut rng) = (Source::default(), ChaCha8Rng::seed_from_u64(1));
        (0..40_000).map(|_| source.next(shape, Metric::Cpu, &mut rng)).collect()
    }

    fn moment(sample: &[f64], power: i32) -> f64 {
        sample.iter().map(|value| value.powi(power)).sum::<f64>() / sample.len() as f64
    }

    #[test]
    fn noise_has_the_spread_it_claims_and_only_skewed_noise_leans() {
        for (shape, deviation, skewness) in
            [(Noise::Gaussian, 1.0, 0.0), (Noise::Skewed, 1.0, 1.3), (Noise::Bursty, 1.07, 0.0)]
        {
            let sample = draw(shape);
            assert!(moment(&sample, 1).abs() < 0.03, "{shape:?} drifts");
            let seen = moment(&sample, 2).sqrt();
            assert!((seen - deviation).abs() < 0.03, "{shape:?} spreads by {seen}");
            let seen = moment(&sample, 3) / seen.powi(3);
            assert!((seen - skewness).abs() < 0.2, "{shape:?} leans by {seen}");
        }
    }

    #[test]
    fn traffic_follows_the_day_and_latency_less() {
        let hour = 3_600_000;
        assert!((daily(Metric::RequestRate, 15 * hour, 0.25) - 1.25).abs() < 1e-9);
        assert!((daily(Metric::RequestRate, 3 * hour, 0.25) - 0.75).abs() < 1e-9);
        assert!((daily(Metric::LatencyP99, 15 * hour, 0.25) - 1.075).abs() < 1e-9);
        assert!((daily(Metric::Memory, 15 * hour, 0.25) - 1.0).abs() < 1e-9);
    }
}
