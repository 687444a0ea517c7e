//! Upper tail of the beta-binomial distribution.

/// Terms of the tail that are added; later ones are far smaller.
const TERMS: usize = 400;

/// Returns ln P(X >= `least`) of a beta-binomial X of `n` trials with parameters `a` and `b`.
pub(super) fn ln_upper_tail(least: f64, n: f64, a: f64, b: f64) -> f64 {
    if least <= 0.0 {
        return 0.0;
    }
    let constant = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) - ln_gamma(a + b + n) + ln_gamma(n + 1.0);
    let terms: Vec<f64> = (0..=TERMS)
        .map(|step| least + step as f64)
        .take_while(|&i| i <= n)
        .map(|i| constant + ln_gamma(a + i) + ln_gamma(b + n - i) - ln_gamma(i + 1.0) - ln_gamma(n - i + 1.0))
        .collect();
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return f64::NEG_INFINITY;
    }
    let sum: f64 = terms.iter().map(|term| (term - top).exp()).sum();
    (top + sum.ln()).min(0.0)
}

/// Returns the logarithm of the gamma function of a positive number: Stirling's series (Abramowitz and Stegun, 6.1.41)
/// from 12 on, and the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
    const SERIES: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let (mut x, mut product) = (x, 1.0);
    while x < 12.0 {
        if x <= 0.0 {
            return f64::INFINITY;
        }
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = SERIES.iter().rev().fold(0.0, |sum, term| sum * inverse + term) / x;
    (x - 0.5) * x.ln() - x + HALF_LN_TAU + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gamma_function_is_exact_to_twelve_figures() {
        // Abramowitz and Stegun, tables 6.1 and 6.4
        for (x, expected) in [
            (0.5, 0.572_364_942_924_700_1),
            (1.0, 0.0),
            (1.5, -0.120_782_237_635_245_22),
            (10.0, 12.801_827_480_081_469),
            (100.0, 359.134_205_369_575_4),
        ] {
            assert!((ln_gamma(x) - expected).abs() < 1e-12 * f64::max(expected, 1.0), "{x}: {}", ln_gamma(x));
        }
    }

    #[test]
    fn the_tail_is_a_probability() {
        // with a = b = 1 all counts are equally likely
        assert!((ln_upper_tail(3.0, 4.0, 1.0, 1.0) - 0.4_f64.ln()).abs() < 1e-12);
        assert_eq!(ln_upper_tail(0.0, 4.0, 1.0, 1.0), 0.0);
        assert_eq!(ln_upper_tail(5.0, 4.0, 1.0, 1.0), f64::NEG_INFINITY);
    }
}
