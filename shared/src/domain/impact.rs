//! What an incident cost, in words. Figures are rounded to two digits: they are estimates.

use crate::events::incident::Impact;
use crate::text::format::{figure, number, percent};
use crate::text::sanitize::{self, one_line};

/// Longest currency that is written, characters.
const CURRENCY: usize = 8;

/// When it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tense {
    /// While the fault goes on.
    Present,
    /// After it.
    Past,
}

/// Returns the impact in one clause, e.g. `about 41 requests a minute fail (12 % of requests to order); 5 % of users
/// are affected; revenue of about 320 EUR a minute is at risk`. What is not known is left out.
pub fn in_words(impact: &Impact, tense: Tense) -> String {
    let is_past = tense == Tense::Past;
    let [fail, are, is] = if is_past { ["failed", "were", "was"] } else { ["fail", "are", "is"] };
    let requests = figure(two_digits(impact.failing_per_minute), "{request}/min");
    let fail = if !is_past && requests.starts_with("1\u{a0}") { "fails" } else { fail };
    let share = percent(impact.failing_share);
    let mut parts =
        vec![format!("about {requests} {fail} ({share} of requests to {})", name(&impact.service))];
    if let Some(users) = impact.users_share {
        parts.push(format!("{} of users {are} affected", percent(users)));
    }
    if let Some(money) = &impact.revenue {
        let (amount, currency) = (number(two_digits(money.per_minute)), one_line(&money.currency, CURRENCY));
        parts.push(format!("revenue of about {amount}\u{a0}{currency} a minute {is} at risk"));
    }
    parts.join("; ")
}

fn name(service: &str) -> String {
    one_line(service, sanitize::NAME)
}

/// Rounds to two significant digits.
fn two_digits(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10_f64.powf(value.abs().log10().floor() - 1.0);
    (value / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::incident::Money;

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        let impact = Impact {
            service: "order".into(),
            failing_per_minute: 41.3,
            failing_share: 0.12,
            users_share: None,
            revenue: None,
        };
        let read = |impact: &Impact, tense| in_words(impact, tense).replace('\u{a0}', " ");
        assert_eq!(
            read(&impact, Tense::Present),
            "about 41 requests a minute fail (12 % of requests to order)"
        );
        let all = Impact {
            failing_per_minute: 1.02,
            users_share: Some(0.004),
            revenue: Some(Money { per_minute: 1234.0, currency: "EUR".into() }),
            ..impact
        };
        assert_eq!(
            read(&all, Tense::Present),
            "about 1 request a minute fails (12 % of requests to order); <1 % of users are affected; revenue of \
             about 1,200 EUR a minute is at risk"
        );
        assert_eq!(
            read(&all, Tense::Past),
            "about 1 request a minute failed (12 % of requests to order); <1 % of users were affected; revenue of \
             about 1,200 EUR a minute was at risk"
        );
    }
}
