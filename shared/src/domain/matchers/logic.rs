//! What follows from matchers alone: whether they can hold at all, and whether they hold wherever others do.
//!
//! Only what is certain is answered with yes. Names with one value are decided by it: all severities are tried, and the value
//! that `environment="..."` asks for.

use super::{Facts, Matcher, Matchers, Name, Operator};
use crate::events::Severity;

/// Two matchers, or one severity, that cannot hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// Two matchers.
    Pair(Box<Matcher>, Box<Matcher>),
    /// No severity is accepted by all matchers that ask for it.
    Severity,
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pair(one, other) => write!(f, "{one} and {other} never hold together"),
            Self::Severity => f.write_str("no severity is accepted by all matchers"),
        }
    }
}

impl Matchers {
    /// Returns why they can never hold together, where that is certain.
    ///
    /// Two different values contradict each other only where there is one value: an incident has one environment, but
    /// `service="a", service="b"` holds for an incident of both.
    pub fn contradiction(&self) -> Option<Contradiction> {
        if severities(self).is_empty() {
            return Some(Contradiction::Severity);
        }
        let asked = self.iter().filter(|matcher| matcher.operator == Operator::Equal);
        let pair = asked.filter(|equal| equal.name != Name::Severity).find_map(|equal| {
            let excludes = |other: &&Matcher| {
                let is_same = other.name == equal.name;
                let is_decided = equal.name.is_single() || other.operator.is_negative();
                is_same && is_decided && other.accepts(&equal.value) == other.operator.is_negative()
            };
            self.iter().find(excludes).map(|other| (equal, other))
        });
        pair.map(|(one, other)| Contradiction::Pair(Box::new(one.clone()), Box::new(other.clone())))
    }

    /// Returns whether these hold wherever `others` do, as far as that is certain: `false` may also mean that it is not known.
    pub fn cover(&self, others: &Self) -> bool {
        let allowed = severities(self);
        let is_severity = severities(others).iter().all(|severity| allowed.contains(severity));
        let mut rest = self.iter().filter(|matcher| matcher.name != Name::Severity);
        is_severity && rest.all(|matcher| others.iter().any(|other| implies(other, matcher)))
    }
}

/// Returns whether one matcher holds only where another does.
fn implies(one: &Matcher, other: &Matcher) -> bool {
    if one == other {
        return true;
    }
    if one.name != other.name || one.operator != Operator::Equal {
        return false;
    }
    if other.operator.is_negative() {
        // other values could still be excluded
        return one.name.is_single() && !other.accepts(&one.value);
    }
    other.accepts(&one.value)
}

/// Returns the severities that matchers accept, the missing one among them.
fn severities(matchers: &Matchers) -> Vec<Option<Severity>> {
    let all = [None, Some(Severity::Sev4), Some(Severity::Sev3), Some(Severity::Sev2), Some(Severity::Sev1)];
    let is_accepted = |severity: &Option<Severity>| {
        let facts = Facts { severity: *severity, ..Facts::default() };
        let mut asked = matchers.iter().filter(|matcher| matcher.name == Name::Severity);
        asked.all(|matcher| matcher.matches(&facts))
    };
    all.into_iter().filter(is_accepted).collect()
}
