//! Broken invariants: counts that normally follow other counts exactly (a log line a call, a child call a call).
//!
//! A relation is (service, item, base). The item is a log place or an outgoing call of the service; the base is one of its
//! operations, a sum of two, all of them, or another item. In normal minutes `item = k * base` for a whole `k >= 1`, but
//! for few misses. Misses now are tested with the beta-binomial that the misses of the history predict, so six calls are
//! enough if the relation hardly ever failed, and one minute of history is worth as much as it has calls.

mod beta_binomial;
mod counts;

use std::collections::{BTreeMap, BTreeSet};

use super::minutes::Minutes;
use super::normal::CAP_NATS;
use beta_binomial::ln_upper_tail;
use counts::{Counts, Item, Service};

/// Share of misses in history from which on a relation is no invariant.
const MAX_MISS_SHARE: f64 = 0.15;
/// Calls needed, in history and now.
const SUPPORT_CALLS: f64 = 4.0;
/// Least over-dispersion: calls of a minute hang together.
const LEAST_DISPERSION: f64 = 0.02;
/// Most that one broken minute can say, nats: single bad minutes happen without any fault.
const MINUTE_CAP_NATS: f64 = 4.0;
/// Surprise, after the price of having looked, that is nothing, nats.
const NOTHING_NATS: f64 = 3.0;
/// Share of the services beyond which breaks are not believed: the counting broke (lost or sampled lines).
const MAX_BROKEN_SHARE: f64 = 0.25;
/// Misses by which a base may fit history worse than the best, as a share.
const AS_GOOD: f64 = 0.02;
/// Minutes of history needed for sums and for an item after another item; with fewer, an item is compared with single
/// operations, and may not have missed at all.
const LONG_MINUTES: usize = 5;
/// Operations of a service, the busiest, of which pairs are tried.
const MAX_PAIRED_OPERATIONS: usize = 16;

/// Counts by the minute: in the history and now.
#[derive(Debug, Clone)]
struct Pair {
    history: Vec<f64>,
    now: Vec<f64>,
}

impl Pair {
    fn plus(&self, other: &Self) -> Self {
        let add = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a + b).collect();
        Self { history: add(&self.history, &other.history), now: add(&self.now, &other.now) }
    }

    fn total(&self) -> f64 {
        self.history.iter().sum()
    }
}

/// A relation that is broken now.
#[derive(Debug, Clone, Copy)]
struct Break {
    /// Surprise, nats.
    nats: f64,
    /// Most that its minutes can say, nats.
    most: f64,
}

/// How a relation failed in history: the parameters of the miss rate, and the share of misses and surplus.
#[derive(Debug, Clone, Copy)]
struct Fit {
    a: f64,
    b: f64,
    misses: f64,
}

/// Services whose invariants are broken.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// The strongest break of each, nats.
    pub(super) nats: BTreeMap<String, f64>,
    /// Callees that a service does not reach any more: these cannot be why it stops.
    pub(super) cut: BTreeMap<String, BTreeSet<String>>,
}

/// Returns the services whose invariants the minutes since the alert break.
pub(super) fn broken(history: &Minutes, now: &Minutes) -> Broken {
    let mut broken = Broken::default();
    for (service, counts) in Counts::of(history, now).services() {
        let breaks = breaks_of(&counts);
        let Some(strongest) = breaks.iter().map(|(_, nats)| *nats).reduce(f64::max) else { continue };
        for (item, nats) in &breaks {
            if let Some(Item::Call { callee, .. }) = item
                && *nats >= 0.5 * strongest
            {
                broken.cut.entry(service.to_owned()).or_default().insert((*callee).to_owned());
            }
        }
        broken.nats.insert(service.to_owned(), strongest);
    }
    let spans = now.spans.values().flat_map(BTreeMap::keys);
    let services: BTreeSet<&str> = spans.map(|call| call.service.as_str()).collect();
    if broken.nats.len() as f64 > MAX_BROKEN_SHARE * services.len() as f64 {
        return Broken::default();
    }
    broken
}

/// Returns the broken relations of one service: the item (none for a sum of two), and nats that have paid for the looking.
fn breaks_of<'a>(service: &Service<'a>) -> Vec<(Option<Item<'a>>, f64)> {
    let is_long = service.minutes >= LONG_MINUTES;
    let single: Vec<&Pair> = service.operations.iter().collect();
    let combined = if is_long { combined(&single) } else { Vec::new() };
    let operations: Vec<&Pair> = single.iter().copied().chain(&combined).collect();
    let mut found = Vec::new();
    let mut looked: f64 = 0.0;
    let mut loose = Vec::new();
    for (place, (item, pair)) in service.items.iter().enumerate() {
        if pair.total() < SUPPORT_CALLS {
            continue;
        }
        let multiples = is_long || single.len() <= 1;
        let mut known = test(pair, &operations, multiples, &mut |one| found.push((Some(*item), one)));
        if is_long {
            let others = service.items.iter().enumerate().filter(|(other, _)| *other != place);
            let others: Vec<&Pair> = others.map(|(_, (_, pair))| pair).collect();
            known |= test(pair, &others, true, &mut |one| found.push((Some(*item), one)));
        }
        if known {
            looked += 1.0;
        } else {
            loose.push(pair);
        }
    }
    // either the one line or the other
    if is_long {
        for (place, one) in loose.iter().enumerate() {
            for other in &loose[..place] {
                let known = test(&one.plus(other), &single, true, &mut |one| found.push((None, one)));
                looked += f64::from(u8::from(known));
            }
        }
    }
    let price = looked.max(1.0).ln() + NOTHING_NATS;
    let paid = found.into_iter().filter(|(_, one)| one.nats > price);
    paid.map(|(item, one)| (item, (one.nats - price).min(one.most).min(CAP_NATS))).collect()
}

