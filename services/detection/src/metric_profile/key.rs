//! Names of series that are folded from labelled samples: what is derived of which metric, and its dimensions.
//!
//! A name is one text, so that whatever keeps or compares names of series needs to know nothing of dimensions. Its parts are
//! parted by control characters, which no name of a sample has; detectors may add to it (`...:time_to_full`).

use std::borrow::Cow;
use std::collections::BTreeMap;

const BEGIN: char = '\u{1}';
const END: char = '\u{2}';
const NEXT: char = '\u{3}';
const IS: char = '\u{4}';
const NAME: char = '\u{5}';

/// What a folded series is of its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// A level: the sum, the extreme or the mean of those of all replicas, as its kind asks.
    Level,
    /// The mean of the levels of all replicas, beside their extreme.
    Mean,
    /// The increase of a counter, per second.
    Rate,
    /// How many values of a histogram there are, per second.
    Requests,
    /// The median of a histogram.
    Median,
    /// The 99th percentile of a histogram.
    Percentile99,
    /// The share of requests that fail.
    ErrorRatio,
    /// Restarts of all replicas, counted.
    Restarts,
}

impl Form {
    /// All forms.
    pub(crate) const ALL: [Self; 8] = [
        Self::Level,
        Self::Mean,
        Self::Rate,
        Self::Requests,
        Self::Median,
        Self::Percentile99,
        Self::ErrorRatio,
        Self::Restarts,
    ];

    /// Returns what it adds to the name of its metric.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Level | Self::Rate | Self::Restarts => "",
            Self::Mean => ".mean",
            Self::Requests => ".rate",
            Self::Median => ".p50",
            Self::Percentile99 => ".p99",
            Self::ErrorRatio => ".error_ratio",
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Level => "g",
            Self::Mean => "m",
            Self::Rate => "c",
            Self::Requests => "r",
            Self::Median => "p50",
            Self::Percentile99 => "p99",
            Self::ErrorRatio => "e",
            Self::Restarts => "n",
        }
    }

    /// Returns how it stands before the name of its metric in a sentence.
    fn words(self) -> &'static str {
        match self {
            Self::Level | Self::Rate | Self::Restarts => "",
            Self::Mean => "mean of ",
            Self::Requests => "rate of ",
            Self::Median => "p50 of ",
            Self::Percentile99 => "p99 of ",
            Self::ErrorRatio => "error ratio of ",
        }
    }
}

/// The parts of a folded series' name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    /// What it is of its metric.
    pub(crate) form: Form,
    /// Dimensions, as [`canonical`] writes them.
    pub(crate) dimensions: &'a str,
    /// Name of the metric that was sent.
    pub(crate) metric: &'a str,
}

impl<'a> Key<'a> {
    /// Finds the first one in a text. Returns it with what comes before and after it.
    fn find(text: &'a str) -> Option<(&'a str, Self, &'a str)> {
        let (before, rest) = text.split_once(BEGIN)?;
        let (inner, after) = rest.split_once(END)?;
        let (head, metric) = inner.split_once(NAME)?;
        let (code, dimensions) = head.split_once(NEXT)?;
        let form = Form::ALL.into_iter().find(|form| form.code() == code)?;
        Some((before, Self { form, dimensions, metric }, after))
    }

    /// Returns the parts of the name of a series, if it is a folded one.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        if !name.starts_with(BEGIN) {
            return None;
        }
        Self::find(name).map(|(_, key, _)| key)
    }

    /// Returns the name of the series.
    pub(crate) fn name(&self) -> String {
        let Self { form, dimensions, metric } = self;
        format!("{BEGIN}{}{NEXT}{dimensions}{NAME}{metric}{END}", form.code())
    }

    /// Returns the name of what is derived, without dimensions, as people and other programs know it.
    pub(crate) fn public(&self) -> String {
        format!("{}{}", self.metric, self.form.suffix())
    }

    /// Returns the dimensions, each with its value.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.dimensions.split(NEXT).filter_map(|pair| pair.split_once(IS))
    }

    fn labelled(&self) -> String {
        let pairs: Vec<String> = self.pairs().map(|(label, value)| format!("{label}={value:?}")).collect();
        if pairs.is_empty() { self.public() } else { format!("{}{{{}}}", self.public(), pairs.join(",")) }
    }

    fn worded(&self) -> String {
        let mut words = format!("{}{}", self.form.words(), self.metric);
        for (label, value) in self.pairs() {
            words.push_str(" of ");
            words.push_str(in_words(label));
            words.push(' ');
            words.push_str(value);
        }
        words
    }
}

