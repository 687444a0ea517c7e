//! Units of one dimension, and the factors between them.

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    Time,
    Bytes,
    Share,
    Count,
}

/// Units as they are written, lower case, with their dimension and their size in its first unit.
const UNITS: [(&[&str], Dimension, f64); 20] = [
    (&["s", "sec", "second", "seconds"], Dimension::Time, 1.0),
    (&["ms", "msec", "millis", "millisecond", "milliseconds"], Dimension::Time, 1e-3),
    (&["us", "µs", "μs", "usec", "micros", "microsecond", "microseconds"], Dimension::Time, 1e-6),
    (&["ns", "nanos", "nanosecond", "nanoseconds"], Dimension::Time, 1e-9),
    (&["min", "minute", "minutes"], Dimension::Time, 60.0),
    (&["h", "hour", "hours"], Dimension::Time, 3600.0),
    (&["d", "day", "days"], Dimension::Time, 86_400.0),
    (&["by", "b", "byte", "bytes"], Dimension::Bytes, 1.0),
    (&["kby", "kb", "kilobyte", "kilobytes"], Dimension::Bytes, 1e3),
    (&["mby", "mb", "megabyte", "megabytes"], Dimension::Bytes, 1e6),
    (&["gby", "gb", "gigabyte", "gigabytes"], Dimension::Bytes, 1e9),
    (&["tby", "tb", "terabyte", "terabytes"], Dimension::Bytes, 1e12),
    (&["kiby", "kib", "kibibyte", "kibibytes"], Dimension::Bytes, 1024.0),
    (&["miby", "mib", "mebibyte", "mebibytes"], Dimension::Bytes, 1_048_576.0),
    (&["giby", "gib", "gibibyte", "gibibytes"], Dimension::Bytes, 1_073_741_824.0),
    (&["tiby", "tib", "tebibyte", "tebibytes"], Dimension::Bytes, 1_099_511_627_776.0),
    (&["1", "ratio", "fraction"], Dimension::Share, 1.0),
    (&["%", "percent", "pct"], Dimension::Share, 0.01),
    (&["bit", "bits"], Dimension::Bytes, 0.125),
    (&["count", "{count}", "none"], Dimension::Count, 1.0),
];

/// Returns the factor from one unit to another of the same dimension; nothing where one is unknown, or they differ.
pub(crate) fn factor(from: &str, to: &str) -> Option<f64> {
    let (from, to) = (known(from)?, known(to)?);
    (from.0 == to.0 && from.1 == to.1).then(|| from.2 / to.2)
}

/// Returns dimension, whether it is by time, and size of a unit.
fn known(unit: &str) -> Option<(Dimension, bool, f64)> {
    let unit = unit.trim();
    let (of, by) = match unit.rsplit_once('/') {
        Some((of, by)) => (of, Some(by)),
        None => (unit, None),
    };
    let each = match by {
        None => 1.0,
        Some(by) => 1.0 / size(by).filter(|(dimension, _)| *dimension == Dimension::Time)?.1,
    };
    let (dimension, size) = match of {
        // `{request}/s` and `1/s` count the same
        _ if by.is_some() && (of == "1" || of.starts_with('{')) => (Dimension::Count, 1.0),
        _ => size(of)?,
    };
    Some((dimension, by.is_some(), size * each))
}

fn size(unit: &str) -> Option<(Dimension, f64)> {
    let is_it = |name: &&str| unit.eq_ignore_ascii_case(name);
    UNITS.iter().find(|(names, ..)| names.iter().any(&is_it)).map(|&(_, dimension, size)| (dimension, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_one_dimension_are_converted_and_no_others() {
        for (from, to, by) in [
            ("s", "ms", 1e3),
            ("Milliseconds", "s", 1e-3),
            ("ns", "us", 1e-3),
            ("KiBy", "By", 1024.0),
            ("MB", "KiBy", 1e6 / 1024.0),
            ("%", "1", 0.01),
            ("ratio", "percent", 100.0),
            ("1/min", "{request}/s", 1.0 / 60.0),
            ("By/s", "KiBy/s", 1.0 / 1024.0),
        ] {
            let factor = factor(from, to).unwrap_or_else(|| panic!("{from} to {to}"));
            assert!((factor / by - 1.0).abs() < 1e-12, "{from} to {to}: {factor}");
        }
        for (from, to) in [("s", "By"), ("1", "1/s"), ("{job}", "s"), ("", "s"), ("furlong", "furlong/s")] {
            assert_eq!(factor(from, to), None, "{from} to {to}");
        }
    }
}
