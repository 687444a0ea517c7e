//! Numbers in two bytes, for tables of which each series has many.

use serde::{Deserialize, Serialize};

/// A number in two bytes: the upper half of an `f32`, rounded; three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u8; 2]", into = "[u8; 2]")]
pub(crate) struct Half(u16);

impl Default for Half {
    /// Returns nothing.
    fn default() -> Self {
        Self::of(f64::NAN)
    }
}

impl From<[u8; 2]> for Half {
    fn from(bytes: [u8; 2]) -> Self {
        Self(u16::from_le_bytes(bytes))
    }
}

impl From<Half> for [u8; 2] {
    fn from(half: Half) -> Self {
        half.0.to_le_bytes()
    }
}

impl Half {
    pub(crate) const ZERO: Self = Self(0);

    /// Returns the nearest to a number.
    pub(crate) fn of(value: f64) -> Self {
        let largest = f64::from(f32::MAX) / 2.0;
        let bits = (value.clamp(-largest, largest) as f32).to_bits();
        Self((bits.saturating_add(0x8000) >> 16) as u16)
    }

    /// Returns the number; NaN where there is none.
    pub(crate) fn value(self) -> f64 {
        f64::from(f32::from_bits(u32::from(self.0) << 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_from_any_number() {
        assert!(Half::default().value().is_nan() && Half::ZERO.value().abs() < f64::MIN_POSITIVE);
    }

    #[test]
    fn three_digits_are_kept() {
        for value in [0.0, 1.0, -1.0, 123.4, 1e-9, -7.6e12, 1e300] {
            let kept = Half::of(value).value();
            let limited = value.min(1e38);
            assert!((kept - limited).abs() <= 0.004 * limited.abs() || value > 1e38, "{value} {kept}");
            assert!(kept.is_finite());
            assert_eq!(Half::from(<[u8; 2]>::from(Half::of(value))), Half::of(value));
        }
    }
}