/// Writes dimensions as one text; equal ones are written alike. They have to come in the order of their labels.
pub(crate) fn canonical<'a>(dimensions: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (label, value) in dimensions {
        if !text.is_empty() {
            text.push(NEXT);
        }
        text.extend(label.chars().filter(|letter| !letter.is_control()));
        text.push(IS);
        text.extend(value.chars().filter(|letter| !letter.is_control()));
    }
    text
}

/// Returns a label as it stands in a sentence.
fn in_words(label: &str) -> &str {
    match label {
        "http.route" => "route",
        "http.request.method" | "http.method" => "method",
        "messaging.destination.name" | "messaging.destination" => "destination",
        "db.operation.name" | "db.operation" | "span.name" | "span_name" => "operation",
        "db.system" | "db.system.name" => "database",
        "consumergroup" | "consumer_group" | "messaging.consumer.group.name" => "consumer group",
        "mountpoint" | "system.filesystem.mountpoint" => "mount point",
        "system.device" => "device",
        "status.class" => "status class",
        "pool.name" | "db.client.connection.pool.name" | "db_client_connection_pool_name" => "pool",
        "db.client.connection.state" | "db_client_connection_state" => "state",
        label => label.rsplit('.').next().filter(|_| label.starts_with("system.")).unwrap_or(label),
    }
}

/// Replaces each name of a folded series in a text.
fn replaced(text: &str, by: impl Fn(Key<'_>) -> String) -> Cow<'_, str> {
    let Some((before, key, mut rest)) = Key::find(text) else { return Cow::Borrowed(text) };
    let mut replaced = format!("{before}{}", by(key));
    while let Some((before, key, after)) = Key::find(rest) {
        replaced.push_str(before);
        replaced.push_str(&by(key));
        rest = after;
    }
    replaced.push_str(rest);
    Cow::Owned(replaced)
}

/// Returns the name of a metric without its dimensions; other names pass.
pub(crate) fn public(name: &str) -> Cow<'_, str> {
    replaced(name, |key| key.public())
}

/// Returns the name of a metric with its dimensions as Prometheus writes them; other names pass.
pub(crate) fn labelled(name: &str) -> Cow<'_, str> {
    replaced(name, |key| key.labelled())
}

/// Returns a sentence in which the names of folded series stand in words; other sentences pass.
pub(crate) fn worded(sentence: &str) -> Cow<'_, str> {
    replaced(sentence, |key| key.worded())
}

/// Returns the dimensions of a series; none of one that is not folded.
pub(crate) fn dimensions(name: &str) -> BTreeMap<String, String> {
    let Some((_, key, _)) = Key::find(name) else { return BTreeMap::new() };
    key.pairs().map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

/// Returns whether two series have the same dimensions.
pub(crate) fn has_same_dimensions(one: &str, other: &str) -> bool {
    let of = |name| Key::parse(name).map_or("", |key| key.dimensions);
    of(one) == of(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_shown_in_three_ways() {
        let dimensions = canonical([("http.request.method", "GET"), ("http.route", "/pay/{id}")].into_iter());
        let metric = "http.server.request.duration";
        for form in Form::ALL {
            let key = Key { form, dimensions: &dimensions, metric };
            assert_eq!(Key::parse(&key.name()), Some(key));
        }
        let name = Key { form: Form::Percentile99, dimensions: &dimensions, metric }.name();
        assert_eq!(public(&format!("{name}:regression")), "http.server.request.duration.p99:regression");
        assert_eq!(
            labelled(&name),
            "http.server.request.duration.p99{http.request.method=\"GET\",http.route=\"/pay/{id}\"}"
        );
        assert_eq!(
            worded(&format!("{name} of payment is high, {name} too")),
            "p99 of http.server.request.duration of method GET of route /pay/{id} of payment is high, p99 of \
             http.server.request.duration of method GET of route /pay/{id} too"
        );
        assert_eq!(dimensions_of(&name), [("http.request.method", "GET"), ("http.route", "/pay/{id}")]);
        for plain in ["latency_p99_ms", "", "a{b=\"c\"}"] {
            assert!(Key::parse(plain).is_none() && dimensions_of(plain).is_empty());
            assert!([public(plain), labelled(plain), worded(plain)].iter().all(|text| text == plain));
        }
    }

    fn dimensions_of(name: &str) -> Vec<(&str, &str)> {
        Key::parse(name).map(|key| key.pairs().collect()).unwrap_or_default()
    }

    #[test]
    fn control_characters_in_labels_cannot_forge_a_name() {
        let dimensions = canonical([("a\u{4}b", "c\u{3}d\u{2}\u{5}"), ("e", "f")].into_iter());
        let name = Key { form: Form::Level, dimensions: &dimensions, metric: "m" }.name();
        assert_eq!(dimensions_of(&name), [("ab", "cd"), ("e", "f")]);
        assert_eq!(public(&name), "m");
    }
}
