//! Matchers, as Alertmanager has them: `service="payment", severity>="SEV2"`.
//!
//! All matchers of a list have to hold. What is matched are [`Facts`], where a name may have several values: an incident has many
//! services. A positive matcher (`=`, `=~`, `>=`, `<=`) holds if at least one value matches; a negative one (`!=`, `!~`) holds if
//! no value does what its positive counterpart asks for. A name without a value counts as one with the empty text, so that
//! `label.team=""` holds where there is no such label.
//!
//! | name | values |
//! |---|---|
//! | `environment` | one |
//! | `service`, `metric` | any number |
//! | `kind`, `category` | words of [`Kind`] and [`Category`], any number |
//! | `severity` | `SEV1` to `SEV4`, in any case; one |
//! | `label.NAME` | any number |
//!
//! Regular expressions match the whole value. `severity>="SEV2"` means at least as severe: SEV2 and SEV1.

mod facts;
mod logic;
mod parse;

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::events::{Category, Kind, Severity};
pub use facts::Facts;
pub use logic::Contradiction;

/// Most matchers of a list.
pub const MAX_MATCHERS: usize = 20;
/// Longest matcher as it is written, bytes.
pub const MAX_BYTES: usize = 1_000;
/// Largest regular expression once it is compiled, bytes.
const MAX_COMPILED: usize = 512 * 1024;

/// What a matcher asks about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// Environment.
    Environment,
    /// Names of services.
    Service,
    /// Names of metrics.
    Metric,
    /// What is measured.
    Kind,
    /// Kinds of cause.
    Category,
    /// Severity.
    Severity,
    /// A label of telemetry.
    Label(String),
}

impl Name {
    /// Names that are no labels.
    const PLAIN: [(&'static str, Self); 6] = [
        ("environment", Self::Environment),
        ("service", Self::Service),
        ("metric", Self::Metric),
        ("kind", Self::Kind),
        ("category", Self::Category),
        ("severity", Self::Severity),
    ];

    fn read(text: &str) -> Option<Self> {
        let plain = Self::PLAIN.into_iter().find(|(name, _)| *name == text).map(|(_, name)| name);
        let label = || text.strip_prefix("label.").filter(|label| !label.is_empty());
        plain.or_else(|| label().map(|label| Self::Label(label.to_owned())))
    }

    /// Returns whether there is at most one value.
    fn is_single(&self) -> bool {
        matches!(self, Self::Environment | Self::Severity)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Label(label) = self {
            return write!(f, "label.{label}");
        }
        f.write_str(Self::PLAIN.iter().find(|(_, name)| name == self).map_or("", |(name, _)| name))
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// `=`: is.
    Equal,
    /// `!=`: is not.
    NotEqual,
    /// `=~`: matches a regular expression as a whole.
    Matches,
    /// `!~`: does not.
    NotMatches,
    /// `>=`: is at least as severe.
    AtLeast,
    /// `<=`: is at most as severe.
    AtMost,
}

impl Operator {
    /// Operators as they are written; one that begins with another stands before it.
    const WRITTEN: [(&'static str, Self); 6] = [
        ("=~", Self::Matches),
        ("!~", Self::NotMatches),
        ("!=", Self::NotEqual),
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        ("=", Self::Equal),
    ];

    fn is_negative(self) -> bool {
        matches!(self, Self::NotEqual | Self::NotMatches)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WRITTEN.iter().find(|(_, operator)| operator == self).map_or("", |(text, _)| text))
    }
}

/// One matcher.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: Name,
    operator: Operator,
    value: String,
    test: Test,
}

/// What is asked of a value; the same for an operator and its negation.
#[derive(Debug, Clone)]
enum Test {
    Is(String),
    Whole(Regex),
    AtLeast(Severity),
    AtMost(Severity),
}

impl Matcher {
    /// Builds a matcher.
    ///
    /// # Errors
    /// If the value is none that the name can have, the operator does not fit the name, or the regular expression is invalid or too
    /// large.
    pub fn new(name: Name, operator: Operator, value: impl Into<String>) -> Result<Self, Fault> {
        let value = value.into();
        let test = match operator {
            Operator::Equal | Operator::NotEqual => Test::Is(known(&name, &value)?),
            Operator::Matches | Operator::NotMatches => Test::Whole(whole(&value, name == Name::Severity)?),
            Operator::AtLeast | Operator::AtMost if name != Name::Severity => {
                return Err(Fault::NotOrdered { name: name.to_string(), operator });
            }
            Operator::AtLeast => Test::AtLeast(severity(&value)?),
            Operator::AtMost => Test::AtMost(severity(&value)?),
        };
        let matcher = Self { name, operator, value, test };
        let bytes = matcher.to_string().len();
        if bytes > MAX_BYTES { Err(Fault::TooLong { bytes }) } else { Ok(matcher) }
    }

    /// Returns what it asks about.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns how values are compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// Returns the value or the regular expression.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns whether it holds for what is known.
    pub fn matches(&self, facts: &Facts) -> bool {
        let values = facts.values(&self.name);
        let found =
            if values.is_empty() { self.accepts("") } else { values.iter().any(|value| self.accepts(value)) };
        found != self.operator.is_negative()
    }

    /// Returns whether a value does what is asked; negation is not applied.
    fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Is(wanted) => value == wanted,
            Test::Whole(regex) => regex.is_match(value),
            Test::AtLeast(least) => severity(value).is_ok_and(|severity| severity >= *least),
            Test::AtMost(most) => severity(value).is_ok_and(|severity| severity <= *most),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, operator, value, .. } = self;
        write!(f, "{name}{operator}\"")?;
        for char in value.chars() {
            match char {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                char => fmt::Write::write_char(f, char)?,
            }
        }
        f.write_str("\"")
    }
}

