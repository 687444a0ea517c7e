//! Values counted in buckets: what came since an earlier count, sums over replicas, and quantiles.

use serde::{Deserialize, Serialize};
use shared::events::raw::{ExponentialBuckets, Histogram};

/// Most exponential buckets of one side; beyond it the resolution is halved.
const MAX_SIDE: usize = 160;
/// Coarsest scale: one bucket for each factor of 65,536.
const MIN_SCALE: i32 = -4;

/// Counts in buckets. Fractions are allowed: Prometheus has histograms of floats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Buckets {
    /// Buckets up to explicit bounds, and one more without a bound.
    Explicit {
        /// Upper bounds, ascending.
        bounds: Vec<f64>,
        /// One more than bounds; not those of the buckets below.
        counts: Vec<Count>,
    },
    /// Buckets that grow by a factor: see [`ExponentialBuckets`].
    Exponential { scale: i32, zero: Count, positive: Side, negative: Side },
}

/// A count. Whole ones take less room in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub(super) struct Count(pub(super) f64);

#[derive(Serialize, Deserialize)]
enum Written {
    Whole(u64),
    Float(f64),
}

impl From<Count> for Written {
    fn from(Count(count): Count) -> Self {
        let is_whole = (0.0..=9e15).contains(&count) && count.fract() == 0.0 && count.is_sign_positive();
        if is_whole { Self::Whole(count as u64) } else { Self::Float(count) }
    }
}

impl From<Written> for Count {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Whole(count) => count as f64,
            Written::Float(count) => count,
        })
    }
}

/// One side of exponential buckets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Side {
    offset: i32,
    counts: Vec<Count>,
}

impl Side {
    fn of(buckets: Option<&ExponentialBuckets>) -> Self {
        let Some(buckets) = buckets else { return Self::default() };
        let from = buckets.counts.iter().position(|&count| count > 0.0);
        let until = buckets.counts.iter().rposition(|&count| count > 0.0);
        let Some((from, until)) = from.zip(until) else { return Self::default() };
        Self {
            offset: buckets.offset.saturating_add(from as i32),
            counts: buckets.counts[from..=until].iter().map(|&count| Count(count)).collect(),
        }
    }

    fn total(&self) -> f64 {
        self.counts.iter().map(|count| count.0).sum()
    }

    /// Halves the resolution so many times.
    fn coarsen(&mut self, times: u32) {
        if times == 0 || self.counts.is_empty() {
            return;
        }
        let at = |index: usize, offset: i32| (i64::from(offset) + index as i64) >> times;
        let first = at(0, self.offset);
        let last = at(self.counts.len() - 1, self.offset);
        let mut coarse = vec![Count(0.0); (last - first) as usize + 1];
        for (index, count) in self.counts.iter().enumerate() {
            coarse[(at(index, self.offset) - first) as usize].0 += count.0;
        }
        *self = Self { offset: first as i32, counts: coarse };
    }

    /// Adds another side, `sign` times.
    fn add(&mut self, other: &Self, sign: f64) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            self.offset = other.offset;
        }
        let end = |side: &Self| i64::from(side.offset) + side.counts.len() as i64;
        let (from, until) = (self.offset.min(other.offset), end(self).max(end(other)));
        let mut sum = vec![Count(0.0); (until - i64::from(from)).max(0) as usize];
        for (side, sign) in [(&*self, 1.0), (other, sign)] {
            let shift = (i64::from(side.offset) - i64::from(from)) as usize;
            for (index, count) in side.counts.iter().enumerate() {
                sum[shift + index].0 += sign * count.0;
            }
        }
        *self = Self { offset: from, counts: sum };
    }

    /// Returns how often the resolution has to be halved so that both together have few enough buckets.
    fn fits_after(&self, other: &Self, scale: i32) -> u32 {
        let sides = || [self, other].into_iter().filter(|side| !side.counts.is_empty());
        let Some(from) = sides().map(|side| i64::from(side.offset)).min() else { return 0 };
        let until =
            sides().map(|side| i64::from(side.offset) + side.counts.len() as i64).max().unwrap_or(from);
        let most = (scale - MIN_SCALE).max(0) as u32;
        (0..most).find(|&times| ((until - 1) >> times) - (from >> times) < MAX_SIDE as i64).unwrap_or(most)
    }
}

