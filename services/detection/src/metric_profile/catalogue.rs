//! The catalogue: what names of metrics mean, as data.

use std::sync::LazyLock;

use serde::Deserialize;
use shared::events::Kind;

use super::{BadDirection, DetectionMode};

/// Words of a name that make it a limit.
const LIMIT_WORDS: [&str; 5] = ["limit", "limits", "max", "maximum", "capacity"];

/// The catalogue as it is written.
pub(crate) const TABLE: &str = include_str!("catalogue.toml");

/// The catalogue; the order of its parts counts.
static CATALOGUE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(TABLE).expect("a test reads the embedded catalogue"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    family: Vec<Family>,
    entry: Vec<Entry>,
}

/// Metrics whose names begin alike, and the labels that mean something in these only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Family {
    /// How the names begin; a dot and an underscore are the same.
    prefix: String,
    /// Labels that split what is judged; a `*` at the end stands for any rest.
    #[serde(default)]
    dimensions: Vec<String>,
    /// Labels of the parts of one replica, whose values are added before replicas are compared.
    #[serde(default)]
    parts: Vec<String>,
}

impl Family {
    /// Returns the first family that a metric belongs to.
    pub(crate) fn of(metric: &str) -> Option<&'static Self> {
        CATALOGUE.family.iter().find(|family| {
            metric.get(..family.prefix.len()).is_some_and(|start| is_same(start, &family.prefix))
        })
    }

    /// Returns whether a label splits what is judged.
    pub(crate) fn has_dimension(&self, label: &str) -> bool {
        self.dimensions.iter().any(|one| match one.strip_suffix('*') {
            Some(start) => label.get(..start.len()).is_some_and(|begin| is_same(begin, start)),
            None => is_same(one, label),
        })
    }

    /// Returns whether values of parts of one replica are added.
    pub(crate) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Returns whether a label distinguishes parts of one replica.
    pub(crate) fn has_part(&self, label: &str) -> bool {
        self.parts.iter().any(|one| is_same(one, label))
    }
}

/// Returns whether two names are the same, as OpenTelemetry and Prometheus write them: `http.route` and `http_route`.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'.' { b'_' } else { byte };
    one.len() == other.len() && one.bytes().zip(other.bytes()).all(|(one, other)| plain(one) == plain(other))
}

/// One entry: which names it is about, and what they mean.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Entry {
    names: Vec<String>,
    any: Vec<String>,
    also: Vec<String>,
    without: Vec<String>,
    last: Vec<String>,
    pub(super) kind: Option<Kind>,
    pub(super) unit: Option<String>,
    pub(super) bad_direction: Option<BadDirection>,
    pub(super) ceiling: Option<f64>,
    pub(super) counter: Option<bool>,
    pub(super) mode: Option<DetectionMode>,
    pub(super) resource: Option<String>,
}

impl Entry {
    /// What is known of a name that is in no entry.
    pub(super) const NONE: &'static Self = &Self {
        names: Vec::new(),
        any: Vec::new(),
        also: Vec::new(),
        without: Vec::new(),
        last: Vec::new(),
        kind: None,
        unit: None,
        bad_direction: None,
        ceiling: None,
        counter: None,
        mode: None,
        resource: None,
    };

    fn fits(&self, name: &Name) -> bool {
        if !self.names.is_empty() {
            return self.names.iter().any(|one| name.is(one));
        }
        let ends = |last: &String| {
            name.joined.strip_suffix(last.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
        };
        (self.last.is_empty() || self.last.iter().any(ends))
            && (self.any.is_empty() || name.has(&self.any))
            && (self.also.is_empty() || name.has(&self.also))
            && !name.has(&self.without)
    }
}

/// Returns the first entry that fits a name.
pub(super) fn entry(name: &Name) -> Option<&'static Entry> {
    CATALOGUE.entry.iter().find(|entry| entry.fits(name))
}

/// Returns whether a whole name is known to be the one of a count, whatever its exporter says of it.
pub(crate) fn is_known_counter(metric: &str) -> bool {
    let name = Name::new(metric);
    // what CloudWatch counts is of a period
    let entry = entry(&name).filter(|_| !name.is_of_cloud());
    entry.is_some_and(|entry| !entry.names.is_empty() && entry.counter == Some(true))
}

