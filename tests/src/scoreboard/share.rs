//! Shares of cases, with their intervals.

use std::fmt;

/// A number of cases out of all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    /// Those that count.
    pub hits: u32,
    /// All.
    pub all: u32,
}

impl Share {
    /// Adds a case.
    pub fn add(&mut self, hit: bool) {
        self.hits += u32::from(hit);
        self.all += 1;
    }

    /// Adds the cases of another share.
    pub fn merge(&mut self, other: Self) {
        self.hits += other.hits;
        self.all += other.all;
    }

    /// Returns the share, 0 where there is no case.
    pub fn value(self) -> f64 {
        f64::from(self.hits) / f64::from(self.all.max(1))
    }

    /// Returns the Wilson score interval at 95 % (E. B. Wilson, Probable inference, 1927).
    pub fn interval(self) -> (f64, f64) {
        const Z: f64 = 1.96;
        if self.all == 0 {
            return (0.0, 1.0);
        }
        let (number, share) = (f64::from(self.all), self.value());
        let width = 1.0 + Z * Z / number;
        let center = (share + Z * Z / (2.0 * number)) / width;
        let half = Z * (share * (1.0 - share) / number + Z * Z / (4.0 * number * number)).sqrt() / width;
        ((center - half).max(0.0), (center + half).min(1.0))
    }
}

impl fmt::Display for Share {
    /// The share and its interval; a dash where there is no case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all == 0 {
            return f.write_str("-");
        }
        let (from, to) = self.interval();
        write!(f, "{:.3} ({from:.2}-{to:.2})", self.value())
    }
}
