//! Units as people write them. On the bus a unit is a UCUM code (`ms`, `By`, `{line}/min`) or a word that a source has
//! chosen; in text it is `820 ms`, `1.5 GiB`, `6 lines a minute`.

use super::{digits, number};
use crate::text::sanitize;

/// Longest unit that is written, characters; others come from telemetry and may be anything.
const LONGEST: usize = 16;

/// Names of sizes, from a byte upwards, each 1024 times the one before.
const BYTES: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
/// Spans of time: seconds, name, and the size in seconds from which the next one is written.
const TIMES: [(f64, &str, f64); 7] = [
    (1e-9, "ns", 1e-6),
    (1e-6, "µs", 1e-3),
    (1e-3, "ms", 1.0),
    (1.0, "s", 120.0),
    (60.0, "min", 7200.0),
    (3600.0, "h", 172_800.0),
    (86_400.0, "day", f64::INFINITY),
];

/// A unit chosen for figures of one size, and what it takes to write them in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Figures on the bus times this are written.
    factor: f64,
    name: Name,
}

#[derive(Debug, Clone, PartialEq)]
enum Name {
    /// A count of nothing in particular.
    None,
    /// An abbreviation, the same for one and for many.
    Short(String),
    /// A noun for one and for many, and the time in which so many come.
    Noun { one: String, many: String, each: &'static str },
}

impl Scale {
    /// Chooses for figures of up to `size` in `unit` as it stands on the bus.
    pub fn of(unit: &str, size: f64) -> Self {
        let (thing, each) = match unit.rsplit_once('/') {
            Some((thing, per)) if period(per).is_some() => (thing, period(per)),
            _ => (unit, None),
        };
        // `By{transferred}` is a number of bytes
        let thing = thing.find('{').filter(|at| *at > 0).map_or(thing, |at| &thing[..at]);
        if let Some(scale) = bytes(thing, size).or_else(|| time(thing, size, each.is_some())) {
            return scale.each(each);
        }
        match thing {
            "" | "1" | "count" | "Count" => Self { factor: 1.0, name: Name::None }.each(each),
            "ratio" => Self { factor: 100.0, name: Name::Short("%".to_owned()) }.each(each),
            "%" | "percent" | "Percent" => Self::short("%").each(each),
            "Cel" => Self::short("°C").each(each),
            _ => match noun(thing) {
                Some((one, many)) => {
                    Self { factor: 1.0, name: Name::Noun { one, many, each: each.unwrap_or_default() } }
                }
                None if each.is_none() => Self::short(&sanitize::one_line(unit, LONGEST)),
                None => Self::short(&sanitize::one_line(thing, LONGEST)).each(each),
            },
        }
    }

    /// Writes a figure with its unit.
    pub fn figure(&self, value: f64) -> String {
        let figure = self.number(value);
        let unit = self.after(&figure);
        if unit.is_empty() { figure } else { format!("{figure}\u{a0}{unit}") }
    }

    /// Writes a figure without its unit.
    pub fn number(&self, value: f64) -> String {
        number(value * self.factor)
    }

    /// Returns what is read where a figure is written: the figure on the bus, rounded as [`Scale::number`] rounds it.
    pub fn rounded(&self, value: f64) -> f64 {
        digits(value * self.factor).parse::<f64>().map_or(value, |rounded| rounded / self.factor)
    }

    /// Returns the figure that is drawn where axes are written in this unit.
    pub fn drawn(&self, value: f64) -> f64 {
        value * self.factor
    }

    /// Returns the unit as an axis has it, e.g. `ms`, `lines per minute`; counts have none.
    pub fn axis(&self) -> String {
        match &self.name {
            Name::None => String::new(),
            Name::Short(name) => name.clone(),
            Name::Noun { many, each: "", .. } => many.clone(),
            Name::Noun { many, each, .. } => format!("{many} per {each}").trim_start().to_owned(),
        }
    }

    /// Returns what follows a figure.
    fn after(&self, figure: &str) -> String {
        match &self.name {
            Name::None => String::new(),
            Name::Short(name) => name.clone(),
            Name::Noun { one, many, each } => {
                let name = if figure == "1" { one } else { many };
                if each.is_empty() {
                    name.clone()
                } else {
                    let article = if *each == "hour" { "an" } else { "a" };
                    format!("{name} {article} {each}").trim_start().to_owned()
                }
            }
        }
    }

    fn short(name: &str) -> Self {
        Self { factor: 1.0, name: Name::Short(name.to_owned()) }
    }

    /// The same in each of some periods.
    fn each(self, each: Option<&'static str>) -> Self {
        let Some(each) = each else { return self };
        let name = match self.name {
            Name::None => Name::Noun { one: String::new(), many: String::new(), each },
            Name::Short(name) => Name::Short(format!("{name}/{}", abbreviated(each))),
            Name::Noun { one, many, .. } => Name::Noun { one, many, each },
        };
        Self { name, ..self }
    }
}

fn period(code: &str) -> Option<&'static str> {
    match code.to_ascii_lowercase().as_str() {
        "s" | "sec" | "second" => Some("second"),
        "min" | "minute" => Some("minute"),
        "h" | "hour" => Some("hour"),
        "d" | "day" => Some("day"),
        _ => None,
    }
}

fn abbreviated(each: &str) -> &str {
    match each {
        "second" => "s",
        "minute" => "min",
        "hour" => "h",
        each => each,
    }
}