impl Buckets {
    /// Returns the buckets of a histogram; nothing where it has none.
    pub(super) fn of(histogram: &Histogram) -> Option<Self> {
        if let Some(scale) = histogram.scale {
            return Some(Self::Exponential {
                scale,
                zero: Count(histogram.zero_count),
                positive: Side::of(histogram.positive.as_ref()),
                negative: Side::of(histogram.negative.as_ref()),
            });
        }
        if histogram.counts.len() < 2 {
            return None;
        }
        let counts = histogram.counts.iter().map(|&count| Count(count)).collect();
        Some(Self::Explicit { bounds: histogram.bounds.clone(), counts })
    }

    /// Returns explicit buckets from counts of all values up to each bound, the last of which is infinite.
    pub(super) fn from_cumulative(bounds: &[f64], upto: &[f64]) -> Self {
        let mut before = 0.0_f64;
        let counts = upto.iter().map(|&upto| {
            let count = (upto - before).max(0.0);
            before = before.max(upto);
            Count(count)
        });
        Self::Explicit { counts: counts.collect(), bounds: bounds[..bounds.len().saturating_sub(1)].to_vec() }
    }

    /// Returns how many numbers it holds.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Explicit { counts, .. } => 2 * counts.len(),
            Self::Exponential { positive, negative, .. } => positive.counts.len() + negative.counts.len(),
        }
    }

    /// Returns how many values were counted.
    pub(super) fn total(&self) -> f64 {
        match self {
            Self::Explicit { counts, .. } => counts.iter().map(|count| count.0).sum(),
            Self::Exponential { zero, positive, negative, .. } => {
                zero.0 + positive.total() + negative.total()
            }
        }
    }

    /// Returns what was counted since an earlier count of the same values; nothing where it is not a later count of them: it
    /// has begun anew, or has other bounds.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        let mut since = self.clone();
        match (&mut since, before) {
            (
                Self::Explicit { bounds, counts },
                Self::Explicit { bounds: bounds_before, counts: counts_before },
            ) => {
                if bounds != bounds_before || counts.len() != counts_before.len() {
                    return None;
                }
                for (count, before) in counts.iter_mut().zip(counts_before) {
                    count.0 -= before.0;
                }
                counts.iter().all(|count| count.0 >= 0.0).then_some(since)
            }
            (Self::Exponential { .. }, Self::Exponential { .. }) => {
                since.combine(before, -1.0).then_some(())?;
                since.has_only_counts().then_some(since)
            }
            _ => None,
        }
    }

    fn has_only_counts(&self) -> bool {
        let Self::Exponential { zero, positive, negative, .. } = self else { return true };
        let sides = positive.counts.iter().chain(&negative.counts);
        zero.0 >= 0.0 && sides.into_iter().all(|count| count.0 >= 0.0)
    }

    /// Adds the counts of other values. Returns whether it can: not where the two have no bound in common.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        match (&mut *self, other) {
            (
                Self::Explicit { bounds, counts },
                Self::Explicit { bounds: other_bounds, counts: other_counts },
            ) => {
                if bounds == other_bounds {
                    for (count, other) in counts.iter_mut().zip(other_counts) {
                        count.0 += other.0;
                    }
                    return true;
                }
                let common: Vec<f64> =
                    bounds.iter().copied().filter(|bound| other_bounds.contains(bound)).collect();
                if common.is_empty() {
                    return false;
                }
                let (own, other) =
                    (within(&common, bounds, counts), within(&common, other_bounds, other_counts));
                *counts = own.iter().zip(&other).map(|(own, other)| Count(own + other)).collect();
                *bounds = common;
                true
            }
            _ => self.combine(other, 1.0),
        }
    }

    /// Adds exponential buckets, `sign` times, at the coarser of the two scales.
    fn combine(&mut self, other: &Self, sign: f64) -> bool {
        let Self::Exponential { scale, zero, positive, negative } = self else { return false };
        let Self::Exponential {
            scale: other_scale,
            zero: other_zero,
            positive: other_positive,
            negative: other_negative,
        } = other
        else {
            return false;
        };
        let (mut other_positive, mut other_negative) = (other_positive.clone(), other_negative.clone());
        let common = (*scale).min(*other_scale);
        for (side, of) in [
            (&mut *positive, *scale),
            (&mut *negative, *scale),
            (&mut other_positive, *other_scale),
            (&mut other_negative, *other_scale),
        ] {
            side.coarsen((of - common) as u32);
        }
        let times =
            positive.fits_after(&other_positive, common).max(negative.fits_after(&other_negative, common));
        for side in [&mut *positive, &mut *negative, &mut other_positive, &mut other_negative] {
            side.coarsen(times);
        }
        *scale = common - times as i32;
        zero.0 += sign * other_zero.0;
        positive.add(&other_positive, sign);
        negative.add(&other_negative, sign);
        true
    }

    /// Returns the value below which a share of the values lies, by interpolation within its bucket: linear where bounds are
    /// explicit, geometric where they grow by a factor. Beyond the last explicit bound it is that bound. Nothing without
    /// values.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.total();
        if total <= 0.0 {
            return None;
        }
        let rank = share * total;
        match self {
            Self::Explicit { bounds, counts } => explicit_quantile(bounds, counts, rank),
            Self::Exponential { scale, zero, positive, negative } => {
                let at = |index: f64| (index * 2_f64.powi(-scale)).exp2();
                let mut below = 0.0;
                for (index, count) in negative.counts.iter().enumerate().rev() {
                    if below + count.0 >= rank && count.0 > 0.0 {
                        let part = 1.0 - (rank - below) / count.0;
                        return Some(-at(f64::from(negative.offset) + index as f64 + part));
                    }
                    below += count.0;
                }
                below += zero.0;
                if below >= rank && zero.0 > 0.0 {
                    return Some(0.0);
                }
                for (index, count) in positive.counts.iter().enumerate() {
                    if below + count.0 >= rank && count.0 > 0.0 {
                        let part = (rank - below) / count.0;
                        return Some(at(f64::from(positive.offset) + index as f64 + part));
                    }
                    below += count.0;
                }
                let last = positive.counts.iter().rposition(|count| count.0 > 0.0)?;
                Some(at(f64::from(positive.offset) + last as f64 + 1.0))
            }
        }
        .filter(|value| value.is_finite())
    }
}