/// Words in the names of a function's run time, and of the time after which it is cut off, that do not name the function.
const RUN_TIME_WORDS: [&str; 26] = [
    "duration",
    "latency",
    "time",
    "run",
    "execution",
    "timeout",
    "configured",
    "max",
    "maximum",
    "limit",
    "mean",
    "average",
    "avg",
    "p50",
    "p90",
    "p95",
    "p99",
    "ms",
    "milliseconds",
    "s",
    "seconds",
    "invocation",
    "invocations",
    "invoke",
    "function",
    "functions",
];

/// A metric name as words.
pub(super) struct Name {
    words: Vec<String>,
    joined: String,
    is_dotted: bool,
    /// Name of a metric of CloudWatch without its namespace and its statistic, where exporters add them.
    cloud: Option<String>,
}

impl Name {
    pub(super) fn new(metric: &str) -> Self {
        let words = words(metric);
        Self { joined: words.join("_"), cloud: cloud(&words), words, is_dotted: metric.contains('.') }
    }

    /// Returns whether it is that name.
    fn is(&self, name: &str) -> bool {
        self.joined == name || self.cloud.as_deref() == Some(name)
    }

    /// Returns whether an exporter of CloudWatch has made it.
    pub(super) fn is_of_cloud(&self) -> bool {
        self.cloud.is_some()
    }

    /// Returns whether one of the words is there.
    pub(super) fn has<T: AsRef<str>>(&self, any: &[T]) -> bool {
        self.words.iter().any(|word| any.iter().any(|one| one.as_ref() == word))
    }

    /// Returns each two words in a row.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.words.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))
    }

    /// Returns whether it names how much there may be at most, and not the most that there was.
    pub(super) fn is_limit(&self) -> bool {
        // the maximum of a period is no limit
        self.has(&LIMIT_WORDS) && self.used() == self.joined && !self.is_of_cloud()
    }

    /// Returns whether it names a limit as such, and not the most that there was.
    pub(super) fn says_limit(&self) -> bool {
        self.has(&["limit", "limits"]) && self.is_limit()
    }

    /// Returns the name of a limit without the words that make it one.
    pub(super) fn limited(&self) -> String {
        if self.has(&LIMIT_WORDS) { self.without(&LIMIT_WORDS) } else { self.without(&["size", "total"]) }
    }

    /// Returns the name without the words for what is used, or left.
    pub(super) fn used(&self) -> String {
        self.without(&[
            "used",
            "usage",
            "in_use",
            "active",
            "open",
            "working_set",
            "current",
            "count",
            "allocated",
            "free",
            "avail",
            "available",
            "remaining",
        ])
    }

    /// Returns which function's run time it is about, or how long that may run at most; nothing for others, and for the time
    /// in which an instance starts.
    pub(super) fn function(&self) -> Option<String> {
        let is_function = self.has(&["lambda", "function", "functions", "faas", "invocation", "invocations"]);
        let starts = self.has(&["init", "cold", "restore", "start", "startup", "queue", "pending"]);
        (is_function && !starts).then(|| self.without(&RUN_TIME_WORDS))
    }

    /// Returns whether it names the time after which something is cut off.
    pub(super) fn is_timeout(&self) -> bool {
        self.has(&["timeout"])
    }

    /// Returns the name without some words in a row.
    fn without(&self, phrases: &[&str]) -> String {
        let mut rest = format!("_{}_", self.joined);
        for phrase in phrases {
            rest = rest.replace(&format!("_{phrase}_"), "_");
        }
        rest.trim_matches('_').to_owned()
    }

    /// Returns the last word, or nothing.
    pub(super) fn last(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }
}

/// Returns the unit in a name, or nothing.
pub(super) fn unit_of(name: &Name, kind: Kind) -> &'static str {
    if kind == Kind::Certificate {
        // the unit is not last here: `cert_days_remaining`
        let unit = name.words.iter().map(|word| unit_word(word)).find(|unit| !unit.is_empty());
        return unit.unwrap_or("s");
    }
    // Prometheus puts the unit last, or before `total`
    let last = name.words.iter().rev().find(|word| *word != "total").map_or("", String::as_str);
    match last {
        // CloudWatch's are percent
        _ if name.is_of_cloud() && name.has(&["utilization"]) => "%",
        // OpenTelemetry's are shares of 1; those of others may be percent
        "utilization" if name.is_dotted => "1",
        last => unit_word(last),
    }
}