fn bytes(thing: &str, size: f64) -> Option<Scale> {
    let each = match thing {
        "By" | "B" | "byte" | "bytes" | "Bytes" => 1.0,
        "kBy" => 1e3,
        "MBy" => 1e6,
        "GBy" => 1e9,
        "KiBy" | "KiB" => 1024.0,
        "MiBy" | "MiB" => 1024.0 * 1024.0,
        "GiBy" | "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let (mut step, mut place) = (1.0, 0);
    while size.abs() * each >= step * 1024.0 && place + 1 < BYTES.len() {
        (step, place) = (step * 1024.0, place + 1);
    }
    Some(Scale { factor: each / step, name: Name::Short(BYTES[place].to_owned()) })
}

/// Times are scaled, but not where they are rates: seconds a second are no milliseconds.
fn time(thing: &str, size: f64, is_rate: bool) -> Option<Scale> {
    let own = match thing {
        "ns" => 0,
        "us" | "µs" => 1,
        "ms" => 2,
        "s" => 3,
        "min" => 4,
        "h" => 5,
        "d" => 6,
        _ => return None,
    };
    let each = TIMES[own].0;
    let seconds = size.abs() * each;
    let (step, name, _) = if seconds == 0.0 || is_rate || !seconds.is_finite() {
        TIMES[own]
    } else {
        TIMES.into_iter().find(|(.., next)| seconds < *next).unwrap_or(TIMES[own])
    };
    // a whole factor is exact where its inverse is not
    let factor = if step > each { 1.0 / (step / each) } else { each / step };
    let name = match name {
        "day" => Name::Noun { one: "day".to_owned(), many: "days".to_owned(), each: "" },
        name => Name::Short(name.to_owned()),
    };
    Some(Scale { factor, name })
}

/// Returns a noun for one and for many: of a UCUM annotation (`{request}`) or of a word of at least five letters
/// (`connections`). Shorter ones are abbreviations.
fn noun(thing: &str) -> Option<(String, String)> {
    let annotation = thing.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let word = annotation.unwrap_or(thing);
    let is_word = word.chars().all(|letter| letter.is_alphabetic() || matches!(letter, ' ' | '_' | '-'))
        && word.chars().any(char::is_alphabetic);
    if !is_word || annotation.is_none() && word.chars().count() < 5 {
        return annotation.map(|word| {
            let word = sanitize::one_line(word, LONGEST);
            (word.clone(), word)
        });
    }
    let word = sanitize::one_line(&word.replace('_', " "), LONGEST);
    if let Some(one) = word.strip_suffix("ies") {
        return Some((format!("{one}y"), word));
    }
    if word.ends_with('s') && !word.ends_with("ss") {
        return Some((word[..word.len() - 1].to_owned(), word));
    }
    let many = match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if ["s", "x", "ch", "sh"].iter().any(|end| word.ends_with(end)) => format!("{word}es"),
        _ if word.ends_with('…') => word.clone(),
        _ => format!("{word}s"),
    };
    Some((word, many))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: f64, unit: &str) -> String {
        Scale::of(unit, value).figure(value).replace('\u{a0}', " ")
    }

    #[test]
    fn units_are_those_of_people() {
        for (value, unit, expected) in [
            (6.0, "{line}/min", "6 lines a minute"),
            (1.0, "{line}/min", "1 line a minute"),
            (0.619, "{line}/min", "0.619 lines a minute"),
            (58.3, "1/s", "58.3 a second"),
            (2.0, "{query}/s", "2 queries a second"),
            (4.0, "{batch}", "4 batches"),
            (1.0, "connections", "1 connection"),
            (98.7, "connections", "98.7 connections"),
            (3.0, "{mail_box}", "3 mail boxes"),
            (97.36, "%", "97.4 %"),
            (0.125, "ratio", "12.5 %"),
            (0.5, "1", "0.5"),
            (820.0, "ms", "820 ms"),
            (7380.0, "ms", "7.38 s"),
            (0.0, "ms", "0 ms"),
            (0.0004, "s", "400 µs"),
            (0.82, "s", "820 ms"),
            (90.0, "s", "90 s"),
            (900.0, "s", "15 min"),
            (1.0, "d", "24 h"),
            (13.2, "d", "13.2 days"),
            (-3.0, "d", "−3 days"),
            (1.5 * 1024.0 * 1024.0, "By/s", "1.5 MiB/s"),
            (2048.0, "MiBy", "2 GiB"),
            (0.3, "s/s", "0.3 s/s"),
            (5.0, "ops", "5 ops"),
            (21.0, "Cel", "21 °C"),
            (4.0, "{}", "4"),
            (4.0, "weird{", "4 weirds"),
        ] {
            assert_eq!(read(value, unit), expected, "{value} {unit}");
        }
        assert!(read(1.0, &"{".repeat(500)).chars().count() < 40);
    }

    #[test]
    fn an_axis_names_its_unit_once() {
        let axis = |unit, size| Scale::of(unit, size).axis();
        assert_eq!(axis("{line}/min", 9.0), "lines per minute");
        assert_eq!([axis("ms", 7380.0), axis("1/s", 5.0), axis("", 5.0)], ["s", "per second", ""]);
    }

    #[test]
    fn what_is_rounded_is_what_is_read() {
        assert!((Scale::of("ms", 7384.0).rounded(7384.0) - 7380.0).abs() < 1e-9);
        assert!((Scale::of("%", 99.97).rounded(99.97) - 100.0).abs() < 1e-9);
    }
}