fn explicit_quantile(bounds: &[f64], counts: &[Count], rank: f64) -> Option<f64> {
    let mut below = 0.0;
    for (index, count) in counts.iter().enumerate() {
        let upto = below + count.0;
        if upto >= rank && count.0 > 0.0 {
            let Some(&upper) = bounds.get(index) else { break };
            // nothing is known of what lies below the first bound, unless it counts from zero
            let lower = match index.checked_sub(1) {
                Some(before) => bounds[before],
                None if upper > 0.0 => 0.0,
                None => return Some(upper),
            };
            return Some(lower + (upper - lower) * (rank - below) / count.0);
        }
        below = upto;
    }
    bounds.last().copied()
}

/// Returns the counts of the buckets between some of the bounds.
fn within(common: &[f64], bounds: &[f64], counts: &[Count]) -> Vec<f64> {
    let mut coarse = vec![0.0; common.len() + 1];
    let mut at = 0;
    for (index, count) in counts.iter().enumerate() {
        coarse[at] += count.0;
        if at < common.len() && bounds.get(index) == Some(&common[at]) {
            at += 1;
        }
    }
    coarse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explicit(bounds: &[f64], counts: &[f64]) -> Buckets {
        let histogram =
            Histogram { bounds: bounds.to_vec(), counts: counts.to_vec(), ..Histogram::default() };
        Buckets::of(&histogram).unwrap()
    }

    fn exponential(scale: i32, values: &[f64]) -> Buckets {
        let index = |value: f64| (value.log2() * 2_f64.powi(scale)).ceil() as i32 - 1;
        let offset = values.iter().map(|&value| index(value)).min().unwrap();
        let last = values.iter().map(|&value| index(value)).max().unwrap();
        let mut counts = vec![0.0; (last - offset) as usize + 1];
        for &value in values {
            counts[(index(value) - offset) as usize] += 1.0;
        }
        let positive = Some(ExponentialBuckets { offset, counts });
        Buckets::of(&Histogram { scale: Some(scale), positive, ..Histogram::default() }).unwrap()
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets = explicit(&[0.1, 0.2, 0.4], &[50.0, 40.0, 10.0, 0.0]);
        for (share, expected) in [(0.25, 0.05), (0.5, 0.1), (0.7, 0.15), (0.95, 0.3), (1.0, 0.4)] {
            let quantile = buckets.quantile(share).unwrap();
            assert!((quantile - expected).abs() < 1e-9, "{share}: {quantile}");
        }
        assert_eq!(explicit(&[1.0], &[0.0, 5.0]).quantile(0.5), Some(1.0), "beyond the last bound");
        assert_eq!(explicit(&[1.0], &[0.0, 0.0]).quantile(0.5), None);
        assert_eq!(explicit(&[-1.0, 1.0], &[5.0, 0.0, 0.0]).quantile(0.5), Some(-1.0));
    }

    #[test]
    fn both_kinds_find_the_same_quantile() {
        let values: Vec<f64> = (1..=1000).map(|i| 0.02 * (1.0 + f64::from(i) / 300.0)).collect();
        let (mut low, mut counts) = (0.0, Vec::new());
        let bounds: Vec<f64> = (1..=30).map(|i| 0.005 * f64::from(i)).collect();
        for &bound in bounds.iter().chain([&f64::INFINITY]) {
            counts.push(values.iter().filter(|&&value| value > low && value <= bound).count() as f64);
            low = bound;
        }
        let explicit = explicit(&bounds, &counts);
        let exponential = exponential(5, &values);
        for (share, rank) in [(0.5, 499), (0.99, 989)] {
            let exact = values[rank];
            for buckets in [&explicit, &exponential] {
                let quantile = buckets.quantile(share).unwrap();
                assert!((quantile / exact - 1.0).abs() < 0.03, "{quantile} {exact}");
            }
        }
    }

    #[test]
    fn scales_are_brought_to_the_coarser_one_and_bounds_to_the_common_ones() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        let (fine, coarse) = (exponential(6, &values), exponential(3, &values));
        let mut sum = fine.clone();
        assert!(sum.add(&coarse));
        let Buckets::Exponential { scale, .. } = &sum else { panic!() };
        assert!(*scale <= 3, "{scale}");
        assert!((sum.total() - 400.0).abs() < 1e-9);
        assert!((sum.quantile(0.5).unwrap() / 100.0 - 1.0).abs() < 0.1);

        let mut sum = explicit(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
        assert!(sum.add(&explicit(&[1.0, 3.0, 4.0, 8.0], &[1.0, 1.0, 1.0, 1.0, 1.0])));
        assert_eq!(sum, explicit(&[1.0, 4.0], &[2.0, 7.0, 6.0]));
        assert!(!sum.add(&explicit(&[7.0], &[1.0, 1.0])), "no bound in common");
        assert!(!sum.add(&fine));
    }

    #[test]
    fn what_came_since_is_a_difference_and_a_restart_is_none() {
        let before = explicit(&[1.0, 2.0], &[5.0, 1.0, 0.0]);
        let after = explicit(&[1.0, 2.0], &[6.0, 1.0, 2.0]);
        assert_eq!(after.since(&before), Some(explicit(&[1.0, 2.0], &[1.0, 0.0, 2.0])));
        assert_eq!(before.since(&after), None);
        assert_eq!(after.since(&explicit(&[1.0], &[1.0, 0.0])), None);
        let (some, more) = (exponential(4, &[1.5, 2.5]), exponential(3, &[1.5, 2.5, 2.6, 90.0]));
        assert!((more.since(&some).unwrap().total() - 2.0).abs() < 1e-9);
        assert_eq!(some.since(&more), None);
    }

    #[test]
    fn a_wide_range_stays_bounded() {
        let mut sum = exponential(8, &[1e-6]);
        for power in -5..9 {
            assert!(sum.add(&exponential(8, &[10_f64.powi(power)])));
        }
        assert!(sum.len() <= 2 * MAX_SIDE, "{}", sum.len());
        assert!((sum.total() - 15.0).abs() < 1e-9);
    }

    #[test]
    fn counts_are_written_to_the_last_bit() {
        for count in [0.0, 1.0, 12_345_678.0, 0.25, 1e300, -0.0, -3.0] {
            let bytes = postcard::to_extend(&Count(count), Vec::new()).unwrap();
            let Count(read) = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(read.to_bits(), count.to_bits());
        }
    }
}