/// Returns whether a name and a unit are of what is left of a size, so that 0 means that it is used up. Numbers of inodes
/// are none: some file systems have no fixed number of them and report 0.
pub(super) fn is_left(name: &Name, unit: &str) -> bool {
    let is_size = unit.is_empty() || unit.ends_with("By") || unit.to_lowercase().ends_with("bytes");
    is_size
        && name.has(&["free", "avail", "available", "freeable", "remaining"])
        && !name.has(&["inode", "inodes", "files"])
}

/// Returns the unit of a word, or nothing.
fn unit_word(word: &str) -> &'static str {
    match word {
        "percent" | "pct" | "percentage" => "%",
        "ms" | "milliseconds" | "millis" => "ms",
        "seconds" | "sec" => "s",
        "us" | "usec" | "microseconds" => "us",
        "minutes" => "min",
        "hours" => "h",
        "days" => "d",
        "bytes" => "By",
        "ratio" => "1",
        _ => "",
    }
}

/// Returns a unit as UCUM writes it where it is a word, such as those of CloudWatch; others pass.
pub(super) fn ucum(unit: &str) -> &str {
    match unit_word(&unit.to_lowercase()) {
        "" if unit == "B" => "By",
        "" if unit.eq_ignore_ascii_case("count/second") => "1/s",
        "" => unit,
        known => known,
    }
}

/// Splits a name into lower-case words: at whatever is no letter or digit, and where the case turns (`CPUUtilization`
/// is `cpu`, `utilization`).
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(at + 1);
        let turns = letter.is_uppercase()
            && (before.is_some_and(char::is_lowercase) || after.is_some_and(|next| next.is_lowercase()));
        if turns || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    // as the exporters of CloudWatch write them
    words.into_iter().fold(Vec::new(), |mut words: Vec<String>, word| {
        match (words.last_mut(), word.as_str()) {
            (Some(digit), "xx") if digit.len() == 1 && digit.starts_with(char::is_numeric) => {
                digit.push_str("xx");
            }
            (_, "cpuutilization") => words.extend(["cpu", "utilization"].map(str::to_owned)),
            (_, "httpcode") => words.extend(["http", "code"].map(str::to_owned)),
            _ => words.push(word),
        }
        words
    })
}

/// Returns the name of a metric of CloudWatch as an exporter writes it (`aws_ec2_cpuutilization_average`), without namespace
/// and statistic.
fn cloud(words: &[String]) -> Option<String> {
    const STATISTICS: [&str; 8] = ["average", "sum", "maximum", "minimum", "p50", "p90", "p95", "p99"];
    let [aws, _, metric @ ..] = words else { return None };
    let (statistic, name) = metric.split_last()?;
    (aws == "aws" && !name.is_empty() && STATISTICS.contains(&statistic.as_str())).then(|| name.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_can_be_reached_and_says_something() {
        assert!(CATALOGUE.entry.len() > 30);
        for entry in &CATALOGUE.entry {
            assert!(entry.kind.is_some() || entry.mode.is_some(), "{entry:?}");
            let is_by_name = !entry.names.is_empty();
            let is_by_words = !entry.any.is_empty() || !entry.last.is_empty();
            assert!(is_by_name != is_by_words, "{entry:?}");
            for name in &entry.names {
                assert_eq!(&Name::new(name).joined, name, "written otherwise than names are compared");
                let found = super::entry(&Name::new(name)).unwrap();
                assert!(std::ptr::eq(found, entry), "{name} is found elsewhere: {found:?}");
            }
        }
    }

    #[test]
    fn names_are_split_where_people_split_them() {
        assert_eq!(words("CPUUtilization"), ["cpu", "utilization"]);
        assert_eq!(words("system.cpu.time"), ["system", "cpu", "time"]);
        assert_eq!(words("node_memory_MemAvailable_bytes"), ["node", "memory", "mem", "available", "bytes"]);
        assert_eq!(words("HTTPCode_Target_5XX_Count"), ["http", "code", "target", "5xx", "count"]);
        assert_eq!(words("httpcode_target_5_xx_count"), ["http", "code", "target", "5xx", "count"]);
        assert_eq!(Name::new("aws_ec2_cpuutilization_average").cloud.as_deref(), Some("cpu_utilization"));
        assert_eq!(Name::new("aws.lambda.duration").cloud, None);
    }
}