/// Returns the sums of two operations, and that of all.
fn combined(single: &[&Pair]) -> Vec<Pair> {
    let mut busiest = single.to_vec();
    busiest.sort_by(|a, b| b.total().total_cmp(&a.total()));
    busiest.truncate(MAX_PAIRED_OPERATIONS);
    let pairs = busiest
        .iter()
        .enumerate()
        .flat_map(|(place, one)| busiest[..place].iter().map(|other| one.plus(other)));
    let mut sums: Vec<Pair> = pairs.collect();
    if let [first, rest @ ..] = single
        && rest.len() > 1
    {
        sums.push(rest.iter().fold((*first).clone(), |sum, one| sum.plus(one)));
    }
    sums
}

/// Tests an item against the bases that fit history best, and gives the mildest break among them to `found`: the item may
/// follow any of them. Returns whether it follows one at all.
fn test(item: &Pair, bases: &[&Pair], allow_multiples: bool, found: &mut impl FnMut(Break)) -> bool {
    let fits: Vec<(Fit, f64, &Pair)> = bases
        .iter()
        .filter(|base| base.total() >= SUPPORT_CALLS)
        .filter_map(|base| {
            let k = (item.total() / base.total() + 0.5).floor();
            // too little history to tell 2 to 1 from chance
            let usable = k >= 1.0 && (k <= 1.0 || allow_multiples);
            Some((usable.then(|| fit(&base.history, &item.history, k))??, k, *base))
        })
        .collect();
    let Some(least) = fits.iter().map(|(fit, ..)| fit.misses).reduce(f64::min) else { return false };
    let as_good = fits.iter().filter(|(fit, ..)| fit.misses <= least + AS_GOOD);
    let mildest = as_good
        .map(|(fit, k, base)| surprise(*fit, *k, base, item))
        .min_by(|a, b| a.nats.total_cmp(&b.nats).then(a.most.total_cmp(&b.most)));
    if let Some(mildest) = mildest.filter(|mildest| mildest.nats > 0.0) {
        found(mildest);
    }
    true
}

/// Returns how the relation `item = k * base` failed in history; none if it is no invariant.
fn fit(base: &[f64], item: &[f64], k: f64) -> Option<Fit> {
    let minutes: Vec<(f64, f64)> = base
        .iter()
        .zip(item)
        .filter(|(base, _)| **base > 0.0)
        .map(|(base, item)| (k * base, *item))
        .collect();
    let calls: f64 = minutes.iter().map(|(n, _)| n).sum();
    if calls < SUPPORT_CALLS {
        return None;
    }
    let missed: f64 = minutes.iter().map(|(n, x)| (n - x).max(0.0)).sum();
    let surplus = minutes.iter().map(|(n, x)| (x - n).max(0.0)).sum::<f64>() / calls.max(1.0);
    if (minutes.len() < LONG_MINUTES && missed + surplus > 0.0)
        || missed / calls > MAX_MISS_SHARE
        || surplus > 2.0 * MAX_MISS_SHARE
    {
        return None;
    }
    let rate = (missed + 0.5) / (calls + 1.0);
    let pairs: f64 = minutes.iter().map(|(n, _)| n * (n - 1.0)).sum();
    let spread: f64 = minutes.iter().map(|(n, x)| ((n - x).max(0.0) - rate * n).powi(2)).sum();
    let dispersion = spread / (rate * (1.0 - rate)) - calls;
    let dispersion = if pairs > 0.0 { dispersion / pairs } else { 0.0 };
    let dispersion = dispersion.max(LEAST_DISPERSION);
    let weight = (calls + 1.0).min((1.0 / dispersion - 1.0).max(1.0));
    Some(Fit { a: rate * weight, b: (1.0 - rate) * weight, misses: (missed + surplus * calls) / calls })
}

/// Returns how surprising it is that the item misses as many of `k * base` as it does now.
fn surprise(fit: Fit, k: f64, base: &Pair, item: &Pair) -> Break {
    let calls: f64 = base.now.iter().sum();
    let expected = (k * calls).trunc();
    let missing = |(base, item): (&f64, &f64)| k * base - item;
    let gone = base.now.iter().zip(&item.now).map(missing).sum::<f64>().trunc();
    if gone <= 0.0 || calls < SUPPORT_CALLS {
        return Break { nats: 0.0, most: 0.0 };
    }
    let half = 0.5 * gone / expected;
    let minutes = base.now.iter().zip(&item.now).filter(|(base, _)| **base > 0.0);
    let bad = minutes.filter(|(base, item)| missing((base, item)) >= half * k * **base).count();
    Break { nats: -ln_upper_tail(gone, expected, fit.a, fit.b), most: MINUTE_CAP_NATS * bad as f64 }
}