/// Returns the text that a value of a name is compared as.
fn known(name: &Name, value: &str) -> Result<String, Fault> {
    let is_word = match name {
        _ if value.is_empty() => true,
        Name::Kind => serde_json::from_value::<Kind>(value.into()).is_ok(),
        Name::Category => serde_json::from_value::<Category>(value.into()).is_ok(),
        Name::Severity => return severity(value).map(|severity| severity.label().to_owned()),
        _ => true,
    };
    if is_word {
        Ok(value.to_owned())
    } else {
        Err(Fault::UnknownValue { name: name.to_string(), value: value.to_owned() })
    }
}

fn severity(value: &str) -> Result<Severity, Fault> {
    let all = [Severity::Sev1, Severity::Sev2, Severity::Sev3, Severity::Sev4];
    let found = all.into_iter().find(|severity| severity.label().eq_ignore_ascii_case(value));
    found.ok_or_else(|| Fault::UnknownValue { name: "severity".to_owned(), value: value.to_owned() })
}

/// Compiles a regular expression that has to match a whole value.
fn whole(pattern: &str, any_case: bool) -> Result<Regex, Fault> {
    let compile = |pattern: &str| {
        RegexBuilder::new(pattern).case_insensitive(any_case).size_limit(MAX_COMPILED).build().map_err(
            |error| match error {
                regex::Error::CompiledTooBig(_) => Fault::RegexTooLarge,
                // the parser draws the place below the pattern; its last line says what is wrong
                error => {
                    let said = error.to_string();
                    let last = said.lines().last().unwrap_or_default();
                    Fault::Regex(last.trim_start_matches("error: ").to_owned())
                }
            },
        )
    };
    // by itself first: `a)|(?:b` would be valid between the brackets, and not anchored
    compile(pattern)?;
    compile(&format!("^(?s:{pattern})$"))
}

/// A list of matchers; all have to hold. It is stored as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matchers(Vec<Matcher>);

impl Matchers {
    /// Collects matchers.
    ///
    /// # Errors
    /// If there are more than [`MAX_MATCHERS`].
    pub fn new(matchers: Vec<Matcher>) -> Result<Self, Error> {
        if matchers.len() > MAX_MATCHERS {
            return Err(Error { column: None, fault: Fault::TooMany });
        }
        Ok(Self(matchers))
    }

    /// Returns whether all of them hold for what is known.
    pub fn matches(&self, facts: &Facts) -> bool {
        self.0.iter().all(|matcher| matcher.matches(facts))
    }

    /// Returns each matcher.
    pub fn iter(&self) -> impl Iterator<Item = &Matcher> {
        self.0.iter()
    }

    /// Returns whether there is none, so that everything matches.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses matchers that select nothing in particular: an empty list, or one that holds even where nothing is known, such as
    /// `service=~".*"` or `service!="payment"`. A silence with such a list would hide almost everything; Alertmanager refuses it,
    /// too.
    ///
    /// # Errors
    /// [`Fault::Unselective`].
    pub fn selective(&self) -> Result<(), Error> {
        if self.matches(&Facts::default()) {
            return Err(Error { column: None, fault: Fault::Unselective });
        }
        Ok(())
    }
}

impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, matcher) in self.0.iter().enumerate() {
            write!(f, "{}{matcher}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Matchers {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse::matchers(text)
    }
}

impl Serialize for Matchers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matchers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why matchers are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{fault}", column.map(|column| format!("column {column}: ")).unwrap_or_default())]
pub struct Error {
    /// Where, in characters from 1; none where the list as a whole is meant.
    pub column: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with matchers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No name begins here.
    #[error("expected a name such as service")]
    NoName,
    /// The name is not known.
    #[error(
        "unknown name {0:?}, expected environment, service, metric, kind, category, severity or label.NAME"
    )]
    UnknownName(String),
    /// No operator stands behind the name.
    #[error("expected an operator behind {0}: =, !=, =~, !~, >= or <=")]
    NoOperator(String),
    /// `>=` and `<=` fit severities only.
    #[error("{operator} fits severity only; values of {name} have no order")]
    NotOrdered {
        /// Name.
        name: String,
        /// Operator.
        operator: Operator,
    },
    /// No value stands behind the operator.
    #[error("expected a value in double quotes")]
    NoValue,
    /// The quotes are not closed.
    #[error("the quotes of the value are not closed")]
    Unclosed,
    /// A backslash stands before something else than a quote, a backslash or `n`.
    #[error(
        "unknown escape \\{0}, expected \\\", \\\\ or \\n; a backslash of a regular expression is written twice"
    )]
    Escape(char),
    /// The name never has this value.
    #[error("{value:?} is not a {name}")]
    UnknownValue {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
    /// The regular expression is invalid.
    #[error("invalid regular expression: {0}")]
    Regex(String),
    /// The regular expression is too large.
    #[error("the regular expression is too large once it is compiled")]
    RegexTooLarge,
    /// Something else than a comma follows.
    #[error("expected a comma or the end")]
    NoComma,
    /// There are too many.
    #[error("there are more than {MAX_MATCHERS} matchers")]
    TooMany,
    /// One is too long.
    #[error("the matcher has {bytes} bytes, more than {MAX_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// They match everything.
    #[error(
        "the matchers select nothing in particular; at least one has to ask for a value, such as service=\"payment\""
    )]
    Unselective,
}

#[cfg(test)]
mod tests;
